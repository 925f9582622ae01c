//! Small private files: a change is all there or not there, whatever happens to the power.
//!
//! Directories are 0700 and files 0600. A file is written beside its place, synced, renamed over
//! it, and the directory is synced; content that is already there is not written again.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::error::Error;

/// No file of an identity comes near this; a larger one is not ours.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Makes the directory, readable by its owner only, if it is missing.
pub(crate) fn create_dir(path: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(io_error("create", path))
}

/// The content as text; `None` if there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<String>>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("read", path)(error)),
    };
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_FILE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(io_error("read", path))?;
    // Whatever is not text fails to parse, with an error that names the file.
    Ok(Some(Zeroizing::new(
        String::from_utf8_lossy(&bytes).into_owned(),
    )))
}

/// Puts `content` there, unless it already is.
pub(crate) fn write(path: &Path, content: &str) -> Result<(), Error> {
    if read(path)?.is_some_and(|present| *present == content) {
        return Ok(());
    }
    replace(path, content).map_err(io_error("write", path))
}

/// Removes the file and what a crash may have left beside it; one that is missing is fine.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    for path in [&temporary(path), path] {
        match fs::remove_file(path) {
            Ok(()) => sync_parent(path).map_err(io_error("remove", path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("remove", path)(error)),
        }
    }
    Ok(())
}

fn replace(path: &Path, content: &str) -> io::Result<()> {
    let temporary = temporary(path);
    let written = write_synced(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report; a leftover is overwritten next time.
        let _ = fs::remove_file(&temporary);
    }
    written.and_then(|()| sync_parent(path))
}

fn write_synced(path: &Path, content: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
