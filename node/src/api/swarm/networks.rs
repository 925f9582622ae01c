//! `/networks`, as far as they are the swarm's.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use services::object::{Network, TaskState};
use services::spec::{NetworkSpec, OwnNetwork};
use services::{Command, Id, State, validate_network};
use tokio::time::{Instant, sleep};

use super::{Call, Reply, look};
use crate::api::backend::{Manager, View};
use crate::api::dto::{
    NetworkCreateRequest, NetworkCreateResponse, NetworkResource, NetworksPruned,
};
use crate::api::error::ApiError;
use crate::api::networks::Prunable;
use crate::api::query::{Filters, Query};
use crate::api::{convert, json};
use crate::clock;

/// How long the removal of a network waits for tasks that stop: as long as most
/// of them may take.
const STOPPING: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// Which networks a list is of.
pub(in crate::api) struct Wanted(Filters);

impl Wanted {
    /// # Errors
    /// As Docker refuses a filter.
    pub(in crate::api) fn by(query: &Query) -> Result<Self, ApiError> {
        const FILTERS: &[&str] = &["driver", "id", "label", "name", "scope", "type", "dangling"];
        let filters = query.filters(FILTERS)?;
        for (key, known) in [
            ("type", &["builtin", "custom"][..]),
            ("dangling", &["0", "1", "false", "true"]),
        ] {
            if let Some(value) = filters.values(key).find(|value| !known.contains(value)) {
                let text = format!("Invalid filter: '{key}'='{value}'");
                return Err(ApiError::bad_request(text));
            }
        }
        Ok(Self(filters))
    }

    fn matches(&self, network: &Network, state: &State) -> bool {
        let (filters, spec) = (&self.0, &network.spec);
        let is_dangling = || !spec.ingress && !state.is_used(network);
        filters.prefix("id", network.id)
            && filters.prefix("name", &spec.name)
            && filters.equals("driver", convert::driver_of(spec))
            && filters.equals("scope", "swarm")
            && filters.equals("type", "custom")
            && filters.labels("label", &spec.labels)
            && filters.any("dangling", |_| filters.flag("dangling") == is_dangling())
    }
}

pub(in crate::api) fn list(view: View<'_>, wanted: &Wanted) -> Vec<NetworkResource> {
    let networks = view.state.networks();
    networks
        .filter(|network| wanted.matches(network, view.state))
        .map(|network| convert::network(network, view, false))
        .collect()
}

pub(super) fn show_list(swarm: &dyn Manager, query: &Query) -> Reply {
    let wanted = Wanted::by(query)?;
    let shown = look(swarm, |view| Ok(list(view, &wanted)))?;
    Ok(Json(shown).into_response())
}

/// # Errors
/// 404 for what is not there or not of the wanted scope, 400 for what several
/// are.
pub(in crate::api) fn find(
    view: View<'_>,
    text: &str,
    query: &Query,
) -> Result<NetworkResource, ApiError> {
    let scope = query.text("scope").trim();
    if let Some(own) = own_network(text, scope == "swarm") {
        return Ok(convert::own_network(own, view));
    }
    let network = view.state.find_network(text).map_err(ApiError::lookup)?;
    match scope {
        "" | "swarm" => Ok(convert::network(network, view, query.flag("verbose"))),
        _ => Err(ApiError::not_found(format!("network {text} not found"))),
    }
}

/// The one that every node has by itself: by its id, and by its name where that
/// is not the engine's own.
fn own_network(text: &str, by_name: bool) -> Option<OwnNetwork> {
    let by_id = text.parse().ok().and_then(OwnNetwork::with_id);
    by_id.or_else(|| OwnNetwork::named(text).filter(|_| by_name))
}

pub(super) fn inspect(swarm: &dyn Manager, id: &str, query: &Query) -> Reply {
    let shown = look(swarm, |view| find(view, id, query))?;
    Ok(Json(shown).into_response())
}

