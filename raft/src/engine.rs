//! One run of the consensus: openraft over an open log.
//!
//! A disk error ends a run for good, since openraft cannot know what was
//! written. The next run begins with what the disk then holds; the state
//! machine stays in memory and continues where it was.

use std::{
    io,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use openraft::{Instant, RaftMetrics, async_runtime::watch::WatchReceiver};

use crate::{
    config::Config,
    error::OpenError,
    log::{LogStore, SEGMENT_BYTES, Settings, disk::Disk},
    machine::{Machine, Shared, StateMachine},
    net::{Network, Peers},
    snapshot::Snapshots,
    types::{Id, Types},
};

pub(crate) type Openraft<S> = openraft::Raft<Types, Machine<S>>;

/// What every run is made from.
#[derive(Debug)]
pub(crate) struct Parts<S> {
    pub config: Config,
    pub shared: Arc<Shared<S>>,
    pub snapshots: Snapshots,
    pub peers: Arc<Peers>,
    pub disk: Arc<dyn Disk>,
}

/// A running consensus.
pub(crate) struct Engine<S: StateMachine> {
    pub raft: Openraft<S>,
    pub log: LogStore,
    /// After this much silence nobody is said to lead.
    longest_silence: Duration,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl<S: StateMachine> Engine<S> {
    pub async fn start(parts: &Parts<S>) -> Result<Self, OpenError> {
        let openraft_config = parts.config.to_openraft()?;
        let (log, writer) = open_log(parts).await?;
        let network = Network {
            peers: Arc::clone(&parts.peers),
            snapshots: parts.snapshots.clone(),
        };
        let machine = Machine::new(Arc::clone(&parts.shared), parts.snapshots.clone());
        let id = Id(parts.config.me.id);
        let raft = Openraft::new(id, openraft_config, network, log.clone(), machine).await;
        match raft {
            Ok(raft) => Ok(Self {
                raft,
                log,
                longest_silence: parts.config.election.end,
                writer: Mutex::new(Some(writer)),
            }),
            Err(error) => {
                close_log(&log, writer).await;
                Err(OpenError::Start(error.to_string()))
            }
        }
    }

    /// Ends the run and waits until all that was accepted is written.
    pub async fn stop(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "the consensus did not end as it should");
        }
        self.log.close().await;
        let writer = self.writer.lock().ok().and_then(|mut w| w.take());
        if let Some(writer) = writer {
            join(writer).await;
        }
    }

    pub fn metrics(&self) -> RaftMetrics<Types> {
        self.raft.metrics().borrow_watched().clone()
    }

    /// How long ago the leader was heard here or, on the leader, a majority.
    /// Zero where nobody needs to be heard, `None` where nobody was yet.
    pub async fn silence(&self) -> Option<Duration> {
        if self.raft.is_leader() {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            if metrics.membership_config.voter_ids().count() == 1 {
                return Some(Duration::ZERO);
            }
            if let Some(acked) = metrics.last_quorum_acked {
                return Some(acked.elapsed());
            }
        }
        let heard = self
            .raft
            .with_raft_state(|state| state.vote_last_modified());
        Some(heard.await.ok().flatten()?.elapsed())
    }

    /// Whether the leader or, on the leader, a majority was not heard for longer than
    /// an election takes.
    pub async fn is_silent(&self) -> bool {
        self.silence().await > Some(self.longest_silence)
    }

    /// Why the run has ended by itself, if it has.
    pub fn failure(&self) -> Option<String> {
        let state = self.raft.metrics().borrow_watched().running_state.clone();
        let error = state.err()?;
        Some(self.log.fault().unwrap_or_else(|| error.to_string()))
    }
}

pub(crate) async fn open_log<S>(parts: &Parts<S>) -> Result<(LogStore, JoinHandle<()>), OpenError> {
    let settings = Settings {
        dir: parts.config.dir.clone(),
        cluster: parts.config.cluster,
        node: parts.config.me.id,
        key: parts.config.data_key.clone(),
        disk: Arc::clone(&parts.disk),
        segment_bytes: SEGMENT_BYTES,
    };
    tokio::task::spawn_blocking(move || LogStore::open(&settings))
        .await
        .map_err(|error| OpenError::Start(error.to_string()))?
}

/// Waits until all that was accepted is written.
pub(crate) async fn close_log(log: &LogStore, writer: JoinHandle<()>) {
    log.close().await;
    join(writer).await;
}

async fn join(writer: JoinHandle<()>) {
    let joined = tokio::task::spawn_blocking(move || writer.join().is_ok()).await;
    if !matches!(joined, Ok(true)) {
        tracing::error!("the thread that writes the log panicked");
    }
}

/// Whether the disk can be written: a file of the size of a few records, made
/// durable and removed again.
pub(crate) fn probe<S>(parts: &Parts<S>) -> io::Result<()> {
    const BYTES: usize = 256 << 10;
    let path = parts.config.dir.join("probe.tmp");
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = parts.disk.create(&path).and_then(|mut file| {
        file.append(&vec![0; BYTES])?;
        file.sync()
    });
    std::fs::remove_file(&path)?;
    written
}
