//! What a container cannot reach, cannot pretend and cannot spoil.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use stopwatch::MachineInstant;
use swarmlet_testnet::Netns;

use super::await_all_answer;
use crate::runner::Context;
use crate::scenarios::kit::{Inside, Swarm, claim, soon, swarmlet};

const PORT: u16 = 9000;
const DELIVERED: Duration = Duration::from_secs(1);
/// How long one container asks for names as fast as it can.
const STORM: Duration = Duration::from_secs(3);
/// A question is answered within this time, whoever else asks.
const ANSWERED: Duration = Duration::from_secs(2);

pub fn a_container_reaches_only_its_own_networks(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 2)?;
    let ask = swarm.host(1);
    for (colour, count) in [("red", 4), ("blue", 2)] {
        swarmlet(ask, &format!("network create {colour}"))?;
        let line = format!(
            "service create -d --name {colour} --network {colour} -p 80 \
             --replicas {count} --replicas-max-per-node {} whoami",
            count / 2
        );
        swarmlet(ask, &line)?;
    }
    let red = swarm.inside(ask, "red", 4)?;
    let blue = swarm.inside(ask, "blue", 2)?;
    for (all, name) in [(&red, "red"), (&blue, "blue")] {
        for client in all {
            await_all_answer(client, name, all)?;
        }
    }

    claim("not by name, nor by VIP, nor by address", || {
        let mut addrs = blue[0].resolve("blue")?;
        for server in &blue {
            addrs.extend(server.addresses("blue")?);
            addrs.extend(server.addresses("ingress")?);
        }
        let known = red[0].resolve("blue")?;
        ensure!(known.is_empty(), "blue is {known:?} to red");
        reaches_none(&red[0], &addrs)
    })?;
    claim("nothing is delivered from a forged address", || {
        forged(&red)
    })?;
    claim("a storm of questions leaves the others their names", || {
        storm(&swarm, &red[0], &blue[0])
    })
}

/// All at once, since each takes as long as a client has patience.
fn reaches_none(client: &Inside, addrs: &BTreeSet<IpAddr>) -> Result<()> {
    std::thread::scope(|scope| {
        let ask = |addr| scope.spawn(move || client.get_at(addr));
        let asked: Vec<_> = addrs.iter().map(|addr| (addr, ask(*addr))).collect();
        for (addr, answer) in asked {
            let answer = answer.join().ok().context("a client panicked")?;
            ensure!(answer.is_err(), "{addr} answers: {answer:?}");
        }
        Ok(())
    })
}

/// From a neighbour on the network, from another network, and from outside: to
/// a container on the same host and to one on another.
fn forged(red: &[Inside]) -> Result<()> {
    let own = red[0].address("red")?;
    for target in &red[1..3] {
        let to = SocketAddr::new(target.address("red")?, PORT);
        let server = target
            .netns()?
            .enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)))?;
        let client = red[0].netns()?;
        ensure!(arrives(&client, own, to, &server)?, "not even from {own}");
        let others = [
            red[3].address("red")?.to_string(),
            "10.123.0.1".into(),
            "192.0.2.1".into(),
        ];
        for other in others {
            let address = format!("{other}/32");
            run(&client, &["ip", "addr", "add", &address, "dev", "eth0"])?;
            let arrived = arrives(&client, other.parse()?, to, &server);
            run(&client, &["ip", "addr", "del", &address, "dev", "eth0"])?;
            ensure!(!arrived?, "{to} has got something from {other}");
        }
    }
    Ok(())
}

fn arrives(client: &Netns, from: IpAddr, to: SocketAddr, server: &UdpSocket) -> Result<bool> {
    client.enter(|| UdpSocket::bind((from, 0))?.send_to(b"x", to))?;
    server.set_read_timeout(Some(DELIVERED))?;
    // A machine that was paused comes back with such calls interrupted.
    let received = loop {
        match server.recv_from(&mut [0; 8]) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            received => break received,
        }
    };
    match received {
        Ok((_, seen)) => {
            ensure!(seen.ip() == from, "{seen} for {from}");
            Ok(true)
        }
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// With all the rights that a machine's root has over a container's network.
fn run(place: &Netns, argv: &[&str]) -> Result<()> {
    let output = place.command(argv).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{argv:?}: {said}");
    Ok(())
}

fn storm(swarm: &Swarm, asker: &Inside, other: &Inside) -> Result<()> {
    let daemon = swarm.named(asker.host().name())?.daemon();
    let before = daemon.usage()?.rss;
    let (network, ends) = (asker.netns()?, AtomicBool::new(false));
    let slowest = std::thread::scope(|scope| -> Result<Duration> {
        scope.spawn(|| network.enter(|| flood(&ends)));
        let start = Instant::now();
        let mut slowest = Duration::ZERO;
        let asked = loop {
            let question = MachineInstant::now();
            match other.resolve("blue") {
                Ok(found) if found.is_empty() => break Err(anyhow::anyhow!("no answer")),
                Err(e) => break Err(e),
                Ok(_) => slowest = slowest.max(question.elapsed().had()),
            }
            if start.elapsed() > STORM {
                break Ok(slowest);
            }
        };
        ends.store(true, Ordering::Relaxed);
        asked.context("beside the storm")
    })?;
    ensure!(slowest < ANSWERED, "an answer took {slowest:.1?}");
    let grown = daemon.usage()?.rss.saturating_sub(before) >> 20;
    ensure!(grown < 16, "the daemon has grown by {grown} MiB");
    soon("the asker to get answers again", || {
        let found = asker.resolve("red")?;
        ensure!(!found.is_empty(), "none");
        Ok(())
    })
}

/// Questions for `blue`, as many as one socket can send.
fn flood(ends: &AtomicBool) -> std::io::Result<()> {
    const QUESTION: &[u8] =
        b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04blue\x00\x00\x01\x00\x01";
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_nonblocking(true)?;
    let server = (Ipv4Addr::new(169, 254, 1, 1), 53);
    while !ends.load(Ordering::Relaxed) {
        // A full buffer is what a storm looks like.
        let _ = socket.send_to(QUESTION, server);
    }
    Ok(())
}
