//! The control groups that engines leave.
//!
//! Every engine makes its containers' groups below `/swarmlet-testnet/NAME/hN`
//! in each hierarchy. They outlive their processes (a host without power cannot
//! tidy up), so they are removed from outside, deepest first.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Context, Result};
use crate::wait::wait_for;

/// The group above those of all testnets.
pub const ROOT: &str = "swarmlet-testnet";

/// `--cgroup-parent` of a host's engine.
pub fn of_host(testnet: &str, host: &str) -> String {
    format!("/{ROOT}/{testnet}/{host}")
}

/// The group of a whole testnet.
pub fn of_testnet(testnet: &str) -> String {
    format!("/{ROOT}/{testnet}")
}

/// The folders of group `group` in all hierarchies that have it.
pub fn folders(group: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    hierarchies(&mounts)
        .into_iter()
        .map(|root| root.join(group.trim_start_matches('/')))
        .filter(|folder| folder.is_dir())
        .collect()
}

/// Removes `group` with all below it, and the common root with the last testnet.
///
/// Waits for processes in it to be gone: the kernel takes a moment to release
/// a group after its last process ended.
pub fn remove(group: &str) -> Result<()> {
    for folder in folders(group) {
        wait_for(
            "the control groups to empty",
            Duration::from_secs(10),
            || remove_tree(&folder).context(|| format!("remove {}", folder.display())),
        )?;
    }
    for root in folders(ROOT) {
        // Stays while another testnet is below it.
        let _ = fs::remove_dir(root);
    }
    Ok(())
}

fn remove_tree(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

/// Mount points of cgroup hierarchies (versions 1 and 2) in a mountinfo text.
fn hierarchies(mountinfo: &str) -> Vec<PathBuf> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (mount, fs) = line.split_once(" - ")?;
            let kind = fs.split(' ').next()?;
            let point = mount.split(' ').nth(4)?;
            matches!(kind, "cgroup" | "cgroup2").then(|| PathBuf::from(point))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found() {
        let mountinfo = "30 23 0:25 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
             31 30 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
             40 30 0:35 / /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw\n";
        assert_eq!(
            hierarchies(mountinfo),
            [
                PathBuf::from("/sys/fs/cgroup/cpu"),
                PathBuf::from("/sys/fs/cgroup/unified")
            ]
        );
    }

    #[test]
    fn removing_a_group_that_never_was_is_fine() {
        assert!(remove("/swarmlet-testnet-never-was/x").is_ok());
    }
}
