//! The swarm as the demo sees it: through one manager's API, and through the
//! engines of all hosts, which know what really runs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use swarmlet_testnet::Host;

use crate::scenarios::kit::{self, Task};

/// A swarm and who is asked about it.
#[derive(Debug)]
pub struct Swarm {
    /// The manager whose API is asked.
    pub host: Host,
    /// All hosts; their names are their nodes' names.
    pub hosts: Vec<Host>,
}

impl Swarm {
    /// The service's running tasks, by slot.
    pub fn running(&self, service: &str) -> Result<Vec<Task>> {
        let mut tasks = kit::running(&self.host, service)?;
        tasks.sort_by_key(|task| task.slot);
        Ok(tasks)
    }

    /// Why the node is down; an error while it is not.
    pub fn down_reason(&self, name: &str) -> Result<String> {
        let node = kit::node(&self.host, name)?;
        ensure!(node.state == "down", "{name} is {}", node.state);
        Ok(node.message)
    }

    /// Holds when every host is a node that is ready and a manager that the
    /// leader reaches.
    pub fn is_complete(&self) -> Result<()> {
        let mut nodes = kit::nodes(&self.host)?;
        nodes.retain(|node| node.state == "ready" && node.reachability == "reachable");
        let names: Vec<String> = nodes.into_iter().map(|node| node.name).collect();
        ensure!(names.len() == self.hosts.len(), "they are {names:?}");
        Ok(())
    }

    /// Names of the nodes that are ready.
    pub fn ready(&self) -> Result<Vec<String>> {
        let nodes = kit::nodes(&self.host)?.into_iter();
        let ready = nodes.filter(|node| node.state == "ready");
        Ok(ready.map(|node| node.name).collect())
    }

    /// Holds when no slot has two tasks, and the engines run a container for
    /// each running task of the service and no other.
    pub fn nothing_runs_twice(&self, service: &str) -> Result<()> {
        let tasks = self.running(service)?;
        let slots: BTreeSet<u64> = tasks.iter().map(|task| task.slot).collect();
        ensure!(
            slots.len() == tasks.len(),
            "a slot has two tasks: {tasks:?}"
        );
        let mut there = BTreeSet::new();
        for host in &self.hosts {
            let all = kit::containers(host, service)?.into_iter();
            there.extend(all.filter(|c| c.runs).map(|c| (c.host, c.id)));
        }
        let told = tasks.into_iter().map(|task| (task.node, task.container));
        let told: BTreeSet<(String, String)> = told.collect();
        let extra: Vec<_> = there.difference(&told).collect();
        let missing: Vec<_> = told.difference(&there).collect();
        ensure!(
            extra.is_empty() && missing.is_empty(),
            "containers without a task: {extra:?}, tasks without a container: {missing:?}"
        );
        Ok(())
    }
}

/// Tasks by the host that runs them.
pub fn by_host(tasks: &[Task]) -> BTreeMap<&str, Vec<&Task>> {
    let mut hosts: BTreeMap<&str, Vec<&Task>> = BTreeMap::new();
    for task in tasks {
        hosts.entry(&task.node).or_default().push(task);
    }
    hosts
}
