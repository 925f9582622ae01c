//! Who held whom for dead, and when: what is seen of detectors, and what it
//! comes to. Devices are numbered as the hosts are, from 0.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use swarmlet_testnet::wait_for;

/// One device changed its mind about another (or spoke of it first).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    pub observer: usize,
    pub subject: usize,
    pub dead: bool,
    /// Since the log began.
    pub at: Duration,
}

/// What one detector's devices say, as it is seen.
#[derive(Debug)]
pub struct Log {
    start: Instant,
    seen: Mutex<Vec<Sighting>>,
}

/// What was done to a device, in the time of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injury {
    pub victim: usize,
    pub hurt: Duration,
    /// Before anything was undone.
    pub healed: Duration,
    /// When all knew each other again.
    pub settled: Duration,
}

impl Log {
    pub fn new(start: Instant) -> Self {
        Self {
            start,
            seen: Mutex::default(),
        }
    }

    /// Notes what `observer` says now, where that is new.
    pub fn note(&self, observer: usize, subject: usize, dead: bool) {
        let at = self.start.elapsed();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if last(&seen, observer, subject) != Some(dead) {
            seen.push(Sighting {
                observer,
                subject,
                dead,
                at,
            });
        }
    }

    pub fn all(&self) -> Vec<Sighting> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }

    /// Waits until each of `observers` says this of each of `subjects`.
    pub fn agreed(
        &self,
        what: &str,
        limit: Duration,
        observers: &[usize],
        subjects: &[usize],
        dead: bool,
    ) -> Result<()> {
        wait_for(what, limit, || {
            let seen = self.all();
            let pairs = observers
                .iter()
                .flat_map(|observer| subjects.iter().map(move |subject| (*observer, *subject)));
            let mut not = pairs
                .filter(|(observer, subject)| observer != subject)
                .filter(|(observer, subject)| last(&seen, *observer, *subject) != Some(dead));
            match not.next() {
                None => Ok(()),
                Some((observer, subject)) => Err(format!(
                    "h{} does not say so of h{}",
                    observer + 1,
                    subject + 1
                )),
            }
        })?;
        Ok(())
    }
}

fn last(seen: &[Sighting], observer: usize, subject: usize) -> Option<bool> {
    let own = |s: &&Sighting| s.observer == observer && s.subject == subject;
    seen.iter().rev().find(own).map(|sighting| sighting.dead)
}

/// How long after the injury each other device held the victim for dead.
pub fn detections(seen: &[Sighting], injury: &Injury) -> Vec<Duration> {
    let of_victim = seen
        .iter()
        .filter(|s| s.dead && s.subject == injury.victim && s.observer != injury.victim)
        .filter(|s| (injury.hurt..=injury.healed).contains(&s.at));
    let mut first: Vec<(usize, Duration)> = Vec::new();
    for sighting in of_victim {
        if !first
            .iter()
            .any(|(observer, _)| *observer == sighting.observer)
        {
            first.push((sighting.observer, sighting.at.saturating_sub(injury.hurt)));
        }
    }
    first.sort_unstable();
    first.into_iter().map(|(_, after)| after).collect()
}

/// Every time that a device in reach was held for dead. What a device thinks
/// that is cut off itself, until it has settled again, is its own affair.
pub fn false_deaths(seen: &[Sighting], injuries: &[Injury]) -> Vec<Sighting> {
    let is_true = |s: &Sighting| {
        injuries.iter().any(|injury| {
            let gone = (injury.hurt..=injury.healed).contains(&s.at);
            let away = (injury.hurt..=injury.settled).contains(&s.at);
            (s.subject == injury.victim && gone) || (s.observer == injury.victim && away)
        })
    };
    let deaths = seen.iter().filter(|s| s.dead);
    deaths.filter(|s| !is_true(s)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INJURY: Injury = Injury {
        victim: 0,
        hurt: Duration::from_secs(10),
        healed: Duration::from_secs(20),
        settled: Duration::from_secs(30),
    };

    fn dead(observer: usize, subject: usize, at: u64) -> Sighting {
        Sighting {
            observer,
            subject,
            dead: true,
            at: Duration::from_secs(at),
        }
    }

    #[test]
    fn each_device_but_the_victim_detects_it_once() {
        let seen = [
            dead(2, 0, 13),
            dead(1, 0, 11),
            dead(1, 0, 15),
            dead(0, 1, 12),
            dead(1, 2, 12),
        ];
        let found = detections(&seen, &INJURY);
        assert_eq!(found, [Duration::from_secs(1), Duration::from_secs(3)]);
    }

    #[test]
    fn the_death_of_a_device_in_reach_is_false() {
        let early = dead(1, 0, 9);
        let bystander = dead(1, 2, 12);
        let flap = dead(1, 0, 21);
        let late = dead(0, 2, 31);
        let seen = [
            early,
            dead(1, 0, 11),
            bystander,
            dead(0, 2, 12),
            flap,
            dead(0, 2, 25),
            late,
        ];
        assert_eq!(
            false_deaths(&seen, &[INJURY]),
            [early, bystander, flap, late]
        );
    }

    #[test]
    fn only_changes_are_noted() {
        let log = Log::new(Instant::now());
        for dead in [false, false, true, true, false] {
            log.note(0, 1, dead);
        }
        let said: Vec<bool> = log.all().iter().map(|s| s.dead).collect();
        assert_eq!(said, [false, true, false]);
        assert!(
            log.agreed("it", Duration::ZERO, &[0], &[0, 1], false)
                .is_ok()
        );
        assert!(log.agreed("it", Duration::ZERO, &[0], &[2], false).is_err());
    }
}
