//! The networks of the local engine that are its own.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Prunable, head_of};
use crate::api::convert::SWARMLET;
use crate::api::dto::{EndpointResource, NetworkResource};
use crate::api::engine::Engine;
use crate::api::error::ApiError;

/// The option of a local network that names the swarm's network behind which
/// it is.
const BEHIND: &str = "swarmlet.network";

/// As the engine shows it, with fields that this version does not know.
pub(super) struct LocalNetwork(Map<String, Value>);

impl LocalNetwork {
    fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn id(&self) -> &str {
        self.text("Id")
    }

    pub(super) fn name(&self) -> &str {
        self.text("Name")
    }

    pub(super) fn scope(&self) -> &str {
        self.text("Scope")
    }

    pub(super) fn shown(self) -> Value {
        Value::Object(self.0)
    }

    /// Whether it carries a network of a swarm, of this node or of another one
    /// on this host.
    fn is_ours(&self) -> bool {
        let rest = self.text("Driver").strip_prefix(SWARMLET);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    fn read(&self) -> Option<NetworkResource> {
        serde_json::from_value(Value::Object(self.0.clone())).ok()
    }
}

/// Those that the engine lists at `uri`, without ours.
pub(super) async fn list(engine: &Engine, uri: &str) -> Result<Vec<LocalNetwork>, ApiError> {
    let mut networks = all(engine, uri).await?;
    networks.retain(|network| !network.is_ours());
    Ok(networks)
}

async fn all(engine: &Engine, uri: &str) -> Result<Vec<LocalNetwork>, ApiError> {
    let networks: Vec<Map<String, Value>> = engine.get(uri).await?;
    Ok(networks.into_iter().map(LocalNetwork).collect())
}

/// The containers of this node on a network of the swarm; `None` where nothing
/// of it is here.
pub(super) async fn containers_on(
    engine: &Engine,
    network: &str,
) -> Option<BTreeMap<String, EndpointResource>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Detailed {
        containers: Option<BTreeMap<String, EndpointResource>>,
    }

    let here = all(engine, "/networks").await.ok()?;
    let behind = here.iter().find(|it| {
        let options = it.0.get("Options").and_then(Value::as_object);
        it.is_ours() && options.and_then(|it| it.get(BEHIND)?.as_str()) == Some(network)
    })?;
    let path = format!("/networks/{}", behind.id());
    let detailed: Detailed = engine.get(&path).await.ok()?;
    detailed.containers
}

/// Removes those of `networks` that are wanted and that no container uses; the
/// names of the removed.
pub(super) async fn prune(
    engine: &Engine,
    networks: Vec<LocalNetwork>,
    wanted: &Prunable,
) -> Vec<String> {
    let mut deleted = Vec::new();
    for network in networks {
        let Some(read) = network.read() else {
            continue;
        };
        let predefined = super::PREDEFINED.contains(&network.name()) || read.scope == "swarm";
        if predefined || !wanted.matches(read.created.0, &read.labels.unwrap_or_default()) {
            continue;
        }
        // The engine refuses to remove what is in use.
        if let Ok(head) = head_of(Method::DELETE, &format!("/networks/{}", network.id()))
            && let Ok(answer) = engine.send(Request::from_parts(head, Body::empty())).await
            && answer.status() == StatusCode::NO_CONTENT
        {
            deleted.push(network.name().to_owned());
        }
    }
    deleted
}
