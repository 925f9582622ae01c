//! Networks of both halves: the swarm's and a played engine's.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;

use super::fake::Fake;
use super::networks::swarm_with_network;
use super::{Answer, get, request, send_beside};
use crate::api::backend::LocalState;

/// An engine with some networks, that remembers what it was asked.
struct PlayedEngine {
    dir: TempDir,
    asked: Asked,
}

type Asked = Arc<Mutex<Vec<String>>>;

const BRIDGE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const BEHIND: &str = "3333333333333333333333333333333333333333333333333333333333333333";

impl PlayedEngine {
    /// `ours` is the network of the swarm that it carries.
    fn start(ours: &Value) -> Self {
        let network = |id: &str, name: &str, driver: &str| {
            json!({"Id": id, "Name": name, "Driver": driver, "Scope": "local",
                   "Created": "2026-11-20T23:04:42.5+01:00", "Labels": {}, "Containers": {}})
        };
        let mut behind = network(BEHIND, "ov1", "swarmlet-ab12");
        behind["Options"] = json!({"swarmlet.network": ours});
        let bridge = "2222222222222222222222222222222222222222222222222222222222222222";
        let networks = json!([
            network(BRIDGE, "mine", "bridge"),
            network(bridge, "bridge", "bridge"),
            behind,
        ]);
        let dir = TempDir::new().unwrap();
        let listener = UnixListener::bind(dir.path().join("engine.sock")).unwrap();
        let asked = Asked::default();
        let app = axum::Router::new()
            .fallback(Self::play)
            .with_state((Arc::clone(&asked), networks));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { dir, asked }
    }

    async fn play(
        State((asked, networks)): State<(Asked, Value)>,
        request: Request<Body>,
    ) -> Response {
        let line = format!("{} {}", request.method(), request.uri());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        asked
            .lock()
            .unwrap()
            .push(format!("{line} {body}").trim().into());
        let path = line.split('?').next().unwrap_or_default();
        let id = path.rsplit('/').next().unwrap_or_default();
        if path.ends_with(" /networks") || path.ends_with(" /v1.41/networks") {
            return axum::Json(networks).into_response();
        }
        if line.starts_with("DELETE") {
            return StatusCode::NO_CONTENT.into_response();
        }
        if id == BEHIND {
            let containers = json!({"c1": {"Name": "web.1", "IPv4Address": "10.0.1.3/24"}});
            return axum::Json(json!({"Containers": containers})).into_response();
        }
        if path.contains("/containers/") {
            let networks = json!({"ov1": {"IPAddress": "10.0.1.3"}});
            let settings = json!({"Networks": networks, "Ports": {}});
            return axum::Json(json!({"Id": "c1", "NetworkSettings": settings})).into_response();
        }
        axum::Json(json!({"Id": id, "OnlyTheEngines": true})).into_response()
    }

    async fn ask(&self, fake: &Fake, method: &str, path: &str, body: &str) -> Answer {
        let socket = self.dir.path().join("engine.sock");
        send_beside(&socket, fake, request(method, path, body.to_owned())).await
    }

    /// What it was asked that changes something.
    fn changes(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let is_change = |line: &&String| !line.starts_with("GET") && !line.starts_with("HEAD");
        asked.iter().filter(is_change).cloned().collect()
    }
}

async fn merged() -> (Fake, PlayedEngine) {
    let fake = swarm_with_network().await;
    let id = get(&fake, "/networks/ov1").await.json()["Id"].take();
    (fake, PlayedEngine::start(&id))
}

#[tokio::test]
async fn a_list_has_both_halves_without_what_carries_the_swarms() {
    let (fake, engine) = merged().await;
    let list = engine.ask(&fake, "GET", "/v1.41/networks", "").await.json();
    let list = list.as_array().unwrap();
    let mut shown: Vec<_> = list
        .iter()
        .map(|it| {
            format!(
                "{} {}",
                it["Name"].as_str().unwrap(),
                it["Scope"].as_str().unwrap()
            )
        })
        .collect();
    shown.sort();
    assert_eq!(
        shown,
        ["bridge local", "ingress swarm", "mine local", "ov1 swarm"]
    );
    let list = engine
        .ask(&Fake::new(), "GET", "/networks", "")
        .await
        .json();
    assert_eq!(list.as_array().unwrap().len(), 2, "outside a swarm");
}

