//! What the tasks tell of an update that is under way.

use std::sync::Arc;
use std::time::Duration;

use crate::id::Id;
use crate::object::{Service, SlotId, Task, TaskState, TaskStatus, UpdateState};
use crate::plan::draft::Draft;
use crate::plan::restart::ended_by_itself;
use crate::plan::slot::{Slot, is_live};
use crate::spec::{FailureAction, UpdateConfig, UpdateOrder, defaults};
use crate::time::Timestamp;

/// One slot as the update sees it; tasks are oldest first.
pub(super) struct SlotUpdate {
    pub(super) id: SlotId,
    /// Live tasks that are not what is wanted.
    pub(super) dirty: Vec<Arc<Task>>,
    /// Live tasks that are.
    pub(super) clean: Vec<Arc<Task>>,
    /// Tasks of the wanted spec, live or not, that the update made here.
    pub(super) attempts: Vec<Arc<Task>>,
    /// No task is live, and the last one was not what is wanted.
    ended_dirty: bool,
}

impl SlotUpdate {
    pub(super) fn new(
        slot: &Slot,
        began: Option<Timestamp>,
        is_dirty: &mut impl FnMut(&Task) -> bool,
    ) -> Self {
        let (dirty, clean): (Vec<_>, Vec<_>) =
            slot.members().cloned().partition(|task| is_dirty(task));
        let takes_part = !dirty.is_empty();
        let began = began.filter(|_| takes_part);
        let made_since = |task: &&Arc<Task>| began.is_some_and(|it| task.meta.created >= it);
        let attempts = clean.iter().filter(made_since).cloned().collect();
        let nothing_lives = slot.live().next().is_none();
        let last_is_dirty = slot.newest().is_some_and(|task| is_dirty(task));
        let live = |tasks: Vec<Arc<Task>>| tasks.into_iter().filter(|it| is_live(it)).collect();
        Self {
            id: slot.id,
            dirty: live(dirty),
            clean: live(clean),
            attempts,
            ended_dirty: nothing_lives && last_is_dirty,
        }
    }

    /// Nothing here is what is wanted.
    pub(super) fn is_stale(&self) -> bool {
        self.clean.is_empty() && (!self.dirty.is_empty() || self.ended_dirty)
    }

    fn takes_part(&self) -> bool {
        self.is_stale() || !self.attempts.is_empty()
    }
}

/// How to roll out: the service's configuration with defaults filled in.
pub(super) struct Rollout {
    pub(super) parallelism: usize,
    pub(super) monitor: Duration,
    pub(super) order: UpdateOrder,
    pub(super) rolls_back: bool,
    delay: Duration,
    continues: bool,
    max_failure_ratio: f64,
}

impl Rollout {
    pub(super) fn of(service: &Service) -> Self {
        let back = matches!(
            service.update.as_ref().map(|update| update.state),
            Some(UpdateState::RollbackStarted | UpdateState::RollbackPaused)
        );
        let said = if back {
            &service.spec.rollback
        } else {
            &service.spec.update
        };
        let config = said.clone().unwrap_or_else(|| UpdateConfig {
            parallelism: defaults::UPDATE_PARALLELISM,
            ..UpdateConfig::default()
        });
        let action = config.failure_action.unwrap_or_default();
        Self {
            parallelism: match config.parallelism {
                0 => usize::MAX,
                some => usize::try_from(some).unwrap_or(usize::MAX),
            },
            monitor: config.monitor.unwrap_or(defaults::UPDATE_MONITOR),
            order: config.order.unwrap_or_default(),
            rolls_back: action == FailureAction::Rollback,
            delay: config.delay.unwrap_or_default(),
            continues: action == FailureAction::Continue,
            max_failure_ratio: config.max_failure_ratio,
        }
    }

    /// The latest task that failed early, where too many slots have one.
    pub(super) fn failed(&self, draft: &Draft, slots: &[SlotUpdate]) -> Option<Id> {
        if self.continues {
            return None;
        }
        let failed_early = |task: &&Arc<Task>| self.ended_early(draft.effective(task));
        let failures: Vec<&Arc<Task>> = slots
            .iter()
            .filter_map(|slot| slot.attempts.iter().rfind(failed_early))
            .collect();
        let total = slots.iter().filter(|slot| slot.takes_part()).count();
        let latest = failures
            .iter()
            .max_by_key(|task| (draft.effective(task).at, task.id))?;
        let ratio = failures.len() as f64 / total as f64;
        (ratio > self.max_failure_ratio).then_some(latest.id)
    }

    fn ended_early(&self, status: &TaskStatus) -> bool {
        let soon = |started| status.at.since(started) <= self.monitor;
        ended_by_itself(status) && status.started.is_none_or(soon)
    }

    /// Slots whose attempt is on its way, or settled less than the delay ago.
    pub(super) fn under_way(&self, draft: &mut Draft, slots: &[SlotUpdate]) -> usize {
        let busy = |slot: &&SlotUpdate| match settled_at(draft, slot) {
            Some(at) => !draft.has_come(at + self.delay),
            None => !slot.attempts.is_empty(),
        };
        slots.iter().filter(busy).count()
    }

    /// When the last slot settled. `None` while there is more to do.
    pub(super) fn settled(&self, draft: &Draft, slots: &[SlotUpdate]) -> Option<Timestamp> {
        let mut last = Timestamp::default();
        for slot in slots {
            if slot.is_stale() {
                return None;
            }
            if !slot.attempts.is_empty() {
                last = last.max(settled_at(draft, slot)?);
            }
        }
        Some(last)
    }
}

/// When an attempt in this slot first ran or ended; `None` before. Attempts
/// that were taken back are no longer waited for.
fn settled_at(draft: &Draft, slot: &SlotUpdate) -> Option<Timestamp> {
    let reached = |task: &Arc<Task>| {
        let status = draft.effective(task);
        let ran = status.started.or(Some(status.at));
        ran.filter(|_| status.state >= TaskState::Running && status.state != TaskState::Orphaned)
    };
    let first = slot.attempts.iter().filter_map(reached).min();
    let given_up = || {
        let all = slot.attempts.iter().all(|task| !is_live(task));
        let latest = slot.attempts.iter().map(|task| task.meta.updated).max();
        latest.filter(|_| all)
    };
    let at = first.or_else(given_up)?;
    // A node's clock may run ahead.
    Some(at.min(draft.now()))
}
