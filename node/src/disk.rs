//! The data directory: what of a node outlives a reboot, and where it lies.
//!
//! ```text
//! lock        held by the running daemon
//! node.json   the advertised address and the managers last known (hints)
//! up.json     the site whose devices this one waits for
//! identity/   key, certificate, root, data key; see [`keys`]
//! raft/       log, vote and snapshots, on managers
//! agent/      assignments
//! network/    what the overlay's driver has promised the engine
//! ```
//! A node is part of a swarm if and only if it has a certificate.

mod directory;
pub mod kept;
pub mod keys;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use certs::NodeId;
use serde::{Deserialize, Serialize};

use crate::site::file::Pending;

#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    _lock: File,
}

/// Hints that save a search after a reboot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFile {
    /// Where it listens, where that differs from the daemon's flag.
    pub listen: Option<SocketAddr>,
    /// Where this node answers, as it told the swarm.
    pub addr: SocketAddr,
    /// `addr` was one of this device's own and nobody chose it: when the device
    /// gets another one, that takes its place.
    #[serde(default)]
    pub follows: bool,
    /// Where alone the data port answers; `None`: wherever the control port does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_addr: Option<IpAddr>,
    pub managers: Vec<(NodeId, SocketAddr)>,
}

impl DataDir {
    /// Opens or makes the directory, for this process alone.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(root)
            .with_context(|| format!("cannot create the data directory {}", root.display()))?;
        let path = root.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another swarmlet daemon uses {}; stop it, or choose another --data-dir",
                root.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        Ok(Self {
            root: root.to_path_buf(),
            _lock: lock,
        })
    }

    pub fn identity(&self) -> PathBuf {
        self.root.join("identity")
    }

    pub fn raft(&self) -> PathBuf {
        self.root.join("raft")
    }

    pub fn agent(&self) -> PathBuf {
        self.root.join("agent")
    }

    pub fn network(&self) -> PathBuf {
        self.root.join("network")
    }

    pub fn node_file(&self) -> anyhow::Result<Option<NodeFile>> {
        let path = self.root.join("node.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is damaged", path.display()))
            .map(Some)
    }

    /// Written only where it differs: an idle node writes nothing.
    pub fn save_node_file(&self, file: &NodeFile) -> anyhow::Result<()> {
        if self.node_file().ok().flatten().as_ref() == Some(file) {
            return Ok(());
        }
        let path = self.root.join("node.json");
        write_atomically(&self.root, &path, &serde_json::to_vec_pretty(file)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// The site whose devices this one waits for. Damage is as good as nothing:
    /// `up` can be said again.
    pub fn pending(&self) -> anyhow::Result<Option<Pending>> {
        let path = self.root.join("up.json");
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .with_context(|| format!("{} is damaged", path.display()))
                .map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    pub fn save_pending(&self, pending: &Pending) -> anyhow::Result<()> {
        let path = self.root.join("up.json");
        write_atomically(&self.root, &path, &serde_json::to_vec_pretty(pending)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    pub fn forget_pending(&self) -> anyhow::Result<()> {
        match fs::remove_file(self.root.join("up.json")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// What is left of a swarm that this node is no longer, or not quite, part
    /// of. The name says what stands in the way.
    pub fn leftover(&self) -> Option<PathBuf> {
        [self.raft(), self.agent()]
            .into_iter()
            .find(|path| fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()))
    }

    /// Removes all that is of a swarm, the certificate first.
    pub fn clear(&self) -> anyhow::Result<()> {
        for path in [self.identity(), self.raft(), self.agent(), self.network()] {
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", path.display()));
                }
                _ => {}
            }
        }
        match fs::remove_file(self.root.join("node.json")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Readable by its owner only, as temporary files are.
fn write_atomically(dir: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(content)?;
    file.as_file().sync_data()?;
    file.persist(path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_on_the_same_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).unwrap();
        let second = DataDir::open(dir.path()).unwrap_err();
        assert!(second.to_string().contains("another swarmlet daemon"));
        drop(first);
        DataDir::open(dir.path()).unwrap();
    }

    #[test]
    fn clearing_leaves_nothing_of_the_swarm() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        keys::load(&data.identity()).unwrap();
        fs::create_dir_all(data.raft().join("log")).unwrap();
        assert_eq!(data.leftover(), Some(data.raft()));
        data.clear().unwrap();
        assert_eq!(data.leftover(), None);
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "the lock alone: {left:?}");
    }
}
