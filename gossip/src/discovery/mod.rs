//! Who is on this LAN, before anyone trusts anyone.
//!
//! mDNS carries one address per device: its control port, with the digest of
//! the root of its swarm (so that a join token finds it), the tag of its site,
//! or both. Nothing here dials, and nothing heard here is believed: a finding
//! is a place to knock at, where TLS and the token or the site key decide.

mod addr;
mod mdns;
mod table;

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use std::{fmt, io};

use certs::NodeId;
use table::Table;
use tokio::sync::watch;

/// Addresses that are remembered; whoever comes later is not seen until
/// others have gone.
pub const MAX_FOUND: usize = 256;

/// What a device says of itself to the whole LAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement {
    /// The raw Ed25519 public key of the certificate that the port shows.
    pub key: [u8; 32],
    /// UDP; of the control port.
    pub port: u16,
    /// The SHA-256 of the root of its swarm; `None`: it is in none.
    pub swarm: Option<[u8; 32]>,
    /// The tag of the site key that it uses.
    pub site: Option<[u8; 32]>,
}

/// What a device on this LAN said; anyone can say anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Of the announced key. With a swarm it is a node of it; without one it
    /// is a name that lasts as long as the device waits.
    pub id: NodeId,
    /// The IP address is the one that the announcement came from.
    pub addr: SocketAddr,
    pub swarm: Option<[u8; 32]>,
    pub site: Option<[u8; 32]>,
    pub first_seen: Instant,
}

/// The device's ear and voice on the LAN, as long as the daemon runs. Clones
/// share it.
#[derive(Clone)]
pub struct Discovery(Arc<Shared>);

struct Shared {
    announced: watch::Sender<Option<Announcement>>,
    /// Counts what was asked for.
    refresh: watch::Sender<u64>,
    found: RwLock<Table>,
    changes: watch::Sender<u64>,
}

impl Discovery {
    /// Begins to listen; announces nothing yet. Must be called within a Tokio
    /// runtime.
    pub fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared {
            announced: watch::Sender::new(None),
            refresh: watch::Sender::new(0),
            found: RwLock::default(),
            changes: watch::Sender::new(0),
        });
        let listener = mdns::Listener::new(&shared)?;
        tokio::spawn(listener.run());
        Ok(Self(shared))
    }

    /// Says this from now on, instead of what was said before.
    pub fn announce(&self, announcement: Option<Announcement>) {
        self.0.announced.send_if_modified(|said| {
            let changed = *said != announcement;
            *said = announcement;
            changed
        });
    }

    /// Asks everyone again, now; answers arrive within milliseconds on a LAN.
    pub fn refresh(&self) {
        self.0.refresh.send_modify(|asked| *asked += 1);
    }

    /// The others that are in reach, in the order of their ids.
    pub fn found(&self) -> Vec<Found> {
        self.0
            .found
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .list()
    }

    /// Counts the changes of [`found`](Self::found).
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery")
            .field("announced", &*self.0.announced.borrow())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn announcement(swarm: Option<u8>, site: Option<u8>) -> Announcement {
        let key = certs::NodeKey::generate().unwrap();
        Announcement {
            key: key.public_key().try_into().unwrap(),
            port: 2377,
            swarm: swarm.map(|byte| [byte; 32]),
            site: site.map(|byte| [byte; 32]),
        }
    }

    async fn sees(discovery: &Discovery, what: impl Fn(&Found) -> bool) -> Found {
        let mut changes = discovery.changes();
        let seen = async {
            loop {
                changes.borrow_and_update();
                if let Some(found) = discovery.found().into_iter().find(&what) {
                    return found;
                }
                changes.changed().await.unwrap();
            }
        };
        let seen = tokio::time::timeout(Duration::from_secs(3), seen).await;
        seen.expect("found within 3 s; is there a network interface with multicast?")
    }

    #[tokio::test]
    async fn devices_find_each_other_whoever_speaks_first() {
        let (first, second) = (Discovery::start().unwrap(), Discovery::start().unwrap());
        let member = announcement(Some(1), None);
        let id = NodeId::of_public_key(&member.key);
        first.announce(Some(member));
        let found = sees(&second, |found| found.id == id).await;
        assert_eq!(found.swarm, member.swarm);
        // And the other way round, with what it says second.
        let waiting = announcement(None, Some(2));
        second.announce(Some(waiting));
        sees(&first, |found| found.site == waiting.site).await;
        let founder = announcement(Some(3), Some(2));
        second.announce(Some(founder));
        let found = sees(&first, |found| found.swarm == founder.swarm).await;
        assert_eq!(found.addr.port(), founder.port);
        let third = Discovery::start().unwrap();
        sees(&third, |found| found.id == id).await;
        assert!(first.found().iter().all(|found| found.id != id));
    }
}
