//! What is seen, as opposed to what is wanted: never replicated, rebuilt from
//! the sessions' reports after a change of leader.
//!
//! Its times are compared with the planner's `now`: whoever fills it in
//! stamps reports by the manager's clock, or corrects the worker's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::object::TaskStatus;
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observed {
    /// A node that is missing here is [`NodeHealth::Unknown`].
    pub nodes: BTreeMap<Id, NodeObserved>,
    /// The newest report of each task that some session told of.
    pub tasks: BTreeMap<Id, TaskStatus>,
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
