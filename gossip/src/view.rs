//! What this node believes of the others.

use std::sync::Arc;
use std::time::Duration;

use certs::NodeId;

use crate::facts::Facts;

/// Time since a fixed moment of this process; nobody sets this clock.
pub type Moment = Duration;

/// One peer, as this node sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub id: NodeId,
    pub liveness: Liveness,
    /// Raised by its owner alone, to refute that it is dead.
    pub incarnation: u64,
    /// When `liveness` became what it is.
    pub since: Moment,
    /// Its facts; `None` while they are still being fetched.
    pub facts: Option<Arc<Facts>>,
    /// Where it answered last, or where it says that it does.
    pub addr: Option<std::net::SocketAddr>,
    /// Of the connection to it, where there is one.
    pub round_trip: Option<Duration>,
    /// The last word from it that reached this node, by whichever way.
    pub last_heard: Option<Moment>,
    pub through: Through,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Liveness {
    Alive,
    /// This node, which watches it, hears nothing and asks its other watchers.
    Suspect,
    /// Its watchers agree that it is silent: the one that said so, and how
    /// many agreed with it.
    Dead {
        by: NodeId,
        witnesses: u8,
    },
    /// It said that it goes.
    Left,
}

/// How this node knows that a peer lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Through {
    /// Itself.
    Me,
    /// It watches the peer and hears it.
    Direct,
    /// It watches the peer, does not hear it, and this other watcher does.
    Peer(NodeId),
    /// Others watch the peer and have not said that it is dead.
    Watchers,
}
