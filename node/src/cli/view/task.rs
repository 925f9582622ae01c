//! `service ps` and `node ps`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::human::{natural_order, short_id, shorten, since, title};
use super::table::table;
use super::{image, ports};
use crate::api::dto::{Task, Time};

const MAX_ERROR: usize = 30;

/// What the ids in tasks are called. An id without a name is shown itself.
#[derive(Debug, Clone, Default)]
pub struct Names {
    pub services: BTreeMap<String, String>,
    pub nodes: BTreeMap<String, String>,
}

impl Names {
    pub fn service<'a>(&'a self, id: &'a str) -> &'a str {
        self.services.get(id).map_or(id, String::as_str)
    }

    pub fn node<'a>(&'a self, id: &'a str) -> &'a str {
        self.nodes.get(id).map_or(id, String::as_str)
    }
}

/// How tasks are shown.
#[derive(Debug, Clone, Copy)]
pub struct TaskView {
    pub truncate: bool,
    pub now: Time,
}

/// A line of `service ps`; its fields are the keys of `--format json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TaskRow {
    pub current_state: String,
    pub desired_state: String,
    pub error: String,
    #[serde(rename = "ID")]
    pub id: String,
    pub image: String,
    pub name: String,
    pub node: String,
    pub ports: String,
}

/// `web.1`, or the node's id where there is one task a node.
pub fn task_name(task: &Task, names: &Names) -> String {
    let service = names.service(&task.service_id);
    match task.slot {
        0 => format!("{service}.{}", task.node_id),
        slot => format!("{service}.{slot}"),
    }
}

/// The tasks by name, the newest of a slot first and those before it marked
/// ` \_ `.
pub fn task_rows(tasks: &[Task], names: &Names, view: TaskView) -> Vec<TaskRow> {
    let mut named: Vec<(String, &Task)> = tasks
        .iter()
        .map(|task| (task_name(task, names), task))
        .collect();
    named.sort_by(|(name_a, a), (name_b, b)| {
        natural_order(name_a, name_b)
            .then_with(|| b.created_at.cmp(&a.created_at))
            .then_with(|| a.id.cmp(&b.id))
    });
    let mut rows = Vec::with_capacity(named.len());
    let mut before: Option<&str> = None;
    for (name, task) in &named {
        let history = before == Some(name.as_str());
        before = Some(name);
        let shown = if history {
            format!(" \\_ {name}")
        } else {
            name.clone()
        };
        rows.push(row(shown, task, names, view));
    }
    rows
}

fn row(name: String, task: &Task, names: &Names, view: TaskView) -> TaskRow {
    let container = task.spec.container_spec.as_ref();
    let image = container.map_or("", |container| container.image.as_str());
    let error = match view.truncate {
        true => shorten(&task.status.err, MAX_ERROR),
        false => task.status.err.clone(),
    };
    TaskRow {
        current_state: current_state(task, view.now),
        desired_state: title(&task.desired_state),
        error: match error.is_empty() {
            true => error,
            false => format!("\"{error}\""),
        },
        id: match view.truncate {
            true => short_id(&task.id).to_owned(),
            false => task.id.clone(),
        },
        image: match view.truncate {
            true => image::familiar(image).to_owned(),
            false => image.to_owned(),
        },
        name,
        node: names.node(&task.node_id).to_owned(),
        ports: ports::of_task(&task.status.port_status.ports),
    }
}

/// `Running 12 seconds ago`.
fn current_state(task: &Task, now: Time) -> String {
    let then = task.status.timestamp;
    let elapsed = Duration::from_nanos(now.0.0.saturating_sub(then.0.0));
    format!(
        "{} {} ago",
        title(&task.status.state),
        since(elapsed).to_lowercase()
    )
}

pub fn task_table(rows: &[TaskRow]) -> String {
    let cells = rows.iter().map(|row| {
        [
            &row.id,
            &row.name,
            &row.image,
            &row.node,
            &row.desired_state,
            &row.current_state,
            &row.error,
            &row.ports,
        ]
        .map(String::clone)
        .to_vec()
    });
    table(
        &[
            "ID",
            "NAME",
            "IMAGE",
            "NODE",
            "DESIRED STATE",
            "CURRENT STATE",
            "ERROR",
            "PORTS",
        ],
        &cells.collect::<Vec<_>>(),
    )
}
