//! Requests to the engine over connections of our own, where bollard will not do.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::error;
use crate::runtime::{Result, RuntimeError};

/// For the error that comes instead of an answer.
const MAX_ERROR_BODY: usize = 64 << 10;

/// The body of the answer, whose head has to come `within`. Dropping it ends the
/// connection.
pub(super) async fn ask(
    socket: &Path,
    request: Request<Empty<Bytes>>,
    within: Duration,
) -> Result<Incoming> {
    let unavailable = |reason: String| RuntimeError::Unavailable(reason);
    let answer = timeout(within, send(socket, request))
        .await
        .map_err(|_| unavailable("the engine did not answer in time".into()))?
        .map_err(unavailable)?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer.into_body());
    }
    let body = Limited::new(answer.into_body(), MAX_ERROR_BODY)
        .collect()
        .await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    Err(error::refusal(status.as_u16(), error_message(&body)))
}

fn error_message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Told {
        message: String,
    }
    serde_json::from_slice::<Told>(body).map_or_else(
        |_| String::from_utf8_lossy(body).into_owned(),
        |told| told.message,
    )
}

/// One connection for one request. The error is for people.
async fn send(
    socket: &Path,
    mut request: Request<Empty<Bytes>>,
) -> std::result::Result<Response<Incoming>, String> {
    let text = |error: hyper::Error| error.to_string();
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    tokio::spawn(connection);
    let host = HeaderValue::from_static("docker");
    request.headers_mut().insert(HOST, host);
    sender.send_request(request).await.map_err(text)
}
