//! The driver's socket: where the engine looks for a plugin of that name.
//!
//! HTTP/1.1 over a unix socket that only root can reach. Connections stay open
//! between questions, as the engine likes it; their number and the size of a
//! question are bounded.

use std::convert::Infallible;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::driver::Driver;
use super::protocol::{self, Call};

/// At a time; the engine has one or two.
const MAX_CONNECTIONS: usize = 64;
/// A network's options are the largest question.
const MAX_BODY_BYTES: usize = 256 << 10;
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// After an accept that failed, e.g. for want of file descriptors.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How often the socket file is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// For questions that are being answered when the server is stopped.
const FINISH_WITHIN: Duration = Duration::from_secs(5);
const CONTENT: &str = "application/vnd.docker.plugins.v1.2+json";

/// The socket file; it is removed when this is dropped.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

impl Socket {
    /// Takes the place of a socket that nobody listens on. The directory is made
    /// if the engine has not made it yet, as the engine makes it.
    ///
    /// # Errors
    /// Another process serves the socket, or the file system refuses.
    pub async fn bind(dir: &Path, plugin: &str) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let path = dir.join(format!("{plugin}.sock"));
        if UnixStream::connect(&path).await.is_ok() {
            let text = format!("{} is served by another process", path.display());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        Ok(Self { path, listener })
    }

    /// Makes the file anew where somebody has removed it, as those do who
    /// install an engine again. Whether that was so.
    fn mend(&mut self) -> io::Result<bool> {
        match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found.map(|_| false),
        }
        if let Some(dir) = self.path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        self.listener = UnixListener::bind(&self.path)?;
        Ok(true)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // It may be gone with the engine's directory.
        let _ = fs::remove_file(&self.path);
    }
}

/// Answers the engine until `stop`; then finishes what it has begun.
pub fn start(socket: Socket, driver: Arc<Driver>, stop: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(serve(socket, driver, stop))
}

async fn serve(mut socket: Socket, driver: Arc<Driver>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = socket.listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, driver.clone(), stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "the plugin's socket cannot accept a connection");
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                }
            },
            Some(_) = connections.join_next() => {}
            _ = look.tick() => match socket.mend() {
                Ok(false) => {}
                Ok(true) => tracing::warn!("the plugin's socket was gone and is there again"),
                Err(error) => tracing::debug!(%error, "the plugin's socket is gone"),
            }
        }
    }
    drop(socket);
    let finished = async { while connections.join_next().await.is_some() {} };
    if timeout(FINISH_WITHIN, finished).await.is_err() {
        tracing::warn!("the engine's last questions are left without an answer");
    }
}

async fn serve_connection(stream: UnixStream, driver: Arc<Driver>, stop: CancellationToken) {
    let service = service_fn(|request| answer(request, &driver));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of the engine broke off");
    }
}

async fn answer(
    request: Request<Incoming>,
    driver: &Driver,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let body = match timeout(BODY_WITHIN, Limited::new(body, MAX_BODY_BYTES).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) => {
            return Ok(response(
                StatusCode::BAD_REQUEST,
                &protocol::refused(&error),
            ));
        }
        Err(_) => {
            let late = protocol::refused(&"the question took too long");
            return Ok(response(StatusCode::REQUEST_TIMEOUT, &late));
        }
    };
    let answer = match Call::parse(path, &body) {
        // In the words that the engine takes for a question that need not be known.
        None => {
            return Ok(response(
                StatusCode::NOT_FOUND,
                &protocol::refused(&"404 page not found"),
            ));
        }
        Some(Ok(call)) => driver.answer(call).await,
        Some(Err(refusal)) => Err(refusal),
    };
    let answer = answer.unwrap_or_else(|refusal| {
        tracing::warn!(path, %refusal, "refused the engine");
        protocol::refused(&refusal)
    });
    Ok(response(StatusCode::OK, &answer))
}

fn response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    let content = hyper::header::HeaderValue::from_static(CONTENT);
    response.headers_mut().insert(CONTENT_TYPE, content);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_somebody_removed_is_there_again() {
        let dir = tempfile::tempdir().unwrap();
        let plugins = dir.path().join("plugins");
        let mut socket = Socket::bind(&plugins, "swarmlet").await.unwrap();
        assert!(!socket.mend().unwrap());
        fs::remove_dir_all(&plugins).unwrap();
        assert!(socket.mend().unwrap());
        let path = plugins.join("swarmlet.sock");
        let (asked, accepted) = tokio::join!(UnixStream::connect(&path), socket.listener.accept());
        asked.unwrap();
        accepted.unwrap();
        drop(socket);
        assert!(!path.exists());
    }
}
