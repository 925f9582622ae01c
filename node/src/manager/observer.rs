//! The leader's ear: what all managers relay of their sessions, and what gossip
//! believes, merged.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use certs::NodeId;
use gossip::{Liveness, Member};
use services::State;
use services::bound::bound_description;
use services::object::NodeDescription;
use services::{Id, NodeHealth, Observed, Timestamp};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::node_key;
use super::tracker::{self, Moment, Rumour, Tracker};
use crate::clock;
use crate::control::lock;
use crate::control::message::{EngineReport, Relayed};

/// For so long after an election a question waits for nodes that have not told
/// yet how they are: those that had a session with the leader that was lost
/// need a moment to open another.
const BRIEFING: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Observer {
    inner: Mutex<Inner>,
    /// The term of this node's that `inner` is about, 0 before the first.
    term: watch::Sender<u64>,
    /// The last term in which all nodes have told how they are.
    briefed: watch::Sender<u64>,
    /// Woken when something was seen that may change the plan.
    pub news: Notify,
}

#[derive(Debug)]
struct Inner {
    tracker: Tracker,
    /// Through which manager a node was last heard.
    via: BTreeMap<NodeId, NodeId>,
    /// What nodes said of themselves, until it is in the state.
    described: BTreeMap<NodeId, (NodeDescription, SocketAddr)>,
}

impl Observer {
    pub fn new(now: Moment) -> Self {
        Self {
            inner: Mutex::new(Inner::new(now)),
            term: watch::Sender::new(0),
            briefed: watch::Sender::new(0),
            news: Notify::new(),
        }
    }

    /// This node was elected for `term`: nobody has been heard yet.
    pub fn elected(&self, term: u64, now: Moment) {
        let mut inner = lock(&self.inner);
        let tracker = inner.tracker.succeeded(now);
        *inner = Inner {
            tracker,
            ..Inner::new(now)
        };
        drop(inner);
        self.term.send_replace(term);
    }

    /// Waits until this node is the leader that `term` has. What was accepted
    /// before would be merged into what the election clears away.
    pub async fn in_office(&self, term: u64) {
        // The sender lives as long as `self`.
        let _ = self.term.subscribe().wait_for(|now| *now >= term).await;
    }

    /// Waits until the leader that `term` has was told by all nodes how they
    /// are, but no longer than [`BRIEFING`] after the election. Before, what
    /// runs would look as if it did not.
    pub async fn briefed(&self, term: u64) {
        let told = async {
            self.in_office(term).await;
            let elected = lock(&self.inner).tracker.elected();
            let left = (elected + BRIEFING).saturating_sub(clock::moment());
            let mut briefed = self.briefed.subscribe();
            let _ = timeout(left, briefed.wait_for(|of| *of >= term)).await;
        };
        // It may be deposed before it takes office.
        let _ = timeout(BRIEFING, told).await;
    }

    /// Takes a frame of the manager `via`. What it says of tasks counts only
    /// where `state` has placed the task on that node.
    pub fn accept(&self, via: NodeId, relayed: Relayed, state: &State, now: Moment) {
        let mut inner = lock(&self.inner);
        match relayed {
            Relayed::Alive(nodes) => {
                let mut returned = false;
                for node in nodes {
                    let id = node_key(node);
                    inner.tracker.heard(id, now);
                    inner.via.insert(node, via);
                    let seen = inner.tracker.observed().nodes.get(&id);
                    returned |= seen.is_none_or(|seen| seen.health == NodeHealth::Unknown)
                        || seen.is_some_and(|seen| seen.health != NodeHealth::Ready);
                }
                if !returned {
                    return;
                }
            }
            // Whoever received it has waited for that.
            Relayed::AsOf(_) => return,
            Relayed::Trust { node, trust } => {
                inner.tracker.trust(node_key(node), trust);
            }
            Relayed::Pauses(node) => {
                inner.tracker.pauses(node_key(node), now);
            }
            Relayed::Engine { node, addr, report } => {
                let id = node_key(node);
                inner.via.insert(node, via);
                match report {
                    EngineReport::Ready { description } => {
                        inner.tracker.engine(id, None);
                        match serde_json::from_slice(&description) {
                            Ok(mut description) => {
                                bound_description(&mut description);
                                inner.described.insert(node, (description, addr));
                            }
                            Err(error) => tracing::warn!(%node, %error, "unreadable description"),
                        }
                    }
                    EngineReport::Unavailable { reason } => {
                        inner.tracker.engine(id, Some(reason));
                    }
                }
            }
            Relayed::Tasks {
                node,
                now: theirs,
                complete,
                statuses,
            } => {
                let id = node_key(node);
                let ours = clock::now();
                for (task, mut status) in statuses {
                    clock::to_ours(&mut status, theirs, ours);
                    if state.task(task).is_some_and(|task| task.node == Some(id)) {
                        inner.tracker.task(task, status);
                    }
                }
                if complete {
                    inner.tracker.told_all(id);
                }
            }
        }
        drop(inner);
        self.news.notify_one();
    }

