//! Which node a waiting task runs on (swarmkit's scheduler).
//!
//! Tasks of one spec are interchangeable and placed as a group: the filters
//! that depend on the spec and the node alone are asked once per node, then
//! each task goes to the best node that still has room. Best is: not where
//! this version failed five times in five minutes, then where the fewest
//! tasks of the service are, then where the fewest tasks are. Spread
//! preferences come before: the fewest tasks of the service in each branch. A
//! task whose slot is a node waits for room there.

mod filter;
mod nodes;
mod spread;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::draft::Draft;
use super::slot::is_live;
use crate::command::Change;
use crate::generic::Generic;
use crate::id::Id;
use crate::object::{SlotId, Task, TaskState, TaskStatus};
use filter::{Needs, explain};
use nodes::{NodeLoad, ServiceOnNodes};
use spread::Tree;

pub(super) fn place(draft: &mut Draft) {
    let groups = waiting(draft);
    if groups.is_empty() {
        return;
    }
    let mut nodes = nodes::load(draft);
    for group in groups {
        place_group(draft, &mut nodes, &group);
    }
}

/// Tasks that have their addresses and no node, by what they are, those that wait longest first.
fn waiting(draft: &Draft) -> Vec<Vec<Arc<Task>>> {
    let mut groups: BTreeMap<(Id, u64), Vec<Arc<Task>>> = BTreeMap::new();
    for task in draft.state().tasks() {
        if task.status.state == TaskState::Pending && is_live(task) {
            let group = groups.entry((task.service, task.spec_version));
            group.or_default().push(Arc::clone(task));
        }
    }
    let mut groups: Vec<Vec<Arc<Task>>> = groups.into_values().collect();
    for group in &mut groups {
        group.sort_by_key(|task| (task.meta.created, task.slot, task.id));
    }
    groups.sort_by_key(|group| group.first().map(|task| (task.meta.created, task.id)));
    groups
}

fn place_group(draft: &mut Draft, nodes: &mut [NodeLoad], group: &[Arc<Task>]) {
    let Some(first) = group.first() else { return };
    let needs = Needs::of(&first.spec);
    if first.spec.mode.is_per_node() {
        place_on_their_nodes(draft, nodes, &needs, group);
        return;
    }
    let mut service = ServiceOnNodes::count(draft, nodes, first);
    let mut tree = Tree::grow(nodes, &service, &needs);
    let mut explanation = None;
    for task in group {
        match tree.place(nodes, &mut service, &needs) {
            Some((node, generic)) => draft.emit(assign(task.id, node, generic)),
            None => {
                let error = explanation
                    .get_or_insert_with(|| explain(nodes, &service, &needs))
                    .clone();
                keep_waiting(draft, task, error);
            }
        }
    }
}

/// Each has its node already, if there is room.
fn place_on_their_nodes(
    draft: &mut Draft,
    nodes: &mut [NodeLoad],
    needs: &Needs,
    group: &[Arc<Task>],
) {
    // Which tasks a node has of the service, its slot says.
    let none = ServiceOnNodes::none(1);
    for task in group {
        let SlotId::Node(node) = task.slot else {
            continue;
        };
        let Ok(place) = nodes.binary_search_by_key(&node, |load| load.node.id) else {
            continue;
        };
        let Some(load) = nodes.get_mut(place) else {
            continue;
        };
        if needs.misfit(load, 0).is_some() {
            let error = explain(std::slice::from_ref(load), &none, needs);
            keep_waiting(draft, task, error);
            continue;
        }
        load.take(task);
        load.tasks += 1;
        let generic = load.give(&needs.generic);
        draft.emit(assign(task.id, node, generic));
    }
}

fn assign(id: Id, node: Id, generic: Generic) -> Change {
    match generic.is_empty() {
        true => Change::AssignTask { id, node },
        false => Change::AssignTaskWith { id, node, generic },
    }
}

fn keep_waiting(draft: &mut Draft, task: &Task, error: String) {
    if task.status.error.as_ref() == Some(&error) {
        return;
    }
    let status = TaskStatus {
        error: Some(error),
        ..TaskStatus::at(TaskState::Pending, draft.now(), "pending task scheduling")
    };
    draft.set_status(task, status);
}
