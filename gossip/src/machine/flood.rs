//! News on their way to all neighbours.
//!
//! What changed a belief is passed on to every neighbour, after a moment in which
//! more may come, several in a datagram. A neighbour that tells the same in the
//! meantime is not told. When there is so much news that telling everyone would be
//! a storm, or when it is nothing that anyone waits for, each item goes to a few
//! neighbours by lot, and who is missed learns it by comparing.

use std::collections::BTreeMap;
use std::time::Duration;

use certs::NodeId;

use super::rng::Rng;
use crate::codec;
use crate::view::Moment;
use crate::wire::{Datagram, News};

/// Waiting for more.
const SOON: Duration = Duration::from_millis(10);
/// The same, for what nobody waits for.
const LATER: Duration = Duration::from_millis(1_000);
/// More items than this are a storm.
const STORM: usize = 64;
/// Neighbours that are told in a storm.
const FEW: usize = 6;
/// Items that wait; more are left to comparing.
const MAX_ITEMS: usize = 1_024;
/// Bytes of news in a datagram, so that it fits with all that surrounds it.
pub(super) const MAX_BYTES: usize = 1_100;

/// What kind of news of a member replaces another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    Record,
    Death,
    Accusation,
}

#[derive(Debug)]
struct Item {
    news: News,
    bytes: usize,
    lazy: bool,
    /// Neighbours that know it.
    told: Vec<NodeId>,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    items: BTreeMap<(NodeId, Topic), Item>,
    due: Option<Moment>,
}

impl Outbox {
    /// To be told to all but `from`, who told it.
    pub fn push(
        &mut self,
        key: (NodeId, Topic),
        news: News,
        from: Option<NodeId>,
        lazy: bool,
        now: Moment,
    ) {
        let bytes = codec::encoded_len(&news);
        if bytes > MAX_BYTES || (self.items.len() >= MAX_ITEMS && !self.items.contains_key(&key)) {
            return;
        }
        let told = from.into_iter().collect();
        let item = Item {
            news,
            bytes,
            lazy,
            told,
        };
        self.items.insert(key, item);
        let due = now + if lazy { LATER } else { SOON };
        self.due = Some(self.due.map_or(due, |at| at.min(due)));
    }

    /// A neighbour told the same.
    pub fn known_to(&mut self, key: (NodeId, Topic), neighbour: NodeId) {
        if let Some(item) = self.items.get_mut(&key)
            && item.told.len() < 64
        {
            item.told.push(neighbour);
        }
    }

    /// When [`Self::flush`] has something to do.
    pub fn due(&self) -> Option<Moment> {
        self.due
    }

    /// Everything that waits, packed into datagrams.
    pub fn flush(&mut self, neighbours: &[NodeId], rng: &mut Rng) -> Vec<(NodeId, Datagram)> {
        self.due = None;
        let items = std::mem::take(&mut self.items);
        let storm = items.len() > STORM;
        let mut parcels: BTreeMap<NodeId, Packer> = BTreeMap::new();
        for item in items.into_values() {
            let mut targets: Vec<NodeId> = (neighbours.iter())
                .filter(|neighbour| !item.told.contains(neighbour))
                .copied()
                .collect();
            if storm || item.lazy {
                choose(&mut targets, rng);
            }
            for target in targets {
                let packer = parcels.entry(target).or_default();
                packer.add(&item.news, item.bytes);
            }
        }
        (parcels.into_iter())
            .flat_map(|(to, packer)| packer.finish().map(move |news| (to, Datagram::News(news))))
            .collect()
    }
}

/// Keeps a few of many, by lot.
fn choose(targets: &mut Vec<NodeId>, rng: &mut Rng) {
    if targets.len() <= super::rings::K {
        return;
    }
    for place in 0..FEW {
        let other = place + rng.below(targets.len() - place);
        targets.swap(place, other);
    }
    targets.truncate(FEW);
}

#[derive(Default)]
struct Packer {
    full: Vec<Vec<News>>,
    news: Vec<News>,
    bytes: usize,
}

impl Packer {
    fn add(&mut self, news: &News, bytes: usize) {
        let fits = self.bytes + bytes <= MAX_BYTES && self.news.len() < crate::wire::MAX_NEWS;
        if !fits {
            self.full.push(std::mem::take(&mut self.news));
            self.bytes = 0;
        }
        self.news.push(news.clone());
        self.bytes += bytes;
    }

    fn finish(mut self) -> impl Iterator<Item = Vec<News>> {
        if !self.news.is_empty() {
            self.full.push(self.news);
        }
        self.full.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> NodeId {
        NodeId::from(n)
    }

    fn death(n: u128) -> News {
        News::Dead {
            subject: id(n),
            incarnation: 1_700_000_000_000,
            by: id(u128::MAX),
            witnesses: 3,
        }
    }

    fn push(outbox: &mut Outbox, n: u128, lazy: bool) {
        outbox.push((id(n), Topic::Death), death(n), None, lazy, Moment::ZERO);
    }

    #[test]
    fn who_told_it_is_not_told() {
        let mut outbox = Outbox::default();
        let key = (id(1), Topic::Death);
        outbox.push(key, death(1), Some(id(10)), false, Moment::ZERO);
        outbox.known_to(key, id(11));
        let sent = outbox.flush(&[id(10), id(11), id(12)], &mut Rng::new(1));
        assert_eq!(sent, [(id(12), Datagram::News(vec![death(1)]))]);
        assert!(outbox.flush(&[id(10)], &mut Rng::new(1)).is_empty());
    }

    #[test]
    fn many_items_share_datagrams_that_fit() {
        let mut outbox = Outbox::default();
        for n in 0..STORM as u128 {
            push(&mut outbox, n, false);
        }
        let sent = outbox.flush(&[id(100)], &mut Rng::new(1));
        assert!((2..=4).contains(&sent.len()), "{}", sent.len());
        for (_, datagram) in sent {
            assert!(crate::wire::encoded_len(&datagram) <= crate::wire::MAX_DATAGRAM);
        }
    }

    #[test]
    fn a_storm_goes_to_a_few_neighbours() {
        let neighbours: Vec<NodeId> = (1_000..1_016).map(id).collect();
        let mut outbox = Outbox::default();
        for n in 0..500 {
            push(&mut outbox, n, false);
        }
        let sent = outbox.flush(&neighbours, &mut Rng::new(1));
        let items: usize = (sent.iter())
            .map(|(_, datagram)| match datagram {
                Datagram::News(news) => news.len(),
                _ => 0,
            })
            .sum();
        assert_eq!(items, 500 * FEW);
    }

    #[test]
    fn lazy_news_wait_for_company_and_urgent_ones_take_them_along() {
        let mut outbox = Outbox::default();
        push(&mut outbox, 1, true);
        assert_eq!(outbox.due(), Some(LATER));
        push(&mut outbox, 2, false);
        assert_eq!(outbox.due(), Some(SOON));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut outbox = Outbox::default();
        for n in 0..100_000 {
            push(&mut outbox, n, false);
        }
        assert_eq!(outbox.items.len(), MAX_ITEMS);
    }
}