#[tokio::test]
async fn what_is_the_engines_comes_as_the_engine_shows_it() {
    let (fake, engine) = merged().await;
    for text in ["mine", BRIDGE, "11111"] {
        let path = format!("/v1.41/networks/{text}?verbose=false");
        let shown = engine.ask(&fake, "GET", &path, "").await.json();
        assert_eq!(
            shown,
            json!({"Id": BRIDGE, "OnlyTheEngines": true}),
            "{text}"
        );
    }
    let removed = engine
        .ask(&fake, "DELETE", "/v1.41/networks/mine", "")
        .await;
    assert_eq!(removed.status, 204);
    assert_eq!(
        engine.changes(),
        [format!("DELETE /v1.41/networks/{BRIDGE}")]
    );
    let missing = engine
        .ask(&fake, "GET", "/networks/mine?scope=swarm", "")
        .await;
    assert_eq!(missing.status, 404);
}

#[tokio::test]
async fn a_network_of_the_swarm_shows_the_containers_of_this_node() {
    let (fake, engine) = merged().await;
    let shown = engine.ask(&fake, "GET", "/networks/ov1", "").await.json();
    assert_eq!(shown["Scope"], "swarm");
    assert_eq!(shown["Containers"]["c1"]["IPv4Address"], "10.0.1.3/24");
    let hidden = engine
        .ask(&fake, "GET", &format!("/networks/{BEHIND}"), "")
        .await;
    assert_eq!(hidden.status, 404);
}

#[tokio::test]
async fn a_network_of_another_driver_is_made_by_the_engine() {
    let (fake, engine) = merged().await;
    let body = r#"{"name":"n", "Driver" : "bridge","X":[1]}"#;
    let path = "/v1.41/networks/create";
    engine.ask(&fake, "POST", path, body).await;
    assert_eq!(engine.changes(), [format!("POST {path} {body}")]);
    let taken = engine.ask(&fake, "POST", path, r#"{"Name": "ov1"}"#).await;
    assert_eq!(taken.status, 409);
    assert_eq!(taken.message(), "network with name ov1 already exists");
    for (name, status) in [("mine", 409), ("host", 403)] {
        let body = json!({"Name": name, "Driver": "overlay"}).to_string();
        let taken = engine.ask(&fake, "POST", path, &body).await;
        assert_eq!(taken.status, status, "{name}");
    }
    assert_eq!(engine.changes().len(), 1);
}

#[tokio::test]
async fn both_halves_are_pruned_but_not_what_carries_the_swarms() {
    let (fake, engine) = merged().await;
    let pruned = engine
        .ask(&fake, "POST", "/networks/prune", "")
        .await
        .json();
    assert_eq!(pruned, json!({"NetworksDeleted": ["mine", "ov1"]}));
    assert_eq!(engine.changes(), [format!("DELETE /networks/{BRIDGE}")]);
    let old = "/networks/prune?filters=%7B%22until%22%3A%5B%222026-11-20T00:00:00Z%22%5D%7D";
    let pruned = engine.ask(&fake, "POST", old, "").await.json();
    assert_eq!(pruned, json!({"NetworksDeleted": null}));
}

#[tokio::test]
async fn a_worker_makes_no_network_of_the_swarm() {
    let (fake, engine) = merged().await;
    fake.edit(|swarm| {
        if let LocalState::Active(node) = &mut swarm.local {
            node.role = services::spec::Role::Worker;
        }
    });
    let body = r#"{"Name": "n", "Driver": "overlay"}"#;
    let refused = engine.ask(&fake, "POST", "/networks/create", body).await;
    assert_eq!(refused.status, 403);
    assert_eq!(
        refused.message(),
        "Cannot create a multi-host network from a worker node. Please create the network from a \
         manager node."
    );
}

#[tokio::test]
async fn a_container_is_shown_with_the_ports_that_lead_to_it() {
    let (fake, engine) = merged().await;
    let path = "/v1.41/containers/c1/json";
    let ports = async || {
        let mut answer = engine.ask(&fake, "GET", path, "").await.json();
        answer["NetworkSettings"]["Ports"].take()
    };
    assert_eq!(ports().await, json!({}));
    let port = overlay::directory::Port {
        protocol: overlay::directory::Protocol::Tcp,
        published: 40_000,
        target: 80,
        host_ip: None,
    };
    let addr = "10.0.1.3".parse().unwrap();
    fake.edit(|swarm| swarm.published = [(addr, [port].into())].into());
    let bindings = json!([{"HostIp": "0.0.0.0", "HostPort": "40000"}]);
    assert_eq!(ports().await, json!({"80/tcp": bindings}));
}
