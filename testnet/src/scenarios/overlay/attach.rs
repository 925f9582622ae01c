//! Containers that users put on networks themselves, with docker alone.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use swarmlet_testnet::Host;

use super::await_all_answer;
use crate::runner::Context;
use crate::scenarios::kit::{
    Inside, SOON, Swarm, argv, claim, docker, get_at, refused, refused_with, soon, swarmlet,
};

/// Ends at once when it is told to.
const SERVER: &str = "--stop-signal KILL whoami";

pub fn docker_run_joins_attachable_networks_on_any_device(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 2)?;
    let (h1, h2) = (swarm.host(1), swarm.host(2));
    let mtu = "--opt com.docker.network.driver.mtu";
    let line = format!("network create {mtu}=many open");
    refused(h1, &line, "com.docker.network.driver.mtu=many")?;
    let network = format!("network create --attachable --subnet 10.77.0.0/24 {mtu}=1300 open");
    swarmlet(h1, &network)?;
    let line = "service create -d --name site --constraint node.hostname==h2 --network open whoami";
    swarmlet(h1, line)?;
    let site = swarm.inside(h1, "site", 1)?;
    let first = guest(h1, "--name first")?;
    let second = guest(h2, "--name second --network-alias visitor")?;

    claim("it finds services and others by their names", || {
        await_all_answer(&first, "site", &site)?;
        for name in ["second", "visitor", second.hostname()] {
            await_all_answer(&first, name, std::slice::from_ref(&second))?;
        }
        await_all_answer(&site[0], "first", std::slice::from_ref(&first))
    })?;
    claim("packets are as large as the network says", || {
        for inside in [&first, &site[0]] {
            let line = format!("exec {} cat /sys/class/net/eth0/mtu", inside.id());
            let mtu = docker(inside.host(), &line)?;
            ensure!(mtu.trim() == "1300", "{mtu}");
        }
        Ok(())
    })?;
    claim("a rename is followed", || {
        docker(h2, "rename second other")?;
        await_all_answer(&first, "other", std::slice::from_ref(&second))?;
        unknown(&first, "second")?;
        docker(h2, "rename other second")?;
        await_all_answer(&site[0], "second", std::slice::from_ref(&second))
    })?;
    claim("a port without a number is picked, and shown", || {
        let door = guest(h1, "--name door -p 80")?;
        let line = "-H unix:///run/swarmlet/swarmlet.sock port door 80/tcp";
        let shown = docker(h1, line)?;
        let port = shown.trim().strip_prefix("0.0.0.0:");
        let port: u16 = port.with_context(|| shown.clone())?.parse()?;
        let at = SocketAddr::new(h1.ip().into(), port);
        let answer = soon("the port to lead there", || get_at(&h2.netns()?, at))?;
        ensure!(answer.server() == door.hostname(), "{answer:?}");
        docker(h1, "rm -f door").map(drop)
    })?;
    claim("a container that runs may join, and leave again", || {
        let id = docker(h1, &format!("run -d --name late {SERVER}"))?;
        let late = Inside::of(h1, id.trim());
        docker(h1, "network connect open late")?;
        await_all_answer(&second, "late", std::slice::from_ref(&late))?;
        docker(h1, "network disconnect open late")?;
        unknown(&second, "late")
    })?;
    claim("an address is one container's, and then free again", || {
        let addr = first.address("open")?;
        let run = format!("run --rm --network open --ip {addr} {SERVER}");
        refused_with(h2, &argv("docker", &run), "is already in use")?;
        docker(h1, "rm -f first")?;
        let moved = guest(h2, &format!("--name first --ip {addr}"))?;
        ensure!(moved.address("open")? == addr);
        await_all_answer(&site[0], "first", &[moved])
    })?;
    claim("it outlives the daemon", || {
        let addr = second.address("open")?;
        h2.daemon().kill()?;
        h2.daemon().start()?;
        let third = guest(h1, "--name third")?;
        await_all_answer(&third, "second", std::slice::from_ref(&second))?;
        ensure!(second.address("open")? == addr);
        let run = format!("run --rm --network open --ip {addr} {SERVER}");
        refused_with(h1, &argv("docker", &run), "is already in use")
    })?;
    claim("without a leader docker says why there is none", || {
        let leader = swarm.leader(h1)?;
        leader.daemon().stop(SOON)?;
        let run = format!("run --rm --network open {SERVER}");
        let other = swarm.others(leader)[0];
        refused_with(other, &argv("docker", &run), "no manager of the swarm")?;
        leader.daemon().start()?;
        swarm.complete(&[h1])
    })?;
    claim("a device that leaves gives all of it back", || {
        let addr = second.address("open")?;
        swarmlet(h2, "leave --force")?;
        let listed = docker(h2, "network ls --format {{.Name}}")?;
        ensure!(!listed.lines().any(|name| name == "open"), "{listed}");
        docker(h2, "exec second busybox true")?;
        guest(h1, &format!("--name heir --ip {addr}"))?;
        Ok(())
    })
}

/// Runs a server on the network, once that is there and gives it an address.
fn guest(host: &Host, options: &str) -> Result<Inside> {
    let id = docker(host, &format!("create --network open {options} {SERVER}"))?;
    let id = id.trim();
    soon(&format!("{options} to run on {}", host.name()), || {
        docker(host, &format!("start {id}"))
    })?;
    Ok(Inside::of(host, id))
}

fn unknown(client: &Inside, name: &str) -> Result<()> {
    soon(&format!("the name {name} to go"), || {
        let found = client.resolve(name)?;
        ensure!(found.is_empty(), "{name} is {found:?}");
        Ok(())
    })
}
