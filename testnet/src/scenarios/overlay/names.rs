//! Services, found by name from any device.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use swarmlet_testnet::Host;

use super::{CLIENT, await_all_answer};
use crate::runner::Context;
use crate::scenarios::kit::{Inside, Swarm, claim, docker, get_at, soon, swarmlet};

const VIP: &str = "10.77.0.200";

pub fn services_reach_each_other_by_name_from_every_device(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 3)?;
    let ask = swarm.host(1);
    swarmlet(ask, "network create --subnet 10.77.0.0/24 front")?;
    let web = format!(
        "service create -d --name web --replicas 3 --replicas-max-per-node 1 --network name=front,alias=site,ip={VIP} whoami"
    );
    swarmlet(ask, &web)?;
    let clients = format!(
        "service create -d --name client --replicas 3 --replicas-max-per-node 1 --network front {CLIENT}"
    );
    swarmlet(ask, &clients)?;
    let web = swarm.inside(ask, "web", 3)?;
    let clients = swarm.inside(ask, "client", 3)?;

    claim("every task answers at the VIP that was asked for", || {
        for client in &clients {
            await_all_answer(client, "web", &web)?;
            resolves(client, "web", &[VIP.parse()?])?;
        }
        Ok(())
    })?;
    claim("a task sees the address of its client", || {
        for client in &clients {
            let seen = client.get("web")?.client()?;
            let is = client.address("front")?;
            ensure!(seen == is, "{seen} for {is}");
        }
        Ok(())
    })?;
    claim("tasks, aliases and containers have names", || {
        other_names(&clients, &web)
    })?;
    claim("a task reaches itself through its VIP", || {
        web.iter()
            .try_for_each(|task| await_all_answer(task, "web", &web))
    })?;
    claim("without a VIP, a name is its tasks", || {
        let line = "service create -d --name ring --replicas 3 --replicas-max-per-node 1 --endpoint-mode dnsrr \
                    --network front whoami";
        swarmlet(ask, line)?;
        let ring = swarm.inside(ask, "ring", 3)?;
        let tasks = addresses(&ring, "front")?;
        for client in &clients {
            soon("the ring's tasks to be its name", || {
                resolves(client, "ring", &tasks)
            })?;
        }
        Ok(())
    })?;
    claim("both families have VIPs, names and tasks", || {
        dual_stack(&swarm, ask)
    })?;
    claim("an internal network reaches nothing but itself", || {
        internal(&swarm, ask, &clients[0])
    })?;
    claim("any container may join an attachable network", || {
        attachable(&swarm, ask)
    })?;
    claim("names and VIPs need no manager", || {
        let client = &clients[0];
        for host in swarm.others(client.host()) {
            host.daemon().stop(std::time::Duration::from_secs(30))?;
        }
        // Their daemons carry their traffic, so what is left is this device's own.
        await_all_answer(client, "web", &web[..1])
    })
}

fn other_names(clients: &[Inside], web: &[Inside]) -> Result<()> {
    let tasks = addresses(web, "front")?;
    for client in clients {
        resolves(client, "tasks.web", &tasks)?;
        resolves(client, "site", &[VIP.parse()?])?;
        resolves(client, "no-such-service", &[])?;
        for task in web {
            let inspect = ["docker", "inspect", "-f", "{{.Name}}", task.id()];
            let name = task.host().ok(&inspect)?;
            let name = name.trim().trim_start_matches('/');
            resolves(client, name, &[task.address("front")?])?;
        }
    }
    Ok(())
}

fn dual_stack(swarm: &Swarm, ask: &Host) -> Result<()> {
    let line = "network create --ipv6 --subnet 10.78.0.0/24,fd77:78::/64 dual";
    swarmlet(ask, line)?;
    let line = "service create -d --name both --replicas 3 --replicas-max-per-node 1 --network dual whoami";
    swarmlet(ask, line)?;
    let both = swarm.inside(ask, "both", 3)?;
    let (client, far) = (&both[0], &both[2]);
    let vips = soon("the name to have both", || {
        let vips = client.resolve("both")?;
        ensure!(vips.len() == 2, "{vips:?}");
        Ok(vips)
    })?;
    let six = |addrs: BTreeSet<IpAddr>| addrs.into_iter().find(IpAddr::is_ipv6);
    let vip = six(vips).context("no IPv6 VIP")?;
    await_all_answer(client, &vip.to_string(), &both)?;
    let direct = six(far.addresses("dual")?).context("no IPv6 address")?;
    let answer = client.get_at(direct)?;
    let own = six(client.addresses("dual")?).context("no IPv6 address")?;
    ensure!(answer.client()? == own, "{answer:?} for {own}");
    Ok(())
}

fn internal(swarm: &Swarm, ask: &Host, outside: &Inside) -> Result<()> {
    swarmlet(ask, "network create --internal inner")?;
    let line = "service create -d --name hidden --replicas 3 --replicas-max-per-node 1 --network inner whoami";
    swarmlet(ask, line)?;
    let hidden = swarm.inside(ask, "hidden", 3)?;
    await_all_answer(&hidden[0], "hidden", &hidden)?;
    // A server on the LAN, which belongs to no network of the swarm.
    let server = swarm.host(2);
    docker(
        server,
        "run -d --name lan --network host whoami --port 8099",
    )?;
    let at = SocketAddr::new(server.ip().into(), 8099);
    soon("a container to reach the LAN", || {
        get_at(&outside.netns()?, at)
    })?;
    let answer = get_at(&hidden[0].netns()?, at);
    ensure!(answer.is_err(), "it reached {at}: {answer:?}");
    docker(server, "rm -f lan")?;
    Ok(())
}

fn attachable(swarm: &Swarm, ask: &Host) -> Result<()> {
    swarmlet(ask, "network create --attachable open")?;
    let line = "service create -d --name shop --replicas 3 --replicas-max-per-node 1 --network open whoami";
    swarmlet(ask, line)?;
    let shop = swarm.inside(ask, "shop", 3)?;
    let host = swarm.host(3);
    let run = "run -d --name guest --network open --network-alias visitor \
               --stop-signal KILL whoami";
    soon("the network to be on h3", || docker(host, run))?;
    let guest = Inside::of(host, "guest");
    let vip = shop[0].resolve("shop")?.pop_first().context("no VIP")?;
    await_all_answer(&guest, &vip.to_string(), &shop)?;
    let at = guest.address("open")?;
    for name in ["guest", "visitor"] {
        soon("the guest to have its names elsewhere", || {
            resolves(&shop[0], name, &[at])
        })?;
    }
    let answer = shop[0].get("visitor")?;
    ensure!(answer.client()? == shop[0].address("open")?, "{answer:?}");
    docker(host, "rm -f guest")?;
    soon("its names to go with it", || {
        resolves(&shop[0], "guest", &[])
    })
}

fn addresses(all: &[Inside], network: &str) -> Result<Vec<IpAddr>> {
    all.iter().map(|inside| inside.address(network)).collect()
}

fn resolves(client: &Inside, name: &str, wanted: &[IpAddr]) -> Result<()> {
    let found = client.resolve(name)?;
    let wanted: BTreeSet<IpAddr> = wanted.iter().copied().collect();
    ensure!(found == wanted, "{name} is {found:?}, not {wanted:?}");
    Ok(())
}
