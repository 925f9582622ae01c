//! The control port: one QUIC endpoint for all that nodes say to each other.
//!
//! The ALPN says which protocol a connection speaks: joining (the only one for
//! strangers), Raft, gossip, or the node protocol (sessions, forwarding, logs). TLS
//! has already refused every certificate that is not of this swarm; here a
//! connection without a certificate gets no further than joining.

pub mod book;
pub mod frame;
pub mod message;
pub mod port;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use book::Book;
use certs::{Credentials, NodeId, Peer, Role};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use quinn::{Connection, ConnectionError, Endpoint, Incoming, VarInt};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// UDP; `--listen-addr` may say another.
pub const CONTROL_PORT: u16 = 2377;

pub const ALPN_JOIN: &[u8] = b"swl-join/1";
pub const ALPN_RAFT: &[u8] = raft::ALPN;
pub const ALPN_GOSSIP: &[u8] = gossip::ALPN;
pub const ALPN_NODE: &[u8] = b"swl-node/1";

/// Closes the connections of a node that is not part of the swarm any more.
pub const REMOVED: VarInt = VarInt::from_u32(2);

const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// That an address has before the next one is tried too.
const HEAD_START: Duration = Duration::from_millis(200);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Handshakes and strangers' connections under way at once; more are refused.
const MAX_STRANGERS: usize = 64;

/// Where inbound connections go.
pub trait Protocols: Send + Sync + 'static {
    /// A connection of someone with no certificate, who may only join.
    fn joining(self: Arc<Self>, connection: Connection) -> BoxFuture<'static, ()>;
    fn raft(self: Arc<Self>, peer: Peer, connection: Connection) -> BoxFuture<'static, ()>;
    fn gossip(self: Arc<Self>, peer: Peer, connection: Connection) -> BoxFuture<'static, ()>;
    fn node(self: Arc<Self>, peer: Peer, connection: Connection) -> BoxFuture<'static, ()>;
}

#[derive(Debug)]
pub struct Control {
    me: NodeId,
    endpoint: Endpoint,
    credentials: Credentials,
    /// Asked for every address.
    pub book: Book,
    /// Outbound connections of the node protocol, one per peer. Those that were
    /// made in another role of this node are only kept for what runs over them.
    pool: Mutex<HashMap<(NodeId, Role), Connection>>,
}

impl Control {
    /// Listens on `listen`; an error says that the port is taken or why not.
    pub async fn bind(listen: SocketAddr, credentials: Credentials) -> io::Result<Arc<Self>> {
        let mut server = credentials
            .server_config(&[ALPN_JOIN, ALPN_RAFT, ALPN_GOSSIP, ALPN_NODE])
            .map_err(io::Error::other)?;
        let mut transport = port::transport();
        transport.receive_window(port::STRANGER);
        server.transport_config(Arc::new(transport));
        let config = credentials.identity().key().endpoint_config();
        let config = config.map_err(io::Error::other)?;
        let endpoint = port::listen(config, server, listen).await?;
        Ok(Arc::new(Self {
            me: credentials.node_id(),
            endpoint,
            credentials,
            book: Book::default(),
            pool: Mutex::default(),
        }))
    }

    pub fn port(&self) -> io::Result<u16> {
        Ok(self.endpoint.local_addr()?.port())
    }

    /// A new connection to exactly this node, wherever the book says that it
    /// is. `known`: where the swarm says so.
    pub async fn dial(&self, id: NodeId, known: SocketAddr, alpn: &[u8]) -> io::Result<Connection> {
        let addrs = match id == self.me {
            true => vec![self.loopback()?],
            false => self.book.addrs(id, known),
        };
        let mut addrs = addrs.into_iter();
        let mut attempts = FuturesUnordered::new();
        loop {
            match addrs.next() {
                Some(addr) => attempts.push(self.dial_at(id, addr, alpn)),
                None if attempts.is_empty() => return Err(io::ErrorKind::AddrNotAvailable.into()),
                None => {}
            }
            let more = addrs.len() > 0;
            tokio::select! {
                Some(attempt) = attempts.next() => match attempt {
                    Ok(connection) => return Ok(connection),
                    Err(error) if !more && attempts.is_empty() => return Err(error),
                    Err(_) => {}
                },
                () = tokio::time::sleep(HEAD_START), if more => {}
            }
        }
    }

