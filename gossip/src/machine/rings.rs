//! Who watches whom (Rapid, USENIX ATC '18).
//!
//! Each of K rings has all live members in an order of its own, by a hash of ring
//! and id; a member watches its successor on each. Everyone computes the same from
//! the same roster, nobody's load grows with the swarm, and the union of the rings
//! is an expander: news that floods along it reach all in a few hops, also when many
//! members fail at once. Few members simply watch each other.

use certs::NodeId;

use super::rng::{mix, mix_id};

/// How many peers watch a member.
pub(super) const K: usize = 8;
/// So few members, this node included, watch each other.
pub(super) const EVERYONE: usize = 9;

/// This node's neighbours on each ring; `None` where it is alone.
#[derive(Debug, Default)]
pub(super) struct Rings {
    successors: [Option<NodeId>; K],
    predecessors: [Option<NodeId>; K],
}

/// Where a member is on a ring.
fn point(ring: usize, mixed: u64) -> u64 {
    mix(mixed.wrapping_add((ring as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

impl Rings {
    pub fn of(me: NodeId, live: impl Iterator<Item = NodeId> + Clone) -> Self {
        let mut rings = Self::default();
        for ring in 0..K {
            rings.scan(ring, me, live.clone());
        }
        rings
    }

    /// A member was added to the live ones.
    pub fn insert(&mut self, me: NodeId, id: NodeId) {
        let (mine, its) = (mix_id(me.as_u128()), mix_id(id.as_u128()));
        for ring in 0..K {
            let (mine, its) = (point(ring, mine), point(ring, its));
            let ahead = |id: NodeId| point(ring, mix_id(id.as_u128())).wrapping_sub(mine);
            let successor = &mut self.successors[ring];
            if successor.is_none_or(|old| its.wrapping_sub(mine) < ahead(old)) {
                *successor = Some(id);
            }
            let predecessor = &mut self.predecessors[ring];
            if predecessor.is_none_or(|old| its.wrapping_sub(mine) > ahead(old)) {
                *predecessor = Some(id);
            }
        }
    }

    /// A member is not live any more; `live` are those that are.
    pub fn remove(&mut self, me: NodeId, id: NodeId, live: impl Iterator<Item = NodeId> + Clone) {
        for ring in 0..K {
            if self.successors[ring] == Some(id) || self.predecessors[ring] == Some(id) {
                self.scan(ring, me, live.clone());
            }
        }
    }

    pub fn successors(&self) -> impl Iterator<Item = NodeId> {
        self.successors.iter().flatten().copied()
    }

    fn scan(&mut self, ring: usize, me: NodeId, live: impl Iterator<Item = NodeId>) {
        let mine = point(ring, mix_id(me.as_u128()));
        let mut nearest = (u64::MAX, None);
        let mut farthest = (0, None);
        for id in live.filter(|id| *id != me) {
            let ahead = point(ring, mix_id(id.as_u128())).wrapping_sub(mine);
            if ahead <= nearest.0 {
                nearest = (ahead, Some(id));
            }
            if ahead >= farthest.0 {
                farthest = (ahead, Some(id));
            }
        }
        self.successors[ring] = nearest.1;
        self.predecessors[ring] = farthest.1;
    }
}

/// Those who watch `subject`: its predecessors on the rings, each once.
pub(super) fn watchers_of(
    subject: NodeId,
    live: impl Iterator<Item = NodeId> + Clone,
    count: usize,
) -> Vec<NodeId> {
    let mut watchers: Vec<NodeId> = if count <= EVERYONE {
        live.filter(|id| *id != subject).collect()
    } else {
        let rings = Rings::of(subject, live);
        rings.predecessors.into_iter().flatten().collect()
    };
    watchers.sort_unstable();
    watchers.dedup();
    watchers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: u128) -> Vec<NodeId> {
        (1..=count).map(|n| NodeId::from(n << 64 | n)).collect()
    }

    #[test]
    fn all_see_the_same_watchers() {
        let ids = ids(50);
        for subject in &ids {
            let watchers = watchers_of(*subject, ids.iter().copied(), ids.len());
            assert!((4..=K).contains(&watchers.len()), "{}", watchers.len());
            for id in &ids {
                let watches = Rings::of(*id, ids.iter().copied())
                    .successors()
                    .any(|watched| watched == *subject);
                assert_eq!(watches, watchers.contains(id));
            }
        }
    }

    #[test]
    fn few_members_watch_each_other() {
        let ids = ids(EVERYONE as u128);
        let watchers = watchers_of(ids[0], ids.iter().copied(), ids.len());
        assert_eq!(watchers, ids[1..]);
    }

    #[test]
    fn one_member_more_or_less_gives_what_a_fresh_start_gives() {
        let ids = ids(60);
        let me = ids[0];
        let mut rings = Rings::default();
        for (count, id) in ids.iter().enumerate().skip(1) {
            rings.insert(me, *id);
            let fresh = Rings::of(me, ids[..=count].iter().copied());
            assert_eq!(rings.successors, fresh.successors);
            assert_eq!(rings.predecessors, fresh.predecessors);
        }
        for (index, id) in ids.iter().enumerate().skip(1) {
            let left = std::iter::once(me).chain(ids[index + 1..].iter().copied());
            rings.remove(me, *id, left.clone());
            let fresh = Rings::of(me, left);
            assert_eq!(rings.successors, fresh.successors);
            assert_eq!(rings.predecessors, fresh.predecessors);
        }
    }

    #[test]
    fn alone_nobody_is_watched() {
        assert_eq!(
            Rings::of(NodeId::from(1), ids(0).into_iter())
                .successors()
                .count(),
            0
        );
    }
}
