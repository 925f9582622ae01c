//! Programs that speak to the firewall, each call bounded in time.

use std::io;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{Error, Result};

const LIMIT: Duration = Duration::from_secs(30);

/// Runs a script as one transaction, or not at all.
pub async fn run(script: &str) -> Result<()> {
    said("nft", call("nft", &["-f", "-"], script).await?).map(drop)
}

/// A table as JSON (`libnftables-json(5)`); an error where it is not there.
pub async fn list(table: &str) -> Result<String> {
    let args = ["-j", "list", "table", "inet", table];
    said("nft", call("nft", &args, "").await?)
}

/// Runs `program` with `input` as its standard input.
pub async fn call(program: &'static str, args: &[&str], input: &str) -> Result<Output> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Error::NotInstalled(program),
        _ => Error::Io {
            what: format!("running {program}"),
            source,
        },
    };
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A program that ends without reading says why on its own.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    let both = async { tokio::join!(feed, child.wait_with_output()).1 };
    let output = tokio::time::timeout(LIMIT, both).await;
    output
        .map_err(|_| Error::TimedOut(program, LIMIT.as_secs()))?
        .map_err(failed)
}

/// What a program printed, or its first complaints.
pub fn said(program: &'static str, output: Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let first: Vec<_> = errors.lines().take(3).collect();
    Err(match first.as_slice() {
        [] => Error::Rules(format!("{program}: {}", output.status)),
        lines => Error::Rules(lines.join("; ")),
    })
}
