//! The QUIC connections that gossip has, by node: libp2p sees their streams,
//! the datagrams go past it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use certs::NodeId;
use quinn::Connection;
use tokio::time::Instant;

use super::muxer::Muxer;
use crate::connections::{IDLE, IDLE_IF_MANY, MANY, MOST};

/// With one peer: both may have dialled at the same moment.
pub const MAX_PER_PEER: usize = 2;
/// Two connections to one peer that open within this were dialled at one time.
const SAME_TIME: Duration = Duration::from_secs(5);
pub struct Links {
    me: NodeId,
    open: Mutex<HashMap<NodeId, Vec<Link>>>,
}

#[derive(Debug, Clone)]
struct Link {
    connection: Connection,
    dialled: bool,
    opened: Instant,
    used: Instant,
    /// Whether somebody reads its datagrams.
    read: bool,
}

impl Links {
    pub fn new(me: NodeId) -> Self {
        Self {
            me,
            open: Mutex::default(),
        }
    }

    /// Takes in a connection that TLS has admitted. An older one to the same
    /// peer is of no use any more: whoever calls anew has lost it, or was
    /// restarted. Unless both called each other at one time.
    pub fn open(&self, id: NodeId, connection: Connection, dialled: bool) -> Muxer {
        let now = Instant::now();
        let mut open = self.lock();
        let links = open.entry(id).or_default();
        links.retain(Link::lives);
        let old = links.iter().filter(|link| now - link.opened >= SAME_TIME);
        let old = old
            .count()
            .max((links.len() + 1).saturating_sub(MAX_PER_PEER));
        for link in links.drain(..old) {
            link.connection.close(0u32.into(), b"replaced");
        }
        links.push(Link {
            connection: connection.clone(),
            dialled,
            opened: now,
            used: now,
            read: false,
        });
        make_room(&mut open);
        Muxer::new(connection)
    }

    /// The connections to `id` whose datagrams nobody reads yet.
    pub fn unread(&self, id: NodeId) -> Vec<Connection> {
        let mut open = self.lock();
        let links = open.get_mut(&id).into_iter().flatten();
        let unread = links.filter_map(|link| {
            let read = std::mem::replace(&mut link.read, true);
            (!read).then(|| link.connection.clone())
        });
        unread.collect()
    }

    /// Whether there was a connection to send it on.
    pub fn send(&self, to: NodeId, datagram: Bytes) -> bool {
        let mut open = self.lock();
        let Some(link) = open.get_mut(&to).and_then(|links| best(self.me, to, links)) else {
            return false;
        };
        link.used = Instant::now();
        if let Err(error) = link.connection.send_datagram(datagram) {
            tracing::debug!(%to, %error, "a datagram is lost");
        }
        true
    }

    /// Somebody on the other side uses the connection.
    pub fn heard(&self, from: NodeId, on: usize) {
        let mut open = self.lock();
        let links = open.get_mut(&from).into_iter().flatten();
        for link in links.filter(|link| link.connection.stable_id() == on) {
            link.used = Instant::now();
        }
    }

    /// An exchange may use any of them.
    pub fn touch(&self, id: NodeId) {
        let mut open = self.lock();
        for link in open.get_mut(&id).into_iter().flatten() {
            link.used = Instant::now();
        }
    }

    /// Where `id` is, and how far away, if there is a connection to it.
    pub fn seen(&self, id: NodeId) -> Option<(SocketAddr, Duration)> {
        let mut open = self.lock();
        let link = best(self.me, id, open.get_mut(&id)?)?;
        Some((link.connection.remote_address(), link.connection.rtt()))
    }

    pub fn is_any_open(&self) -> bool {
        self.lock().values().flatten().any(Link::lives)
    }

    pub fn close(&self, id: NodeId) {
        for link in self.lock().remove(&id).into_iter().flatten() {
            link.connection.close(0u32.into(), b"");
        }
    }

    pub fn close_all(&self) {
        for link in self.lock().drain().flat_map(|(_, links)| links) {
            link.connection.close(0u32.into(), b"");
        }
    }

    /// Closes what is not in use, and forgets what has ended.
    pub fn sweep(&self) {
        let mut open = self.lock();
        let count: usize = open.values().map(Vec::len).sum();
        let idle = if count > MANY { IDLE_IF_MANY } else { IDLE };
        open.retain(|_, links| {
            links.retain(|link| {
                if link.used.elapsed() > idle {
                    link.connection.close(0u32.into(), b"idle");
                }
                link.lives()
            });
            !links.is_empty()
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Vec<Link>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room(open: &mut HashMap<NodeId, Vec<Link>>) {
    let links = || open.values().flatten().filter(|link| link.lives());
    if links().count() > MOST
        && let Some(oldest) = links().min_by_key(|link| link.used)
    {
        oldest.connection.close(0u32.into(), b"making room");
    }
}

impl Link {
    fn lives(&self) -> bool {
        self.connection.close_reason().is_none()
    }
}

/// Both sides choose the same: of two that were dialled at one time that of the
/// smaller id. The other falls idle and is closed.
fn best(me: NodeId, peer: NodeId, links: &mut [Link]) -> Option<&mut Link> {
    let by_smaller = |link: &Link| link.dialled == (me < peer);
    let living = links.iter_mut().filter(|link| link.lives());
    living.max_by_key(|link| (by_smaller(link), link.opened))
}
