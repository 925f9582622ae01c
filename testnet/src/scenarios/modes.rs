//! Services with a task on every node, and jobs.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::Value;
use swarmlet_testnet::{Host, wait_for};

use super::kit::{self, SOON, Swarm, claim, refused, soon, swarmlet, swarmlet_with};
use crate::runner::Context;

/// h1 to h3 are managers; h4 is there, and joins when it is told to.
fn three_of_four(context: &Context) -> Result<Swarm> {
    let swarm = Swarm::unformed(context, 4)?;
    swarmlet(swarm.host(1), "init")?;
    for number in [2, 3] {
        join(&swarm, number, "manager")?;
    }
    soon("three nodes to be ready", || ready(&swarm, 3))?;
    Ok(swarm)
}

fn join(swarm: &Swarm, number: usize, role: &str) -> Result<()> {
    let first = swarm.host(1);
    let token = swarmlet(first, &format!("join-token -q {role}"))?;
    let line = format!("join --token {} {}:2377", token.trim(), first.ip());
    swarmlet(swarm.host(number), &line)?;
    Ok(())
}

fn ready(swarm: &Swarm, count: usize) -> Result<()> {
    let nodes = kit::nodes(swarm.host(1))?;
    let ready = nodes.iter().filter(|node| node.state == "ready");
    ensure!(ready.count() == count, "{nodes:#?}");
    Ok(())
}

pub fn a_global_service_is_on_every_node_that_suits(context: &Context) -> Result<()> {
    let swarm = three_of_four(context)?;
    let ask = swarm.host(1);
    claim("each node has one task, which is called after it", || {
        let line = "service create --mode global --name agent --stop-grace-period 1s \
                    --update-monitor 500ms --restart-delay 0s whoami";
        let said = swarmlet(ask, line)?;
        ensure!(said.contains("3 out of 3 tasks"), "{said}");
        is_on(&swarm, &["h1", "h2", "h3"])?;
        called_after_nodes(&swarm)
    })?;
    claim("a node that joins gets one", || {
        join(&swarm, 4, "worker")?;
        is_on(&swarm, &["h1", "h2", "h3", "h4"])
    })?;
    claim("a drained node has none until it is active again", || {
        swarmlet(ask, "node update --availability drain h4")?;
        is_on(&swarm, &["h1", "h2", "h3"])?;
        swarmlet(ask, "node update --availability active h4")?;
        is_on(&swarm, &["h1", "h2", "h3", "h4"])
    })?;
    claim("it follows the labels of the nodes", || labels(&swarm))?;
    claim("nothing takes the place of a dead node", || dead(&swarm))?;
    claim("an update goes from node to node", || updated(&swarm))?;
    claim("it has no number", || {
        let only = "can only be used with replicated or replicated-job mode";
        refused(ask, "service scale agent=2", only)?;
        refused(ask, "service update --replicas 2 agent", only)
    })
}

/// One task on each of these hosts and a container for each: none is missing,
/// none runs twice.
fn is_on(swarm: &Swarm, hosts: &[&str]) -> Result<()> {
    let what = format!("agent to be on {hosts:?}");
    soon(&what, || {
        let running = kit::running(swarm.host(1), "agent")?;
        let mut nodes: Vec<&str> = running.iter().map(|task| &*task.node).collect();
        nodes.sort_unstable();
        ensure!(nodes == hosts, "{running:#?}");
        Ok(())
    })?;
    swarm.settled(swarm.host(1), "agent", hosts.len())?;
    Ok(())
}

fn called_after_nodes(swarm: &Swarm) -> Result<()> {
    let ask = swarm.host(1);
    let listed = kit::rows(ask, "service ps --no-trunc agent")?;
    for task in kit::running(ask, "agent")? {
        let node = kit::node(ask, &task.node)?.id;
        let named = |row: &Value| row["Name"] == format!("agent.{node}");
        ensure!(listed.iter().any(named), "{node}: {listed:?}");
        let host = swarm.named(&task.node)?;
        let container = kit::get_engine(host, &format!("/containers/{}/json", task.container))?;
        let name = format!("/agent.{node}.{}", task.id);
        ensure!(container["Name"] == name, "{}", container["Name"]);
    }
    let services = kit::rows(ask, "service ls")?;
    let row = services.iter().find(|row| row["Name"] == "agent");
    let shown = |row: &Value| row["Mode"] == "global" && row["Replicas"] == "3/3";
    ensure!(row.is_some_and(shown), "{row:?}");
    Ok(())
}

