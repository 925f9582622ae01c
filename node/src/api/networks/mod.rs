//! `/networks*`: the swarm's networks and those of the local engine, as one.
//!
//! The swarm's half is its leader's. The engine's half leaves out the networks
//! that carry the swarm's on this node: they are how it is done, and nobody
//! else's. What is only the engine's goes to it as it came.

mod local;
mod prune;

use axum::Json;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, Request, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::backend::{Backend, Lead, LocalState};
use super::dto::{NetworkCreateRequest, NetworkResource, NetworksPruned};
use super::engine::Engine;
use super::error::{ApiError, texts};
use super::query::Query;
use super::route::{ApiVersion, NetworkRoute, SwarmRoute};
use super::{convert, json, swarm, swarm_answer};
use crate::clock;
use local::LocalNetwork;
pub use prune::Prunable;

/// The leader's answer, which this node reads.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// Every engine has them.
pub const PREDEFINED: [&str; 4] = ["bridge", "host", "none", "default"];

type Reply = Result<Response, ApiError>;

/// A request to one of the routes.
pub(super) struct Asked<'a> {
    pub backend: &'a dyn Backend,
    pub engine: &'a Engine,
    pub version: Option<ApiVersion>,
    pub query: &'a Query,
    pub head: Parts,
    pub body: Bytes,
}

/// Whose a network is, and its full id.
enum Owner {
    Swarm(Box<NetworkResource>),
    Engine(LocalNetwork),
}

impl Asked<'_> {
    pub(super) async fn answer(self, route: NetworkRoute<'_>) -> Reply {
        match route {
            NetworkRoute::List => self.list().await,
            NetworkRoute::Inspect(text) => self.inspect(text).await,
            NetworkRoute::Create => self.create().await,
            NetworkRoute::Remove(text) => self.remove(text).await,
            NetworkRoute::Prune => self.prune().await,
        }
    }

    /// Without an engine, the swarm's alone; without a leader, what this
    /// manager last knew of them.
    async fn list(self) -> Reply {
        let wanted = swarm::WantedNetworks::by(self.query)?;
        let answer = self.ask_swarm(NetworkRoute::List, &self.head, &self.body);
        let mut networks: Vec<Value> = match read(answer.await).await {
            Ok(networks) => networks,
            Err(_) => {
                let mut known = Vec::new();
                self.backend
                    .peek(&mut |view| known = swarm::list_networks(view, &wanted));
                let shown = known.iter().map(serde_json::to_value);
                shown.filter_map(Result::ok).collect()
            }
        };
        let uri = self.head.uri.to_string();
        match local::list(self.engine, &uri).await {
            Ok(found) => networks.extend(found.into_iter().map(LocalNetwork::shown)),
            Err(error) if self.backend.local() == LocalState::Inactive => return Err(error),
            Err(_) => {}
        }
        Ok(Json(networks).into_response())
    }

    async fn inspect(self, text: &str) -> Reply {
        match self.find(text).await? {
            Owner::Engine(network) => {
                let query = self.head.uri.query().map(|query| format!("?{query}"));
                let path = self.path(&format!("{}{}", network.id(), query.unwrap_or_default()));
                self.pass(Method::GET, &path).await
            }
            Owner::Swarm(mut network) => {
                network.containers = local::containers_on(self.engine, &network.id).await;
                Ok(Json(network).into_response())
            }
        }
    }

    async fn remove(self, text: &str) -> Reply {
        match self.find(text).await? {
            Owner::Engine(network) => self.pass(Method::DELETE, &self.path(network.id())).await,
            Owner::Swarm(network) => {
                let head = head_of(Method::DELETE, &self.path(&network.id))?;
                let route = NetworkRoute::Remove(&network.id);
                self.ask_swarm(route, &head, &Bytes::new()).await
            }
        }
    }

    /// By full id, else exact name, else an id's beginning, among both halves
    /// as far as the query's scope goes.
    async fn find(&self, text: &str) -> Result<Owner, ApiError> {
        let rest = match self.head.uri.query() {
            Some(query) if self.head.method == Method::GET => format!("{text}?{query}"),
            _ => text.to_owned(),
        };
        let head = head_of(Method::GET, &self.path(&rest))?;
        let nothing = Bytes::new();
        let answer = self.ask_swarm(NetworkRoute::Inspect(text), &head, &nothing);
        let mut ambiguous = None;
        let of_swarm = match read::<NetworkResource>(answer.await).await {
            Ok(network) => Some(network),
            Err(error) if error.status == StatusCode::NOT_FOUND => None,
            Err(error) if error.status == StatusCode::BAD_REQUEST => {
                ambiguous = Some(error);
                None
            }
            Err(_) => self.known(text),
        };
        let scope = match self.head.method {
            Method::GET => self.query.text("scope").trim(),
            _ => "",
        };
        let mut of_engine = match scope {
            "swarm" => Vec::new(),
            _ => local::list(self.engine, "/networks")
                .await
                .unwrap_or_default(),
        };
        match ambiguous {
            None => choose(text, scope, of_swarm, of_engine),
            // Several begin so; one that is called so is still meant.
            Some(error) => {
                of_engine.retain(|it| it.id() == text || it.name() == text);
                choose(text, scope, None, of_engine).map_err(|_| error)
            }
        }
    }

    /// What this manager itself last knew.
    fn known(&self, text: &str) -> Option<NetworkResource> {
        let mut known = None;
        self.backend.peek(&mut |view| {
            known = swarm::find_network(view, text, self.query).ok();
        });
        known
    }

    async fn create(self) -> Reply {
        let wanted = json::decode::<NetworkCreateRequest>(&self.body, "network.CreateRequest");
        let Ok(wanted) = wanted else {
            // The engine knows best what is wrong with it.
            return self.pass_whole().await;
        };
        let overlay = [convert::OVERLAY, convert::SWARMLET].contains(&wanted.driver.as_str());
        if !(overlay || wanted.ingress || wanted.scope == "swarm") || wanted.config_only {
            let mut taken = false;
            self.backend.peek(&mut |view| {
                let mut networks = view.state.networks();
                taken = networks.any(|network| network.spec.name == wanted.name);
            });
            return match taken {
                true => Err(swarm::name_taken(&wanted.name)),
                false => self.pass_whole().await,
            };
        }
        if PREDEFINED.contains(&wanted.name.as_str()) {
            let text = format!(
                "operation is not permitted on predefined {} network",
                wanted.name
            );
            return Err(ApiError::new(StatusCode::FORBIDDEN, text));
        }
        let here = local::list(self.engine, "/networks").await;
        if here.is_ok_and(|here| here.iter().any(|it| it.name() == wanted.name)) {
            return Err(swarm::name_taken(&wanted.name));
        }
        let answer = self.ask_swarm(NetworkRoute::Create, &self.head, &self.body);
        answer.await.map_err(|error| match error.message.as_str() {
            // Docker's status and text, which differ from other routes'.
            texts::INACTIVE => ApiError::internal(texts::INACTIVE),
            texts::WORKER => ApiError::new(StatusCode::FORBIDDEN, texts::NETWORK_ON_WORKER),
            _ => error,
        })
    }

    async fn prune(self) -> Reply {
        let wanted = Prunable::by(self.query, clock::now())?;
        let mut deleted = match local::list(self.engine, "/networks").await {
            Ok(found) => local::prune(self.engine, found, &wanted).await,
            Err(error) if self.backend.local() == LocalState::Inactive => return Err(error),
            Err(_) => Vec::new(),
        };
        let answer = self.ask_swarm(NetworkRoute::Prune, &self.head, &self.body);
        // A node that is no manager prunes what is its own.
        if let Ok(pruned) = read::<NetworksPruned>(answer.await).await {
            deleted.extend(pruned.networks_deleted.unwrap_or_default());
        }
        let networks_deleted = (!deleted.is_empty()).then_some(deleted);
        Ok(Json(NetworksPruned { networks_deleted }).into_response())
    }

    /// What the leader answers, this node or another.
    async fn ask_swarm(&self, route: NetworkRoute<'_>, head: &Parts, body: &Bytes) -> Reply {
        match self.backend.lead(head, body).await? {
            Lead::Here(manager) => {
                let route = SwarmRoute::Network(route);
                swarm_answer(manager, route, self.version, head, body.clone()).await
            }
            Lead::Elsewhere(answer) => Ok(answer),
        }
    }

    /// The path of a network's route, with the version that the request has.
    fn path(&self, rest: &str) -> String {
        match self.version {
            Some(version) => format!("/v{version}/networks/{rest}"),
            None => format!("/networks/{rest}"),
        }
    }

    async fn pass(&self, method: Method, path: &str) -> Reply {
        let mut head = head_of(method, path)?;
        head.headers.clone_from(&self.head.headers);
        let request = Request::from_parts(head, Body::empty());
        self.engine.send(request).await
    }

    async fn pass_whole(self) -> Reply {
        let request = Request::from_parts(self.head, Body::from(self.body));
        self.engine.send(request).await
    }
}

