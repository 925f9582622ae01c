//! `swarmlet network doctor`: how devices reach each other over the overlay, and
//! what keeps them from it.
//!
//! Every node can examine itself ([`Diagnose`]): its kernel's rules and routes,
//! its connections, and, by probes, the paths to its peers. The leader asks all of
//! them ([`ask`]) and puts the two halves of each pair together ([`report`]).
//! Where nobody can be asked, a node's own half is better than nothing.

pub mod ask;
pub mod report;

use std::collections::BTreeSet;

use certs::NodeId;
use futures::future::BoxFuture;
use overlay::tunnel;
use serde::{Deserialize, Serialize};
use services::Id;

/// What one node says of its part of the overlay. It travels as JSON, so that
/// releases may add to it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Diagnosis {
    /// Why no container can be connected at all.
    pub fault: Option<String>,
    /// What is missing or wrong in the kernel, in words.
    pub findings: Vec<String>,
    /// Those that a container of this node is on.
    pub networks: Vec<Shared>,
    /// Bytes of the largest packet that a container sends.
    pub mtu: u16,
    pub tunnel: tunnel::Report,
}

/// A network, and who else is on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    pub id: Id,
    pub name: String,
    pub nodes: BTreeSet<NodeId>,
}

/// A node that can be examined.
pub trait Diagnose: Send + Sync + 'static {
    /// Takes a second or two, for probes of the peers.
    fn diagnose(&self) -> BoxFuture<'_, Diagnosis>;
}

/// A node that runs without the overlay.
#[derive(Debug, Clone, Copy)]
pub struct Absent;

impl Diagnose for Absent {
    fn diagnose(&self) -> BoxFuture<'_, Diagnosis> {
        Box::pin(async {
            Diagnosis {
                fault: Some("this node runs without the overlay".into()),
                ..Diagnosis::default()
            }
        })
    }
}
