//! How soon every node's data plane knows of a backend that is lost or added.
//!
//! A host *knows* when the rules in its kernel say so. They are read again and
//! again; reading them costs some milliseconds, which are part of the figures.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use swarmlet_testnet::{Host, Testnet, wait_for};

use crate::bench::engines::Engines;
use crate::scenarios::kit::{self, Inside, Swarm, backends};

pub const KILLED: &str = "container killed";
pub const ADDED: &str = "task added";
pub const POWER: &str = "power cut";
pub const NAMES: [&str; 3] = [KILLED, ADDED, POWER];
const LIMIT: Duration = Duration::from_secs(60);
const SERVICE: &str = "spread";

/// A task on each host; that of the last one is lost, replaced, and lost again.
#[derive(Debug)]
pub struct Spread {
    swarm: Swarm,
}

impl Spread {
    pub fn lay(net: &Testnet) -> Result<Self> {
        let spread = Self {
            swarm: Swarm::over(net)?,
        };
        let create = format!(
            "service create -d --name {SERVICE} --replicas 3 --replicas-max-per-node 1 --network lane --restart-delay 0s \
             whoami"
        );
        kit::swarmlet(spread.swarm.host(1), &create)?;
        Ok(spread)
    }

    /// Seconds until every host that is there knows, for each of [`NAMES`].
    pub fn measure(&self) -> Result<[f64; NAMES.len()]> {
        let hosts = self.swarm.hosts();
        let (lost, others) = hosts.split_last().context("no hosts")?;
        let victim = self.whole()?;
        let addrs = victim.addresses("lane")?;
        let (origin, start) = (SystemTime::now(), Instant::now());
        kit::docker(lost, &format!("kill {}", victim.id()))?;
        let killed = known(hosts, start, |rules| rules.is_disjoint(&addrs))?;

        let next = kit::soon("the next task's container", || {
            let all = kit::containers(lost, SERVICE)?;
            let next = all.into_iter().find(|it| it.runs && it.id != victim.id());
            let next = Inside::of(lost, &next.context("none runs")?.id);
            next.addresses("lane")
        })?;
        known(hosts, start, |rules| rules.is_superset(&next))?;
        let since = origin.elapsed()?;
        let engines = Engines::of(vec![lost.clone()])?;
        let added = since.saturating_sub(engines.last_start(origin, 1)?);

        let start = Instant::now();
        lost.kill()?;
        let cut = known(others, start, |rules| rules.is_disjoint(&next))?;
        lost.boot()?;
        Ok([killed, added, cut].map(|time| time.as_secs_f64()))
    }

    /// Waits until every host sends to a task on each; returns the last one's.
    fn whole(&self) -> Result<Inside> {
        let hosts = self.swarm.hosts();
        let tasks = self
            .swarm
            .inside(self.swarm.host(1), SERVICE, hosts.len())?;
        let mut all = BTreeSet::new();
        for task in &tasks {
            all.extend(task.addresses("lane")?);
        }
        known(hosts, Instant::now(), |rules| rules.is_superset(&all))?;
        tasks.into_iter().next_back().context("no task")
    }
}

/// How long after `since` the rules of all hosts are as they should be.
fn known(
    hosts: &[Host],
    since: Instant,
    should: impl Fn(&BTreeSet<IpAddr>) -> bool,
) -> Result<Duration> {
    for host in hosts {
        wait_for(&format!("{} to know", host.name()), LIMIT, || {
            let rules = backends(host)?;
            ensure!(should(&rules), "{rules:?}");
            Ok(())
        })?;
    }
    Ok(since.elapsed())
}
