//! Which entries the log holds, and where each one is.
//!
//! Every entry has a slot with its term. An entry that is not on disk yet is
//! kept in its slot; one that is stays there while the budget lasts, newest
//! last, and is read from its segment after that. Pure: the writer and the
//! readers share it behind a lock and do their reading outside.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use super::{format::Span, segment::SegmentReader};
use crate::types::{Entry, LogId, log_id, term_of};

/// Entries that are on disk are kept in memory up to this many bytes.
const CACHE_BYTES: usize = 1 << 20;

/// Where an entry is on disk.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub segment: Arc<SegmentReader>,
    pub span: Span,
}

/// An entry, or where to read it.
#[derive(Debug)]
pub(crate) enum Found {
    Cached(Entry),
    OnDisk(Place),
}

#[derive(Debug)]
struct Slot {
    term: u64,
    /// The length of the encoded entry.
    size: usize,
    entry: Option<Entry>,
    place: Option<Place>,
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    purged: Option<LogId>,
    /// The index of the first slot; meaningless without slots.
    first: u64,
    slots: VecDeque<Slot>,
    bytes: usize,
    /// What `bytes` would be if nothing had been removed.
    appended: usize,
    cached_bytes: usize,
    /// Slots before this position are not cached.
    evicted: usize,
}

impl Index {
    pub fn new(purged: Option<LogId>) -> Self {
        Self {
            purged,
            ..Self::default()
        }
    }

    pub fn purged(&self) -> Option<LogId> {
        self.purged
    }

    /// The last entry, or the last purged one if there is none after it.
    pub fn last(&self) -> Option<LogId> {
        let last = self.slots.back();
        last.map(|slot| log_id(slot.term, self.end() - 1))
            .or(self.purged)
    }

    /// The encoded length of all entries together.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The encoded length of all entries that were ever added.
    pub fn appended(&self) -> usize {
        self.appended
    }

    /// The index that the next entry must have.
    pub fn next(&self) -> u64 {
        self.last().map_or(0, |last| last.index + 1)
    }

    fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// Adds an entry that is not on disk yet. `size` is what it costs to keep.
    ///
    /// Returns false, and adds nothing, if it would leave a hole. An empty log
    /// may begin anywhere.
    pub fn append(&mut self, entry: Entry, size: usize) -> bool {
        let index = entry.log_id.index;
        if !self.accept(index) {
            return false;
        }
        self.bytes += size;
        self.appended += size;
        self.cached_bytes += size;
        self.slots.push_back(Slot {
            term: term_of(&entry.log_id),
            size,
            entry: Some(entry),
            place: None,
        });
        true
    }

    /// Adds an entry that was found on disk, under the same rule.
    pub fn recover(&mut self, id: LogId, place: Place) -> bool {
        if !self.accept(id.index) {
            return false;
        }
        let size = place.span.len as usize;
        self.bytes += size;
        self.appended += size;
        self.slots.push_back(Slot {
            term: term_of(&id),
            size,
            entry: None,
            place: Some(place),
        });
        self.evicted = self.slots.len();
        true
    }

    fn accept(&mut self, index: u64) -> bool {
        if self.slots.is_empty() {
            self.first = index;
            self.evicted = 0;
        }
        index == self.end()
    }

    /// Notes that an entry is on disk, and forgets the oldest entries that are
    /// if too many are kept.
    pub fn stored(&mut self, index: u64, place: Place) {
        let position = self.position(index);
        if let Some(slot) = position.and_then(|position| self.slots.get_mut(position)) {
            slot.place = Some(place);
        }
        while self.cached_bytes > CACHE_BYTES {
            let Some(slot) = self.slots.get_mut(self.evicted) else {
                break;
            };
            if slot.place.is_none() {
                break;
            }
            if slot.entry.take().is_some() {
                self.cached_bytes -= slot.size;
            }
            self.evicted += 1;
        }
    }

    pub fn place(&self, index: u64) -> Option<&Place> {
        self.get(index)?.place.as_ref()
    }

    fn get(&self, index: u64) -> Option<&Slot> {
        self.slots.get(self.position(index)?)
    }

