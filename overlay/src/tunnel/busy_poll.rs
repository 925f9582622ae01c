//! How long to look again and again for the next packet before sleeping.
//!
//! A processor that sleeps takes tens of microseconds to be woken, more than all
//! that is done for a packet, and a small question and its answer wait for that
//! six times. So where the last waits were short the next one is begun awake, as
//! kernels do it for whole processors (`haltpoll`). Where they were long, or others
//! need the processor, nothing is spent. What others have of it in a stream is not counted:
//! they need it for what the stream brings them.

use std::time::Duration;

/// Never awake for longer than this: about what a peer needs for its answer.
const LONGEST: Duration = Duration::from_micros(150);
const SHORTEST: Duration = Duration::from_micros(10);
/// Whoever takes the processor for longer than this computes, and does not only
/// answer a packet.
const ANSWERED: Duration = Duration::from_micros(100);
/// Others may have the processor for one part in so many of the time before every wait
/// is slept through. Whoever has it delays one packet, and a rest delays all of them.
const SHARE: u32 = 25;
/// And for this much at once.
const BURST: Duration = Duration::from_millis(3);
/// More is forgotten, so that who computed for a while costs little when it has ended.
const MOST: Duration = Duration::from_millis(6);
/// Who carries this much between two waits carries a stream.
const BULK: usize = 8 << 10;
/// A stream is taken to go on for this long. Others who have the processor meanwhile need
/// it for what was brought to them.
const STREAMING: Duration = Duration::from_millis(1);
/// A stream's next packets come soon, or after that.
const STREAM_WINDOW: Duration = Duration::from_micros(60);

/// Begins as one that sleeps at once.
#[derive(Debug, Default)]
pub struct BusyPoll {
    window: Duration,
    /// For how long others had the processor, less their share since.
    debt: Duration,
    /// When that was so.
    counted: Duration,
    /// Until when there is a stream.
    streams_until: Duration,
}

impl BusyPoll {
    /// How long the next wait may be awake.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// A wait, awake or asleep, took `time` and ended `now` (since the beginning).
    /// While it was awake, another thread had this processor for up to `displaced` at
    /// a time: who is only ready to run is not preferred to that thread, as one that
    /// is woken is.
    pub fn waited(&mut self, now: Duration, time: Duration, displaced: Duration) {
        let share = now.saturating_sub(self.counted) / SHARE;
        self.counted = now;
        self.debt = self.debt.saturating_sub(share);
        let is_stream = now < self.streams_until;
        if displaced > ANSWERED && !is_stream {
            self.debt = (self.debt + displaced).min(MOST);
        }
        if self.debt > BURST {
            self.window = Duration::ZERO;
        } else if is_stream {
            self.window = STREAM_WINDOW;
        } else if time > LONGEST {
            self.window /= 2;
            if self.window < SHORTEST {
                self.window = Duration::ZERO;
            }
        } else if time > self.window {
            self.window = (self.window * 2).clamp(SHORTEST, LONGEST);
        }
    }

