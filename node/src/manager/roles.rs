//! The leader brings the members of the Raft group in line with the nodes'
//! wanted roles: one step at a time, a learner before a voter, and never a
//! step that needs a node which is not there.

use std::collections::BTreeMap;
use std::time::Duration;

use certs::NodeId;
use raft::{Member, MemberStatus};
use services::State;
use services::spec::Role;
use services::{NodeHealth, Observed};
use tokio::time::{sleep, timeout};

use super::{Manager, node_id, node_key};

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
            continue;
        };
        tracing::info!(?step, "changing the managers");
        let done = match step.clone() {
            Step::AddLearner(member) => manager.raft.add_learner(member).await,
            Step::Promote(id) => manager.raft.promote(id).await,
            Step::Remove(id) => manager.raft.remove(id).await,
        };
        if let Err(error) = done {
            tracing::warn!(?step, %error, "could not change the managers");
            sleep(Duration::from_secs(1)).await;
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
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    AddLearner(Member),
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
            match members.get(&id) {
                None => Some(Step::AddLearner(Member {
                    id,
                    addr: node.addr,
                })),
                Some(member) if !member.voter && caught_up(id) => Some(Step::Promote(id)),
                Some(_) => None,
            }
        })
}

#[cfg(test)]
mod tests {
    use services::spec::{Availability, Labels, NodeSpec};
    use services::{Command, Id, NodeObserved, Proposal, Timestamp};

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
