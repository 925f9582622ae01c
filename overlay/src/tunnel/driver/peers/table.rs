//! What the table says of the peers: who they are, where, and who is gone.

use std::time::Instant;

use super::Peers;
use crate::tunnel::driver::io::Socket;
use crate::tunnel::links::courtesy;
use crate::tunnel::routing::Routing;

impl Peers {
    pub(in crate::tunnel::driver) fn update(
        &mut self,
        routing: &Routing,
        socket: &Socket,
        now: Instant,
    ) {
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
}
