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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::spec::ServiceSpec;
    use proptest::prelude::*;

    const TASK: Id = Id::from_u128(1);

    fn assignment(desired: TaskState) -> Assignment {
        Assignment {
            task: TASK,
            service: Id::from_u128(2),
            slot: 1,
            spec: Arc::new(ServiceSpec::default()),
            desired,
            networks: Vec::new(),
            generic: Default::default(),
            files: BTreeMap::new(),
        }
    }

    fn local(state: TaskState) -> LocalTask {
        LocalTask {
            state,
            busy: false,
            has_container: state >= TaskState::Ready,
        }
    }

    /// One task, assigned as `desired` or not, and here as `local` or not.
    fn check(desired: Option<TaskState>, local: Option<LocalTask>, expected: Option<Op>) {
        let assigned = desired.map(|desired| (TASK, assignment(desired)));
        let actual = local.clone().map(|local| (TASK, local));
        let ops = reconcile(
            &assigned.into_iter().collect(),
            &actual.into_iter().collect(),
        );
        assert_eq!(ops, Vec::from_iter(expected), "{desired:?} {local:?}");
    }

    #[test]
    fn a_task_is_taken_step_by_step_to_where_it_should_be() {
        use TaskState::{Accepted, Ready, Running, Starting};
        check(Some(Running), None, Some(Op::Accept(TASK)));
        check(
            Some(Running),
            Some(local(Accepted)),
            Some(Op::Prepare(TASK)),
        );
        check(Some(Running), Some(local(Ready)), Some(Op::Start(TASK)));
        check(Some(Running), Some(local(Starting)), None);
        check(Some(Running), Some(local(Running)), None);
    }

    #[test]
    fn a_task_that_should_be_ready_is_not_started() {
        use TaskState::{Accepted, Ready};
        check(Some(Ready), Some(local(Accepted)), Some(Op::Prepare(TASK)));
        check(Some(Ready), Some(local(Ready)), None);
    }

    #[test]
    fn a_task_that_ended_is_kept_and_left_alone() {
        use TaskState::{Failed, Running, Shutdown};
        for desired in [Running, Shutdown] {
            check(Some(desired), Some(local(Failed)), None);
        }
    }

    #[test]
    fn what_should_not_run_is_stopped_and_its_outcome_is_known() {
        use TaskState::{Accepted, Remove, Running, Shutdown};
        for desired in [Shutdown, Remove] {
            check(Some(desired), Some(local(Running)), Some(Op::Stop(TASK)));
            check(Some(desired), Some(local(Accepted)), Some(Op::Stop(TASK)));
            check(Some(desired), None, Some(Op::Accept(TASK)));
        }
    }

    #[test]
    fn what_is_not_assigned_is_stopped_and_then_removed() {
        use TaskState::{Accepted, Running, Shutdown};
        check(None, Some(local(Running)), Some(Op::Stop(TASK)));
        check(None, Some(local(Shutdown)), Some(Op::Remove(TASK)));
        check(None, Some(local(Accepted)), Some(Op::Remove(TASK)));
    }

    #[test]
    fn a_busy_task_is_left_alone() {
        let busy = LocalTask {
            busy: true,
            ..local(TaskState::Running)
        };
        check(Some(TaskState::Shutdown), Some(busy.clone()), None);
        check(None, Some(busy), None);
    }

    fn states() -> impl Strategy<Value = TaskState> {
        prop::sample::select(vec![
            TaskState::Accepted,
            TaskState::Ready,
            TaskState::Running,
            TaskState::Failed,
            TaskState::Shutdown,
        ])
    }

    proptest! {
        /// However it starts, a task that does as it is told comes to rest
        /// where it should be.
        #[test]
        fn a_task_comes_to_rest(
            desired in prop::option::of(prop::sample::select(vec![
                TaskState::Ready, TaskState::Running, TaskState::Shutdown, TaskState::Remove,
            ])),
            start in prop::option::of(states()),
        ) {
            let assigned: Assigned =
                desired.map(|desired| (TASK, assignment(desired))).into_iter().collect();
            let mut actual: Actual = start.map(|state| (TASK, local(state))).into_iter().collect();
            let mut steps = 0;
            loop {
                let ops = reconcile(&assigned, &actual);
                let Some(op) = ops.first() else { break };
                prop_assert_eq!(ops.len(), 1);
                let next = match op {
                    Op::Accept(_) => Some(TaskState::Accepted),
                    Op::Prepare(_) => Some(TaskState::Ready),
                    Op::Start(_) => Some(TaskState::Running),
                    Op::Stop(_) => Some(TaskState::Shutdown),
                    Op::Remove(_) => None,
                };
                actual = next.map(|state| (TASK, local(state))).into_iter().collect();
                steps += 1;
                prop_assert!(steps < 6);
            }
            let end = actual.get(&TASK).map(|local| local.state);
            let ended = start.is_some_and(TaskState::is_final);
            match desired {
                None => prop_assert_eq!(end, None),
                Some(_) if ended => prop_assert_eq!(end, start),
                Some(TaskState::Ready) => {
                    prop_assert!(end == Some(TaskState::Ready) || end == start);
                }
                Some(TaskState::Running) => prop_assert_eq!(end, Some(TaskState::Running)),
                Some(_) => prop_assert_eq!(end, Some(TaskState::Shutdown)),
            }
        }
    }
}
