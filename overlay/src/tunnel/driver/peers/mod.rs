//! The other nodes: which connections there are, which of them is used, and
//! whom to dial when.
//!
//! A *link* is one connection, from its handshake to its end ([`life`]); it is made
//! by an accepted handshake or by [`dial`]. A *peer* may have several links and uses
//! one, for its [`packets`]. The [`table`] says which peers there are.

mod dial;
mod life;
mod packets;
mod table;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use certs::{Credentials, NodeId};
use quinn_proto::{ConnectionHandle, Endpoint, TransportConfig, VarInt};

pub(super) use self::packets::Sent;
use super::io::Socket;
use super::link::Link;
use super::probes::Probes;
use super::transport;
use crate::ALPN;
use crate::tunnel::report::PeerReport;

const DONE: VarInt = VarInt::from_u32(0);

pub(super) struct Peers {
    me: NodeId,
    credentials: Credentials,
    transport: Arc<TransportConfig>,
    endpoint: Endpoint,
    pub(super) links: BTreeMap<ConnectionHandle, Link>,
    peers: BTreeMap<NodeId, Peer>,
    pub(super) probes: Probes,
    wanted: BTreeSet<NodeId>,
    timers: BTreeSet<(Instant, Timer)>,
    /// Links on which something has happened.
    touched: Vec<ConnectionHandle>,
    began: Instant,
    /// What quinn writes packets into.
    scratch: Vec<u8>,
}

#[derive(Default)]
struct Peer {
    /// It is in the table.
    is_known: bool,
    addrs: Vec<SocketAddr>,
    used: Option<ConnectionHandle>,
    dialling: Vec<ConnectionHandle>,
    /// The address that is tried next.
    next: usize,
    failed: u32,
    dial_at: Option<Instant>,
    /// Its addresses have changed: the connection may lead nowhere.
    moved: bool,
    waiting: VecDeque<Bytes>,
    /// Why its last connection ended, or was not made.
    failure: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Link(ConnectionHandle),
    Dial(NodeId),
}

impl Peers {
    pub(super) fn new(credentials: Credentials, mtu: u16, finds_mtu: bool) -> io::Result<Self> {
        let transport = Arc::new(transport::config(mtu));
        let mut server = credentials
            .server_config(&[ALPN])
            .map_err(io::Error::other)?;
        server.transport_config(Arc::clone(&transport));
        let identity = credentials.identity();
        let mut config = identity.key().endpoint_config().map_err(io::Error::other)?;
        // The path sets the limit, not this side's buffer.
        config
            .max_udp_payload_size(65_527)
            .map_err(io::Error::other)?;
        let endpoint = Endpoint::new(Arc::new(config), Some(Arc::new(server)), finds_mtu, None);
        let began = Instant::now();
        Ok(Self {
            me: credentials.node_id(),
            credentials,
            transport,
            endpoint,
            links: BTreeMap::new(),
            peers: BTreeMap::new(),
            wanted: BTreeSet::new(),
            timers: BTreeSet::new(),
            touched: Vec::new(),
            probes: Probes::new(began),
            began,
            scratch: Vec::new(),
        })
    }

    /// All that is due: timers, handshakes, and sending what was queued.
    pub(super) fn turn(&mut self, socket: &mut Socket, now: Instant) {
        while let Some((at, timer)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.remove(&(at, timer));
            match timer {
                Timer::Link(handle) => self.time_out(handle, now),
                Timer::Dial(node) => self.dial(node, now),
            }
        }
        // Handling a link may touch it again, and others.
        let mut index = 0;
        while let Some(handle) = self.touched.get(index).copied() {
            index += 1;
            if !self.settle(handle, socket, now) {
                // The kernel has no room; the rest is sent when it has.
                index -= 1;
                break;
            }
        }
        self.touched.drain(..index);
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let next = [timer, self.probes.next_timer()];
        next.into_iter().flatten().min()
    }

    /// The peers that packets can be sent to now, and over what.
    pub(super) fn connected_peers(&self) -> impl Iterator<Item = (NodeId, ConnectionHandle)> {
        let peers = self.peers.iter();
        peers.filter_map(|(node, peer)| Some((*node, peer.used?)))
    }

    pub(super) fn report(&mut self, now: Instant) -> Vec<PeerReport> {
        let links = &mut self.links;
        self.peers
            .iter()
            .map(|(node, peer)| PeerReport {
                node: *node,
                addrs: peer.addrs.clone(),
                is_wanted: self.wanted.contains(node),
                failure: peer.failure.clone(),
                probed: self.probes.of(*node),
                path: peer
                    .used
                    .and_then(|used| links.get_mut(&used))
                    .map(|link| link.report(now)),
            })
            .collect()
    }

    /// Tells all peers, as far as the kernel has room.
    pub(super) fn close(&mut self, socket: &mut Socket, now: Instant) {
        socket.resume();
        for link in self.links.values_mut() {
            link.connection.close(now, DONE, Bytes::new());
            self.scratch.clear();
            if let Some(transmit) = link.connection.poll_transmit(now, 1, &mut self.scratch)
                && !socket.is_full()
            {
                socket.send(transmit, &self.scratch);
            }
        }
    }

    pub(super) fn touch(&mut self, handle: ConnectionHandle) {
        if let Some(link) = self.links.get_mut(&handle)
            && !link.touched
        {
            link.touched = true;
            self.touched.push(handle);
        }
    }
}