fn labels(swarm: &Swarm) -> Result<()> {
    let ask = swarm.host(1);
    for host in ["h1", "h2"] {
        swarmlet(ask, &format!("node update --label-add zone=a {host}"))?;
    }
    let bound = "service update -d --constraint-add node.labels.zone==a agent";
    swarmlet(ask, bound)?;
    is_on(swarm, &["h1", "h2"])?;
    swarmlet(ask, "node update --label-add zone=a h4")?;
    is_on(swarm, &["h1", "h2", "h4"])?;
    swarmlet(ask, "node update --label-rm zone h1")?;
    is_on(swarm, &["h2", "h4"])?;
    let free = "service update -d --constraint-rm node.labels.zone==a agent";
    swarmlet(ask, free)?;
    is_on(swarm, &["h1", "h2", "h3", "h4"])
}

fn dead(swarm: &Swarm) -> Result<()> {
    let (ask, h4) = (swarm.host(1), swarm.host(4));
    h4.kill()?;
    soon("h4 to be down", || {
        let node = kit::node(ask, "h4")?;
        ensure!(node.state == "down", "{node:?}");
        Ok(())
    })?;
    is_on(swarm, &["h1", "h2", "h3"])?;
    // A service made afterwards runs: by then a plan has seen the loss.
    swarmlet(ask, "service create -d --name after --replicas 3 whoami")?;
    swarm.settled(ask, "after", 3)?;
    is_on(swarm, &["h1", "h2", "h3"])?;
    h4.boot()?;
    is_on(swarm, &["h1", "h2", "h3", "h4"])
}

fn updated(swarm: &Swarm) -> Result<()> {
    let ask = swarm.host(1);
    let mut least = 4;
    swarmlet(ask, "service update -d --env-add VERSION=2 agent")?;
    wait_for("the update to complete", SOON, || {
        least = least.min(kit::running(ask, "agent")?.len());
        let update = &kit::service(ask, "agent")?["UpdateStatus"];
        ensure!(update["State"] == "completed", "{update}");
        Ok::<_, anyhow::Error>(())
    })?;
    ensure!(least >= 3, "only {least} of 4 tasks ran");
    is_on(swarm, &["h1", "h2", "h3", "h4"])?;
    for task in kit::running(ask, "agent")? {
        let host = swarm.named(&task.node)?;
        let container = kit::get_engine(host, &format!("/containers/{}/json", task.container))?;
        let env = container["Config"]["Env"].to_string();
        ensure!(env.contains("VERSION=2"), "{}: {env}", task.node);
    }
    Ok(())
}

pub fn jobs_run_to_their_end_and_no_further(context: &Context) -> Result<()> {
    let swarm = three_of_four(context)?;
    let ask = swarm.host(2);
    claim("six tasks complete, at most two at a time", || {
        let line = "service create -d --mode replicated-job --name batch --replicas 6 \
                    --max-concurrent 2 busybox sleep";
        swarmlet_with(ask, line, "1")?;
        let most = most_at_a_time(&swarm, ask, "batch", 6)?;
        ensure!(most == 2, "{most} tasks ran at a time");
        is_listed(ask, "batch", "replicated job", "0/2 (6/6 completed)")
    })?;
    claim("a global job runs once on each node", || {
        let line = "service create --mode global-job --name check busybox true";
        let said = swarmlet(ask, line)?;
        ensure!(said.contains("job: complete"), "{said}");
        completed_on(ask, "check", &["h1", "h2", "h3"])?;
        is_listed(ask, "check", "global job", "0/0 (3/3 completed)")
    })?;
    claim("they stay done when every daemon starts anew", || {
        all_start_anew(&swarm)
    })?;
    claim("a global job runs on a node that joins later", || {
        join(&swarm, 4, "worker")?;
        soon("the job to be done there", || {
            completed_on(ask, "check", &["h1", "h2", "h3", "h4"])
        })
    })?;
    claim("a job that is forced runs once more", || {
        let said = swarmlet(ask, "service update --force batch")?;
        ensure!(said.contains("job: complete"), "{said}");
        let job = kit::service(ask, "batch")?;
        ensure!(job["JobStatus"]["JobIteration"]["Index"] == 1, "{job}");
        let all = kit::tasks(ask, "batch")?;
        let done = all.iter().filter(|task| task.desired == "complete");
        ensure!(done.count() == 6, "{all:#?}");
        Ok(())
    })?;
    claim("a job that fails says so", || failing(ask))
}

