//! Performs what the machine decides, over libp2p on the control endpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::{fmt, io};

use certs::{Credentials, NodeId, Peer};
use futures::future::BoxFuture;
use quinn::Connection;
use tokio::sync::watch;

use crate::facts::Facts;
use crate::view::Member;

/// Opens connections of the protocol [`ALPN`](crate::ALPN) on the control
/// endpoint.
pub trait Dial: Send + Sync + 'static {
    /// A new connection to exactly this node, at this address.
    fn dial(&self, id: NodeId, addr: SocketAddr) -> BoxFuture<'static, io::Result<Connection>>;
}

/// What gossip starts with.
#[derive(Debug)]
pub struct Config {
    pub credentials: Credentials,
    /// Of this node.
    pub facts: Facts,
    /// Where others were last known to answer.
    pub hints: Vec<(NodeId, SocketAddr)>,
}

/// This node's part in the gossip of its swarm. Clones share it.
#[derive(Clone)]
pub struct Gossip(Arc<Shared>);

struct Shared {
    credentials: Credentials,
    facts: watch::Sender<Facts>,
    revoked: watch::Sender<BTreeSet<NodeId>>,
    members: RwLock<BTreeMap<NodeId, Member>>,
    changes: watch::Sender<u64>,
}

impl Gossip {
    /// Begins to gossip. Must be called within a Tokio runtime.
    pub fn start(config: Config, _dial: Arc<dyn Dial>) -> io::Result<Self> {
        Ok(Self(Arc::new(Shared {
            credentials: config.credentials,
            facts: watch::Sender::new(config.facts),
            revoked: watch::Sender::default(),
            members: RwLock::default(),
            changes: watch::Sender::new(0),
        })))
    }

    /// Serves a connection that `peer` has opened, until it ends.
    pub async fn serve(&self, _peer: Peer, connection: Connection) {
        connection.closed().await;
    }

    /// Changes what this node says of itself.
    pub fn publish(&self, change: impl FnOnce(&mut Facts)) {
        self.0.facts.send_if_modified(|facts| {
            let before = facts.clone();
            change(facts);
            *facts != before
        });
    }

    /// Where a node may answer, from a source that knows no better.
    pub fn hint(&self, _id: NodeId, _addrs: Vec<SocketAddr>) {}

    /// All that this node knows of, itself included.
    pub fn members(&self) -> Vec<Member> {
        let members = self.0.members.read();
        let members = members.unwrap_or_else(PoisonError::into_inner);
        members.values().cloned().collect()
    }

    pub fn member(&self, id: NodeId) -> Option<Member> {
        let members = self.0.members.read();
        let members = members.unwrap_or_else(PoisonError::into_inner);
        members.get(&id).cloned()
    }

    /// Where a node says that it answers; empty where that is not known.
    pub fn addrs(&self, id: NodeId) -> Vec<SocketAddr> {
        let facts = self.member(id).and_then(|member| member.facts);
        facts.map(|facts| facts.addrs.clone()).unwrap_or_default()
    }

    /// Counts the changes of liveness and of facts.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Time since gossip started, as in [`Member::since`].
    pub fn now(&self) -> crate::view::Moment {
        crate::view::Moment::ZERO
    }

    /// Drops these nodes at once, and believes nothing of them any more.
    pub fn set_revoked(&self, nodes: BTreeSet<NodeId>) {
        self.0.revoked.send_if_modified(|revoked| {
            let changed = *revoked != nodes;
            *revoked = nodes;
            changed
        });
    }

    /// Takes up the certificate that the credentials hold now.
    pub fn certificate_changed(&self) {}

    /// Tells the others that this node goes for good.
    pub async fn leave(&self) {}

    /// Ends all connections.
    pub async fn shutdown(&self) {}
}

impl fmt::Debug for Gossip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gossip")
            .field("me", &self.0.credentials.node_id())
            .finish_non_exhaustive()
    }
}
