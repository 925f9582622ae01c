//! The routes that every node answers for itself: what it is, and how it
//! comes into a swarm and leaves it.

use axum::Json;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use certs::lock::UnlockKey;
use serde_json::{Map, Value, json};
use services::spec::Role;

use super::backend::{Backend, LocalNode, LocalState};
use super::dto::{self, RemoteManager, SwarmInfo};
use super::engine::{BUILDER_VERSION, Engine, Facts};
use super::error::{ApiError, texts};
use super::query::Query;
use super::route::ApiVersion;
use super::{convert, json, versions};

type Reply = Result<Response, ApiError>;

const TWO_MANAGERS: &str = "WARNING: Running Swarm in a two-manager configuration. This \
    configuration provides no fault tolerance, and poses a high risk to lose control over the \
    cluster: run one manager or three.";

/// Why this node cannot answer for the swarm.
pub fn not_a_manager(local: &LocalState) -> ApiError {
    ApiError::unavailable(match local {
        LocalState::Inactive | LocalState::Waiting => texts::INACTIVE,
        LocalState::Locked => texts::LOCKED,
        LocalState::Active(node) if node.role == Role::Worker => texts::WORKER,
        // A manager by right, that cannot act as one now.
        LocalState::Active(_) | LocalState::Pending | LocalState::Error(_) => texts::PREPARING,
    })
}

/// What the `Swarm` header of `/_ping` says.
fn ping_state(local: &LocalState) -> &'static str {
    match local {
        LocalState::Active(node) if node.role == Role::Manager => "active/manager",
        LocalState::Active(_) => "active/worker",
        other => local_state(other),
    }
}

fn local_state(local: &LocalState) -> &'static str {
    match local {
        LocalState::Inactive => "inactive",
        LocalState::Pending | LocalState::Waiting => "pending",
        LocalState::Locked => "locked",
        LocalState::Error(_) => "error",
        LocalState::Active(_) => "active",
    }
}

/// This daemon lives, whether or not the engine does.
pub(super) fn ping(backend: &dyn Backend, facts: &Facts, method: &Method) -> Response {
    let body = if *method == Method::HEAD {
        Body::empty()
    } else {
        Body::from("OK")
    };
    let state = ping_state(&backend.local());
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let fixed = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
        (PRAGMA, "no-cache"),
    ];
    headers.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
    headers.insert("swarm", HeaderValue::from_static(state));
    if let Some(version) = facts.builder_version() {
        headers.insert(BUILDER_VERSION, version.clone());
    }
    response
}

/// The engine's answer, with an API version that is ours too.
pub(super) async fn version(engine: &Engine, facts: &Facts) -> Reply {
    let mut answer = engine.get("/version").await.unwrap_or_else(|_| {
        let mut answer = Map::new();
        answer.insert("Version".into(), env!("CARGO_PKG_VERSION").into());
        answer.insert("Os".into(), std::env::consts::OS.into());
        answer.insert("Arch".into(), std::env::consts::ARCH.into());
        answer
    });
    let advertised = facts.advertised().to_string();
    answer.insert("ApiVersion".into(), advertised.into());
    let components = answer.entry("Components").or_insert_with(|| json!([]));
    if let Value::Array(components) = components {
        components.push(json!({"Name": "swarmlet", "Version": env!("CARGO_PKG_VERSION")}));
    }
    Ok(Json(answer).into_response())
}

/// The engine's answer with our swarm in it; without an engine, the swarm
/// alone and a warning.
pub(super) async fn info(backend: &dyn Backend, engine: &Engine) -> Reply {
    let mut answer = engine.get("/info").await.unwrap_or_else(|error| {
        let mut answer = Map::new();
        answer.insert("Warnings".into(), json!([format!("WARNING: {error}")]));
        answer
    });
    let swarm = swarm_info(backend);
    if swarm.managers == 2 {
        let warnings = answer.entry("Warnings").or_insert(Value::Null);
        match warnings {
            Value::Array(warnings) => warnings.push(TWO_MANAGERS.into()),
            other => *other = json!([TWO_MANAGERS]),
        }
    }
    let swarm =
        serde_json::to_value(swarm).map_err(|error| ApiError::internal(error.to_string()))?;
    answer.insert("Swarm".into(), swarm);
    Ok(Json(answer).into_response())
}

