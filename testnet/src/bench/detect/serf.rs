//! Debian's serf beside swarmlet: an agent with its defaults in every host.
//! What it believes is read from its log, line by line as it writes it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, ensure};
use swarmlet_testnet::Host;

use super::sightings::Log;
use crate::scenarios::kit;

/// Agents in all hosts; each ends with its host's power.
#[derive(Debug)]
pub struct Serf {
    log: Arc<Log>,
}

impl Serf {
    /// Installs the package where it is missing, and tells its version.
    pub fn ensure_installed() -> Result<String> {
        let version = || {
            Command::new("dpkg-query")
                .args(["-Wf${Version}", "serf"])
                .output()
        };
        let mut found = version().context("run dpkg-query")?;
        if !found.status.success() {
            let mut apt = Command::new("apt-get");
            apt.args(["install", "-q", "-y", "--no-install-recommends", "serf"]);
            let done = apt.output().context("run apt-get")?;
            let said = String::from_utf8_lossy(&done.stderr);
            ensure!(done.status.success(), "apt-get install serf: {said}");
            found = version().context("run dpkg-query")?;
        }
        Ok(String::from_utf8_lossy(&found.stdout).into_owned())
    }

    pub fn new(log: &Arc<Log>) -> Self {
        Self { log: log.clone() }
    }

    /// Starts the agent of a host, which joins through `peer`.
    pub fn start(&self, observer: usize, host: &Host, peer: &Host) -> Result<()> {
        let (node, bind) = (
            format!("-node={}", host.name()),
            format!("-bind={}", host.ip()),
        );
        let join = format!("-retry-join={}", peer.ip());
        let mut argv = vec!["serf", "agent", &node, &bind];
        if peer.name() != host.name() {
            argv.push(&join);
        }
        let child = host.spawn(&argv)?;
        let log = self.log.clone();
        thread::spawn(move || follow(child, &log, observer));
        Ok(())
    }

    /// Brings a host together with the others again: by itself serf tries that
    /// at random, on average after minutes.
    pub fn rejoin(host: &Host, peer: &Host) -> Result<()> {
        let join = ["serf", "join", &peer.ip().to_string()];
        kit::soon("the network to carry serf's join", || Ok(host.ok(&join)?))?;
        Ok(())
    }
}

fn follow(mut child: Child, log: &Log, observer: usize) {
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some((subject, dead)) = read_line(&line) {
                log.note(observer, subject, dead);
            }
        }
    }
    // Collected when the host's power goes.
    let _ = child.wait();
}

/// The host that a line of the log is about, and whether it is now dead.
fn read_line(line: &str) -> Option<(usize, bool)> {
    let event = line.split_once("serf: EventMember")?.1;
    let (kind, rest) = event.split_once(": ")?;
    let number: usize = rest.strip_prefix('h')?.split(' ').next()?.parse().ok()?;
    let dead = match kind {
        "Failed" => true,
        "Join" => false,
        _ => return None,
    };
    Some((number.checked_sub(1)?, dead))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_and_returns_are_read_from_the_log() {
        let read = |event| read_line(&format!("    2026/11/21 06:38:43 [INFO] serf: {event}"));
        assert_eq!(read("EventMemberFailed: h2 10.99.1.2"), Some((1, true)));
        assert_eq!(read("EventMemberJoin: h8 10.99.1.8"), Some((7, false)));
        assert_eq!(read("EventMemberReap: h8 10.99.1.8"), None);
        assert_eq!(read_line("[INFO] memberlist: Suspect h2 has failed"), None);
    }
}
