//! The socket itself.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::Engine;
use super::backend::Backend;

/// Connections at a time; those beyond wait to be accepted. Followed logs and
/// attached terminals hold theirs.
const MAX_CONNECTIONS: usize = 4_096;
/// For a client to send a request's head.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// After an accept that failed, e.g. for want of file descriptors.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Serves the API on `listener`; `engine` is the local engine's socket. Runs
/// until it is dropped, and breaks off then what is still open.
///
/// # Errors
/// `listener` is none any more.
pub async fn serve(
    listener: UnixListener,
    backend: Arc<dyn Backend>,
    engine: PathBuf,
) -> anyhow::Result<()> {
    let router = super::router(backend, Engine::new(engine));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, router.clone()));
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%error, "the API socket cannot accept a connection");
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A client that closes its connection gives up what it asked for.
async fn serve_connection(stream: UnixStream, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .preserve_header_case(true)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "an API connection broke off");
    }
}