    /// Takes what gossip believes of everyone. `since` brings gossip's moments
    /// to those of this process.
    pub fn gossip(&self, members: &[Member], state: &State, since: impl Fn(Moment) -> Moment) {
        let mut inner = lock(&self.inner);
        for member in members {
            let rumour = rumour(member, state, &since);
            inner.tracker.rumour(node_key(member.id), rumour);
        }
    }

    /// Settles who is up; returns the next moment at which that may change.
    pub fn settle(&self, state: &State, now: Moment, date: Timestamp) -> Option<Moment> {
        let mut inner = lock(&self.inner);
        let Inner {
            tracker,
            via,
            described,
        } = &mut *inner;
        let nodes = state.nodes().map(|node| node.id).collect();
        let next = tracker.settle(&nodes, |task| state.task(task).is_some(), now, date);
        let known = |node: &NodeId| nodes.contains(&node_key(*node));
        via.retain(|node, _| known(node));
        described.retain(|node, _| known(node));
        if tracker.is_briefed() {
            let term = *self.term.borrow();
            self.briefed
                .send_if_modified(|of| std::mem::replace(of, term) != term);
        }
        next
    }

    pub fn read<R>(&self, look: impl FnOnce(&Observed) -> R) -> R {
        look(lock(&self.inner).tracker.observed())
    }

    /// Goes up with every change of what [`read`](Self::read) shows.
    pub fn revision(&self) -> u64 {
        lock(&self.inner).tracker.revision()
    }

    /// Whose health changed since this was asked last.
    pub fn take_changes(&self) -> Vec<tracker::Change> {
        lock(&self.inner).tracker.take_changes()
    }

    /// How long a node has not been there; `None` where it is, or may be.
    pub fn absence(&self, node: Id, now: Moment) -> Option<Duration> {
        lock(&self.inner).tracker.absence(node, now)
    }

    pub fn via(&self, node: NodeId) -> Option<NodeId> {
        lock(&self.inner).via.get(&node).copied()
    }

    /// The descriptions and addresses that differ from what `state` holds.
    pub fn undescribed(&self, state: &State) -> Vec<(Id, NodeDescription, SocketAddr)> {
        let mut inner = lock(&self.inner);
        inner.described.retain(|node, (description, addr)| {
            state.node(node_key(*node)).is_some_and(|known| {
                known.description.as_ref() != Some(description) || known.addr != *addr
            })
        });
        inner
            .described
            .iter()
            .map(|(node, (description, addr))| (node_key(*node), description.clone(), *addr))
            .collect()
    }
}

impl Inner {
    fn new(now: Moment) -> Self {
        Self {
            tracker: Tracker::new(now),
            via: BTreeMap::new(),
            described: BTreeMap::new(),
        }
    }
}

fn rumour(member: &Member, state: &State, since: impl Fn(Moment) -> Moment) -> Option<Rumour> {
    let since = since(member.since);
    match &member.liveness {
        Liveness::Alive | Liveness::Suspect => Some(Rumour::Alive),
        Liveness::Dead { by, witnesses } => {
            let silence = member
                .last_heard
                .map(|heard| member.since.saturating_sub(heard));
            let why = silent(&name(state, *by), *witnesses, silence);
            Some(Rumour::Dead { since, why })
        }
        Liveness::Left => {
            let why = "it said that it leaves".into();
            Some(Rumour::Dead { since, why })
        }
    }
}

/// "not heard by h1 and 2 others for 0.9 s"
fn silent(by: &str, witnesses: u8, silence: Option<Duration>) -> String {
    let others = match witnesses {
        0 => String::new(),
        1 => " and another node".into(),
        more => format!(" and {more} others"),
    };
    let time = silence.map_or(String::new(), |silence| {
        format!(" for {:.1} s", silence.as_secs_f64())
    });
    format!("not heard by {by}{others}{time}")
}

/// What people call a node.
pub fn name(state: &State, node: NodeId) -> String {
    let known = state.node(node_key(node));
    let hostname = known
        .and_then(|node| node.description.as_ref())
        .map(|description| description.hostname.clone())
        .filter(|name| !name.is_empty());
    hostname.unwrap_or_else(|| node.to_string())
}
