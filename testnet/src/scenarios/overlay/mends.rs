//! What people and crashes break on a device is made anew, and costs no address.

use std::time::Instant;

use anyhow::{Result, ensure};
use swarmlet_testnet::Host;

use super::{CLIENT, await_all_answer};
use crate::runner::Context;
use crate::scenarios::kit::{Swarm, claim, containers, docker, soon, swarmlet};

/// On a network of 14 addresses: the gateway, two VIPs and the client leave ten,
/// which a handful of lost ones would exhaust.
const NETWORK: &str = "network create --attachable --subnet 10.77.0.0/28 small";
const TASKS: usize = 8;
const ROUNDS: usize = 3;

pub fn what_hands_and_crashes_break_is_mended(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 2)?;
    let (h1, h2) = (swarm.host(1), swarm.host(2));
    swarmlet(h1, NETWORK)?;
    let line = format!(
        "service create -d --name client --network small --constraint node.hostname==h1 {CLIENT}"
    );
    swarmlet(h1, &line)?;
    let line = format!(
        "service create -d --name web --network small --constraint node.hostname==h2 \
         --replicas {} --restart-delay 100ms whoami",
        TASKS / 2
    );
    swarmlet(h1, &line)?;
    answers(&swarm, TASKS / 2)?;

    claim(
        "a daemon that is killed amid creating containers goes on",
        || {
            swarmlet(h1, &format!("service scale -d web={TASKS}"))?;
            h2.daemon().kill()?;
            h2.daemon().start()?;
            answers(&swarm, TASKS)
        },
    )?;
    claim("containers that were removed by hand are replaced", || {
        for _ in 0..ROUNDS {
            remove_containers(h2)?;
            answers(&swarm, TASKS)?;
        }
        Ok(())
    })?;
    claim("so are networks", || {
        remove_containers(h2)?;
        // The tasks that follow may be faster.
        let removed = docker(h2, "network rm small");
        answers(&swarm, TASKS)?;
        removed.map(drop).or_else(|error| {
            let text = format!("{error:#}");
            ensure!(text.contains("has active endpoints"), "{text}");
            Ok(())
        })
    })?;
    claim("an engine that is killed gets its tasks back", || {
        let killed = Instant::now();
        h2.engine().kill()?;
        h2.engine().start()?;
        answers(&swarm, TASKS)?;
        println!("    all answer {:.1?} after the kill", killed.elapsed());
        Ok(())
    })?;
    claim(
        "a device that leaves takes users' containers off its networks",
        || {
            docker(
                h2,
                "run -d --name guest --network small busybox sleep 100000",
            )?;
            swarmlet(h2, "leave --force")?;
            soon("its network to go", || {
                let networks = docker(h2, "network ls --format {{.Name}}")?;
                ensure!(!networks.contains("small"), "{networks}");
                Ok(())
            })?;
            let runs = docker(h2, "inspect --format {{.State.Running}} guest")?;
            ensure!(runs.trim() == "true", "the guest was stopped");
            Ok(())
        },
    )
}

/// Waits until each of `count` tasks of `web` answers the client.
fn answers(swarm: &Swarm, count: usize) -> Result<()> {
    let h1 = swarm.host(1);
    swarm.settled(h1, "web", count)?;
    let client = swarm.inside(h1, "client", 1)?.remove(0);
    let web = swarm.inside(h1, "web", count)?;
    await_all_answer(&client, "web", &web)
}

fn remove_containers(host: &Host) -> Result<()> {
    let running = containers(host, "web")?;
    let ids: Vec<String> = running.into_iter().map(|container| container.id).collect();
    ensure!(!ids.is_empty(), "{} runs none", host.name());
    docker(host, &format!("rm -f {}", ids.join(" "))).map(drop)
}
