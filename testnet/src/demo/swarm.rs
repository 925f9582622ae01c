//! The swarm as the demo sees it: through one manager's API, and through the
//! engines of all hosts, which know what really runs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};
use swarmlet_testnet::Host;

use crate::view::{self, Node};

/// A swarm and who is asked about it.
#[derive(Debug)]
pub struct Swarm {
    /// The manager whose API is asked.
    pub host: Host,
    /// All hosts; their names are their nodes' names.
    pub hosts: Vec<Host>,
}

/// A task that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    pub task: String,
    pub slot: u64,
    pub host: String,
    pub container: String,
    /// The port that it publishes on its host, or 0.
    pub port: u16,
}

impl Swarm {
    /// The swarm of `hosts` as `host` tells it.
    pub fn seen_from(host: Host, hosts: Vec<Host>) -> Self {
        Self { host, hosts }
    }

    /// The service's running tasks, by slot.
    pub fn running(&self, service: &str) -> Result<Vec<Replica>> {
        let api = self.host.daemon();
        let names: BTreeMap<String, String> = view::nodes(&api)?
            .into_iter()
            .map(|(name, node)| (node.id, name))
            .collect();
        let mut replicas: Vec<Replica> = match view::tasks(&api, service) {
            Ok(tasks) => tasks,
            // The command that creates it has not yet got so far.
            Err(e) if e.to_string().contains("not found") => Vec::new(),
            Err(e) => return Err(e),
        }
        .into_iter()
        .filter(view::Task::runs)
        .map(|task| Replica {
            host: names.get(&task.node).unwrap_or(&task.node).clone(),
            port: task.port().unwrap_or(0),
            slot: task.slot,
            container: task.status.container_status.id,
            task: task.id,
        })
        .collect();
        replicas.sort_by_key(|r| r.slot);
        Ok(replicas)
    }

    /// Why the node is down; an error while it is not.
    pub fn down_reason(&self, name: &str) -> Result<String> {
        match view::nodes(&self.host.daemon())?.remove(name) {
            Some(node) if node.status.state == "down" => Ok(node.status.message),
            Some(node) => bail!("{name} is {}", node.status.state),
            None => bail!("no node is called {name}"),
        }
    }

    /// Holds when the engines run a container for each running task of the
    /// service, no other container, and no slot twice.
    pub fn nothing_runs_twice(&self, service: &str) -> Result<()> {
        let replicas = self.running(service)?;
        let slots: BTreeSet<u64> = replicas.iter().map(|r| r.slot).collect();
        ensure!(slots.len() == replicas.len(), "a slot has two tasks: {replicas:?}");
        let told: BTreeSet<(&str, &str)> =
            replicas.iter().map(|r| (r.host.as_str(), r.container.as_str())).collect();
        let mut containers = Vec::new();
        for host in &self.hosts {
            let theirs = view::containers(host, false)?;
            containers.extend(theirs.into_iter().map(|c| (host.name(), c)));
        }
        let found: BTreeSet<(&str, &str)> =
            containers.iter().map(|(host, c)| (*host, c.id.as_str())).collect();
        let (extra, missing): (Vec<_>, Vec<_>) =
            (found.difference(&told).collect(), told.difference(&found).collect());
        ensure!(
            extra.is_empty() && missing.is_empty(),
            "containers without a task: {extra:?}, tasks without a container: {missing:?}"
        );
        Ok(())
    }
}

/// Names of the nodes that `host` calls ready.
pub fn ready_names(host: &Host) -> Result<BTreeSet<String>> {
    let ready = |node: &Node| node.status.state == "ready";
    let nodes = view::nodes(&host.daemon())?;
    Ok(nodes.into_iter().filter(|(_, node)| ready(node)).map(|(name, _)| name).collect())
}

/// Replicas by the host that runs them.
pub fn by_host(replicas: &[Replica]) -> BTreeMap<&str, Vec<&Replica>> {
    let mut hosts: BTreeMap<&str, Vec<&Replica>> = BTreeMap::new();
    for replica in replicas {
        hosts.entry(&replica.host).or_default().push(replica);
    }
    hosts
}
