//! The engine behind the socket, played by hand.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::fake::Fake;
use crate::api;

/// The API socket and an engine's, in a directory of their own.
struct Sockets {
    dir: TempDir,
    engine: UnixListener,
}

impl Sockets {
    fn new(fake: &Fake) -> Self {
        let dir = TempDir::new().unwrap();
        let engine = UnixListener::bind(dir.path().join("engine.sock")).unwrap();
        let listener = UnixListener::bind(dir.path().join("api.sock")).unwrap();
        let backend = Arc::new(fake.clone());
        tokio::spawn(api::serve(
            listener,
            backend,
            dir.path().join("engine.sock"),
        ));
        Self { dir, engine }
    }

    fn api(&self) -> PathBuf {
        self.dir.path().join("api.sock")
    }

    async fn client(&self) -> UnixStream {
        UnixStream::connect(self.api()).await.unwrap()
    }

    async fn accepted(&self) -> UnixStream {
        within(self.engine.accept()).await.unwrap().0
    }
}

/// A test that waits for what does not come must fail.
async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future)
        .await
        .expect("in time")
}

/// Reads up to the empty line.
async fn head(stream: &mut UnixStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(within(stream.read_u8()).await.unwrap());
    }
    String::from_utf8(text).unwrap()
}

async fn exactly(stream: &mut UnixStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    within(stream.read_exact(&mut bytes)).await.unwrap();
    bytes
}

async fn rest(stream: &mut UnixStream) -> String {
    let mut text = String::new();
    within(stream.read_to_string(&mut text)).await.unwrap();
    text
}

#[tokio::test]
async fn a_request_and_its_answer_pass_as_they_are() {
    let sockets = Sockets::new(&Fake::new());
    let mut client = sockets.client().await;
    let request = "POST /v1.41/containers/a%2Fb/x?q=%7B%7D&y HTTP/1.1\r\nHost: api.moby.localhost\r\n\
                   X-Registry-Auth: e30=\r\nX-lower-Upper: 1\r\nContent-Length: 5\r\n\r\nhello";
    client.write_all(request.as_bytes()).await.unwrap();
    let mut engine = sockets.accepted().await;
    let seen = head(&mut engine).await;
    assert_eq!(seen, request.trim_end_matches("hello"));
    assert_eq!(exactly(&mut engine, 5).await, b"hello");
    let answer = "HTTP/1.1 418 I'm a teapot\r\nApi-Version: 1.41\r\nX-Odd-case: v\r\n\
                  Content-Length: 3\r\n\r\nabc";
    engine.write_all(answer.as_bytes()).await.unwrap();
    let seen = head(&mut client).await;
    for line in ["HTTP/1.1 418", "Api-Version: 1.41\r\n", "X-Odd-case: v\r\n"] {
        assert!(seen.contains(line), "{line} in {seen}");
    }
    assert_eq!(exactly(&mut client, 3).await, b"abc");
}

#[tokio::test]
async fn an_upgraded_stream_ends_in_each_direction_by_itself() {
    let sockets = Sockets::new(&Fake::new());
    let mut client = sockets.client().await;
    let request = "POST /v1.41/containers/x/attach?stdin=1&stream=1 HTTP/1.1\r\nHost: docker\r\n\
                   Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let mut engine = sockets.accepted().await;
    let seen = head(&mut engine).await;
    assert!(seen.contains("Upgrade: tcp\r\n"), "{seen}");
    let answer = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
                  Connection: Upgrade\r\nUpgrade: tcp\r\n\r\nfirst";
    engine.write_all(answer.as_bytes()).await.unwrap();
    let seen = head(&mut client).await;
    assert!(seen.starts_with("HTTP/1.1 101 "), "{seen}");
    assert!(seen.contains("Upgrade: tcp\r\n"), "{seen}");
    assert_eq!(exactly(&mut client, 5).await, b"first");

    client.write_all(b"all that I say").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut engine).await, "all that I say");
    engine.write_all(b"and the answer to it").await.unwrap();
    drop(engine);
    assert_eq!(rest(&mut client).await, "and the answer to it");
}

