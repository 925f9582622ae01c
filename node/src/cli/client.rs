//! The daemon's API socket, seen from a command: JSON in, JSON or a stream out.
//!
//! One connection per request: a command makes few of them, over a unix
//! socket. Every answer has a limit, and a stream is read as it is shown.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::args::Socket;
use super::error::CliError;
use crate::api::dto::ErrorMessage;

/// The largest answer that is read: the tasks of a very large swarm.
const MAX_ANSWER: usize = 256 << 20;

/// A path below the API's root with its query, built from untrusted names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    text: String,
    has_query: bool,
}

impl Target {
    /// `segments` are escaped one by one: a name with a slash stays one.
    pub fn new(segments: &[&str]) -> Self {
        let mut text = String::new();
        for segment in segments {
            text.push('/');
            escape(segment, &mut text);
        }
        Self {
            text,
            has_query: false,
        }
    }

    pub fn query(mut self, key: &str, value: &str) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        escape(key, &mut self.text);
        self.text.push('=');
        escape(value, &mut self.text);
        self
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Everything but RFC 3986's unreserved characters as `%XX`.
fn escape(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                into.push(char::from(byte));
            }
            _ => into.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// A client of one daemon.
#[derive(Debug, Clone)]
pub struct Client {
    socket: Socket,
}

impl Client {
    pub fn new(socket: Socket) -> Self {
        Self { socket }
    }

    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    pub async fn get<T: DeserializeOwned>(&self, target: &Target) -> Result<T, CliError> {
        let text = self.text(Method::GET, target).await?;
        parse(target, &text)
    }

    /// The answer as it came, JSON or not.
    pub async fn text(&self, method: Method, target: &Target) -> Result<String, CliError> {
        let response = self.send(method, target, Bytes::new()).await?;
        whole(target, response).await
    }

    pub async fn post<B: Serialize + Sync>(
        &self,
        target: &Target,
        body: &B,
    ) -> Result<String, CliError> {
        self.post_with(target, body, None).await
    }

    /// As [`Client::post`], with credentials for a registry.
    pub async fn post_with<B: Serialize + Sync>(
        &self,
        target: &Target,
        body: &B,
        registry_auth: Option<HeaderValue>,
    ) -> Result<String, CliError> {
        let body = serde_json::to_vec(body).map_err(|error| nonsense(target, &error))?;
        let mut request = request(Method::POST, target, body.into())?;
        if let Some(auth) = registry_auth {
            request.headers_mut().insert("x-registry-auth", auth);
        }
        let response = self.exchange(request).await?;
        whole(target, response).await
    }

    pub async fn delete(&self, target: &Target) -> Result<(), CliError> {
        self.text(Method::DELETE, target).await.map(drop)
    }

    /// The body of an answer that is read as it comes.
    pub async fn stream(&self, target: &Target) -> Result<Incoming, CliError> {
        let response = self.send(Method::GET, target, Bytes::new()).await?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        Err(refusal(target, response).await)
    }

    async fn send(
        &self,
        method: Method,
        target: &Target,
        body: Bytes,
    ) -> Result<Response<Incoming>, CliError> {
        self.exchange(request(method, target, body)?).await
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, CliError> {
        let stream = UnixStream::connect(self.socket.path())
            .await
            .map_err(|source| self.unreachable(source))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        // Ends with the response's body, or with the connection.
        tokio::spawn(connection);
        sender
            .send_request(request)
            .await
            .map_err(|error| broken(&error))
    }

    fn unreachable(&self, source: io::Error) -> CliError {
        let socket = self.socket.clone();
        match source.kind() {
            io::ErrorKind::PermissionDenied => CliError::Forbidden { socket },
            _ => CliError::NoDaemon { socket, source },
        }
    }
}

fn request(method: Method, target: &Target, body: Bytes) -> Result<Request<Full<Bytes>>, CliError> {
    Request::builder()
        .method(method)
        .uri(target.as_str())
        .header(HOST, "swarmlet")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(|error| nonsense(target, &error))
}

/// `text`, the answer to `target`, as a `T`.
pub fn parse<T: DeserializeOwned>(target: &Target, text: &str) -> Result<T, CliError> {
    serde_json::from_str(text).map_err(|error| nonsense(target, &error))
}

async fn whole(target: &Target, response: Response<Incoming>) -> Result<String, CliError> {
    if !response.status().is_success() {
        return Err(refusal(target, response).await);
    }
    read(target, response.into_body()).await
}

async fn refusal(target: &Target, response: Response<Incoming>) -> CliError {
    let status = response.status();
    let text = match read(target, response.into_body()).await {
        Ok(text) => text,
        Err(error) => return error,
    };
    let message = match serde_json::from_str::<ErrorMessage>(&text) {
        Ok(error) if !error.message.is_empty() => error.message,
        _ if text.trim().is_empty() => status.to_string(),
        _ => text.trim().to_owned(),
    };
    CliError::Daemon {
        status: status.as_u16(),
        message,
    }
}

async fn read(target: &Target, body: Incoming) -> Result<String, CliError> {
    let body = Limited::new(body, MAX_ANSWER)
        .collect()
        .await
        .map_err(|error| match error.is::<LengthLimitError>() {
            true => nonsense(target, &"it is larger than 256 MiB"),
            false => CliError::Broken(error.to_string()),
        })?;
    String::from_utf8(body.to_bytes().into()).map_err(|error| nonsense(target, &error))
}

fn nonsense(target: &Target, why: &dyn std::fmt::Display) -> CliError {
    CliError::Nonsense {
        what: target.as_str().to_owned(),
        why: why.to_string(),
    }
}

fn broken(error: &hyper::Error) -> CliError {
    CliError::Broken(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place_in_a_path() {
        let target = Target::new(&["services", "a/../b c?", "logs"])
            .query("filters", "{\"a&b\":1}")
            .query("n", "é");
        assert_eq!(
            target.as_str(),
            "/services/a%2F..%2Fb%20c%3F/logs?filters=%7B%22a%26b%22%3A1%7D&n=%C3%A9"
        );
    }
}
