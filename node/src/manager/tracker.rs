//! Who is there, as the leader sees it: a node that was heard of lately is
//! ready, one whose engine does not answer is down at once, and one that was
//! silent for five seconds is down too. A node that is heard but has not said
//! yet what its engine is like and what it runs is neither.
//!
//! A leader that has just taken over has heard nobody. It gives every node the
//! same five seconds from its election on, so that a change of leader never
//! looks like a mass death. Until gossip takes over, this is the whole of the
//! failure detection.
//!
//! Silence is measured on a clock that nobody sets ([`Moment`]): the first time
//! server that a device reaches after its boot may move the calendar by years.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use services::object::{TaskState, TaskStatus};
use services::{Id, NodeHealth, NodeObserved, Observed, Timestamp};

/// A node whose session has been silent for so long is down.
pub const SILENCE: Duration = Duration::from_secs(5);

/// Time since some fixed moment of this process.
pub type Moment = Duration;

#[derive(Debug)]
pub struct Tracker {
    elected: Moment,
    nodes: BTreeMap<Id, Heard>,
    observed: Observed,
}

#[derive(Debug)]
struct Heard {
    last: Moment,
    engine: Engine,
    /// It has told of all its tasks.
    told_all: bool,
}

/// As the node itself said.
#[derive(Debug)]
enum Engine {
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
            nodes: BTreeMap::new(),
            observed: Observed::default(),
        }
    }

    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    pub fn heard(&mut self, node: Id, now: Moment) {
        self.nodes
            .entry(node)
            .and_modify(|heard| heard.last = heard.last.max(now))
            .or_insert(Heard {
                last: now,
                engine: Engine::Unknown,
                told_all: false,
            });
    }

    /// `fault` is `None` where the engine is ready.
    pub fn engine(&mut self, node: Id, fault: Option<String>, now: Moment) {
        self.heard(node, now);
        if let Some(heard) = self.nodes.get_mut(&node) {
            heard.engine = fault.map_or(Engine::Ready, Engine::Faulty);
        }
    }

    /// All that the node runs has been told: what is not known of it is not there.
    pub fn told_all(&mut self, node: Id, now: Moment) {
        self.heard(node, now);
        if let Some(heard) = self.nodes.get_mut(&node) {
            heard.told_all = true;
        }
    }

    /// The later report of a task wins: by state, then by time.
    pub fn task(&mut self, task: Id, status: TaskStatus) {
        let newer = |known: &TaskStatus| {
            (status.state, status.at) > (known.state, known.at) && known.state < TaskState::Complete
        };
        if self.observed.tasks.get(&task).is_none_or(newer) {
            self.observed.tasks.insert(task, status);
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
        self.nodes.retain(|id, _| nodes.contains(id));
        self.observed.nodes.retain(|id, _| nodes.contains(id));
        self.observed.tasks.retain(|id, _| is_task(*id));

        let mut next: Option<Moment> = None;
        for id in nodes {
            let (health, until) = self.judge(*id, now);
            if let Some(until) = until {
                next = Some(next.map_or(until, |next| next.min(until)));
            }
            let known = self.observed.nodes.get(id);
            if known.is_none_or(|known| known.health != health) {
                let since = date;
                let seen = NodeObserved { health, since };
                self.observed.nodes.insert(*id, seen);
            }
        }
        next
    }

    /// The health of a node, and until when it holds if nothing is heard.
    fn judge(&self, node: Id, now: Moment) -> (NodeHealth, Option<Moment>) {
        let heard = self.nodes.get(&node);
        let deadline = heard.map_or(self.elected, |heard| heard.last) + SILENCE;
        if now >= deadline {
            let reason = format!("no word from it for {} s", SILENCE.as_secs());
            return (NodeHealth::Down { reason }, None);
        }
        let health = match heard {
            None => NodeHealth::Unknown,
            Some(heard) => match (&heard.engine, heard.told_all) {
                (Engine::Faulty(fault), _) => NodeHealth::Down {
                    reason: fault.clone(),
                },
                (Engine::Ready, true) => NodeHealth::Ready,
                _ => NodeHealth::Unknown,
            },
        };
        (health, Some(deadline))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: Id = Id::from_u128(1);
    const TASK: Id = Id::from_u128(2);

    fn at(seconds: u64) -> Moment {
        Moment::from_secs(seconds)
    }

    /// A node that has said all that it has to say.
    fn introduced(now: Moment) -> Tracker {
        let mut tracker = Tracker::new(at(0));
        tracker.engine(NODE, None, now);
        tracker.told_all(NODE, now);
        tracker
    }

    fn settle(tracker: &mut Tracker, now: Moment) -> (NodeHealth, Option<Moment>) {
        let next = tracker.settle(&BTreeSet::from([NODE]), |_| true, now, Timestamp(1));
        (tracker.observed().nodes[&NODE].health.clone(), next)
    }

    fn status(state: TaskState, now: Moment) -> TaskStatus {
        TaskStatus {
            state,
            at: Timestamp(0) + now,
            message: String::new(),
            error: None,
            container: None,
            ports: Vec::new(),
            started: None,
        }
    }

    #[test]
    fn a_new_leader_gives_up_nobody_before_the_silence_has_passed() {
        let mut tracker = Tracker::new(at(100));
        assert_eq!(
            settle(&mut tracker, at(104)),
            (NodeHealth::Unknown, Some(at(105)))
        );
        assert!(matches!(
            settle(&mut tracker, at(105)).0,
            NodeHealth::Down { .. }
        ));
    }

    #[test]
    fn silence_takes_a_node_down_and_a_word_brings_it_back() {
        let mut tracker = introduced(at(10));
        assert_eq!(
            settle(&mut tracker, at(14)),
            (NodeHealth::Ready, Some(at(15)))
        );
        assert!(matches!(
            settle(&mut tracker, at(15)).0,
            NodeHealth::Down { .. }
        ));
        tracker.heard(NODE, at(20));
        assert_eq!(settle(&mut tracker, at(20)).0, NodeHealth::Ready);
    }

    #[test]
    fn an_engine_that_does_not_answer_takes_its_node_down_at_once() {
        let mut tracker = introduced(at(1));
        tracker.engine(NODE, Some("engine: refused".into()), at(1));
        assert_eq!(
            settle(&mut tracker, at(1)).0,
            NodeHealth::Down {
                reason: "engine: refused".into()
            }
        );
        tracker.engine(NODE, None, at(2));
        assert_eq!(settle(&mut tracker, at(2)).0, NodeHealth::Ready);
    }

    #[test]
    fn a_node_is_not_used_before_all_is_known_of_it() {
        let mut tracker = Tracker::new(at(0));
        tracker.heard(NODE, at(1));
        assert_eq!(settle(&mut tracker, at(1)).0, NodeHealth::Unknown);
        tracker.engine(NODE, None, at(1));
        assert_eq!(settle(&mut tracker, at(1)).0, NodeHealth::Unknown);
        tracker.told_all(NODE, at(1));
        assert_eq!(settle(&mut tracker, at(1)).0, NodeHealth::Ready);
    }

    #[test]
    fn a_late_report_does_not_bring_a_task_back() {
        let mut tracker = Tracker::new(at(0));
        tracker.task(TASK, status(TaskState::Failed, at(5)));
        tracker.task(TASK, status(TaskState::Running, at(6)));
        assert_eq!(
            tracker.observed().tasks[&TASK].state,
            TaskState::Failed,
            "states only move forward"
        );
    }

    #[test]
    fn what_left_the_state_is_forgotten() {
        let mut tracker = Tracker::new(at(0));
        tracker.heard(NODE, at(1));
        tracker.task(TASK, status(TaskState::Running, at(1)));
        tracker.settle(&BTreeSet::new(), |_| false, at(1), Timestamp(1));
        assert!(tracker.observed().nodes.is_empty());
        assert!(tracker.observed().tasks.is_empty());
        assert!(tracker.nodes.is_empty());
    }
}
