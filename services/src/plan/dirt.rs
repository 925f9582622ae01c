//! Which tasks an update has to replace (swarmkit's `IsTaskDirty`).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::constraint::Constraint;
use crate::object::{Node, Service, Task};
use crate::spec::{Placement, ServiceSpec};

/// Whether the task is not what the service asks for now. A change of the
/// placement constraints alone leaves a task whose node satisfies them.
/// `node` is the one that the task is assigned to.
pub fn is_task_dirty(service: &Service, task: &Task, node: Option<&Node>) -> bool {
    Dirt::new(service).is_dirty(task, node)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    None,
    Constraints,
    Task,
}

/// Compares each older spec with the service's only once.
pub(super) struct Dirt<'a> {
    service: &'a Service,
    by_version: BTreeMap<u64, Difference>,
}

impl<'a> Dirt<'a> {
    pub(super) fn new(service: &'a Service) -> Self {
        Self {
            service,
            by_version: BTreeMap::new(),
        }
    }

    pub(super) fn is_dirty(&mut self, task: &Task, node: Option<&Node>) -> bool {
        match self.difference(task) {
            Difference::None => false,
            Difference::Task => true,
            Difference::Constraints => {
                !node.is_some_and(|node| satisfies(node, constraints_of(&self.service.spec)))
            }
        }
    }

    /// The constraints that the task is held to where it is.
    pub(super) fn constraints<'t>(&'t mut self, task: &'t Task) -> &'t [String] {
        match self.difference(task) {
            Difference::Task => constraints_of(&task.spec),
            Difference::None | Difference::Constraints => constraints_of(&self.service.spec),
        }
    }

    fn difference(&mut self, task: &Task) -> Difference {
        if task.spec_version == self.service.spec_version {
            return Difference::None;
        }
        *self
            .by_version
            .entry(task.spec_version)
            .or_insert_with(|| difference(&self.service.spec, &task.spec))
    }
}

fn difference(wanted: &Arc<ServiceSpec>, actual: &Arc<ServiceSpec>) -> Difference {
    if Arc::ptr_eq(wanted, actual) || wanted.same_tasks(actual) {
        return Difference::None;
    }
    let mut moved = actual.task.clone();
    let placement = Placement {
        constraints: constraints_of(wanted).to_vec(),
        ..moved.placement.take().unwrap_or_default()
    };
    moved.placement = match &wanted.task.placement {
        None if placement == Placement::default() => None,
        _ => Some(placement),
    };
    if moved.is_same(&wanted.task) && wanted.endpoint == actual.endpoint {
        Difference::Constraints
    } else {
        Difference::Task
    }
}

pub(super) fn constraints_of(spec: &ServiceSpec) -> &[String] {
    spec.task
        .placement
        .as_ref()
        .map_or(&[], |placement| &placement.constraints)
}

/// A constraint that cannot be read is satisfied nowhere.
pub(super) fn satisfies(node: &Node, constraints: &[String]) -> bool {
    constraints
        .iter()
        .all(|text| Constraint::parse(text).is_ok_and(|it| it.matches(node)))
}
