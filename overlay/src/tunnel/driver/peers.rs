//! The other nodes: which connections there are, which of them is used, and
//! whom to dial when.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use certs::{Credentials, NodeId};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Endpoint, Event, Incoming,
    SendDatagramError, TransportConfig, VarInt,
};
use quinn_udp::RecvMeta;

use super::io::Socket;
use super::link::{Ends, Link};
use super::probes::{self, Probes};
use super::transport;
use crate::ALPN;
use crate::tunnel::links::{courtesy, pause, replaces};
use crate::tunnel::report::PeerReport;
use crate::tunnel::routing::Routing;

/// That an address has before the next one is tried too.
const HEAD_START: Duration = Duration::from_millis(200);
/// How long a connection that is replaced still brings what is under way.
const DRAIN: Duration = Duration::from_secs(1);
/// A peer may know of this node before this node knows of it.
const INTRODUCTION: Duration = Duration::from_secs(10);
/// Inbound handshakes under way at once; more are refused.
const MAX_HANDSHAKES: usize = 64;
/// Connections of one peer at once.
const MAX_LINKS: usize = 4;
/// Datagrams that wait for a connection, per peer.
const MAX_WAITING: usize = 128;

const DONE: VarInt = VarInt::from_u32(0);
const REFUSED: VarInt = VarInt::from_u32(1);

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
    addrs: Vec<std::net::SocketAddr>,
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

/// What became of a datagram.
pub(super) enum Sent {
    Yes,
    Unreachable,
    Congested,
    /// `max`: bytes of a packet that would have fitted.
    TooBig {
        max: usize,
    },
}

/// Where the segments of one packet go.
pub(super) struct Way<'a> {
    peers: &'a mut Peers,
    node: NodeId,
    link: Option<ConnectionHandle>,
    now: Instant,
}

