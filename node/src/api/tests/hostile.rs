//! Requests that are too long, or not what they say.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::fake::Fake;
use super::send;
use crate::api::{self, MAX_BODY};

const HUGE: usize = 100_000_000;
/// What sockets and readers hold on the way.
const ON_THE_WAY: usize = 1 << 20;

/// A connection to the API of a swarm, which ends with the directory.
async fn connected() -> (TempDir, UnixStream) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("api.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let engine = dir.path().join("engine.sock");
    tokio::spawn(api::serve(listener, Arc::new(Fake::active()), engine));
    let client = UnixStream::connect(&path).await.unwrap();
    (dir, client)
}

/// Sends `part` again and again until nobody takes it any more; how many bytes
/// were taken whole.
async fn taken(client: &mut UnixStream, part: &[u8]) -> usize {
    let mut taken = 0;
    while taken < HUGE {
        match client.write_all(part).await {
            Ok(()) => taken += part.len(),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}"),
        }
    }
    taken
}

/// As far as it came.
async fn answer(client: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    while let Ok(count) = timeout(Duration::from_secs(20), client.read(&mut part))
        .await
        .expect("in time")
    {
        bytes.extend_from_slice(&part[..count]);
        if count == 0 {
            break;
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn head(path: &str, length: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
    )
}

#[tokio::test]
async fn a_body_that_says_it_is_huge_is_refused_unread() {
    for path in ["/services/create", "/secrets/create", "/swarm/init"] {
        let (_dir, mut client) = connected().await;
        let head = head(path, &format!("Content-Length: {HUGE}"));
        client.write_all(head.as_bytes()).await.unwrap();
        let taken = taken(&mut client, &[b' '; 64 << 10]).await;
        assert!(taken < ON_THE_WAY, "{path}: {taken} bytes");
        let answer = answer(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{path}: {answer}");
        assert!(answer.contains("larger than 8388608 bytes"), "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_goes_on_is_read_to_the_limit() {
    let (_dir, mut client) = connected().await;
    let head = head("/services/create", "Transfer-Encoding: chunked");
    client.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let taken = taken(&mut client, chunk.as_bytes()).await;
    assert!(taken < MAX_BODY + ON_THE_WAY, "{taken} bytes");
    let answer = answer(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_body_that_ends_early_is_refused_as_by_docker() {
    for (sent, length) in [("{\"Name\": \"we", 100), ("{\"Name\": \"we", 12)] {
        let (_dir, mut client) = connected().await;
        let head = head("/services/create", &format!("Content-Length: {length}"));
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(sent.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let answer = answer(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{length}: {answer}");
        assert!(
            answer.ends_with(r#"{"message":"invalid JSON: unexpected EOF"}"#),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_body_that_is_not_called_json_is_refused() {
    let ask = async |said: Option<&str>, body: &'static str| {
        let mut request = Request::post("/services/create");
        if let Some(said) = said {
            request = request.header("Content-Type", said);
        }
        let answer = send(&Fake::active(), request.body(Body::from(body)).unwrap()).await;
        (answer.status, answer.message())
    };
    let json = "must be 'application/json'";
    for (said, expected) in [
        (
            None,
            "malformed Content-Type header (): mime: no media type".to_owned(),
        ),
        (
            Some("text/plain; charset=utf-8"),
            format!("unsupported Content-Type header (text/plain; charset=utf-8): {json}"),
        ),
        (
            Some("application/jsonp"),
            format!("unsupported Content-Type header (application/jsonp): {json}"),
        ),
    ] {
        assert_eq!(ask(said, "{}").await, (400, expected));
    }
    for said in ["application/json", "Application/JSON ; charset=utf-8"] {
        let (_, message) = ask(Some(said), "{}").await;
        assert!(!message.contains("Content-Type"), "{message}");
    }
    // The docker program calls nothing a plain text.
    let (_, message) = ask(Some("text/plain"), "").await;
    assert!(!message.contains("Content-Type"), "{message}");
}
