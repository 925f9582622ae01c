//! Where testnets keep their files, and who may change them when.
//!
//! A testnet is a folder below one base (`/var/tmp/swarmlet-testnet`, or
//! `$SWARMLET_TESTNET_DIR`): the plan, the programs its hosts run, and a disk
//! per host, which is why a booted host finds what a killed one wrote. The
//! folder appears complete in one rename. Locks are held on the folders
//! themselves, so that nothing but they must be removed.
//!
//! Which processes run is *not* stored: the kernel knows better, see `procs`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::error::{Context, Error, Result};
use crate::plan::{self, Plan};
use crate::testnet::Options;

const BASE: &str = "/var/tmp/swarmlet-testnet";
const PLAN_FILE: &str = "testnet.json";
const ADDRESS_FILE: &str = "address";

/// All testnets of this machine.
#[derive(Debug, Clone)]
pub struct Store {
    base: PathBuf,
}

impl Store {
    /// The store named by `$SWARMLET_TESTNET_DIR`, or the default one.
    pub fn from_env() -> Self {
        let base = std::env::var_os("SWARMLET_TESTNET_DIR").map_or(BASE.into(), PathBuf::from);
        Self {
            base: std::path::absolute(&base).unwrap_or(base),
        }
    }

    /// Lays out a new testnet's folder with a free subnet.
    pub fn create(&self, options: &Options) -> Result<NetDir> {
        let name = &*options.name;
        let mut plan = Plan::new(name, 0, options.hosts)?;
        plan.daemon_args.clone_from(&options.daemon_args);
        plan.mtu = options.mtu;
        let _base = self.lock_base()?;
        let dir = self.dir(name)?;
        if dir.path.exists() {
            return Err(Error::AlreadyUp(name.to_owned()));
        }
        let taken: BTreeSet<u8> = self
            .list()
            .iter()
            .filter_map(|dir| dir.plan().ok())
            .map(|plan| plan.subnet)
            .collect();
        plan.subnet = plan::free_subnet(&taken)?;

        let draft = tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(&self.base)
            .context(|| format!("make a folder in {}", self.base.display()))?;
        let json = serde_json::to_vec_pretty(&plan).context(|| "write the plan".into())?;
        write(&draft.path().join(PLAN_FILE), &json)?;
        make_dir(&draft.path().join("bin"))?;
        for host in plan.hosts() {
            HostDir(draft.path().join(host.name)).lay_out()?;
        }
        fs::rename(draft.keep(), &dir.path).context(|| format!("make {}", dir.path.display()))?;
        Ok(dir)
    }

    /// The folder of an existing testnet.
    pub fn open(&self, name: &str) -> Result<NetDir> {
        let dir = self.dir(name)?;
        if dir.path.is_dir() {
            Ok(dir)
        } else {
            Err(Error::NotUp(name.to_owned()))
        }
    }

    /// Where a testnet of that name is or would be.
    pub fn dir(&self, name: &str) -> Result<NetDir> {
        plan::check_name(name)?;
        Ok(NetDir {
            path: self.base.join(name),
            name: name.to_owned(),
        })
    }

    /// Every testnet, by name.
    pub fn list(&self) -> Vec<NetDir> {
        let names: BTreeSet<String> = fs::read_dir(&self.base)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names
            .iter()
            .filter_map(|name| self.open(name).ok())
            .collect()
    }

    /// Forgets a testnet whose hosts are gone, and the base with the last one.
    pub(crate) fn remove(&self, dir: &NetDir) -> Result<()> {
        let _base = self.lock_base()?;
        match fs::remove_dir_all(&dir.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).context(|| format!("remove {}", dir.path.display()))?;
            }
            _ => {}
        }
        for entry in fs::read_dir(&self.base).into_iter().flatten().flatten() {
            // Left by an `up` that was killed before its folder was complete;
            // nobody else drafts while the base is locked.
            if entry.file_name().to_string_lossy().starts_with(".new-") {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        // Fails while other testnets are up, which is the point.
        let _ = fs::remove_dir(&self.base);
        Ok(())
    }

    fn lock_base(&self) -> Result<File> {
        loop {
            make_dir(&self.base)?;
            if let Some(lock) = lock_dir(&self.base, FlockOperation::LockExclusive)? {
                return Ok(lock);
            }
        }
    }
}

/// The folder of one testnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetDir {
    pub path: PathBuf,
    pub name: String,
}

impl NetDir {
    /// The plan it was made with.
    pub fn plan(&self) -> Result<Plan> {
        read_plan(&self.path)
    }

    /// The folder with the programs that its hosts run.
    pub fn bin(&self) -> PathBuf {
        self.path.join("bin")
    }

    /// The archive of the images that its engines hold.
    pub fn images(&self) -> PathBuf {
        self.path.join("images.tar")
    }

    /// One host's disk.
    pub fn host(&self, host: &str) -> HostDir {
        HostDir(self.path.join(host))
    }

    /// Keeps the testnet from being taken down meanwhile.
    pub(crate) fn share(&self) -> Result<File> {
        self.lock(FlockOperation::LockShared)
    }

    /// Keeps everybody else from changing the testnet.
    pub(crate) fn own(&self) -> Result<File> {
        self.lock(FlockOperation::LockExclusive)
    }

    fn lock(&self, how: FlockOperation) -> Result<File> {
        lock_dir(&self.path, how)?.ok_or_else(|| Error::NotUp(self.name.clone()))
    }
}

/// The disk of one host: what survives its power.
#[derive(Debug, Clone)]
pub struct HostDir(pub PathBuf);

