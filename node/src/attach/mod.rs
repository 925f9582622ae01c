//! Containers that users put on attachable networks by themselves.
//!
//! `docker run --network web` goes to the engine, which asks this node's network
//! driver for an address, which asks here. A manager picks one, has it agreed
//! on, and signs for it ([`serve`]); the node keeps what it holds and gives back
//! what it does not ([`client`]), and tells the others by gossip where the
//! container is and how it is called ([`announce`]).

pub mod announce;
pub mod client;
mod pace;
pub mod serve;

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use services::Id;

pub use client::Client;
pub use pace::Pace;
pub use serve::tickets;

/// What a node asks of a manager, for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Addresses for a container, those of `wanted` among them. Asked again, the
    /// same attachment is given again, with what is wanted now.
    Give {
        id: Id,
        network: Id,
        wanted: Vec<IpAddr>,
    },
    /// What managers think that the node holds.
    List,
    /// The node holds these no more.
    Remove { ids: Vec<Id> },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    Given {
        addrs: Vec<IpNet>,
        ticket: Vec<u8>,
    },
    Listed {
        ids: Vec<Id>,
    },
    Removed,
    /// By what was agreed on: every manager says the same.
    Refused {
        reason: String,
    },
    /// This manager cannot say now; another one may.
    Unable {
        reason: String,
    },
}
