//! Waiting after a failure, longer each time.

use std::time::Duration;

use services::Timestamp;

/// After the first failure; twice as long after each that follows.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hold {
    until: Option<Timestamp>,
    failures: u32,
}

impl Hold {
    pub fn begin(&mut self, now: Timestamp) {
        let pause = FIRST.saturating_mul(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + pause.min(LONGEST));
    }

    /// There is a reason to try at once.
    pub fn lift(&mut self) {
        self.until = None;
    }

    /// It went well: the next failure is a first one.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Since it last went well.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }

    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| has_come(until, LONGEST, now))
    }
}

/// Whether a time has come that was at most `span` away: also if the clock has
/// been set back since.
pub(super) fn has_come(at: Timestamp, span: Duration, now: Timestamp) -> bool {
    at <= now || at.since(now) > span
}