impl HostDir {
    /// Logs of the host's init, engine and daemon, appended to over boots.
    pub fn logs(&self) -> PathBuf {
        self.0.join("log")
    }

    /// `/var/lib/docker` of the host.
    pub fn docker(&self) -> PathBuf {
        self.0.join("docker")
    }

    /// `/var/lib/swarmlet` of the host.
    pub fn swarmlet(&self) -> PathBuf {
        self.0.join("swarmlet")
    }

    /// What the host wrote over the machine's folder `of` (see `init::disk`).
    pub(crate) fn overlay(&self, of: &str) -> PathBuf {
        self.0
            .join("overlay")
            .join(of.trim_start_matches('/').replace('/', "-"))
    }

    /// Is the network cable in?
    pub fn cable_in(&self) -> bool {
        !self.0.join("cable-cut").exists()
    }

    pub(crate) fn set_cable(&self, plugged: bool) -> Result<()> {
        let mark = self.0.join("cable-cut");
        if plugged {
            match fs::remove_file(&mark) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
                done => done.context(|| format!("remove {}", mark.display())),
            }
        } else {
            write(&mark, b"")
        }
    }

    /// The address of its last lease, when that is not the planned one.
    pub(crate) fn address(&self) -> Option<Ipv4Addr> {
        fs::read_to_string(self.0.join(ADDRESS_FILE))
            .ok()?
            .parse()
            .ok()
    }

    pub(crate) fn set_address(&self, address: Ipv4Addr) -> Result<()> {
        write(&self.0.join(ADDRESS_FILE), address.to_string().as_bytes())
    }

    /// One writer per host: power and cable.
    pub(crate) fn own(&self) -> Result<File> {
        lock_dir(&self.0, FlockOperation::LockExclusive)?
            .ok_or_else(|| Error::NotUp(self.0.display().to_string()))
    }

    fn lay_out(&self) -> Result<()> {
        for dir in [self.logs(), self.docker(), self.swarmlet()] {
            make_dir(&dir)?;
        }
        Ok(())
    }
}

/// Reads the plan in a testnet's folder.
pub(crate) fn read_plan(net_dir: &Path) -> Result<Plan> {
    let path = net_dir.join(PLAN_FILE);
    let damaged = |reason: String| Error::Damaged {
        path: path.clone(),
        reason,
    };
    let json = fs::read(&path).map_err(|e| damaged(e.to_string()))?;
    serde_json::from_slice(&json).map_err(|e| damaged(e.to_string()))
}

pub(crate) fn make_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .context(|| format!("make {}", path.display()))
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).context(|| format!("write {}", path.display()))
}

/// `None` when the folder is gone, or went while we waited for it.
fn lock_dir(path: &Path, how: FlockOperation) -> Result<Option<File>> {
    let dir = match File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.context(|| format!("open {}", path.display()))?,
    };
    flock(&dir, how).context(|| format!("lock {}", path.display()))?;
    let ours = dir.metadata().map(|m| m.ino()).ok();
    let there = fs::metadata(path).map(|m| m.ino()).ok();
    Ok((ours == there).then_some(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let temp = tempfile::tempdir().unwrap();
        let base = temp.path().join("nets");
        (temp, Store { base })
    }

    #[test]
    fn two_testnets_get_different_subnets() {
        let (_temp, store) = store();
        let a = store.create(&Options::new("a", 1)).unwrap().plan().unwrap();
        let b = store.create(&Options::new("b", 1)).unwrap().plan().unwrap();
        assert_eq!((a.subnet, b.subnet), (1, 2));
    }

    #[test]
    fn a_name_in_use_is_refused_and_left_alone() {
        let (_temp, store) = store();
        store.create(&Options::new("a", 2)).unwrap();
        assert!(matches!(
            store.create(&Options::new("a", 3)),
            Err(Error::AlreadyUp(_))
        ));
        assert_eq!(store.open("a").unwrap().plan().unwrap().host_count, 2);
    }

    #[test]
    fn removing_the_last_testnet_removes_the_base() {
        let (_temp, store) = store();
        let a = store.create(&Options::new("a", 1)).unwrap();
        let b = store.create(&Options::new("b", 1)).unwrap();
        store.remove(&a).unwrap();
        assert_eq!(store.list(), std::slice::from_ref(&b));
        store.remove(&b).unwrap();
        assert!(!store.base.exists());
    }

    #[test]
    fn a_folder_that_went_while_waiting_is_not_locked() {
        let (_temp, store) = store();
        let dir = store.create(&Options::new("a", 1)).unwrap();
        let lock = dir.own().unwrap();
        store.remove(&dir).unwrap();
        drop(lock);
        assert!(matches!(dir.own(), Err(Error::NotUp(_))));
    }

    #[test]
    fn the_last_lease_is_remembered() {
        let (_temp, store) = store();
        let host = store.create(&Options::new("a", 1)).unwrap().host("h1");
        assert_eq!(host.address(), None);
        let lease = Ipv4Addr::new(10, 99, 1, 101);
        host.set_address(lease).unwrap();
        assert_eq!(host.address(), Some(lease));
    }

    #[test]
    fn the_cable_stays_as_it_was_left() {
        let (_temp, store) = store();
        let host = store.create(&Options::new("a", 1)).unwrap().host("h1");
        assert!(host.cable_in());
        host.set_cable(false).unwrap();
        assert!(!host.cable_in());
        host.set_cable(true).unwrap();
        host.set_cable(true).unwrap();
        assert!(host.cable_in());
    }
}
