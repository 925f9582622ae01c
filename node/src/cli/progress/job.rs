//! How far a job is: how many of its tasks are complete, and what the others
//! do. A job is over when all are, or when the rest will not be run again.

use std::collections::{BTreeMap, BTreeSet};

use super::{Line, Look, MAX_LINES, Outcome, STATES, Slot, last_error, one_line, rank, short_id};
use crate::api::dto::Task;

const COMPLETE: &str = "complete";

/// `nodes` are remembered from one look to the next.
pub(super) fn look(look: &Look<'_>, nodes: &mut Option<BTreeSet<String>>) -> (Vec<Line>, Outcome) {
    let run = look.service.job_status.map(|job| job.job_iteration);
    let tasks: Vec<Task> = look
        .tasks
        .iter()
        .filter(|task| task.job_iteration == run)
        .cloned()
        .collect();
    let mode = &look.service.spec.mode;
    if let Some(job) = &mode.replicated_job {
        let concurrent = job.max_concurrent.unwrap_or(1);
        return replicated(job.total_completions.unwrap_or(1), concurrent, 0, &tasks);
    }
    // A service whose tasks are not run again.
    if let Some(mode) = &mode.replicated {
        let total = mode.replicas.unwrap_or(1);
        return replicated(total, total, 1, &tasks);
    }
    global(look, &tasks, nodes)
}

/// `first` is the number of the first slot.
fn replicated(total: u64, concurrent: u64, first: u64, tasks: &[Task]) -> (Vec<Line>, Outcome) {
    let current = least_far(tasks, |task| Some(Slot::Number(task.slot)));
    let complete = count(&current, is_complete);
    let active = count(&current, |task| {
        STATES.contains(&task.status.state.as_str())
    });
    let wanted = concurrent.min(total - complete.min(total));
    let digits = wanted.to_string().len();
    let mut lines = vec![
        overall(complete, total),
        Line::new(
            "active tasks",
            format!("{active:digits$} out of {wanted} tasks"),
        ),
    ];
    let id = |slot: &Slot| match slot {
        Slot::Number(number) => format!("{}/{total}", (number + 1).saturating_sub(first)),
        Slot::Node(node) => node.clone(),
    };
    lines.extend(task_lines(&current, tasks, total, id));
    verdict(&current, complete, total, lines)
}

fn global(
    look: &Look<'_>,
    tasks: &[Task],
    nodes: &mut Option<BTreeSet<String>>,
) -> (Vec<Line>, Outcome) {
    if nodes.is_none() && tasks.is_empty() && !look.nodes.is_empty() {
        let waits = Line::new("job progress", "waiting for tasks");
        return (vec![waits], Outcome::Pending);
    }
    let nodes =
        nodes.get_or_insert_with(|| tasks.iter().map(|task| task.node_id.clone()).collect());
    let slot = |task: &Task| {
        let node = &task.node_id;
        nodes.contains(node).then(|| Slot::Node(node.clone()))
    };
    let current = least_far(tasks, slot);
    let total = nodes.len() as u64;
    let complete = count(&current, is_complete);
    let mut lines = vec![overall(complete, total)];
    let id = |slot: &Slot| match slot {
        Slot::Number(number) => number.to_string(),
        Slot::Node(node) => short_id(node).to_owned(),
    };
    lines.extend(task_lines(&current, tasks, total, id));
    verdict(&current, complete, total, lines)
}

/// The task that stands for each slot is the one that got least far: those
/// before it failed.
fn least_far(
    tasks: &[Task],
    slot: impl Fn(&Task) -> Option<Slot>,
) -> BTreeMap<Slot, (usize, &Task)> {
    let mut current: BTreeMap<Slot, (usize, &Task)> = BTreeMap::new();
    for task in tasks {
        let (Some(state), Some(slot)) = (rank(&task.status.state), slot(task)) else {
            continue;
        };
        let best = current.entry(slot).or_insert((state, task));
        if state < best.0 {
            *best = (state, task);
        }
    }
    current
}

fn count(current: &BTreeMap<Slot, (usize, &Task)>, counts: impl Fn(&Task) -> bool) -> u64 {
    current.values().filter(|(_, task)| counts(task)).count() as u64
}

fn is_complete(task: &Task) -> bool {
    task.status.state == COMPLETE
}

/// It failed, and nothing takes its place.
fn is_given_up(task: &Task) -> bool {
    let failed = matches!(task.status.state.as_str(), "failed" | "rejected");
    failed && task.desired_state == "shutdown"
}

fn overall(complete: u64, total: u64) -> Line {
    let digits = total.to_string().len();
    Line {
        reached: usize::try_from(complete).ok(),
        of: usize::try_from(total).unwrap_or(usize::MAX),
        ..Line::new(
            "job progress",
            format!("{complete:digits$} out of {total} complete"),
        )
    }
}

fn task_lines(
    current: &BTreeMap<Slot, (usize, &Task)>,
    all: &[Task],
    total: u64,
    id: impl Fn(&Slot) -> String,
) -> Vec<Line> {
    if total > MAX_LINES {
        return Vec::new();
    }
    let line = |(slot, (rank, task)): (&Slot, &(usize, &Task))| {
        let error = last_error(task, all).filter(|_| !is_complete(task));
        Line {
            id: id(slot),
            text: error.map_or_else(|| task.status.state.clone(), one_line),
            reached: error.is_none().then_some(rank + 1),
            // Beyond running, complete.
            of: STATES.len() + 1,
        }
    };
    current.iter().map(line).collect()
}

fn verdict(
    current: &BTreeMap<Slot, (usize, &Task)>,
    complete: u64,
    total: u64,
    mut lines: Vec<Line>,
) -> (Vec<Line>, Outcome) {
    if complete >= total {
        lines.push(Line::new("job", "complete"));
        return (lines, Outcome::Converged);
    }
    let given_up = count(current, is_given_up);
    if complete + given_up < total {
        return (lines, Outcome::Pending);
    }
    let reason = format!("{given_up} of {total} tasks of the job failed and are not run again");
    (lines, Outcome::Stuck(reason))
}
