//! The services of a host and its dead.
//!
//! One table under one lock: a service is started, signalled and reaped while
//! it is held, so a signal can never reach a process number that was used
//! again. Nothing is restarted here; that is for the harness to ask.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, kill_process, wait, waitid,
};

use super::disk::{BIN, DISK, ENGINE_SETTINGS};
use crate::cgroups;
use crate::control::{ServiceName, ServiceReport, ServiceSignal, ServiceState};
use crate::error::{Context, Result};
use crate::plan::{HostPlan, Plan};
use crate::procs::Stat;
use crate::store::HostDir;

/// How often an init without children looks for orphans given to it.
const ORPHAN_WATCH: Duration = Duration::from_millis(500);

/// Keeps the services of one host.
#[derive(Debug)]
pub(super) struct Supervisor {
    services: Mutex<BTreeMap<ServiceName, Service>>,
    child_started: Condvar,
}

#[derive(Debug)]
struct Service {
    command: Vec<String>,
    log: PathBuf,
    life: Life,
}

#[derive(Debug)]
enum Life {
    NotYet,
    Running(Pid),
    Ended(String),
}

impl Supervisor {
    /// The services that `plan` gives to `host`, all off.
    pub(super) fn new(plan: &Plan, host: &HostPlan) -> Self {
        let logs = HostDir(DISK.into()).logs();
        let service = |name: ServiceName, command| {
            let log = logs.join(format!("{name}.log"));
            let life = Life::NotYet;
            (name, Service { command, log, life })
        };
        Self {
            services: Mutex::new(BTreeMap::from([
                service(ServiceName::Engine, engine_command(plan, host)),
                service(ServiceName::Daemon, daemon_command(plan)),
            ])),
            child_started: Condvar::new(),
        }
    }

    /// Starts a service; refused when it runs or its program is missing.
    pub(super) fn start(&self, name: ServiceName) -> Result<(), String> {
        let mut services = self.lock();
        let service = services.get_mut(&name).ok_or("no such service")?;
        if let Life::Running(pid) = service.life {
            return Err(format!("already runs as pid {}", pid.as_raw_nonzero()));
        }
        let pid = service.spawn().map_err(|e| e.to_string())?;
        service.life = Life::Running(pid);
        self.child_started.notify_all();
        Ok(())
    }

    /// Signals the service's process; refused when it does not run.
    pub(super) fn signal(&self, name: ServiceName, signal: ServiceSignal) -> Result<(), String> {
        let signal = match signal {
            ServiceSignal::Term => Signal::TERM,
            ServiceSignal::Kill => Signal::KILL,
            ServiceSignal::Stop => Signal::STOP,
            ServiceSignal::Cont => Signal::CONT,
        };
        match self.lock().get(&name).map(|service| &service.life) {
            Some(Life::Running(pid)) => kill_process(*pid, signal).map_err(|e| e.to_string()),
            _ => Err("does not run".into()),
        }
    }

    /// How all services are.
    pub(super) fn reports(&self) -> Vec<ServiceReport> {
        let services = self.lock();
        let report = |(name, service): (&ServiceName, &Service)| ServiceReport {
            service: *name,
            state: service.state(),
        };
        services.iter().map(report).collect()
    }

    /// Collects the dead, own and orphaned, until the power goes.
    pub(super) fn reap_forever(&self) -> ! {
        loop {
            // Only looks, so that the table can be locked before a number is free.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let looked = waitid(WaitId::All, options);
            let services = self.lock();
            if looked.is_err() {
                let _ = self.child_started.wait_timeout(services, ORPHAN_WATCH);
            } else {
                reap(services);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ServiceName, Service>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reap(mut services: MutexGuard<'_, BTreeMap<ServiceName, Service>>) {
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        for (name, service) in services.iter_mut() {
            if matches!(service.life, Life::Running(running) if running == pid) {
                let how = ending(status);
                eprintln!("{name} ended: {how}");
                service.life = Life::Ended(how);
            }
        }
    }
}

fn ending(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (_, Some(signal)) => format!("signal {signal}"),
        _ => "unknown".into(),
    }
}

impl Service {
    fn spawn(&self) -> Result<Pid> {
        let log = || {
            File::options()
                .create(true)
                .append(true)
                .open(&self.log)
                .context(|| format!("open {}", self.log.display()))
        };
        let child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log()?)
            .stderr(log()?)
            .spawn()
            .context(|| format!("run {}", self.command[0]))?;
        // The handle is dropped unwaited: `reap` collects every child.
        Ok(Pid::from_child(&child))
    }

    fn state(&self) -> ServiceState {
        match &self.life {
            Life::NotYet if !self.is_installed() => ServiceState::Absent,
            Life::NotYet => ServiceState::Off,
            Life::Ended(how) => ServiceState::Ended { how: how.clone() },
            Life::Running(pid) => {
                let pid = pid.as_raw_nonzero().get();
                let stat = Stat::read(&PathBuf::from(format!("/proc/{pid}")));
                if stat.is_some_and(|stat| stat.state == 'T') {
                    ServiceState::Paused { pid }
                } else {
                    ServiceState::Running { pid }
                }
            }
        }
    }

    /// Programs without a folder are looked for by the system, at the start.
    fn is_installed(&self) -> bool {
        let program = Path::new(&self.command[0]);
        !program.is_absolute() || fs::exists(program).unwrap_or(false)
    }
}

fn engine_command(plan: &Plan, host: &HostPlan) -> Vec<String> {
    let cgroup = cgroups::of_host(&plan.name, &host.name);
    [
        "dockerd",
        "--config-file",
        ENGINE_SETTINGS,
        "--storage-driver=overlay2",
        // Not systemd's: nobody would tidy up its scopes.
        "--exec-opt=native.cgroupdriver=cgroupfs",
        "--cgroup-parent",
        &cgroup,
    ]
    .map(str::to_owned)
    .to_vec()
}

fn daemon_command(plan: &Plan) -> Vec<String> {
    let mut command = vec![format!("{BIN}/swarmlet"), "daemon".to_owned()];
    command.extend(plan.daemon_args.iter().cloned());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervisor() -> Supervisor {
        let plan = Plan::new("x", 1, 1).unwrap();
        let host = plan.host("h1").unwrap();
        Supervisor::new(&plan, &host)
    }

    #[test]
    fn a_host_without_the_program_says_so() {
        let reports = supervisor().reports();
        assert_eq!(
            reports.iter().map(|r| &r.state).collect::<Vec<_>>(),
            [&ServiceState::Off, &ServiceState::Absent]
        );
    }

    #[test]
    fn what_does_not_run_is_not_signalled() {
        let refused = supervisor().signal(ServiceName::Daemon, ServiceSignal::Kill);
        assert_eq!(refused, Err("does not run".into()));
    }

    #[test]
    fn the_engine_keeps_its_groups_below_its_host() {
        let plan = Plan::new("x", 1, 2).unwrap();
        let command = engine_command(&plan, &plan.host("h2").unwrap());
        assert!(command.contains(&"/swarmlet-testnet/x/h2".to_owned()));
    }
}
