//! openraft's view of the log.
//!
//! An append returns as soon as its entries can be read; the writer reports
//! later that they are durable. So entries that arrive while the disk is busy
//! share the next fdatasync.

use std::{
    collections::VecDeque,
    fmt::Debug,
    fs, io,
    ops::{Bound, Range, RangeBounds},
    path::PathBuf,
    sync::{Arc, OnceLock, RwLock},
    thread::JoinHandle,
};

use certs::{ClusterId, NodeId, seal::DataKey};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use openraft::{
    OptionalSend, RaftLogReader,
    storage::{IOFlushed, LogState, RaftLogStorage},
};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    disk::{self, Disk},
    index::{Found, Index, Place},
    lock, segment,
    writer::{Append, Done, Fault, Op, Writer},
};
use crate::{
    codec,
    error::{OpenError, damaged},
    meta::Meta,
    types::{Entry, LogId, Types, Vote},
};

/// Requests that may wait for the writer; a caller beyond that waits.
const QUEUE: usize = 1024;
/// Bytes of entries that may wait for the writer, likewise.
const QUEUE_BYTES: usize = 16 << 20;
/// Entries read at once for replication: about this many bytes, at least one.
const READ_BYTES: usize = 1 << 20;

/// Where and whose the log is.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The directory of the log's directory and the metadata file.
    pub dir: PathBuf,
    pub cluster: ClusterId,
    pub node: NodeId,
    pub key: DataKey,
    pub disk: Arc<dyn Disk>,
    /// A segment that has reached this length is not appended to any more.
    pub segment_bytes: usize,
}

/// What suits the log of a cluster.
pub(crate) const SEGMENT_BYTES: usize = 4 << 20;

/// The log. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct LogStore {
    ops: mpsc::Sender<Op>,
    reader: LogReader,
    fault: Fault,
    /// One permit for each byte that may wait for the writer.
    room: Arc<Semaphore>,
    segments_at_start: usize,
}

/// Reads entries and the vote.
#[derive(Debug, Clone)]
pub(crate) struct LogReader {
    index: Arc<RwLock<Index>>,
    state: Arc<RwLock<State>>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    vote: Option<Vote>,
    committed: Option<LogId>,
}

/// How long the log is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogSize {
    /// Encoded length of all entries.
    pub bytes: usize,
    /// The same for all entries there ever were in this run.
    pub appended: usize,
    pub segments_at_start: usize,
}

impl LogStore {
    /// Loads the log, or makes an empty one. The thread ends when the store and
    /// its clones are dropped, or after [`close`](Self::close).
    pub fn open(settings: &Settings) -> Result<(Self, JoinHandle<()>), OpenError> {
        let dir = settings.dir.join("log");
        fs::create_dir_all(&dir).map_err(|error| OpenError::io("create", &dir, error))?;
        let path = settings.dir.join("meta.redb");
        let meta = Meta::open(&path, settings.cluster, settings.node)?;
        disk::sync_dir(&settings.dir)
            .map_err(|error| OpenError::io("sync", &settings.dir, error))?;

        let (index, closed) = load(settings, &dir, meta.found.purged)?;
        if let Some(committed) = meta.found.committed
            && index.next() <= committed.index
        {
            let problem = format!(
                "entries up to {} were committed, and it ends before {}",
                committed.index,
                index.next()
            );
            return Err(damaged(&dir, 0, &problem));
        }
        Self::start(settings, dir, meta, index, closed)
    }

