//! Tasks whose node no longer is what they ask for are stopped (swarmkit's
//! constraint enforcer): its labels or role changed, its resources shrank, or
//! it has no overlay any more.
//! The reason is noted at once, and becomes the outcome, REJECTED, when the
//! node tells that the task stopped; until then it holds what it has. What
//! follows in the slot is the restart policy's business.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::dirt::{Dirt, satisfies};
use super::draft::{Draft, Place};
use super::slot::is_live;
use crate::generic;
use crate::id::Id;
use crate::object::{Node, Service, Task, TaskState, TaskStatus};

pub(super) const REJECTED: &str = "task rejected by constraint enforcer";

pub(super) fn reject_misplaced(draft: &mut Draft) {
    let services = draft.services();
    let mut dirt: BTreeMap<Id, Dirt> = services
        .iter()
        .map(|service: &Arc<Service>| (service.id, Dirt::new(service)))
        .collect();
    let nodes: Vec<Arc<Node>> = draft.state().nodes().cloned().collect();
    for node in &nodes {
        for task in misplaced(draft, node, &mut dirt) {
            let status = TaskStatus {
                error: Some("assigned node no longer meets constraints".to_owned()),
                ..TaskStatus::at(task.status.state, draft.now(), REJECTED)
            };
            draft.set_status(&task, status);
            draft.set_desired(&task, TaskState::Shutdown);
        }
    }
}

fn misplaced(draft: &Draft, node: &Node, dirt: &mut BTreeMap<Id, Dirt>) -> Vec<Arc<Task>> {
    let Some(description) = &node.description else {
        return Vec::new();
    };
    let mut tasks: Vec<&Arc<Task>> = draft
        .state()
        .tasks_of_node(node.id)
        .filter(|task| is_live(task) && draft.place(task) == Place::Usable)
        .filter(|task| !draft.effective(task).state.is_final())
        .collect();
    // Where not all of them fit any more, the newest have to go.
    tasks.sort_by_key(|task| (task.meta.created, task.id));
    let mut cpus = description.resources.nano_cpus;
    let mut memory = description.resources.memory_bytes;
    let mut generic = description.generic.clone();
    let mut must_go = |task: &Arc<Task>| {
        let suits = match dirt.get_mut(&task.service) {
            Some(dirt) => satisfies(node, dirt.constraints(task)),
            None => true,
        };
        let is_linked = task.addresses.is_empty() || !description.no_overlay;
        let needs = task.spec.task.reservations();
        let fits = needs.nano_cpus <= cpus.max(0)
            && needs.memory_bytes <= memory.max(0)
            && generic::has(&generic, &task.generic);
        let stays = suits && is_linked && fits;
        if stays {
            cpus = cpus.saturating_sub(needs.nano_cpus);
            memory = memory.saturating_sub(needs.memory_bytes);
            generic::take(&mut generic, &task.generic);
        }
        !stays
    };
    tasks
        .into_iter()
        .filter(|task| must_go(task))
        .cloned()
        .collect()
}
