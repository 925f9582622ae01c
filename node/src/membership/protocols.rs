//! What a membership does with the connections of the control port, and how its
//! Raft makes its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use certs::{NodeId, Peer};
use futures::future::BoxFuture;
use quinn::Connection;
use raft::Dial;
use tokio::sync::watch;

use super::Membership;
use crate::control::message::SwarmNews;
use crate::control::{ALPN_RAFT, Control, Protocols};
use crate::{join, streams};

impl Protocols for Membership {
    fn joining(self: Arc<Self>, connection: Connection) -> BoxFuture<'static, ()> {
        Box::pin(async move { join::serve(&self, connection).await })
    }

    fn raft(self: Arc<Self>, peer: Peer, connection: Connection) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            match self.manager() {
                Some(manager) => manager.raft.serve(peer.id, connection).await,
                None => connection.close(1u32.into(), b"not a manager"),
            }
        })
    }

    fn gossip(self: Arc<Self>, peer: Peer, connection: Connection) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.gossip.serve(peer, connection).await })
    }

    fn node(self: Arc<Self>, peer: Peer, connection: Connection) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            while let Ok(streams) = connection.accept_bi().await {
                let membership = Arc::clone(&self);
                let connection = connection.clone();
                self.spawn(async move {
                    let served = streams::serve(&membership, peer, connection, streams);
                    if let Err(error) = served.await {
                        tracing::debug!(peer = %peer.id, %error, "a stream ended");
                    }
                });
            }
        })
    }
}

/// Where a manager is, by what was last heard of it.
pub struct RaftDial {
    pub control: Arc<Control>,
    pub news: watch::Sender<SwarmNews>,
}

impl Dial for RaftDial {
    fn dial(&self, id: NodeId, hint: SocketAddr) -> BoxFuture<'static, io::Result<Connection>> {
        let control = Arc::clone(&self.control);
        let known = self
            .news
            .borrow()
            .managers
            .iter()
            .find(|(known, _)| *known == id)
            .map(|(_, addr)| *addr);
        Box::pin(async move { control.dial(id, known.unwrap_or(hint), ALPN_RAFT).await })
    }
}
