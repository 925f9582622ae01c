//! A swarm that a scenario has to itself.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use stopwatch::{MachineInstant, Took};
use swarmlet_testnet::{Host, Power, Testnet};

use super::{Container, Task, api, soon};
use crate::runner::Context;

/// Hosts h1..hN in one swarm: the first three are managers. Gone when dropped.
#[derive(Debug)]
pub struct Swarm {
    hosts: Vec<Host>,
    net: Testnet,
}

impl Swarm {
    /// Raises `hosts` hosts and forms the swarm.
    pub fn of(context: &Context, hosts: usize) -> Result<Self> {
        Self::raise(context, hosts, true)
    }

    /// Raises hosts whose daemons run but are in no swarm yet.
    pub fn unformed(context: &Context, hosts: usize) -> Result<Self> {
        Self::raise(context, hosts, false)
    }

    fn raise(context: &Context, hosts: usize, swarm: bool) -> Result<Self> {
        let mut options = context.options(hosts);
        options.swarm = swarm;
        let net = context.up(&options)?;
        Ok(Self {
            hosts: net.hosts(),
            net,
        })
    }

    /// The hosts of a swarm that was raised before, and stays.
    pub fn over(net: &Testnet) -> Result<Self> {
        let net = Testnet::open(net.name())?;
        Ok(Self {
            hosts: net.hosts(),
            net,
        })
    }

    /// Its network, to hurt it.
    pub fn net(&self) -> &Testnet {
        &self.net
    }

    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// `host(1)` is h1.
    pub fn host(&self, number: usize) -> &Host {
        &self.hosts[number - 1]
    }

    pub fn named(&self, name: &str) -> Result<&Host> {
        let host = self.hosts.iter().find(|host| host.name() == name);
        host.with_context(|| format!("there is no host {name}"))
    }

    /// All but one.
    pub fn others(&self, but: &Host) -> Vec<&Host> {
        let other = |host: &&Host| host.name() != but.name();
        self.hosts.iter().filter(other).collect()
    }

    /// The host that leads, as `ask` sees it.
    pub fn leader(&self, ask: &Host) -> Result<&Host> {
        self.named(&api::leader(ask)?)
    }

    /// The running containers of a service on all hosts whose engine answers.
    pub fn containers(&self, service: &str) -> Result<Vec<Container>> {
        let mut all = Vec::new();
        for host in &self.hosts {
            if host.power() == Power::On && host.engine().answers() {
                all.extend(api::containers(host, service)?);
            }
        }
        all.retain(|container| container.runs);
        Ok(all)
    }

    /// Waits until `count` tasks of the service run, and exactly their
    /// containers do: none is missing, none runs twice.
    pub fn settled(&self, ask: &Host, service: &str, count: usize) -> Result<Vec<Task>> {
        let what = format!("{count} tasks of {service} with a container each");
        soon(&what, || {
            let all = api::tasks(ask, service)?;
            let running: Vec<Task> = all.iter().filter(|task| task.runs()).cloned().collect();
            ensure!(running.len() == count, "{all:#?}");
            let wanted: BTreeSet<String> = running.iter().map(|t| t.container.clone()).collect();
            let there = self.containers(service)?;
            let there: BTreeSet<String> = there.into_iter().map(|c| c.id).collect();
            ensure!(wanted == there, "containers {there:?} for {running:#?}");
            Ok(running)
        })
    }

    /// Waits until `count` tasks of the service run on hosts other than `lost`;
    /// tells how long after `since` that was.
    pub fn replaced(
        &self,
        ask: &Host,
        service: &str,
        count: usize,
        lost: &[&Host],
        since: &MachineInstant,
    ) -> Result<Took> {
        soon(
            &format!("{count} tasks of {service} to run elsewhere"),
            || {
                let running = api::running(ask, service)?;
                let is_lost = |task: &&Task| lost.iter().any(|host| host.name() == task.node);
                let elsewhere = running.iter().filter(|task| !is_lost(task)).count();
                ensure!(elsewhere == count, "{running:#?}");
                Ok(since.elapsed())
            },
        )
    }

    /// Waits until each of `ask` holds all hosts for alive.
    pub fn all_alive(&self, ask: &[&Host]) -> Result<()> {
        for host in ask {
            soon(&format!("{} to know everyone", host.name()), || {
                let members = api::members(host)?;
                let alive = members.iter().filter(|member| member.state == "alive");
                ensure!(alive.count() == self.hosts.len(), "{members:#?}");
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Waits until every member is ready and every manager reachable, as each
    /// of the managers in `ask` sees it.
    pub fn complete(&self, ask: &[&Host]) -> Result<()> {
        for host in ask {
            soon(&format!("{} to see everyone", host.name()), || {
                let nodes = api::nodes(host)?;
                let well = |node: &api::Node| {
                    node.state == "ready" && ["", "reachable"].contains(&&*node.reachability)
                };
                ensure!(
                    nodes.len() == self.hosts.len() && nodes.iter().all(well),
                    "{nodes:#?}"
                );
                Ok(())
            })?;
        }
        Ok(())
    }
}
