//! The handle: what the rest of swarmlet does with the log.
//!
//! Any member takes any request. What only the leader can do is done here if
//! this node leads, and asked of the leader otherwise; while there is none, the
//! request waits, within the configured patience.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use certs::NodeId;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    codec::MAX_COMMAND,
    config::{Config, Member},
    engine::{Engine, Parts},
    error::{MemberError, OpenError, ProposeError, ReadError},
    forward::Unanswered,
    log::disk::{Disk, OsDisk},
    machine::{Shared, StateMachine},
    net::{
        self, Dial, Peers,
        message::{ChangeV1, RefusalV1, Reply, Request},
    },
    snapshot::Snapshots,
    status::{self, Progress, Status},
    supervisor::{Current, Supervisor, current},
    takeover,
    types::{Addr, Blob, Id},
};

/// Bytes of commands that may wait for their answers; a proposer beyond that
/// waits.
const INFLIGHT_BYTES: usize = 32 << 20;

/// An applied command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its position in the log.
    pub index: u64,
    /// What the state machine answered.
    pub answer: Vec<u8>,
}

/// A member of the group, with its copy of the state. Clones share it.
///
/// Dropping the last clone does not end the node; [`shutdown`](Self::shutdown)
/// does.
pub struct Raft<S: StateMachine> {
    inner: Arc<Inner<S>>,
}

impl<S: StateMachine> Clone for Raft<S> {
    fn clone(&self) -> Self {
        let inner = Arc::clone(&self.inner);
        Self { inner }
    }
}

impl<S: StateMachine> fmt::Debug for Raft<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raft")
            .field("me", &self.inner.parts.config.me)
            .finish_non_exhaustive()
    }
}

pub(crate) struct Inner<S: StateMachine> {
    pub parts: Arc<Parts<S>>,
    pub current: Arc<Current<S>>,
    pub status: watch::Receiver<Status>,
    pub stop: CancellationToken,
    room: Semaphore,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

impl<S: StateMachine> Raft<S> {
    /// Begins a new group, whose only member is this node, in an empty
    /// directory.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotEmpty`] if there is a log already, which stays as it is.
    pub async fn create(config: Config, dial: Arc<dyn Dial>, state: S) -> Result<Self, OpenError> {
        Self::create_on(config, dial, state, Arc::new(OsDisk)).await
    }

