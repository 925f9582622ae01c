//! The API socket: Docker's Engine API, the swarm half answered by swarmlet
//! and the rest passed through to the local engine.
//!
//! A request goes through [`route`] first. What a node answers for itself is
//! in [`local`], what the leader answers in [`swarm`], what both have in
//! [`networks`] and [`containers`], and everything else goes byte for byte to
//! the [`Engine`]. The routes speak [`dto`]s outwards
//! and `services::` inwards, and [`convert`] is the only place that knows
//! both. Behind all of it is a [`Backend`], so that none of this knows Raft.

pub mod authorities;
pub mod backend;
mod containers;
pub mod convert;
mod doctor;
pub mod dto;
mod engine;
pub mod error;
mod events;
pub mod json;
pub mod kept;
mod local;
mod networks;
mod proxy;
mod query;
mod route;
mod serve;
mod site;
mod swarm;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use tokio::time::timeout;

use backend::{Backend, Lead, Manager};
use engine::{Engine, Facts};
use error::ApiError;
use query::Query;
use route::{ApiVersion, Route, SwarmRoute, route};
use swarm::Call;

pub use local::not_a_manager;
pub use serve::serve;

/// Bytes of a request's JSON. What is for the engine has no limit of ours.
pub const MAX_BODY: usize = 8 * 1024 * 1024;
/// For a client to send a request's JSON.
const BODY_WITHIN: Duration = Duration::from_secs(60);

/// What the local socket answers.
fn router(backend: Arc<dyn Backend>, engine: Engine) -> Router {
    let api = Api { backend, engine };
    Router::new().fallback(answer).with_state(api)
}

/// What the leader answers to other managers: the swarm half alone.
pub fn swarm_router(manager: Arc<dyn Manager>) -> Router {
    Router::new().fallback(answer_forwarded).with_state(manager)
}

#[derive(Clone)]
struct Api {
    backend: Arc<dyn Backend>,
    engine: Engine,
}

async fn answer(State(api): State<Api>, request: Request<Body>) -> Response {
    let (route, version) = route(request.method(), request.uri().path());
    if route == Route::Engine {
        return api.engine.send(request).await.into_response();
    }
    if route == Route::Containers {
        let shown = containers::shown(&*api.backend, &api.engine, request);
        return shown.await.into_response();
    }
    let facts = match route {
        Route::Ping => api.engine.ping().await,
        _ => api.engine.facts().await,
    };
    let checked = version.map_or(Ok(()), |version| version.check(facts.advertised()));
    let answered = match checked {
        Ok(()) => api.answer(request, &facts).await,
        Err(error) => Err(error),
    };
    let mut response = answered.into_response();
    facts.stamp(&mut response);
    response
}

impl Api {
    async fn answer(&self, request: Request<Body>, facts: &Facts) -> Result<Response, ApiError> {
        let path = request.uri().path().to_owned();
        let (route, version) = route(request.method(), &path);
        if route == Route::Events {
            return events::merged(Arc::clone(&self.backend), &self.engine, request).await;
        }
        let (head, body) = request.into_parts();
        let query = Query::of(&head.uri)?;
        let body = read(body).await?;
        if head.method == Method::POST {
            json::check_type(&head.headers, &body)?;
        }
        let (backend, engine) = (&*self.backend, &self.engine);
        match route {
            Route::Ping => Ok(local::ping(backend, facts, &head.method)),
            Route::Version => local::version(engine, facts).await,
            Route::Info => local::info(backend, engine).await,
            Route::Init => local::init(backend, version, &body).await,
            Route::Join => local::join(backend, &body).await,
            Route::Leave => local::leave(backend, &query).await,
            Route::Unlock => local::unlock(backend, &body).await,
            Route::Members => local::members(backend),
            Route::Up => site::up(backend, &body).await,
            Route::UpProgress => Ok(site::progress(backend)),
            Route::Discover => Ok(site::discover(backend).await),
            Route::Swarm(SwarmRoute::Network(route)) => {
                let asked = networks::Asked {
                    backend,
                    engine,
                    version,
                    query: &query,
                    head,
                    body,
                };
                asked.answer(route).await
            }
            Route::Swarm(SwarmRoute::Doctor) => {
                doctor::examine(backend, version, &head, body, &query).await
            }
            Route::Swarm(route) => match backend.lead(&head, &body).await? {
                Lead::Here(manager) => swarm_answer(manager, route, version, &head, body).await,
                Lead::Elsewhere(answer) => Ok(answer),
            },
            Route::Unknown | Route::Engine | Route::Containers | Route::Events => {
                Err(ApiError::not_found("page not found"))
            }
        }
    }
}

async fn answer_forwarded(
    State(manager): State<Arc<dyn Manager>>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let (route, version) = route(&head.method, head.uri.path());
    let Route::Swarm(route) = route else {
        return Err(ApiError::not_found("page not found"));
    };
    let body = read(body).await?;
    swarm_answer(manager, route, version, &head, body).await
}

async fn swarm_answer(
    manager: Arc<dyn Manager>,
    route: SwarmRoute<'_>,
    version: Option<ApiVersion>,
    head: &Parts,
    body: Bytes,
) -> Result<Response, ApiError> {
    let call = || -> Result<Call, ApiError> {
        Ok(Call {
            version,
            query: Query::of(&head.uri)?,
            headers: head.headers.clone(),
            body,
        })
    };
    let keeps = kept::may_keep(route).then(|| manager.kept()).flatten();
    let Some((kept, before)) = keeps else {
        return swarm::answer(Arc::clone(&manager), route, call()?).await;
    };
    let question = head.uri.to_string();
    if let Some(found) = kept.find(&question, &before) {
        return Ok(kept::answer(found));
    }
    let answered = swarm::answer(Arc::clone(&manager), route, call()?).await?;
    let bytes = kept::bytes(answered).await?;
    // What was seen on the way must be what it is called.
    let after = manager.kept().map(|(_, after)| after);
    if after.as_ref() == Some(&before) {
        kept.keep(&question, before, bytes.clone());
    }
    Ok(kept::answer(bytes))
}

/// What says that it is too large is refused before any of it is read.
async fn read(body: Body) -> Result<Bytes, ApiError> {
    let too_large = || {
        let text = format!("the request's body is larger than {MAX_BODY} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, text)
    };
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(too_large());
    }
    let body = Limited::new(body, MAX_BODY).collect();
    match timeout(BODY_WITHIN, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(ApiError::bad_request("invalid JSON: unexpected EOF")),
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the request's body did not come within {BODY_WITHIN:?}"),
        )),
    }
}

#[cfg(test)]
mod tests;