    /// A new connection to exactly this node, at this address.
    pub async fn dial_at(
        &self,
        id: NodeId,
        addr: SocketAddr,
        alpn: &[u8],
    ) -> io::Result<Connection> {
        let mut client = self
            .credentials
            .client_config(id, &[alpn])
            .map_err(io::Error::other)?;
        client.transport_config(Arc::new(port::dialling()));
        let connecting = self
            .endpoint
            .connect_with(client, addr, certs::SERVER_NAME)
            .map_err(io::Error::other)?;
        match tokio::time::timeout(DIAL_TIMEOUT, connecting).await {
            Ok(connected) => Ok(connected?),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{addr} did not answer within {} s", DIAL_TIMEOUT.as_secs()),
            )),
        }
    }

    /// The connection of the node protocol to `id`, kept while it lives.
    pub async fn node(&self, id: NodeId, known: SocketAddr) -> io::Result<Connection> {
        let role = self.credentials.identity().role();
        let pooled = lock(&self.pool).get(&(id, role)).cloned();
        if let Some(connection) = pooled
            && connection.close_reason().is_none()
        {
            return Ok(connection);
        }
        let connection = self.dial(id, known, ALPN_NODE).await?;
        let mut pool = lock(&self.pool);
        pool.retain(|_, connection| connection.close_reason().is_none());
        pool.insert((id, role), connection.clone());
        Ok(connection)
    }

    /// Serves inbound connections until [`Control::close`].
    pub async fn serve(&self, protocols: Arc<impl Protocols>) {
        let strangers = Arc::new(Semaphore::new(MAX_STRANGERS));
        let served = TaskTracker::new();
        while let Some(incoming) = self.endpoint.accept().await {
            let Ok(permit) = Arc::clone(&strangers).try_acquire_owned() else {
                incoming.refuse();
                continue;
            };
            let protocols = Arc::clone(&protocols);
            served.spawn(async move {
                let Some((alpn, connection)) = handshake(incoming).await else {
                    return;
                };
                let peer = certs::peer_of(&connection);
                if peer.is_some() {
                    connection.set_receive_window(port::MEMBER);
                }
                match (alpn.as_slice(), peer) {
                    (ALPN_JOIN, _) => {
                        protocols.joining(connection).await;
                        drop(permit);
                    }
                    (ALPN_RAFT, Some(peer)) if peer.role == Role::Manager => {
                        drop(permit);
                        protocols.raft(peer, connection).await;
                    }
                    (ALPN_GOSSIP, Some(peer)) => {
                        drop(permit);
                        protocols.gossip(peer, connection).await;
                    }
                    (ALPN_NODE, Some(peer)) => {
                        drop(permit);
                        protocols.node(peer, connection).await;
                    }
                    _ => connection.close(1u32.into(), b"a certificate is needed"),
                }
            });
        }
        served.close();
    }

    pub async fn close(&self) {
        port::close(&self.endpoint).await;
    }

    /// Closes the connections that this node opened to removed nodes.
    pub fn forget(&self, removed: impl Fn(NodeId) -> bool) {
        lock(&self.pool).retain(|(id, _), connection| {
            if removed(*id) {
                connection.close(REMOVED, b"removed from the swarm");
            }
            !removed(*id)
        });
    }

    /// This node's own port is always reached over loopback: its network may
    /// be unplugged.
    fn loopback(&self) -> io::Result<SocketAddr> {
        let mut addr = self.endpoint.local_addr()?;
        if addr.ip().is_unspecified() {
            addr.set_ip(match addr.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        Ok(addr)
    }
}

async fn handshake(incoming: Incoming) -> Option<(Vec<u8>, Connection)> {
    let from = incoming.remote_address();
    let accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, incoming).await;
    let connection = match accepted {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::debug!(%from, %error, "refused a connection");
            return None;
        }
        Err(_) => return None,
    };
    let data = connection.handshake_data()?;
    let data = data
        .downcast::<quinn::crypto::rustls::HandshakeData>()
        .ok()?;
    Some((data.protocol?, connection))
}

/// Whether the other side, a manager that TLS has accepted, ended a connection
/// because this node was removed from the swarm.
pub fn says_removed(ended: &ConnectionError) -> bool {
    match ended {
        ConnectionError::ApplicationClosed(close) => close.error_code == REMOVED,
        _ => certs::Refusal::of(ended) == Some(certs::Refusal::Revoked),
    }
}

/// A poisoned lock only says that another thread panicked while it held it;
/// what is behind ours is valid after every single operation.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
