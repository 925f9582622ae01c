//! What was told lately, in memory, for whoever listens: from now on, or to the
//! last of it too.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::watch;

use crate::control::lock;

/// Older ones are forgotten.
const KEPT: usize = 256;

#[derive(Debug)]
pub struct Recent<T> {
    kept: Mutex<VecDeque<T>>,
    /// How many there were, ever.
    count: watch::Sender<u64>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            count: watch::Sender::new(0),
        }
    }
}

impl<T: Clone> Recent<T> {
    pub fn add(&self, event: T) {
        let mut kept = lock(&self.kept);
        kept.push_back(event);
        if kept.len() > KEPT {
            kept.pop_front();
        }
        self.count.send_modify(|count| *count += 1);
    }

    /// Those that are kept of the ones after the first `seen`, and how many
    /// there were in all.
    pub fn after(&self, seen: u64) -> (Vec<T>, u64) {
        let kept = lock(&self.kept);
        let count = *self.count.borrow();
        let new = count.saturating_sub(seen).min(kept.len() as u64) as usize;
        (kept.iter().skip(kept.len() - new).cloned().collect(), count)
    }

    /// How many there were, now and whenever that changes.
    pub fn count(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept_and_each_is_told_once() {
        let events = Recent::default();
        (0..10).for_each(|number| events.add(number));
        let (seen, count) = events.after(0);
        assert_eq!((seen.len(), count), (10, 10));
        (10..KEPT * 2).for_each(|number| events.add(number));
        let (seen, count) = events.after(0);
        assert_eq!((seen.len(), count), (KEPT, KEPT as u64 * 2));
        assert_eq!(seen[0], KEPT);
        let (seen, _) = events.after(count - 1);
        assert_eq!(seen, [KEPT * 2 - 1]);
        assert!(events.after(count).0.is_empty());
    }
}
