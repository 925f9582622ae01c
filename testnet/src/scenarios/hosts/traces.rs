//! What a testnet can leave on a machine, taken before and compared after.
//!
//! Other things run meanwhile, so only what is new counts, and of processes
//! only those in a namespace that a host had or in a folder or group of its.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use swarmlet_testnet::{Testnet, cgroups, procs};

/// Everything of this machine that a testnet could change.
#[derive(Debug)]
pub struct Traces {
    found: BTreeSet<String>,
}

/// The namespaces of a testnet's hosts and switch, as `/proc/PID/ns` names
/// them, and its folder.
#[derive(Debug)]
pub struct OfHosts {
    namespaces: BTreeSet<PathBuf>,
    folder: PathBuf,
}

impl Traces {
    /// Mounts, interfaces, named network namespaces and files as they are now.
    pub fn take() -> Result<Self> {
        let mut found = BTreeSet::new();
        let mut add = |kind: &str, lines: &str| {
            found.extend(lines.lines().map(|line| format!("{kind}: {line}")));
        };
        // The sixth field on may change with the mount's use; ids and points do not.
        for line in fs::read_to_string("/proc/self/mountinfo")?.lines() {
            add("mount", line.split(' ').nth(4).unwrap_or(line));
        }
        for (kind, args) in [
            ("interface", &["-br", "link"][..]),
            ("network namespace", &["netns", "list"]),
        ] {
            let listed = Command::new("ip").args(args).output().context("run ip")?;
            add(kind, &String::from_utf8_lossy(&listed.stdout));
        }
        for folder in ["/etc/docker", "/opt", "/var/lib", "/run", "/tmp"] {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.to_string_lossy().contains("docker")
                    || path.to_string_lossy().contains("containerd")
                    || path.to_string_lossy().contains("swarmlet")
                {
                    add("file", &path.to_string_lossy());
                }
            }
        }
        Ok(Self { found })
    }

    /// Remembers the namespaces of a running testnet, to look for them later.
    pub fn of_hosts(self, net: &Testnet) -> Result<OfHosts> {
        let mut namespaces = BTreeSet::new();
        for process in procs::of_testnet(net.path()) {
            namespaces.extend(foreign_namespaces(&process.pid.to_string()));
        }
        ensure!(!namespaces.is_empty(), "no host has namespaces of its own");
        Ok(OfHosts {
            namespaces,
            folder: net.path().to_owned(),
        })
    }

    /// Fails naming what is there now and was not before.
    pub fn nothing_is_left(&self, name: &str, of: &OfHosts) -> Result<()> {
        let mut left: Vec<String> = Self::take()?
            .found
            .difference(&self.found)
            .cloned()
            .collect();
        let groups = cgroups::folders(&cgroups::of_testnet(name));
        left.extend(
            groups
                .iter()
                .map(|path| format!("control group: {}", path.display())),
        );
        if of.folder.exists() {
            left.push(format!("folder: {}", of.folder.display()));
        }
        for entry in fs::read_dir("/proc")?.flatten() {
            let pid = entry.file_name().to_string_lossy().into_owned();
            if foreign_namespaces(&pid).any(|namespace| of.namespaces.contains(&namespace)) {
                left.push(format!("process in a host's namespace: {pid}"));
            }
        }
        let processes = procs::of_testnet(&of.folder);
        left.extend(processes.iter().map(|p| format!("process: {p:?}")));
        ensure!(left.is_empty(), "left behind:\n{}", left.join("\n"));
        Ok(())
    }
}

/// Namespaces of a process that are not this process's own.
fn foreign_namespaces(pid: &str) -> impl Iterator<Item = PathBuf> {
    let of = |pid: &str, kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
    let pid = pid.to_owned();
    ["net", "pid", "mnt", "uts"]
        .into_iter()
        .filter_map(move |kind| {
            of(&pid, kind).filter(|theirs| Some(theirs) != of("self", kind).as_ref())
        })
}
