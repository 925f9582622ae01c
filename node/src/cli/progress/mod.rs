//! Whether a service does what its spec says, and how far it is.
//!
//! [`Progress`] is the pure half: each [`Look`] at the service and its tasks
//! becomes lines to show and an [`Outcome`]. A service has converged when every
//! slot's task has been running for the monitor period; a task that falls over
//! meanwhile starts the period anew. A job has when its tasks are complete.
//! [`wait`] looks again and again, and [`draw`] shows the lines as bars on a
//! terminal or one by one elsewhere.

mod draw;
mod job;
mod patience;
mod several;
mod wait;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use draw::Drawing;
pub use patience::{patiently, unless_interrupted};
pub use several::{Ended, Wait, wait_for};
pub use wait::wait;

use super::view::{short_id, shorten};
use crate::api::dto::{Node, Service, Task};

/// How long the tasks are watched where the spec does not say.
const MONITOR: Duration = Duration::from_secs(5);
/// More slots than this share one line.
const MAX_LINES: u64 = 20;
const MAX_ERROR: usize = 75;
/// The states of a task that gets somewhere, in their order.
pub const STATES: [&str; 9] = [
    "new",
    "allocated",
    "pending",
    "assigned",
    "accepted",
    "preparing",
    "ready",
    "starting",
    "running",
];
/// Those of one that has ended.
const ENDED: [&str; 4] = ["complete", "shutdown", "failed", "rejected"];

/// A service as it was seen at one moment.
#[derive(Debug)]
pub struct Look<'a> {
    pub service: &'a Service,
    /// Those of the current spec, dead ones too.
    pub tasks: &'a [Task],
    pub nodes: &'a [Node],
    /// Since any fixed point.
    pub at: Duration,
}

/// Something to show; a later line with the same id replaces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub id: String,
    pub text: String,
    /// How many of the states a task, or how many completions a job has
    /// reached, where that is all there is to say about it.
    pub reached: Option<usize>,
    /// How many there are to reach.
    pub of: usize,
}

impl Line {
    fn new(id: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            text: text.into(),
            reached: None,
            of: STATES.len(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Look again.
    Pending,
    Converged,
    /// It will not converge by itself.
    Stuck(String),
}

/// What a service is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Until {
    /// It does what its spec says, and goes on to.
    #[default]
    Converged,
    /// All its tasks run, which with a health check means that they are healthy.
    Healthy,
    /// All its tasks ended well, whether or not it is a job.
    Completed,
}

/// What is remembered from one look to the next.
#[derive(Debug, Default)]
pub struct Progress {
    until: Until,
    /// Slots in the order in which they were seen: 1, 2, … without gaps.
    places: BTreeMap<Slot, usize>,
    running_since: Option<Duration>,
    rolling_back: bool,
    rolled_back: Option<String>,
    /// The nodes that a global job began on: those that come later are not
    /// waited for.
    job_nodes: Option<BTreeSet<String>>,
}

/// A replica's number, or the node of a task that each node has one of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Number(u64),
    Node(String),
}

impl Progress {
    pub fn until(until: Until) -> Self {
        Self {
            until,
            ..Self::default()
        }
    }

    pub fn look(&mut self, look: &Look<'_>) -> (Vec<Line>, Outcome) {
        let mut lines = Vec::new();
        if let Some(reason) = self.update_status(look.service, &mut lines) {
            return (lines, Outcome::Stuck(reason));
        }
        if look.service.job_status.is_some() || self.until == Until::Completed {
            return job::look(look, &mut self.job_nodes);
        }
        let mut current = current_tasks(look);
        let replicated = look.service.spec.mode.global.is_none();
        if !replicated {
            // The node was drained, or suits no more.
            current.retain(|_, task| !ended(&task.desired_state));
        }
        let wanted = match &look.service.spec.mode.replicated {
            Some(mode) => mode.replicas.unwrap_or(1),
            None if replicated => 1,
            None => current.len() as u64,
        };
        if !replicated && current.is_empty() {
            lines.push(Line::new("overall progress", "waiting for new tasks"));
            return (lines, Outcome::Pending);
        }
        let running = current.values().filter(|task| runs(task)).count() as u64;
        lines.push(self.overall(running, wanted));
        self.slots(&current, look.tasks, wanted, &mut lines);
        let outcome = self.verdict(running == wanted, look, &mut lines);
        (lines, outcome)
    }

    /// Why the update is stuck, if it is.
    fn update_status(&mut self, service: &Service, lines: &mut Vec<Line>) -> Option<String> {
        let status = service.update_status.as_ref()?;
        match status.state.as_str() {
            "updating" => self.rolling_back = false,
            "paused" => return Some(format!("service update paused: {}", status.message)),
            "rollback_paused" => {
                return Some(format!("service rollback paused: {}", status.message));
            }
            "rollback_started" => {
                if !self.rolling_back && !status.message.is_empty() {
                    lines.push(Line::new("rollback", &status.message));
                }
                self.rolling_back = true;
            }
            "rollback_completed" => {
                self.rolling_back = true;
                self.rolled_back = Some(status.message.clone());
            }
            _ => {}
        }
        None
    }

    fn overall(&self, running: u64, wanted: u64) -> Line {
        let doing = match self.rolling_back {
            true => "rolling back update: ",
            false => "",
        };
        Line::new(
            "overall progress",
            format!("{doing}{running} out of {wanted} tasks"),
        )
    }