impl Way<'_> {
    pub(super) fn send(&mut self, datagram: Bytes) -> Sent {
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

    /// The way to a node for one packet, which may have many segments.
    pub(super) fn way(&mut self, node: NodeId, now: Instant) -> Way<'_> {
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
    pub(super) fn handle(
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

    pub(super) fn update(&mut self, routing: &Routing, socket: &Socket, now: Instant) {
        for (handle, link) in &mut self.links {
            let Some(peer) = link.peer else {
                continue;
            };
            if self.credentials.is_revoked(peer) {
                link.ends.expires = Some(now);
            }
            if routing.peers.contains_key(&peer) {
                link.ends.unknown = None;
            } else if self.peers.get(&peer).is_some_and(|it| it.is_known) {
                link.ends.unknown = Some(now);
            }
            if !link.touched {
                link.touched = true;
                self.touched.push(*handle);
            }
        }
        self.wanted = routing.wanted();
        for (node, peer) in &mut self.peers {
            if !routing.peers.contains_key(node) {
                peer.is_known = false;
                peer.addrs.clear();
                peer.waiting.clear();
            }
        }
        let links = &self.links;
        self.peers.retain(|_, peer| {
            peer.is_known || peer.used.is_some_and(|used| links.contains_key(&used))
        });
        for (node, addrs) in &routing.peers {
            let addrs: Vec<_> = addrs
                .iter()
                .filter_map(|addr| socket.reach(*addr))
                .collect();
            let peer = self.peers.entry(*node).or_default();
            peer.is_known = true;
            if peer.addrs != addrs {
                peer.addrs = addrs;
                peer.next = 0;
                let used = peer.used.and_then(|used| self.links.get(&used));
                peer.moved = used.is_some_and(|link| {
                    link.dialled && !peer.addrs.contains(&link.connection.remote_address())
                });
            }
            let wants = self.wanted.contains(node) && peer.used.is_none();
            if peer.moved || (wants && peer.dialling.is_empty() && peer.dial_at.is_none()) {
                self.dial_at(*node, now + courtesy(self.me, *node));
            }
        }
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

    fn accept(&mut self, incoming: Incoming, socket: &mut Socket, now: Instant) {
        let handshakes = self
            .links
            .values()
            .filter(|link| link.peer.is_none())
            .count();
        self.scratch.clear();
        if handshakes >= MAX_HANDSHAKES {
            let transmit = self.endpoint.refuse(incoming, &mut self.scratch);
            if !socket.is_full() {
                socket.send(transmit, &self.scratch);
            }
            return;
        }
        match self.endpoint.accept(incoming, now, &mut self.scratch, None) {
            Ok((handle, connection)) => self.begin(handle, Link::new(connection, None, now)),
            Err(error) => {
                tracing::debug!(error = %error.cause, "refused a connection");
                if let Some(transmit) = error.response
                    && !socket.is_full()
                {
                    socket.send(transmit, &self.scratch);
                }
            }
        }
    }

    fn begin(&mut self, handle: ConnectionHandle, link: Link) {
        self.links.insert(handle, link);
        self.touch(handle);
    }

    pub(super) fn touch(&mut self, handle: ConnectionHandle) {
        if let Some(link) = self.links.get_mut(&handle)
            && !link.touched
        {
            link.touched = true;
            self.touched.push(handle);
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

    /// Dials at this time, unless it does so earlier anyway.
    fn dial_at(&mut self, node: NodeId, at: Instant) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        if peer.dial_at.is_some_and(|planned| planned <= at) {
            return;
        }
        if let Some(planned) = peer.dial_at.replace(at) {
            self.timers.remove(&(planned, Timer::Dial(node)));
        }
        self.timers.insert((at, Timer::Dial(node)));
    }

    /// Tries the next address of a peer that there is no connection to.
    fn dial(&mut self, node: NodeId, now: Instant) {
        let is_wanted = self.wanted.contains(&node);
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        peer.dial_at = None;
        let needed = match peer.used {
            Some(_) => peer.moved,
            None => is_wanted || !peer.waiting.is_empty(),
        };
        let Some(addr) = peer.addrs.get(peer.next).copied().filter(|_| needed) else {
            return;
        };
        peer.next += 1;
        let more = peer.next < peer.addrs.len();
        match self.connect(node, addr, now) {
            Ok((handle, connection)) => {
                if let Some(peer) = self.peers.get_mut(&node) {
                    peer.dialling.push(handle);
                }
                self.begin(handle, Link::new(connection, Some(node), now));
            }
            Err(error) => tracing::debug!(%node, %addr, %error, "cannot dial"),
        }
        match more {
            true => self.dial_at(node, now + HEAD_START),
            false => self.give_up_if_all_failed(node, now),
        }
    }

    fn connect(
        &mut self,
        node: NodeId,
        addr: std::net::SocketAddr,
        now: Instant,
    ) -> io::Result<(ConnectionHandle, Connection)> {
        let client = self.credentials.client_config(node, &[ALPN]);
        let mut client: ClientConfig = client.map_err(io::Error::other)?;
        client.transport_config(Arc::clone(&self.transport));
        self.endpoint
            .connect(now, client, addr, certs::SERVER_NAME)
            .map_err(io::Error::other)
    }

    fn give_up_if_all_failed(&mut self, node: NodeId, now: Instant) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        if peer.dialling.is_empty() && peer.next >= peer.addrs.len() {
            peer.next = 0;
            peer.moved = false;
            peer.waiting.clear();
            if peer.used.is_none() {
                peer.failed = peer.failed.saturating_add(1);
                let pause = pause(peer.failed);
                self.dial_at(node, now + pause);
            }
        }
    }

    fn time_out(&mut self, handle: ConnectionHandle, now: Instant) {
        let Some(link) = self.links.get_mut(&handle) else {
            return;
        };
        link.timer = None;
        link.connection.handle_timeout(now);
        self.touch(handle);
    }

    /// Lets a connection do all that it has to. `false`: the kernel has no room
    /// for what it sends.
    fn settle(&mut self, handle: ConnectionHandle, socket: &mut Socket, now: Instant) -> bool {
        if let Some(link) = self.links.get_mut(&handle)
            && link.ends.at().is_some_and(|ends| ends <= now)
        {
            link.ends = Ends::default();
            link.connection.close(now, DONE, Bytes::new());
            self.lost(handle, now);
        }
        while let Some(event) = self.poll(handle) {
            match event {
                Event::Connected => self.connected(handle, now),
                Event::ConnectionLost { reason } => {
                    let peer = self.links.get(&handle).and_then(|link| link.peer);
                    tracing::debug!(?peer, %reason, "a connection of the overlay has ended");
                    if let Some(peer) = peer.and_then(|peer| self.peers.get_mut(&peer)) {
                        peer.failure = Some(reason.to_string());
                    }
                    self.lost(handle, now);
                }
                _ => {}
            }
        }
        let Some(link) = self.links.get_mut(&handle) else {
            return true;
        };
        if !link.transmit(socket, &mut self.scratch, now) {
            return false;
        }
        link.touched = false;
        while let Some(event) = link.connection.poll_endpoint_events() {
            let is_drained = event.is_drained();
            if let Some(event) = self.endpoint.handle_event(handle, event) {
                link.connection.handle_event(event);
                if !link.touched {
                    link.touched = true;
                    self.touched.push(handle);
                }
            }
            if is_drained {
                if let Some(timer) = link.timer {
                    self.timers.remove(&(timer, Timer::Link(handle)));
                }
                self.lost(handle, now);
                self.links.remove(&handle);
                return true;
            }
        }
        self.reschedule(handle);
        true
    }

    fn reschedule(&mut self, handle: ConnectionHandle) {
        let Some(link) = self.links.get_mut(&handle) else {
            return;
        };
        let next = link.connection.poll_timeout();
        let next = [next, link.ends.at()].into_iter().flatten().min();
        if next == link.timer {
            return;
        }
        if let Some(timer) = link.timer {
            self.timers.remove(&(timer, Timer::Link(handle)));
        }
        if let Some(next) = next {
            self.timers.insert((next, Timer::Link(handle)));
        }
        link.timer = next;
    }

    fn poll(&mut self, handle: ConnectionHandle) -> Option<Event> {
        self.links.get_mut(&handle)?.connection.poll()
    }

    /// A handshake is done: TLS has judged the peer.
    fn connected(&mut self, handle: ConnectionHandle, now: Instant) {
        let Some(link) = self.links.get_mut(&handle) else {
            return;
        };
        let session = link.connection.crypto_session();
        let peer = session.peer_identity().and_then(certs::peer_of_identity);
        let Some(peer) = peer.filter(|peer| peer.id != self.me && link.speaks_alpn()) else {
            link.connection
                .close(now, REFUSED, Bytes::from_static(b"a certificate is needed"));
            return;
        };
        let node = peer.id;
        link.peer = Some(node);
        link.established = Some(now);
        // A connection does not outlive the certificate that admitted it.
        let valid = peer.not_after.duration_since(SystemTime::now());
        link.ends.expires = now.checked_add(valid.unwrap_or_default());
        if !self.peers.get(&node).is_some_and(|peer| peer.is_known) {
            link.ends.unknown = Some(now + INTRODUCTION);
        }
        let candidate = link.candidate(self.me, self.began);
        let links = self.links.values().filter(|link| link.peer == Some(node));
        if links.count() > MAX_LINKS {
            self.end(handle, now);
            return;
        }
        let peer = self.peers.entry(node).or_default();
        let older = peer.used.and_then(|used| self.links.get(&used));
        let older = older.and_then(|older| older.candidate(self.me, self.began));
        let stays = match (candidate, older) {
            (Some(newer), Some(older)) => replaces(newer, older),
            _ => true,
        };
        let replaced = match stays {
            true => peer.used.replace(handle),
            false => Some(handle),
        };
        peer.failed = 0;
        peer.next = 0;
        peer.moved = false;
        let attempts = std::mem::take(&mut peer.dialling);
        if let Some(planned) = peer.dial_at.take() {
            self.timers.remove(&(planned, Timer::Dial(node)));
        }
        let waiting = std::mem::take(&mut peer.waiting);
        let used = peer.used;
        if let Some(replaced) = replaced {
            if let Some(link) = self.links.get_mut(&replaced) {
                link.ends.replaced = Some(now + DRAIN);
            }
            self.touch(replaced);
        }
        for attempt in attempts {
            if attempt != handle {
                self.end(attempt, now);
            }
        }
        if let Some(link) = used.and_then(|used| self.links.get_mut(&used)) {
            for datagram in waiting {
                // It may be larger than this path takes, and then it is lost.
                let _ = link.connection.datagrams().send(datagram, false);
            }
        }
        if let Some(used) = used {
            self.touch(used);
        }
    }

    fn end(&mut self, handle: ConnectionHandle, now: Instant) {
        if let Some(link) = self.links.get_mut(&handle) {
            link.ends.expires = Some(now);
        }
        self.touch(handle);
    }

    /// A connection carries nothing any more: another one takes over, or its peer
    /// is dialled.
    fn lost(&mut self, handle: ConnectionHandle, now: Instant) {
        let Some(node) = self.links.get(&handle).and_then(|link| link.peer) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        if let Some(attempt) = peer.dialling.iter().position(|dialled| *dialled == handle) {
            peer.dialling.swap_remove(attempt);
            self.give_up_if_all_failed(node, now);
            return;
        }
        if peer.used != Some(handle) {
            return;
        }
        let others = self.links.iter().filter(|(other, link)| {
            **other != handle
                && link.peer == Some(node)
                && link.established.is_some()
                && link.ends.for_good().is_none_or(|ends| ends > now)
                && !link.connection.is_closed()
        });
        let other = others.map(|(other, _)| *other).max_by_key(|other| other.0);
        peer.used = other;
        match other {
            Some(other) => {
                if let Some(link) = self.links.get_mut(&other) {
                    link.ends.replaced = None;
                }
            }
            None if !peer.addrs.is_empty() => self.dial_at(node, now),
            None => {}
        }
    }
}
