//! Clients of the socket that mean no good, or know no better.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stopwatch::MachineInstant;
use swarmlet_testnet::Host;

use super::kit::{self, Swarm, argv, claim, soon, swarmlet};
use crate::runner::Context;

const SOCKET: &str = "/run/swarmlet/swarmlet.sock";
const MANY: usize = 1000;
const MIB: u64 = 1 << 20;
/// By how much memory may grow, for [`MANY`] connections or a large body.
const BOUND: u64 = 48 * MIB;
/// For an answer, whatever others do at the socket.
const AT_ONCE: Duration = Duration::from_secs(2);

pub fn hostile_clients_harm_nobody(context: &Context) -> Result<()> {
    allow_open_files()?;
    let swarm = Swarm::of(context, 1)?;
    let host = swarm.host(1);
    let socket = host.path(SOCKET)?;
    swarmlet(host, "service create -d --name web whoami")?;
    swarm.settled(host, "web", 1)?;
    let mut silent = Vec::new();
    claim("a thousand who say nothing keep nobody out", || {
        let before = host.daemon().usage()?.rss;
        silent = connections(&socket, "")?;
        served(host)?;
        within(host, before, BOUND)
    })?;
    claim("nor do a thousand who stop in the middle", || {
        let before = host.daemon().usage()?.rss;
        let body = "POST /services/create HTTP/1.1\r\nHost: h\r\nContent-Length: 8000000\r\n\r\n{";
        let _half = [
            connections(&socket, "GET /services HTTP/1.1\r\nHo")?,
            connections(&socket, body)?,
        ];
        served(host)?;
        within(host, before, 2 * BOUND)
    })?;
    claim("bodies of 100 MB are refused and not kept", || {
        let before = peak(host)?;
        for _ in 0..20 {
            large(
                &socket,
                "Content-Length: 100000000\r\n\r\n",
                &[b' '; 1 << 16],
            )?;
            let chunk = format!("10000\r\n{}\r\n", " ".repeat(1 << 16));
            large(
                &socket,
                "Transfer-Encoding: chunked\r\n\r\n",
                chunk.as_bytes(),
            )?;
        }
        let grown = peak(host)?.saturating_sub(before);
        ensure!(grown < BOUND, "memory grew by {} MiB", grown / MIB);
        served(host)
    })?;
    claim("a secret has at most 500 KB", || {
        fs::write(host.path("/tmp/large")?, vec![b'x'; 512_001])?;
        let line = format!("-H unix://{SOCKET} secret create large /tmp/large");
        let output = host.run(&argv("docker", &line))?;
        let wanted = "secret data must be larger than 0 and less than 512000 bytes";
        ensure!(!output.ok() && output.stderr.contains(wanted), "{output}");
        Ok(())
    })?;
    claim("who may not use the engine may not use the swarm", || {
        users(host, &socket)
    })?;
    claim("who says nothing is let go", || {
        soon("the connections to end", || {
            silent.retain_mut(is_open);
            ensure!(silent.is_empty(), "{} are open", silent.len());
            Ok(())
        })
    })?;
    let tasks = swarm.settled(host, "web", 1)?;
    ensure!(kit::service(host, "web")?["Spec"]["Mode"]["Replicated"]["Replicas"] == tasks.len());
    Ok(())
}

/// As many as this program may have: the usual limit is 1,024.
fn allow_open_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let allowed = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, allowed).context("allow this program many open files")
}

/// Connections that have said so much.
fn connections(socket: &Path, said: &str) -> Result<Vec<UnixStream>> {
    let connect = |number| -> Result<UnixStream> {
        let mut stream =
            UnixStream::connect(socket).with_context(|| format!("connect {number}"))?;
        stream.write_all(said.as_bytes())?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    (0..MANY).map(connect).collect()
}

fn is_open(stream: &mut UnixStream) -> bool {
    // What comes first is the answer that nothing was asked in time.
    let mut answer = [0; 4096];
    match stream.read(&mut answer) {
        Ok(0) => false,
        Ok(_) => true,
        Err(e) => e.kind() == ErrorKind::WouldBlock,
    }
}

fn served(host: &Host) -> Result<()> {
    let start = MachineInstant::now();
    let listed = swarmlet(host, "service ls")?;
    ensure!(listed.contains("web"), "{listed}");
    let took = start.elapsed();
    ensure!(took.had() < AT_ONCE, "it took {took}");
    Ok(())
}

fn within(host: &Host, before: u64, bound: u64) -> Result<()> {
    let grown = host.daemon().usage()?.rss.saturating_sub(before);
    println!("    memory grew by {:.1} MiB", grown as f64 / MIB as f64);
    ensure!(grown < bound, "memory grew by {} MiB", grown / MIB);
    Ok(())
}

/// The most memory that the daemon has had, in bytes.
fn peak(host: &Host) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", host.daemon().pid()?))?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    let kib = line.and_then(|it| it.split_whitespace().next());
    Ok(kib.context("no VmHWM")?.parse::<u64>()? * 1024)
}

/// Sends `part` again and again; how it is refused.
fn large(socket: &Path, length: &str, part: &[u8]) -> Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(kit::SOON))?;
    stream.set_write_timeout(Some(kit::SOON))?;
    let head = format!("POST /services/create HTTP/1.1\r\nHost: h\r\n{length}");
    stream.write_all(head.as_bytes())?;
    let mut sent = 0;
    while stream.write_all(part).is_ok() {
        sent += part.len();
        ensure!(sent < 100_000_000, "all of it was taken");
    }
    let mut answer = Vec::new();
    // The connection may end as one that was not read to its end.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    ensure!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    Ok(())
}

/// Root and the group of the engine's users, as at Docker's socket.
fn users(host: &Host, socket: &Path) -> Result<()> {
    let found = fs::metadata(socket)?;
    ensure!(found.mode() & 0o7777 == 0o660, "{:o}", found.mode());
    let groups = host.ok(&["getent", "group", "docker"])?;
    let group = groups.split(':').nth(2).context("an odd group")?;
    ensure!(found.gid().to_string() == group, "{}", found.gid());
    let ask = |groups: &str| {
        let line =
            format!("--reuid=65534 --regid=65534 {groups} docker -H unix://{SOCKET} service ls");
        host.run(&argv("setpriv", &line))
    };
    let output = ask("--clear-groups")?;
    let said = output.stderr.to_lowercase();
    ensure!(
        !output.ok() && said.contains("permission denied"),
        "{output}"
    );
    let output = ask(&format!("--groups={group}"))?;
    ensure!(output.ok() && output.stdout.contains("web"), "{output}");
    Ok(())
}
