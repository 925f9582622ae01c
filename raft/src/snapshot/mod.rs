//! Snapshots on disk: at most one is current, and it is always whole.
//!
//! A snapshot is written to a temporary file, made durable, and renamed. So a
//! crash leaves the one before, and perhaps a temporary file that the next
//! start removes.

mod format;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use certs::{ClusterId, seal::DataKey};

pub(crate) use self::format::{SnapshotReader, SnapshotWriter};
use crate::{
    error::{OpenError, damaged},
    log::disk::sync_dir,
    types::{SnapshotMeta, term_of},
};

/// The directory of snapshots. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Snapshots {
    dir: PathBuf,
    cluster: ClusterId,
    key: DataKey,
}

/// Numbers the temporary files of this process.
static TEMPORARY: AtomicU64 = AtomicU64::new(0);

/// A whole snapshot, readable even after its file was removed.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotFile {
    pub meta: SnapshotMeta,
    path: PathBuf,
    file: Arc<File>,
    /// Removes the file with the last clone, unless it was adopted.
    _temporary: Option<Arc<Temporary>>,
}

/// A snapshot that is being written.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub writer: SnapshotWriter,
    meta: SnapshotMeta,
    path: Temporary,
}

/// A name under which there is no file when this is dropped.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Snapshots {
    /// Opens the directory and removes what was not finished.
    pub fn open(dir: PathBuf, cluster: ClusterId, key: DataKey) -> Result<Self, OpenError> {
        let io = |action, error| OpenError::io(action, &dir, error);
        fs::create_dir_all(&dir).map_err(|error| io("create", error))?;
        for path in files(&dir, "tmp").map_err(|error| io("read", error))? {
            fs::remove_file(&path).map_err(|error| OpenError::io("remove", &path, error))?;
        }
        Ok(Self { dir, cluster, key })
    }

    /// The newest snapshot.
    ///
    /// # Errors
    ///
    /// `InvalidData` if its beginning is damaged.
    pub fn current(&self) -> io::Result<Option<SnapshotFile>> {
        match files(&self.dir, "snap")?.pop() {
            Some(path) => self.file(path).map(Some),
            None => Ok(None),
        }
    }

    /// Reads the newest snapshot to its end, to find damage before it is used.
    pub fn verify(&self) -> Result<(), OpenError> {
        let io = |error| OpenError::io("read", &self.dir, error);
        let Some(path) = files(&self.dir, "snap").map_err(io)?.pop() else {
            return Ok(());
        };
        let mut offset = 0;
        let mut read = || {
            let mut reader = self.reader(&self.file(path.clone())?)?;
            let copied = io::copy(&mut reader, &mut io::sink());
            offset = reader.offset();
            copied
        };
        match read() {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(damaged(&path, offset as usize, &error.to_string()))
            }
            Err(error) => Err(OpenError::io("read", &path, error)),
        }
    }

    /// Whether the disk has room for another snapshot like the current one. A
    /// snapshot that is not needed must not be what fills a disk, since the log
    /// could then not go on either.
    pub fn has_room(&self) -> io::Result<bool> {
        let last = match files(&self.dir, "snap")?.pop() {
            Some(path) => fs::metadata(path)?.len(),
            None => 0,
        };
        let disk = rustix::fs::statvfs(&self.dir)?;
        Ok(is_enough(disk.f_bavail.saturating_mul(disk.f_frsize), last))
    }

    pub fn reader(&self, snapshot: &SnapshotFile) -> io::Result<SnapshotReader> {
        let file = Arc::clone(&snapshot.file);
        let opened = SnapshotReader::new(file, &self.key, self.cluster);
        opened
            .map(|(_, reader)| reader)
            .map_err(|error| format::in_file(&snapshot.path, &error))
    }

    /// Begins a snapshot under a temporary name.
    pub fn begin(&self, meta: SnapshotMeta) -> io::Result<Incoming> {
        let number = TEMPORARY.fetch_add(1, Ordering::Relaxed);
        let path = Temporary(self.dir.join(format!("{number}.tmp")));
        let file = File::create(&path.0)?;
        Ok(Incoming {
            writer: SnapshotWriter::new(file, &self.key, self.cluster, &meta)?,
            meta,
            path,
        })
    }

    /// Makes a finished snapshot the current one and removes those before it.
    /// Does nothing if it is already.
    pub fn adopt(&self, snapshot: &SnapshotFile) -> io::Result<SnapshotFile> {
        let path = self.dir.join(file_name(&snapshot.meta));
        if snapshot.path != path {
            fs::rename(&snapshot.path, &path)?;
            sync_dir(&self.dir)?;
            for other in files(&self.dir, "snap")? {
                if other != path {
                    fs::remove_file(other)?;
                }
            }
        }
        Ok(SnapshotFile {
            path,
            _temporary: None,
            ..snapshot.clone()
        })
    }

    fn file(&self, path: PathBuf) -> io::Result<SnapshotFile> {
        let file = Arc::new(File::open(&path)?);
        let (meta, _) = SnapshotReader::new(Arc::clone(&file), &self.key, self.cluster)
            .map_err(|error| format::in_file(&path, &error))?;
        Ok(SnapshotFile {
            meta,
            path,
            file,
            _temporary: None,
        })
    }
}

impl Incoming {
    /// Makes the file durable. It is not current before it is adopted.
    pub fn finish(self) -> io::Result<SnapshotFile> {
        self.writer.finish()?;
        let file = Arc::new(File::open(&self.path.0)?);
        Ok(SnapshotFile {
            meta: self.meta,
            path: self.path.0.clone(),
            file,
            _temporary: Some(Arc::new(self.path)),
        })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let Err(error) = fs::remove_file(&self.0) else {
            return;
        };
        if error.kind() != io::ErrorKind::NotFound {
            let file = self.0.display();
            tracing::warn!(%file, %error, "a temporary file stays until the next start");
        }
    }
}

/// The next snapshot may have grown, and the log needs its room beside it.
fn is_enough(free: u64, last_snapshot: u64) -> bool {
    const FOR_THE_LOG: u64 = 16 << 20;
    free >= last_snapshot.saturating_mul(2).saturating_add(FOR_THE_LOG)
}

/// Sorts by the last entry that is covered.
fn file_name(meta: &SnapshotMeta) -> String {
    let (index, term) = meta
        .last_log_id
        .map_or((0, 0), |id| (id.index, term_of(&id)));
    format!("{index:020}-{term}.snap")
}

fn files(dir: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for file in fs::read_dir(dir)? {
        let path = file?.path();
        if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
