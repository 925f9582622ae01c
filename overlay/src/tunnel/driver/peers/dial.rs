//! Dialling: a peer's addresses one after the other, until one answers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use certs::NodeId;
use quinn_proto::{ClientConfig, Connection, ConnectionHandle};

use super::{Peers, Timer};
use crate::ALPN;
use crate::tunnel::driver::link::Link;
use crate::tunnel::links::pause;

/// That an address has before the next one is tried too.
const HEAD_START: Duration = Duration::from_millis(200);

impl Peers {
    /// Dials at this time, unless it does so earlier anyway.
    pub(super) fn dial_at(&mut self, node: NodeId, at: Instant) {
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
    pub(super) fn dial(&mut self, node: NodeId, now: Instant) {
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
        addr: SocketAddr,
        now: Instant,
    ) -> io::Result<(ConnectionHandle, Connection)> {
        let client = self.credentials.client_config(node, &[ALPN]);
        let mut client: ClientConfig = client.map_err(io::Error::other)?;
        client.transport_config(Arc::clone(&self.transport));
        self.endpoint
            .connect(now, client, addr, certs::SERVER_NAME)
            .map_err(io::Error::other)
    }

    pub(super) fn give_up_if_all_failed(&mut self, node: NodeId, now: Instant) {
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
}
