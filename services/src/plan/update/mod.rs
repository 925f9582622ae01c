//! Rolling updates and rollbacks (swarmkit's updater).
//!
//! Nothing of an update is remembered but its status. A slot takes part if it
//! has a task of an older spec; its *attempts* are the tasks of the wanted
//! spec made since the update began. From these follow how many slots are
//! under way, which failed early, and when the last one settled. Whatever
//! replaces a task of an older spec meanwhile, a restart for one, is of the
//! wanted spec and counts as an attempt. Where the slots are nodes, those that
//! get no new tasks for now have no part in it.

mod rollout;

use std::cmp::Reverse;
use std::sync::Arc;

use super::dirt::Dirt;
use super::draft::{Draft, NewTask};
use super::per_node::Sites;
use super::restart;
use super::slot::is_live;
use crate::command::Change;
use crate::id::Id;
use crate::object::{Service, Task, TaskState, UpdateState, UpdateStatus};
use crate::spec::UpdateOrder;
use crate::time::Timestamp;
use rollout::{Rollout, SlotUpdate};

pub(super) fn roll_out(draft: &mut Draft) {
    for service in draft.services() {
        let rollout = Rollout::of(&service);
        let sites = Sites::of(&service);
        let slots = slots(draft, &service, &sites);
        for slot in &slots {
            retire_superseded(draft, slot, rollout.order);
        }
        // A job runs anew as a whole.
        if service.spec.mode.is_job() {
            continue;
        }
        let state = service.update.as_ref().map(|update| update.state);
        match state {
            None | Some(UpdateState::Completed | UpdateState::RollbackCompleted) => {
                if slots.iter().any(SlotUpdate::is_stale) {
                    begin(draft, &service);
                }
            }
            Some(UpdateState::Paused | UpdateState::RollbackPaused) => {}
            // How many have failed, and whether all is done, is known when all
            // nodes are.
            Some(_) if is_blind(draft, &service, &sites) => {}
            Some(UpdateState::Updating | UpdateState::RollbackStarted) => {
                advance(draft, &service, &rollout, &slots);
            }
        }
    }
}

fn slots(draft: &mut Draft, service: &Service, sites: &Sites) -> Vec<SlotUpdate> {
    let slots = draft.slots(service.id);
    let began = service.update.as_ref().map(|update| update.started);
    let mut dirt = Dirt::new(service);
    let mut is_dirty = |task: &Task| {
        let node = task.node.and_then(|node| draft.state().node(node));
        dirt.is_dirty(task, node.map(Arc::as_ref))
    };
    slots
        .iter()
        .filter(|slot| slot.exists() && sites.are_open(draft, slot.id))
        .map(|slot| SlotUpdate::new(slot, began, &mut is_dirty))
        .collect()
}

fn is_blind(draft: &mut Draft, service: &Service, sites: &Sites) -> bool {
    let slots = draft.slots(service.id);
    let mut slots = slots.iter();
    slots.any(|slot| slot.exists() && sites.are_unheard(draft, slot.id))
}

/// One slot runs one task of the wanted spec. The older one goes before it
/// starts or once it runs, as the order says; of several, the one that got
/// furthest is kept.
fn retire_superseded(draft: &mut Draft, slot: &SlotUpdate, order: UpdateOrder) {
    let clean = furthest(draft, &slot.clean).cloned();
    let takes_over = clean.as_ref().is_some_and(|task| {
        order == UpdateOrder::StopFirst || progress(draft, task) == TaskState::Running
    });
    let dirty = furthest(draft, &slot.dirty)
        .filter(|_| !takes_over)
        .cloned();
    let kept: Vec<Id> = clean.iter().chain(&dirty).map(|task| task.id).collect();
    for task in slot.clean.iter().chain(&slot.dirty) {
        if !kept.contains(&task.id) {
            draft.set_desired(task, TaskState::Shutdown);
        }
    }
}

/// Among equals the oldest.
fn furthest<'a>(draft: &Draft, tasks: &'a [Arc<Task>]) -> Option<&'a Arc<Task>> {
    let rank = |task: &&Arc<Task>| {
        let age = Reverse((task.meta.created, task.id));
        (progress(draft, task), age)
    };
    tasks.iter().max_by_key(rank)
}

/// How close to running; what has ended is not at all, but for a job's.
fn progress(draft: &Draft, task: &Task) -> TaskState {
    match draft.effective(task).state {
        TaskState::Complete if task.spec.mode.is_job() => TaskState::Complete,
        state if state.is_final() => TaskState::New,
        state => state,
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
    draft.create_task(service, slot.id, how);
}

fn act_on_failure(
    draft: &mut Draft,
    service: &Service,
    update: &UpdateStatus,
    rollout: &Rollout,
    failed: Id,
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
