//! A part of the overlay on this node, which is to run and may not be able to.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;

const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// One that does not run is tried again, ever more seldom; the log says why,
/// once for each reason.
#[derive(Debug)]
pub struct Part<T> {
    what: &'static str,
    running: Option<T>,
    why: Option<String>,
    backoff: Backoff,
    again: Option<Instant>,
}

impl<T> Part<T> {
    /// `what` names it in the log.
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            running: None,
            why: None,
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
            again: None,
        }
    }

    pub fn running(&self) -> Option<&T> {
        self.running.as_ref()
    }

    pub fn running_mut(&mut self) -> Option<&mut T> {
        self.running.as_mut()
    }

    /// Why it does not run, or does not do what it should.
    pub fn why(&self) -> Option<String> {
        let why = self.why.as_ref()?;
        Some(format!("{}: {why}", self.what))
    }

    /// When to try it again; `None`: there is no need.
    pub fn again(&self) -> Option<Instant> {
        self.again
    }

    /// Whether now is the time to try.
    pub fn is_due(&self, now: Instant) -> bool {
        self.again.is_none_or(|again| again <= now)
    }

    pub fn runs(&mut self, part: T) {
        self.running = Some(part);
        self.succeeded();
    }

    pub fn succeeded(&mut self) {
        if self.why.take().is_some() {
            tracing::info!(part = self.what, "works again");
        }
        self.backoff.reset();
        self.again = None;
    }

    pub fn failed(&mut self, now: Instant, why: &dyn Display) {
        let why = why.to_string();
        if self.why.as_ref() != Some(&why) {
            tracing::warn!(part = self.what, %why, "does not work yet; trying again");
        }
        self.why = Some(why);
        self.again = Some(now + self.backoff.pause());
    }

    /// It has ended, or is to be ended; it can be begun anew at once.
    pub fn take(&mut self) -> Option<T> {
        self.running.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_tried_ever_more_seldom_until_it_works() {
        let now = Instant::now();
        let mut part = Part::new("a part");
        assert!(part.is_due(now));
        part.failed(now, &"no");
        assert!(!part.is_due(now));
        assert_eq!(part.again(), Some(now + FIRST_RETRY));
        for _ in 0..40 {
            part.failed(now, &"no");
        }
        assert_eq!(part.again(), Some(now + LONGEST_RETRY));
        assert_eq!(part.why().as_deref(), Some("a part: no"));
        part.runs(());
        assert_eq!((part.again(), part.why()), (None, None));
        part.failed(now, &"no");
        assert_eq!(part.again(), Some(now + FIRST_RETRY));
    }
}
