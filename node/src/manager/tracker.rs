//! Who is there, as the leader sees it: what the sessions relay and what gossip
//! believes, merged.
//!
//! A node that was heard over a session lately is ready, one whose engine does
//! not answer is down at once, and one that is heard but has not said yet what
//! its engine is like and what it runs is neither. A node that its watchers in
//! gossip agree to be silent is down as soon as its session has missed a beat
//! too. Silence of the session alone is not enough for a while, and for longer
//! where gossip still hears the node: its way to the managers may be what broke.
//!
//! A leader that has just taken over has heard nobody. What gossip calls dead
//! is down for it at once; every other node gets the full patience from the
//! election on, or from when it came later, so that neither a change of leader
//! looks like a mass death, nor a new node like a lost one. And a leader that is
//! told of the death of most nodes at once doubts itself.
//!
//! Silence is measured on a clock that nobody sets ([`Moment`]): the first time
//! server that a device reaches after its boot may move the calendar by years.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use services::object::{TaskState, TaskStatus};
use services::{Id, NodeHealth, NodeObserved, NodeTrust, Observed, Timestamp};

/// A node whose session is silent for so long is down, if gossip knows nothing.
pub const SILENCE: Duration = Duration::from_secs(5);
/// The same where gossip says that the node is alive.
pub const SILENCE_OF_THE_LIVING: Duration = Duration::from_secs(15);
/// A session that gossip calls dead must be silent for this long too: one beat,
/// and a fifth for the way.
const MISSED_BEAT: Duration = Duration::from_millis(600);
/// A word that comes so long after gossip's verdict was not on its way already:
/// the verdict is wrong, and the session's silence counts alone.
const REFUTES: Duration = Duration::from_secs(1);
/// A daemon that stops in order is back within this time, or is not coming.
const RESTART: Duration = Duration::from_secs(10);

/// Time since some fixed moment of this process.
pub type Moment = Duration;

#[derive(Debug)]
pub struct Tracker {
    elected: Moment,
    /// Since when each node is one that can be waited for.
    met: BTreeMap<Id, Moment>,
    nodes: BTreeMap<Id, Heard>,
    rumours: BTreeMap<Id, Rumour>,
    /// The nodes that are not there, and since when; not those whose engine
    /// alone is at fault.
    absent: BTreeMap<Id, Moment>,
    observed: Observed,
    /// How often `observed` changed.
    revision: u64,
    /// Not taken yet.
    changes: Vec<Change>,
}

/// A change of a node's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub node: Id,
    pub before: NodeHealth,
    pub after: NodeHealth,
}

/// What gossip believes of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rumour {
    Alive,
    /// Its watchers agree that it is silent, or it said that it goes.
    Dead {
        /// When that was agreed.
        since: Moment,
        /// For people.
        why: String,
    },
}

#[derive(Debug, Default)]
struct Heard {
    /// `None`: only others' old reports of it were heard.
    last: Option<Moment>,
    /// Its daemon is being restarted and has until then.
    pausing: Option<Moment>,
    engine: Engine,
    /// It has told of all its tasks.
    told_all: bool,
}

/// As the node itself said.
#[derive(Debug, Default)]
enum Engine {
    #[default]
    Unknown,
    Ready,
    /// Why it cannot run tasks.
    Faulty(String),
}

impl Tracker {
    /// `now` is the moment of the election.
    pub fn new(now: Moment) -> Self {
        Self {
            elected: now,
            met: BTreeMap::new(),
            nodes: BTreeMap::new(),
            rumours: BTreeMap::new(),
            absent: BTreeMap::new(),
            observed: Observed::default(),
            revision: 0,
            changes: Vec::new(),
        }
    }

    /// What begins anew after this one, with an election at `now`.
    pub fn succeeded(&self, now: Moment) -> Self {
        Self {
            revision: self.revision + 1,
            ..Self::new(now)
        }
    }

