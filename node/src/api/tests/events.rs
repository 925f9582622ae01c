//! The engine's events and the swarm's, in one stream.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;

use super::fake::Fake;
use super::{ask, get, post};
use crate::api::{Engine, router};

fn file(name: &str) -> Value {
    json!({"Name": name, "Data": "eA=="})
}

/// `Type Action name` of each line.
fn told(body: &[u8]) -> Vec<String> {
    let lines = body.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    let show = |line: &[u8]| {
        let event: Value = serde_json::from_slice(line).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let name = text(&event["Actor"]["Attributes"]["name"]);
        format!("{} {} {name}", text(&event["Type"]), text(&event["Action"]))
    };
    lines.map(show).collect()
}

/// A service made, changed and removed, and a secret made.
async fn busy() -> Fake {
    let fake = Fake::active();
    let spec = json!({"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "x"}}});
    assert_eq!(post(&fake, "/services/create", &spec).await.status, 201);
    let version = get(&fake, "/services/web").await.json()["Version"]["Index"].clone();
    let mut changed = spec.clone();
    changed["Mode"] = json!({"Replicated": {"Replicas": 2}});
    let update = format!("/services/web/update?version={version}");
    assert_eq!(post(&fake, &update, &changed).await.status, 200);
    ask(&fake, "DELETE", "/services/web", Body::empty()).await;
    assert_eq!(post(&fake, "/secrets/create", &file("s")).await.status, 201);
    fake
}

fn query(filters: &Value) -> String {
    let filters = filters.to_string();
    let filters = filters.bytes().map(|byte| format!("%{byte:02X}"));
    let filters: String = filters.collect();
    format!("/v1.41/events?since=1&until=1795215999&filters={filters}")
}

#[tokio::test]
async fn what_happened_is_told_as_by_docker() {
    let fake = busy().await;
    let all = get(&fake, "/events?since=1&until=1795215999").await;
    assert_eq!(all.status, 200);
    assert_eq!(
        told(&all.body),
        [
            "node create ",
            "node update refnode",
            "service create web",
            "service update web",
            "service remove web",
            "secret create s"
        ]
    );
    let update: Value = all
        .body
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .find(|event: &Value| event["Action"] == "update" && event["Type"] == "service")
        .unwrap();
    assert_eq!(update["scope"], "swarm");
    assert_eq!(
        update["Actor"]["Attributes"],
        json!({"name": "web", "replicas.old": "1", "replicas.new": "2"})
    );
    let (seconds, nanos) = (update["time"].as_u64(), update["timeNano"].as_u64());
    assert_eq!(seconds, nanos.map(|nanos| nanos / 1_000_000_000));
}

#[tokio::test]
async fn events_are_filtered_in_both_encodings() {
    let fake = busy().await;
    for (filters, expected) in [
        (json!({"type": ["secret"]}), &["secret create s"][..]),
        (
            json!({"type": {"service": true}, "event": ["remove"]}),
            &["service remove web"],
        ),
        (json!({"secret": ["s"]}), &["secret create s"]),
        (json!({"scope": ["local"]}), &[]),
        (
            json!({"scope": ["swarm"], "type": ["secret"]}),
            &["secret create s"],
        ),
        (json!({"container": ["x"]}), &[]),
        (json!({"image": ["x"]}), &[]),
        (json!({"label": ["a=b"]}), &[]),
    ] {
        let path = query(&filters);
        assert_eq!(told(&get(&fake, &path).await.body), expected, "{filters}");
    }
    let late = get(&fake, "/events?since=1795215998&until=1795215999").await;
    assert!(late.body.is_empty());
    assert_eq!(get(&fake, "/events?since=x").await.status, 400);
}

/// An engine that tells one event in two pieces, and no more until it is
/// dropped.
async fn engine() -> (Engine, TempDir) {
    async fn play(request: Request<Body>) -> Response {
        if request.uri().path() != "/v1.41/events" {
            return StatusCode::OK.into_response();
        }
        if request.uri().query() == Some("since=bad") {
            let error = axum::Json(json!({"message": "no time"}));
            return (StatusCode::BAD_REQUEST, error).into_response();
        }
        let pieces = ["{\"Type\":\"container\",", "\"Action\":\"die\"}\n"];
        let pieces =
            pieces.map(|piece| Ok::<_, std::io::Error>(Bytes::from_static(piece.as_bytes())));
        let body = futures::stream::iter(pieces).chain(futures::stream::pending());
        Body::from_stream(body).into_response()
    }
    let dir = TempDir::new().unwrap();
    let listener = UnixListener::bind(dir.path().join("engine.sock")).unwrap();
    let app = axum::Router::new().fallback(play);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (Engine::new(dir.path().join("engine.sock")), dir)
}

#[tokio::test]
async fn the_engines_lines_stay_whole_between_ours() {
    let fake = Fake::active();
    let (engine, _dir) = engine().await;
    let send = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let router = router(Arc::new(fake.clone()), engine.clone());
        let Ok(answer) = TowerToHyperService::new(router).call(request).await;
        answer
    };
    let mut body = send("/v1.41/events").await.into_body();
    let mut next = async || loop {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        if !frame.is_empty() {
            return told(&frame);
        }
    };
    assert_eq!(next().await, ["container die -"]);
    post(&fake, "/secrets/create", &file("s")).await;
    assert_eq!(next().await, ["secret create s"]);
    post(&fake, "/configs/create", &file("c")).await;
    assert_eq!(next().await, ["config create c"]);
    let refused = send("/v1.41/events?since=bad").await;
    assert_eq!(refused.status(), 400, "the engine knows what is refused");
}

#[tokio::test]
async fn outside_a_swarm_they_are_the_engines() {
    let answer = get(&Fake::new(), "/events").await;
    assert_eq!(answer.status, 503);
    assert!(
        answer
            .message()
            .contains("Cannot connect to the Docker daemon")
    );
}
