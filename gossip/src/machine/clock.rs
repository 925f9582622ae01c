//! How long this process has really been running, and how far it can be trusted.
//!
//! A process that was stopped, or starved of CPU, has not heard its peers for a
//! while, and that says nothing about them. So silence is measured in *run time*:
//! when a tick comes late, most of the step that it ends does not count. And a
//! node that was late, or that finds its verdicts refuted, doubts itself first and
//! waits longer before it doubts others (local health: Lifeguard, DSN-W '18).

use std::time::Duration;

use crate::view::Moment;

/// A tick that comes later than this was held up.
const LATE: Duration = Duration::from_millis(100);
/// What a step that was held up counts for.
const HELD_UP: Duration = Duration::from_millis(100);
/// Silence is waited for so many times longer, at worst.
const WORST: u32 = 4;
/// Run time between two steps of doubt.
const RAISE_AT_MOST: Duration = Duration::from_millis(500);
/// Run time without trouble after which one step of doubt is dropped.
const CALM: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Clock {
    now: Moment,
    run: Moment,
    wanted: Moment,
    doubt: u32,
    raised: Moment,
    troubled: Moment,
}

impl Clock {
    /// `wanted`: when the first step should end at the latest.
    pub fn new(now: Moment, wanted: Moment) -> Self {
        Self {
            now,
            run: Moment::ZERO,
            wanted,
            doubt: 1,
            raised: Moment::ZERO,
            troubled: Moment::ZERO,
        }
    }

    pub fn now(&self) -> Moment {
        self.now
    }

    /// How long this process has been running, as far as it can tell.
    pub fn run(&self) -> Moment {
        self.run
    }

    /// A step ends now. A time before the last one is taken for the last one.
    pub fn advance(&mut self, now: Moment) {
        let step = now.saturating_sub(self.now);
        self.now = self.now.max(now);
        if now > self.wanted + LATE {
            self.run += step.min(HELD_UP);
            self.trouble();
            // The rest of what waited is handled at the same time.
            self.wanted = now;
        } else {
            self.run += step;
        }
        if self.doubt > 1 && self.run >= self.troubled + CALM {
            self.doubt -= 1;
            self.troubled = self.run;
        }
    }

    /// When the next step should end at the latest.
    pub fn expect(&mut self, wanted: Moment) {
        self.wanted = wanted.max(self.now);
    }

    /// This node itself may be what is wrong.
    pub fn trouble(&mut self) {
        if self.run >= self.raised + RAISE_AT_MOST || self.doubt == 1 {
            self.doubt = (self.doubt + 1).min(WORST);
            self.raised = self.run;
        }
        self.troubled = self.run;
    }

    /// A limit on silence, as this node's health allows.
    pub fn stretched(&self, limit: Duration) -> Duration {
        limit * self.doubt
    }

    /// When run time was `run`, about.
    pub fn was(&self, run: Moment) -> Moment {
        self.now.saturating_sub(self.run.saturating_sub(run))
    }

    /// When run time will be `run`, if nothing holds this process up.
    pub fn when(&self, run: Moment) -> Moment {
        self.now + run.saturating_sub(self.run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    #[test]
    fn time_runs_while_ticks_are_on_time() {
        let mut clock = Clock::new(ms(0), ms(0));
        for tick in 1..=8 {
            clock.expect(ms(tick * 250));
            clock.advance(ms(tick * 250 + 20));
        }
        assert_eq!(clock.run(), ms(2_020));
        assert_eq!(clock.stretched(ms(700)), ms(700));
    }

    #[test]
    fn a_pause_hardly_counts_and_makes_doubtful() {
        let mut clock = Clock::new(ms(0), ms(0));
        clock.expect(ms(250));
        clock.advance(ms(60_000));
        assert_eq!(clock.run(), HELD_UP);
        assert_eq!(clock.stretched(ms(700)), ms(1_400));
    }

    #[test]
    fn doubt_has_an_end_both_ways() {
        let mut clock = Clock::new(ms(0), ms(0));
        let mut now = 0;
        for _ in 0..100 {
            now += 700;
            clock.expect(ms(now - 600));
            clock.advance(ms(now));
        }
        assert_eq!(clock.stretched(ms(1)), ms(4));
        for _ in 0..100 {
            now += 250;
            clock.expect(ms(now));
            clock.advance(ms(now));
        }
        assert_eq!(clock.stretched(ms(1)), ms(1));
    }

    #[test]
    fn a_clock_that_goes_back_does_no_harm() {
        let mut clock = Clock::new(ms(500), ms(500));
        clock.advance(ms(100));
        assert_eq!((clock.now(), clock.run()), (ms(500), ms(0)));
    }
}
