//! The images `busybox` and `whoami`, made from local files.
//!
//! No registry is in reach, so the archive that `docker load` reads is written
//! here: two layers (the busybox of this machine; our own small server), two
//! configurations. Times and owners are fixed, so the same files give the same
//! image ids on every engine. `whoami` contains busybox too, for health checks
//! and for looking around.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::artifacts;
use crate::command::succeed;
use crate::error::{Context, Result};
use crate::store::{make_dir, write};

const WHOAMI_SOURCE: &str = include_str!("../whoami/src/main.rs");
/// Goes up when this module writes the archive in another way.
const FORMAT: u32 = 2;
const BUSYBOX: &str = "/bin/busybox";
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// The archive with both images.
#[derive(Debug, Clone)]
pub struct Images {
    pub archive: PathBuf,
}

/// The names under which the archive's images are found, in its order.
pub const NAMES: [&str; 2] = ["busybox:latest", "whoami:latest"];

impl Images {
    /// Makes the archive, or finds the one made of the same files before.
    pub fn make() -> Result<Self> {
        let folder = artifacts::target_dir().join("testnet");
        make_dir(&folder)?;
        let busybox = sha256(BUSYBOX.as_ref())?;
        let seed = format!("{FORMAT} {busybox} {WHOAMI_SOURCE}");
        let archive = folder.join(format!("images-{:.16}.tar", sha256_of_text(&seed)?));
        if !archive.exists() {
            build(&folder, &archive)?;
        }
        Ok(Self { archive })
    }
}

/// The ids of the images in an archive, as an engine will name them.
pub(crate) fn ids(archive: &Path) -> Result<Vec<String>> {
    let list = succeed(
        "this machine",
        Command::new("tar").arg("-xOf").arg(archive).arg("./ids"),
        "",
    )?;
    Ok(list.lines().map(str::to_owned).collect())
}

fn build(folder: &Path, archive: &Path) -> Result<()> {
    let stage = tempfile::Builder::new()
        .prefix("images-")
        .tempdir_in(folder)
        .context(|| format!("make a folder in {}", folder.display()))?;
    let parts = stage.path().join("archive");
    make_dir(&parts)?;

    let busybox_root = stage.path().join("busybox");
    lay_out_busybox(&busybox_root)?;
    let busybox = layer(&busybox_root, &parts, "busybox.tar")?;

    let whoami_root = stage.path().join("whoami");
    make_dir(&whoami_root)?;
    copy(
        &artifacts::build_static("swarmlet-whoami", "whoami")?,
        &whoami_root.join("whoami"),
    )?;
    let whoami = layer(&whoami_root, &parts, "whoami.tar")?;

    let configs = [
        (
            "busybox.json",
            config(&json!({ "Cmd": ["sh"] }), &[&busybox]),
        ),
        (
            "whoami.json",
            config(
                &json!({ "Entrypoint": ["/whoami"], "ExposedPorts": { "80/tcp": {} } }),
                &[&busybox, &whoami],
            ),
        ),
    ];
    let mut ids = String::new();
    for (file, config) in &configs {
        write(&parts.join(file), config.to_string().as_bytes())?;
        ids += &format!("sha256:{}\n", sha256(&parts.join(file))?);
    }
    write(&parts.join("ids"), ids.as_bytes())?;
    let manifest = json!([
        { "Config": "busybox.json", "RepoTags": [NAMES[0]], "Layers": ["busybox.tar"] },
        { "Config": "whoami.json", "RepoTags": [NAMES[1]], "Layers": ["busybox.tar", "whoami.tar"] },
    ]);
    write(
        &parts.join("manifest.json"),
        manifest.to_string().as_bytes(),
    )?;

    let draft = stage.path().join("images.tar");
    tar(&parts, &draft)?;
    fs::rename(&draft, archive).context(|| format!("write {}", archive.display()))
}

/// A root file system with every applet and the files that tools expect.
fn lay_out_busybox(root: &Path) -> Result<()> {
    for folder in ["bin", "etc", "root", "tmp", "var/www"] {
        make_dir(&root.join(folder))?;
    }
    let tmp = root.join("tmp");
    fs::set_permissions(&tmp, fs::Permissions::from_mode(0o1777))
        .context(|| format!("open {} to all", tmp.display()))?;
    copy(Path::new(BUSYBOX), &root.join("bin/busybox"))?;
    let applets = succeed("this machine", Command::new(BUSYBOX).arg("--list"), "")?;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        let link = root.join("bin").join(applet);
        symlink("busybox", &link).context(|| format!("link {}", link.display()))?;
    }
    write(
        &root.join("etc/passwd"),
        b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    )?;
    write(&root.join("etc/group"), b"root:x:0:\nnogroup:x:65534:\n")
}

/// Packs `root` as a layer; returns its id.
fn layer(root: &Path, parts: &Path, file: &str) -> Result<String> {
    let layer = parts.join(file);
    tar(root, &layer)?;
    Ok(format!("sha256:{}", sha256(&layer)?))
}

/// An image configuration (OCI image spec 1.0, as Docker writes it).
fn config(process: &Value, layers: &[&String]) -> Value {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut process = process.clone();
    process["Env"] = json!(["PATH=/bin"]);
    let history = layers
        .iter()
        .map(|_| json!({ "created": EPOCH, "created_by": "swarmlet testnet" }));
    json!({
        "architecture": architecture,
        "os": "linux",
        "created": EPOCH,
        "config": process,
        "rootfs": { "type": "layers", "diff_ids": layers },
        "history": history.collect::<Vec<_>>(),
    })
}

fn tar(folder: &Path, archive: &Path) -> Result<()> {
    let mut command = Command::new("tar");
    command
        .args(["--sort=name", "--mtime=@0", "--numeric-owner"])
        .args(["--owner=0", "--group=0", "--format=ustar", "-C"])
        .arg(folder)
        .arg("-cf")
        .arg(archive)
        .arg(".");
    succeed("this machine", &mut command, "").map(drop)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).context(|| format!("copy {} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))
        .context(|| format!("make {} executable", to.display()))
}

fn sha256(file: &Path) -> Result<String> {
    sha256sum(Command::new("sha256sum").arg(file), "")
}

fn sha256_of_text(text: &str) -> Result<String> {
    sha256sum(&mut Command::new("sha256sum"), text)
}

/// The program prints the sum, blanks and a name.
fn sha256sum(command: &mut Command, input: &str) -> Result<String> {
    let line = succeed("this machine", command, input)?;
    Ok(line.split(' ').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_names_its_layers_and_its_process() {
        let config = config(
            &json!({ "Cmd": ["sh"] }),
            &[&"sha256:aa".to_owned(), &"sha256:bb".to_owned()],
        );
        assert_eq!(config["config"]["Cmd"], json!(["sh"]));
        assert_eq!(config["config"]["Env"], json!(["PATH=/bin"]));
        assert_eq!(
            config["rootfs"]["diff_ids"],
            json!(["sha256:aa", "sha256:bb"])
        );
        assert_eq!(config["history"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn the_same_folder_packs_to_the_same_bytes() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("root");
        make_dir(&root).unwrap();
        write(&root.join("b"), b"1").unwrap();
        write(&root.join("a"), b"2").unwrap();
        let first = layer(&root, temp.path(), "1.tar").unwrap();
        write(&root.join("a"), b"2").unwrap();
        assert_eq!(first, layer(&root, temp.path(), "2.tar").unwrap());
        write(&root.join("a"), b"3").unwrap();
        assert_ne!(first, layer(&root, temp.path(), "3.tar").unwrap());
    }
}
