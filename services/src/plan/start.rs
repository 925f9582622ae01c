//! Prepared tasks are told to run once their delay has passed and the task
//! before them has stopped.

use std::time::Duration;

use super::draft::{Draft, Place};
use super::slot::{Slot, is_live};
use crate::object::{Task, TaskState};

/// An older task that does not stop for so long is not waited for.
const OLD_TASK_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn release(draft: &mut Draft) {
    for service in draft.services() {
        for slot in draft.slots(service.id).iter() {
            for task in slot.live() {
                if task.desired < TaskState::Running && may_run(draft, slot, task) {
                    draft.set_desired(task, TaskState::Running);
                }
            }
        }
    }
}

fn may_run(draft: &mut Draft, slot: &Slot, task: &Task) -> bool {
    if draft.effective(task).state.is_final() {
        return false;
    }
    let stops = |other: &Task| {
        !is_live(other) && draft.occupies(other) && draft.place(other) != Place::Down
    };
    let waits = slot.tasks.iter().any(|other| stops(other));
    draft.has_come(task.not_before)
        && (!waits || draft.has_come(task.meta.created + OLD_TASK_TIMEOUT))
}
