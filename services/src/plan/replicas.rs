//! As many slots as the service has replicas (swarmkit's replicated
//! orchestrator).

use std::collections::BTreeMap;

use super::draft::{Draft, NewTask};
use super::slot::Slot;
use crate::id::Id;
use crate::object::{Service, SlotId, TaskState};

pub(super) fn scale(draft: &mut Draft, service: &Service, wanted: u64) {
    let slots = draft.slots(service.id);
    let existing = slots.iter().filter(|slot| slot.exists()).count() as u64;
    if existing < wanted {
        add(draft, service, &slots, wanted - existing);
    } else if existing > wanted {
        remove(draft, &slots, wanted);
    }
}

/// New slots take the lowest free numbers.
fn add(draft: &mut Draft, service: &Service, slots: &[Slot], missing: u64) {
    let known: BTreeMap<SlotId, &Slot> = slots.iter().map(|slot| (slot.id, slot)).collect();
    let free = (1..)
        .map(SlotId::Number)
        .filter(|id| !known.get(id).is_some_and(|slot| slot.exists()));
    for id in free.take(usize::try_from(missing).unwrap_or(usize::MAX)) {
        let now = draft.now();
        // An earlier task of this number may still be stopping.
        let how = match known.get(&id) {
            Some(_) => NewTask::prepared(now, 0),
            None => NewTask::running(now),
        };
        draft.create_task(service, id, how);
    }
}

/// The slots that do not run go first, then those on the nodes that have the
/// most of this service, then the highest numbers.
fn remove(draft: &mut Draft, slots: &[Slot], wanted: u64) {
    let mut on_node: BTreeMap<Id, usize> = BTreeMap::new();
    let mut ranked: Vec<(usize, &Slot)> = Vec::new();
    for slot in slots.iter().filter(|slot| slot.exists()) {
        let rank = match runs_on(draft, slot) {
            Some(node) => {
                let before = on_node.entry(node).or_default();
                *before += 1;
                *before
            }
            None => usize::MAX,
        };
        ranked.push((rank, slot));
    }
    ranked.sort_by_key(|(rank, slot)| (*rank, slot.id));
    let kept = usize::try_from(wanted).unwrap_or(usize::MAX);
    for (_, slot) in ranked.into_iter().skip(kept) {
        for task in &slot.tasks {
            draft.set_desired(task, TaskState::Remove);
        }
    }
}

fn runs_on(draft: &Draft, slot: &Slot) -> Option<Id> {
    let running = slot
        .live()
        .find(|task| draft.effective(task).state == TaskState::Running)?;
    running.node
}
