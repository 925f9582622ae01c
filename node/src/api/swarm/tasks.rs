//! `/tasks`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::response::IntoResponse;
use services::object::{Task, TaskState};
use services::plan::is_task_dirty;
use services::{Id, State};

use super::{Reply, look};
use crate::api::backend::{Manager, View};
use crate::api::convert;
use crate::api::dto;
use crate::api::error::ApiError;
use crate::api::query::{Filters, Query};

const FILTERS: &[&str] = &[
    "id",
    "name",
    "label",
    "service",
    "node",
    "desired-state",
    "runtime",
    "_up-to-date",
];

const STATES: [TaskState; 14] = [
    TaskState::New,
    TaskState::Pending,
    TaskState::Assigned,
    TaskState::Accepted,
    TaskState::Preparing,
    TaskState::Ready,
    TaskState::Starting,
    TaskState::Running,
    TaskState::Complete,
    TaskState::Shutdown,
    TaskState::Failed,
    TaskState::Rejected,
    TaskState::Remove,
    TaskState::Orphaned,
];

pub(super) fn list(swarm: &dyn Manager, query: &Query) -> Reply {
    let filters = query.filters(FILTERS)?;
    check_desired(&filters)?;
    let shown = look(swarm, |view| listed(view, &filters))?;
    Ok(Json(shown).into_response())
}

fn listed(view: View<'_>, filters: &Filters) -> Result<Vec<dto::Task>, ApiError> {
    let state = view.state;
    let services = filters.ids("service", |text| state.find_service(text).map(|it| it.id));
    let services = services.map_err(ApiError::lookup)?;
    let nodes = filters.ids("node", |text| state.find_node(text).map(|it| it.id));
    let nodes = nodes.map_err(ApiError::lookup)?;
    let is_on = |task: &Task, nodes: &BTreeSet<Id>| {
        let node = task.known_node();
        node.is_some_and(|node| nodes.contains(&node))
    };
    let tasks: Box<dyn Iterator<Item = &Arc<Task>>> = match services {
        Some(ids) => Box::new(ids.into_iter().flat_map(|id| state.tasks_of_service(id))),
        None => Box::new(state.tasks()),
    };
    Ok(tasks
        .filter(|task| nodes.as_ref().is_none_or(|nodes| is_on(task, nodes)))
        .filter(|task| matches(filters, task, state))
        .map(|task| show(task, view))
        .collect())
}

fn check_desired(filters: &Filters) -> Result<(), ApiError> {
    let known = |text: &str| STATES.iter().any(|state| is_state(*state, text));
    match filters.values("desired-state").find(|text| !known(text)) {
        Some(text) => Err(ApiError::internal(format!(
            "Invalid desired-state filter: '{text}'"
        ))),
        None => Ok(()),
    }
}

fn is_state(state: TaskState, text: &str) -> bool {
    state.as_str().eq_ignore_ascii_case(text)
}

fn matches(filters: &Filters, task: &Task, state: &State) -> bool {
    filters.prefix("id", task.id)
        && (!filters.has("name") || filters.prefix("name", task.container_name()))
        && filters.labels("label", &task.spec.labels)
        && filters.equals("runtime", "container")
        && filters.any("desired-state", |text| is_state(task.shown_desired(), text))
        && (!filters.flag("_up-to-date") || is_up_to_date(task, state))
}

/// Whether an update would leave the task as it is.
fn is_up_to_date(task: &Task, state: &State) -> bool {
    let node = task.node.and_then(|id| state.node(id));
    state
        .service(task.service)
        .is_some_and(|service| !is_task_dirty(service, task, node.map(AsRef::as_ref)))
}

pub(super) fn inspect(swarm: &dyn Manager, id: &str) -> Reply {
    let shown = look(swarm, |view| {
        let task = view.state.find_task(id).map_err(ApiError::lookup)?;
        Ok(show(task, view))
    })?;
    Ok(Json(shown).into_response())
}

fn show(task: &Task, view: View<'_>) -> dto::Task {
    convert::task(task, State::effective(task, view.observed), view.state)
}
