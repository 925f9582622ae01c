//! Tasks that end badly or cannot start: the right state, the reason, a pause
//! that grows with every attempt, and a good end when the cause is gone.

use std::time::Duration;

use anyhow::{Result, ensure};
use stopwatch::MachineInstant;
use swarmlet_testnet::Host;

use super::kit::{self, Swarm, await_ended, claim, docker, soon, swarmlet};
use crate::runner::Context;

/// One host is enough for a task to fail on.
pub fn failed_tasks_say_why_and_recover(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 1)?;
    let h1 = swarm.host(1);
    claim("a container killed by hand is replaced", || {
        killed_by_hand(&swarm, h1)
    })?;
    claim("a port of another service is waited for", || {
        port_of_another_service(&swarm, h1)
    })?;

    h1.ok(&["mkdir", "-p", "/run/cause"])?;
    docker(
        h1,
        "run -d --name occupant -p 8080:80 --stop-signal KILL whoami",
    )?;
    hopeless(h1)?;
    claim("each of them says why", || {
        let started_not = ["Rejected", "Failed"];
        await_ended(h1, "noimage", &["Rejected"], "No such image: nope:1")?;
        await_ended(h1, "exits", &["Failed"], "task: non-zero exit (1)")?;
        await_ended(h1, "port", &started_not, "port is already allocated")?;
        await_ended(h1, "big", &["Pending"], "insufficient resources")?;
        await_ended(h1, "nowhere", &["Pending"], "scheduling constraints")
    })?;
    claim("attempts are further and further apart", || {
        backs_off(h1, &["noimage", "exits", "port"])
    })?;
    claim("each recovers when its cause is gone", || {
        docker(h1, "tag whoami:latest nope:1")?;
        h1.ok(&["touch", "/run/cause/gone"])?;
        docker(h1, "rm -f occupant")?;
        swarmlet(h1, "service update -d --reserve-memory 16m big")?;
        swarmlet(h1, "node update --label-add here=yes self")?;
        for service in ["noimage", "exits", "port", "big", "nowhere"] {
            swarm.settled(h1, service, 1)?;
        }
        Ok(())
    })
}

fn killed_by_hand(swarm: &Swarm, h1: &Host) -> Result<()> {
    swarmlet(
        h1,
        "service create -d --name victim --restart-delay 0s whoami",
    )?;
    let first = swarm.settled(h1, "victim", 1)?.remove(0);
    docker(h1, &format!("kill {}", first.container))?;
    await_ended(h1, "victim", &["Failed"], "task: non-zero exit (137)")?;
    let second = swarm.settled(h1, "victim", 1)?.remove(0);
    ensure!(second.id != first.id && second.slot == first.slot);

    docker(h1, &format!("rm -f {}", second.container))?;
    let third = swarm.settled(h1, "victim", 1)?.remove(0);
    let all = kit::tasks(h1, "victim")?;
    let ended = all.iter().find(|task| task.id == second.id);
    ensure!(
        ended.is_some_and(|task| task.state == "failed" && !task.error.is_empty()),
        "{all:#?}"
    );
    ensure!(third.id != second.id);
    swarmlet(h1, "service rm victim")?;
    Ok(())
}

fn port_of_another_service(swarm: &Swarm, h1: &Host) -> Result<()> {
    for name in ["owner", "waiter"] {
        let line =
            format!("service create -d --name {name} -p published=8081,target=80,mode=host whoami");
        swarmlet(h1, &line)?;
        if name == "owner" {
            swarm.settled(h1, "owner", 1)?;
        }
    }
    await_ended(h1, "waiter", &["Pending"], "host-mode port already in use")?;
    ensure!(h1.http_get("http://localhost:8081/")?.status == 200);
    swarmlet(h1, "service rm owner")?;
    swarm.settled(h1, "waiter", 1)?;
    soon("the new owner to answer", || {
        ensure!(h1.http_get("http://localhost:8081/")?.status == 200);
        Ok(())
    })?;
    swarmlet(h1, "service rm waiter")?;
    Ok(())
}

/// Five services that nothing can run as things are.
fn hopeless(h1: &Host) -> Result<()> {
    let create = "service create -d --restart-delay 0s";
    swarmlet(h1, &format!("{create} --name noimage nope:1"))?;
    let mount = "--mount type=bind,source=/run/cause,target=/cause";
    kit::swarmlet_with(
        h1,
        &format!("{create} --name exits {mount} busybox sh -c"),
        "test -e /cause/gone || exit 1; exec sleep 100000",
    )?;
    swarmlet(
        h1,
        &format!("{create} --name port -p published=8080,target=80,mode=host whoami"),
    )?;
    swarmlet(
        h1,
        &format!("{create} --name big --reserve-memory 900g whoami"),
    )?;
    swarmlet(
        h1,
        &format!("{create} --name nowhere --constraint node.labels.here==yes whoami"),
    )?;
    Ok(())
}

/// Watches each service until it has failed four times. The pause doubles with
/// every failure in a row, from a second on; that a task is prepared before
/// its pause has passed makes some fail one pause early.
fn backs_off(h1: &Host, services: &[&str]) -> Result<()> {
    let mut seen: Vec<Vec<MachineInstant>> = vec![Vec::new(); services.len()];
    soon("four attempts of each", || {
        for (service, seen) in services.iter().zip(&mut seen) {
            let tasks = kit::tasks(h1, service)?;
            let ended = tasks
                .iter()
                .filter(|task| ["failed", "rejected"].contains(&&*task.state));
            seen.resize(ended.count().max(seen.len()), MachineInstant::now());
        }
        ensure!(seen.iter().all(|seen| seen.len() >= 4), "{seen:?}");
        Ok(())
    })?;
    for (service, seen) in services.iter().zip(&seen) {
        let gap = seen[3].since(&seen[2]);
        ensure!(
            gap.wall > Duration::from_millis(1700) && gap.had() < Duration::from_secs(8),
            "{service}: between the third and the fourth attempt were {gap}"
        );
    }
    Ok(())
}
