//! How long to look again and again for the next packet before sleeping.
//!
//! A processor that sleeps takes tens of microseconds to be woken, more than all
//! that is done for a packet, and a small question and its answer wait for that
//! six times. So where the last waits were short the next one is begun awake, as
//! kernels do it for whole processors (`haltpoll`). Where they were long, or others
//! need the processor, nothing is spent.

use std::time::Duration;

/// Never awake for longer than this: about what a peer needs for its answer.
const LONGEST: Duration = Duration::from_micros(150);
const SHORTEST: Duration = Duration::from_micros(10);
/// Whoever takes the processor for longer than this computes, and does not only
/// answer a packet.
const ANSWERED: Duration = Duration::from_micros(100);
/// For so long every wait is slept through after that, at first.
const SHORTEST_REST: Duration = Duration::from_millis(20);
/// And where it happens again and again, so that a thread that computes all the time
/// delays less than one packet in a hundred by its time slice.
const LONGEST_REST: Duration = Duration::from_millis(300);

/// Who carries this much between two waits carries a stream, which waits for nobody:
/// where it is not to be sent yet, others need the processor for it.
const BULK: usize = 8 << 10;
/// For so long every wait is slept through after that.
const BULK_REST: Duration = Duration::from_millis(1);

/// Begins as one that sleeps at once.
#[derive(Debug)]
pub struct BusyPoll {
    window: Duration,
    rests_until: Duration,
    /// How long the next rest will be. Doubled by each, and shortened by the waits
    /// that were left alone: one disturbance, or a host that takes the processor away
    /// now and then, costs little.
    next_rest: Duration,
}

impl Default for BusyPoll {
    fn default() -> Self {
        Self {
            window: Duration::ZERO,
            rests_until: Duration::ZERO,
            next_rest: SHORTEST_REST,
        }
    }
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
        if displaced > ANSWERED {
            self.window = Duration::ZERO;
            self.rests_until = now + self.next_rest;
            self.next_rest = (self.next_rest * 2).min(LONGEST_REST);
        } else if time > LONGEST {
            self.window /= 2;
            if self.window < SHORTEST {
                self.window = Duration::ZERO;
            }
        } else if now >= self.rests_until {
            self.next_rest = self.next_rest.saturating_sub(time).max(SHORTEST_REST);
            if time > self.window {
                self.window = (self.window * 2).clamp(SHORTEST, LONGEST);
            }
        }
    }

    /// So many bytes were carried until `now`, since the last wait.
    pub fn carried(&mut self, now: Duration, bytes: usize) {
        if bytes >= BULK {
            self.window = Duration::ZERO;
            self.rests_until = self.rests_until.max(now + BULK_REST);
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

        /// Another thread takes the processor; returns for how long short waits are
        /// slept through after that.
        fn rest_after_a_displacement(&mut self) -> Duration {
            self.wait(micros(120), micros(110));
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
    fn whoever_takes_the_processor_once_gets_it_for_a_moment() {
        let rest = Waiter::awake().rest_after_a_displacement();
        assert_eq!(rest, SHORTEST_REST);
    }

    #[test]
    fn whoever_computes_all_the_time_is_disturbed_three_times_in_a_second() {
        let mut waiter = Waiter::awake();
        let rests: Vec<Duration> = (0..8).map(|_| waiter.rest_after_a_displacement()).collect();
        assert!(rests.is_sorted(), "{rests:?}");
        for rest in &rests[6..] {
            assert!(rest.abs_diff(LONGEST_REST) < micros(500), "{rests:?}");
        }
    }

    #[test]
    fn what_was_learnt_is_forgotten_in_the_time_that_does_not_confirm_it() {
        let mut waiter = Waiter::awake();
        for _ in 0..8 {
            waiter.rest_after_a_displacement();
        }
        let before = waiter.now;
        while waiter.now - before < LONGEST_REST / 2 {
            waiter.wait(micros(100), ALONE);
        }
        let rest = waiter.rest_after_a_displacement();
        assert!(rest.abs_diff(LONGEST_REST / 2) < micros(500), "{rest:?}");
    }

    #[test]
    fn a_stream_is_not_waited_for() {
        let mut waiter = Waiter::awake();
        for _ in 0..100 {
            waiter.wait(micros(70), ALONE);
            waiter.poll.carried(waiter.now, BULK);
            assert_eq!(waiter.window(), Duration::ZERO);
        }
        let since = waiter.now;
        while waiter.window().is_zero() {
            waiter.wait(micros(100), ALONE);
        }
        assert_eq!(waiter.now - since, BULK_REST);
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
