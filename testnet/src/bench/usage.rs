//! What the processes of a host have used, and what changed on its disk.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use swarmlet_testnet::Host;
use swarmlet_testnet::procs::{self, Usage};

/// The name under which the daemon is watched.
pub const SWARMLET: &str = "swarmlet";
const DATA_DIR: &str = "/var/lib/swarmlet";

/// A process that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    pub name: &'static str,
    pid: i32,
}

impl Watched {
    /// swarmlet, dockerd and dockerd's containerd of a host.
    pub fn of(host: &Host) -> Result<Vec<Self>> {
        let (daemon, engine) = (host.daemon().pid()?, host.engine().pid()?);
        let containerd = child_called(engine, "containerd")
            .with_context(|| format!("{}: dockerd has no containerd", host.name()))?;
        let watched = |name, pid| Self { name, pid };
        Ok(vec![
            watched(SWARMLET, daemon),
            watched("dockerd", engine),
            watched("containerd", containerd),
        ])
    }

    /// What it has used so far.
    pub fn usage(&self) -> Result<Usage> {
        Ok(procs::usage(self.pid)?)
    }
}

fn child_called(parent: i32, name: &str) -> Option<i32> {
    let threads = fs::read_dir(format!("/proc/{parent}/task")).ok()?;
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .find(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c.trim() == name))
        .and_then(|pid| pid.parse().ok())
}

/// Size and time of the last change of everything below a folder.
pub type Listing = BTreeMap<PathBuf, (u64, i64, i64)>;

/// Everything below the host's data directory.
pub fn data_dir(host: &Host) -> Result<Listing> {
    let root = host.path(DATA_DIR)?;
    let mut listing = Listing::new();
    list(&root, &root, &mut listing).with_context(|| format!("list {}", root.display()))?;
    Ok(listing)
}

fn list(root: &Path, folder: &Path, into: &mut Listing) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let meta = match fs::symlink_metadata(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            meta => meta?,
        };
        let name = path.strip_prefix(root).unwrap_or(&path).to_owned();
        into.insert(name, (meta.size(), meta.mtime(), meta.mtime_nsec()));
        if meta.is_dir() {
            list(root, &path, into)?;
        }
    }
    Ok(())
}

/// Paths that are not the same in both.
pub fn changed(before: &Listing, after: &Listing) -> Vec<String> {
    let paths = before
        .keys()
        .chain(after.keys().filter(|path| !before.contains_key(*path)));
    paths
        .filter(|path| before.get(*path) != after.get(*path))
        .map(|path| path.display().to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_grown_touched_and_removed_files_are_changes() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        for name in ["same", "grows", "goes"] {
            fs::write(root.join(name), "1").unwrap();
        }
        fs::create_dir(root.join("sub")).unwrap();
        let take = || {
            let mut listing = Listing::new();
            list(root, root, &mut listing).unwrap();
            listing
        };
        let before = take();
        assert!(changed(&before, &take()).is_empty());
        fs::write(root.join("grows"), "22").unwrap();
        fs::remove_file(root.join("goes")).unwrap();
        fs::write(root.join("sub/new"), "").unwrap();
        let changes = changed(&before, &take());
        for name in ["goes", "grows", "sub/new"] {
            assert!(changes.contains(&name.to_owned()), "{changes:?}");
        }
        assert!(!changes.contains(&"same".to_owned()), "{changes:?}");
    }

    #[test]
    fn a_child_is_found_by_its_name() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        let found =
            swarmlet_testnet::wait_for("the child", std::time::Duration::from_secs(5), || {
                child_called(me, "sleep").ok_or("none")
            });
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found.unwrap(), i32::try_from(child.id()).unwrap());
        assert_eq!(child_called(me, "no-such-name"), None);
    }
}
