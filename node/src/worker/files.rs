//! Secrets and configs as files of this host, for containers to be given.
//!
//! ```text
//! <run directory>/tasks/            a tmpfs, which root alone may enter
//!     <task>/0, 1, 2…               one file per reference of the task
//! ```
//! The tmpfs is our own, mounted when the first file is needed: the run directory
//! may be on a disk, and `/run` is often mounted so that nothing on it can be
//! executed, which scripts that are given as configs have to be. Where the kernel
//! can, nothing of it is ever swapped out.
//!
//! Files are made before the container is created, and again before it is
//! started: after a reboot there are none. They are removed when the task has
//! ended, by whoever finds them without one: so a crash leaves nothing for long.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, DirEntry, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::fs::statfs;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use services::file::{FileKind, FileReference};
use services::{Assignment, Id};

use crate::control::lock;
use crate::runtime::FileMount;

/// `TMPFS_MAGIC` of `linux/magic.h`.
const TMPFS: i64 = 0x0102_1994;
/// Of the different secrets and configs of all tasks of this node, in bytes:
/// half of what the agent's record may have.
pub const MAX_FILES: usize = 128 << 20;
/// What a mode may say; set-uid bits have no meaning in a file that is mounted.
const PERMISSIONS: u32 = 0o777;

/// See the module. Clones are handles on the same directory.
#[derive(Debug, Clone)]
pub struct TaskFiles {
    root: PathBuf,
    /// Files are on a tmpfs of their own.
    in_memory: bool,
    /// Held by who looks whether it is mounted and changes that: steps of tasks
    /// are taken at the same time.
    mounting: Arc<Mutex<()>>,
    /// See [`left_out`](Self::left_out).
    left_out: Arc<Mutex<BTreeSet<Id>>>,
}

/// Why a task has not its files; some of them may be there.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("{kind} {name} is not in the swarm any more")]
    Gone { kind: FileKind, name: String },
    #[error(
        "{kind} {name} is left out: a node has no more than {} MiB of secrets and configs",
        MAX_FILES >> 20
    )]
    LeftOut { kind: FileKind, name: String },
    #[error("no files in memory for the task at {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

impl TaskFiles {
    /// Those of the node whose daemon runs in `run_dir`.
    pub fn of(run_dir: &Path) -> Self {
        Self {
            root: run_dir.join("tasks"),
            in_memory: true,
            mounting: Arc::default(),
            left_out: Arc::default(),
        }
    }

    /// On whatever `root` is on.
    #[cfg(test)]
    pub fn in_directory(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            in_memory: false,
            mounting: Arc::default(),
            left_out: Arc::default(),
        }
    }

    /// Makes the task's files, anew where there are any. Blocks for as long as
    /// it takes to copy them.
    pub fn place(&self, assignment: &Assignment) -> Result<Vec<FileMount>, FilesError> {
        let mut placed = Vec::new();
        let dir = self.root.join(assignment.task.to_string());
        for (number, (kind, reference)) in assignment.references().enumerate() {
            let content = assignment.files.get(&reference.id);
            let content = content.ok_or_else(|| self.missing(kind, reference))?;
            if number == 0 {
                self.make_room(&dir).map_err(at(&dir))?;
            }
            let source = dir.join(number.to_string());
            write(&source, reference, content.data.bytes()).map_err(at(&source))?;
            placed.push(FileMount {
                source,
                target: reference.path(kind),
            });
        }
        Ok(placed)
    }

    /// Secrets and configs that tasks of this node refer to and that it did not
    /// take, as with them it would have more than [`MAX_FILES`].
    pub fn left_out(&self) -> MutexGuard<'_, BTreeSet<Id>> {
        lock(&self.left_out)
    }

    fn missing(&self, kind: FileKind, reference: &FileReference) -> FilesError {
        let name = reference.name.clone();
        match self.left_out().contains(&reference.id) {
            true => FilesError::LeftOut { kind, name },
            false => FilesError::Gone { kind, name },
        }
    }

    fn make_room(&self, dir: &Path) -> io::Result<()> {
        let _mounting = lock(&self.mounting);
        make_private(&self.root)?;
        if self.in_memory && !is_mounted(&self.root)? {
            mount_tmpfs(&self.root)?;
        }
        make_private(dir)
    }

    /// Removes the files of all tasks but these. What cannot be removed keeps
    /// nothing else; the first error is told.
    pub fn keep(&self, tasks: &BTreeSet<Id>) -> io::Result<()> {
        let is_kept = |name: &str| name.parse().is_ok_and(|task: Id| tasks.contains(&task));
        // What lies there without a mount of ours is another's.
        match is_mounted(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Ok(false) if self.in_memory => return Ok(()),
            mounted => mounted?,
        };
        let entries = fs::read_dir(&self.root)?;
        let mut swept = Ok(());
        for entry in entries {
            let gone = entry.and_then(|entry| match entry.file_name().to_str() {
                Some(name) if is_kept(name) => Ok(()),
                _ => remove(&entry),
            });
            swept = swept.and(gone);
        }
        swept
    }

    /// Leaves nothing on the host.
    pub fn clear(&self) -> io::Result<()> {
        let _mounting = lock(&self.mounting);
        self.keep(&BTreeSet::new())?;
        if !self.root.exists() {
            return Ok(());
        }
        // One may hide another, if something else has mounted it as well.
        while self.in_memory && is_mounted(&self.root)? {
            // A container that runs on still sees its own files.
            unmount(&self.root, UnmountFlags::DETACH)?;
            self.keep(&BTreeSet::new())?;
        }
        fs::remove_dir(&self.root)
    }
}

fn remove(entry: &DirEntry) -> io::Result<()> {
    let path = entry.path();
    tracing::debug!(path = %path.display(), "the files of a task are removed");
    match entry.file_type()?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FilesError {
    let path = path.to_owned();
    move |source| FilesError::Io { path, source }
}

fn make_private(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::set_permissions(dir, Permissions::from_mode(0o700))
        }
        made => made,
    }
}

/// Whether a tmpfs begins there.
fn is_mounted(root: &Path) -> io::Result<bool> {
    let outside = root.parent().unwrap_or(root).metadata()?.dev();
    let begins = root.metadata()?.dev() != outside;
    Ok(begins && statfs(root)?.f_type as i64 == TMPFS)
}

fn mount_tmpfs(root: &Path) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let with = |options: &std::ffi::CStr| mount("tmpfs", root, "tmpfs", flags, options);
    match with(c"mode=0700,noswap") {
        // Older than Linux 6.4.
        Err(Errno::INVAL) => with(c"mode=0700")?,
        mounted => mounted?,
    }
    Ok(())
}

/// A new file, as a container that runs may still have the one before.
fn write(path: &Path, reference: &FileReference, data: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(data)?;
    let owner = file.metadata()?;
    if (owner.uid(), owner.gid()) != (reference.uid, reference.gid) {
        fchown(&file, Some(reference.uid), Some(reference.gid))?;
    }
    file.set_permissions(Permissions::from_mode(reference.mode & PERMISSIONS))
}

#[cfg(test)]
mod tests;
