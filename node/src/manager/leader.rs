//! The leader's loop: see, plan, propose, until there is nothing to do.
//!
//! It wakes when the state changed, when something was seen, and at the time
//! that the last plan asked for. What the plan returns is proposed as it is:
//! the plan decides, Raft orders, and nothing is remembered here.

use std::sync::Arc;
use std::time::Duration;

use services::happened::Happened;
use services::plan::{CHANGES_PER_PROPOSAL, Plan, plan};
use services::{Change, Command, Id, NodeHealth, Timestamp};
use tokio::task::block_in_place;
use tokio::time::{sleep, timeout};

use super::events::{Event, Kind};
use super::machine::Machine;
use super::observer::name;
use super::{Manager, ProposeError, node_id, node_key, roles};
use crate::clock;

/// Reports come in bursts; a plan for each would be wasted.
const SETTLE: Duration = Duration::from_millis(5);
/// Tasks for which a plan takes some milliseconds.
const PLANNED_AT_ONCE: usize = 1_000;
/// A node that is ready for the first time so soon was not here before.
const JUST_JOINED: Duration = Duration::from_secs(60);
/// The longest pause between two rounds.
const ROUND: Duration = Duration::from_secs(1);

/// Runs until it is dropped.
pub async fn run(manager: Arc<Manager>) {
    loop {
        let term = manager.lead_next().await;
        let mut status = manager.raft.watch();
        let me = manager.me;
        let deposed = async {
            status
                .wait_for(|status| status.leader != Some(me) || status.term != term)
                .await
                .map(drop)
        };
        tokio::select! {
            () = lead(&manager) => {}
            () = roles::run(&manager) => {}
            _ = deposed => {}
        }
        tracing::info!("no longer the leader");
    }
}

impl Manager {
    /// Waits until this manager leads and has applied what was agreed before;
    /// returns its term.
    async fn lead_next(&self) -> u64 {
        let mut status = self.raft.watch();
        let term = loop {
            let me = self.me;
            let elected = status
                .wait_for(|status| status.leader == Some(me))
                .await
                .map(|status| status.term);
            let Ok(term) = elected else {
                std::future::pending().await
            };
            match self.raft.read_barrier().await {
                Ok(_) => break term,
                Err(error) => {
                    tracing::debug!(%error, "elected, but not yet able to lead");
                    sleep(SETTLE).await;
                }
            }
        };
        self.observer.elected(term, clock::moment());
        // What was relayed before the election was merged into what is gone.
        self.hub.tell_all();
        self.hub.news.notify_one();
        self.note(Kind::Manager, node_key(self.me), "leads the swarm");
        term
    }
}

async fn lead(manager: &Manager) {
    let mut status = manager.raft.watch();
    let mut gossip = manager.gossip.changes();
    gossip.mark_changed();
    loop {
        status.borrow_and_update();
        if gossip.has_changed().unwrap_or(false) {
            gossip.borrow_and_update();
            manager.hear_gossip();
        }
        let next = round(manager).await;
        let pause = next.map_or(ROUND, |pause| pause.min(ROUND));
        let woken = async {
            tokio::select! {
                _ = status.changed() => {}
                Ok(()) = gossip.changed() => gossip.mark_changed(),
                () = manager.observer.news.notified() => {}
            }
        };
        if timeout(pause, woken).await.is_ok() {
            sleep(SETTLE).await;
        }
    }
}

/// One look and what follows from it; returns how long it holds at most.
async fn round(manager: &Manager) -> Option<Duration> {
    let (now, moment) = (clock::now(), clock::moment());
    let look = |machine: &Machine| {
        let state = &machine.state;
        let settled = manager.observer.settle(state, moment, now);
        manager.note_changes(machine, now);
        let described = manager.observer.undescribed(state);
        let plan = manager
            .observer
            .read(|observed| plan(state, observed, now, &mut new_id));
        (settled, plan, described)
    };
    // A plan for thousands of tasks takes longer than a heartbeat may.
    let many = manager.read_state(|state| state.tasks().len() > PLANNED_AT_ONCE);
    let (settled, Plan { changes, next }, described) = match many {
        true => block_in_place(|| manager.raft.read(look)),
        false => manager.raft.read(look),
    };
    for (id, description, addr) in described {
        propose(
            manager,
            Command::DescribeNode {
                id,
                description: Box::new(description),
                addr,
            },
        )
        .await;
    }
    commit(manager, changes).await;
    let settled = settled.map(|at| at.saturating_sub(clock::moment()));
    let next = next.map(|at| at.since(clock::now()));
    [settled, next].into_iter().flatten().min()
}

impl Manager {
    fn hear_gossip(&self) {
        let members = self.gossip.members();
        let (ours, theirs) = (clock::moment(), self.gossip.now());
        let to_ours = |at: Duration| ours.saturating_sub(theirs.saturating_sub(at));
        self.read_state(|state| self.observer.gossip(&members, state, to_ours));
    }

    /// Tells people of the nodes that came and went.
    fn note_changes(&self, machine: &Machine, now: Timestamp) {
        let state = &machine.state;
        for change in self.observer.take_changes() {
            if let Some(node) = state.node(change.node) {
                let told = Happened::health(now, node, &change.before, &change.after);
                machine.happened.add(told);
            }
            let new = state
                .node(change.node)
                .is_some_and(|node| now.since(node.meta.created) < JUST_JOINED);
            let text = match (&change.before, &change.after) {
                (_, NodeHealth::Down { reason }) => format!("is down: {reason}"),
                (NodeHealth::Down { .. }, NodeHealth::Ready) => "is back".to_owned(),
                (NodeHealth::Unknown, NodeHealth::Ready) if new => "joined the swarm".to_owned(),
                _ => continue,
            };
            let event = Event {
                at: now,
                kind: Kind::Node,
                node: change.node,
                name: name(state, node_id(change.node)),
                text,
            };
            event.log();
            self.events.add(event);
        }
    }
}

async fn commit(manager: &Manager, changes: Vec<Change>) {
    for changes in changes.chunks(CHANGES_PER_PROPOSAL) {
        let changes = changes.to_vec();
        propose(manager, Command::Plan { changes }).await;
    }
}

/// What fails here is decided again in the next round.
async fn propose(manager: &Manager, command: Command) {
    match manager.propose(command).await {
        Ok(_) => {}
        Err(ProposeError::Refused(refusal)) => tracing::warn!(%refusal, "a plan was refused"),
        Err(error) => {
            tracing::debug!(%error, "a plan was not agreed on");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

fn new_id() -> Id {
    clock::random_id()
}
