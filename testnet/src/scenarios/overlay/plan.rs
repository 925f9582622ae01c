//! Addresses that run out, and networks that do not fit.

use anyhow::{Result, ensure};
use swarmlet_testnet::Host;

use super::await_all_answer;
use crate::runner::Context;
use crate::scenarios::kit::{Swarm, await_ended, claim, refused, rows, soon, swarmlet};

pub fn networks_that_do_not_fit_are_refused_and_full_ones_recover(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 1)?;
    let h1 = swarm.host(1);
    claim("a subnet has one owner, and refusals name it", || {
        subnets(h1)
    })?;
    claim(
        "a full subnet is said, and filled again when it can be",
        || full(&swarm, h1),
    )?;
    claim("a network in use stays, one that is not is pruned", || {
        refused(h1, "network rm tight", "is in use by service")?;
        swarmlet(h1, "service rm crowd")?;
        soon("the network to be free", || {
            swarmlet(h1, "network rm tight")
        })?;
        swarmlet(h1, "network prune --force")?;
        let left = rows(h1, "network ls")?;
        ensure!(left.iter().all(|row| row["Name"] != "mine"), "{left:?}");
        Ok(())
    })
}

fn subnets(h1: &Host) -> Result<()> {
    swarmlet(h1, "network create --subnet 10.80.0.0/24 mine")?;
    refused(
        h1,
        "network create --subnet 10.80.0.128/25 other",
        "network mine",
    )?;
    let [a, b, c, _] = h1.ip().octets();
    for last in ["0/28", "128/25"] {
        let line = format!("network create --subnet {a}.{b}.{c}.{last} lan");
        refused(h1, &line, "of node h1")?;
    }
    refused(
        h1,
        "network create mine",
        "network with name mine already exists",
    )?;
    refused(
        h1,
        "service create -d --network nope whoami",
        "network nope not found",
    )
}

/// Six addresses: the gateway, a VIP for each service, and three tasks at most.
fn full(swarm: &Swarm, h1: &Host) -> Result<()> {
    swarmlet(h1, "network create --subnet 10.81.0.0/29 tight")?;
    swarmlet(h1, "service create -d --name guest --network tight whoami")?;
    swarm.settled(h1, "guest", 1)?;
    let line = "service create -d --name crowd --replicas 4 --network tight whoami";
    swarmlet(h1, line)?;
    swarm.settled(h1, "crowd", 2)?;
    await_ended(
        h1,
        "crowd",
        &["New", "Pending"],
        "no available IPv4 addresses on this network's address pools: tight",
    )?;
    swarmlet(h1, "service rm guest")?;
    let crowd = swarm.inside(h1, "crowd", 4)?;
    await_all_answer(&crowd[0], "crowd", &crowd)
}