    /// So many bytes were carried until `now`, since the last wait.
    pub fn carried(&mut self, now: Duration, bytes: usize) {
        if bytes >= BULK {
            self.streams_until = now + STREAMING;
            if self.debt <= BURST {
                self.window = STREAM_WINDOW;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Duration = Duration::ZERO;

    fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    /// A thread that waits again and again, and its clock.
    #[derive(Default)]
    struct Waiter {
        poll: BusyPoll,
        now: Duration,
    }

    impl Waiter {
        /// After waits of 70 µs.
        fn awake() -> Self {
            let mut waiter = Self::default();
            for _ in 0..10 {
                waiter.wait(micros(70), ALONE);
            }
            waiter
        }

        fn wait(&mut self, time: Duration, displaced: Duration) {
            self.now += time;
            self.poll.waited(self.now, time, displaced);
        }

        fn window(&self) -> Duration {
            self.poll.window()
        }

        /// For how long short waits are slept through.
        fn rest(&mut self) -> Duration {
            let since = self.now;
            while self.window().is_zero() {
                self.wait(micros(100), ALONE);
            }
            self.now - since
        }
    }

    #[test]
    fn short_waits_are_awake_for_long_enough() {
        assert_eq!(Waiter::default().window(), Duration::ZERO);
        assert_eq!(Waiter::awake().window(), micros(80));
    }

    #[test]
    fn no_wait_is_awake_for_longer_than_an_answer_takes() {
        let mut waiter = Waiter::default();
        for _ in 0..100 {
            waiter.wait(LONGEST, ALONE);
        }
        assert_eq!(waiter.window(), LONGEST);
    }

    #[test]
    fn a_single_pause_does_not_end_it_and_rare_packets_do() {
        let mut waiter = Waiter::awake();
        waiter.wait(micros(5_000), ALONE);
        assert_eq!(waiter.window(), micros(40));
        for _ in 0..2 {
            waiter.wait(micros(5_000), ALONE);
        }
        assert_eq!(waiter.window(), micros(10));
        waiter.wait(micros(5_000), ALONE);
        assert_eq!(waiter.window(), Duration::ZERO);
    }

    #[test]
    fn whoever_computes_gets_the_processor_for_a_while() {
        for displaced in [BURST + micros(700), MOST, MOST * 10] {
            let mut waiter = Waiter::awake();
            waiter.wait(displaced + micros(10), displaced);
            let rest = (displaced.min(MOST) - BURST) * SHARE;
            assert!(waiter.rest().abs_diff(rest) <= micros(100));
        }
    }

    #[test]
    fn whoever_needs_the_processor_for_a_moment_now_and_then_does_not_end_it() {
        let mut waiter = Waiter::awake();
        for _ in 0..1_000 {
            waiter.wait(micros(270), micros(200));
            for _ in 0..60 {
                waiter.wait(micros(100), ALONE);
            }
            assert!(!waiter.window().is_zero());
        }
    }

    #[test]
    fn whoever_needs_it_often_ends_it() {
        let mut waiter = Waiter::awake();
        let mut rested = micros(0);
        let began = waiter.now;
        for _ in 0..1_000 {
            waiter.wait(micros(270), micros(200));
            rested += waiter.rest();
        }
        let all = waiter.now - began;
        assert!(rested > all * 9 / 10, "{rested:?} of {all:?}");
    }

    #[test]
    fn a_stream_is_waited_for_awake_whatever_its_ends_need() {
        let mut waiter = Waiter::default();
        for _ in 0..100 {
            waiter.poll.carried(waiter.now, BULK);
            assert_eq!(waiter.window(), STREAM_WINDOW);
            waiter.wait(micros(900), micros(900));
        }
    }

    #[test]
    fn whoever_computes_ends_it_in_a_stream_as_well() {
        let mut waiter = Waiter::default();
        for _ in 0..2 {
            waiter.poll.carried(waiter.now, BULK);
            waiter.wait(micros(1_500), micros(1_500));
        }
        assert!(!waiter.window().is_zero());
        waiter.poll.carried(waiter.now, BULK);
        waiter.wait(micros(1_500), micros(1_500));
        for _ in 0..10 {
            assert_eq!(waiter.window(), Duration::ZERO);
            waiter.poll.carried(waiter.now, BULK);
            waiter.wait(micros(70), ALONE);
        }
    }

    #[test]
    fn a_stream_that_ends_is_soon_not_waited_for() {
        let mut waiter = Waiter::default();
        waiter.poll.carried(waiter.now, BULK);
        for _ in 0..3 {
            waiter.wait(micros(5_000), ALONE);
        }
        assert_eq!(waiter.window(), Duration::ZERO);
    }

    #[test]
    fn a_question_is_no_stream() {
        let mut waiter = Waiter::awake();
        waiter.poll.carried(waiter.now, 1_400);
        assert_eq!(waiter.window(), micros(80));
    }

    #[test]
    fn who_only_answers_a_packet_does_not_end_it() {
        let mut waiter = Waiter::awake();
        waiter.wait(micros(70), micros(30));
        assert_eq!(waiter.window(), micros(80));
    }
}