#[tokio::test]
async fn a_stream_comes_piece_by_piece() {
    let sockets = Sockets::new(&Fake::new());
    let mut client = sockets.client().await;
    client
        .write_all(b"GET /v1.41/containers/x/stats HTTP/1.1\r\nHost: docker\r\n\r\n")
        .await
        .unwrap();
    let mut engine = sockets.accepted().await;
    head(&mut engine).await;
    let first = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{1}\n\r\n";
    engine.write_all(first.as_bytes()).await.unwrap();
    head(&mut client).await;
    assert_eq!(exactly(&mut client, 9).await, b"4\r\n{1}\n\r\n");
    engine.write_all(b"4\r\n{2}\n\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(exactly(&mut client, 14).await, b"4\r\n{2}\n\r\n0\r\n\r\n");
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_with_it() {
    let sockets = Sockets::new(&Fake::new());
    let mut client = sockets.client().await;
    client
        .write_all(b"POST /v1.41/containers/x/wait HTTP/1.1\r\nHost: docker\r\n\r\n")
        .await
        .unwrap();
    let mut engine = sockets.accepted().await;
    head(&mut engine).await;
    drop(client);
    assert_eq!(rest(&mut engine).await, "");
}

#[tokio::test]
async fn an_upload_has_no_limit_of_ours() {
    let sockets = Sockets::new(&Fake::new());
    let mut client = sockets.client().await;
    let length = api::MAX_BODY + 1_000;
    let head_sent = format!(
        "POST /v1.41/images/load HTTP/1.1\r\nHost: docker\r\nContent-Length: {length}\r\n\r\n"
    );
    let upload = tokio::spawn(async move {
        client.write_all(head_sent.as_bytes()).await.unwrap();
        client.write_all(&vec![7; length]).await.unwrap();
        client
    });
    let mut engine = sockets.accepted().await;
    head(&mut engine).await;
    assert_eq!(exactly(&mut engine, length).await.len(), length);
    within(upload).await.unwrap();
}

/// Answers every request with `headers` and `body`, a connection each.
fn answer_all(engine: UnixListener, headers: &'static str, body: &'static str) {
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = engine.accept().await.unwrap();
            head(&mut stream).await;
            let length = body.len();
            let answer =
                format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
}

/// `GET path` of an API whose engine answers everything so.
async fn get(headers: &'static str, body: &'static str, path: &str) -> (String, Value) {
    let Sockets { dir, engine } = Sockets::new(&Fake::active());
    answer_all(engine, headers, body);
    let mut client = UnixStream::connect(dir.path().join("api.sock"))
        .await
        .unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let answer = rest(&mut client).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head.to_lowercase(),
        serde_json::from_str(body).unwrap_or(Value::Null),
    )
}

#[tokio::test]
async fn our_answers_carry_the_engines_headers() {
    let headers = "Api-Version: 1.41\r\nServer: Docker/20.10.24 (linux)\r\nOstype: linux\r\n\
                   Docker-Experimental: true\r\nBuilder-Version: 1\r\n";
    let (head, _) = get(headers, "OK", "/services").await;
    for line in [
        "api-version: 1.41",
        "server: docker/20.10.24 (linux)",
        "docker-experimental: true",
    ] {
        assert!(head.contains(line), "{line} in {head}");
    }
    let (head, _) = get(headers, "OK", "/_ping").await;
    assert!(head.contains("builder-version: 1"), "{head}");
    assert!(head.contains("swarm: active/manager"), "{head}");
}

#[tokio::test]
async fn the_advertised_version_is_neither_above_the_engines_nor_above_ours() {
    let (head, _) = get("Api-Version: 1.40\r\n", "OK", "/_ping").await;
    assert!(head.contains("api-version: 1.40"), "{head}");
    let (head, version) = get(
        "Api-Version: 1.99\r\n",
        r#"{"ApiVersion": "1.99"}"#,
        "/version",
    )
    .await;
    assert!(head.contains("api-version: 1.51"), "{head}");
    assert_eq!(version["ApiVersion"], "1.51");
    assert_eq!(version["Components"][0]["Name"], "swarmlet");
}

#[tokio::test]
async fn info_is_the_engines_with_our_swarm() {
    let body = r#"{"ID": "x", "Containers": 7, "Swarm": {"LocalNodeState": "inactive"}, "Warnings": null}"#;
    let (_, info) = get("", body, "/v1.41/info").await;
    assert_eq!(info["Containers"], 7);
    assert_eq!(info["Swarm"]["LocalNodeState"], "active");
    assert_eq!(info["Warnings"], Value::Null);
}

#[tokio::test]
async fn the_leader_answers_other_managers_for_the_swarm_alone() {
    let (mine, theirs) = tokio::io::duplex(1024);
    let router = api::swarm_router(Arc::new(Fake::active()));
    tokio::spawn(async move {
        http1::Builder::new()
            .serve_connection(TokioIo::new(theirs), TowerToHyperService::new(router))
            .await
    });
    let request = Request::get("/v1.41/services").body(Body::empty()).unwrap();
    let answer = within(api::proxy::exchange(mine, request)).await.unwrap();
    assert_eq!(answer.status(), 200);

    let router = api::swarm_router(Arc::new(Fake::active()));
    let request = Request::get("/info").body(Body::empty()).unwrap();
    let service = TowerToHyperService::new(router);
    let Ok(answer) = hyper::service::Service::call(&service, request).await;
    assert_eq!(answer.status(), 404);
}
