//! Nodes that are lost: a daemon, a cable, an engine, the power, half a network.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use stopwatch::{MachineInstant, Took};
use swarmlet_testnet::{Host, wait_for};

use super::kit::{self, REPLACED, SOON, Swarm, claim, soon, swarmlet};
use crate::runner::Context;

/// A node says itself that its engine is gone.
const DOWN: Duration = Duration::from_secs(2);

/// h1 to h3 are managers, h4 is the worker that things happen to.
pub fn a_lost_node_is_noticed_and_its_tasks_are_replaced(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 4)?;
    let (ask, worker) = (swarm.host(1), swarm.host(4));
    swarmlet(ask, "service create -d --name web --replicas 8 whoami")?;
    let tasks = swarm.settled(ask, "web", 8)?;
    ensure!(
        tasks.iter().filter(|task| task.node == "h4").count() == 2,
        "not spread over the nodes: {tasks:#?}"
    );

    claim("a worker's daemon is replaced under its containers", || {
        daemon_killed(&swarm, worker)
    })?;
    claim("a node without its cable is replaced within 3 s", || {
        cable_cut(&swarm, worker)
    })?;
    claim("a node without power is replaced within 3 s", || {
        power_cut(&swarm, worker)
    })?;
    claim("a node without its engine is down at once", || {
        engine_killed(&swarm, worker)
    })?;
    claim("a leader without its cable is replaced", || {
        leader_cut(&swarm)
    })?;
    claim(
        "of a split network, the side with the quorum runs everything",
        || split(&swarm, worker),
    )?;
    claim("a removed service leaves no container", || {
        swarmlet(ask, "service rm web")?;
        soon("every container to be gone", || {
            for host in swarm.hosts() {
                let left = kit::containers(host, "web")?;
                ensure!(left.is_empty(), "{left:#?}");
            }
            Ok(())
        })
    })
}

fn daemon_killed(swarm: &Swarm, worker: &Host) -> Result<()> {
    let ask = swarm.host(1);
    let tasks = swarm.settled(ask, "web", 8)?;
    let before = swarm.containers("web")?;
    worker.daemon().kill()?;
    worker.daemon().start()?;

    // Reaches the worker only through a session of the new daemon.
    let line = "service create -d --name probe --constraint node.hostname==h4 whoami";
    swarmlet(ask, line)?;
    swarm.settled(ask, "probe", 1)?;
    swarmlet(ask, "service rm probe")?;

    let now = swarm.containers("web")?;
    ensure!(before == now, "before: {before:#?}\nnow: {now:#?}");
    let still = swarm.settled(ask, "web", 8)?;
    ensure!(tasks == still, "before: {tasks:#?}\nnow: {still:#?}");
    Ok(())
}

fn cable_cut(swarm: &Swarm, worker: &Host) -> Result<()> {
    let ask = swarm.host(1);
    let cut = MachineInstant::now();
    worker.cut()?;
    await_down(ask, worker, &cut)?;
    let took = swarm.replaced(ask, "web", 8, &[worker], &cut)?;
    ensure!(took.had() < REPLACED, "it was replaced after {took}");
    let listed = swarmlet(ask, "service ls")?;
    ensure!(
        listed.contains("8/8"),
        "it counts the lost ones too: {listed}"
    );
    // What it was given still runs there: it cannot know better.
    ensure!(kit::containers(worker, "web")?.iter().any(|c| c.runs));

    worker.heal()?;
    await_ready(ask, worker)?;
    swarm.settled(ask, "web", 8)?;
    Ok(())
}

fn power_cut(swarm: &Swarm, worker: &Host) -> Result<()> {
    let ask = swarm.host(1);
    swarmlet(ask, "service scale -d web=11")?;
    let tasks = swarm.settled(ask, "web", 11)?;
    ensure!(
        tasks.iter().any(|task| task.node == worker.name()),
        "{tasks:#?}"
    );
    let others = swarm.others(worker);
    let kept = |host: &&Host| kit::containers(host, "web");
    let before: Vec<_> = others.iter().map(kept).collect::<Result<_>>()?;

    let cut = MachineInstant::now();
    worker.kill()?;
    let took = swarm.replaced(ask, "web", 11, &[worker], &cut)?;
    ensure!(took.had() < REPLACED, "it was replaced after {took}");
    let inspected = swarmlet(ask, "node inspect h4")?;
    ensure!(inspected.contains("not heard by"), "{inspected}");

    worker.boot()?;
    await_ready(ask, worker)?;
    swarm.settled(ask, "web", 11)?;
    for (host, before) in others.iter().zip(before) {
        let now = kit::containers(host, "web")?;
        ensure!(
            before.iter().all(|container| now.contains(container)),
            "before: {before:#?}\nnow: {now:#?}"
        );
    }
    swarmlet(ask, "service scale -d web=8")?;
    swarm.settled(ask, "web", 8)?;
    Ok(())
}

