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
/// Short waits that are slept through after that: about a second's, so that a thread
/// that computes all the time costs its time slice once in a second.
const REST: u32 = 20_000;

/// Begins as one that sleeps at once.
#[derive(Debug, Default)]
pub struct BusyPoll {
    window: Duration,
    /// Short waits that are still to be slept through.
    rest: u32,
}

impl BusyPoll {
    /// How long the next wait may be awake.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// A wait, awake or asleep, took `time`. While it was awake, another thread had
    /// this processor for up to `displaced` at a time: who is only ready to run is
    /// not preferred to that thread, as one that is woken is.
    pub fn waited(&mut self, time: Duration, displaced: Duration) {
        if displaced > ANSWERED {
            self.window = Duration::ZERO;
            self.rest = REST;
        } else if time > LONGEST {
            self.window /= 2;
            if self.window < SHORTEST {
                self.window = Duration::ZERO;
            }
        } else if self.rest > 0 {
            self.rest -= 1;
        } else if time > self.window {
            self.window = (self.window * 2).clamp(SHORTEST, LONGEST);
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

    /// After waits of 70 µs.
    fn awake() -> BusyPoll {
        let mut poll = BusyPoll::default();
        for _ in 0..10 {
            poll.waited(micros(70), ALONE);
        }
        poll
    }

    #[test]
    fn short_waits_are_awake_for_long_enough() {
        assert_eq!(BusyPoll::default().window(), Duration::ZERO);
        assert_eq!(awake().window(), micros(80));
    }

    #[test]
    fn no_wait_is_awake_for_longer_than_an_answer_takes() {
        let mut poll = BusyPoll::default();
        for _ in 0..100 {
            poll.waited(LONGEST, ALONE);
        }
        assert_eq!(poll.window(), LONGEST);
    }

    #[test]
    fn a_single_pause_does_not_end_it_and_rare_packets_do() {
        let mut poll = awake();
        poll.waited(micros(5_000), ALONE);
        assert_eq!(poll.window(), micros(40));
        for _ in 0..2 {
            poll.waited(micros(5_000), ALONE);
        }
        assert_eq!(poll.window(), micros(10));
        poll.waited(micros(5_000), ALONE);
        assert_eq!(poll.window(), Duration::ZERO);
    }

    #[test]
    fn whoever_computes_gets_the_processor_for_a_while() {
        let mut poll = awake();
        poll.waited(micros(120), micros(110));
        for _ in 0..REST {
            assert_eq!(poll.window(), Duration::ZERO);
            poll.waited(micros(70), ALONE);
        }
        poll.waited(micros(70), ALONE);
        assert_eq!(poll.window(), SHORTEST);
    }

    #[test]
    fn who_only_answers_a_packet_does_not_end_it() {
        let mut poll = awake();
        poll.waited(micros(70), micros(30));
        assert_eq!(poll.window(), micros(80));
    }
}