    fn start(
        settings: &Settings,
        dir: PathBuf,
        meta: Meta,
        index: Index,
        closed: VecDeque<Arc<segment::SegmentReader>>,
    ) -> Result<(Self, JoinHandle<()>), OpenError> {
        let segments_at_start = closed.len();
        let state = State {
            vote: meta.found.vote,
            committed: meta.found.committed,
        };
        let index = Arc::new(RwLock::new(index));
        let fault = Fault::new(OnceLock::new());
        let writer = Writer {
            dir,
            cluster: settings.cluster,
            key: settings.key.clone(),
            disk: Arc::clone(&settings.disk),
            segment_bytes: settings.segment_bytes,
            meta,
            index: Arc::clone(&index),
            fault: Arc::clone(&fault),
            closed,
            active: None,
        };
        let (ops, queue) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("raft-log".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(|error| OpenError::io("start a thread for", &settings.dir, error))?;
        let reader = LogReader {
            index,
            state: Arc::new(RwLock::new(state)),
        };
        let store = Self {
            ops,
            reader,
            fault,
            room: Arc::new(Semaphore::new(QUEUE_BYTES)),
            segments_at_start,
        };
        Ok((store, thread))
    }

    /// Why the log stopped writing, if it did.
    pub fn fault(&self) -> Option<String> {
        self.fault.get().cloned()
    }

    /// Whether there never was an entry or a vote.
    pub fn is_pristine(&self) -> bool {
        let state = lock::read(&self.reader.state);
        state.vote.is_none() && lock::read(&self.reader.index).last().is_none()
    }

    pub fn size(&self) -> LogSize {
        let index = lock::read(&self.reader.index);
        LogSize {
            bytes: index.bytes(),
            appended: index.appended(),
            segments_at_start: self.segments_at_start,
        }
    }

    /// Waits for what was asked and ends the writer.
    pub async fn close(&self) {
        let committed = lock::read(&self.reader.state).committed;
        // If the writer is gone already, there is nothing to end.
        let _ = self.ops.send(Op::Close { committed }).await;
    }

    async fn ask(&self, op: impl FnOnce(Done) -> Op) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.ops.send(op(done)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the log is closed")
}

type Loaded = (Index, VecDeque<Arc<segment::SegmentReader>>);

/// Reads every segment and checks that together they have no hole.
fn load(
    settings: &Settings,
    dir: &std::path::Path,
    purged: Option<LogId>,
) -> Result<Loaded, OpenError> {
    let io = |error| OpenError::io("read", dir, error);
    let paths = segment::list(dir).map_err(io)?;
    let mut index = Index::new(purged);
    let mut closed = VecDeque::new();
    for (position, path) in paths.iter().enumerate() {
        let last = position + 1 == paths.len();
        let found = segment::recover(path, last, settings.cluster, &settings.key)?;
        let Some(found) = found else { continue };
        let reader = Arc::new(found.reader);
        if closed.is_empty() && reader.first_index > purged.map_or(0, |id| id.index + 1) {
            return Err(damaged(path, 0, "the segment before it is missing"));
        }
        for (entry, span) in found.entries {
            let segment = Arc::clone(&reader);
            if !index.recover(entry.log_id, Place { segment, span }) {
                return Err(damaged(path, 0, "the segment before it is missing"));
            }
        }
        closed.push_back(reader);
    }
    forget_purged(&mut index, &mut closed, purged).map_err(io)?;
    disk::sync_dir(dir).map_err(io)?;
    Ok((index, closed))
}

/// Finishes a purge that the node did not live to finish.
fn forget_purged(
    index: &mut Index,
    closed: &mut VecDeque<Arc<segment::SegmentReader>>,
    purged: Option<LogId>,
) -> io::Result<()> {
    let Some(purged) = purged else { return Ok(()) };
    index.purge(purged);
    let end = index.next();
    while !closed.is_empty()
        && closed.get(1).map_or(end, |next| next.first_index) <= purged.index + 1
    {
        if let Some(oldest) = closed.pop_front() {
            fs::remove_file(&oldest.path)?;
        }
    }
    Ok(())
}

impl LogReader {
    /// Reads the entries of `range`; those not in memory, in another thread.
    async fn read(&self, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let found = lock::read(&self.index).find(range, max_bytes);
        if found.iter().all(|(_, one)| matches!(one, Found::Cached(_))) {
            return fetch(found);
        }
        tokio::task::spawn_blocking(move || fetch(found))
            .await
            .map_err(io::Error::other)?
    }
}

fn fetch(found: Vec<(u64, Found)>) -> io::Result<Vec<Entry>> {
    let entry = |(index, one)| match one {
        Found::Cached(entry) => Ok(entry),
        Found::OnDisk(place) => place.segment.read(index, place.span),
    };
    found.into_iter().map(entry).collect()
}

fn to_range(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogReader<Types> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        self.read(to_range(&range), usize::MAX).await
    }

    /// Reads as it is consumed, so that a long log is never in memory at once.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<Entry>> + Send
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let reader = self.clone();
        let chunks = stream::try_unfold(to_range(&range), move |rest| {
            let reader = reader.clone();
            async move {
                let entries = reader.read(rest.clone(), READ_BYTES).await?;
                let Some(last) = entries.last() else {
                    return Ok::<_, io::Error>(None);
                };
                let rest = last.log_id.index + 1..rest.end;
                Ok(Some((stream::iter(entries.into_iter().map(Ok)), rest)))
            }
        });
        chunks.try_flatten().boxed()
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start..end, READ_BYTES).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(lock::read(&self.state).vote)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let index = lock::read(&self.reader.index);
        Ok(LogState {
            last_purged_log_id: index.purged(),
            last_log_id: index.last(),
        })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        self.reader.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let (vote, committed) = (*vote, lock::read(&self.reader.state).committed);
        self.ask(|done| Op::SaveVote {
            vote,
            committed,
            done,
        })
        .await?;
        lock::write(&self.reader.state).vote = Some(vote);
        Ok(())
    }

    /// Kept in memory, and written with the next vote and at the end: to write
    /// it at each commit would double what the disk has to take.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        lock::write(&self.reader.state).committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(lock::read(&self.reader.state).committed)
    }

    async fn append<I>(&mut self, entries: I, done: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut records = Vec::new();
        let mut first = None;
        for entry in entries {
            let record = codec::encode_entry(&entry)?;
            first.get_or_insert(entry.log_id.index);
            let index = entry.log_id.index;
            if !lock::write(&self.reader.index).append(entry, record.len()) {
                return Err(io::Error::other(format!("entry {index} leaves a hole")));
            }
            records.push(record);
        }
        let Some(first) = first else {
            done.io_completed(Ok(()));
            return Ok(());
        };
        let bytes = records.iter().map(Vec::len).sum::<usize>().min(QUEUE_BYTES);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes as u32);
        let op = Op::Append(Append {
            first,
            records,
            done,
            room: room.await.map_err(|_| closed())?,
        });
        self.ops.send(op).await.map_err(|_| closed())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let from = last.map_or(0, |id| id.index + 1);
        self.ask(|done| Op::Truncate { from, done }).await?;
        lock::write(&self.reader.index).truncate(from);
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.ask(|done| Op::Purge { upto, done }).await?;
        lock::write(&self.reader.index).purge(upto);
        Ok(())
    }
}
