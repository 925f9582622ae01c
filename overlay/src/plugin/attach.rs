//! Who gives addresses to containers that no task stands for: a manager, so
//! that nothing is given twice in the swarm. Whoever runs the plugin asks it.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::net::IpAddr;

use futures::future::BoxFuture;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::directory::NetworkId;

/// Of one container on one network, 128 bits as in the swarm's ids.
pub type AttachmentId = u128;

/// What a container is to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Chosen by who asks, at random. Asked again with the same, the same
    /// attachment is changed.
    pub id: AttachmentId,
    pub network: NetworkId,
    /// Those that a user named; what is not named is chosen.
    pub addrs: Vec<IpAddr>,
}

/// What it got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// One per subnet of the network, with its prefix length.
    pub addrs: Vec<IpNet>,
    /// The manager's signature for it, which every node can check.
    pub ticket: Vec<u8>,
}

pub trait Attach: Debug + Send + Sync {
    /// Asks for addresses, and gives up within seconds where nobody answers.
    ///
    /// # Errors
    /// Why there are none, for the user of the engine. Managers may hold an
    /// attachment of this id all the same, until they are told otherwise by
    /// [`Attach::hold`].
    fn attach(&self, wanted: Wanted) -> BoxFuture<'_, Result<Grant, String>>;

    /// From now on these are this node's attachments, those that are being
    /// asked for among them. All others that managers hold for it are free;
    /// they are told so as soon as one is in reach.
    fn hold(&self, held: BTreeSet<AttachmentId>);
}

/// A container with a link, which a user put on a network by himself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    pub network: NetworkId,
    pub addrs: Vec<IpAddr>,
    pub ticket: Vec<u8>,
    /// Its place on the network, and the network, as the engine calls them.
    pub endpoint: String,
    pub engine_network: String,
}