/// Watches a job to its end: the largest number of its containers that ran.
fn most_at_a_time(swarm: &Swarm, ask: &Host, job: &str, total: usize) -> Result<usize> {
    let mut most = 0;
    soon("the job to be complete", || {
        most = most.max(swarm.containers(job)?.len());
        let tasks = kit::tasks(ask, job)?;
        let complete = tasks.iter().filter(|task| task.state == "complete");
        ensure!(complete.count() == total, "{tasks:#?}");
        ensure!(tasks.len() == total, "{tasks:#?}");
        let slots: BTreeSet<u64> = tasks.iter().map(|task| task.slot).collect();
        ensure!(slots.into_iter().eq(0..total as u64), "{tasks:#?}");
        Ok(())
    })?;
    Ok(most)
}

fn completed_on(ask: &Host, job: &str, hosts: &[&str]) -> Result<()> {
    let tasks = kit::tasks(ask, job)?;
    let mut nodes: Vec<&str> = tasks.iter().map(|task| &*task.node).collect();
    nodes.sort_unstable();
    let complete = tasks.iter().all(|task| task.state == "complete");
    ensure!(nodes == hosts && complete, "{tasks:#?}");
    Ok(())
}

fn is_listed(ask: &Host, job: &str, mode: &str, replicas: &str) -> Result<()> {
    let services = kit::rows(ask, "service ls")?;
    let row = services.iter().find(|row| row["Name"] == job);
    let shown = |row: &Value| row["Mode"] == mode && row["Replicas"] == replicas;
    ensure!(row.is_some_and(shown), "{row:?}");
    Ok(())
}

fn all_start_anew(swarm: &Swarm) -> Result<()> {
    let ask = swarm.host(2);
    let members = &swarm.hosts()[..3];
    let look = || -> Result<_> {
        let mut containers = Vec::new();
        for host in members {
            containers.extend(kit::containers(host, "batch")?);
            containers.extend(kit::containers(host, "check")?);
        }
        Ok((
            kit::tasks(ask, "batch")?,
            kit::tasks(ask, "check")?,
            containers,
        ))
    };
    let before = look()?;
    for host in members {
        host.daemon().kill()?;
    }
    for host in members {
        host.daemon().start()?;
    }
    soon("three nodes to be ready again", || ready(swarm, 3))?;
    // A service made afterwards runs: by then a plan has seen everything.
    swarmlet(ask, "service create -d --name after --replicas 3 whoami")?;
    swarm.settled(ask, "after", 3)?;
    let now = look()?;
    ensure!(now == before, "before: {before:#?}\nnow: {now:#?}");
    Ok(())
}

fn failing(ask: &Host) -> Result<()> {
    let line = "service create --mode replicated-job --name bad --restart-delay 0s \
                --restart-max-attempts 1 busybox false";
    let output = ask.run(&kit::argv("swarmlet", line))?;
    ensure!(output.status.code() == Some(1), "{output}");
    let why = "1 of 1 tasks of the job failed and are not run again";
    ensure!(output.stderr.contains(why), "{output}");
    let tasks = kit::tasks(ask, "bad")?;
    ensure!(tasks.len() == 2, "{tasks:#?}");
    Ok(())
}
