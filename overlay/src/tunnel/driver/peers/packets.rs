//! Packets, each a datagram: to a peer over the link that it uses, and from peers.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use certs::NodeId;
use quinn_proto::{ConnectionHandle, DatagramEvent, SendDatagramError};
use quinn_udp::RecvMeta;

use super::Peers;
use crate::tunnel::driver::io::Socket;
use crate::tunnel::driver::probes;

/// Datagrams that wait for a connection, per peer.
const MAX_WAITING: usize = 128;

/// What became of a datagram.
pub(in crate::tunnel::driver) enum Sent {
    Yes,
    Unreachable,
    Congested,
    /// `max`: bytes of a packet that would have fitted.
    TooBig {
        max: usize,
    },
}

/// Where the segments of one packet go.
pub(in crate::tunnel::driver) struct Way<'a> {
    peers: &'a mut Peers,
    node: NodeId,
    link: Option<ConnectionHandle>,
    now: Instant,
}

impl Way<'_> {
    pub(in crate::tunnel::driver) fn send(&mut self, datagram: Bytes) -> Sent {
        let link = self.link.and_then(|link| self.peers.links.get_mut(&link));
        let Some(link) = link else {
            return self.peers.keep_waiting(self.node, datagram, self.now);
        };
        match link.connection.datagrams().send(datagram, false) {
            Ok(()) => Sent::Yes,
            Err(SendDatagramError::Blocked(_)) => Sent::Congested,
            Err(SendDatagramError::TooLarge) => Sent::TooBig {
                max: link.fitting(),
            },
            Err(SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled) => {
                Sent::Unreachable
            }
        }
    }
}

impl Peers {
    /// The way to a node for one packet, which may have many segments.
    pub(in crate::tunnel::driver) fn way(&mut self, node: NodeId, now: Instant) -> Way<'_> {
        let link = self.peers.get(&node).and_then(|peer| peer.used);
        if let Some(link) = link {
            self.touch(link);
        }
        Way {
            peers: self,
            node,
            link,
            now,
        }
    }

    /// What a socket has received: datagrams of one sender.
    pub(in crate::tunnel::driver) fn handle(
        &mut self,
        meta: RecvMeta,
        mut message: BytesMut,
        socket: &mut Socket,
        now: Instant,
        mut deliver: impl FnMut(NodeId, Bytes),
    ) {
        while !message.is_empty() {
            let datagram = message.split_to(meta.stride.clamp(1, message.len()));
            let ecn = meta
                .ecn
                .and_then(|ecn| quinn_proto::EcnCodepoint::from_bits(ecn as u8));
            self.scratch.clear();
            let event = self.endpoint.handle(
                now,
                meta.addr,
                meta.dst_ip,
                ecn,
                datagram,
                &mut self.scratch,
            );
            match event {
                Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                    self.touch(handle);
                    let Some(link) = self.links.get_mut(&handle) else {
                        continue;
                    };
                    link.connection.handle_event(event);
                    let (Some(peer), Some(_)) = (link.peer, link.established) else {
                        continue;
                    };
                    while let Some(datagram) = link.connection.datagrams().recv() {
                        let way = (&mut link.connection, &mut link.answers);
                        let packet = probes::take(datagram, peer, way, &mut self.probes, now);
                        if let Some(packet) = packet {
                            deliver(peer, packet);
                        }
                    }
                }
                Some(DatagramEvent::NewConnection(incoming)) => {
                    self.accept(incoming, socket, now);
                }
                Some(DatagramEvent::Response(transmit)) if !socket.is_full() => {
                    socket.send(transmit, &self.scratch);
                }
                Some(DatagramEvent::Response(_)) | None => {}
            }
        }
    }

    fn keep_waiting(&mut self, node: NodeId, datagram: Bytes, now: Instant) -> Sent {
        let Some(peer) = self.peers.get_mut(&node) else {
            return Sent::Unreachable;
        };
        if peer.waiting.len() >= MAX_WAITING {
            return Sent::Unreachable;
        }
        peer.waiting.push_back(datagram);
        if peer.dialling.is_empty() && peer.failed == 0 {
            self.dial_at(node, now);
        }
        Sent::Yes
    }
}
