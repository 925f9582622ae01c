//! The kernel's part: makes rules, routes and switches of this host agree with
//! a [`Table`], and removes all of it again.
//!
//! [`Host::apply`] takes the whole table and no hint of what changed; it may be
//! called again at any time, and heals what others broke of routes and
//! switches. Of rules it remembers what it has said and says the difference,
//! until [`Host::disturbed`] has seen that someone else took some away.
//!
//! Everything acts on the network namespace of the thread that opened it.

mod conntrack;
mod docker;
mod doctor;
mod held;
mod message;
mod netlink;
mod nft;
mod routes;
mod sysctl;
mod watch;

use std::io;

pub use docker::is_heard as hears_engine;
pub use doctor::Finding;
pub use held::{HeldPorts, TakenPort, free_port};
pub use routes::{Rival, Rivals};
pub use sysctl::has_ipv6;

use crate::names::Names;
use crate::rules::{self, Ruleset};
use crate::table::Table;
use conntrack::Stale;
use netlink::{Links, Netlink};
pub use watch::Disturbance;
use watch::Watch;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel keeps the rules that it had: a transaction is whole or nothing.
    #[error("nft refused the rules: {0}")]
    Rules(String),
    /// What was asked for before is in place; the next `apply` goes on.
    #[error("{what}: {source}")]
    Netlink {
        what: String,
        source: rtnetlink::Error,
    },
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("the program {0} is not installed (nft is in the package nftables)")]
    NotInstalled(&'static str),
    #[error("{0} did not end within {1} s")]
    TimedOut(&'static str, u64),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What one [`Host::apply`] has said to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// Of text for nftables; 0 where no rule changed.
    pub rules: usize,
    /// Added and removed.
    pub routes: usize,
    /// Forgotten, so that their clients move.
    pub flows: usize,
}

/// This host's kernel.
#[derive(Debug)]
pub struct Host {
    names: Names,
    netlink: Netlink,
    watch: Watch,
    /// Those that the kernel has, as far as it is known.
    rules: Option<Ruleset>,
    /// What was asked for last.
    table: Option<Table>,
    rivals: Rivals,
    /// Forwarding was off before, and the engine has not been told.
    opened: bool,
}

impl Host {
    /// Must be called within a tokio runtime. Changes nothing yet.
    pub fn open(names: Names) -> Result<Self> {
        let netlink = Netlink::open()?;
        let watch = Watch::open(names.clone(), netlink.port()).map_err(unwatched)?;
        Ok(Self {
            names,
            netlink,
            watch,
            rules: None,
            table: None,
            rivals: Rivals::new(),
            opened: false,
        })
    }

    /// Whether the kernel holds rules of ours: an earlier run has left them.
    pub async fn has_rules(&self) -> bool {
        nft::list(&self.names.table).await.is_ok()
    }

    /// Gives packets their ways again while the rules of an earlier run still
    /// guard them: adds the routes that `table` asks for, and removes nothing.
    pub async fn add_routes(&mut self, table: &Table) -> Result<()> {
        let links = self.switch(table).await?;
        routes::add(&self.netlink, &self.names, table, &links).await?;
        Ok(())
    }

    /// Makes the kernel agree with `table`.
    ///
    /// Call it again when the TUN device or a veth was made anew: their routes
    /// went with the old one.
    pub async fn apply(&mut self, table: &Table) -> Result<Applied> {
        let subnets = table.subnets.iter().map(|(net, _)| net);
        if self.watch.begin(subnets).map_err(unwatched)? {
            self.rules = None;
        }
        // Rules come before routes: nothing is reachable before it is guarded.
        let rules = rules::ruleset(&self.names, table);
        let said = self.say(&rules).await?;
        self.rules = Some(rules);
        let links = self.switch(table).await?;
        let routed = routes::apply(&self.netlink, &self.names, table, &links).await?;
        self.rivals = routed.rivals;
        let stale = match &self.table {
            Some(before) => Stale::between(before, table),
            None => Stale::of_an_earlier_run(table),
        };
        let flows = stale.forget().await?;
        self.table = Some(table.clone());
        self.watch.settle().map_err(unwatched)?;
        Ok(Applied {
            rules: said,
            routes: routed.changed,
            flows,
        })
    }

    /// What the last [`Self::apply`] could not route, and why.
    pub fn rivals(&self) -> &Rivals {
        &self.rivals
    }

    /// Waits until another program has taken away rules, routes or addresses of
    /// ours or leads some elsewhere, also while [`Self::apply`] was at work; the
    /// next one brings back what can be. May be dropped at any time and called
    /// again.
    pub async fn disturbed(&mut self) -> Result<Disturbance> {
        let heard = self.watch.disturbance().await.map_err(unwatched)?;
        if heard.rules {
            self.rules = None;
        }
        Ok(heard)
    }

    /// Gets packets of ours past the firewall of the local engine, which
    /// refuses to forward what it does not know. To be called at the start and
    /// whenever the engine is back. Does nothing where no engine has been.
    ///
    /// The engine closes its firewall if it finds that the host does not forward
    /// yet. Where it is we who came first, that is done for it.
    pub async fn pass_engine(&mut self) -> Result<()> {
        docker::accept(&self.names).await?;
        if self.opened && docker::close_forward().await? {
            self.opened = false;
        }
        Ok(())
    }

    /// What is missing or wrong on this host, in words for `network doctor`.
    pub async fn diagnose(&self, table: &Table) -> Result<Vec<Finding>> {
        doctor::diagnose(&self.netlink, &self.names, table).await
    }

    /// Leaves no rule, route, address or interface of ours. What fails is
    /// passed over and said in the end.
    pub async fn clean_up(self) -> Result<()> {
        let Self { names, netlink, .. } = self;
        let rules = format!("add table inet {0}\ndelete table inet {0}\n", names.table);
        let steps = tokio::join!(
            docker::withdraw(&names),
            routes::remove(&netlink, &names),
            nft::run(&rules),
        );
        <[Result<()>; 3]>::from(steps).into_iter().collect()
    }

    /// Sets the kernel's switches; the interfaces that there are.
    async fn switch(&mut self, table: &Table) -> Result<Links> {
        let links = self.netlink.links().await?;
        self.opened |= !sysctl::forwards();
        sysctl::apply(&self.names, table, &links)?;
        Ok(links)
    }

    /// The size of what was said. A difference that the kernel refuses means
    /// that someone else touched the table: then everything is said.
    async fn say(&mut self, rules: &Ruleset) -> Result<usize> {
        if let Some(before) = &self.rules {
            let change = rules.since(before);
            if change.is_empty() {
                return Ok(0);
            }
            match self.commit(&change).await {
                Ok(()) => return Ok(change.len()),
                Err(error) => {
                    tracing::warn!(%error, "rules are not as they were left: writing all of them")
                }
            }
        }
        let whole = rules.whole();
        self.commit(&whole).await?;
        Ok(whole.len())
    }

    async fn commit(&mut self, script: &str) -> Result<()> {
        nft::commit(script, |process| self.watch.committed(process)).await
    }
}

fn unwatched(source: io::Error) -> Error {
    let what = "listening to the kernel's changes".to_owned();
    Error::Io { what, source }
}

#[cfg(test)]
mod tests;
