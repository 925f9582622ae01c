//! What hosts run, built from this checkout with cargo.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command;
use crate::error::{Context, Error, Result};
use crate::images::Images;

/// Everything that a testnet is made of.
#[derive(Debug, Clone)]
pub struct Artifacts {
    /// The harness's own binary, which is every host's init.
    pub testnet: PathBuf,
    /// The node; `None` gives hosts with an engine only.
    pub swarmlet: Option<PathBuf>,
    pub images: Images,
}

impl Artifacts {
    /// Builds all of it in the release profile; quick when nothing changed.
    /// `$SWARMLET_BIN` names a swarmlet that is to run instead.
    pub fn build() -> Result<Self> {
        Self::with_swarmlet_of(&["--package", "swarmlet-node", "--bin", "swarmlet"])
    }

    /// The same, beside the tests of the workspace: their dependencies have other
    /// features than the binary's alone, so that it would be compiled once more.
    pub fn build_beside_tests() -> Result<Self> {
        Self::with_swarmlet_of(&["--workspace", "--bins", "--tests"])
    }

    fn with_swarmlet_of(targets: &[&str]) -> Result<Self> {
        let artifacts = Self::without_swarmlet()?;
        let swarmlet = match std::env::var_os("SWARMLET_BIN") {
            Some(built) => built.into(),
            None => {
                cargo(&[&["build"], targets].concat())?;
                release_dir().join("swarmlet")
            }
        };
        Ok(Self {
            swarmlet: Some(swarmlet),
            ..artifacts
        })
    }

    /// The hosts' own parts, without the node.
    pub fn without_swarmlet() -> Result<Self> {
        Ok(Self {
            testnet: own_binary()?,
            swarmlet: None,
            images: Images::make()?,
        })
    }
}

/// Cargo's target folder.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace_dir().join("target"), Into::into)
}

/// The checkout.
pub fn workspace_dir() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.parent().unwrap_or(crate_dir).to_owned()
}

/// `cargo` with `args` and `--release`, in the checkout, its words on our stderr.
pub fn cargo(args: &[&str]) -> Result<()> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let (verb, rest) = args.split_first().unwrap_or((&"build", &[]));
    let status = Command::new(program)
        .args([verb, "--release"])
        .args(rest)
        .current_dir(workspace_dir())
        .stdin(Stdio::null())
        .status()
        .context(|| "run cargo".into())?;
    if status.success() {
        return Ok(());
    }
    let output = command::Output {
        status,
        stdout: String::new(),
        stderr: String::new(),
    };
    let command = format!("cargo {verb} --release {}", rest.join(" "));
    Err(command::failure("this machine", &command, &output))
}

/// Builds a program that needs nothing of the system it runs on.
pub(crate) fn build_static(package: &str, bin: &str) -> Result<PathBuf> {
    cargo(&[
        "rustc",
        "--quiet",
        "--package",
        package,
        "--bin",
        bin,
        "--",
        "-Ctarget-feature=+crt-static",
        "-Cstrip=symbols",
    ])?;
    Ok(release_dir().join(bin))
}

fn release_dir() -> PathBuf {
    target_dir().join("release")
}

fn own_binary() -> Result<PathBuf> {
    let me = std::env::current_exe().context(|| "find our own binary".into())?;
    let name = me.file_name().unwrap_or_default().to_string_lossy();
    if matches!(&*name, "testnet" | "testnet (deleted)") {
        // This path lasts, also after cargo has replaced the file.
        return Ok("/proc/self/exe".into());
    }
    let built = release_dir().join("testnet");
    if built.exists() {
        Ok(built)
    } else {
        Err(Error::Machine(
            "the testnet binary is not built: run `cargo build --release -p swarmlet-testnet`"
                .into(),
        ))
    }
}
