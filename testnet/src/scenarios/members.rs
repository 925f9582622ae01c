//! Members that come, go, and change their role.

use std::time::Duration;

use anyhow::{Result, ensure};
use swarmlet_testnet::{Host, wait_for};

use super::kit::{self, Swarm, claim, refused, soon, swarmlet};
use crate::runner::Context;

/// h1 to h3 are managers, h4 is a worker.
pub fn roles_change_and_removed_nodes_stay_out(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 4)?;
    let (h1, h4) = (swarm.host(1), swarm.host(4));
    swarmlet(h1, "service create -d --name web --replicas 4 whoami")?;
    swarm.settled(h1, "web", 4)?;
    let before = swarm.containers("web")?;

    claim("a worker becomes a manager and a worker again", || {
        promoted_and_demoted(&swarm, h4)
    })?;
    claim("a leader that demotes itself is replaced", || {
        leader_demoted(&swarm)
    })?;
    claim("a change of role restarts nothing", || {
        let now = swarm.containers("web")?;
        ensure!(now == before, "before: {before:#?}\nnow: {now:#?}");
        Ok(())
    })?;
    claim("only a node that is down is removed", || {
        removed(&swarm, h4)
    })?;
    claim("a removed node gets no session and can join anew", || {
        stays_out(&swarm, h4)
    })
}

fn promoted_and_demoted(swarm: &Swarm, worker: &Host) -> Result<()> {
    let (ask, name) = (swarm.host(1), worker.name());
    refused(worker, "service ls", "Worker nodes can't be used")?;
    let said = swarmlet(ask, &format!("node promote {name}"))?;
    ensure!(
        said == "Node h4 promoted to a manager in the swarm.\n",
        "{said}"
    );
    await_role(ask, worker, "manager")?;
    soon("the new manager to answer", || {
        swarmlet(worker, "service ls").map(drop)
    })?;
    let said = swarmlet(worker, "node demote h4")?;
    ensure!(said == "Manager h4 demoted in the swarm.\n", "{said}");
    await_role(ask, worker, "worker")?;
    soon("the former manager to be a worker", || {
        refused(worker, "service ls", "Worker nodes can't be used")
    })?;
    swarm.complete(&[ask])
}

fn leader_demoted(swarm: &Swarm) -> Result<()> {
    let old = swarm.leader(swarm.host(1))?;
    let managers = [swarm.host(1), swarm.host(2), swarm.host(3)];
    let ask = managers
        .into_iter()
        .find(|host| host.name() != old.name())
        .unwrap_or(old);
    swarmlet(old, &format!("node demote {}", old.name()))?;
    wait_for("another leader", Duration::from_secs(5), || {
        let leader = kit::leader(ask)?;
        ensure!(leader != old.name(), "{leader} still leads");
        Ok(())
    })?;
    await_role(ask, old, "worker")?;
    swarmlet(ask, &format!("node promote {}", old.name()))?;
    await_role(ask, old, "manager")?;
    swarm.complete(&managers)
}

fn removed(swarm: &Swarm, worker: &Host) -> Result<()> {
    let ask = swarm.host(1);
    refused(ask, "node rm h4", "is not down and can't be removed")?;
    refused(ask, "node rm h3", "is a cluster manager")?;
    worker.kill()?;
    soon("h4 to be down", || {
        let node = kit::node(ask, "h4")?;
        ensure!(node.state == "down", "{node:?}");
        Ok(())
    })?;
    let said = swarmlet(ask, "node rm h4")?;
    ensure!(said == "h4\n", "{said}");
    ensure!(kit::node(ask, "h4").is_err(), "it is still listed");
    soon("its task to run elsewhere", || {
        ensure!(kit::running(ask, "web")?.len() == 4);
        Ok(())
    })
}

fn stays_out(swarm: &Swarm, removed: &Host) -> Result<()> {
    let ask = swarm.host(1);
    removed.boot()?;
    soon("the removed node to say what it is", || {
        let info = kit::get(removed, "/info")?;
        let told = info["Swarm"]["Error"].as_str().unwrap_or_default();
        ensure!(told.contains("removed"), "{}", info["Swarm"]);
        Ok(())
    })?;
    ensure!(kit::nodes(ask)?.len() == 3, "it came back");
    soon("its containers to be stopped or left alone", || {
        ensure!(
            kit::running(ask, "web")?
                .iter()
                .all(|task| task.node != "h4")
        );
        Ok(())
    })?;

    swarmlet(removed, "leave --force")?;
    let token = swarmlet(ask, "join-token -q worker")?;
    let line = format!("join --token {} h1:2377", token.trim());
    swarmlet(removed, &line)?;
    swarm.complete(&[ask])?;
    swarm.settled(ask, "web", 4)?;
    Ok(())
}

/// Waits until the node is seen in the role, by its spec and by the managers.
fn await_role(ask: &Host, host: &Host, role: &str) -> Result<()> {
    soon(&format!("{} to be a {role}", host.name()), || {
        let node = kit::node(ask, host.name())?;
        let manages = node.reachability == "reachable";
        ensure!(
            node.role == role && manages == (role == "manager"),
            "{node:?}"
        );
        Ok(())
    })
}
