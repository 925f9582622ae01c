//! The one thread that writes the log.
//!
//! It takes what is asked of it in order. All appends that are waiting are
//! written together and made durable by one fdatasync; votes, truncations and
//! purges wait for the appends before them. After an error nothing more is
//! written: what the file holds beyond its durable part is cut off if the disk
//! lets us, and the log has to be opened again.

use std::{
    collections::VecDeque,
    fs, io,
    path::PathBuf,
    sync::{Arc, OnceLock, RwLock},
};

use certs::{
    ClusterId,
    seal::{DataKey, FileSealer},
};
use openraft::storage::IOFlushed;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{
    disk::{self, Disk, DiskFile},
    format::{HEADER_LEN, Header, RECORD_HEAD, Span, push_record},
    index::{Index, Place},
    lock,
    segment::{self, SEAL_CONTEXT, SegmentReader},
};
use crate::{
    meta::Meta,
    types::{LogId, Types, Vote},
};

/// Appends are collected up to about this many bytes before they are written.
const BATCH_BYTES: usize = 4 << 20;

/// What the store asks for.
pub(crate) enum Op {
    Append(Append),
    /// Removes every entry from `from` on.
    Truncate {
        from: u64,
        done: Done,
    },
    Purge {
        upto: LogId,
        done: Done,
    },
    SaveVote {
        vote: Vote,
        committed: Option<LogId>,
        done: Done,
    },
    /// Ends the thread; nothing can be asked after it.
    Close {
        committed: Option<LogId>,
    },
}

pub(crate) type Done = oneshot::Sender<io::Result<()>>;

/// The text of the error that ended the writer, once there is one.
pub(crate) type Fault = Arc<OnceLock<String>>;

#[derive(Debug)]
pub(crate) struct Writer {
    pub dir: PathBuf,
    pub cluster: ClusterId,
    pub key: DataKey,
    pub disk: Arc<dyn Disk>,
    pub segment_bytes: usize,
    pub meta: Meta,
    pub index: Arc<RwLock<Index>>,
    pub fault: Fault,
    /// All segments but the active one, oldest first.
    pub closed: VecDeque<Arc<SegmentReader>>,
    pub active: Option<Active>,
}

/// The segment that is appended to.
#[derive(Debug)]
pub(crate) struct Active {
    reader: Arc<SegmentReader>,
    file: Box<dyn DiskFile>,
    sealer: FileSealer,
    records: u32,
    /// Bytes that are in the file, and of them those known to be on the disk.
    written: usize,
    durable: usize,
}

/// Entries that follow those before them.
pub(crate) struct Append {
    /// The index of the first record.
    pub first: u64,
    /// Encoded entries.
    pub records: Vec<Vec<u8>>,
    pub done: IOFlushed<Types>,
    /// Held until the records are written.
    pub room: OwnedSemaphorePermit,
}

impl Writer {
    /// Serves `ops` until they end or [`Op::Close`] comes.
    pub fn run(mut self, mut ops: mpsc::Receiver<Op>) {
        let mut waiting = Vec::new();
        while let Some(op) = ops.blocking_recv() {
            let mut next = collect(op, &mut waiting);
            let mut bytes = size_of_appends(&waiting);
            while next.is_none() && bytes < BATCH_BYTES {
                let Ok(op) = ops.try_recv() else { break };
                next = collect(op, &mut waiting);
                bytes = bytes.saturating_add(waiting.last().map_or(0, Append::size));
            }
            self.write_batch(std::mem::take(&mut waiting));
            match next {
                Some(Op::Close { committed }) => return self.close(committed),
                Some(op) => self.perform(op),
                None => {}
            }
        }
    }

    fn close(self, committed: Option<LogId>) {
        let known = self.meta.found.committed;
        let Some(committed) = committed.filter(|id| Some(*id) > known) else {
            return;
        };
        if self.fault.get().is_some() {
            return;
        }
        if let Err(error) = self.meta.save_committed(committed) {
            tracing::warn!(%error, "the last committed entry was not noted");
        }
    }

    fn write_batch(&mut self, appends: Vec<Append>) {
        if appends.is_empty() {
            return;
        }
        let mut stored = Vec::new();
        let result = match self.check() {
            Ok(()) => self.write_all(&appends, &mut stored),
            Err(error) => Err(error),
        };
        let result = result.map_err(|error| self.fail("write", error));
        let durable = stored.last().map(|(index, _)| index + 1);
        let mut index = lock::write(&self.index);
        for (at, place) in stored {
            index.stored(at, place);
        }
        drop(index);
        for append in appends {
            let end = append.first + append.records.len() as u64;
            let outcome = match &result {
                Err(_) if durable.is_some_and(|durable| end <= durable) => Ok(()),
                Err(error) => Err(copy(error)),
                Ok(()) => Ok(()),
            };
            append.done.io_completed(outcome);
            drop(append.room);
        }
    }

    /// Writes the records and makes them durable. `stored` are those that are,
    /// also when the rest fails.
    fn write_all(&mut self, appends: &[Append], stored: &mut Vec<(u64, Place)>) -> io::Result<()> {
        let mut buffer = Vec::new();
        let mut written = Vec::new();
        for append in appends {
            for (index, record) in (append.first..).zip(&append.records) {
                if let Some(active) = &mut self.active
                    && active.written + buffer.len() >= self.segment_bytes
                {
                    active.flush(&mut buffer)?;
                    stored.append(&mut written);
                    self.retire_active();
                }
                let mut active = match self.active.take() {
                    Some(active) => active,
                    None => self.start_segment(index)?,
                };
                let place = active.put(record, &mut buffer);
                self.active = Some(active);
                written.push((index, place?));
            }
        }
        if let Some(active) = &mut self.active {
            active.flush(&mut buffer)?;
        }
        stored.append(&mut written);
        Ok(())
    }

