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
/// Short waits that are slept through after that, at first: some 20 ms.
const SHORTEST_REST: u32 = 200;
/// And where it happens again and again: about a second's, so that a thread that
/// computes all the time costs its time slice once in a second.
const LONGEST_REST: u32 = 20_000;

/// Begins as one that sleeps at once.
#[derive(Debug)]
pub struct BusyPoll {
    window: Duration,
    /// Short waits that are still to be slept through.
    rest: u32,
    /// How many it will be the next time. Doubled by each time, and reduced by each
    /// short wait that was left alone: one disturbance, or a host that takes the
    /// processor away now and then, costs little.
    next_rest: u32,
}

impl Default for BusyPoll {
    fn default() -> Self {
        Self {
            window: Duration::ZERO,
            rest: 0,
            next_rest: SHORTEST_REST,
        }
    }
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
            self.rest = self.next_rest;
            self.next_rest = (self.next_rest * 2).min(LONGEST_REST);
        } else if time > LONGEST {
            self.window /= 2;
            if self.window < SHORTEST {
                self.window = Duration::ZERO;
            }
        } else if self.rest > 0 {
            self.rest -= 1;
        } else {
            self.next_rest = (self.next_rest - 1).max(SHORTEST_REST);
            if time > self.window {
                self.window = (self.window * 2).clamp(SHORTEST, LONGEST);
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

    /// Another thread takes the processor; returns how many short waits are slept
    /// through after that.
    fn rest_after_a_displacement(poll: &mut BusyPoll) -> u32 {
        poll.waited(micros(120), micros(110));
        let mut rest = 0;
        while poll.window().is_zero() {
            poll.waited(micros(70), ALONE);
            rest += 1;
        }
        // The wait that began the next window was not one of them, and was left alone.
        rest - 1
    }

    #[test]
    fn whoever_takes_the_processor_once_gets_it_for_a_moment() {
        assert_eq!(rest_after_a_displacement(&mut awake()), SHORTEST_REST);
    }

    #[test]
    fn whoever_computes_all_the_time_gets_the_processor_for_a_second() {
        let mut poll = awake();
        let rests: Vec<u32> = (0..9)
            .map(|_| rest_after_a_displacement(&mut poll))
            .collect();
        assert!(rests.is_sorted(), "{rests:?}");
        assert_eq!(rests[7..], [LONGEST_REST - 1; 2]);
    }

    #[test]
    fn what_was_learnt_is_forgotten_as_slowly_as_it_is_not_confirmed() {
        let mut poll = awake();
        for _ in 0..9 {
            rest_after_a_displacement(&mut poll);
        }
        for _ in 0..LONGEST_REST / 2 {
            poll.waited(micros(70), ALONE);
        }
        let rest = rest_after_a_displacement(&mut poll);
        assert_eq!(rest, LONGEST_REST / 2 - 1);
        for _ in 0..LONGEST_REST {
            poll.waited(micros(70), ALONE);
        }
        assert_eq!(rest_after_a_displacement(&mut poll), SHORTEST_REST);
    }

    #[test]
    fn who_only_answers_a_packet_does_not_end_it() {
        let mut poll = awake();
        poll.waited(micros(70), micros(30));
        assert_eq!(poll.window(), micros(80));
    }
}
