//! A testnet as a whole: up, listed, down.
//!
//! `up` lays out the folder, starts the switch, and boots all hosts at once.
//! `down` needs none of what `up` remembered: it removes by name what the
//! kernel and the disk still hold, so it also clears away a testnet whose `up`
//! was killed half way.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::mount::{UnmountFlags, unmount};

use crate::artifacts::Artifacts;
use crate::error::{Context, Error, Result};
use crate::host::Host;
use crate::init::check_place;
use crate::plan::{ETHERNET_MTU, Plan};
use crate::store::{NetDir, Store, make_dir};
use crate::wait::wait_for;
use crate::{cable, cgroups, procs, swarm};

/// What to raise.
#[derive(Debug, Clone)]
pub struct Options {
    /// Testnets with different names live side by side.
    pub name: String,
    /// How many hosts, 1 to [`crate::plan::MAX_HOSTS`].
    pub hosts: usize,
    /// Form a swarm of all hosts (the first three are managers).
    pub swarm: bool,
    /// Arguments for every `swarmlet daemon`.
    pub daemon_args: Vec<String>,
    /// The longest packet that the cables carry, in bytes.
    pub mtu: u16,
    /// Leave it up when the [`Testnet`] is dropped, also after a failed `up`.
    pub keep: bool,
    /// Where the hosts' logs are copied when it is dropped and not kept.
    pub logs: Option<PathBuf>,
}

impl Options {
    /// `hosts` hosts called after `name`, in a swarm, down when dropped.
    pub fn new(name: &str, hosts: usize) -> Self {
        Self {
            name: name.to_owned(),
            hosts,
            swarm: true,
            daemon_args: Vec::new(),
            mtu: ETHERNET_MTU,
            keep: false,
            logs: None,
        }
    }
}

/// A testnet that is up.
#[derive(Debug)]
pub struct Testnet {
    store: Store,
    dir: NetDir,
    plan: Plan,
    keep: bool,
    logs: Option<PathBuf>,
}

impl Testnet {
    /// Raises hosts; returns when every engine and daemon answers and, if
    /// asked for, the swarm has all its nodes.
    pub fn up(artifacts: &Artifacts, options: &Options) -> Result<Self> {
        if options.swarm && artifacts.swarmlet.is_none() {
            return Err(Error::Machine("a swarm needs the swarmlet binary".into()));
        }
        let store = Store::from_env();
        check_place(&store.dir(&options.name)?.path)?;
        let dir = store.create(options)?;
        let net = Self {
            plan: dir.plan()?,
            store,
            dir,
            keep: options.keep,
            logs: options.logs.clone(),
        };
        {
            let _own = net.dir.own()?;
            net.install(artifacts)?;
            net.start_switch()?;
            net.boot_all()?;
        }
        if options.swarm {
            swarm::form(&net)?;
        }
        Ok(net)
    }

    /// A testnet that was raised before; it stays up when this is dropped.
    pub fn open(name: &str) -> Result<Self> {
        let store = Store::from_env();
        let dir = store.open(name)?;
        Ok(Self {
            plan: dir.plan()?,
            store,
            dir,
            keep: true,
            logs: None,
        })
    }

    /// Names of all testnets that are up.
    pub fn names() -> Vec<String> {
        let dirs = Store::from_env().list();
        dirs.into_iter().map(|dir| dir.name).collect()
    }

