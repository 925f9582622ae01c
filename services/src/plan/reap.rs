//! Tasks that nobody needs any more are forgotten: those being removed once
//! they stopped, and what a slot has beyond its history.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::dirt::Dirt;
use super::draft::{Draft, Place};
use super::slot::{Slot, is_live};
use crate::command::Change;
use crate::id::Id;
use crate::object::{Service, Task, TaskState, UpdateState};
use crate::observed::NodeHealth;
use crate::spec::defaults;
use crate::time::Timestamp;

/// While an update watches for failures, a slot keeps at least its live task
/// and the two before it.
const HISTORY_OF_UPDATE: u64 = 3;

pub(super) fn forget(draft: &mut Draft) {
    let mut obsolete: BTreeSet<Id> = draft
        .state()
        .tasks()
        .filter(|task| task.desired == TaskState::Remove)
        .filter(|task| !draft.occupies(task) && !keeps_its_own(draft, task))
        .map(|task| task.id)
        .collect();
    let cluster = draft.state().cluster();
    let limit = cluster.map_or(defaults::TASK_HISTORY, |it| it.spec.task_history);
    for service in draft.services() {
        let limit = if updating_since(&service).is_some() {
            limit.max(HISTORY_OF_UPDATE)
        } else {
            limit
        };
        for slot in draft.slots(service.id).iter() {
            beyond_history(draft, &service, slot, limit, &mut obsolete);
            found_again(draft, &service, slot, &mut obsolete);
        }
    }
    for id in obsolete {
        draft.emit(Change::DeleteTask { id });
    }
}

fn was_given_anything(task: &Task) -> bool {
    !task.addresses.is_empty() || !task.generic.is_empty()
}

/// Whether what it was given is nobody else's yet: where it is lost, it may still
/// run, and its node may come back any time.
fn keeps_its_own(draft: &Draft, task: &Task) -> bool {
    let given_up = task.status.state == TaskState::Orphaned;
    given_up && was_given_anything(task) && draft.place(task) == Place::Down
}

fn updating_since(service: &Service) -> Option<Timestamp> {
    let update = service.update.as_ref()?;
    let active = matches!(
        update.state,
        UpdateState::Updating | UpdateState::RollbackStarted
    );
    active.then_some(update.started)
}

/// As in Docker, the limit counts the live task too.
fn beyond_history(
    draft: &Draft,
    service: &Service,
    slot: &Slot,
    limit: u64,
    obsolete: &mut BTreeSet<Id>,
) {
    let members: Vec<&Arc<Task>> = slot.members().collect();
    let excess = members
        .len()
        .saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
    if excess == 0 {
        return;
    }
    let needed = needed(draft, service, slot);
    let dead = members.into_iter().filter(|task| {
        let is_over = !is_live(task) && task.status.state.is_final();
        is_over && !needed.contains(&task.id) && !keeps_its_own(draft, task)
    });
    obsolete.extend(dead.take(excess).map(|task| task.id));
}

/// Tasks that were given up with their node, which has come back without them:
/// nobody needs to wait for what they were given.
fn found_again(draft: &Draft, service: &Service, slot: &Slot, obsolete: &mut BTreeSet<Id>) {
    let is_back = |task: &&Arc<Task>| {
        let node = task.node.and_then(|node| draft.observed().nodes.get(&node));
        task.status.state == TaskState::Orphaned
            && was_given_anything(task)
            && node.is_some_and(|node| node.health == NodeHealth::Ready)
            && !draft.occupies(task)
    };
    let mut back = slot.members().filter(is_back).peekable();
    if back.peek().is_some() {
        let needed = needed(draft, service, slot);
        obsolete.extend(back.map(|task| task.id).filter(|id| !needed.contains(id)));
    }
}

/// What later decisions are made from, whatever the limit.
fn needed(draft: &Draft, service: &Service, slot: &Slot) -> BTreeSet<Id> {
    let Some(newest) = slot.newest() else {
        return BTreeSet::new();
    };
    // How the slot ended.
    let mut needed = BTreeSet::from([newest.id]);
    // Which slots an update is about, and when each of them settled.
    if let Some(began) = updating_since(service) {
        let mut dirt = Dirt::new(service);
        let (dirty, clean): (Vec<_>, Vec<_>) =
            slot.members().partition(|task| dirt.is_dirty(task, None));
        let first = clean.iter().find(|task| task.meta.created >= began);
        needed.extend(dirty.last().into_iter().chain(first).map(|task| task.id));
    }
    // How often it was restarted.
    let policy = service.spec.task.restart.as_ref();
    let attempts = policy.and_then(|policy| policy.max_attempts).unwrap_or(0);
    if attempts > 0 {
        let window = policy.and_then(|policy| policy.window).unwrap_or_default();
        let counts = |task: &&Arc<Task>| {
            task.spec_version == newest.spec_version
                && (window.is_zero() || draft.now().since(task.meta.created) < window)
        };
        let kept = usize::try_from(attempts)
            .unwrap_or(usize::MAX)
            .saturating_add(1);
        needed.extend(
            slot.members()
                .rev()
                .filter(counts)
                .take(kept)
                .map(|it| it.id),
        );
    }
    needed
}
