//! What a device of a site says of itself to another that knows the site key.

use std::net::SocketAddr;

use certs::{ClusterId, NodeId};
use serde::{Deserialize, Serialize};

/// Addresses that a view passes on.
pub const MAX_KNOWN: usize = 32;

/// A swarm, by the SHA-256 of its root certificate, as announcements and join
/// tokens name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SwarmDigest(pub [u8; 32]);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// New with every start of the daemon.
    pub id: NodeId,
    /// Grows with every view of this id: an older one is out of date.
    pub sequence: u64,
    pub says: Says,
    /// Where others of the site answer, at most [`MAX_KNOWN`].
    pub knows: Vec<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Says {
    Waiting {
        /// The round in which it asks for everybody's grant to found a swarm.
        proposes: Option<u64>,
        grants: Option<Grant>,
    },
    /// It has everybody's grant. Its next word is that the swarm is there.
    Founding,
    /// It is a manager of this swarm and admits devices of the site.
    Formed {
        swarm: SwarmDigest,
        cluster: ClusterId,
    },
}

/// While this holds, its giver grants nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub candidate: NodeId,
    pub round: u64,
}
