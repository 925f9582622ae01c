//! Rolling updates and rollbacks (swarmkit's updater).
//!
//! Nothing of an update is remembered but its status. A slot takes part if it
//! has a task of an older spec; its *attempts* are the tasks of the wanted
//! spec made since the update began. From these follow how many slots are
//! under way, which failed early, and when the last one settled. Whatever
//! replaces a task of an older spec meanwhile, a restart for one, is of the
//! wanted spec and counts as an attempt.

mod rollout;

use std::sync::Arc;

use super::dirt::Dirt;
use super::draft::{Draft, NewTask};
use super::restart;
use super::slot::{Slot, is_live};
use crate::command::Change;
use crate::object::{Service, Task, TaskState, UpdateState, UpdateStatus};
use crate::spec::UpdateOrder;
use crate::time::Timestamp;
use rollout::{Rollout, SlotUpdate};

pub(super) fn roll_out(draft: &mut Draft) {
    for service in draft.services() {
        let rollout = Rollout::of(&service);
        let slots = slots(draft, &service);
        for slot in &slots {
            retire_superseded(draft, slot, rollout.order);
        }
        let state = service.update.as_ref().map(|update| update.state);
        match state {
            None | Some(UpdateState::Completed | UpdateState::RollbackCompleted) => {
                if slots.iter().any(SlotUpdate::is_stale) {
                    begin(draft, &service);
                }
            }
            Some(UpdateState::Paused | UpdateState::RollbackPaused) => {}
            Some(UpdateState::Updating | UpdateState::RollbackStarted) => {
                advance(draft, &service, &rollout, &slots);
            }
        }
    }
}

fn slots(draft: &Draft, service: &Service) -> Vec<SlotUpdate> {
    let began = service.update.as_ref().map(|update| update.started);
    let mut dirt = Dirt::new(service);
    let mut is_dirty = |task: &Task| {
        let node = task.node.and_then(|node| draft.state().node(node));
        dirt.is_dirty(task, node.map(Arc::as_ref))
    };
    draft
        .slots(service.id)
        .into_iter()
        .filter(Slot::exists)
        .map(|slot| SlotUpdate::new(&slot, began, &mut is_dirty))
        .collect()
}

/// One slot runs one task of the wanted spec, and the older ones go: before
/// it starts or once it runs, as the order says.
fn retire_superseded(draft: &mut Draft, slot: &SlotUpdate, order: UpdateOrder) {
    let progress = |task: &Task| match draft.effective(task).state {
        state if state.is_final() => TaskState::New,
        state => state,
    };
    let Some(best) = slot.clean.iter().max_by_key(|task| {
        let age = std::cmp::Reverse((task.meta.created, task.id));
        (progress(task), age)
    }) else {
        return;
    };
    let takes_over = order == UpdateOrder::StopFirst || progress(best) == TaskState::Running;
    let spare = slot.clean.iter().filter(|task| task.id != best.id);
    let older = slot.dirty.iter().filter(|_| takes_over);
    for task in spare.chain(older) {
        draft.set_desired(task, TaskState::Shutdown);
    }
}

fn begin(draft: &mut Draft, service: &Service) {
    let now = draft.now();
    let status = UpdateStatus::begun(UpdateState::Updating, now, "update in progress");
    set_status(draft, service, status);
}

fn set_status(draft: &mut Draft, service: &Service, status: UpdateStatus) {
    draft.emit(Change::SetUpdateStatus {
        service: service.id,
        spec_version: service.spec_version,
        status,
    });
}

fn advance(draft: &mut Draft, service: &Service, rollout: &Rollout, slots: &[SlotUpdate]) {
    let Some(update) = &service.update else {
        return;
    };
    if let Some(failed) = rollout.failed(draft, slots) {
        act_on_failure(draft, service, update, rollout, failed);
        return;
    }
    let mut free = rollout
        .parallelism
        .saturating_sub(rollout.under_way(draft, slots));
    for slot in slots.iter().filter(|slot| slot.is_stale()) {
        let how = match slot.attempts.last() {
            // Its task of the older spec still runs: try again beside it.
            Some(failed) => restart::replacement_of(draft, failed),
            None if free == 0 => continue,
            None => {
                free -= 1;
                NewTask::prepared(draft.now(), 0)
            }
        };
        replace(draft, service, slot, rollout.order, how);
    }
    let settled = rollout.settled(draft, slots);
    if settled.is_some_and(|at| draft.has_come(at + rollout.monitor)) {
        complete(draft, service, update);
    }
}

fn replace(
    draft: &mut Draft,
    service: &Service,
    slot: &SlotUpdate,
    order: UpdateOrder,
    how: NewTask,
) {
    if order == UpdateOrder::StopFirst {
        for task in slot.dirty.iter().filter(|task| is_live(task)) {
            draft.set_desired(task, TaskState::Shutdown);
        }
    }
    draft.create_task(service, slot.number, how);
}

fn act_on_failure(
    draft: &mut Draft,
    service: &Service,
    update: &UpdateStatus,
    rollout: &Rollout,
    failed: crate::id::Id,
) {
    let rolling_back = update.state == UpdateState::RollbackStarted;
    let reason = format!("due to failure or early termination of task {failed}");
    if rollout.rolls_back && !rolling_back && service.previous_spec.is_some() {
        let message = format!("update rolled back {reason}");
        let status = UpdateStatus::begun(UpdateState::RollbackStarted, draft.now(), message);
        draft.emit(Change::Rollback {
            service: service.id,
            spec_version: service.spec_version,
            status,
        });
        return;
    }
    let (state, what) = match (rolling_back, rollout.rolls_back) {
        // A rollback is never rolled back.
        (true, true) => (UpdateState::RollbackPaused, "rollback"),
        (true, false) => (UpdateState::RollbackPaused, "update"),
        (false, _) => (UpdateState::Paused, "update"),
    };
    let status = UpdateStatus {
        state,
        message: format!("{what} paused {reason}"),
        ..update.clone()
    };
    set_status(draft, service, status);
}

fn complete(draft: &mut Draft, service: &Service, update: &UpdateStatus) {
    let (state, message) = match update.state {
        UpdateState::RollbackStarted => (UpdateState::RollbackCompleted, "rollback completed"),
        _ => (UpdateState::Completed, "update completed"),
    };
    let now: Timestamp = draft.now();
    let status = UpdateStatus {
        state,
        started: update.started,
        completed: Some(now),
        message: message.to_owned(),
    };
    set_status(draft, service, status);
}