    fn position(&self, index: u64) -> Option<usize> {
        usize::try_from(index.checked_sub(self.first)?).ok()
    }

    /// Removes every entry from `from` on.
    pub fn truncate(&mut self, from: u64) {
        while !self.slots.is_empty() && self.end() > from {
            let gone = self.slots.pop_back();
            self.forget(gone);
        }
        self.evicted = self.evicted.min(self.slots.len());
    }

    fn forget(&mut self, gone: Option<Slot>) {
        let Some(slot) = gone else { return };
        self.bytes -= slot.size;
        if slot.entry.is_some() {
            self.cached_bytes -= slot.size;
        }
    }

    /// Removes every entry up to and with `upto`, which need not exist.
    pub fn purge(&mut self, upto: LogId) {
        while !self.slots.is_empty() && self.first <= upto.index {
            let gone = self.slots.pop_front();
            self.forget(gone);
            self.first += 1;
            self.evicted = self.evicted.saturating_sub(1);
        }
        if self.purged.is_none_or(|purged| purged.index < upto.index) {
            self.purged = Some(upto);
        }
    }

    /// The entries of `range` that exist, in order, until about `max_bytes`
    /// are found, but at least one.
    pub fn find(&self, range: Range<u64>, max_bytes: usize) -> Vec<(u64, Found)> {
        let mut found = Vec::new();
        let mut bytes = 0;
        for index in range.start.max(self.first)..range.end.min(self.end()) {
            let Some(slot) = self.get(index) else { break };
            bytes += slot.size;
            if !found.is_empty() && bytes > max_bytes {
                break;
            }
            let one = match (&slot.entry, &slot.place) {
                (Some(entry), _) => Found::Cached(entry.clone()),
                (None, Some(place)) => Found::OnDisk(place.clone()),
                (None, None) => break,
            };
            found.push((index, one));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Blob, Payload};

    fn entry(index: u64) -> Entry {
        Entry {
            log_id: log_id(1, index),
            payload: Payload::Normal(Blob::from(vec![0; 10])),
        }
    }

    fn index_of(range: Range<u64>) -> Index {
        let mut index = Index::default();
        for i in range {
            assert!(index.append(entry(i), 10));
        }
        index
    }

    fn indexes(found: &[(u64, Found)]) -> Vec<u64> {
        found.iter().map(|(index, _)| *index).collect()
    }

    #[test]
    fn a_hole_is_refused() {
        let mut index = index_of(3..5);
        assert!(!index.append(entry(6), 10));
        assert!(!index.append(entry(4), 10));
        assert_eq!(index.last(), Some(log_id(1, 4)));
    }

    #[test]
    fn a_range_gives_what_exists_of_it() {
        let index = index_of(3..8);
        assert_eq!(indexes(&index.find(0..5, usize::MAX)), [3, 4]);
        assert_eq!(indexes(&index.find(6..100, usize::MAX)), [6, 7]);
        assert_eq!(indexes(&index.find(8..100, usize::MAX)), []);
        assert_eq!(indexes(&index.find(0..3, usize::MAX)), []);
    }

    #[test]
    fn a_limit_gives_at_least_one_entry() {
        let index = index_of(0..8);
        assert_eq!(indexes(&index.find(2..8, 25)), [2, 3]);
        assert_eq!(indexes(&index.find(2..8, 1)), [2]);
    }

    #[test]
    fn truncating_and_purging_leave_what_is_between() {
        let mut index = index_of(0..10);
        index.truncate(7);
        index.purge(log_id(1, 2));
        assert_eq!(indexes(&index.find(0..100, usize::MAX)), [3, 4, 5, 6]);
        assert_eq!(index.purged(), Some(log_id(1, 2)));
        assert_eq!((index.bytes(), index.cached_bytes), (40, 40));
    }

    #[test]
    fn purging_beyond_the_end_moves_the_end() {
        let mut index = index_of(0..3);
        index.purge(log_id(2, 20));
        assert_eq!(index.last(), Some(log_id(2, 20)));
        assert!(index.append(entry(21), 10));
    }
}
