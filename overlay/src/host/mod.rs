//! The kernel's part: makes rules, routes and switches of this host agree with
//! a [`Table`], and removes all of it again.
//!
//! [`Host::apply`] takes the whole table and no hint of what changed; it may be
//! called again at any time, and heals what others broke of routes and
//! switches. Of rules it remembers what it has said and says the difference;
//! [`Host::forget`] makes it say everything.
//!
//! Everything acts on the network namespace of the thread that opened it.

mod conntrack;
mod docker;
mod doctor;
mod netlink;
mod nft;
mod routes;
mod sysctl;

use std::io;

pub use doctor::Finding;

use crate::names::Names;
use crate::rules::{self, Ruleset};
use crate::table::Table;
use conntrack::Stale;
use netlink::Netlink;

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
    /// What the kernel has, as far as it is known.
    applied: Option<(Ruleset, Table)>,
}

impl Host {
    /// Must be called within a tokio runtime. Changes nothing yet.
    pub fn open(names: Names) -> Result<Self> {
        let netlink = Netlink::open()?;
        let applied = None;
        Ok(Self {
            names,
            netlink,
            applied,
        })
    }

    /// Whether the kernel holds rules of ours: an earlier run has left them.
    pub async fn has_rules(&self) -> bool {
        nft::list(&self.names.table).await.is_ok()
    }

    /// Makes the kernel agree with `table`.
    ///
    /// Call it again when the TUN device or a veth was made anew: their routes
    /// went with the old one.
    pub async fn apply(&mut self, table: &Table) -> Result<Applied> {
        // Rules come before routes: nothing is reachable before it is guarded.
        let rules = rules::ruleset(&self.names, table);
        let said = self.say(&rules).await?;
        let before = self.applied.replace((rules, table.clone()));
        let flows = match before {
            Some((_, before)) => Stale::between(&before, table).forget().await?,
            None => 0,
        };
        let links = self.netlink.links().await?;
        sysctl::apply(&self.names, table, &links)?;
        let routes = routes::apply(&self.netlink, &self.names, table, &links).await?;
        Ok(Applied {
            rules: said,
            routes,
            flows,
        })
    }

    /// What the kernel has is no longer trusted: the next [`Self::apply`] says
    /// every rule.
    pub fn forget(&mut self) {
        self.applied = None;
    }

    /// Gets packets of ours past the firewall of the local engine, which
    /// refuses to forward what it does not know. To be called at the start and
    /// whenever the engine is back. Does nothing where no engine has been.
    pub async fn pass_engine(&self) -> Result<()> {
        docker::accept(&self.names).await
    }

    /// What is missing or wrong on this host, in words for `network doctor`.
    pub async fn diagnose(&self, table: &Table) -> Result<Vec<Finding>> {
        doctor::diagnose(&self.netlink, &self.names, table).await
    }

    /// Leaves no rule, route, address or interface of ours. What fails is
    /// passed over and said in the end.
    pub async fn clean_up(self) -> Result<()> {
        let Self { names, netlink, .. } = self;
        let steps = [
            docker::withdraw(&names).await,
            routes::remove(&netlink, &names).await,
            nft::run(&format!(
                "add table inet {0}\ndelete table inet {0}\n",
                names.table
            ))
            .await,
        ];
        steps.into_iter().collect()
    }

    /// The size of what was said. A difference that the kernel refuses means
    /// that someone else touched the table: then everything is said.
    async fn say(&self, rules: &Ruleset) -> Result<usize> {
        if let Some((before, _)) = &self.applied {
            let change = rules.since(before);
            if change.is_empty() {
                return Ok(0);
            }
            match nft::run(&change).await {
                Ok(_) => return Ok(change.len()),
                Err(error) => {
                    tracing::warn!(%error, "rules are not as they were left: writing all of them")
                }
            }
        }
        let whole = rules.whole();
        nft::run(&whole).await?;
        Ok(whole.len())
    }
}

#[cfg(test)]
mod tests;
