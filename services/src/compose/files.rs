//! The files that a project is read from, as the loader sees them.

use std::path::Path;

/// How many bytes one file may have.
pub const MAX_FILE: usize = 1 << 20;
/// How many files one project may have, of all kinds.
pub const MAX_FILES: usize = 256;

/// Where the loader reads files: a disk, or a tree in memory.
pub trait Files {
    /// The whole of a file.
    ///
    /// # Errors
    /// Why it cannot be had. One of more than `limit` bytes is not read to its
    /// end.
    fn read(&self, path: &Path, limit: usize) -> Result<Vec<u8>, FileError>;
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    #[error("there is no such file")]
    Missing,
    #[error("the file has more than {MAX_FILE} bytes")]
    TooLarge,
    #[error("{0}")]
    Unreadable(String),
}
