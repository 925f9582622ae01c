//! A slot: the tasks that were one after the other the n-th replica, or the
//! one of a node.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::object::{SlotId, Task, TaskState};

pub(super) struct Slot {
    pub(super) id: SlotId,
    /// Oldest first; those that are wanted after those of the same age that
    /// are not.
    pub(super) tasks: Vec<Arc<Task>>,
}

impl Slot {
    /// The tasks of one service by slot, in the order of the slots.
    pub(super) fn collect<'a>(tasks: impl Iterator<Item = &'a Arc<Task>>) -> Vec<Self> {
        let mut slots: BTreeMap<SlotId, Vec<Arc<Task>>> = BTreeMap::new();
        for task in tasks {
            slots.entry(task.slot).or_default().push(Arc::clone(task));
        }
        let slot = |(id, mut tasks): (SlotId, Vec<Arc<Task>>)| {
            tasks.sort_by_key(|task| (task.meta.created, is_live(task), task.id));
            Self { id, tasks }
        };
        slots.into_iter().map(slot).collect()
    }

    /// Whether the replica still counts, or only its remains are being removed.
    pub(super) fn exists(&self) -> bool {
        self.members().next().is_some()
    }

    pub(super) fn members(&self) -> impl DoubleEndedIterator<Item = &Arc<Task>> {
        self.tasks
            .iter()
            .filter(|task| task.desired != TaskState::Remove)
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.iter().filter(|task| is_live(task))
    }

    pub(super) fn newest(&self) -> Option<&Arc<Task>> {
        self.members().next_back()
    }
}

/// Whether the task is meant to run, now or when its time comes.
pub(super) fn is_live(task: &Task) -> bool {
    task.desired <= TaskState::Running
}
