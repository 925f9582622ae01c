//! The daemon and the engine come and go, and in the end nothing is left.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use stopwatch::MachineInstant;
use swarmlet_testnet::{Host, wait_for};

use super::{CLIENT, await_all_answer};
use crate::runner::Context;
use crate::scenarios::kit::{Inside, Load, SOON, Swarm, claim, containers, docker, soon, swarmlet};

/// From the daemon's return until containers on other devices are reached.
const REMOTE: Duration = Duration::from_secs(2);
/// Of an engine that starts while its driver is away: it looks for it for 15 s,
/// once, if the containers that it has were on our networks.
const ENGINE: Duration = Duration::from_secs(25);

pub fn restarts_cut_no_traffic_and_leaving_leaves_nothing(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 2)?;
    let (h1, h2) = (swarm.host(1), swarm.host(2));
    swarmlet(h1, "network create front")?;
    for host in swarm.hosts() {
        let name = host.name();
        let line = format!(
            "service create -d --name on-{name} --network front -p 80 \
             --constraint node.hostname=={name} whoami"
        );
        swarmlet(h1, &line)?;
    }
    let line = format!(
        "service create -d --name client --network front --constraint node.hostname==h1 {CLIENT}"
    );
    swarmlet(h1, &line)?;
    let client = swarm.inside(h1, "client", 1)?.remove(0);
    let (near, far) = (vip(&client, "on-h1")?, vip(&client, "on-h2")?);

    claim("a killed daemon is missed by remote traffic only", || {
        let load = Load::on(&client.netns()?, near, 2);
        load.flows()?;
        h1.daemon().kill()?;
        load.flows()?;
        h1.daemon().start()?;
        let returned = MachineInstant::now();
        let network = client.netns()?;
        wait_for("the other device's task to answer", SOON, || {
            network.enter(|| swarmlet_testnet::http_get(far, "/ok"))
        })?;
        let took = returned.elapsed();
        ensure!(took.had() < REMOTE, "remote traffic was back after {took}");
        load.flows()?;
        load.stop()?.all_answered()
    })?;
    claim("what another program takes away is put back", || {
        for words in ["nft flush ruleset", "ip route flush proto 83"] {
            let words: Vec<&str> = words.split(' ').collect();
            h1.ok(&words)?;
            for server in [near, far] {
                soon("the tasks to answer", || client.get_at(server.ip()))?;
            }
        }
        Ok(())
    })?;
    claim(
        "an engine starts without its daemon, and goes on with it",
        || engine(&swarm, h1, h2),
    )?;
    claim("a device that leaves has nothing of it", || {
        let before = traces(h2)?;
        ensure!(before.len() >= 4, "what is there is not found: {before:?}");
        swarmlet(h2, "leave --force")?;
        soon("its traces to go", || nothing_is_left(h2))
    })?;
    claim("nor has the last one", || {
        swarmlet(h1, "leave --force")?;
        soon("its traces to go", || nothing_is_left(h1))
    })
}

fn vip(client: &Inside, service: &str) -> Result<SocketAddr> {
    soon(&format!("{service} to answer"), || {
        let vip = client
            .resolve(service)?
            .into_iter()
            .next()
            .context("no VIP")?;
        client.get_at(vip)?;
        Ok(SocketAddr::new(vip, 80))
    })
}

fn engine(swarm: &Swarm, h1: &Host, h2: &Host) -> Result<()> {
    h2.daemon().stop(SOON)?;
    h2.engine().kill()?;
    let start = MachineInstant::now();
    h2.engine().start()?;
    docker(h2, "run --rm busybox true")?;
    let took = start.elapsed();
    ensure!(took.had() < ENGINE, "the engine waited for us: {took}");
    h2.daemon().start()?;
    let client = swarm.inside(h1, "client", 1)?;
    let far = swarm.inside(h1, "on-h2", 1)?;
    await_all_answer(&client[0], "on-h2", &far)?;

    h2.engine().kill()?;
    h2.engine().start()?;
    let far = swarm.inside(h1, "on-h2", 1)?;
    await_all_answer(&client[0], "on-h2", &far)
}

fn nothing_is_left(host: &Host) -> Result<()> {
    let left = traces(host)?;
    ensure!(left.is_empty(), "{left:#?}");
    for service in ["on-h1", "on-h2", "client"] {
        let left = containers(host, service)?;
        ensure!(left.is_empty(), "{left:#?}");
    }
    Ok(())
}

/// What the overlay has put on a host, a line for each thing.
fn traces(host: &Host) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (what, words) in [
        ("interface", "ip -o link show"),
        ("address", "ip -o addr show"),
        ("route", "ip route show table all"),
        ("route", "ip -6 route show table all"),
        ("rule", "ip rule show"),
        ("rule", "ip -6 rule show"),
        ("table", "nft list ruleset"),
        ("firewall rule", "iptables -S"),
        ("engine network", "docker network ls"),
        ("socket", "ls /run/docker/plugins"),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let printed = host.run(&words)?.stdout;
        let ours = printed.lines().filter(|line| is_ours(line));
        found.extend(ours.map(|line| format!("{what}: {line}")));
    }
    Ok(found)
}

/// The names that all of ours have in common, and the mark of ingress packets.
fn is_ours(line: &str) -> bool {
    ["swl", "swv", "swarmlet", "169.254.1.1", "0x5377"]
        .iter()
        .any(|name| line.contains(name))
}