    /// Removes everything that a testnet of that name has on this machine.
    /// Returns false when there was nothing.
    pub fn down(name: &str) -> Result<bool> {
        let store = Store::from_env();
        let dir = store.dir(name)?;
        // None: an earlier `down` may have been stopped after the folder went.
        let own = match dir.own() {
            Err(Error::NotUp(_)) => None,
            lock => Some(lock?),
        };
        let existed = own.is_some() || !procs::of_testnet(&dir.path).is_empty();
        take_apart(&store, &dir)?;
        Ok(existed)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// Its folder on this machine.
    pub fn path(&self) -> &Path {
        &self.dir.path
    }

    /// The host called `name` (h1, h2, …).
    pub fn host(&self, name: &str) -> Result<Host> {
        Ok(Host::new(self.dir.clone(), self.plan.host(name)?))
    }

    /// All hosts, h1 first.
    pub fn hosts(&self) -> Vec<Host> {
        self.plan
            .hosts()
            .map(|plan| Host::new(self.dir.clone(), plan))
            .collect()
    }

    /// Leaves it up when this is dropped.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// Copies the hosts' logs to `to`, a folder per host.
    pub fn copy_logs(&self, to: &Path) -> Result<()> {
        for host in self.hosts() {
            let folder = to.join(host.name());
            make_dir(&folder)?;
            let logs = fs::read_dir(host.logs()).context(|| "read the logs".into())?;
            for log in logs.flatten() {
                fs::copy(log.path(), folder.join(log.file_name()))
                    .context(|| format!("copy {}", log.path().display()))?;
            }
        }
        Ok(())
    }

    /// Puts the programs into the testnet's folder: a build meanwhile does not
    /// change what its hosts run.
    fn install(&self, artifacts: &Artifacts) -> Result<()> {
        let bin = self.dir.bin();
        install(&artifacts.testnet, &bin.join("testnet"))?;
        if let Some(swarmlet) = &artifacts.swarmlet {
            install(swarmlet, &bin.join("swarmlet"))?;
        }
        install(&artifacts.images.archive, &self.dir.images())
    }

    fn start_switch(&self) -> Result<()> {
        let mut switch = Command::new("unshare")
            .args(["--net", "--"])
            .arg(self.dir.bin().join("testnet"))
            .args(procs::verb_args(procs::SWITCH_VERB, &self.dir.path, None))
            .current_dir("/")
            .process_group(0)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context(|| "start the switch".into())?;
        thread::spawn(move || switch.wait());
        let pid = wait_for("the switch", Duration::from_secs(10), || {
            procs::switch_of(&self.dir.path).ok_or("no such process")
        })?;
        cable::lay_bridge(pid)
    }

    pub(crate) fn switch(&self) -> Result<i32> {
        procs::switch_of(&self.dir.path)
            .ok_or_else(|| Error::Machine("the switch is gone: take the testnet down".into()))
    }

    fn boot_all(&self) -> Result<()> {
        let hosts = self.hosts();
        thread::scope(|scope| {
            let boots: Vec<_> = hosts
                .iter()
                .map(|host| scope.spawn(|| host.power_on()))
                .collect();
            // All are awaited, the first error is the one that is told.
            let done: Vec<Result<()>> = boots
                .into_iter()
                .map(|boot| boot.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .collect();
            done.into_iter().collect()
        })
    }
}

impl Drop for Testnet {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Some(to) = &self.logs
            && let Err(e) = self.copy_logs(to)
        {
            eprintln!("testnet {}: logs: {e}", self.plan.name);
        }
        let down = self.dir.own();
        match down.and_then(|_own| take_apart(&self.store, &self.dir)) {
            // Somebody else took it down.
            Ok(()) | Err(Error::NotUp(_)) => {}
            Err(e) => eprintln!("testnet {}: {e}", self.plan.name),
        }
    }
}

/// Holds the switch's network namespace until it is killed.
pub fn run_switch() -> ! {
    loop {
        thread::park();
    }
}

fn take_apart(store: &Store, dir: &NetDir) -> Result<()> {
    procs::end(&dir.path, |_| true)?;
    cgroups::remove(&cgroups::of_testnet(&dir.name))?;
    unmount_below(&dir.path)?;
    store.remove(dir)
}

/// Hosts mount in namespaces of their own; this is for what someone mounted by
/// hand, which removing the folder must not follow.
fn unmount_below(folder: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    for point in points.filter(|point| Path::new(point).starts_with(folder)) {
        unmount(point, UnmountFlags::DETACH).context(|| format!("unmount {point}"))?;
    }
    Ok(())
}

fn install(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).context(|| format!("copy {} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))
        .context(|| format!("make {} executable", to.display()))
}