    pub(crate) async fn create_on(
        config: Config,
        dial: Arc<dyn Dial>,
        state: S,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, OpenError> {
        let (dir, me) = (config.dir.clone(), config.me);
        let raft = Self::open_on(config, dial, state, disk).await?;
        match raft.bootstrap(dir, me).await {
            Ok(()) => Ok(raft),
            Err(error) => {
                raft.shutdown().await;
                Err(error)
            }
        }
    }

    async fn bootstrap(&self, dir: PathBuf, me: Member) -> Result<(), OpenError> {
        let not_empty = || OpenError::NotEmpty { path: dir };
        let Some(engine) = current(&self.inner.current) else {
            return Err(not_empty());
        };
        if !engine.log.is_pristine() {
            return Err(not_empty());
        }
        let members = BTreeMap::from([(Id(me.id), Addr(me.addr))]);
        let begun = engine.raft.initialize(members).await;
        begun.map_err(|error| OpenError::Start(error.to_string()))
    }

    /// Continues from the directory, or waits in an empty one to be added to a
    /// group by its leader.
    ///
    /// The state is first that of the last snapshot, and catches up when a
    /// leader is heard; [`read_barrier`](Self::read_barrier) waits for that.
    ///
    /// # Errors
    ///
    /// Of another node or cluster, damaged, or not readable: see [`OpenError`].
    pub async fn open(config: Config, dial: Arc<dyn Dial>, state: S) -> Result<Self, OpenError> {
        Self::open_on(config, dial, state, Arc::new(OsDisk)).await
    }

    pub(crate) async fn open_on(
        config: Config,
        dial: Arc<dyn Dial>,
        state: S,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, OpenError> {
        Self::begin(Self::parts(config, dial, state, disk).await?).await
    }

    /// Continues from the directory as the only member of the group, whoever
    /// was one before: for when the majority of the voters is lost for good.
    ///
    /// All that this node holds is kept, and is agreed on from then on: also
    /// what it had received last and nobody had acknowledged. What it had not
    /// received is lost. A former member that comes back must not be let into
    /// the group; it may only be added like a new one, in an empty directory.
    ///
    /// # Errors
    ///
    /// [`OpenError::NoLog`] if this node had not received anything yet;
    /// otherwise as [`open`](Self::open).
    pub async fn take_over(
        config: Config,
        dial: Arc<dyn Dial>,
        state: S,
    ) -> Result<Self, OpenError> {
        let parts = Self::parts(config, dial, state, Arc::new(OsDisk)).await?;
        takeover::take_over(&parts).await?;
        Self::begin(parts).await
    }

    /// Checks what is on the disk.
    async fn parts(
        config: Config,
        dial: Arc<dyn Dial>,
        state: S,
        disk: Arc<dyn Disk>,
    ) -> Result<Parts<S>, OpenError> {
        let (dir, cluster, key) = (
            config.dir.join("snapshot"),
            config.cluster,
            config.data_key.clone(),
        );
        let opening = move || {
            let snapshots = Snapshots::open(dir, cluster, key)?;
            snapshots.verify()?;
            Ok(snapshots)
        };
        let snapshots = tokio::task::spawn_blocking(opening)
            .await
            .map_err(|error| OpenError::Start(error.to_string()))??;
        Ok(Parts {
            config,
            shared: Shared::new(state),
            snapshots,
            peers: Arc::new(Peers::new(dial)),
            disk,
        })
    }

    async fn begin(parts: Parts<S>) -> Result<Self, OpenError> {
        let parts = Arc::new(parts);
        let engine = Engine::start(&parts).await?;
        let (sender, status) = watch::channel(Status::of(&engine.metrics(), false));
        let current = Arc::new(Current::new(Some(Arc::new(engine))));
        let stop = CancellationToken::new();
        let supervisor = Supervisor {
            parts: Arc::clone(&parts),
            current: Arc::clone(&current),
            status: sender,
            stop: stop.clone(),
        };
        let inner = Inner {
            parts,
            current,
            status,
            room: Semaphore::new(INFLIGHT_BYTES),
            stop,
            supervisor: Mutex::new(Some(tokio::spawn(supervisor.run()))),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Answers a manager on a connection with the protocol [`ALPN`](crate::ALPN)
    /// that it made, until the connection ends. `peer` must be the node of the
    /// connection's certificate, and a manager.
    pub async fn serve(&self, peer: NodeId, connection: quinn::Connection) {
        let slot = Arc::clone(&self.inner.current);
        let parts = Arc::clone(&self.inner.parts);
        let closing = connection.clone();
        tokio::select! {
            () = net::serve(parts, move || current(&slot), peer, connection) => {}
            () = self.inner.stop.cancelled() => closing.close(0_u32.into(), b"shutting down"),
        }
    }

    /// Has a command committed and applied, by way of the leader, and returns
    /// the state machine's answer.
    ///
    /// # Errors
    ///
    /// [`ProposeError::surely_not_applied`] tells whether it is safe to propose
    /// the command again.
    pub async fn propose(&self, command: Vec<u8>) -> Result<Applied, ProposeError> {
        let len = command.len();
        if len > MAX_COMMAND {
            let max = MAX_COMMAND;
            return Err(ProposeError::TooLarge { len, max });
        }
        let deadline = self.deadline();
        let no_leader = || ProposeError::NoLeader(self.inner.parts.config.patience);
        let room = self.inner.room.acquire_many(len.max(1) as u32);
        let _room = match timeout_at(deadline, room).await {
            Ok(Ok(room)) => room,
            Ok(Err(_)) => return Err(ProposeError::ShutDown),
            Err(_) => return Err(no_leader()),
        };
        let request = Request::ProposeV1(Blob::from(command));
        match self.inner.ask_leader(&request, deadline).await {
            Ok(Reply::ProposeV1(Ok(applied))) => Ok(Applied {
                index: applied.index,
                answer: applied.answer.0.into(),
            }),
            Ok(other) => Err(ProposeError::Unknown(describe(&other))),
            Err(Unanswered::NoLeader) => Err(no_leader()),
            Err(Unanswered::Unknown(why)) => Err(ProposeError::Unknown(why)),
            Err(Unanswered::Storage(why)) => Err(ProposeError::Storage(why)),
            Err(Unanswered::ShutDown) => Err(ProposeError::ShutDown),
        }
    }

    /// Waits until this node's state holds everything that was acknowledged
    /// anywhere before the call, and returns the index it has reached at least.
    ///
    /// # Errors
    ///
    /// If no leader that a majority follows is found in time.
    pub async fn read_barrier(&self) -> Result<u64, ReadError> {
        let deadline = self.deadline();
        let no_leader = || ReadError::NoLeader(self.inner.parts.config.patience);
        let index = match self.inner.ask_leader(&Request::ReadIndexV1, deadline).await {
            Ok(Reply::ReadIndexV1(Ok(index))) => index,
            Ok(_) | Err(Unanswered::NoLeader | Unanswered::Unknown(_)) => return Err(no_leader()),
            Err(Unanswered::Storage(why)) => return Err(ReadError::Storage(why)),
            Err(Unanswered::ShutDown) => return Err(ReadError::ShutDown),
        };
        match timeout_at(deadline, self.wait_applied(index)).await {
            Ok(waited) => waited.map(|()| index),
            Err(_) => Err(no_leader()),
        }
    }

    /// Looks at this node's state as it is now, which may be behind. Nothing is
    /// applied meanwhile, so `read` must be short.
    pub fn read<R>(&self, read: impl FnOnce(&S) -> R) -> R {
        self.inner.parts.shared.read(read)
    }

    /// Waits, without a bound, until this node has applied the entry `index`,
    /// or is shut down, which is then the error.
    pub async fn wait_applied(&self, index: u64) -> Result<(), ReadError> {
        let mut applied = self.inner.parts.shared.applied();
        tokio::select! {
            // The sender lives as long as this node.
            _ = applied.wait_for(|applied| *applied >= index) => Ok(()),
            () = self.inner.stop.cancelled() => Err(ReadError::ShutDown),
        }
    }

    /// The group as this node knows it, now and whenever that changes.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.inner.status.clone()
    }

    /// How far each other member has come. Empty unless this node leads.
    pub fn replication(&self) -> BTreeMap<NodeId, Progress> {
        let engine = current(&self.inner.current);
        engine.map_or_else(BTreeMap::new, |engine| status::progress(&engine.metrics()))
    }

    /// Adds a member without a vote, which then receives the log; or notes the
    /// new address of a member. By way of the leader; may be repeated.
    pub async fn add_learner(&self, member: Member) -> Result<(), MemberError> {
        let Member { id, addr } = member;
        self.change(ChangeV1::AddLearner { id, addr }).await
    }

    /// Gives a learner a vote, once it has caught up. By way of the leader; may
    /// be repeated.
    ///
    /// # Errors
    ///
    /// [`MemberError::Refused`] if it is no member, or does not catch up.
    pub async fn promote(&self, id: NodeId) -> Result<(), MemberError> {
        self.change(ChangeV1::Promote(id)).await
    }

    /// Removes a member, voter or learner. By way of the leader, which hands
    /// its leadership over before it is removed itself; may be repeated.
    ///
    /// # Errors
    ///
    /// [`MemberError::Refused`] for the last voter.
    pub async fn remove(&self, id: NodeId) -> Result<(), MemberError> {
        self.change(ChangeV1::Remove(id)).await
    }

    /// Makes another voter the leader: the given one, or the one whose log is
    /// the longest. By way of the leader.
    ///
    /// # Errors
    ///
    /// [`MemberError::Refused`] if there is no other voter, or it does not take
    /// over.
    pub async fn transfer_leadership(&self, to: Option<NodeId>) -> Result<(), MemberError> {
        // Named by whoever asks: a request that is put again to the next leader
        // must not send the leadership on, to and fro.
        let to = to.or_else(|| self.successor());
        self.change(ChangeV1::TransferLeader(to)).await
    }

    /// The voter besides the leader whose log is the longest, as far as is known.
    fn successor(&self) -> Option<NodeId> {
        let status = self.inner.status.borrow().clone();
        let progress = self.replication();
        let voters = status.members.iter().filter(|(_, member)| member.voter);
        let others = voters
            .map(|(id, _)| *id)
            .filter(|id| Some(*id) != status.leader);
        others.max_by_key(|id| progress.get(id).and_then(|progress| progress.matched))
    }

    async fn change(&self, change: ChangeV1) -> Result<(), MemberError> {
        let request = Request::ChangeV1(change);
        let patience = self.inner.parts.config.patience;
        match self.inner.ask_leader(&request, self.deadline()).await {
            Ok(Reply::ChangeV1(Ok(()))) => Ok(()),
            Ok(Reply::ChangeV1(Err(RefusalV1::Refused(why)))) => Err(MemberError::Refused(why)),
            Ok(other) => Err(MemberError::Unknown(describe(&other))),
            Err(Unanswered::NoLeader) => Err(MemberError::NoLeader(patience)),
            Err(Unanswered::Unknown(why)) => Err(MemberError::Unknown(why)),
            Err(Unanswered::Storage(why)) => Err(MemberError::Storage(why)),
            Err(Unanswered::ShutDown) => Err(MemberError::ShutDown),
        }
    }

    /// Ends this node's part and waits until what it accepted is on disk. The
    /// other members elect a leader if this one led. May be repeated.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        let supervisor = self.inner.supervisor.lock().ok().and_then(|mut s| s.take());
        if let Some(supervisor) = supervisor
            && let Err(error) = supervisor.await
        {
            tracing::error!(%error, "the supervisor of the log panicked");
        }
        self.inner.parts.peers.close();
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.inner.parts.config.patience
    }
}

fn describe(reply: &Reply) -> String {
    match reply {
        Reply::ProposeV1(Err(RefusalV1::Refused(why)))
        | Reply::ChangeV1(Err(RefusalV1::Refused(why))) => why.clone(),
        _ => "the answer is of another kind".to_owned(),
    }
}
