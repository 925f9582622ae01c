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
/// For so many times as long every wait is slept through after that: who computes all
/// the time delays fewer than one packet in a hundred by its time slice, and who needed
/// the processor for a moment costs little.
const REST: u32 = 20;
/// Who carries this much between two waits carries a stream, which waits for nobody:
/// where it is not to be sent yet, others need the processor for it.
const BULK: usize = 8 << 10;
/// For so long every wait is slept through after that.
const BULK_REST: Duration = Duration::from_millis(1);

/// Begins as one that sleeps at once.
#[derive(Debug, Default)]
pub struct BusyPoll {
    window: Duration,
    rests_until: Duration,
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
            self.rests_until = now + displaced * REST;
        } else if time > LONGEST {
            self.window /= 2;
            if self.window < SHORTEST {
                self.window = Duration::ZERO;
            }
        } else if now >= self.rests_until && time > self.window {
            self.window = (self.window * 2).clamp(SHORTEST, LONGEST);
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
        for displaced in [micros(150), micros(4_000)] {
            let mut waiter = Waiter::awake();
            waiter.wait(displaced + micros(10), displaced);
            let since = waiter.now;
            while waiter.window().is_zero() {
                waiter.wait(micros(100), ALONE);
            }
            assert_eq!(waiter.now - since, displaced * REST);
        }
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