fn engine_killed(swarm: &Swarm, worker: &Host) -> Result<()> {
    let ask = swarm.host(1);
    swarmlet(ask, "service scale -d web=11")?;
    let tasks = swarm.settled(ask, "web", 11)?;
    ensure!(
        tasks.iter().any(|task| task.node == worker.name()),
        "{tasks:#?}"
    );

    let killed = MachineInstant::now();
    worker.engine().kill()?;
    let took = await_down(ask, worker, &killed)?;
    ensure!(took.had() < DOWN, "it was down after {took}");
    let told = kit::node(ask, worker.name())?;
    ensure!(
        !told.message.is_empty(),
        "nobody says why it is down: {told:?}"
    );
    soon("its tasks to run elsewhere", || {
        let running = kit::running(ask, "web")?;
        let elsewhere = running.iter().filter(|task| task.node != worker.name());
        ensure!(elsewhere.count() == 11, "{running:#?}");
        Ok(())
    })?;

    worker.engine().start()?;
    await_ready(ask, worker)?;
    swarm.settled(ask, "web", 11)?;
    swarmlet(ask, "service scale -d web=8")?;
    swarm.settled(ask, "web", 8)?;
    Ok(())
}

/// The old leader must not answer as if it still led, and follows when it can.
fn leader_cut(swarm: &Swarm) -> Result<()> {
    let old = swarm.leader(swarm.host(1))?;
    let others = swarm.others(old);
    let ask = *others.first().unwrap_or(&old);
    old.cut()?;
    wait_for("another leader", Duration::from_secs(3), || {
        let leader = kit::leader(ask)?;
        ensure!(leader != old.name(), "{leader} still leads");
        Ok(())
    })?;
    await_down(ask, old, &MachineInstant::now())?;
    kit::refused(old, "service ls", "does not have a leader")?;
    soon("its tasks to run elsewhere", || {
        let running = kit::running(ask, "web")?;
        let elsewhere = running.iter().filter(|task| task.node != old.name());
        ensure!(elsewhere.count() == 8, "{running:#?}");
        Ok(())
    })?;

    old.heal()?;
    swarm.complete(&[ask, old])?;
    swarm.settled(old, "web", 8)?;
    Ok(())
}

/// A manager that does not lead and a worker are cut off together.
fn split(swarm: &Swarm, worker: &Host) -> Result<()> {
    let leader = swarm.leader(swarm.host(1))?;
    let managers = [1, 2, 3].map(|number| swarm.host(number));
    let follower = managers
        .into_iter()
        .find(|host| host.name() != leader.name())
        .context("every manager leads")?;
    let minority = [follower, worker];
    swarmlet(leader, "service scale -d web=12")?;
    swarm.settled(leader, "web", 12)?;
    let kept = |host: &Host| -> Result<Vec<_>> {
        let mut all = kit::containers(host, "web")?;
        all.retain(|container| container.runs);
        Ok(all)
    };
    let before: Vec<_> = minority.into_iter().map(kept).collect::<Result<_>>()?;

    let since = MachineInstant::now();
    swarm.net().split(&minority)?;
    swarm.replaced(leader, "web", 12, &minority, &since)?;
    kit::refused(follower, "service ls", "does not have a leader")?;
    let now: Vec<_> = minority.into_iter().map(kept).collect::<Result<_>>()?;
    ensure!(before == now, "before: {before:#?}\nnow: {now:#?}");

    swarm.net().mend()?;
    swarm.complete(&[leader, follower])?;
    swarm.settled(leader, "web", 12)?;
    swarm.all_alive(&swarm.hosts().iter().collect::<Vec<_>>())
}

/// How long after `since` the node is down, as `ask` sees it.
fn await_down(ask: &Host, lost: &Host, since: &MachineInstant) -> Result<Took> {
    let what = format!("{} to be down", lost.name());
    wait_for(&what, SOON, || {
        let node = kit::node(ask, lost.name())?;
        ensure!(node.state == "down", "{node:?}");
        Ok(since.elapsed())
    })
    .map_err(Into::into)
}

fn await_ready(ask: &Host, lost: &Host) -> Result<()> {
    soon(&format!("{} to be ready", lost.name()), || {
        let node = kit::node(ask, lost.name())?;
        ensure!(node.state == "ready", "{node:?}");
        Ok(())
    })
}
