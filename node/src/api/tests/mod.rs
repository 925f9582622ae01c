//! The routes over a swarm in memory: what Docker answered, and what it would.

mod authority;
mod bollard;
mod doctor;
mod events;
mod fake;
mod files;
mod hostile;
mod large;
mod locked;
mod logs;
mod merged;
mod modes;
mod networks;
mod proxy;
mod registry;
mod replay;
mod routes;
mod site;
mod traefik;
mod watch;
mod watching;
mod wire;

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;

use super::Engine;
use fake::Fake;

/// An answer, read to its end.
struct Answer {
    status: u16,
    headers: axum::http::HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    /// An empty body is the empty text, as in the recording.
    fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::String(String::new());
        }
        serde_json::from_slice(&self.body).unwrap()
    }

    fn message(&self) -> String {
        self.json()["message"].as_str().unwrap().to_owned()
    }
}

/// Asks the API over `fake`; no engine answers behind it.
async fn ask(fake: &Fake, method: &str, path: &str, body: impl Into<Body>) -> Answer {
    send(fake, request(method, path, body)).await
}

fn request(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("Content-Type", "application/json");
    request.body(body.into()).unwrap()
}

async fn send(fake: &Fake, request: Request<Body>) -> Answer {
    send_beside(Path::new("/nonexistent/docker.sock"), fake, request).await
}

/// Where the engine that has this socket is the node's.
async fn send_beside(socket: &Path, fake: &Fake, request: Request<Body>) -> Answer {
    let engine = Engine::new(socket);
    let router = super::router(Arc::new(fake.clone()), engine);
    let Ok(answer) = TowerToHyperService::new(router).call(request).await;
    let (head, body) = answer.into_parts();
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: body.collect().await.unwrap().to_bytes().to_vec(),
    }
}

async fn get(fake: &Fake, path: &str) -> Answer {
    ask(fake, "GET", path, Body::empty()).await
}

async fn post(fake: &Fake, path: &str, body: &Value) -> Answer {
    ask(fake, "POST", path, body.to_string()).await
}
