//! libp2p's transport: connections of the control endpoint, which are made
//! elsewhere. TLS has admitted them before libp2p hears of them, so a peer
//! without a current certificate of this swarm never reaches its code.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use certs::NodeId;
use futures::FutureExt;
use futures::future::{BoxFuture, Ready, ready};
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::core::{Transport, multiaddr::Protocol};
use libp2p::multihash::Multihash;
use libp2p::{Multiaddr, PeerId};
use quinn::Connection;
use tokio::sync::mpsc;

use super::Dial;
use super::links::Links;
use super::muxer::Muxer;

/// A connection that a peer has opened.
pub type Inbound = (NodeId, Connection);
pub type Admitted = (PeerId, Muxer);

pub struct ControlEndpoint {
    dial: Arc<dyn Dial>,
    inbound: mpsc::Receiver<Inbound>,
    links: Arc<Links>,
    listener: Option<ListenerId>,
    announced: bool,
}

impl ControlEndpoint {
    pub fn new(dial: Arc<dyn Dial>, inbound: mpsc::Receiver<Inbound>, links: Arc<Links>) -> Self {
        Self {
            dial,
            inbound,
            links,
            listener: None,
            announced: false,
        }
    }
}

impl Transport for ControlEndpoint {
    type Output = Admitted;
    type Error = io::Error;
    type ListenerUpgrade = Ready<io::Result<Admitted>>;
    type Dial = BoxFuture<'static, io::Result<Admitted>>;

    fn listen_on(&mut self, id: ListenerId, _: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.listener = Some(id);
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.listener.take_if(|listener| *listener == id).is_some()
    }

    fn dial(
        &mut self,
        addr: Multiaddr,
        _: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        let Some((id, at)) = parse(&addr) else {
            return Err(TransportError::MultiaddrNotSupported(addr));
        };
        let (dial, links) = (Arc::clone(&self.dial), Arc::clone(&self.links));
        let dialled = async move {
            let connection = dial.dial(id, at).await?;
            Ok((peer_of(id), links.open(id, connection, true)))
        };
        Ok(dialled.boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let Some(listener_id) = self.listener else {
            return Poll::Pending;
        };
        if !self.announced {
            self.announced = true;
            return Poll::Ready(TransportEvent::NewAddress {
                listener_id,
                listen_addr: anywhere(),
            });
        }
        let Poll::Ready(Some((id, connection))) = self.inbound.poll_recv(cx) else {
            return Poll::Pending;
        };
        let send_back_addr = multiaddr(connection.remote_address());
        let muxer = self.links.open(id, connection, false);
        Poll::Ready(TransportEvent::Incoming {
            listener_id,
            upgrade: ready(Ok((peer_of(id), muxer))),
            local_addr: anywhere(),
            send_back_addr,
        })
    }
}

/// Where the control endpoint listens does not matter here.
pub fn anywhere() -> Multiaddr {
    multiaddr(SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), 0))
}

pub fn multiaddr(addr: SocketAddr) -> Multiaddr {
    Multiaddr::from(addr.ip())
        .with(Protocol::Udp(addr.port()))
        .with(Protocol::QuicV1)
}

fn parse(addr: &Multiaddr) -> Option<(NodeId, SocketAddr)> {
    let mut parts = addr.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    match (parts.next()?, parts.next()?, parts.next()?, parts.next()) {
        (Protocol::Udp(port), Protocol::QuicV1, Protocol::P2p(peer), None) => {
            Some((node_of(&peer)?, SocketAddr::new(ip, port)))
        }
        _ => None,
    }
}

/// A node's id, which is the hash of its key, as libp2p writes such things. The
/// handshake has proven it; libp2p need not know the key.
pub fn peer_of(id: NodeId) -> PeerId {
    let digest = id.as_u128().to_be_bytes();
    // Both fail for too long a digest only.
    let hash = Multihash::wrap(IDENTITY, &digest).unwrap_or_default();
    PeerId::from_multihash(hash).unwrap_or_else(|_| PeerId::random())
}

pub fn node_of(peer: &PeerId) -> Option<NodeId> {
    let digest = peer.as_ref().digest().try_into().ok()?;
    Some(NodeId::from(u128::from_be_bytes(digest)))
}

/// The code of the hash that is no hash.
const IDENTITY: u64 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_the_same_in_libp2p() {
        for id in [0, 1, u128::MAX].map(NodeId::from) {
            assert_eq!(node_of(&peer_of(id)), Some(id));
        }
        assert_eq!(node_of(&PeerId::random()), None);
    }

    #[test]
    fn an_address_without_a_node_is_not_dialled() {
        let at: SocketAddr = "[fd00::2]:2377".parse().unwrap();
        let id = NodeId::from(7);
        let addr = multiaddr(at);
        assert_eq!(parse(&addr), None);
        let addr = addr.with(Protocol::P2p(peer_of(id)));
        assert_eq!(parse(&addr), Some((id, at)));
        let tcp: Multiaddr = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
        assert_eq!(parse(&tcp.with(Protocol::P2p(peer_of(id)))), None);
    }
}
