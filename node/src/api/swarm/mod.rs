//! The routes that the leader answers: one function for each, in the file of
//! its object.
//!
//! Each reads the state through one look at it, or makes one command of what
//! was asked and waits until it is applied. What the state refuses is
//! refused with its words ([`ApiError`]'s `From<Refusal>`).

mod cluster;
mod doctor;
mod events;
mod files;
mod logs;
mod names;
mod networks;
mod nodes;
mod registry;
mod services;
mod stdcopy;
mod tasks;

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::backend::{Manager, View};
use super::error::{ApiError, texts};
use super::query::Query;
use super::route::{ApiVersion, NetworkRoute, SwarmRoute};

pub(super) use logs::since;
pub(super) use networks::{
    Wanted as WantedNetworks, find as find_network, list as list_networks, name_taken,
};

/// A request to a swarm route, taken apart.
#[derive(Debug)]
pub(super) struct Call {
    /// `None` speaks the newest.
    pub version: Option<ApiVersion>,
    pub query: Query,
    pub headers: HeaderMap,
    pub body: Bytes,
}

type Reply = Result<Response, ApiError>;

/// A check that may take a moment, away from the thread that all else waits for.
async fn aside<T: Send + 'static>(
    check: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    spawn_blocking(check)
        .await
        .map_err(|error| ApiError::internal(error.to_string()))
}

pub(super) async fn answer(manager: Arc<dyn Manager>, route: SwarmRoute<'_>, call: Call) -> Reply {
    let swarm = &*manager;
    match route {
        SwarmRoute::Inspect => cluster::inspect(swarm),
        SwarmRoute::Update => cluster::update(swarm, call).await,
        SwarmRoute::UnlockKey => cluster::unlock_key(swarm),
        SwarmRoute::NodeList => nodes::list(swarm, &call.query),
        SwarmRoute::Node(id) => nodes::inspect(swarm, id),
        SwarmRoute::NodeUpdate(id) => nodes::update(swarm, id, call).await,
        SwarmRoute::NodeRemove(id) => nodes::remove(swarm, id, &call.query).await,
        SwarmRoute::ServiceList => services::list(swarm, &call),
        SwarmRoute::ServiceCreate => services::create(swarm, call).await,
        SwarmRoute::Service(id) => services::inspect(swarm, id, &call.query),
        SwarmRoute::ServiceUpdate(id) => services::update(swarm, id, call).await,
        SwarmRoute::ServiceRemove(id) => services::remove(swarm, id).await,
        SwarmRoute::ServiceLogs(id) => logs::of_service(&manager, id, &call),
        SwarmRoute::TaskList => tasks::list(swarm, &call.query),
        SwarmRoute::Task(id) => tasks::inspect(swarm, id),
        SwarmRoute::TaskLogs(id) => logs::of_task(&manager, id, &call),
        SwarmRoute::Network(NetworkRoute::List) => networks::show_list(swarm, &call.query),
        SwarmRoute::Network(NetworkRoute::Inspect(id)) => networks::inspect(swarm, id, &call.query),
        SwarmRoute::Network(NetworkRoute::Create) => networks::create(swarm, call).await,
        SwarmRoute::Network(NetworkRoute::Remove(id)) => networks::remove(swarm, id).await,
        SwarmRoute::Network(NetworkRoute::Prune) => networks::prune(swarm, &call.query).await,
        SwarmRoute::Doctor => doctor::examine(swarm, &call.query).await,
        SwarmRoute::Events => events::list(&manager, &call),
        SwarmRoute::FileList(kind) => files::list(swarm, kind, &call.query),
        SwarmRoute::FileCreate(kind) => files::create(swarm, kind, call).await,
        SwarmRoute::File(kind, id) => files::inspect(swarm, kind, id),
        SwarmRoute::FileUpdate(kind, id) => files::update(swarm, kind, id, call).await,
        SwarmRoute::FileCompare(kind, id) => files::compare(swarm, kind, id, &call),
        SwarmRoute::FileRemove(kind, id) => files::remove(swarm, kind, id).await,
    }
}

/// One look at the swarm.
fn look<T>(
    swarm: &dyn Manager,
    look: impl FnOnce(View<'_>) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    let mut look = Some(look);
    let mut seen = None;
    swarm.read(&mut |view| seen = look.take().map(|look| look(view)));
    seen.unwrap_or_else(|| Err(ApiError::unavailable(texts::PREPARING)))
}

fn done() -> Reply {
    Ok(StatusCode::OK.into_response())
}
