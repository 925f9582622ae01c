//! Tasks that are to end well, so many in all and so many at a time
//! (swarmkit's orchestrators of jobs).
//!
//! Each write of a job's spec is a new run of it, and tasks are of the run
//! whose spec they have. A slot is done when its task is COMPLETE, and stays
//! so: what is done is neither restarted nor forgotten while its run is the
//! present one. A task that failed is the restart policy's business; one that
//! was lost or stopped runs again whatever the policy says.

use std::collections::BTreeMap;

use super::draft::{Draft, NewTask, Place};
use super::restart;
use super::slot::{Slot, is_live};
use crate::object::{Service, SlotId, Task, TaskState};

/// Whether the task has done what a job's task is there for.
pub(super) fn is_done(draft: &Draft, task: &Task) -> bool {
    task.spec.mode.is_job() && draft.effective(task).state == TaskState::Complete
}

/// Whether a task of the present run was made here.
pub(super) fn has_begun(service: &Service, slot: &Slot) -> bool {
    slot.members().any(|task| is_current(service, task))
}

fn is_current(service: &Service, task: &Task) -> bool {
    task.spec_version == service.spec_version
}

/// What is left of earlier runs stops, and is history.
pub(super) fn end_earlier_runs(draft: &mut Draft, service: &Service) {
    for slot in draft.slots(service.id).iter() {
        for task in slot.live().filter(|task| !is_current(service, task)) {
            draft.set_desired(task, TaskState::Shutdown);
        }
    }
}

/// Begins as many slots as may run now, the lowest first.
pub(super) fn go_on(draft: &mut Draft, service: &Service, max_concurrent: u64, total: u64) {
    let slots = draft.slots(service.id);
    let known: BTreeMap<u64, &Slot> = slots
        .iter()
        .filter_map(|slot| match slot.id {
            SlotId::Number(number) => Some((number, slot)),
            SlotId::Node(_) => None,
        })
        .collect();
    for (_, slot) in known.range(total..) {
        for task in &slot.tasks {
            draft.set_desired(task, TaskState::Remove);
        }
    }
    let (mut under_way, mut busy) = (0, 0);
    for slot in slots.iter() {
        under_way += u64::from(is_under_way(draft, service, slot));
        busy += u64::from(is_busy(draft, slot));
    }
    for number in 0..total {
        if under_way >= max_concurrent {
            break;
        }
        let slot = known.get(&number);
        if slot.is_some_and(|slot| has_begun(service, slot)) {
            continue;
        }
        // What still stops here makes room for what comes after it.
        if !slot.is_some_and(|slot| is_busy(draft, slot)) {
            if busy >= max_concurrent {
                continue;
            }
            busy += 1;
        }
        under_way += 1;
        let now = draft.now();
        let how = match slot {
            Some(_) => NewTask::prepared(now, 0),
            None => NewTask::running(now),
        };
        draft.create_task(service, SlotId::Number(number), how);
    }
}

/// Whether the slot has its turn: a task of it is to end well, or is replaced by
/// one that is.
fn is_under_way(draft: &Draft, service: &Service, slot: &Slot) -> bool {
    let mut live = slot.live().peekable();
    match live.peek() {
        Some(_) => live.any(|task| !is_done(draft, task)),
        None => {
            let newest = slot.newest().filter(|newest| is_current(service, newest));
            newest.is_some_and(|newest| restart::may_restart(draft, slot, newest))
        }
    }
}

/// Whether a task of the slot runs, will, or still stops; where a node is
/// lost, nobody waits for it.
fn is_busy(draft: &Draft, slot: &Slot) -> bool {
    let is_busy = |task: &Task| match is_live(task) {
        true => !is_done(draft, task),
        false => draft.occupies(task) && draft.place(task) != Place::Down,
    };
    slot.tasks.iter().any(|task| is_busy(task))
}
