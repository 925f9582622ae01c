//! The local Docker Engine behind the API socket.
//!
//! Every request gets a connection of its own: on a Unix socket that costs
//! nothing, and no request waits for another's stream. The engine comes and
//! goes; what it last said of itself is kept for the headers of our answers.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request};
use axum::response::Response;
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::error::ApiError;
use super::proxy;
use super::route::{ApiVersion, MAX_VERSION};

/// For `/_ping`, which costs an engine nothing.
const PING_WITHIN: Duration = Duration::from_secs(1);
/// For what the engine says of itself (`/version`, `/info`).
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 8 * 1024 * 1024;
/// What is advertised before the engine was ever heard: every engine of the
/// last years has it.
const ASSUMED_VERSION: ApiVersion = ApiVersion(1, 41);

const API_VERSION: HeaderName = HeaderName::from_static("api-version");
const SERVER: HeaderName = HeaderName::from_static("server");
const OSTYPE: HeaderName = HeaderName::from_static("ostype");
const EXPERIMENTAL: HeaderName = HeaderName::from_static("docker-experimental");
pub(super) const BUILDER_VERSION: HeaderName = HeaderName::from_static("builder-version");

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    socket: Arc<Path>,
    heard: Arc<RwLock<Option<HeaderMap>>>,
}

impl Engine {
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into().into(),
            heard: Arc::default(),
        }
    }

    /// Passes a request through.
    ///
    /// # Errors
    /// 503 where the engine does not listen; 502 where it breaks off.
    pub async fn send(&self, request: Request<Body>) -> Result<Response, ApiError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| {
            ApiError::unavailable(format!(
                "Cannot connect to the Docker daemon at unix://{}. Is the docker daemon \
                 running? ({error})",
                self.socket.display()
            ))
        })?;
        proxy::exchange(stream, request).await.map_err(|error| {
            ApiError::new(
                axum::http::StatusCode::BAD_GATEWAY,
                format!("the Docker daemon broke off: {error}"),
            )
        })
    }

    /// `GET path`, which is JSON.
    ///
    /// # Errors
    /// As [`Self::send`]; 502 where the answer is none.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        let read = async {
            let answer = self.send(get(path)).await?;
            json(path, answer.into_body()).await
        };
        timeout(ANSWER_WITHIN, read)
            .await
            .unwrap_or_else(|_| Err(unreadable(path, "no answer in time")))
    }

    /// Asks the engine what it is. What it said last stands where it is away.
    pub(super) async fn ping(&self) -> Facts {
        if let Ok(Ok(answer)) = timeout(PING_WITHIN, self.send(get("/_ping"))).await {
            let headers = answer.headers().clone();
            *self.heard.write().unwrap_or_else(PoisonError::into_inner) = Some(headers);
        }
        Facts(self.heard().unwrap_or_default())
    }

    /// What the engine last said of itself; asks where it has not been heard.
    pub(super) async fn facts(&self) -> Facts {
        match self.heard() {
            Some(headers) => Facts(headers),
            None => self.ping().await,
        }
    }

    fn heard(&self) -> Option<HeaderMap> {
        self.heard
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn get(path: &str) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = path.parse().unwrap_or_default();
    let host = HeaderValue::from_static("docker");
    request.headers_mut().insert(axum::http::header::HOST, host);
    request
}

/// An answer to `path`, which is JSON.
///
/// # Errors
/// 502 where it is none, or breaks off.
pub(super) async fn json<T: DeserializeOwned>(path: &str, body: Body) -> Result<T, ApiError> {
    let body = Limited::new(body, MAX_ANSWER).collect().await;
    let body = body.map_err(|error| unreadable(path, &error.to_string()))?;
    serde_json::from_slice(&body.to_bytes()).map_err(|error| unreadable(path, &error.to_string()))
}

fn unreadable(path: &str, reason: &str) -> ApiError {
    ApiError::new(
        axum::http::StatusCode::BAD_GATEWAY,
        format!("the Docker daemon's answer to {path} cannot be read: {reason}"),
    )
}

/// The headers that an engine puts on all of its answers; empty while it has
/// not been heard.
#[derive(Debug, Clone)]
pub(super) struct Facts(HeaderMap);

impl Facts {
    /// Never above the engine's own, or it would refuse what we pass on.
    pub fn advertised(&self) -> ApiVersion {
        self.0
            .get(API_VERSION)
            .and_then(|value| ApiVersion::parse(value.to_str().ok()?))
            .map_or(ASSUMED_VERSION, |version| version.min(MAX_VERSION))
    }

    pub fn builder_version(&self) -> Option<&HeaderValue> {
        self.0.get(BUILDER_VERSION)
    }

    /// Puts them on an answer of ours.
    pub fn stamp(&self, response: &mut Response) {
        let headers = response.headers_mut();
        let or = |name: HeaderName, otherwise: &'static str| {
            let said = self.0.get(&name).cloned();
            (name, said.unwrap_or(HeaderValue::from_static(otherwise)))
        };
        headers.extend([
            or(SERVER, concat!("swarmlet/", env!("CARGO_PKG_VERSION"))),
            or(OSTYPE, "linux"),
            or(EXPERIMENTAL, "false"),
        ]);
        if let Ok(version) = HeaderValue::try_from(self.advertised().to_string()) {
            headers.insert(API_VERSION, version);
        }
    }
}
