//! One task on each node that suits (swarmkit's orchestrators of global
//! services and global jobs).
//!
//! The slots of such a service are the nodes. A node that is drained, lost or
//! no longer suits keeps nothing of it, and nothing takes its place elsewhere;
//! one that comes (back) gets its task. A job has been on a node once a task
//! of its present run is there; on a node that comes later it runs too.

use std::collections::BTreeSet;

use super::criteria::Criteria;
use super::draft::{Draft, NewTask};
use super::jobs;
use super::slot::Slot;
use crate::id::Id;
use crate::object::{Node, Service, SlotId, TaskState};
use crate::observed::NodeHealth;
use crate::spec::Availability;

/// What a node is to a service with a task per node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has its task, and gets a new one.
    Open,
    /// What runs stays and nothing new comes: it is paused.
    Held,
    /// The same, until it is known whether it is there: this leader has not
    /// heard of it yet.
    Unheard,
    /// Nothing of the service runs there.
    Closed,
    /// Removed from the swarm.
    Gone,
}

/// The nodes, as one service sees them.
pub(super) struct Sites {
    /// `None`: its slots are no nodes.
    criteria: Option<Criteria>,
}

impl Sites {
    pub(super) fn of(service: &Service) -> Self {
        let per_node = service.spec.mode.is_per_node();
        Self {
            criteria: per_node.then(|| Criteria::of(&service.spec)),
        }
    }

    /// Whether new tasks may be made in the slot.
    pub(super) fn are_open(&self, draft: &Draft, slot: SlotId) -> bool {
        match slot {
            SlotId::Number(_) => true,
            SlotId::Node(node) => self.standing(draft, node) == Standing::Open,
        }
    }

    /// Whether it is about to be known what becomes of the slot.
    pub(super) fn are_unheard(&self, draft: &Draft, slot: SlotId) -> bool {
        match slot {
            SlotId::Number(_) => false,
            SlotId::Node(node) => self.standing(draft, node) == Standing::Unheard,
        }
    }

    fn standing(&self, draft: &Draft, id: Id) -> Standing {
        let Some(node) = draft.state().node(id) else {
            return Standing::Gone;
        };
        let health = draft.observed().nodes.get(&id).map(|it| &it.health);
        match (health, node.spec.availability) {
            (Some(NodeHealth::Down { .. }), _) | (_, Availability::Drain) => Standing::Closed,
            _ if !self.suits(node) => Standing::Closed,
            (Some(NodeHealth::Ready), Availability::Active) if node.description.is_some() => {
                Standing::Open
            }
            (None | Some(NodeHealth::Unknown), Availability::Active) => Standing::Unheard,
            _ => Standing::Held,
        }
    }

    /// Of a node that has not said what it is, nothing is known.
    fn suits(&self, node: &Node) -> bool {
        let unmet = |criteria: &Criteria| criteria.unmet(node).is_some();
        node.description.is_none() || !self.criteria.as_ref().is_some_and(unmet)
    }
}

pub(super) fn follow_nodes(draft: &mut Draft, service: &Service) {
    let sites = Sites::of(service);
    let slots = draft.slots(service.id);
    let mut known: BTreeSet<Id> = BTreeSet::new();
    let mut filled: BTreeSet<Id> = BTreeSet::new();
    for slot in slots.iter() {
        let SlotId::Node(node) = slot.id else {
            continue;
        };
        known.insert(node);
        if is_filled(service, slot) {
            filled.insert(node);
        }
        match sites.standing(draft, node) {
            Standing::Open | Standing::Held | Standing::Unheard => {}
            Standing::Closed => stop(draft, slot),
            Standing::Gone => remove(draft, slot),
        }
    }
    let nodes: Vec<Id> = draft.state().nodes().map(|node| node.id).collect();
    for node in nodes {
        if filled.contains(&node) || sites.standing(draft, node) != Standing::Open {
            continue;
        }
        let now = draft.now();
        // An earlier task may still be stopping there.
        let how = match known.contains(&node) {
            true => NewTask::prepared(now, 0),
            false => NewTask::running(now),
        };
        draft.create_task(service, SlotId::Node(node), how);
    }
}

/// Whether what happens in the slot from now on is for its restart policy.
fn is_filled(service: &Service, slot: &Slot) -> bool {
    match service.spec.mode.is_job() {
        true => jobs::has_begun(service, slot),
        false => slot.exists(),
    }
}

fn stop(draft: &mut Draft, slot: &Slot) {
    for task in slot.live() {
        if !jobs::is_done(draft, task) {
            draft.set_desired(task, TaskState::Shutdown);
        }
    }
}

fn remove(draft: &mut Draft, slot: &Slot) {
    for task in &slot.tasks {
        draft.set_desired(task, TaskState::Remove);
    }
}
