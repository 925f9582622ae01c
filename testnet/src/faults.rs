//! What goes wrong on a network while every cable is in: packets that are lost
//! in one direction only, and a LAN that falls apart.
//!
//! The switch does the losing, so the hosts' own firewalls know nothing of it.

use crate::cable;
use crate::error::Result;
use crate::host::Host;
use crate::testnet::Testnet;

impl Testnet {
    /// Loses from now on all that each first host sends to its second, which
    /// may still be heard by it. Ends whatever was lost before.
    pub fn lose(&self, pairs: &[(&Host, &Host)]) -> Result<()> {
        let pairs: Vec<_> = pairs.iter().map(|(a, b)| (a.name(), b.name())).collect();
        cable::lose(self.switch()?, &pairs)
    }

    /// Splits the LAN: nothing passes between `side` and the other hosts.
    pub fn split(&self, side: &[&Host]) -> Result<()> {
        let hosts = self.hosts();
        let is_inside = |host: &Host| side.iter().any(|inside| inside.name() == host.name());
        let pairs = hosts.iter().flat_map(|a| hosts.iter().map(move |b| (a, b)));
        let across: Vec<_> = pairs
            .filter(|(a, b)| is_inside(a) != is_inside(b))
            .collect();
        self.lose(&across)
    }

    /// Loses nothing any more.
    pub fn mend(&self) -> Result<()> {
        self.lose(&[])
    }
}
