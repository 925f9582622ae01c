//! What was found, within bounds: any device on the LAN can announce as many
//! devices as it likes, but none can crowd out the others.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use certs::NodeId;

use super::{Found, MAX_FOUND};

/// Findings from one address. More than one: several nodes on one host.
const MAX_PER_IP: usize = 16;

#[derive(Debug, Default)]
pub struct Table {
    /// With the round in which it was heard last.
    found: BTreeMap<(NodeId, SocketAddr), (Found, u64)>,
    round: u64,
}

impl Table {
    /// Whether anything is different.
    pub fn insert(&mut self, found: Found) -> bool {
        let key = (found.id, found.addr);
        let round = self.round;
        if let Some((known, heard)) = self.found.get_mut(&key) {
            let first_seen = known.first_seen;
            let before = std::mem::replace(
                known,
                Found {
                    first_seen,
                    ..found
                },
            );
            *heard = round;
            return before != *known;
        }
        if self.found.len() >= MAX_FOUND || self.from(found.addr.ip()) >= MAX_PER_IP {
            return false;
        }
        self.found.insert(key, (found, round));
        true
    }

    /// Everyone has been asked anew: whoever does not answer has gone.
    pub fn begin_round(&mut self) {
        self.round += 1;
    }

    /// Forgets those that have not answered in this round; whether any.
    pub fn end_round(&mut self) -> bool {
        let before = self.found.len();
        self.found.retain(|_, (_, heard)| *heard == self.round);
        self.found.len() != before
    }

    /// Whether it was there.
    pub fn remove(&mut self, gone: &Found) -> bool {
        let key = (gone.id, gone.addr);
        // Its successor may have been found by now.
        let same = |(known, _): &(Found, u64)| (known.swarm, known.site) == (gone.swarm, gone.site);
        self.found.get(&key).is_some_and(same) && self.found.remove(&key).is_some()
    }

    pub fn forget(&mut self, ids: &[NodeId]) {
        self.found.retain(|(id, _), _| !ids.contains(id));
    }

    pub fn list(&self) -> Vec<Found> {
        self.found.values().map(|(found, _)| *found).collect()
    }

    fn from(&self, ip: IpAddr) -> usize {
        let of_ip = |(_, addr): &&(NodeId, SocketAddr)| addr.ip() == ip;
        self.found.keys().filter(of_ip).count()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn found(id: u128, ip: u32, swarm: u8) -> Found {
        Found {
            id: NodeId::from(id),
            addr: SocketAddr::new(std::net::Ipv4Addr::from(ip).into(), 2377),
            swarm: Some([swarm; 32]),
            site: None,
            first_seen: Instant::now(),
        }
    }

    #[test]
    fn one_device_cannot_crowd_out_the_others() {
        let mut table = Table::default();
        for id in 0..10_000 {
            table.insert(found(id, 1, 0));
        }
        assert_eq!(table.list().len(), MAX_PER_IP);
        assert!(table.insert(found(20_000, 2, 0)));
    }

    #[test]
    fn many_devices_do_not_grow_the_table_past_its_bound() {
        let mut table = Table::default();
        for id in 0..10_000 {
            table.insert(found(id.into(), id, 0));
        }
        assert_eq!(table.list().len(), MAX_FOUND);
    }

    #[test]
    fn what_is_announced_anew_is_not_a_change_and_not_younger() {
        let mut table = Table::default();
        let first = found(1, 1, 0);
        assert!(table.insert(first));
        assert!(!table.insert(found(1, 1, 0)));
        assert_eq!(table.list(), [first]);
        assert!(table.insert(found(1, 1, 5)));
        assert_eq!(table.list()[0].first_seen, first.first_seen);
    }

    #[test]
    fn whoever_does_not_answer_in_a_round_has_gone() {
        let mut table = Table::default();
        table.insert(found(1, 1, 0));
        table.insert(found(2, 2, 0));
        table.begin_round();
        table.insert(found(2, 2, 0));
        assert!(table.end_round());
        assert!(!table.end_round());
        assert_eq!(table.list()[0].id, NodeId::from(2));
    }

    #[test]
    fn the_end_of_an_old_announcement_does_not_end_its_successor() {
        let mut table = Table::default();
        table.insert(found(1, 1, 0));
        table.insert(found(1, 1, 5));
        assert!(!table.remove(&found(1, 1, 0)));
        assert!(table.remove(&found(1, 1, 5)));
        assert!(table.list().is_empty());
    }
}
