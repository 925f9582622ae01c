//! The managers: one is killed, then everything loses its power.

use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use serde_json::Value;
use stopwatch::MachineInstant;
use swarmlet_testnet::{Host, wait_for};

use super::kit::{self, SOON, Swarm, claim, swarmlet};
use crate::runner::Context;

const ELECTION: Duration = Duration::from_secs(2);

/// `kill -9` of the leader's daemon, then SIGSTOP: what runs elsewhere does not
/// notice. To the others a daemon that is gone is a device that is gone.
pub fn a_killed_leader_is_replaced_and_nothing_else_restarts(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 3)?;
    let ask = swarm.host(1);
    swarmlet(ask, "service create -d --name web --replicas 6 whoami")?;
    swarm.settled(ask, "web", 6)?;
    let before = swarm.containers("web")?;

    let first = swarm.leader(ask)?;
    let others = swarm.others(first);
    claim("a leader is replaced within 2 s", || {
        let killed = MachineInstant::now();
        first.daemon().kill()?;
        await_new_leader(first, &others, &killed)?;
        // Asked at once: it is told by now what runs.
        let kept = kit::running(others[0], "web")?.len();
        ensure!(kept >= 4, "only {kept} of 6 tasks run for it");
        Ok(())
    })?;
    claim("the other managers answer and accept", || {
        for other in &others {
            let listed = swarmlet(other, "service ls")?;
            ensure!(listed.contains("web"), "{listed}");
        }
        let pinned = others[0].name();
        let line = format!(
            "service create -d --name meanwhile --constraint node.hostname=={pinned} whoami"
        );
        swarmlet(others[0], &line)?;
        Ok(())
    })?;
    claim("no other container was restarted", || {
        let now = swarm.containers("web")?;
        let untouched = before.iter().filter(|c| c.host != first.name());
        let gone: Vec<_> = untouched.filter(|c| !now.contains(c)).collect();
        ensure!(gone.is_empty(), "gone: {gone:#?}\nnow: {now:#?}");
        Ok(())
    })?;
    claim("the killed one catches up", || {
        first.daemon().start()?;
        swarm.complete(&[first])?;
        let listed = swarmlet(first, "service ls")?;
        ensure!(listed.contains("meanwhile"), "{listed}");
        swarm.settled(first, "meanwhile", 1).map(drop)
    })?;
    claim("its vote counts again", || its_vote_counts(&swarm, first))?;
    claim(
        "a frozen leader is replaced and follows when it wakes",
        || frozen(&swarm),
    )?;
    claim("all runs, and nothing twice", || {
        swarm.settled(ask, "web", 6).map(drop)
    })
}

/// Every one of `ask` names a leader other than `old`, in time.
fn await_new_leader(old: &Host, ask: &[&Host], lost: &MachineInstant) -> Result<()> {
    for host in ask {
        let what = format!("{} to have a new leader", host.name());
        wait_for(&what, ELECTION, || {
            let leader = kit::leader(host)?;
            ensure!(leader != old.name(), "{leader} still leads");
            Ok(())
        })?;
    }
    let took = lost.elapsed();
    ensure!(took.had() < ELECTION, "the election took {took}");
    Ok(())
}

/// Without the leader of now, the two that are left can agree only if
/// `returned` has the whole log.
fn its_vote_counts(swarm: &Swarm, returned: &Host) -> Result<()> {
    let second = swarm.leader(returned)?;
    ensure!(
        second.name() != returned.name(),
        "it leads before it has caught up"
    );
    let killed = MachineInstant::now();
    second.daemon().kill()?;
    await_new_leader(second, &[returned], &killed)?;
    let pinned = returned.name();
    let line =
        format!("service create -d --name after --constraint node.hostname=={pinned} whoami");
    swarmlet(returned, &line)?;
    second.daemon().start()?;
    swarm.settled(second, "after", 1)?;
    Ok(())
}

fn frozen(swarm: &Swarm) -> Result<()> {
    let old = swarm.leader(swarm.host(1))?;
    let since = MachineInstant::now();
    old.daemon().pause()?;
    let replaced = await_new_leader(old, &swarm.others(old), &since);
    old.daemon().resume()?;
    replaced?;
    swarm.complete(&[old])?;
    let leader = kit::leader(old)?;
    ensure!(leader != old.name(), "{leader} took the lead back");
    Ok(())
}

/// Power off all three, one comes back alone, then the others.
pub fn a_swarm_without_power_comes_back_by_itself(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 3)?;
    let ask = swarm.host(1);
    swarmlet(ask, "service create -d --name web --replicas 6 whoami")?;
    swarmlet(
        ask,
        "service create -d --name db --label tier=back busybox sleep 100000",
    )?;
    swarm.settled(ask, "web", 6)?;
    swarm.settled(ask, "db", 1)?;
    let before = identity(ask)?;

    for host in swarm.hosts() {
        host.kill()?;
    }
    ask.boot()?;
    claim("a host alone runs what it was given", || {
        kit::soon("its containers to run", || {
            let running = swarm.containers("web")?;
            ensure!(running.len() == 2, "{running:#?}");
            Ok(())
        })?;
        kit::refused(ask, "service ls", "does not have a leader")
    })?;
    claim("the others complete it, without a command", || {
        boot_together(&swarm.others(ask))?;
        swarm.complete(&swarm.hosts().iter().collect::<Vec<_>>())?;
        for host in swarm.hosts() {
            let now = identity(host)?;
            ensure!(now == before, "before: {before}\nnow: {now}");
        }
        swarm.settled(ask, "web", 6)?;
        swarm.settled(ask, "db", 1)?;
        Ok(())
    })
}

/// The swarm and its services, without what a boot may change.
fn identity(ask: &Host) -> Result<Value> {
    let swarm = wait_for("the swarm to answer", SOON, || kit::get(ask, "/swarm"))?;
    let services = kit::get(ask, "/services")?;
    let services = services.as_array().cloned().unwrap_or_default();
    let kept = services
        .iter()
        .map(|service| Value::from(vec![service["ID"].clone(), service["Spec"].clone()]));
    let mut kept: Vec<Value> = kept.collect();
    kept.sort_by_key(ToString::to_string);
    kept.push(swarm["ID"].clone());
    kept.push(swarm["JoinTokens"].clone());
    Ok(Value::from(kept))
}

/// Boots them at the same time, as after a power cut.
fn boot_together(hosts: &[&Host]) -> Result<()> {
    thread::scope(|scope| -> Result<()> {
        let boots: Vec<_> = hosts
            .iter()
            .map(|host| scope.spawn(|| host.boot()))
            .collect();
        for boot in boots {
            boot.join().map_err(|_| anyhow!("a boot panicked"))??;
        }
        Ok(())
    })
}