fn swarm_info(backend: &dyn Backend) -> SwarmInfo {
    let local = backend.local();
    let mut info = SwarmInfo {
        local_node_state: local_state(&local).into(),
        ..SwarmInfo::default()
    };
    match local {
        LocalState::Error(reason) => info.error = reason,
        LocalState::Locked => info.error = texts::LOCKED.into(),
        LocalState::Active(node) => describe(&mut info, &node),
        _ => return info,
    }
    backend.peek(&mut |view| {
        info.nodes = view.state.nodes().len() as u64;
        info.managers = view.managers.len() as u64;
        let cluster = view.state.cluster();
        info.cluster = cluster.map(|cluster| convert::cluster_info(cluster, view));
    });
    info
}

fn describe(info: &mut SwarmInfo, node: &LocalNode) {
    let remote = |(id, addr): &(services::Id, std::net::SocketAddr)| RemoteManager {
        node_id: id.to_string(),
        addr: addr.to_string(),
    };
    info.node_id = node.id.to_string();
    info.node_addr = node.addr.to_string();
    info.control_available = node.role == Role::Manager;
    info.remote_managers = Some(node.managers.iter().map(remote).collect());
}

pub(super) async fn init(
    backend: &dyn Backend,
    version: Option<ApiVersion>,
    body: &Bytes,
) -> Reply {
    let mut wanted: dto::InitRequest = json::decode(body, "swarm.InitRequest")?;
    if let Some(version) = version {
        versions::init(&mut wanted, version);
    }
    if !wanted.force_new_cluster {
        check_free(backend)?;
    }
    let id = backend.init(convert::init_request(wanted)?).await?;
    Ok(Json(id.to_string()).into_response())
}

pub(super) async fn join(backend: &dyn Backend, body: &Bytes) -> Reply {
    let wanted: dto::JoinRequest = json::decode(body, "swarm.JoinRequest")?;
    check_free(backend)?;
    match backend.join(convert::join_request(wanted)?).await? {
        Some(found) => Ok(Json(found).into_response()),
        None => Ok(StatusCode::OK.into_response()),
    }
}

fn check_free(backend: &dyn Backend) -> Result<(), ApiError> {
    match backend.local() {
        // What a waiting node answers, it knows best.
        LocalState::Inactive | LocalState::Waiting => Ok(()),
        _ => Err(ApiError::unavailable(texts::ALREADY_IN_SWARM)),
    }
}

pub(super) async fn leave(backend: &dyn Backend, query: &Query) -> Reply {
    if backend.local() == LocalState::Inactive {
        return Err(ApiError::unavailable(texts::NOT_IN_SWARM));
    }
    backend.leave(query.flag("force")).await?;
    Ok(StatusCode::OK.into_response())
}

/// Answered from what this node itself believes, with no manager in reach.
pub(super) fn members(backend: &dyn Backend) -> Reply {
    let members = backend
        .members()
        .ok_or_else(|| ApiError::unavailable(texts::NOT_IN_SWARM))?;
    Ok(Json(members).into_response())
}

/// Whether the node is locked is said before the key is looked at.
pub(super) async fn unlock(backend: &dyn Backend, body: &Bytes) -> Reply {
    let wanted: dto::UnlockKey = json::decode(body, "swarm.UnlockRequest")?;
    match backend.local() {
        LocalState::Locked => {}
        LocalState::Active(node) if node.role == Role::Manager => {
            let conflict = StatusCode::CONFLICT;
            return Err(ApiError::new(conflict, "swarm is not locked"));
        }
        other => return Err(not_a_manager(&other)),
    }
    let key = wanted.unlock_key.parse::<UnlockKey>();
    let key = key.map_err(|error| ApiError::bad_request(error.to_string()))?;
    backend.unlock(key).await?;
    Ok(StatusCode::OK.into_response())
}
