//! What one asker may take of what is there for all.
//!
//! Two things run out: our time, by questions that we can answer at once, and the
//! places of those that wait for another server. The first has a token bucket per
//! asker. The places are shared by dynamic thresholds (Choudhury and Hahne, 1998):
//! an asker may hold as many as are still free, so that one that storms gets half
//! of all, two a third each, and there is always room for the next.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Questions a second that one asker may keep on asking: on a slow and busy device
/// several can, and leave time for the others.
pub(super) const RATE: u32 = 4_000;
/// Questions that it may ask at once.
pub(super) const BURST: u32 = 1_000;
/// The same for all together who are nobody's container.
const STRANGERS: u32 = 100;

/// How fast anyone may ask. The count of askers is the caller's to limit.
#[derive(Debug, Default)]
pub(super) struct Rates {
    askers: BTreeMap<IpAddr, Bucket>,
    strangers: Bucket,
}

#[derive(Debug, Default)]
struct Bucket {
    /// Of [`Bucket::take`]'s `size`; none were taken before the first time.
    taken: f64,
    at: Duration,
}

impl Rates {
    /// Whether a question may be looked at. `asker` is `None` for strangers; `now` is
    /// since a moment that stays the same.
    pub fn admit(&mut self, asker: Option<IpAddr>, now: Duration) -> bool {
        match asker {
            Some(asker) => self.askers.entry(asker).or_default().take(RATE, BURST, now),
            None => self.strangers.take(STRANGERS, STRANGERS, now),
        }
    }

    /// Forgets whom `known` does not know any more.
    pub fn retain(&mut self, known: impl Fn(IpAddr) -> bool) {
        self.askers.retain(|asker, _| known(*asker));
    }
}

impl Bucket {
    fn take(&mut self, rate: u32, size: u32, now: Duration) -> bool {
        let since = now.saturating_sub(self.at).as_secs_f64();
        self.at = now;
        self.taken = (self.taken - since * f64::from(rate)).max(0.0);
        let fits = self.taken + 1.0 <= f64::from(size);
        if fits {
            self.taken += 1.0;
        }
        fits
    }
}

/// Places that askers hold.
#[derive(Debug)]
pub(super) struct Places {
    free: usize,
    held: BTreeMap<IpAddr, usize>,
}

impl Places {
    pub fn new(count: usize) -> Self {
        Self {
            free: count,
            held: BTreeMap::new(),
        }
    }

    /// Takes a place, unless the asker has as many as are left.
    pub fn take(&mut self, asker: IpAddr) -> bool {
        let held = self.held.get(&asker).copied().unwrap_or(0);
        let fits = held < self.free;
        if fits {
            self.free -= 1;
            self.held.insert(asker, held + 1);
        }
        fits
    }

    pub fn give_back(&mut self, asker: IpAddr) {
        let Some(held) = self.held.get_mut(&asker) else {
            return;
        };
        *held -= 1;
        if *held == 0 {
            self.held.remove(&asker);
        }
        self.free += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asker(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 1, number])
    }

    #[test]
    fn a_storm_is_cut_to_the_rate_and_others_are_not() {
        let mut rates = Rates::default();
        let mut admitted = 0;
        for millisecond in 0..10_000u64 {
            let now = Duration::from_millis(millisecond);
            for _ in 0..100 {
                admitted += u32::from(rates.admit(Some(asker(1)), now));
            }
            assert!(rates.admit(Some(asker(2)), now));
        }
        let allowed = 10 * RATE + BURST;
        assert!((allowed - 20..=allowed).contains(&admitted), "{admitted}");
    }

    #[test]
    fn strangers_share_one_small_bucket() {
        let mut rates = Rates::default();
        let admitted = (0..1_000)
            .filter(|_| rates.admit(None, Duration::ZERO))
            .count();
        assert_eq!(admitted, STRANGERS as usize);
        assert!(rates.askers.is_empty());
    }

    #[test]
    fn one_that_takes_all_it_can_leaves_half() {
        let mut places = Places::new(256);
        let taken = (0..1_000).filter(|_| places.take(asker(1))).count();
        assert_eq!(taken, 128);
        assert!(places.take(asker(2)));
    }

    proptest! {
        #[test]
        fn there_is_always_a_place_for_one_who_has_none(takes in proptest::collection::vec(1u8..6, 0..500)) {
            let mut places = Places::new(64);
            for number in takes {
                places.take(asker(number));
                prop_assert!(places.free > 0);
                prop_assert_eq!(places.held.values().sum::<usize>() + places.free, 64);
            }
        }

        #[test]
        fn what_is_given_back_is_free_again(takes in proptest::collection::vec(1u8..9, 0..300)) {
            let mut places = Places::new(64);
            let taken: Vec<_> = takes.into_iter().filter(|n| places.take(asker(*n))).collect();
            for number in taken {
                places.give_back(asker(number));
            }
            prop_assert_eq!(places.free, 64);
            prop_assert!(places.held.is_empty());
        }
    }
}
