//! The host's file system: the machine's own, except where hosts must differ.
//!
//! `/run` and `/tmp` are new and in memory, `/proc` and `/sys` show the host's
//! own namespaces, `/var/lib/docker` and `/var/lib/swarmlet` are folders on the
//! host's disk, and the machine's folders that programs write to lie under an
//! overlay, so that a host sees them, changes them for itself and keeps its
//! changes over a boot. The control groups stay the machine's: engines need
//! them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_bind_recursive, mount_change,
    mount_move,
};

use crate::error::{Context, Error, Result};
use crate::plan::{HostPlan, Plan};
use crate::store::{HostDir, make_dir, write};

/// Where the harness talks to the init, as seen inside the host.
pub(crate) const CONTROL_SOCKET: &str = "/run/testnet/control.sock";
/// Programs built for this testnet.
pub(super) const BIN: &str = "/run/testnet/bin";
/// The host's disk (`HostDir`).
pub(super) const DISK: &str = "/run/testnet/disk";
/// The engine's settings: not the machine's own `/etc/docker/daemon.json`.
pub(super) const ENGINE_SETTINGS: &str = "/run/testnet/engine.json";

/// `PATH` inside a host.
pub(crate) const PATH: &str =
    "/run/testnet/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Folders of the machine that each host changes for itself.
const OVERLAID: [&str; 4] = ["/etc", "/opt", "/usr/local", "/var/lib"];

/// Refuses a place for disks that would lie under its own host's overlays.
pub(crate) fn check_place(net_dir: &Path) -> Result<()> {
    if OVERLAID.iter().any(|folder| net_dir.starts_with(folder)) {
        return Err(Error::Machine(format!(
            "testnets cannot be kept in {}: choose a folder outside {} with SWARMLET_TESTNET_DIR",
            net_dir.display(),
            OVERLAID.join(", ")
        )));
    }
    Ok(())
}

/// Builds the file system in this process's (new, private) mount namespace.
pub(super) fn build(net_dir: &Path, plan: &Plan, host: &HostPlan) -> Result<()> {
    let disk = HostDir(net_dir.join(&host.name));
    for folder in OVERLAID {
        overlay(Path::new(folder), &disk.overlay(folder))?;
    }
    bind(&disk.docker(), Path::new("/var/lib/docker"))?;
    bind(&disk.swarmlet(), Path::new("/var/lib/swarmlet"))?;
    // Before /tmp is hidden: the testnet's folder may be below it.
    mount_run(net_dir, &disk)?;
    mount_sys(&disk)?;
    mount_new("proc", Path::new("/proc"), "")?;
    mount_new("tmpfs", Path::new("/tmp"), "mode=1777")?;
    // As on a machine run by systemd, which engines and their users rely on.
    let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    mount_change("/", shared).context(|| "share the mounts within the host".into())?;

    write(Path::new("/etc/hosts"), plan.etc_hosts().as_bytes())?;
    write(
        Path::new("/etc/hostname"),
        format!("{}\n", host.name).as_bytes(),
    )?;
    write(Path::new(ENGINE_SETTINGS), b"{}\n")?;
    link_into_path("swarmlet")
}

/// Puts the host's changes, kept in `kept`, over the machine's `folder`.
fn overlay(folder: &Path, kept: &Path) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    let (upper, work) = (kept.join("upper"), kept.join("work"));
    make_dir(&upper)?;
    make_dir(&work)?;
    // Without an index a boot may follow a kill at once, though the kernel
    // still lets go of the previous mount.
    let options = format!(
        "lowerdir={},upperdir={},workdir={},index=off",
        folder.display(),
        upper.display(),
        work.display()
    );
    mount_new("overlay", folder, &options).map_err(|e| {
        Error::Machine(format!(
            "{e}: testnets must be kept on a file system that can carry overlays \
             (ext4, xfs, tmpfs); choose a folder with SWARMLET_TESTNET_DIR"
        ))
    })
}

/// A new `/run` that still reaches the testnet's programs and this host's disk.
fn mount_run(net_dir: &Path, disk: &HostDir) -> Result<()> {
    let stage = disk.0.join("stage");
    make_dir(&stage)?;
    mount_new("tmpfs", &stage, "mode=755")?;
    let inside = |path: &str| stage.join(path.trim_start_matches("/run/"));
    bind(&net_dir.join("bin"), &inside(BIN))?;
    bind(&disk.0, &inside(DISK))?;
    make_dir(&stage.join("swarmlet"))?;
    mount_move(&stage, "/run").context(|| "move the new /run to its place".into())
}

/// A `/sys` of the host's network namespace, with the machine's control groups.
fn mount_sys(disk: &HostDir) -> Result<()> {
    let stage = disk.0.join("stage");
    mount_new("sysfs", &stage, "")?;
    let groups = stage.join("fs/cgroup");
    mount_bind_recursive("/sys/fs/cgroup", &groups)
        .context(|| "bring the control groups into the host".into())?;
    mount_move(&stage, "/sys").context(|| "move the new /sys to its place".into())
}

/// A login shell resets `PATH`; this link is found even then.
fn link_into_path(program: &str) -> Result<()> {
    let target = Path::new(BIN).join(program);
    let link = Path::new("/usr/local/bin").join(program);
    if target.exists() && fs::read_link(&link).ok().as_ref() != Some(&target) {
        let _ = fs::remove_file(&link);
        symlink(&target, &link).context(|| format!("link {}", link.display()))?;
    }
    Ok(())
}

fn mount_new(kind: &str, at: &Path, options: &str) -> Result<()> {
    let what = || format!("mount {kind} at {}", at.display());
    let options = std::ffi::CString::new(options).context(what)?;
    mount(kind, at, kind, MountFlags::empty(), options.as_c_str()).context(what)
}

fn bind(source: &Path, at: &Path) -> Result<()> {
    make_dir(at)?;
    mount_bind(source, at).context(|| format!("bind {} to {}", source.display(), at.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_not_kept_below_what_hosts_overlay() {
        assert!(check_place(Path::new("/var/lib/nets/a")).is_err());
        assert!(check_place(Path::new("/var/tmp/nets/a")).is_ok());
        assert!(check_place(Path::new("/optional/a")).is_ok());
    }
}
