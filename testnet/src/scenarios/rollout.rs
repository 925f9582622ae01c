//! Services that change while they run, and nodes that take no more tasks.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use swarmlet_testnet::{Host, wait_for};

use super::kit::{self, SOON, Swarm, await_ended, claim, soon, swarmlet};
use crate::runner::Context;

pub fn services_are_updated_rolled_back_and_scaled(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 3)?;
    let ask = swarm.host(2);
    let line = "service create -d --name web --replicas 6 --update-parallelism 2 \
                --update-monitor 500ms --rollback-parallelism 0 --rollback-monitor 500ms whoami";
    swarmlet(ask, line)?;
    swarm.settled(ask, "web", 6)?;
    claim("an update replaces two tasks at a time", || {
        rolling_update(&swarm, ask)
    })?;
    claim("a rollback brings the former spec back", || {
        swarmlet(ask, "service rollback -d web")?;
        await_update(ask, "rollback_completed")?;
        all_have(&swarm, ask, "VERSION=2", false)
    })?;
    claim("a bad update stops at its first failures", || {
        bad_update(&swarm, ask)
    })?;
    claim("a bad update takes itself back if told to", || {
        let line =
            "service update -d --update-failure-action rollback --image nope:2 --env-add BAD=1 web";
        swarmlet(ask, line)?;
        await_update(ask, "rollback_completed")?;
        all_have(&swarm, ask, "BAD=1", false)
    })?;
    claim("an update may start the new task first", || {
        let line = "service update -d --update-order start-first --update-parallelism 0 \
                    --env-add VERSION=3 web";
        swarmlet(ask, line)?;
        let least = least_running(ask, 6)?;
        ensure!(least == 6, "only {least} of 6 tasks ran");
        all_have(&swarm, ask, "VERSION=3", true)
    })?;
    claim("scaling keeps the tasks that stay", || scaled(&swarm, ask))
}

fn rolling_update(swarm: &Swarm, ask: &Host) -> Result<()> {
    swarmlet(ask, "service update -d --env-add VERSION=2 web")?;
    let least = least_running(ask, 6)?;
    ensure!(least >= 4, "only {least} of 6 tasks ran");
    all_have(swarm, ask, "VERSION=2", true)
}

fn bad_update(swarm: &Swarm, ask: &Host) -> Result<()> {
    swarmlet(ask, "service update -d --image nope:2 web")?;
    await_update(ask, "paused")?;
    let tasks = kit::running(ask, "web")?;
    ensure!(tasks.len() >= 4, "it went on: {tasks:#?}");
    let service = kit::service(ask, "web")?;
    let message = service["UpdateStatus"]["Message"]
        .as_str()
        .unwrap_or_default();
    ensure!(message.starts_with("update paused due to"), "{service}");
    swarmlet(ask, "service update -d --rollback web")?;
    await_update(ask, "rollback_completed")?;
    swarm.settled(ask, "web", 6)?;
    Ok(())
}

fn scaled(swarm: &Swarm, ask: &Host) -> Result<()> {
    let before = swarm.settled(ask, "web", 6)?;
    let done = swarmlet(ask, "service scale web=2")?;
    ensure!(done.contains("web scaled to 2"), "{done}");
    let fewer = swarm.settled(ask, "web", 2)?;
    ensure!(fewer.iter().all(|task| before.contains(task)), "{fewer:#?}");
    swarmlet(ask, "service scale -d web=9")?;
    let more = swarm.settled(ask, "web", 9)?;
    ensure!(fewer.iter().all(|task| more.contains(task)), "{more:#?}");
    ensure!(per_node(&more).values().all(|count| *count == 3));
    swarmlet(ask, "service scale -d web=0")?;
    swarm.settled(ask, "web", 0)?;
    Ok(())
}

