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

/// What to do next, in the order of the task ids: at most one step per task.
pub fn reconcile(assigned: &Assigned, actual: &Actual) -> Vec<Op> {
    let mut ids: Vec<Id> = assigned.keys().chain(actual.keys()).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter()
        .filter_map(|id| match (assigned.get(&id), actual.get(&id)) {
            (Some(_), Some(local)) if local.busy => None,
            (Some(wanted), Some(local)) => towards(id, wanted.desired, local),
            // Told to stop what is not here: it is accepted and then found
            // stopped, so that its manager hears an outcome.
            (Some(_), None) => Some(Op::Accept(id)),
            (None, Some(local)) => forget(id, local),
            (None, None) => None,
        })
        .collect()
}

fn towards(id: Id, desired: TaskState, local: &LocalTask) -> Option<Op> {
    if local.state.is_final() {
        return None;
    }
    if desired > TaskState::Running {
        return Some(Op::Stop(id));
    }
    match local.state {
        state if state < TaskState::Ready => Some(Op::Prepare(id)),
        TaskState::Ready if desired == TaskState::Running => Some(Op::Start(id)),
        _ => None,
    }
}

fn forget(id: Id, local: &LocalTask) -> Option<Op> {
    if local.busy {
        None
    } else if local.has_container && !local.state.is_final() {
        Some(Op::Stop(id))
    } else {
        Some(Op::Remove(id))
    }
}
