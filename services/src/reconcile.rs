//! The worker's decision: from what is assigned and what is there to what
//! must be done next. It takes the whole of both and no hint of what changed;
//! it has no memory and no retries, and what it returns is at most one step
//! per task.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::assignment::Assignment;
use crate::id::Id;
use crate::object::TaskState;

pub type Assigned = BTreeMap<Id, Assignment>;
pub type Actual = BTreeMap<Id, LocalTask>;

/// A task as the agent knows it on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalTask {
    /// How far it got here; a task that was only just assigned is ACCEPTED.
    pub state: TaskState,
    /// A step is under way: nothing more is asked until it ends.
    pub busy: bool,
    /// A container exists in the engine.
    pub has_container: bool,
}

/// One step for one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// Note the task and report it ACCEPTED.
    Accept(Id),
    /// Have the image, create the container. → READY or REJECTED
    Prepare(Id),
    /// → STARTING, then RUNNING (healthy, where there is a check) or FAILED
    Start(Id),
    /// Signal, wait for the grace period, kill. → SHUTDOWN
    Stop(Id),
    /// Delete the container and all that is known of the task.
    Remove(Id),
}