    /// Goes up with every change of [`observed`](Self::observed).
    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    pub fn elected(&self) -> Moment {
        self.elected
    }

    /// Whether every node has told how it is, or is given up: as of the last
    /// [`settle`](Self::settle).
    pub fn is_briefed(&self) -> bool {
        let mut healths = self.observed.nodes.values().map(|node| &node.health);
        healths.all(|health| *health != NodeHealth::Unknown)
    }

    /// How long a node has not been there; `None` where it is, or may be.
    pub fn absence(&self, node: Id, now: Moment) -> Option<Duration> {
        let since = self.absent.get(&node)?;
        Some(now.saturating_sub(*since))
    }

    /// A live session with the node said something.
    pub fn heard(&mut self, node: Id, now: Moment) {
        let heard = self.nodes.entry(node).or_default();
        heard.last = heard.last.max(Some(now));
        heard.pausing = None;
    }

    /// What the node says of its identity; it counts until it says something else,
    /// or a new leader asks anew.
    pub fn trust(&mut self, node: Id, trust: NodeTrust) {
        if self.observed.trust.get(&node) != Some(&trust) {
            self.observed.trust.insert(node, trust);
            self.revision += 1;
        }
    }

    /// The node's daemon stops in order and leaves its containers running.
    pub fn pauses(&mut self, node: Id, now: Moment) {
        self.nodes.entry(node).or_default().pausing = Some(now + RESTART);
    }

    /// What gossip believes now; `None` where it has never heard of the node.
    pub fn rumour(&mut self, node: Id, rumour: Option<Rumour>) {
        match rumour {
            Some(rumour) => self.rumours.insert(node, rumour),
            None => self.rumours.remove(&node),
        };
    }

    /// `fault` is `None` where the engine is ready. A manager may tell this of a
    /// session that ended long ago, so it is no sign of life.
    pub fn engine(&mut self, node: Id, fault: Option<String>) {
        self.nodes.entry(node).or_default().engine = fault.map_or(Engine::Ready, Engine::Faulty);
    }

    /// All that the node runs has been told: what is not known of it is not
    /// there. No sign of life, as [`engine`](Self::engine).
    pub fn told_all(&mut self, node: Id) {
        self.nodes.entry(node).or_default().told_all = true;
    }

    /// The later report of a task wins: by state, then by time.
    pub fn task(&mut self, task: Id, status: TaskStatus) {
        let newer = |known: &TaskStatus| {
            (status.state, status.at) > (known.state, known.at) && known.state < TaskState::Complete
        };
        if self.observed.tasks.get(&task).is_none_or(newer) {
            self.observed.tasks.insert(task, status);
            self.revision += 1;
        }
    }

    /// Forgets what is no longer part of the state, and settles who is up.
    /// `date` is what a change is dated. Returns when to look again.
    pub fn settle(
        &mut self,
        nodes: &BTreeSet<Id>,
        is_task: impl Fn(Id) -> bool,
        now: Moment,
        date: Timestamp,
    ) -> Option<Moment> {
        let met = match self.met.is_empty() {
            true => self.elected,
            false => now,
        };
        self.met.retain(|id, _| nodes.contains(id));
        for id in nodes {
            self.met.entry(*id).or_insert(met);
        }
        self.nodes.retain(|id, _| nodes.contains(id));
        self.rumours.retain(|id, _| nodes.contains(id));
        self.absent.retain(|id, _| nodes.contains(id));
        let known = (self.observed.nodes.len(), self.observed.tasks.len());
        self.observed.nodes.retain(|id, _| nodes.contains(id));
        self.observed.trust.retain(|id, _| nodes.contains(id));
        self.observed.tasks.retain(|id, _| is_task(*id));
        if known != (self.observed.nodes.len(), self.observed.tasks.len()) {
            self.revision += 1;
        }

        let mut next: Option<Moment> = None;
        let credible = self.credible(nodes);
        for id in nodes {
            let rumour = self.rumours.get(id).filter(|_| credible);
            let health = match self.presence(*id, rumour, now) {
                Presence::Absent { reason } => {
                    if self.absent.contains_key(id) {
                        // Why it was given up first is what people ask.
                        continue;
                    }
                    self.absent.insert(*id, now);
                    NodeHealth::Down { reason }
                }
                Presence::Until(deadline) => {
                    next = Some(next.map_or(deadline, |next| next.min(deadline)));
                    self.absent.remove(id);
                    self.nodes
                        .get(id)
                        .map_or(NodeHealth::Unknown, Heard::health)
                }
            };
            self.note(*id, health, date);
        }
        next
    }

