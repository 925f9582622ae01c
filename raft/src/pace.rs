//! Lets openraft's clock tick only while somebody may have to stand for election.
//!
//! openraft asks at every tick, five times in a heartbeat, whether one is due or
//! an election is. While all is well neither is, and each of these questions
//! wakes an idle device. So a leader is told when to speak, and a follower is
//! left alone for as long as the leader that it heard last cannot be replaced.
//! In doubt the clock ticks, which is always right.
//!
//! A device whose processor was away for a while finds that its leader said
//! nothing, although the leader's words only wait to be read. So a follower
//! listens for some moments in which it does run before its clock ticks.

use std::{convert::Infallible, time::Duration};

use openraft::{ServerState, async_runtime::watch::WatchReceiver};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{engine::Engine, machine::StateMachine};

/// Runs for as long as the consensus does. `lease`: for how long a leader that
/// was heard is not replaced.
pub(crate) async fn run<S: StateMachine>(
    engine: &Engine<S>,
    heartbeat: Duration,
    lease: Duration,
) -> Infallible {
    let mut server = engine.raft.server_metrics();
    let mut listener = Listener::new(heartbeat, lease);
    loop {
        let (state, led) = {
            let server = server.borrow_watched();
            (server.state, server.current_leader.is_some())
        };
        let (ticks, look_again) = match state {
            ServerState::Leader => (false, None),
            ServerState::Follower | ServerState::Learner if led => {
                // Who was never heard has been silent for as long as can be.
                let silence = engine.silence().await.unwrap_or(Duration::MAX);
                match listener.look(silence) {
                    Next::Trust(time) => (false, Some(time)),
                    Next::Stand => (true, Some(heartbeat)),
                }
            }
            // While nobody leads here, only a change ends that.
            _ => (true, None),
        };
        engine.raft.runtime_config().tick(ticks);
        let changed = tokio::select! {
            changed = server.changed() => changed,
            never = speak(engine, heartbeat, lease), if state == ServerState::Leader => never,
            () = sleep(look_again.unwrap_or_default()), if look_again.is_some() => Ok(()),
        };
        if changed.is_err() {
            // The run has ended; whoever watches it sees why.
            std::future::pending::<Infallible>().await;
        }
    }
}

/// Tells the leader to speak to its followers, once in each `heartbeat`.
async fn speak<S: StateMachine, T>(engine: &Engine<S>, heartbeat: Duration, lease: Duration) -> T {
    let mut beat = interval(heartbeat);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut speaker = Speaker::default();
    loop {
        beat.tick().await;
        let answered = engine.silence().await.is_some_and(|time| time < lease);
        if speaker.speaks(answered) {
            // Fails only where the run has ended.
            let _ = engine.raft.trigger().heartbeat().await;
        }
    }
}

/// Decides whether a leader speaks.
///
/// One that a majority does not answer falls silent from time to time, so that
/// those who still hear it may elect another, or see that nobody leads. This is
/// counted in beats: a pause of the device is no beat.
#[derive(Debug, Default)]
struct Speaker {
    unanswered: u32,
}

/// For so many unanswered beats the leader speaks, and for as many it does not:
/// longer than an election takes.
const PHASE: u32 = 7;

impl Speaker {
    fn speaks(&mut self, answered: bool) -> bool {
        if answered {
            self.unanswered = 0;
            return true;
        }
        let speaks = self.unanswered < PHASE;
        self.unanswered = (self.unanswered + 1) % (2 * PHASE);
        speaks
    }
}

/// Decides when a follower has listened to its leader's silence for long enough.
#[derive(Debug)]
struct Listener {
    heartbeat: Duration,
    lease: Duration,
    /// Looks since the lease ran out, one moment after the other.
    looks: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// The leader keeps its place; look again after this time.
    Trust(Duration),
    /// Whether to stand for election is openraft's decision now.
    Stand,
}

/// Moments for which a follower listens after the lease. Together they are
/// shorter than the shortest wait of openraft after it, so that a leader that is
/// lost is replaced no later.
const MOMENTS: u32 = 5;

impl Listener {
    fn new(heartbeat: Duration, lease: Duration) -> Self {
        Self {
            heartbeat,
            lease,
            looks: 0,
        }
    }

    fn look(&mut self, silence: Duration) -> Next {
        match self.lease.saturating_sub(silence) {
            Duration::ZERO if self.looks == MOMENTS => Next::Stand,
            Duration::ZERO => {
                self.looks += 1;
                Next::Trust(self.heartbeat / 4)
            }
            left => {
                self.looks = 0;
                Next::Trust(left.max(self.heartbeat))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;

    const HEARTBEAT: Duration = Duration::from_millis(200);
    const LEASE: Duration = Duration::from_millis(450);

    fn millis(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_leader_that_speaks_is_looked_at_once_in_a_lease() {
        let mut listener = Listener::new(HEARTBEAT, LEASE);
        assert_eq!(listener.look(millis(0)), Next::Trust(LEASE));
        assert_eq!(listener.look(millis(50)), Next::Trust(millis(400)));
        assert_eq!(listener.look(millis(440)), Next::Trust(HEARTBEAT));
    }

    #[test]
    fn a_leader_without_answers_is_silent_half_of_the_time() {
        let mut speaker = Speaker::default();
        assert!((0..100).all(|_| speaker.speaks(true)));
        for _ in 0..3 {
            assert!((0..PHASE).all(|_| speaker.speaks(false)));
            assert!((0..PHASE).all(|_| !speaker.speaks(false)));
        }
        assert!(speaker.speaks(true));
        assert!((0..PHASE).all(|_| speaker.speaks(false)), "it begins anew");
        let latest = config().election.end;
        assert!(HEARTBEAT * PHASE > latest, "{latest:?}");
    }

    #[test]
    fn one_that_is_lost_is_found_before_openraft_may_stand() {
        let mut listener = Listener::new(HEARTBEAT, LEASE);
        let mut silence = millis(0);
        while let Next::Trust(time) = listener.look(silence) {
            silence += time;
        }
        assert_eq!(silence, millis(700));
        let openraft = config().to_openraft().unwrap();
        assert_eq!(LEASE, millis(openraft.election_timeout_max));
        let earliest = LEASE + millis(openraft.election_timeout_min);
        assert!(silence <= earliest, "{earliest:?}");
    }

    #[test]
    fn a_node_that_was_away_listens_first() {
        let mut listener = Listener::new(HEARTBEAT, LEASE);
        assert_eq!(listener.look(millis(0)), Next::Trust(LEASE));
        // Back after ten seconds; the leader's words are read a moment later.
        assert_eq!(listener.look(millis(10_000)), Next::Trust(millis(50)));
        assert_eq!(listener.look(millis(40)), Next::Trust(millis(410)));
        for _ in 0..MOMENTS {
            let next = listener.look(millis(20_000));
            assert_eq!(next, Next::Trust(millis(50)), "the count began anew");
        }
        assert_eq!(listener.look(millis(20_250)), Next::Stand);
        assert_eq!(listener.look(millis(20_300)), Next::Stand);
    }
}
