//! `/nodes`.

use axum::Json;
use axum::response::IntoResponse;
use services::managing::CANDIDATE;
use services::object::Node;
use services::spec::{Labels, Role};
use services::{Command, NodeHealth};

use super::{Call, Reply, done, look};
use crate::api::backend::{Manager, View};
use crate::api::convert;
use crate::api::dto::NodeSpec;
use crate::api::error::ApiError;
use crate::api::json;
use crate::api::query::{Filters, Query};

const FILTERS: &[&str] = &["id", "name", "label", "node.label", "role", "membership"];

pub(super) fn list(swarm: &dyn Manager, query: &Query) -> Reply {
    let filters = query.filters(FILTERS)?;
    check_values(&filters, "role", Role::WORDS)?;
    check_values(&filters, "membership", &["accepted", "pending"])?;
    let shown: Vec<_> = look(swarm, |view| {
        let nodes = view.state.nodes();
        let wanted = nodes.filter(|node| matches(&filters, node));
        Ok(wanted.map(|node| convert::node(node, view)).collect())
    })?;
    Ok(Json(shown).into_response())
}

fn check_values(filters: &Filters, key: &str, known: &[&str]) -> Result<(), ApiError> {
    let mut values = filters.values(key);
    match values.find(|value| !known.contains(&value.to_ascii_lowercase().as_str())) {
        Some(value) => Err(ApiError::internal(format!(
            "Invalid {key} filter: '{value}'"
        ))),
        None => Ok(()),
    }
}

fn matches(filters: &Filters, node: &Node) -> bool {
    let none = Labels::new();
    let (hostname, engine_labels) = match &node.description {
        Some(said) => (said.hostname.as_str(), &said.engine_labels),
        None => ("", &none),
    };
    filters.prefix("id", node.id)
        && filters.prefix("name", hostname)
        && filters.labels("label", engine_labels)
        && filters.labels("node.label", &node.spec.labels)
        && filters.equals("role", node.spec.role.as_str())
        && filters.equals("membership", "accepted")
}

pub(super) fn inspect(swarm: &dyn Manager, id: &str) -> Reply {
    let shown = look(swarm, |view| {
        let node = view.state.find_node(id).map_err(ApiError::lookup)?;
        Ok(convert::node(node, view))
    })?;
    Ok(Json(shown).into_response())
}

pub(super) async fn update(swarm: &dyn Manager, id: &str, call: Call) -> Reply {
    let wanted: NodeSpec = json::decode(&call.body, "swarm.NodeSpec")?;
    let version = call.query.version("node")?;
    let (id, role) = look(swarm, |view| {
        let node = view.state.find_node(id).map_err(ApiError::lookup)?;
        Ok((node.id, node.spec.role))
    })?;
    let mut spec = convert::node_spec(wanted)?;
    if role == Role::Manager && spec.role == Role::Worker {
        // Or the autopilot would soon undo what the user does.
        spec.labels.remove(CANDIDATE);
    }
    swarm
        .propose(Command::UpdateNode { id, version, spec })
        .await?;
    done()
}

pub(super) async fn remove(swarm: &dyn Manager, id: &str, query: &Query) -> Reply {
    let force = query.flag("force");
    let id = look(swarm, |view| {
        let node = view.state.find_node(id).map_err(ApiError::lookup)?;
        may_go(node, view, force).map(|()| node.id)
    })?;
    swarm.remove_node(id, force).await?;
    done()
}

fn may_go(node: &Node, view: View<'_>, force: bool) -> Result<(), ApiError> {
    let id = node.id;
    if node.spec.role == Role::Manager || view.managers.contains_key(&id) {
        return Err(ApiError::failed_precondition(format!(
            "node {id} is a cluster manager and is a member of the raft cluster. It must be \
             demoted to worker before removal"
        )));
    }
    let health = view.observed.nodes.get(&id).map(|seen| &seen.health);
    if !force && health == Some(&NodeHealth::Ready) {
        return Err(ApiError::failed_precondition(format!(
            "node {id} is not down and can't be removed"
        )));
    }
    Ok(())
}
