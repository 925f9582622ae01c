//! The devices of this host, for managers to place tasks by.
//!
//! Devices come and go as people plug them in and loose cables shake. One that
//! comes is told of at the next look, one that goes when it has been gone for a
//! while, and neither more than once a minute: each telling is an entry of the
//! swarm's log. So a task that lost its device finds it again where it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// How often they are looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);
const GONE_AFTER: Duration = Duration::from_secs(20);
/// Between two tellings: what is shaken loose comes back by another name.
const PACE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Devices {
    /// When each was last there.
    seen: BTreeMap<String, Instant>,
    told: BTreeSet<String>,
    told_at: Option<Instant>,
}

impl Devices {
    /// These are there now; whether there is news to tell.
    pub fn saw(&mut self, there: BTreeSet<String>, now: Instant) -> bool {
        self.seen
            .extend(there.into_iter().map(|device| (device, now)));
        self.seen
            .retain(|_, seen| now.duration_since(*seen) < GONE_AFTER);
        let too_soon = |told: Instant| now.duration_since(told) < PACE;
        if self.seen.keys().eq(&self.told) || self.told_at.is_some_and(too_soon) {
            return false;
        }
        // What a host has from the start is no news.
        let first = self.told.is_empty();
        self.told_at = (!first).then_some(now);
        self.told = self.seen.keys().cloned().collect();
        true
    }

    pub fn told(&self) -> BTreeSet<String> {
        self.told.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn one_that_goes_is_told_of_later_than_one_that_comes() {
        let start = Instant::now();
        let mut devices = Devices::default();
        assert!(devices.saw(seen(&["/dev/a"]), start));
        assert!(devices.saw(seen(&["/dev/a", "/dev/b"]), start));
        // A loose cable.
        for second in 1..80 {
            let now = start + Duration::from_secs(second);
            let there = match second % 10 {
                0 => &["/dev/a", "/dev/b"][..],
                _ => &["/dev/a"],
            };
            assert!(!devices.saw(seen(there), now), "second {second}");
        }
        let gone = start + Duration::from_secs(90);
        assert!(devices.saw(seen(&["/dev/a"]), gone));
        assert_eq!(devices.told(), seen(&["/dev/a"]));
    }

    #[test]
    fn names_that_change_with_every_look_are_told_of_once_a_minute() {
        let start = Instant::now();
        let mut devices = Devices::default();
        devices.saw(seen(&["/dev/a"]), start);
        let told = (0..120).filter(|look| {
            let name = format!("/dev/ttyUSB{look}");
            devices.saw(seen(&["/dev/a", &name]), start + LOOK_EVERY * *look)
        });
        assert_eq!(told.count(), 10, "in ten minutes");
    }
}
