//! How tasks ended becomes part of the state; all that is not final stays
//! with those who saw it, so that a running swarm writes nothing.

use std::sync::Arc;
use std::time::Duration;

use super::draft::{Draft, Place};
use super::slot::is_live;
use crate::bound::{MAX_ERROR, truncate};
use crate::object::{Task, TaskState, TaskStatus};

/// What one task may put into the replicated state, in bytes and entries.
const MAX_MESSAGE: usize = 256;
const MAX_CONTAINER_ID: usize = 128;
const MAX_PORTS: usize = 64;

/// A node that is down for so long is not waited for to tell how it ended.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);

pub(super) fn record(draft: &mut Draft) {
    let open: Vec<Arc<Task>> = draft
        .state()
        .tasks()
        .filter(|task| !task.status.state.is_final())
        .cloned()
        .collect();
    for task in open {
        if let Some(status) = outcome(draft, &task) {
            draft.set_status(&task, bounded(status));
        }
    }
}

fn outcome(draft: &mut Draft, task: &Task) -> Option<TaskStatus> {
    let seen = draft.effective(task);
    if seen.state.is_final() {
        return Some(with_reason(task, seen));
    }
    match draft.place(task) {
        Place::Unassigned if !is_live(task) => Some(TaskStatus::at(
            TaskState::Shutdown,
            draft.now(),
            "shut down before it was assigned",
        )),
        Place::Gone => {
            let error = "its node was removed from the swarm";
            Some(TaskStatus::orphaned(draft.now(), error))
        }
        Place::Down => {
            let down = draft.observed().nodes.get(&task.node?)?;
            draft.has_come(down.since + GIVE_UP_AFTER).then(|| {
                let error = "its node has been down for 24 hours";
                TaskStatus::orphaned(draft.now(), error)
            })
        }
        _ => None,
    }
}

/// A task that was stopped for a reason did not just stop.
fn with_reason(task: &Task, seen: &TaskStatus) -> TaskStatus {
    match &task.status.error {
        Some(_) if seen.state == TaskState::Shutdown => TaskStatus {
            state: TaskState::Rejected,
            message: task.status.message.clone(),
            error: task.status.error.clone(),
            ..seen.clone()
        },
        _ => seen.clone(),
    }
}

/// Nodes are trusted with their tasks, not with the managers' memory.
fn bounded(mut status: TaskStatus) -> TaskStatus {
    truncate(&mut status.message, MAX_MESSAGE);
    status.ports.truncate(MAX_PORTS);
    if let Some(error) = &mut status.error {
        truncate(error, MAX_ERROR);
    }
    if let Some(container) = &mut status.container {
        truncate(&mut container.id, MAX_CONTAINER_ID);
    }
    status
}
