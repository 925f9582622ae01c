//! What is seen, as opposed to what is wanted: never replicated, rebuilt from
//! the sessions' reports after a change of leader.
//!
//! Its times are compared with the planner's `now`: whoever fills it in
//! stamps reports by the manager's clock, or corrects the worker's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::object::{CaDigest, TaskStatus};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observed {
    /// A node that is missing here is [`NodeHealth::Unknown`].
    pub nodes: BTreeMap<Id, NodeObserved>,
    /// The newest report of each task that some session told of.
    pub tasks: BTreeMap<Id, TaskStatus>,
    /// What the nodes that are heard of have of the swarm's CA.
    pub trust: BTreeMap<Id, NodeTrust>,
}

/// What a node's identity rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTrust {
    /// The CAs that it trusts, the one that join tokens name first.
    pub roots: Vec<CaDigest>,
    /// The one of them that issued its certificate.
    pub issuer: Option<CaDigest>,
    /// All tickets of its endpoints are of `issuer`.
    pub has_tickets: bool,
}

impl NodeTrust {
    /// Whether the node could do without any other CA than this one.
    pub fn suffices(&self, ca: &CaDigest) -> bool {
        self.issuer.as_ref() == Some(ca) && self.has_tickets
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeObserved {
    pub health: NodeHealth,
    /// Since when it has been so.
    pub since: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeHealth {
    /// Not heard of since this leader took over: neither used nor given up.
    Unknown,
    Ready,
    /// Given up: its tasks are replaced. The reason is for people.
    Down {
        reason: String,
    },
}

impl NodeHealth {
    /// As Docker shows it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ready => "ready",
            Self::Down { .. } => "down",
        }
    }
}
