//! The state as it will be once the changes so far are applied, and what the
//! stages ask of it. Emitting a change applies it here with the same code that
//! every manager runs on the committed one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::Plan;
use super::slot::Slot;
use crate::command::Change;
use crate::id::{Id, IdSource};
use crate::object::{Service, SlotId, Task, TaskState, TaskStatus};
use crate::observed::{NodeHealth, Observed};
use crate::spec::Availability;
use crate::state::State;
use crate::time::Timestamp;

pub(super) struct Draft<'a> {
    state: Cow<'a, State>,
    observed: &'a Observed,
    now: Timestamp,
    ids: &'a mut dyn IdSource,
    changes: Vec<Change>,
    changes_before_pass: usize,
    next: Option<Timestamp>,
    /// By service, until one of its tasks changes.
    slots: BTreeMap<Id, Arc<[Slot]>>,
}

/// Where a task is, as far as it matters for going on with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Unassigned,
    /// Also a node that was not heard of yet: it is not given up.
    Usable,
    Drained,
    Down,
    /// Removed from the swarm.
    Gone,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        state: &'a State,
        observed: &'a Observed,
        now: Timestamp,
        ids: &'a mut dyn IdSource,
    ) -> Self {
        Self {
            state: Cow::Borrowed(state),
            observed,
            now,
            ids,
            changes: Vec::new(),
            changes_before_pass: 0,
            next: None,
            slots: BTreeMap::new(),
        }
    }

    /// Wake-ups are those of the last pass: it sees the final state.
    pub(super) fn begin_pass(&mut self) {
        self.changes_before_pass = self.changes.len();
        self.next = None;
    }

    pub(super) fn pass_changed(&self) -> bool {
        self.changes.len() > self.changes_before_pass
    }

    pub(super) fn into_plan(self) -> Plan {
        Plan {
            changes: self.changes,
            next: self.next,
        }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn observed(&self) -> &'a Observed {
        self.observed
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether `at` has come; if not, the plan runs again then.
    pub(super) fn has_come(&mut self, at: Timestamp) -> bool {
        if at > self.now {
            self.next = Some(self.next.map_or(at, |next| next.min(at)));
        }
        at <= self.now
    }

    /// The services as they are now: a list, because stages change them.
    pub(super) fn services(&self) -> Vec<Arc<Service>> {
        self.state.services().cloned().collect()
    }

    /// In the order of their numbers, also those whose remains are removed.
    pub(super) fn slots(&mut self, service: Id) -> Arc<[Slot]> {
        let collect = || Slot::collect(self.state.tasks_of_service(service)).into();
        let slots = self.slots.entry(service).or_insert_with(collect);
        Arc::clone(slots)
    }
}

/// Reading a task.
impl Draft<'_> {
    pub(super) fn effective<'t>(&'t self, task: &'t Task) -> &'t TaskStatus {
        State::effective(task, self.observed)
    }

    pub(super) fn place(&self, task: &Task) -> Place {
        let Some(id) = task.node else {
            return Place::Unassigned;
        };
        let Some(node) = self.state.node(id) else {
            return Place::Gone;
        };
        let health = self.observed.nodes.get(&id).map(|it| &it.health);
        match (health, node.spec.availability) {
            (Some(NodeHealth::Down { .. }), _) => Place::Down,
            (_, Availability::Drain) => Place::Drained,
            _ => Place::Usable,
        }
    }

    /// Whether something of the task may still run or hold resources, as far
    /// as its node told. One that was given up holds nothing where it is lost.
    pub(super) fn occupies(&self, task: &Task) -> bool {
        let state = match self.observed.tasks.get(&task.id) {
            Some(seen) => seen.state,
            None => task.status.state,
        };
        match self.place(task) {
            Place::Unassigned | Place::Gone => false,
            Place::Down => !state.is_final() && task.status.state != TaskState::Orphaned,
            Place::Usable | Place::Drained => !state.is_final(),
        }
    }
}

/// Deciding.
impl Draft<'_> {
    pub(super) fn emit(&mut self, change: Change) {
        let now = self.now;
        if let Some(service) = self.service_of(&change) {
            self.slots.remove(&service);
        }
        self.state.to_mut().apply_change(0, now, &change);
        self.changes.push(change);
    }

    fn service_of(&self, change: &Change) -> Option<Id> {
        match change {
            Change::CreateIngress { .. }
            | Change::NodesRenewed { .. }
            | Change::EndRotation { .. } => None,
            Change::CreateTask { service, .. }
            | Change::CreateTaskOnNode { service, .. }
            | Change::AllocateService { service, .. }
            | Change::SetUpdateStatus { service, .. }
            | Change::Rollback { service, .. } => Some(*service),
            Change::AssignTask { id, .. }
            | Change::AssignTaskWith { id, .. }
            | Change::AllocateTask { id, .. }
            | Change::SetDesired { id, .. }
            | Change::SetStatus { id, .. }
            | Change::DeleteTask { id } => self.state.task(*id).map(|task| task.service),
        }
    }

    pub(super) fn set_desired(&mut self, task: &Task, desired: TaskState) {
        if task.desired < desired {
            let id = task.id;
            self.emit(Change::SetDesired { id, desired });
        }
    }

    pub(super) fn set_status(&mut self, task: &Task, status: TaskStatus) {
        self.emit(Change::SetStatus {
            id: task.id,
            status,
        });
    }

    pub(super) fn next_id(&mut self) -> Id {
        self.ids.next_id()
    }

    pub(super) fn create_task(&mut self, service: &Service, slot: SlotId, how: NewTask) {
        let id = self.ids.next_id();
        let NewTask {
            desired,
            not_before,
            failures,
        } = how;
        let (service, spec_version) = (service.id, service.spec_version);
        self.emit(match slot {
            SlotId::Number(slot) => Change::CreateTask {
                id,
                service,
                spec_version,
                slot,
                desired,
                not_before,
                failures,
            },
            SlotId::Node(node) => Change::CreateTaskOnNode {
                id,
                service,
                spec_version,
                node,
                desired,
                not_before,
                failures,
            },
        });
    }
}

/// What differs between one new task and the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewTask {
    pub(super) desired: TaskState,
    pub(super) not_before: Timestamp,
    pub(super) failures: u32,
}

impl NewTask {
    /// To be released by the `start` stage, not before `not_before`.
    pub(super) fn prepared(not_before: Timestamp, failures: u32) -> Self {
        Self {
            desired: TaskState::Ready,
            not_before,
            failures,
        }
    }

    pub(super) fn running(now: Timestamp) -> Self {
        Self {
            desired: TaskState::Running,
            not_before: now,
            failures: 0,
        }
    }
}
