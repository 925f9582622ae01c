//! The replicated state: what commands are applied to, on every member alike.
//!
//! [`StateMachine`] is what the user of this crate provides. The rest lets
//! openraft drive it: one lock holds the state together with the position in
//! the log that it has reached, so the two can never differ.

use std::{
    fmt, io,
    io::{Read, Write},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use futures::{Stream, TryStreamExt};
use openraft::{
    OptionalSend, RaftSnapshotBuilder, Snapshot,
    storage::{EntryResponder, RaftStateMachine},
};
use tokio::sync::watch;

use crate::{
    log::lock,
    snapshot::{SnapshotFile, Snapshots},
    types::{
        Addr, Blob, CommittedLeaderId, Id, LogId, Payload, SnapshotMeta, StoredMembership, Types,
    },
};

/// A state that the same commands in the same order make the same everywhere.
pub trait StateMachine: Send + Sync + 'static {
    /// Applies a committed command and returns the answer to its proposer.
    ///
    /// Must be deterministic (no clock, no randomness, no map order) and total
    /// (a command that does not fit is answered with a refusal; a panic ends
    /// the node). Indexes rise, with gaps.
    fn apply(&mut self, index: u64, command: &[u8]) -> Vec<u8>;

    /// Captures the state now, cheaply; the result writes it later, elsewhere,
    /// while commands go on being applied.
    fn freeze(&self) -> Freeze;

    /// Replaces the state by one that [`freeze`](Self::freeze) wrote, here or on
    /// another member.
    ///
    /// # Errors
    ///
    /// On any error, those of `snapshot` included, the state must be as before.
    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()>;
}

/// Writes a captured state.
pub type Freeze = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// The state and how far it has come, shared by openraft and the readers.
#[derive(Debug)]
pub(crate) struct Shared<S> {
    reached: RwLock<Reached<S>>,
    applied: watch::Sender<u64>,
}

#[derive(Debug)]
struct Reached<S> {
    state: S,
    last: Option<LogId>,
    membership: StoredMembership,
}

impl<S: StateMachine> Shared<S> {
    pub fn new(state: S) -> Arc<Self> {
        let reached = Reached {
            state,
            last: None,
            membership: StoredMembership::default(),
        };
        Arc::new(Self {
            reached: RwLock::new(reached),
            applied: watch::Sender::new(0),
        })
    }

    pub fn read<R>(&self, read: impl FnOnce(&S) -> R) -> R {
        read(&lock::read(&self.reached).state)
    }

    /// The index of the last entry that was applied.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    fn apply(&self, id: LogId, payload: &Payload) -> io::Result<Blob> {
        let mut reached = self.reached.write().map_err(panicked)?;
        let answer = match payload {
            Payload::Blank => Vec::new(),
            Payload::Normal(command) => reached.state.apply(id.index, &command.0),
            Payload::Membership(membership) => {
                reached.membership = StoredMembership::new(Some(id), membership.clone());
                Vec::new()
            }
        };
        reached.last = Some(id);
        drop(reached);
        self.applied.send_replace(id.index);
        Ok(answer.into())
    }

    fn restore(&self, meta: &SnapshotMeta, snapshot: &mut dyn Read) -> io::Result<()> {
        let mut reached = self.reached.write().map_err(panicked)?;
        reached.state.restore(snapshot)?;
        reached.last = meta.last_log_id;
        reached.membership = meta.last_membership.clone();
        drop(reached);
        self.applied
            .send_replace(meta.last_log_id.map_or(0, |id| id.index));
        Ok(())
    }
}

/// What a command that panicked left behind is not built upon.
fn panicked<T>(_: PoisonError<T>) -> io::Error {
    io::Error::other("the state machine panicked; it must be restarted")
}

/// openraft's view of the state.
#[derive(Debug)]
pub(crate) struct Machine<S> {
    shared: Arc<Shared<S>>,
    snapshots: Snapshots,
}

impl<S> Machine<S> {
    pub fn new(shared: Arc<Shared<S>>, snapshots: Snapshots) -> Self {
        Self { shared, snapshots }
    }
}

pub(crate) type OpenraftSnapshot = Snapshot<CommittedLeaderId, Id, Addr, SnapshotFile>;

impl<S: StateMachine> RaftStateMachine<Types> for Machine<S> {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let reached = self.shared.reached.read().map_err(panicked)?;
        Ok((reached.last, reached.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let answer = self.shared.apply(entry.log_id, &entry.payload)?;
            if let Some(responder) = responder {
                responder.send(answer);
            }
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder> {
        if !force && matches!(self.snapshots.has_room(), Ok(false)) {
            tracing::warn!("no snapshot is made, so the log is not shortened: the disk is full");
            return None;
        }
        Some(self.get_snapshot_builder().await)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let reached = lock::read(&self.shared.reached);
        Builder {
            meta: SnapshotMeta {
                last_log_id: reached.last,
                last_membership: reached.membership.clone(),
            },
            freeze: Mutex::new(Some(reached.state.freeze())),
            snapshots: self.snapshots.clone(),
        }
    }

    /// Makes the snapshot durable first: a state in memory that is ahead of the
    /// disk could not be recovered.
    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotFile,
    ) -> io::Result<()> {
        let (shared, snapshots) = (Arc::clone(&self.shared), self.snapshots.clone());
        let meta = meta.clone();
        blocking(move || {
            let adopted = snapshots.adopt(&snapshot)?;
            shared.restore(&meta, &mut snapshots.reader(&adopted)?)
        })
        .await
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<OpenraftSnapshot>> {
        let snapshots = self.snapshots.clone();
        let current = blocking(move || snapshots.current()).await?;
        Ok(current.map(into_openraft))
    }
}

/// Writes one captured state.
pub(crate) struct Builder {
    meta: SnapshotMeta,
    freeze: Mutex<Option<Freeze>>,
    snapshots: Snapshots,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<OpenraftSnapshot> {
        let freeze = self.freeze.get_mut().ok().and_then(Option::take);
        let freeze = freeze.ok_or_else(|| io::Error::other("the snapshot was built already"))?;
        let (snapshots, meta) = (self.snapshots.clone(), self.meta.clone());
        let built = blocking(move || {
            let mut incoming = snapshots.begin(meta)?;
            freeze(&mut incoming.writer)?;
            snapshots.adopt(&incoming.finish()?)
        });
        Ok(into_openraft(built.await?))
    }
}

fn into_openraft(snapshot: SnapshotFile) -> OpenraftSnapshot {
    Snapshot {
        meta: snapshot.meta.clone(),
        snapshot,
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}
