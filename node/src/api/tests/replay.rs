//! What was recorded from Docker Engine, asked again here in the order in which
//! it was asked there.
//!
//! `answers.json` has what Docker Engine 20.10 answered (label, request, status,
//! body), `cli_trace.txt` what the docker program 28.2 asks it for each command.
//! Ids of theirs become ours as they are met. Whatever is not the same has to be
//! listed, with its reason, in `docs/docker-compatibility.md`, and nothing else
//! may be listed there.

mod answers;
mod bodies;
mod compare;
mod trace;

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;

use super::fake::Fake;
use super::{Answer, request, send_beside};

const DOCUMENT: &str = include_str!("../../../../docs/docker-compatibility.md");

/// A node and the engine beside it, which answers what is not the swarm's as
/// Docker's did: there is no plugin `nodrv` and no registry.
struct Played {
    fake: Fake,
    dir: TempDir,
}

impl Played {
    fn start(fake: Fake) -> Self {
        let dir = TempDir::new().unwrap();
        let listener = UnixListener::bind(dir.path().join("engine.sock")).unwrap();
        let app = axum::Router::new().fallback(Self::engine);
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { fake, dir }
    }

    async fn engine(request: Request<Body>) -> Response {
        let path = request.uri().path().to_owned();
        let error = |status: StatusCode, message: &str| {
            (status, axum::Json(json!({"message": message}))).into_response()
        };
        if path.contains("/distribution/") {
            return error(StatusCode::INTERNAL_SERVER_ERROR, "no such host");
        }
        match path.rsplit('/').next().unwrap_or_default() {
            "create" => error(StatusCode::NOT_FOUND, "plugin \"nodrv\" not found"),
            "networks" => axum::Json(json!([])).into_response(),
            "info" => axum::Json(json!({"Name": "refnode"})).into_response(),
            _ => StatusCode::OK.into_response(),
        }
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = match body {
            Value::Null => Body::empty(),
            body => Body::from(body.to_string()),
        };
        let socket = self.dir.path().join("engine.sock");
        send_beside(&socket, &self.fake, request(method, path, body)).await
    }

    async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, &Value::Null).await.json()
    }
}

/// The rows of the table below `heading`: its first two columns, without their
/// quotes; the first may name several, with commas between.
fn listed(heading: &str) -> BTreeSet<(String, String)> {
    let (_, after) = DOCUMENT.split_once(heading).expect(heading);
    let section = after.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| {
        let mut cells = row.split('|').map(str::trim).skip(1);
        let (cases, place) = (cells.next().unwrap(), cells.next().unwrap());
        let unquoted = |text: &str| text.trim().trim_matches('`').to_owned();
        let place = unquoted(place);
        let cases: Vec<_> = cases.split(',').map(unquoted).collect();
        cases.into_iter().map(move |case| (case, place.clone()))
    })
    .collect()
}

/// Every difference that was seen is listed, and none else.
fn check_listed(heading: &str, seen: &[compare::Difference]) {
    let listed = listed(heading);
    let unlisted: Vec<_> = seen
        .iter()
        .filter(|it| !listed.contains(&it.key()))
        .map(ToString::to_string)
        .collect();
    assert!(unlisted.is_empty(), "not listed: {unlisted:#?}");
    let seen: BTreeSet<_> = seen.iter().map(compare::Difference::key).collect();
    let gone: Vec<_> = listed.difference(&seen).collect();
    assert!(gone.is_empty(), "listed, and not so: {gone:#?}");
}
