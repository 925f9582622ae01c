//! A disk that fills up and loses power, for tests.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use super::disk::{Disk, DiskFile, OsDisk};

/// Clones are the same disk.
#[derive(Debug, Clone)]
pub(crate) struct FaultyDisk(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug)]
struct State {
    /// Bytes that still fit.
    free: usize,
    syncs: usize,
    /// Making something durable takes until this is over.
    busy: bool,
    /// Nothing becomes durable any more.
    failing: bool,
    files: BTreeMap<PathBuf, Lengths>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Lengths {
    written: u64,
    durable: u64,
}

impl FaultyDisk {
    pub fn new() -> Self {
        let state = State {
            free: usize::MAX,
            syncs: 0,
            busy: false,
            failing: false,
            files: BTreeMap::new(),
        };
        Self(Arc::new((Mutex::new(state), Condvar::new())))
    }

    /// From now on, only so many more bytes fit.
    pub fn set_free(&self, bytes: usize) {
        self.state().free = bytes;
    }

    /// Lets everything that is to be durable wait, or not any more.
    pub fn set_busy(&self, busy: bool) {
        self.state().busy = busy;
        self.0.1.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    /// How often something was made durable.
    pub fn syncs(&self) -> usize {
        self.state().syncs
    }

    /// From now on, what is written stays in memory.
    pub fn fail(&self) {
        self.state().failing = true;
    }

    /// Does to every file what a loss of power may, and is well again: of the
    /// bytes that were not made durable only `kept` of 256 parts remain, and
    /// the first of those is `flipped`.
    pub fn lose_power(&self, kept: u8, flipped: u8) {
        let mut state = self.state();
        state.failing = false;
        let files = std::mem::take(&mut state.files);
        for (path, Lengths { written, durable }) in files {
            let Ok(mut bytes) = fs::read(&path) else {
                continue;
            };
            let lost = written.saturating_sub(durable);
            bytes.truncate((durable + lost * u64::from(kept) / 256) as usize);
            if let Some(byte) = bytes.get_mut(durable as usize) {
                *byte ^= flipped;
            }
            fs::write(&path, bytes).unwrap();
        }
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OsDisk.create(path)?;
        let lengths = Lengths::default();
        let mut state = self.state();
        state.files.insert(path.to_owned(), lengths);
        Ok(Box::new(FaultyFile {
            disk: self.clone(),
            path: path.to_owned(),
            file,
        }))
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: FaultyDisk,
    path: PathBuf,
    file: Box<dyn DiskFile>,
}

impl DiskFile for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let fits = bytes.len().min(state.free);
        self.file.append(&bytes[..fits])?;
        if state.free != usize::MAX {
            state.free -= fits;
        }
        state.files.entry(self.path.clone()).or_default().written += fits as u64;
        if fits < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let ready = &self.disk.0.1;
        let mut state = ready
            .wait_while(self.disk.state(), |state| state.busy)
            .unwrap();
        if state.failing {
            return Err(io::Error::other("input/output error"));
        }
        state.syncs += 1;
        let lengths = state.files.entry(self.path.clone()).or_default();
        lengths.durable = lengths.written;
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.failing {
            return Err(io::Error::other("input/output error"));
        }
        self.file.truncate(len)?;
        let lengths = state.files.entry(self.path.clone()).or_default();
        (lengths.written, lengths.durable) = (len, len);
        Ok(())
    }
}