fn head_of(method: Method, path: &str) -> Result<Parts, ApiError> {
    let uri: Uri = path
        .parse()
        .map_err(|error| ApiError::bad_request(format!("{path}: {error}")))?;
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    Ok(request.into_parts().0)
}

/// The JSON of an answer; its error where it is one.
async fn read<T: DeserializeOwned>(answer: Reply) -> Result<T, ApiError> {
    let (head, body) = answer?.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await;
    let body = body.map_err(|error| ApiError::internal(error.to_string()))?;
    let body = body.to_bytes();
    if !head.status.is_success() {
        let error: super::dto::ErrorMessage = serde_json::from_slice(&body).unwrap_or_default();
        return Err(ApiError::new(head.status, error.message));
    }
    serde_json::from_slice(&body).map_err(|error| ApiError::internal(error.to_string()))
}

/// How well a text names a network; the lower the better.
fn rank(text: &str, id: &str, name: &str) -> Option<u8> {
    if id == text {
        Some(0)
    } else if name == text {
        Some(1)
    } else {
        (!text.is_empty() && id.starts_with(text)).then_some(2)
    }
}

fn choose(
    text: &str,
    scope: &str,
    of_swarm: Option<NetworkResource>,
    of_engine: Vec<LocalNetwork>,
) -> Result<Owner, ApiError> {
    let mut found = Vec::new();
    for network in of_engine {
        let in_scope = scope.is_empty() || network.scope() == scope;
        if let Some(rank) = rank(text, network.id(), network.name()).filter(|_| in_scope) {
            found.push((rank, Owner::Engine(network)));
        }
    }
    if let Some(network) = of_swarm {
        // The leader ignores the case of names.
        let rank = rank(text, &network.id, &network.name).unwrap_or(1);
        found.push((rank, Owner::Swarm(Box::new(network))));
    }
    let best = found.iter().map(|(rank, _)| *rank).min();
    found.retain(|(rank, _)| Some(*rank) == best);
    let count = found.len();
    match (found.pop(), count) {
        (Some((_, owner)), 1) => Ok(owner),
        (None, _) => Err(ApiError::not_found(format!("network {text} not found"))),
        (Some(_), count) => {
            let on = match best {
                Some(1) => "name",
                _ => "ID prefix",
            };
            Err(ApiError::bad_request(format!(
                "network {text} is ambiguous ({count} matches found based on {on})"
            )))
        }
    }
}
