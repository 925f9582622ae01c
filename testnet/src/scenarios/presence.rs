//! Who is here, as the devices themselves know it: on links that lose, of
//! devices that starve or move, and with no manager left to ask.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use swarmlet_testnet::{Host, wait_for};

use super::kit::{self, Swarm, claim, soon, swarmlet};
use crate::runner::Context;

/// For how long nobody may be taken for dead who is not.
const WATCHED: Duration = Duration::from_secs(10);
const STARVED: Duration = Duration::from_secs(30);
/// A voter that is down is replaced after 10 s.
const MANAGER_REPLACED: Duration = Duration::from_secs(30);

/// h1 to h3 are managers, h4 and h5 are workers.
pub fn every_device_knows_who_is_here(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 5)?;
    let all: Vec<&Host> = swarm.hosts().iter().collect();
    let (ask, h4, h5) = (swarm.host(1), swarm.host(4), swarm.host(5));
    swarmlet(ask, "service create -d --name web --replicas 5 whoami")?;
    swarm.settled(ask, "web", 5)?;
    swarm.all_alive(&all)?;
    let containers = swarm.containers("web")?;

    claim("a link that fails one way takes nobody down", || {
        one_way(&swarm, h4, h5)
    })?;
    claim("a device that starves takes nobody down", || {
        let starving = h5.daemon().starve()?;
        let watched = nobody_dies(&swarm, STARVED, &[h5]);
        drop(starving);
        watched?;
        swarm.all_alive(&all)
    })?;
    claim("neither restarted anything", || {
        let now = swarm.containers("web")?;
        ensure!(now == containers, "before: {containers:#?}\nnow: {now:#?}");
        Ok(())
    })?;
    claim("a lost manager is replaced by a candidate", || {
        manager_replaced(&swarm, h4)
    })?;
    claim("a worker's address may change", || moved(&swarm, h5))?;
    claim("a leader's address may change", || {
        moved(&swarm, swarm.leader(h4)?)
    })?;
    claim("members are listed with no manager alive", || {
        without_managers(&swarm, h5)
    })
}

/// `deaf` no longer hears `speaker`; the others hear both.
fn one_way(swarm: &Swarm, speaker: &Host, deaf: &Host) -> Result<()> {
    let through_another = |wanted: bool| -> Result<()> {
        let members = kit::members(deaf)?;
        let member = kit::member(deaf, speaker.name())?;
        let indirect = members.iter().any(|other| other.id == member.through);
        ensure!(member.state == "alive" && indirect == wanted, "{member:?}");
        Ok(())
    };
    swarm.net().lose(&[(speaker, deaf)])?;
    soon("the deaf one to hear it through another", || {
        through_another(true)
    })?;
    nobody_dies(swarm, WATCHED, &[])?;
    swarm.net().mend()?;
    soon("it to hear for itself again", || through_another(false))
}

/// Watches for a while that no device holds another one for dead, those in
/// `but` aside, and that nobody had to refute that it is.
fn nobody_dies(swarm: &Swarm, time: Duration, but: &[&Host]) -> Result<()> {
    let spared = |name: &str| but.iter().any(|host| host.name() == name);
    let incarnations = || -> Result<Vec<(String, u64)>> {
        let all = kit::members(swarm.host(1))?;
        let counted = all.into_iter().filter(|member| !spared(&member.name));
        Ok(counted.map(|m| (m.name, m.incarnation)).collect())
    };
    let before = incarnations()?;
    let start = Instant::now();
    while start.elapsed() < time {
        for host in swarm.hosts() {
            let members = kit::members(host)?;
            let dead = members
                .iter()
                .find(|member| member.state == "dead" && !spared(&member.name));
            ensure!(dead.is_none(), "{} says {dead:?}", host.name());
        }
    }
    let now = incarnations()?;
    ensure!(before == now, "somebody refuted: {before:?} became {now:?}");
    Ok(())
}

/// Neither its containers nor anybody else's notice.
fn moved(swarm: &Swarm, host: &Host) -> Result<()> {
    let others = swarm.others(host);
    let manages = |other: &&&Host| kit::nodes(other).is_ok();
    let ask = *others.iter().find(manages).context("no other manager")?;
    swarm.settled(ask, "web", 5)?;
    let containers = swarm.containers("web")?;
    let new = host.change_address()?.to_string();
    soon("the managers to have its new address", || {
        let node = kit::node(ask, host.name())?;
        ensure!(node.address == new && node.state == "ready", "{node:?}");
        Ok(())
    })?;
    swarm.complete(&[ask])?;
    swarm.all_alive(&[ask, host])?;

    // Reaches it only through a session from or to the new address.
    let pinned = host.name();
    let line =
        format!("service create -d --name probe --constraint node.hostname=={pinned} whoami");
    swarmlet(ask, &line)?;
    swarm.settled(ask, "probe", 1)?;
    swarmlet(ask, "service rm probe")?;
    let now = swarm.containers("web")?;
    ensure!(now == containers, "before: {containers:#?}\nnow: {now:#?}");
    Ok(())
}

fn manager_replaced(swarm: &Swarm, candidate: &Host) -> Result<()> {
    let leader = swarm.leader(swarm.host(1))?;
    let managers = [1, 2, 3].map(|number| swarm.host(number));
    let lost = managers
        .into_iter()
        .find(|host| host.name() != leader.name())
        .context("every manager leads")?;
    let label = "node update --label-add swarmlet.manager-candidate=true";
    swarmlet(leader, &format!("{label} {}", candidate.name()))?;
    lost.kill()?;
    wait_for("the candidate to be a manager", MANAGER_REPLACED, || {
        let node = kit::node(leader, candidate.name())?;
        ensure!(node.reachability == "reachable", "{node:?}");
        let node = kit::node(leader, lost.name())?;
        ensure!(node.role == "worker", "{node:?}");
        Ok(())
    })?;
    let events = swarmlet(leader, "events")?;
    for name in [candidate.name(), lost.name()] {
        ensure!(events.contains(name), "no word of {name}: {events}");
    }
    swarmlet(candidate, "service ls")?;
    lost.boot()?;
    swarm.complete(&[leader])?;
    swarm.all_alive(&[leader, lost])
}

fn without_managers(swarm: &Swarm, worker: &Host) -> Result<()> {
    let managers: Vec<String> = kit::nodes(swarm.host(4))?
        .into_iter()
        .filter(|node| node.role == "manager")
        .map(|node| node.name)
        .collect();
    ensure!(managers.len() == 3, "{managers:?}");
    for name in &managers {
        swarm.named(name)?.kill()?;
    }
    soon("their deaths to be known", || {
        let listed = swarmlet(worker, "members")?;
        for name in &managers {
            let line = listed.lines().find(|line| line.contains(name.as_str()));
            ensure!(line.is_some_and(|line| line.contains("dead")), "{listed}");
        }
        Ok(())
    })?;
    let listed = kit::members(worker)?;
    let alive = listed.iter().filter(|member| member.state == "alive");
    ensure!(alive.count() == 2, "{listed:#?}");
    Ok(())
}
