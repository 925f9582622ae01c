//! Keeps the consensus running, and says how it is.
//!
//! A run that a disk error ended is begun again once the disk can be written.
//! Between runs this node answers nobody, so the others elect a leader.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use openraft::{RaftMetrics, ServerState, async_runtime::watch::WatchReceiver};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    engine::{Engine, Parts, probe},
    machine::StateMachine,
    pace,
    status::Status,
    types::{Id, LogId, Types},
};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A snapshot that has not come after this time is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// More files than this are joined by a snapshot.
const MANY_SEGMENTS: usize = 32;

/// The present run, if there is one.
pub(crate) type Current<S> = RwLock<Option<Arc<Engine<S>>>>;

pub(crate) fn current<S: StateMachine>(slot: &Current<S>) -> Option<Arc<Engine<S>>> {
    slot.read().unwrap_or_else(PoisonError::into_inner).clone()
}

fn set<S: StateMachine>(slot: &Current<S>, engine: Option<Arc<Engine<S>>>) {
    *slot.write().unwrap_or_else(PoisonError::into_inner) = engine;
}

pub(crate) struct Supervisor<S: StateMachine> {
    pub parts: Arc<Parts<S>>,
    pub current: Arc<Current<S>>,
    pub status: watch::Sender<Status>,
    pub stop: CancellationToken,
}

impl<S: StateMachine> Supervisor<S> {
    /// Runs until it is told to stop, and has then ended the present run.
    pub async fn run(self) {
        let mut pause = FIRST_PAUSE;
        while let Some(engine) = current(&self.current) {
            let begun = Instant::now();
            let config = &self.parts.config;
            let failure = tokio::select! {
                failure = self.watch(&engine) => Some(failure),
                never = pace::run(&engine, config.heartbeat, config.lease()) => match never {},
                () = self.stop.cancelled() => None,
            };
            set(&self.current, None);
            self.publish(Status::stopped(failure));
            engine.stop().await;
            drop(engine);
            if begun.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            let next = tokio::select! {
                next = self.restart(&mut pause) => next,
                () = self.stop.cancelled() => return,
            };
            set(&self.current, Some(Arc::new(next)));
        }
    }

    /// Publishes what changes, until the run fails.
    async fn watch(&self, engine: &Engine<S>) -> String {
        let config = &self.parts.config;
        let mut metrics = engine.raft.metrics();
        let mut compaction = Compaction::default();
        let mut silent = false;
        let mut look_at = Instant::now();
        let mut seen = None;
        loop {
            if let Some(failure) = engine.failure() {
                return failure;
            }
            // Who was heard when changes all the time, and is told to nobody. To ask
            // for it is a change itself, so it is not asked at every change.
            let now = Seen::of(&metrics.borrow_watched());
            let changed = seen.as_ref() != Some(&now);
            let due = Instant::now() >= look_at;
            if due || (silent && changed) {
                silent = self.stays_silent(engine, silent).await;
                let pause = if silent {
                    config.heartbeat
                } else {
                    config.election.end / 2
                };
                look_at = Instant::now() + pause;
            }
            if due || changed {
                let status = Status::of(&engine.metrics(), silent);
                let addrs = status.members.iter().map(|(id, m)| (*id, m.addr));
                self.parts.peers.set_addrs(addrs.collect());
                self.publish(status);
                compaction.look(&self.parts, engine).await;
                seen = Some(now);
            }
            tokio::select! {
                changed = metrics.changed() => if changed.is_err() {
                    let ended = || "the consensus ended".to_owned();
                    return engine.failure().unwrap_or_else(ended);
                },
                () = sleep_until(look_at) => {}
            }
        }
    }

    /// `before`: what was found at the last look.
    async fn stays_silent(&self, engine: &Engine<S>, before: bool) -> bool {
        let silent = engine.is_silent().await;
        if before || !silent {
            return silent;
        }
        // After a pause of this device the others' words may have to be read yet,
        // and the next ones said.
        sleep(self.parts.config.heartbeat).await;
        engine.is_silent().await
    }

    fn publish(&self, status: Status) {
        self.status.send_if_modified(|old| {
            let changed = *old != status;
            *old = status;
            changed
        });
    }

    /// Tries to begin the next run until it can.
    async fn restart(&self, pause: &mut Duration) -> Engine<S> {
        loop {
            sleep(*pause).await;
            *pause = (*pause * 2).min(LONGEST_PAUSE);
            let parts = Arc::clone(&self.parts);
            let probed = tokio::task::spawn_blocking(move || probe(&parts)).await;
            let problem = match probed {
                Ok(Ok(())) => match Engine::start(&self.parts).await {
                    Ok(engine) => {
                        tracing::info!("the disk can be written again");
                        return engine;
                    }
                    Err(error) => error.to_string(),
                },
                Ok(Err(error)) => {
                    let dir = self.parts.config.dir.display();
                    format!("cannot write in {dir}: {error}")
                }
                Err(error) => error.to_string(),
            };
            self.publish(Status::stopped(Some(problem)));
        }
    }
}

/// What a [`Status`] is made of, and cheaper to compare.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    state: ServerState,
    leader: Option<Id>,
    term: u64,
    applied: Option<LogId>,
    members: Option<LogId>,
}

impl Seen {
    fn of(metrics: &RaftMetrics<Types>) -> Self {
        Self {
            state: metrics.state,
            leader: metrics.current_leader,
            term: metrics.current_term,
            applied: metrics.last_applied,
            members: *metrics.membership_config.log_id(),
        }
    }
}

/// Makes snapshots by size; openraft makes them by number of entries.
#[derive(Debug, Default)]
struct Compaction {
    /// Bytes that had ever been appended when the last snapshot was asked for.
    covered: usize,
    asked: Option<Asked>,
    many_segments_done: bool,
}

/// A snapshot that was asked for. openraft drops the wish if it is making one.
#[derive(Debug)]
struct Asked {
    at: Instant,
    appended: usize,
    before: Option<LogId>,
}

impl Compaction {
    async fn look<S: StateMachine>(&mut self, parts: &Parts<S>, engine: &Engine<S>) {
        let size = engine.log.size();
        let limit = parts.config.snapshot_after_bytes;
        let metrics = engine.metrics();
        if let Some(asked) = &self.asked {
            if metrics.snapshot > asked.before {
                self.covered = asked.appended;
                self.many_segments_done = true;
                self.asked = None;
            } else if asked.at.elapsed() > ASK_AGAIN {
                self.asked = None;
            }
        }
        let many_segments = size.segments_at_start > MANY_SEGMENTS && !self.many_segments_done;
        let due = size.appended - self.covered > limit || many_segments;
        if due && self.asked.is_none() && metrics.last_applied > metrics.snapshot {
            self.asked = Some(Asked {
                at: Instant::now(),
                appended: size.appended,
                before: metrics.snapshot,
            });
            // A run that has ended is noticed by the caller.
            let _ = engine.raft.trigger().snapshot().await;
        }
        if size.bytes > 2 * limit
            && let Some(snapshot) = metrics.snapshot
            && metrics.purged.is_none_or(|purged| purged < snapshot)
        {
            let _ = engine.raft.trigger().purge_log(snapshot.index).await;
        }
    }
}