    fn slots(
        &mut self,
        current: &BTreeMap<Slot, &Task>,
        all: &[Task],
        wanted: u64,
        lines: &mut Vec<Line>,
    ) {
        if wanted > MAX_LINES {
            lines.extend(errors_in_one(current.values(), all));
            return;
        }
        for (slot, task) in current {
            let next = self.places.len() + 1;
            let place = *self.places.entry(slot.clone()).or_insert(next);
            let id = match slot {
                Slot::Number(_) if place as u64 > wanted => continue,
                Slot::Number(_) => format!("{place}/{wanted}"),
                Slot::Node(node) => short_id(node).to_owned(),
            };
            lines.extend(slot_line(id, task, last_error(task, all)));
        }
    }

    fn verdict(&mut self, all_run: bool, look: &Look<'_>, lines: &mut Vec<Line>) -> Outcome {
        if !all_run {
            if self.running_since.take().is_some() {
                lines.push(Line::new("verify", "Detected task failure"));
            }
            return Outcome::Pending;
        }
        let since = *self.running_since.get_or_insert(look.at);
        let monitor = match self.until {
            Until::Healthy => Duration::ZERO,
            _ => monitor(look.service),
        };
        let watched = look.at.saturating_sub(since);
        if watched < monitor {
            let left = (monitor - watched).as_nanos().div_ceil(1_000_000_000);
            lines.push(Line::new(
                "verify",
                format!("Waiting {left} seconds to verify that tasks are stable..."),
            ));
            return Outcome::Pending;
        }
        let converged = format!("Service {} converged", look.service.id);
        lines.push(Line::new("verify", converged));
        if let Some(message) = &self.rolled_back {
            lines.push(Line::new("rollback", message));
        }
        Outcome::Converged
    }
}

fn monitor(service: &Service) -> Duration {
    let said = service.spec.update_config.as_ref().and_then(|c| c.monitor);
    match said.and_then(|nanos| u64::try_from(nanos).ok()) {
        Some(nanos) if nanos > 0 => Duration::from_nanos(nanos),
        _ => MONITOR,
    }
}

/// The place of a state in the life of a task; `None` where it is unknown.
fn rank(state: &str) -> Option<usize> {
    STATES
        .iter()
        .chain(&ENDED)
        .position(|known| *known == state)
}

/// Whether a task in `state` comes back no more.
pub fn ended(state: &str) -> bool {
    !STATES.contains(&state)
}

fn runs(task: &Task) -> bool {
    task.status.state == "running" && !ended(&task.desired_state)
}

/// The task that stands for each slot: the one that is wanted most, and of
/// these the one that has come least far (there are two while one is started
/// before the other stops). Tasks on nodes that are down do not count.
fn current_tasks<'a>(look: &Look<'a>) -> BTreeMap<Slot, &'a Task> {
    let down: BTreeSet<&str> = look
        .nodes
        .iter()
        .filter(|node| node.status.state == "down")
        .map(|node| node.id.as_str())
        .collect();
    let mut current: BTreeMap<Slot, ((usize, usize), &Task)> = BTreeMap::new();
    for task in look.tasks {
        let (Some(desired), Some(state)) = (rank(&task.desired_state), rank(&task.status.state))
        else {
            continue;
        };
        if down.contains(task.node_id.as_str()) {
            continue;
        }
        let order = (desired, state);
        let best = current.entry(slot_of(task)).or_insert((order, task));
        if order < best.0 {
            *best = (order, task);
        }
    }
    current
        .into_iter()
        .map(|(slot, (_, task))| (slot, task))
        .collect()
}

fn slot_of(task: &Task) -> Slot {
    match task.slot {
        0 => Slot::Node(task.node_id.clone()),
        slot => Slot::Number(slot),
    }
}

fn slot_line(id: String, task: &Task, error: Option<&str>) -> Option<Line> {
    let state = task.status.state.as_str();
    let text = match error {
        Some(error) => one_line(error),
        None if ended(state) || ended(&task.desired_state) => return None,
        None => state.to_owned(),
    };
    let place = STATES.iter().position(|known| *known == state);
    let reached = place.filter(|_| error.is_none()).map(|place| place + 1);
    let of = STATES.len();
    Some(Line {
        id,
        text,
        reached,
        of,
    })
}

/// Why the slot of `task` does not run: the task's own error, or that of the
/// attempt before it.
fn last_error<'a>(task: &'a Task, all: &'a [Task]) -> Option<&'a str> {
    if !task.status.err.is_empty() {
        return Some(&task.status.err);
    }
    if task.status.state == "running" {
        return None;
    }
    let slot = slot_of(task);
    all.iter()
        .filter(|other| slot_of(other) == slot && !other.status.err.is_empty())
        .max_by_key(|other| other.created_at)
        .map(|other| other.status.err.as_str())
}

/// The error that most slots have, where there are too many for a line each.
fn errors_in_one<'a>(current: impl Iterator<Item = &'a &'a Task>, all: &'a [Task]) -> Option<Line> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for error in current.filter_map(|task| last_error(task, all)) {
        *counts.entry(error).or_default() += 1;
    }
    let (error, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    Some(Line::new(
        "errors",
        format!("{count} tasks: {}", one_line(error)),
    ))
}

/// Why it is not where it should be, where its tasks say so.
pub fn complaint(look: &Look<'_>) -> Option<String> {
    let current = current_tasks(look);
    errors_in_one(current.values(), look.tasks).map(|line| line.text)
}

fn one_line(error: &str) -> String {
    let line: String = error
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    shorten(&line, MAX_ERROR)
}
