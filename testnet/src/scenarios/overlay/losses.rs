//! Containers and devices that are lost, cut off, or half reachable.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use stopwatch::MachineInstant;
use swarmlet_testnet::{Host, wait_for};

use super::{CLIENT, await_all_answer};
use crate::runner::Context;
use crate::scenarios::kit::{Inside, Load, SOON, Swarm, backends, claim, docker, soon, swarmlet};

/// Of a container whose end its own engine has seen.
const KILLED: Duration = Duration::from_secs(2);
/// Of a device whose power is cut.
const POWER: Duration = Duration::from_millis(2500);
const CLIENTS: usize = 4;

pub fn lost_backends_are_asked_no_more(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 3)?;
    let ask = swarm.host(1);
    swarmlet(ask, "network create front")?;
    // Nothing replaces what is lost here: each has its only place.
    let line = "service create -d --name web --replicas 3 --replicas-max-per-node 1 --network front -p 8080:80 \
                --restart-delay 1h whoami";
    swarmlet(ask, line)?;
    let line = format!(
        "service create -d --name client --network front --constraint node.hostname==h1 {CLIENT}"
    );
    swarmlet(ask, &line)?;
    let web = swarm.inside(ask, "web", 3)?;
    let client = swarm.inside(ask, "client", 1)?.remove(0);
    await_all_answer(&client, "web", &web)?;
    let vip = client
        .resolve("web")?
        .into_iter()
        .next()
        .context("no VIP")?;

    claim(
        "a network that is split serves what it has, and heals",
        || split(&swarm, &client, &web),
    )?;
    // What was cut off was replaced, on its device.
    let web = swarm.inside(ask, "web", 3)?;
    claim("a container that dies costs what was in flight", || {
        let load = Load::on(&client.netns()?, SocketAddr::new(vip, 80), CLIENTS);
        load.flows()?;
        let (host, addrs) = (web[1].host(), both_addresses(&web[1])?);
        let killed = MachineInstant::now();
        docker(host, &format!("kill {}", web[1].id()))?;
        let known = gone_everywhere(swarm.hosts(), &addrs, &killed, KILLED)?;
        load.flows()?;
        // Its kernel refuses connections in its stead, until all know.
        load.stop()?.answered_since(known, usize::MAX)
    })?;
    claim("so does a device that loses its power", || {
        let load = Load::on(&client.netns()?, SocketAddr::new(vip, 80), CLIENTS);
        load.flows()?;
        let (lost, addrs) = (web[2].host().clone(), both_addresses(&web[2])?);
        let since = MachineInstant::now();
        lost.kill()?;
        let known = gone_everywhere(&swarm.hosts()[..2], &addrs, &since, POWER)?;
        load.flows()?;
        load.stop()?.answered_since(known, CLIENTS)
    })
}

/// On the overlay and on the ingress network.
fn both_addresses(task: &Inside) -> Result<BTreeSet<IpAddr>> {
    let mut addrs = task.addresses("front")?;
    addrs.extend(task.addresses("ingress")?);
    Ok(addrs)
}

/// No packet is sent there any more by any of `hosts`; since when.
fn gone_everywhere(
    hosts: &[Host],
    addrs: &BTreeSet<IpAddr>,
    since: &MachineInstant,
    limit: Duration,
) -> Result<Instant> {
    for host in hosts {
        wait_for(&format!("{} to know", host.name()), SOON, || {
            let left = backends(host)?;
            ensure!(left.is_disjoint(addrs), "{left:?} with {addrs:?}");
            Ok(())
        })?;
    }
    let (known, took) = (Instant::now(), since.elapsed());
    println!("    all knew after {took}");
    ensure!(took.had() < limit, "it took {took}");
    Ok(known)
}

/// h3 alone on one side.
fn split(swarm: &Swarm, client: &Inside, web: &[Inside]) -> Result<()> {
    swarm.net().split(&[swarm.host(3)])?;
    await_all_answer(client, "web", &web[..2])?;
    await_all_answer(&web[2], "web", &web[2..])?;
    swarm.net().mend()?;
    let web = swarm.inside(client.host(), "web", 3)?;
    await_all_answer(client, "web", &web)?;
    await_all_answer(&web[2], "web", &web)
}

/// Whoever is behind a router that lets nobody in can still dial.
pub fn a_device_that_nobody_can_dial_takes_part(context: &Context) -> Result<()> {
    let swarm = Swarm::unformed(context, 2)?;
    let (h1, hidden) = (swarm.host(1), swarm.host(2));
    // The kernel lets answers in, and nothing else.
    hidden.ok(&["nft", "add table inet router"])?;
    let chain = "add chain inet router in { type filter hook input priority -10; }";
    hidden.ok(&["nft", chain])?;
    let rule = "add rule inet router in iifname eth0 meta l4proto { tcp, udp } ct state new drop";
    hidden.ok(&["nft", rule])?;
    swarmlet(h1, "init")?;
    let token = swarmlet(h1, "join-token -q worker")?;
    swarmlet(
        hidden,
        &format!("join --token {} {}", token.trim(), h1.ip()),
    )?;
    swarm.complete(&[h1])?;

    swarmlet(h1, "network create front")?;
    let line = "service create -d --name web --replicas 2 --replicas-max-per-node 1 --network front -p 8080:80 whoami";
    swarmlet(h1, line)?;
    let web = swarm.inside(h1, "web", 2)?;
    claim("its tasks are asked, and ask", || {
        web.iter()
            .try_for_each(|task| await_all_answer(task, "web", &web))
    })?;
    claim("also after its daemon was restarted", || {
        hidden.daemon().kill()?;
        hidden.daemon().start()?;
        await_all_answer(&web[0], "web", &web)?;
        await_all_answer(&web[1], "web", &web)
    })?;
    claim("also after the other side's was", || {
        h1.daemon().kill()?;
        h1.daemon().start()?;
        soon("the manager to answer", || swarmlet(h1, "node ls"))?;
        await_all_answer(&web[0], "web", &web)?;
        await_all_answer(&web[1], "web", &web)
    })
}
