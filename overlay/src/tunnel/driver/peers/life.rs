//! The life of a link: its handshake, what it sends and when, and its end.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use certs::NodeId;
use quinn_proto::{ConnectionHandle, Event, Incoming, VarInt};

use super::{DONE, Peers, Timer};
use crate::tunnel::driver::io::Socket;
use crate::tunnel::driver::link::{Ends, Link};
use crate::tunnel::links::replaces;

/// How long a connection that is replaced still brings what is under way.
const DRAIN: Duration = Duration::from_secs(1);
/// A peer may know of this node before this node knows of it.
const INTRODUCTION: Duration = Duration::from_secs(10);
/// Inbound handshakes under way at once; more are refused.
const MAX_HANDSHAKES: usize = 64;
/// Connections of one peer at once.
const MAX_LINKS: usize = 4;

const REFUSED: VarInt = VarInt::from_u32(1);

impl Peers {
    pub(super) fn accept(&mut self, incoming: Incoming, socket: &mut Socket, now: Instant) {
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

    pub(super) fn begin(&mut self, handle: ConnectionHandle, link: Link) {
        self.links.insert(handle, link);
        self.touch(handle);
    }

    pub(super) fn time_out(&mut self, handle: ConnectionHandle, now: Instant) {
        let Some(link) = self.links.get_mut(&handle) else {
            return;
        };
        link.timer = None;
        link.connection.handle_timeout(now);
        self.touch(handle);
    }

    /// Lets a connection do all that it has to. `false`: the kernel has no room
    /// for what it sends.
    pub(super) fn settle(
        &mut self,
        handle: ConnectionHandle,
        socket: &mut Socket,
        now: Instant,
    ) -> bool {
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
        let links = self.links.values().filter(|link| link.peer == Some(node));
        match links.count() > MAX_LINKS {
            true => self.end(handle, now),
            false => self.choose(handle, node, now),
        }
    }

    /// Uses the new link to a peer or the older one, and ends all others.
    fn choose(&mut self, new: ConnectionHandle, node: NodeId, now: Instant) {
        let candidate = |link: ConnectionHandle| {
            let link = self.links.get(&link)?;
            link.candidate(self.me, self.began)
        };
        let peer = self.peers.entry(node).or_default();
        let older = peer.used.and_then(candidate);
        let takes_over = match (candidate(new), older) {
            (Some(newer), Some(older)) => replaces(newer, older),
            _ => true,
        };
        let replaced = match takes_over {
            true => peer.used.replace(new),
            false => {
                // A peer that was begun anew has lost the older one, and says so
                // when it is asked.
                if let Some(older) = peer.used.and_then(|older| self.links.get_mut(&older)) {
                    older.connection.ping();
                }
                Some(new)
            }
        };
        let used = peer.used;
        peer.failed = 0;
        peer.next = 0;
        peer.moved = false;
        let attempts = std::mem::take(&mut peer.dialling);
        let waiting = std::mem::take(&mut peer.waiting);
        if let Some(planned) = peer.dial_at.take() {
            self.timers.remove(&(planned, Timer::Dial(node)));
        }
        if let Some(replaced) = replaced {
            if let Some(link) = self.links.get_mut(&replaced) {
                link.ends.replaced = Some(now + DRAIN);
            }
            self.touch(replaced);
        }
        for attempt in attempts.into_iter().filter(|attempt| *attempt != new) {
            self.end(attempt, now);
        }
        if let Some(used) = used {
            if let Some(link) = self.links.get_mut(&used) {
                for datagram in waiting {
                    // It may be larger than this path takes, and then it is lost.
                    let _ = link.connection.datagrams().send(datagram, false);
                }
            }
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