/// The network that the spec of a service names.
pub(super) fn for_service(view: View<'_>, text: &str) -> Result<Id, ApiError> {
    if let Some(own) = own_network(text, true) {
        return Ok(own.id());
    }
    let network = view.state.find_network(text).map_err(|refusal| {
        // Docker's status for it.
        let error = ApiError::lookup(refusal);
        match error.status {
            StatusCode::NOT_FOUND => ApiError::internal(error.message),
            _ => error,
        }
    })?;
    match network.spec.ingress {
        false => Ok(network.id),
        true => Err(ApiError::invalid_argument(format!(
            "Service cannot be explicitly attached to the ingress network \"{}\"",
            network.spec.name
        ))),
    }
}

pub(super) async fn create(swarm: &dyn Manager, call: Call) -> Reply {
    let wanted: NetworkCreateRequest = json::decode(&call.body, "network.CreateRequest")?;
    let spec = Arc::new(convert::network_spec(wanted)?);
    validate_network(&spec)?;
    make(swarm, &spec).await
}

/// Makes a network of a spec that was checked.
async fn make(swarm: &dyn Manager, spec: &Arc<NetworkSpec>) -> Reply {
    let id = swarm.new_id();
    let taken = swarm.taken_subnets();
    let mut tried = Vec::new();
    loop {
        let subnets = look(swarm, |view| {
            let mut networks = view.state.networks();
            if networks.any(|network| network.spec.name == spec.name) {
                return Err(name_taken(&spec.name));
            }
            Ok(view.state.choose_subnets(spec, &taken)?)
        })?;
        let command = Command::CreateNetwork {
            id,
            spec: Arc::clone(spec),
            subnets: subnets.clone(),
        };
        match swarm.propose(command).await {
            Ok(_) => break,
            // Another network was faster, and there are subnets for both.
            Err(_) if tried != subnets => tried = subnets,
            Err(error) => return Err(error),
        }
    }
    let answer = NetworkCreateResponse {
        id: id.to_string(),
        warning: String::new(),
    };
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

pub(in crate::api) fn name_taken(name: &str) -> ApiError {
    let text = format!("network with name {name} already exists");
    ApiError::new(StatusCode::CONFLICT, text)
}

/// Where only tasks that are to be gone are on it, it is removed with the last
/// of them: `docker stack rm` asks right after it removed the services.
pub(super) async fn remove(swarm: &dyn Manager, id: &str) -> Reply {
    let id = look(swarm, |view| {
        let network = view.state.find_network(id).map_err(ApiError::lookup)?;
        Ok(network.id)
    })?;
    let deadline = Instant::now() + STOPPING;
    while look(swarm, |view| Ok(is_being_left(id, view.state)))? && Instant::now() < deadline {
        sleep(PAUSE).await;
    }
    swarm.propose(Command::RemoveNetwork { id }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// There are tasks on it, none of which is to go on, and no service is.
fn is_being_left(network: Id, state: &State) -> bool {
    let found = state.network(network);
    let is_wanted = found.is_none_or(|it| state.service_on(it).is_some());
    let mut tasks = state
        .tasks()
        .filter(|task| task.addresses.iter().any(|it| it.network == network))
        .peekable();
    !is_wanted && tasks.peek().is_some() && tasks.all(|task| task.desired > TaskState::Running)
}

/// Removes what no service and no task uses; what cannot go now stays.
pub(super) async fn prune(swarm: &dyn Manager, query: &Query) -> Reply {
    let wanted = Prunable::by(query, clock::now())?;
    let candidates = look(swarm, |view| {
        let networks = view.state.networks().filter(|network| {
            let spec = &network.spec;
            !spec.ingress
                && !view.state.is_used(network)
                && wanted.matches(network.meta.created, &spec.labels)
        });
        let named = networks.map(|network| (network.id, network.spec.name.clone()));
        Ok(named.collect::<Vec<_>>())
    })?;
    let mut deleted = Vec::new();
    for (id, name) in candidates {
        match swarm.propose(Command::RemoveNetwork { id }).await {
            Ok(_) => deleted.push(name),
            Err(error) => tracing::debug!(%error, name, "a network cannot be pruned"),
        }
    }
    let networks_deleted = (!deleted.is_empty()).then_some(deleted);
    Ok(Json(NetworksPruned { networks_deleted }).into_response())
}
