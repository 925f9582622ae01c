//! What the machine must have before hosts can be raised.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::succeed;
use crate::error::{Error, Result};

/// A program and the Debian package that brings it.
const NEEDED: [(&str, &str); 7] = [
    ("dockerd", "docker.io"),
    ("docker", "docker.io"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
];
const BUSYBOX: (&str, &str) = ("/bin/busybox", "busybox-static");
const FOLDERS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Makes sure that hosts can be raised here: root, and the programs needed.
///
/// With `install`, missing Debian packages are installed by apt; otherwise the
/// error names them in one line.
pub fn ensure_packages(install: bool) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::Machine(
            "network namespaces and engines need root: run as root".into(),
        ));
    }
    ensure(install, || {
        let mut packages = missing(&NEEDED);
        if !is_static(Path::new(BUSYBOX.0)) {
            packages.push(BUSYBOX.1);
        }
        packages
    })
}

/// Makes sure that programs are there which only some benchmark needs; pairs of
/// a program and the Debian package that brings it, which is installed.
pub fn ensure_programs(programs: &[(&str, &'static str)]) -> Result<()> {
    ensure(true, || missing(programs))
}

fn ensure(install: bool, missing: impl Fn() -> Vec<&'static str>) -> Result<()> {
    let lacking = missing();
    if lacking.is_empty() {
        return Ok(());
    }
    if install && Path::new("/usr/bin/apt-get").exists() {
        apt_install(&lacking)?;
    }
    let lacking = missing();
    if lacking.is_empty() {
        return Ok(());
    }
    let names = lacking.join(" ");
    Err(Error::Machine(format!(
        "Debian packages are missing: apt-get install {names}"
    )))
}

fn apt_install(packages: &[&str]) -> Result<()> {
    eprintln!("installing {}", packages.join(" "));
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        succeed("this machine", &mut command, "").map(drop)
    };
    apt(&["update", "-q"])?;
    let install = ["install", "-q", "-y", "--no-install-recommends"];
    apt(&[&install, packages].concat())
}

/// The packages whose programs are not there, each once.
fn missing(programs: &[(&str, &'static str)]) -> Vec<&'static str> {
    let mut packages: Vec<_> = programs
        .iter()
        .filter(|(program, _)| find(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    packages.dedup();
    packages
}

fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(OsStr::new(FOLDERS))
        .map(|folder| folder.join(program))
        .find(|path| path.exists())
}

/// Does the program run where nothing else is, as in an image?
fn is_static(program: &Path) -> bool {
    std::fs::read(program).is_ok_and(|elf| !wants_loader(&elf))
}

/// A dynamic program names its loader in the first page of its ELF file.
fn wants_loader(elf: &[u8]) -> bool {
    let page = &elf[..elf.len().min(4096)];
    page.windows(4).any(|bytes| bytes == b"/ld-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_is_told_from_a_static_one() {
        assert!(wants_loader(b"\x7fELF....\0/lib64/ld-linux-x86-64.so.2\0"));
        assert!(!wants_loader(b"\x7fELF...."));
        assert!(!is_static(Path::new("/no/such/program")));
    }

    #[test]
    fn programs_are_found_where_hosts_look() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program").is_none());
    }
}