    fn note(&mut self, node: Id, health: NodeHealth, since: Timestamp) {
        let known = self.observed.nodes.get(&node);
        if known.is_some_and(|known| known.health == health) {
            return;
        }
        self.changes.push(Change {
            node,
            before: known.map_or(NodeHealth::Unknown, |known| known.health.clone()),
            after: health.clone(),
        });
        let seen = NodeObserved { health, since };
        self.observed.nodes.insert(node, seen);
        self.revision += 1;
    }

    /// What changed since this was asked last.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// A leader that hears of the death of several nodes at once, and of more
    /// than half of the others, is cut off from them itself more likely than not.
    fn credible(&self, nodes: &BTreeSet<Id>) -> bool {
        let there = nodes.iter().filter(|id| !self.absent.contains_key(id));
        let (dead, others) = there.fold((0, 0usize), |(dead, all), id| {
            let is_dead = matches!(self.rumours.get(id), Some(Rumour::Dead { .. }));
            (dead + usize::from(is_dead), all + 1)
        });
        dead < 2 || dead * 2 <= others.saturating_sub(1)
    }

    /// Whether a node is there, and until when that holds if nothing is heard.
    fn presence(&self, node: Id, rumour: Option<&Rumour>, now: Moment) -> Presence {
        let heard = self.nodes.get(&node);
        let last = heard.and_then(|heard| heard.last);
        let pausing = heard.and_then(|heard| heard.pausing);
        let known = last.or(self.met.get(&node).copied());
        let known = known.unwrap_or(self.elected);
        let (deadline, reason) = match rumour {
            Some(Rumour::Dead { since, why })
                if last.is_none_or(|last| last <= *since + REFUTES) =>
            {
                let deadline = last.map_or(Moment::ZERO, |last| last + MISSED_BEAT);
                (deadline, why.clone())
            }
            Some(Rumour::Alive) => (
                known + SILENCE_OF_THE_LIVING,
                format!(
                    "no manager has heard it for {} s, though other nodes do",
                    SILENCE_OF_THE_LIVING.as_secs()
                ),
            ),
            Some(Rumour::Dead { .. }) | None => (
                known + SILENCE,
                format!("no word from it for {} s", SILENCE.as_secs()),
            ),
        };
        match pausing {
            Some(until) if now >= until.max(deadline) => Presence::Absent {
                reason: format!(
                    "its daemon was stopped and is not back after {} s",
                    RESTART.as_secs()
                ),
            },
            Some(until) => Presence::Until(until.max(deadline)),
            None if now >= deadline => Presence::Absent { reason },
            None => Presence::Until(deadline),
        }
    }
}

enum Presence {
    /// If it is not heard before.
    Until(Moment),
    Absent {
        reason: String,
    },
}

impl Heard {
    /// Of a node that is there.
    fn health(&self) -> NodeHealth {
        match (&self.engine, self.told_all, self.last) {
            (_, _, None) => NodeHealth::Unknown,
            (Engine::Faulty(fault), _, _) => NodeHealth::Down {
                reason: fault.clone(),
            },
            (Engine::Ready, true, _) => NodeHealth::Ready,
            _ => NodeHealth::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;