pub fn nodes_take_the_tasks_that_they_should(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 3)?;
    let ask = swarm.host(3);
    swarmlet(ask, "service create -d --name web --replicas 6 whoami")?;
    let before = per_node(&swarm.settled(ask, "web", 6)?);
    ensure!(before.values().eq(&[2, 2, 2]), "{before:?}");
    claim("a paused node keeps its tasks and gets none", || {
        swarmlet(ask, "node update --availability pause h2")?;
        swarmlet(ask, "service scale -d web=10")?;
        let nodes = per_node(&swarm.settled(ask, "web", 10)?);
        ensure!(nodes.get("h2") == Some(&2) && nodes.len() == 3, "{nodes:?}");
        Ok(())
    })?;
    claim("a drained node gives all of them up", || {
        swarmlet(ask, "node update --availability drain h2")?;
        soon("h2 to be empty", || {
            let nodes = per_node(&kit::running(ask, "web")?);
            ensure!(
                !nodes.contains_key("h2") && nodes.values().sum::<usize>() == 10,
                "{nodes:?}"
            );
            Ok(())
        })?;
        swarm.settled(ask, "web", 10)?;
        swarmlet(ask, "node update --availability active h2")?;
        Ok(())
    })?;
    claim("constraints hold, also when labels change", || {
        constrained(&swarm, ask)
    })?;
    claim("no node gets more replicas than it may", || {
        let line = "service create -d --name few --replicas 4 --replicas-max-per-node 1 whoami";
        swarmlet(ask, line)?;
        let tasks = swarm.settled(ask, "few", 3)?;
        ensure!(per_node(&tasks).len() == 3, "{tasks:#?}");
        await_ended(ask, "few", &["Pending"], "max replicas per node")
    })
}

fn constrained(swarm: &Swarm, ask: &Host) -> Result<()> {
    swarmlet(ask, "node update --label-add zone=a h1")?;
    swarmlet(ask, "node update --label-add zone=b h2")?;
    let line = "service create -d --name zoned --replicas 2 --stop-grace-period 1s \
                --restart-delay 0s --constraint node.labels.zone==b whoami";
    swarmlet(ask, line)?;
    let nodes = per_node(&swarm.settled(ask, "zoned", 2)?);
    ensure!(nodes.keys().eq(["h2"]), "{nodes:?}");

    swarmlet(ask, "node update --label-add zone=c h2")?;
    await_ended(ask, "zoned", &["Pending"], "scheduling constraints")?;
    swarmlet(ask, "node update --label-add zone=b h1")?;
    let nodes = per_node(&swarm.settled(ask, "zoned", 2)?);
    ensure!(nodes.keys().eq(["h1"]), "{nodes:?}");
    swarmlet(
        ask,
        "service update -d --constraint-add node.role!=manager zoned",
    )?;
    await_ended(ask, "zoned", &["Pending"], "scheduling constraints")
}

/// How many tasks each node has.
fn per_node(tasks: &[kit::Task]) -> BTreeMap<String, usize> {
    let mut nodes = BTreeMap::new();
    for task in tasks {
        *nodes.entry(task.node.clone()).or_default() += 1;
    }
    nodes
}

/// Watches an update to its end: the smallest number of tasks that ran.
fn least_running(ask: &Host, replicas: usize) -> Result<usize> {
    let mut least = replicas;
    wait_for("the update to complete", SOON, || {
        least = least.min(kit::running(ask, "web")?.len());
        update_is(ask, "completed")
    })?;
    Ok(least)
}

fn await_update(ask: &Host, state: &str) -> Result<()> {
    soon(&format!("the update to be {state}"), || {
        update_is(ask, state)
    })
}

fn update_is(ask: &Host, state: &str) -> Result<()> {
    let update = &kit::service(ask, "web")?["UpdateStatus"];
    ensure!(update["State"] == state, "{update}");
    Ok(())
}

/// All six tasks run, and the containers have, or have not, the variable.
fn all_have(swarm: &Swarm, ask: &Host, variable: &str, wanted: bool) -> Result<()> {
    for task in swarm.settled(ask, "web", 6)? {
        let host = swarm.named(&task.node)?;
        let container = kit::get_engine(host, &format!("/containers/{}/json", task.container))?;
        let env = container["Config"]["Env"].as_array();
        let has = env.is_some_and(|env| env.iter().any(|one| one == variable));
        ensure!(has == wanted, "{variable}: {}", container["Config"]["Env"]);
    }
    Ok(())
}
