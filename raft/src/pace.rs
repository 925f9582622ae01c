//! Lets openraft's clock tick only while somebody may have to stand for election.
//!
//! openraft asks at every tick, five times in a heartbeat, whether one is due or
//! an election is. While all is well neither is, and each of these questions
//! wakes an idle device. So a leader is told when to speak, and a follower is
//! left alone for as long as the leader that it heard last cannot be replaced.
//! In doubt the clock ticks, which is always right.

use std::{convert::Infallible, time::Duration};

use openraft::{Instant, ServerState, async_runtime::watch::WatchReceiver};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{engine::Openraft, machine::StateMachine};

/// Runs for as long as the consensus does. `lease`: for how long a leader that
/// was heard is not replaced.
pub(crate) async fn run<S: StateMachine>(
    raft: &Openraft<S>,
    heartbeat: Duration,
    lease: Duration,
) -> Infallible {
    let mut server = raft.server_metrics();
    loop {
        let (state, led) = {
            let server = server.borrow_watched();
            (server.state, server.current_leader.is_some())
        };
        let left = match state {
            ServerState::Leader => Some(Duration::MAX),
            ServerState::Follower | ServerState::Learner if led => Some(held(raft, lease).await),
            _ => None,
        };
        raft.runtime_config()
            .tick(left.is_none_or(|left| left.is_zero()));
        let changed = tokio::select! {
            changed = server.changed() => changed,
            never = speak(raft, heartbeat), if state == ServerState::Leader => never,
            // While nobody leads here, only a change ends that.
            () = sleep(left.unwrap_or_default().max(heartbeat)), if left.is_some() => Ok(()),
        };
        if changed.is_err() {
            // The run has ended; whoever watches it sees why.
            std::future::pending::<Infallible>().await;
        }
    }
}

/// For how long the leader that this node follows keeps its place, if it says
/// nothing more. Zero where it was never heard.
async fn held<S: StateMachine>(raft: &Openraft<S>, lease: Duration) -> Duration {
    let heard = raft.with_raft_state(|state| state.vote_last_modified());
    let heard = heard.await.ok().flatten();
    heard.map_or(Duration::ZERO, |at| lease.saturating_sub(at.elapsed()))
}

/// Tells the leader to speak to its followers, once in each `heartbeat`.
async fn speak<S: StateMachine, T>(raft: &Openraft<S>, heartbeat: Duration) -> T {
    let mut beat = interval(heartbeat);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        // Fails only where the run has ended.
        let _ = raft.trigger().heartbeat().await;
    }
}
