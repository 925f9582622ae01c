//! What a worker is told to run.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::object::{Task, TaskState};
use crate::spec::ServiceSpec;

/// One task as its node sees it. The container's name is
/// `<service>.<slot>.<task id>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    pub task: Id,
    pub service: Id,
    pub slot: u64,
    /// What was asked for; the task template and the host-mode ports count.
    pub spec: Arc<ServiceSpec>,
    /// READY (prepare it), RUNNING, or SHUTDOWN and beyond (stop it). A task
    /// that is no longer assigned at all is removed with its container.
    pub desired: TaskState,
}

impl Assignment {
    pub fn of(task: &Task) -> Self {
        Self {
            task: task.id,
            service: task.service,
            slot: task.slot,
            spec: Arc::clone(&task.spec),
            desired: task.desired,
        }
    }

    pub fn container_name(&self) -> String {
        format!("{}.{}.{}", self.spec.name, self.slot, self.task)
    }
}
