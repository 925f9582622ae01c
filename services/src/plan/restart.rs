//! Tasks that ended or were lost are shut down and, as far as their restart
//! policy allows, replaced (swarmkit's restart supervisor).
//!
//! A replacement is made at once, so that its node can prepare it, and is told
//! to run when its delay has passed. One that fails while it is prepared is
//! only looked at when that delay has passed, and attempts that fail within
//! seconds wait ever longer: no fault is a hot loop.

use std::time::Duration;

use super::draft::{Draft, NewTask, Place};
use super::enforce;
use super::jobs;
use super::per_node::Sites;
use super::slot::Slot;
use crate::object::{Service, Task, TaskState, TaskStatus};
use crate::spec::{Mode, RestartCondition};

/// An attempt that lasts so long has not failed at once.
const SETTLED_AFTER: Duration = Duration::from_secs(30);
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(60);

pub(super) fn replace_ended(draft: &mut Draft) {
    for service in draft.services() {
        let sites = Sites::of(&service);
        for slot in draft.slots(service.id).iter() {
            if slot.exists() {
                replace(draft, &service, &sites, slot);
            }
        }
    }
}

fn replace(draft: &mut Draft, service: &Service, sites: &Sites, slot: &Slot) {
    let mut goes_on = false;
    for task in slot.live() {
        if jobs::is_done(draft, task) {
            goes_on = true;
        } else if is_over(draft, task) {
            draft.set_desired(task, TaskState::Shutdown);
        } else {
            goes_on = true;
        }
    }
    if goes_on {
        return;
    }
    let Some(newest) = slot.newest() else { return };
    if !sites.are_open(draft, slot.id) || !may_begin(service, slot) {
        return;
    }
    if may_restart(draft, slot, newest) {
        let how = replacement_of(draft, newest);
        draft.create_task(service, slot.id, how);
    }
}

/// A job's slots are begun by the job.
fn may_begin(service: &Service, slot: &Slot) -> bool {
    !service.spec.mode.is_job() || jobs::has_begun(service, slot)
}

/// Whether a task that should run never will.
fn is_over(draft: &mut Draft, task: &Task) -> bool {
    match draft.place(task) {
        Place::Gone | Place::Down | Place::Drained => true,
        Place::Unassigned => false,
        Place::Usable => draft.effective(task).state.is_final() && draft.has_come(task.not_before),
    }
}

/// How the task that follows `task` in its slot is made. The delay is for
/// what ended by itself; what was lost with its node is replaced at once.
pub(super) fn replacement_of(draft: &Draft, task: &Task) -> NewTask {
    let status = draft.effective(task);
    if !ended_by_itself(status) {
        return NewTask::prepared(draft.now(), task.failures);
    }
    let failures = if ran_for(status) < SETTLED_AFTER {
        task.failures.saturating_add(1)
    } else {
        0
    };
    let delay = task.spec.task.restart_delay().max(backoff(failures));
    NewTask::prepared(draft.now() + delay, failures)
}

fn ran_for(status: &TaskStatus) -> Duration {
    status
        .started
        .map_or(Duration::ZERO, |started| status.at.since(started))
}

fn backoff(failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else {
        return Duration::ZERO;
    };
    let delay = FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(doublings));
    delay.min(MAX_BACKOFF)
}

/// Whether the restart policy lets the slot go on after `newest`.
pub(super) fn may_restart(draft: &Draft, slot: &Slot, newest: &Task) -> bool {
    let status = draft.effective(newest);
    let mode = &newest.spec.mode;
    if !is_replica(newest) && !ended_by_itself(status) {
        return true;
    }
    let allowed = match newest.spec.task.restart_condition() {
        RestartCondition::Any if mode.is_job() => status.state != TaskState::Complete,
        RestartCondition::Any => true,
        RestartCondition::OnFailure => status.state != TaskState::Complete,
        RestartCondition::None => false,
    };
    let policy = newest.spec.task.restart.as_ref();
    match policy.and_then(|policy| policy.max_attempts) {
        None | Some(0) => allowed,
        Some(max) => {
            let window = policy.and_then(|policy| policy.window).unwrap_or_default();
            allowed && restarts(draft, slot, newest, window) < max
        }
    }
}

/// Rather than by being lost, or stopped because of its node.
pub(super) fn ended_by_itself(status: &TaskStatus) -> bool {
    match status.state {
        TaskState::Complete | TaskState::Failed => true,
        TaskState::Rejected => status.message != enforce::REJECTED,
        _ => false,
    }
}

/// How often the slot was restarted with the spec of `newest`; within
/// `window` of its end, if there is one. What its node has ended is not counted
/// where the policy was not asked about it.
fn restarts(draft: &Draft, slot: &Slot, newest: &Task, window: Duration) -> u64 {
    let ended = draft.effective(newest).at;
    let is_asked = |task: &Task| is_replica(task) || ended_by_itself(draft.effective(task));
    slot.members()
        .filter(|task| task.spec_version == newest.spec_version && task.id != newest.id)
        .filter(|task| window.is_zero() || ended.since(task.meta.created) < window)
        .filter(|task| is_asked(task))
        .count() as u64
}

fn is_replica(task: &Task) -> bool {
    matches!(task.spec.mode, Mode::Replicated { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_doubles_up_to_a_minute() {
        let seconds = |failures| backoff(failures).as_secs();
        assert_eq!(
            [0, 1, 2, 3, 6, 7, 60, u32::MAX].map(seconds),
            [0, 1, 2, 4, 32, 60, 60, 60]
        );
    }
}
