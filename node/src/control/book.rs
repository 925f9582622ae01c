//! The address book: where a node may be reached, by all that this device has
//! heard. A node is a key, and every address is only a hint; whoever answers
//! there proves in the handshake that it is that node.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use certs::{Credentials, NodeId};
use gossip::Gossip;

use crate::site::lan::Lan;

/// Addresses that are tried for one node.
const MAX_TRIED: usize = 8;

/// Empty until the sources are there: both need a control port first.
#[derive(Debug, Default)]
pub struct Book {
    gossip: OnceLock<Gossip>,
    announced: OnceLock<Announced>,
}

#[derive(Debug)]
struct Announced {
    lan: Arc<dyn Lan>,
    /// Whose roots are those of our swarm.
    credentials: Credentials,
}

impl Book {
    pub fn consult_gossip(&self, gossip: Gossip) {
        let _ = self.gossip.set(gossip);
    }

    /// `credentials`: of the swarm whose nodes are looked for.
    pub fn consult_lan(&self, lan: Arc<dyn Lan>, credentials: Credentials) {
        let _ = self.announced.set(Announced { lan, credentials });
    }

    /// Where to dial `id`, the most likely first: what it says itself, where
    /// its announcement came from, and `known`, which the swarm has agreed on.
    pub fn addrs(&self, id: NodeId, known: SocketAddr) -> Vec<SocketAddr> {
        let said = self.gossip.get().map(|gossip| gossip.addrs(id));
        let found = self.announced.get().map(|announced| announced.addrs(id));
        let heard = said.into_iter().chain(found).flatten();
        distinct(heard.chain([known]))
    }
}

impl Announced {
    fn addrs(&self, id: NodeId) -> Vec<SocketAddr> {
        let identity = self.credentials.identity();
        let is_ours = |swarm| identity.roots().iter().any(|root| swarm == root.digest());
        let found = self.lan.found().into_iter();
        let found = found.filter(|found| found.id == id && found.swarm.is_some_and(is_ours));
        found.map(|found| found.addr).collect()
    }
}

/// What is known for sure, the last, is among them.
fn distinct(addrs: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut tried: Vec<SocketAddr> = Vec::new();
    for addr in addrs {
        if !tried.contains(&addr) {
            if tried.len() == MAX_TRIED {
                tried.pop();
            }
            tried.push(addr);
        }
    }
    tried
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 2377))
    }

    #[test]
    fn an_empty_book_knows_what_the_swarm_knows() {
        let book = Book::default();
        assert_eq!(book.addrs(NodeId::from(1), addr(1)), [addr(1)]);
    }

    #[test]
    fn no_address_is_tried_twice_and_the_last_is_always_tried() {
        let twice = distinct([addr(1), addr(2), addr(1)].into_iter());
        assert_eq!(twice, [addr(1), addr(2)]);
        let many = distinct((0..100).map(addr));
        assert_eq!(many.len(), MAX_TRIED);
        assert_eq!(many.last(), Some(&addr(99)));
    }
}
