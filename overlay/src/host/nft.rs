//! Programs that speak to the firewall, each call bounded in time.

use std::io;
use std::process::{Output, Stdio};
use std::time::Duration;

use futures::future::OptionFuture;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use super::{Error, Result};

const LIMIT: Duration = Duration::from_secs(30);

const RUN: &[&str] = &["-f", "-"];

/// Runs a script as one transaction, or not at all.
pub async fn run(script: &str) -> Result<()> {
    said("nft", call("nft", RUN, script).await?).map(drop)
}

/// The same, but does not wait for the program to end once `committed`, which is
/// given its process id, does: the kernel holds it until what the transaction
/// has removed is freed, which takes longer than all before.
pub async fn commit<F>(script: &str, committed: impl FnOnce(u32) -> F) -> Result<()>
where
    F: Future<Output = ()>,
{
    let program = Program::start("nft", RUN)?;
    let committed = OptionFuture::from(program.id().map(committed));
    tokio::select! {
        output = program.end(script) => said("nft", output?).map(drop),
        Some(()) = committed => Ok(()),
    }
}

/// A table as JSON (`libnftables-json(5)`); an error where it is not there.
pub async fn list(table: &str) -> Result<String> {
    let args = ["-j", "list", "table", "inet", table];
    said("nft", call("nft", &args, "").await?)
}

/// Runs `program` with `input` as its standard input.
pub async fn call(program: &'static str, args: &[&str], input: &str) -> Result<Output> {
    Program::start(program, args)?.end(input).await
}

/// One that runs, and is killed when this is dropped.
struct Program {
    name: &'static str,
    child: Child,
}

impl Program {
    fn start(name: &'static str, args: &[&str]) -> Result<Self> {
        let child = Command::new(name)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| failed(name, source))?;
        Ok(Self { name, child })
    }

    fn id(&self) -> Option<u32> {
        self.child.id()
    }

    async fn end(self, input: &str) -> Result<Output> {
        let Self { name, mut child } = self;
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
            .map_err(|_| Error::TimedOut(name, LIMIT.as_secs()))?
            .map_err(|source| failed(name, source))
    }
}

fn failed(program: &'static str, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound => Error::NotInstalled(program),
        _ => Error::Io {
            what: format!("running {program}"),
            source,
        },
    }
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
