//! The swarm's half of the API is answered by the leader. Another manager
//! sends the request on, whole, as HTTP/1.1 over a stream of the node protocol
//! and hands the answer back as it comes, so that whoever asks anywhere reads
//! what was just written.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::Full;
use hyper::http::request::Parts;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use quinn::{RecvStream, SendStream};
use tokio::time::{Instant, timeout_at};

use crate::api;
use crate::control::frame;
use crate::control::message::Open;
use crate::manager::Manager;

/// How long a request waits for a leader, where there is none.
const LEADER_WITHIN: Duration = Duration::from_secs(5);
/// Set on an answer that says "I do not lead": nothing was done.
const NOT_LEADER: &str = "x-swarmlet-not-leader";

/// Where a request should be answered.
pub enum Route {
    Here,
    Answered(Response),
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// Nothing was done.
    #[error("the swarm has no leader")]
    NoLeader,
    /// The leader was lost while it had the request.
    #[error("the leader was lost; what was asked for may be done or not: {0}")]
    Unknown(io::Error),
}

/// Sends the request to the leader, or says that this manager leads and has
/// applied all that was agreed before. Waits for an election that is under way.
pub async fn to_leader(
    manager: &Manager,
    parts: &Parts,
    body: &Bytes,
) -> Result<Route, ForwardError> {
    let deadline = Instant::now() + LEADER_WITHIN;
    let mut status = manager.raft.watch();
    loop {
        status.borrow_and_update();
        match manager.leader() {
            Some((id, _)) if id == manager.me => match manager.raft.read_barrier().await {
                Ok(_) => {
                    brief(manager, &parts.method).await;
                    return Ok(Route::Here);
                }
                Err(error) => tracing::debug!(%error, "elected, but not yet able to lead"),
            },
            Some((id, addr)) => {
                let sent = tokio::select! {
                    sent = send(manager, (id, addr), parts, body) => sent,
                    () = in_vain(manager, id, parts) => continue,
                };
                match sent {
                    Ok(answer) if answer.headers().contains_key(NOT_LEADER) => {}
                    Ok(answer) => return Ok(Route::Answered(answer)),
                    Err(Unsent::Never(error)) => {
                        tracing::debug!(%error, "the leader is not reached");
                    }
                    Err(Unsent::Unknown(error)) => return Err(ForwardError::Unknown(error)),
                }
            }
            None => {}
        }
        // Another leader may be elected, or this one reached again.
        let pause = (Instant::now() + Duration::from_millis(200)).min(deadline);
        let _ = timeout_at(pause, status.changed()).await;
        if Instant::now() >= deadline {
            return Err(ForwardError::NoLeader);
        }
    }
}

/// A question that was put to a leader just elected waits until the nodes have
/// told it how they are.
async fn brief(manager: &Manager, method: &Method) {
    if method.is_safe() {
        let term = manager.raft.watch().borrow().term;
        manager.observer.briefed(term).await;
    }
}

async fn briefed(
    State(manager): State<Arc<Manager>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    brief(&manager, request.method()).await;
    next.run(request).await
}

/// Until waiting for the answer of `leader` makes no sense: a question can be
/// put to the next one. What a request has changed only this one can tell.
async fn in_vain(manager: &Manager, leader: certs::NodeId, parts: &Parts) {
    if parts.method.is_safe() {
        let mut status = manager.raft.watch();
        let gone = status.wait_for(|status| status.leader != Some(leader));
        if gone.await.is_ok() {
            return;
        }
    }
    std::future::pending().await
}

enum Unsent {
    /// The leader cannot have seen the request.
    Never(io::Error),
    /// It may have done what was asked.
    Unknown(io::Error),
}

async fn send(
    manager: &Manager,
    (id, addr): (certs::NodeId, std::net::SocketAddr),
    parts: &Parts,
    body: &Bytes,
) -> Result<Response, Unsent> {
    let opened = async {
        let connection = manager.control.node(id, addr).await?;
        let (mut out, from) = connection.open_bi().await?;
        frame::send(&mut out, &Open::Http).await?;
        io::Result::Ok((out, from))
    };
    let (out, from) = opened.await.map_err(Unsent::Never)?;
    let stream = TokioIo::new(tokio::io::join(from, out));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
        .await
        .map_err(|error| Unsent::Never(io::Error::other(error)))?;
    tokio::spawn(connection);
    let mut request = Request::new(Full::new(body.clone()));
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = parts.uri.clone();
    *request.headers_mut() = parts.headers.clone();
    let answer = sender.send_request(request).await.map_err(|error| {
        let safe = parts.method.is_safe();
        let error = io::Error::other(error);
        if safe {
            Unsent::Never(error)
        } else {
            Unsent::Unknown(error)
        }
    })?;
    Ok(answer.map(Body::new))
}

/// The leader's end of such a stream.
pub async fn serve(manager: &Arc<Manager>, out: SendStream, from: RecvStream) -> io::Result<()> {
    let current = manager.leads() && manager.raft.read_barrier().await.is_ok();
    let router = if current {
        api::swarm_router(Arc::clone(manager) as _)
            .layer(from_fn_with_state(Arc::clone(manager), briefed))
    } else {
        axum::Router::new().fallback(|| async { [(NOT_LEADER, "1")] })
    };
    let stream = TokioIo::new(tokio::io::join(from, out));
    hyper::server::conn::http1::Builder::new()
        .serve_connection(stream, TowerToHyperService::new(router))
        .await
        .map_err(io::Error::other)
}
