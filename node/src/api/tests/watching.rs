//! A large swarm, watched by a hundred users of the docker program.
//!
//! `cargo test --release -p swarmlet-node --lib watching -- --nocapture` says how
//! much of a core each way of watching takes. Requests go over real connections,
//! and only the thread that serves them is counted.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use futures::future::{join_all, select};
use http_body_util::BodyExt;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::json;
use services::Id;
use services::object::TaskState;
use stopwatch::computed;
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::fake::Fake;
use super::{get, large, post};
use crate::api;

const CLIENTS: usize = 100;
/// Of each client, in a second.
const POLLS: usize = 5;
/// What happens in the swarm in a second of it, where it is not still.
const CHANGES: usize = 20;
/// So many times as much as it takes to parse the list of all tasks once: half a core
/// where that takes 36 ms. What a core can do differs too much for a limit in
/// milliseconds.
const BUDGET: u32 = 14;

/// What one user runs.
struct Watch {
    name: &'static str,
    /// The requests of one poll.
    asks: fn(service: &str) -> Vec<String>,
    /// Whether each poll is a program of its own, or one goes on asking.
    anew: bool,
}

const WATCHES: [Watch; 3] = [
    Watch {
        name: "service update, which shows its progress",
        asks: |id| {
            let filters = format!(r#"{{"_up-to-date":{{"true":true}},"service":{{"{id}":true}}}}"#);
            vec![
                format!("/v1.41/services/{id}?insertDefaults=false"),
                format!("/v1.41/tasks?filters={}", escaped(&filters)),
                "/v1.41/nodes".into(),
            ]
        },
        anew: false,
    },
    Watch {
        name: "watch docker service ls",
        asks: |_| vec!["/_ping".into(), "/v1.41/services?status=true".into()],
        anew: true,
    },
    Watch {
        name: "watch docker node ls",
        asks: |_| vec!["/_ping".into(), "/v1.41/nodes".into(), "/v1.41/info".into()],
        anew: true,
    },
];

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Serves until it is told to stop; what that cost.
fn serve(
    fake: Fake,
    dir: PathBuf,
    ready: oneshot::Sender<()>,
    stop: oneshot::Receiver<()>,
) -> Duration {
    runtime().block_on(async {
        let listener = UnixListener::bind(dir.join("api.sock")).unwrap();
        ready.send(()).unwrap();
        let before = computed().unwrap();
        let engine = dir.join("engine.sock");
        let served = Box::pin(api::serve(listener, Arc::new(fake), engine));
        select(served, stop).await;
        computed().unwrap() - before
    })
}

/// An engine that answers everything at once, on a thread of its own.
fn play_engine(path: PathBuf) {
    thread::spawn(move || {
        runtime().block_on(async {
            let listener = UnixListener::bind(path).unwrap();
            let headers = [
                ("Api-Version", "1.41"),
                ("Content-Type", "application/json"),
            ];
            let app = axum::Router::new().fallback(move || async move { (headers, "{}") });
            axum::serve(listener, app).await.unwrap();
        });
    });
}

async fn connect(socket: &Path) -> SendRequest<Body> {
    let stream = UnixStream::connect(socket).await.unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn poll(sender: &mut SendRequest<Body>, asks: &[String]) {
    for path in asks {
        let request = Request::builder()
            .method(Method::GET)
            .uri(path)
            .header("Host", "docker")
            .body(Body::empty())
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.into_body().collect().await.unwrap();
    }
}

async fn watch(socket: &Path, watch: &Watch, service: &str, polled: impl Fn()) {
    let asks = (watch.asks)(service);
    let mut sender = connect(socket).await;
    for _ in 0..POLLS {
        if watch.anew {
            sender = connect(socket).await;
        }
        poll(&mut sender, &asks).await;
        polled();
    }
}

/// Makes so many changes in a second of it, each of another task.
fn changing(fake: &Fake, changes: usize) -> impl Fn() {
    let tasks: Vec<Id> = fake.edit(|swarm| swarm.state.tasks().map(|task| task.id).collect());
    let (fake, polls) = (fake.clone(), Cell::new(0));
    move || {
        let before = polls.replace(polls.get() + 1);
        let made = |polls: usize| polls * changes / (CLIENTS * POLLS);
        for number in made(before)..made(before + 1) {
            let task = tasks[number * tasks.len() / changes];
            fake.edit(|swarm| swarm.tell(task, TaskState::Running, "started again"));
        }
    }
}

/// What it costs to serve a second of it.
fn cost(fake: &Fake, ids: &[String], what: &Watch, changes: usize) -> Duration {
    let dir = TempDir::new().unwrap();
    play_engine(dir.path().join("engine.sock"));
    let (ready, is_ready) = oneshot::channel();
    let (stop, stopped) = oneshot::channel();
    let (served, at) = (fake.clone(), dir.path().to_owned());
    let server = thread::spawn(move || serve(served, at, ready, stopped));
    runtime().block_on(async {
        is_ready.await.unwrap();
        let socket = dir.path().join("api.sock");
        let ids = ids.iter().cycle().take(CLIENTS);
        let change = changing(fake, changes);
        join_all(ids.map(|id| watch(&socket, what, id, &change))).await;
    });
    stop.send(()).unwrap();
    server.join().unwrap()
}

#[test]
fn a_hundred_watching_users_take_less_than_half_a_core() {
    let runtime = runtime();
    let fake = runtime.block_on(large::large()).keeping();
    let services = runtime.block_on(get(&fake, "/services")).json();
    let services = services.as_array().unwrap().iter();
    let ids: Vec<String> = services
        .map(|it| it["ID"].as_str().unwrap().to_owned())
        .collect();
    let tasks = runtime.block_on(get(&fake, "/tasks")).body;
    for what in &WATCHES {
        for changes in [0, CHANGES] {
            // The least: what else the machine does only adds to it.
            let costs = (0..3).map(|_| cost(&fake, &ids, what, changes));
            let cost = costs.min().unwrap();
            let parsing = (0..3).map(|_| parsing(&tasks)).min().unwrap();
            let said = format!(
                "{}, {changes} changes: {cost:.0?} for a second, to parse all tasks {parsing:.0?}",
                what.name
            );
            println!("{said}");
            // What a build for debugging computes says nothing.
            assert!(cfg!(debug_assertions) || cost < parsing * BUDGET, "{said}");
        }
    }
}

/// What it costs to parse an answer.
fn parsing(answer: &[u8]) -> Duration {
    let before = computed().unwrap();
    let parsed: serde_json::Value = serde_json::from_slice(answer).unwrap();
    let took = computed().unwrap() - before;
    assert!(parsed.is_array());
    took
}

#[tokio::test]
async fn what_was_answered_is_answered_again_until_something_changes() {
    let fake = Fake::active().keeping();
    let spec = json!({"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "busybox"}}});
    for (number, path) in [
        "/nodes",
        "/services?status=true",
        "/tasks",
        "/v1.41/nodes/refnode",
    ]
    .into_iter()
    .enumerate()
    {
        let first = get(&fake, path).await;
        let again = get(&fake, path).await;
        assert_eq!((first.status, &first.body), (200, &again.body), "{path}");
        assert_eq!(first.headers, again.headers);
        let mut other = spec.clone();
        other["Name"] = json!(format!("web{number}"));
        post(&fake, "/services/create", &other).await;
        fake.edit(|swarm| swarm.plan());
        let services = get(&fake, "/services?status=true").await.json();
        assert_eq!(services.as_array().unwrap().len(), number + 1);
        let tasks = get(&fake, "/tasks").await.json();
        assert_eq!(tasks.as_array().unwrap().len(), number + 1);
    }
    assert_eq!(get(&fake, "/services/nope").await.status, 404);
    assert_eq!(get(&fake, "/services/nope").await.status, 404);
}
