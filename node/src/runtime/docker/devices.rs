//! The devices of the host that the engine can give to containers.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use services::device::{NVIDIA_GPUS, is_common};

/// A host has some hundred; each is a path in the swarm's state.
const MAX_DEVICES: usize = 1_000;
const MAX_PATH: usize = 256;
/// Of folders in folders: `/dev/bus/usb/001/002` is four deep.
const MAX_DEPTH: usize = 5;

/// All of them, and the folders that have any; of NVIDIA's GPUs also what their
/// driver tells.
pub(super) async fn look() -> BTreeSet<String> {
    let found = tokio::task::spawn_blocking(|| {
        let mut found = below(Path::new("/dev"), is_common);
        let gpus = fs::read_dir(NVIDIA_GPUS).into_iter().flatten().flatten();
        found.extend(gpus.filter_map(|gpu| Some(gpu.path().to_str()?.to_owned())));
        found
    });
    // Only a look that panicked, or was cut off as the daemon ends, has none.
    found.await.unwrap_or_default()
}

fn below(root: &Path, is_common: fn(&str) -> bool) -> BTreeSet<String> {
    let mut walk = Walk {
        is_common,
        found: BTreeSet::new(),
    };
    walk.collect(root, MAX_DEPTH);
    walk.found
}

struct Walk {
    is_common: fn(&str) -> bool,
    found: BTreeSet<String>,
}

impl Walk {
    /// Whether there is any in the folder. What cannot be read is not there.
    fn collect(&mut self, folder: &Path, depth: usize) -> bool {
        let mut any = false;
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let Some(text) = path.to_str().filter(|text| text.len() <= MAX_PATH) else {
                continue;
            };
            let is_there = match entry.file_type() {
                Ok(kind) if kind.is_dir() && !(self.is_common)(text) => {
                    depth > 0 && self.collect(&path, depth - 1)
                }
                Ok(kind) if kind.is_symlink() => self.is_link_to_device(&path),
                Ok(kind) => kind.is_char_device() || kind.is_block_device(),
                Err(_) => false,
            };
            any |= is_there;
            // No service can name a path with a colon.
            let is_told = is_there && !(self.is_common)(text) && !text.contains(':');
            if is_told && self.found.len() < MAX_DEVICES {
                self.found.insert(text.to_owned());
            }
        }
        any
    }

    fn is_link_to_device(&self, link: &Path) -> bool {
        let Ok(target) = fs::canonicalize(link) else {
            return false;
        };
        let is_device = fs::metadata(&target).is_ok_and(|target| {
            let kind = target.file_type();
            kind.is_char_device() || kind.is_block_device()
        });
        is_device && target.to_str().is_some_and(|it| !(self.is_common)(it))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_to_devices_and_their_folders_are_found() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("serial/by-id")).unwrap();
        fs::create_dir(at("empty")).unwrap();
        fs::create_dir(at("char")).unwrap();
        symlink("/dev/null", at("serial/by-id/usb-gps")).unwrap();
        symlink("/dev/null", at("serial/by-id/usb:gps")).unwrap();
        symlink("/dev/zero", at("char/common")).unwrap();
        symlink("/nowhere", at("serial/by-id/usb-gone")).unwrap();
        fs::write(at("file"), "").unwrap();
        let found = below(root.path(), |path| path == "/dev/zero").into_iter();
        let names = found.map(|path| {
            let path = Path::new(&path).strip_prefix(root.path()).unwrap();
            path.to_str().unwrap().to_owned()
        });
        let names: Vec<String> = names.collect();
        assert_eq!(names, ["serial", "serial/by-id", "serial/by-id/usb-gps"]);
    }
}