    fn retire_active(&mut self) {
        if let Some(active) = self.active.take() {
            self.closed.push_back(active.reader);
        }
    }

    fn start_segment(&self, first_index: u64) -> io::Result<Active> {
        let path = self.dir.join(segment::file_name(first_index));
        let sealer = FileSealer::new(&self.key, SEAL_CONTEXT).map_err(io::Error::other)?;
        let header = Header {
            first_index,
            cluster: self.cluster,
            seal: *sealer.header(),
        };
        let mut file = self.disk.create(&path)?;
        file.append(&header.encode())?;
        file.sync()?;
        disk::sync_dir(&self.dir)?;
        Ok(Active {
            reader: Arc::new(SegmentReader::open(&path, &header, &self.key)?),
            file,
            sealer,
            records: 0,
            written: HEADER_LEN,
            durable: HEADER_LEN,
        })
    }

    fn perform(&mut self, op: Op) {
        let (result, done) = match op {
            Op::Append(_) | Op::Close { .. } => return,
            Op::Truncate { from, done } => (self.attempt("cut", |w| w.truncate(from)), done),
            Op::Purge { upto, done } => (self.attempt("shorten", |w| w.purge(upto)), done),
            Op::SaveVote {
                vote,
                committed,
                done,
            } => {
                let save = |writer: &mut Self| writer.meta.save_vote(&vote, committed);
                (self.attempt("save the vote of", save), done)
            }
        };
        // A caller that went away does not want the answer.
        let _ = done.send(result);
    }

    fn attempt(
        &mut self,
        action: &str,
        perform: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        self.check()?;
        perform(self).map_err(|error| self.fail(action, error))
    }

    /// Removes the entries from `from` on, newest first, so that a crash never
    /// leaves a hole.
    fn truncate(&mut self, from: u64) -> io::Result<()> {
        self.retire_active();
        while let Some(newest) = self.closed.back()
            && newest.first_index >= from
        {
            fs::remove_file(&newest.path)?;
            self.closed.pop_back();
        }
        let place = lock::read(&self.index).place(from).cloned();
        if let (Some(place), Some(newest)) = (place, self.closed.back())
            && Arc::ptr_eq(&place.segment, newest)
        {
            disk::truncate(&newest.path, u64::from(place.span.offset))?;
        }
        disk::sync_dir(&self.dir)
    }

    /// Notes that the log begins after `upto` and removes the segments that end
    /// before that.
    fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.meta.save_purged(upto)?;
        let end = lock::read(&self.index).next();
        if end <= upto.index + 1 {
            self.retire_active();
        }
        let after_closed = self.active.as_ref().map_or(end, |a| a.reader.first_index);
        while !self.closed.is_empty() {
            let next = self.closed.get(1).map_or(after_closed, |s| s.first_index);
            if next > upto.index + 1 {
                break;
            }
            if let Some(oldest) = self.closed.pop_front() {
                fs::remove_file(&oldest.path)?;
            }
        }
        Ok(())
    }

    fn check(&self) -> io::Result<()> {
        match self.fault.get() {
            None => Ok(()),
            Some(fault) => Err(io::Error::other(fault.clone())),
        }
    }

    /// Ends all writing. What is not durable is cut off, so that an operator
    /// who makes room finds a whole file; if that fails too, the next start
    /// cuts it.
    fn fail(&mut self, action: &str, error: io::Error) -> io::Error {
        if self.fault.get().is_none() {
            let text = format!("cannot {action} the log in {}: {error}", self.dir.display());
            tracing::error!("{text}");
            let _ = self.fault.set(text);
            if let Some(mut active) = self.active.take()
                && let Err(error) = active.file.truncate(active.durable as u64)
            {
                tracing::warn!(%error, "the unfinished end of the log stays until the next start");
            }
        }
        let text = self.fault.get().cloned().unwrap_or_default();
        io::Error::new(error.kind(), text)
    }
}

impl Active {
    /// Seals a record into `buffer`, which will be written at the file's end.
    fn put(&mut self, record: &[u8], buffer: &mut Vec<u8>) -> io::Result<Place> {
        let offset = self.written + buffer.len();
        push_record(buffer, self.records, self.durable as u32, |buffer| {
            self.sealer.seal_into(record, buffer).map(|_| ())
        })
        .map_err(io::Error::other)?;
        self.records += 1;
        let len = self.written + buffer.len() - offset - RECORD_HEAD;
        Ok(Place {
            segment: Arc::clone(&self.reader),
            span: Span {
                offset: offset as u32,
                len: len as u32,
            },
        })
    }

    fn flush(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.file.append(buffer)?;
        self.written += buffer.len();
        buffer.clear();
        self.file.sync()?;
        self.durable = self.written;
        Ok(())
    }
}

impl Append {
    fn size(&self) -> usize {
        self.records.iter().map(Vec::len).sum()
    }
}

fn size_of_appends(appends: &[Append]) -> usize {
    appends.iter().map(Append::size).sum()
}

/// Puts an append to the others, and hands anything else back.
fn collect(op: Op, waiting: &mut Vec<Append>) -> Option<Op> {
    match op {
        Op::Append(append) => {
            waiting.push(append);
            None
        }
        other => Some(other),
    }
}

fn copy(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}
