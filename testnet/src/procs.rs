//! The processes of a testnet, found by asking the kernel.
//!
//! A host is a PID namespace, and its init carries the testnet's folder and
//! the host's name on its command line. So nothing has to be remembered: what
//! runs is found by reading `/proc`, also after the harness itself was killed.
//! Only processes found that way are ever signalled, through a pidfd, so that
//! a number that was used again is never hit.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use stopwatch::time_of;

use crate::error::{Context, Error, Result};
use crate::wait::wait_for;

/// The hidden verb that makes the binary a host's init.
pub const INIT_VERB: &str = "host-init";
/// The hidden verb that makes the binary hold the switch's network namespace.
pub const SWITCH_VERB: &str = "switch";

/// What a process of ours is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// PID 1 of a host.
    Init { host: String },
    /// The `unshare` that waits for that init, outside its namespaces.
    Launcher { host: String },
    /// The holder of the network namespace with the bridge.
    Switch,
}

/// A process, safe against its number being used again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub role: Role,
    started: u64,
}

/// All processes of the testnet in `net_dir`.
pub fn of_testnet(net_dir: &Path) -> Vec<Process> {
    pids().filter_map(|pid| identify(pid, net_dir)).collect()
}

/// The init of `host`, when the host has power.
pub fn init_of(net_dir: &Path, host: &str) -> Option<i32> {
    of_testnet(net_dir)
        .into_iter()
        .find(|p| matches!(&p.role, Role::Init { host: h } if h == host))
        .map(|p| p.pid)
}

/// The holder of the switch.
pub fn switch_of(net_dir: &Path) -> Option<i32> {
    of_testnet(net_dir)
        .into_iter()
        .find(|p| p.role == Role::Switch)
        .map(|p| p.pid)
}

/// Ends the processes whose role is `doomed`, with all that runs in the hosts
/// of those inits, and waits until the kernel has let go of them.
///
/// An init is killed rather than its launcher, because the launcher lasts
/// until the whole PID namespace is gone. A launcher without an init was
/// caught before its fork; looking again and again leaves no gap.
pub fn end(net_dir: &Path, doomed: impl Fn(&Role) -> bool) -> Result<()> {
    let mut known: Vec<Process> = Vec::new();
    wait_for(
        "the processes of the hosts to end",
        Duration::from_secs(30),
        || {
            let mut found = of_testnet(net_dir);
            found.retain(|p| doomed(&p.role));
            for process in &found {
                if !process.ends_with_its_init(&found) {
                    kill(net_dir, process).map_err(|e| e.to_string())?;
                }
            }
            known.retain(|p| p.is_alive());
            known.extend(found);
            match known.first() {
                None => Ok(()),
                Some(p) => Err(format!("pid {} ({:?}) still runs", p.pid, p.role)),
            }
        },
    )
}

fn kill(net_dir: &Path, process: &Process) -> Result<()> {
    let what = || format!("kill pid {}", process.pid);
    let Some(pid) = Pid::from_raw(process.pid) else {
        return Ok(());
    };
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
        return Ok(());
    };
    // The pidfd is of whoever has the number now: look again before firing.
    if identify(process.pid, net_dir).as_ref() != Some(process) {
        return Ok(());
    }
    match pidfd_send_signal(&pidfd, Signal::KILL) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        sent => sent.context(what),
    }
}

impl Process {
    fn ends_with_its_init(&self, all: &[Self]) -> bool {
        let Role::Launcher { host: mine } = &self.role else {
            return false;
        };
        all.iter()
            .any(|p| matches!(&p.role, Role::Init { host } if host == mine))
    }

    /// False as soon as it is a zombie: all its resources are then released.
    fn is_alive(&self) -> bool {
        Stat::read(&PathBuf::from(format!("/proc/{}", self.pid)))
            .is_some_and(|s| s.started == self.started && !matches!(s.state, 'Z' | 'X'))
    }
}

fn identify(pid: i32, net_dir: &Path) -> Option<Process> {
    let proc_dir = PathBuf::from(format!("/proc/{pid}"));
    let role = role_of(&fs::read(proc_dir.join("cmdline")).ok()?, net_dir)?;
    let started = Stat::read(&proc_dir)?.started;
    Some(Process { pid, role, started })
}

/// Arguments of the hidden verbs, as [`role_of`] recognises them.
pub fn verb_args(verb: &str, net_dir: &Path, host: Option<&str>) -> Vec<std::ffi::OsString> {
    let mut args = vec![verb.into(), "--dir".into(), net_dir.as_os_str().into()];
    if let Some(host) = host {
        args.extend(["--host".into(), host.into()]);
    }
    args
}

/// What a command line (NUL-terminated words) is in the testnet at `net_dir`.
fn role_of(cmdline: &[u8], net_dir: &Path) -> Option<Role> {
    let text = String::from_utf8_lossy(cmdline);
    let words: Vec<&str> = text.split_terminator('\0').collect();
    let verb = words
        .iter()
        .position(|w| *w == INIT_VERB || *w == SWITCH_VERB)?;
    match &words[verb..] {
        [SWITCH_VERB, "--dir", dir] if verb == 1 && Path::new(dir) == net_dir => Some(Role::Switch),
        [INIT_VERB, "--dir", dir, "--host", host] if Path::new(dir) == net_dir => {
            let host = (*host).to_owned();
            Some(if verb == 1 {
                Role::Init { host }
            } else {
                Role::Launcher { host }
            })
        }
        _ => None,
    }
}

fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The machine's number for the process that calls itself `inner` in the PID
/// namespace of `init`.
pub fn outer_pid(init: i32, inner: i32) -> Option<i32> {
    let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let hosts = namespace(init)?;
    pids().find(|pid| {
        fs::read_to_string(format!("/proc/{pid}/status"))
            .is_ok_and(|status| innermost_pid(&status) == Some(inner))
            && namespace(*pid).as_ref() == Some(&hosts)
    })
}

/// The last number of the `NSpid` line of a `/proc/PID/status`.
fn innermost_pid(status: &str) -> Option<i32> {
    let line = status.lines().find_map(|l| l.strip_prefix("NSpid:"))?;
    line.split_whitespace().last()?.parse().ok()
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory in bytes.
    pub rss: u64,
    /// User and system time of all its threads, without its children.
    pub cpu: Duration,
    /// Bytes that it caused to be sent to block devices.
    pub written: u64,
}

/// The usage of the process `pid` (a number of the machine, not of a host).
pub fn usage(pid: i32) -> Result<Usage> {
    let proc_dir = PathBuf::from(format!("/proc/{pid}"));
    let stat = Stat::read(&proc_dir).ok_or(Error::NoProcess(pid))?;
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(proc_dir.join(file))
            .context(|| format!("read {file} of process {pid}"))?;
        Ok::<_, Error>(number_after(&text, name).unwrap_or(0))
    };
    Ok(Usage {
        rss: field("status", "VmRSS:")? * 1024,
        cpu: time_of(stat.cpu_ticks),
        written: field("io", "write_bytes:")?,
    })
}

/// The first number of the line that starts with `name`.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The fields of `/proc/PID/stat` that are used here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: char,
    cpu_ticks: u64,
    started: u64,
}

impl Stat {
    pub(crate) fn read(proc_dir: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(proc_dir.join("stat")).ok()?)
    }

    /// proc_pid_stat(5); the second field may hold anything, blanks included.
    fn parse(line: &str) -> Option<Self> {
        let rest: Vec<&str> = line.rsplit_once(") ")?.1.split_whitespace().collect();
        let number = |field: usize| rest.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            state: rest.first()?.chars().next()?,
            cpu_ticks: number(14)? + number(15)?,
            started: number(22)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIR: &str = "/var/tmp/swarmlet-testnet/default";

    fn role(words: &[&str]) -> Option<Role> {
        let cmdline: String = words.iter().map(|w| format!("{w}\0")).collect();
        role_of(cmdline.as_bytes(), Path::new(DIR))
    }

    #[test]
    fn an_init_is_told_from_its_launcher_by_who_runs_first() {
        let init = ["/x/testnet", INIT_VERB, "--dir", DIR, "--host", "h1"];
        let host = "h1".to_owned();
        assert_eq!(role(&init), Some(Role::Init { host: host.clone() }));
        let launcher = [&["unshare", "--pid", "--"], &init[..]].concat();
        assert_eq!(role(&launcher), Some(Role::Launcher { host }));
        assert_eq!(
            role(&["testnet", SWITCH_VERB, "--dir", DIR]),
            Some(Role::Switch)
        );
    }

    #[test]
    fn processes_of_others_are_nobody() {
        let other = format!("{DIR}-2");
        assert_eq!(role(&["testnet", SWITCH_VERB, "--dir", &other]), None);
        assert_eq!(role(&["grep", "host-init"]), None);
        assert_eq!(role(&["vi", SWITCH_VERB, DIR]), None);
        assert_eq!(role(&[]), None);
    }

    #[test]
    fn arguments_are_recognised_as_they_are_written() {
        let args = verb_args(INIT_VERB, Path::new(DIR), Some("h2"));
        let words: Vec<&str> = std::iter::once("testnet")
            .chain(args.iter().filter_map(|a| a.to_str()))
            .collect();
        let host = "h2".to_owned();
        assert_eq!(role(&words), Some(Role::Init { host }));
    }

    #[test]
    fn a_stat_line_is_read_past_a_hostile_name() {
        let line = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1 0 999 8192 12 0";
        assert_eq!(
            Stat::parse(line),
            Some(Stat {
                state: 'S',
                cpu_ticks: 300,
                started: 999
            })
        );
        assert_eq!(Stat::parse("7 (a) S 1"), None);
    }

    #[test]
    fn the_pid_inside_is_the_last_of_the_nspid_line() {
        assert_eq!(innermost_pid("Name:\tx\nNSpid:\t812\t7\n"), Some(7));
        assert_eq!(innermost_pid("Name:\tx\n"), None);
    }

    #[test]
    fn the_usage_of_a_running_process_is_known() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(usage(pid).unwrap().rss > 0);
        assert!(usage(i32::MAX).is_err());
    }
}
