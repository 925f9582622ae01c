//! The few things that the log writes to a disk, so that a test can let them
//! fail. Everything else (reading, names, removal) is plain `std::fs`.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// Where segments are written.
pub(crate) trait Disk: fmt::Debug + Send + Sync + 'static {
    /// A new file; it is an error if it exists.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
}

/// A file that is appended to.
pub(crate) trait DiskFile: fmt::Debug + Send {
    /// After an error, the file may hold a part of `bytes`.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything appended durable. After an error nothing is known about
    /// what was appended since the last success.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file, durably.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// The operating system's files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OsDisk;

impl Disk for OsDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(path)?;
        Ok(Box::new(file))
    }
}

impl DiskFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        self.sync_all()
    }
}

/// Cuts a file that is not being appended to, durably.
pub(crate) fn truncate(path: &Path, len: u64) -> io::Result<()> {
    DiskFile::truncate(&mut OpenOptions::new().write(true).open(path)?, len)
}

/// Makes the creation, renaming and removal of files in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
