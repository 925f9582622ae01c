//! The plan's decisions: each is checked against the state as it is now and
//! skipped where it no longer fits.

use std::sync::Arc;

use super::Write;
use crate::command::Change;
use crate::generic::{self, Generic};
use crate::id::Id;
use crate::object::{SlotId, Task, TaskState, TaskStatus, UpdateStatus};
use crate::spec::ServiceSpec;
use crate::time::Timestamp;

pub(crate) const WAITS_FOR_ADDRESSES: &str = "pending address allocation";
pub(super) const WAITS_FOR_NODE: &str = "pending task scheduling";

/// What both ways to make a task say.
struct NewTask {
    id: Id,
    service: Id,
    spec_version: u64,
    slot: SlotId,
    desired: TaskState,
    not_before: Timestamp,
    failures: u32,
}

impl Write<'_> {
    pub(super) fn change(&mut self, change: &Change) {
        match change {
            &Change::CreateTask {
                id,
                service,
                spec_version,
                slot,
                desired,
                not_before,
                failures,
            } => self.create_task(NewTask {
                id,
                service,
                spec_version,
                slot: SlotId::Number(slot),
                desired,
                not_before,
                failures,
            }),
            &Change::CreateTaskOnNode {
                id,
                service,
                spec_version,
                node,
                desired,
                not_before,
                failures,
            } => self.create_task(NewTask {
                id,
                service,
                spec_version,
                slot: SlotId::Node(node),
                desired,
                not_before,
                failures,
            }),
            Change::AssignTask { id, node } => self.assign_task(*id, *node, &Generic::new()),
            Change::AssignTaskWith { id, node, generic } => self.assign_task(*id, *node, generic),
            Change::SetDesired { id, desired } => self.set_desired(*id, *desired),
            Change::SetStatus { id, status } => self.set_status(*id, status),
            Change::DeleteTask { id } => self.state.drop_task(*id),
            Change::SetUpdateStatus {
                service,
                spec_version,
                status,
            } => self.set_update_status(*service, *spec_version, status),
            Change::Rollback {
                service,
                spec_version,
                status,
            } => self.roll_back(*service, *spec_version, status),
            Change::CreateIngress { id, subnets } => self.create_ingress(*id, subnets),
            Change::AllocateService {
                service,
                spec_version,
                published,
                vips,
            } => self.allocate_service(*service, *spec_version, published, vips),
            Change::AllocateTask { id, addresses } => self.allocate_task(*id, addresses),
            Change::NodesRenewed { digest, nodes } => self.nodes_renewed(digest, nodes),
            Change::EndRotation { digest } => self.end_rotation(digest),
        }
    }

    fn create_task(&mut self, new: NewTask) {
        let Some(spec) = self.spec_of(new.service, new.spec_version) else {
            return;
        };
        let fits = spec.mode.is_per_node() == matches!(new.slot, SlotId::Node(_));
        if !fits || self.state.task(new.id).is_some() || new.desired > TaskState::Running {
            return;
        }
        let (state, message) = match spec.is_on_networks() {
            true => (TaskState::New, WAITS_FOR_ADDRESSES),
            false => (TaskState::Pending, WAITS_FOR_NODE),
        };
        let job = self.state.service(new.service).and_then(|it| it.job);
        self.state.put_task(Task {
            id: new.id,
            meta: self.created(),
            service: new.service,
            slot: new.slot,
            job_iteration: job.map(|job| job.iteration),
            spec,
            spec_version: new.spec_version,
            node: None,
            desired: new.desired,
            status: TaskStatus::at(state, self.at, message),
            not_before: new.not_before,
            failures: new.failures,
            addresses: Vec::new(),
            generic: Generic::new(),
        });
    }

    pub(super) fn spec_of(&self, service: Id, spec_version: u64) -> Option<Arc<ServiceSpec>> {
        let service = self.state.service(service)?;
        (service.spec_version == spec_version).then(|| Arc::clone(&service.spec))
    }

    /// What is given of generic resources must be free: whatever a plan says,
    /// no two tasks have the same.
    fn assign_task(&mut self, id: Id, node: Id, given: &Generic) {
        let waits = self.state.task(id).is_some_and(|task| {
            let elsewhere = matches!(task.slot, SlotId::Node(own) if own != node);
            task.status.state == TaskState::Pending
                && task.desired <= TaskState::Running
                && !elsewhere
        });
        let free = || self.state.free_generic(node);
        let is_there = self.state.node(node).is_some();
        if !waits || !is_there || !(given.is_empty() || generic::has(&free(), given)) {
            return;
        }
        let (index, at) = (self.index, self.at);
        if let Some(task) = self.state.place_task(id, node) {
            task.status =
                TaskStatus::at(TaskState::Assigned, at, "scheduler assigned task to node");
            task.generic.clone_from(given);
            task.meta.version = index;
            task.meta.updated = at;
        }
    }

    pub(super) fn set_desired(&mut self, id: Id, desired: TaskState) {
        let raises = |task: &Task| task.desired < desired && desired <= TaskState::Remove;
        if self.state.task(id).is_some_and(|task| raises(task)) {
            self.edit_task(id, |task| task.desired = desired);
        }
    }

    /// A status moves a task forward, or says something new of where it is.
    pub(super) fn set_status(&mut self, id: Id, status: &TaskStatus) {
        let fits = |task: &Task| {
            let placed = task.node.is_some() || status.state <= TaskState::Pending;
            let waits = task.status.state == TaskState::New && status.state != TaskState::New;
            !task.status.state.is_final()
                && status.state >= task.status.state
                && ((placed && !waits) || status.state.is_final())
                && *status != task.status
        };
        if self.state.task(id).is_some_and(|task| fits(task)) {
            self.edit_task(id, |task| task.status = status.clone());
            self.state.settle_task(id);
        }
    }

    pub(super) fn edit_task(&mut self, id: Id, edit: impl FnOnce(&mut Task)) {
        let (index, at) = (self.index, self.at);
        if let Some(task) = self.state.edit_task(id) {
            edit(task);
            task.meta.version = index;
            task.meta.updated = at;
        }
    }

    fn set_update_status(&mut self, id: Id, spec_version: u64, status: &UpdateStatus) {
        if self.spec_of(id, spec_version).is_none() {
            return;
        }
        let (index, at) = (self.index, self.at);
        if let Some(service) = self.state.edit_service(id) {
            service.update = Some(status.clone());
            service.meta.version = index;
            service.meta.updated = at;
        }
    }

    fn roll_back(&mut self, id: Id, spec_version: u64, status: &UpdateStatus) {
        let Some(service) = self.state.service(id) else {
            return;
        };
        let Some(spec) = service.previous_spec.clone() else {
            return;
        };
        if service.spec_version == spec_version {
            // Not `index`: the plan that rolls back goes on to make tasks of
            // the older spec, and it cannot know the index of its own entry.
            let next = spec_version.saturating_add(1);
            self.respec(id, spec, None, next, Some(status.clone()));
        }
    }
}
