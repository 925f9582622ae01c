//! The devices that can be heard on this LAN: mDNS, or what a test makes of it.

use std::fmt;

use gossip::discovery::Discovery;
pub use gossip::discovery::{Announcement, Found};
use tokio::sync::watch;

pub trait Lan: fmt::Debug + Send + Sync + 'static {
    /// Says this from now on; `None`: nothing.
    fn announce(&self, said: Option<Announcement>);
    /// Asks everyone again, now.
    fn refresh(&self);
    fn found(&self) -> Vec<Found>;
    /// Counts the changes of `found`.
    fn changes(&self) -> watch::Receiver<u64>;
}

impl Lan for Discovery {
    fn announce(&self, said: Option<Announcement>) {
        Self::announce(self, said);
    }

    fn refresh(&self) {
        Self::refresh(self);
    }

    fn found(&self) -> Vec<Found> {
        Self::found(self)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        Self::changes(self)
    }
}

/// Where multicast cannot be had: nobody is heard.
#[derive(Debug)]
pub struct Deaf(watch::Sender<u64>);

impl Default for Deaf {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Lan for Deaf {
    fn announce(&self, _: Option<Announcement>) {}

    fn refresh(&self) {}

    fn found(&self) -> Vec<Found> {
        Vec::new()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
