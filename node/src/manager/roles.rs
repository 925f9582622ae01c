//! The leader brings the members of the Raft group in line with the nodes'
//! wanted roles and addresses: one step at a time, a learner before a voter, and
//! never a step that needs a node which is not there. Once they are in line, it
//! asks the autopilot which role should change next.

use std::collections::BTreeMap;
use std::time::Duration;

use certs::NodeId;
use raft::{Member, MemberStatus};
use services::managing::{self, CANDIDATE};
use services::spec::Role;
use services::{Command, Id, NodeHealth, Observed, State};
use tokio::time::{sleep, timeout};

use super::autopilot::{self, Presence, REPLACED_AFTER, Situation, Vote};
use super::events::Kind;
use super::observer::{Observer, name};
use super::tracker::Moment;
use super::{Manager, node_id, node_key};
use crate::clock;

const ROUND: Duration = Duration::from_millis(500);
/// A learner this close to the end of the log may vote.
const CAUGHT_UP: u64 = 100;

/// Runs until it is dropped, which happens when this manager leads no more.
pub async fn run(manager: &Manager) {
    let mut status = manager.raft.watch();
    loop {
        // Health is seen, not agreed on, and wakes nobody here.
        let _ = timeout(ROUND, status.changed()).await;
        let Some(step) = manager.next_step() else {
            manager.steer().await;
            continue;
        };
        tracing::info!(?step, "changing the managers");
        let done = match step.clone() {
            Step::AddLearner(member) | Step::Move(member) => manager.raft.add_learner(member).await,
            Step::Promote(id) => manager.raft.promote(id).await,
            Step::Remove(id) => manager.raft.remove(id).await,
        };
        match done {
            Ok(()) => manager.note_step(&step),
            Err(error) => {
                tracing::warn!(?step, %error, "could not change the managers");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

impl Manager {
    fn next_step(&self) -> Option<Step> {
        let status = self.raft.watch().borrow().clone();
        let matched = self.raft.replication();
        self.read_state(|state| {
            self.observer.read(|observed| {
                next_step(state, observed, &status.members, |id| {
                    matched
                        .get(&id)
                        .and_then(|progress| progress.matched)
                        .is_some_and(|matched| matched + CAUGHT_UP >= status.applied)
                })
            })
        })
    }

    fn note_step(&self, step: &Step) {
        let (id, text) = match step {
            Step::AddLearner(member) => (member.id, "is about to be a manager".into()),
            Step::Move(member) => (member.id, format!("answers at {} now", member.addr)),
            Step::Promote(id) => (*id, "is a manager now".into()),
            Step::Remove(id) => (*id, "is a manager no more".into()),
        };
        self.note(Kind::Manager, node_key(id), text);
    }

    /// Lets the autopilot change one role, if it wants to.
    async fn steer(&self) {
        let status = self.raft.watch().borrow().clone();
        let now = clock::moment();
        let step = self.read_state(|state| {
            let situation = situation(state, &self.observer, &status, now)?;
            autopilot::decide(&situation)
        });
        let Some(step) = step else {
            return;
        };
        let update = self.read_state(|state| {
            let node = state.node(step.node)?;
            let mut spec = node.spec.clone();
            spec.role = step.role;
            if step.role == Role::Worker {
                // It has been trusted with the role: it may have it again.
                spec.labels.insert(CANDIDATE.into(), "true".into());
            }
            let (id, version) = (node.id, node.meta.version);
            Some(Command::UpdateNode { id, version, spec })
        });
        let Some(update) = update else {
            return;
        };
        match self.propose(update).await {
            Ok(_) => self.note(Kind::Autopilot, step.node, step.reason),
            Err(error) => tracing::warn!(%error, ?step, "the autopilot could not do its step"),
        }
    }
}

/// `None` where the autopilot is off.
fn situation(
    state: &State,
    observer: &Observer,
    status: &raft::Status,
    now: Moment,
) -> Option<Situation> {
    let labels = &state.cluster()?.spec.labels;
    // Labels are checked when they are set; what an older release let through
    // means nothing.
    if !managing::autopilot(labels).unwrap_or(true) {
        return None;
    }
    let node = |node: &services::object::Node| {
        let id = node_id(node.id);
        let known = autopilot::Node {
            name: name(state, id),
            role: node.spec.role,
            vote: match status.members.get(&id) {
                None => Vote::None,
                Some(member) if member.voter => Vote::Voter,
                Some(_) => Vote::Learner,
            },
            candidate: managing::candidate(&node.spec.labels).unwrap_or(false),
            zone: node.spec.labels.get(managing::ZONE).cloned(),
            presence: presence(observer, node.id, now),
        };
        (node.id, known)
    };
    Some(Situation {
        nodes: state.nodes().map(|known| node(known)).collect(),
        wanted: managing::managers(labels).unwrap_or(None),
        leader: status.leader.map(node_key)?,
    })
}

fn presence(observer: &Observer, node: Id, now: Moment) -> Presence {
    match observer.absence(node, now) {
        Some(time) if time >= REPLACED_AFTER => Presence::Gone(time),
        Some(_) => Presence::Unsure,
        None => observer.read(|observed| {
            let seen = observed.nodes.get(&node).map(|seen| &seen.health);
            match seen {
                Some(NodeHealth::Ready) => Presence::Ready,
                Some(NodeHealth::Down { .. }) => Presence::Faulty,
                Some(NodeHealth::Unknown) | None => Presence::Unsure,
            }
        }),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    AddLearner(Member),
    /// It answers elsewhere now.
    Move(Member),
    Promote(NodeId),
    Remove(NodeId),
}

fn next_step(
    state: &State,
    observed: &Observed,
    members: &BTreeMap<NodeId, MemberStatus>,
    caught_up: impl Fn(NodeId) -> bool,
) -> Option<Step> {
    let is_ready = |id: NodeId| {
        observed
            .nodes
            .get(&node_key(id))
            .is_some_and(|seen| seen.health == NodeHealth::Ready)
    };
    // A swarm that is being founded has a member and no node yet.
    if state.nodes().len() == 0 {
        return None;
    }
    let unwanted = members.keys().copied().find(|id| {
        state
            .node(node_key(*id))
            .is_none_or(|node| node.spec.role != Role::Manager)
    });
    if let Some(id) = unwanted {
        return Some(Step::Remove(id));
    }
    state
        .nodes()
        .filter(|node| node.spec.role == Role::Manager && is_ready(node_id(node.id)))
        .find_map(|node| {
            let id = node_id(node.id);
            let addr = node.addr;
            match members.get(&id) {
                None => Some(Step::AddLearner(Member { id, addr })),
                Some(member) if member.addr != addr => Some(Step::Move(Member { id, addr })),
                Some(member) if !member.voter && caught_up(id) => Some(Step::Promote(id)),
                Some(_) => None,
            }
        })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use services::spec::{Availability, Labels, NodeSpec};
    use services::{NodeObserved, Proposal, Timestamp};

    use super::*;

    const ADDR: &str = "192.0.2.1:2377";

    struct World {
        state: State,
        observed: Observed,
        members: BTreeMap<NodeId, MemberStatus>,
    }

    impl World {
        fn new(nodes: &[(u128, Role, bool)]) -> Self {
            let mut world = Self {
                state: State::default(),
                observed: Observed::default(),
                members: BTreeMap::new(),
            };
            for (index, (id, role, ready)) in nodes.iter().enumerate() {
                let id = Id::from_u128(*id);
                let command = Command::AddNode {
                    id,
                    spec: NodeSpec {
                        name: None,
                        labels: Labels::new(),
                        role: *role,
                        availability: Availability::Active,
                    },
                    addr: ADDR.parse().unwrap(),
                };
                let at = Timestamp(0);
                let proposal = Proposal { at, command };
                world.state.apply(index as u64 + 1, &proposal).unwrap();
                let health = match ready {
                    true => NodeHealth::Ready,
                    false => NodeHealth::Down {
                        reason: "gone".into(),
                    },
                };
                let seen = NodeObserved { health, since: at };
                world.observed.nodes.insert(id, seen);
            }
            world
        }

        fn member(mut self, id: u128, voter: bool) -> Self {
            let addr = ADDR.parse().unwrap();
            self.members.insert(id.into(), MemberStatus { addr, voter });
            self
        }

        fn check(&self, caught_up: bool, step: Option<Step>) {
            let next = next_step(&self.state, &self.observed, &self.members, |_| caught_up);
            assert_eq!(next, step);
        }
    }

    #[test]
    fn a_new_manager_learns_before_it_votes() {
        let world = World::new(&[(1, Role::Manager, true), (2, Role::Manager, true)]);
        let world = world.member(1, true);
        let learner = Member {
            id: 2.into(),
            addr: ADDR.parse().unwrap(),
        };
        world.check(true, Some(Step::AddLearner(learner)));
        let world = world.member(2, false);
        world.check(false, None);
        world.check(true, Some(Step::Promote(2.into())));
        let world = world.member(2, true);
        world.check(true, None);
    }

    #[test]
    fn a_manager_that_moved_is_noted_where_it_is() {
        let mut world = World::new(&[(1, Role::Manager, true), (2, Role::Manager, true)]);
        world = world.member(1, true).member(2, true);
        let before: SocketAddr = "192.0.2.7:2377".parse().unwrap();
        let id = NodeId::from(2);
        let voter = true;
        let moved = MemberStatus {
            addr: before,
            voter,
        };
        world.members.insert(id, moved);
        let addr = ADDR.parse().unwrap();
        world.check(true, Some(Step::Move(Member { id, addr })));
    }

    #[test]
    fn a_manager_that_is_down_is_neither_added_nor_promoted() {
        let world = World::new(&[(1, Role::Manager, true), (2, Role::Manager, false)]);
        let world = world.member(1, true);
        world.check(true, None);
        world.member(2, false).check(true, None);
    }

    #[test]
    fn a_demoted_and_a_removed_node_leave_the_group() {
        let world = World::new(&[(1, Role::Manager, true), (2, Role::Worker, false)]);
        let world = world.member(1, true).member(2, true);
        world.check(true, Some(Step::Remove(2.into())));
        let world = World::new(&[(1, Role::Manager, true)]);
        let world = world.member(1, true).member(3, true);
        world.check(true, Some(Step::Remove(3.into())));
    }
}
