//! The demo's last chapter: an engine dies, its tasks move, it comes back.

use std::io::Write;

use anyhow::{Result, ensure};
use swarmlet_testnet::Host;

use super::swarm::{Swarm, by_host};
use super::transcript::{Transcript, expect};
use super::{HOSTS, MORE_REPLICAS, PATIENCE, SERVICE};

/// Kills the engine of `victim`; its tasks run elsewhere when this returns.
pub fn kill_the_engine<W: Write>(
    transcript: &mut Transcript<W>,
    swarm: &Swarm,
    victim: &Host,
) -> Result<()> {
    let name = victim.name();
    let rest = HOSTS - 1;
    let before = swarm.running(SERVICE)?;
    let lost = before.iter().filter(|task| task.node == name).count();
    let claim =
        format!("its {lost} tasks are replaced, all {MORE_REPLICAS} run on the other {rest}");
    transcript.step(name, "kill -9 $(pidof dockerd)", &claim, |notes| {
        victim.engine().kill()?;
        let reason = expect(&format!("{name} to be down"), PATIENCE, || {
            swarm.down_reason(name)
        })?;
        notes.say_when(format!("node {name} is down: {reason}"));
        let mut told = None;
        let expected = format!("{MORE_REPLICAS} tasks that run elsewhere");
        expect(&expected, PATIENCE, || {
            let running = swarm.running(SERVICE)?;
            let elsewhere = running.iter().filter(|task| task.node != name).count();
            if told.replace(elsewhere) != Some(elsewhere) {
                notes.say_when(format!("{elsewhere} of {MORE_REPLICAS} run elsewhere"));
            }
            ensure!(elsewhere == MORE_REPLICAS, "{elsewhere} run elsewhere");
            ensure!(
                running.len() == MORE_REPLICAS,
                "{} run in all",
                running.len()
            );
            Ok(())
        })
    })
}

/// Starts it again; the node is ready and holds nothing of what it lost when
/// this returns.
pub fn start_the_engine<W: Write>(
    transcript: &mut Transcript<W>,
    swarm: &Swarm,
    victim: &Host,
) -> Result<()> {
    let name = victim.name();
    let claim = format!("{name} is ready, and nothing runs twice");
    transcript.step(name, "dockerd &", &claim, |notes| {
        victim.engine().start()?;
        notes.say_when("the engine answers");
        expect(&format!("{name} to be ready"), PATIENCE, || {
            let ready = swarm.ready()?;
            ensure!(ready.iter().any(|node| node == name), "ready are {ready:?}");
            Ok(())
        })?;
        notes.say_when(format!("node {name} is ready"));
        let expected = "a container for each running task and no other";
        expect(expected, PATIENCE, || swarm.nothing_runs_twice(SERVICE))?;
        let running = swarm.running(SERVICE)?;
        let spread = by_host(&running);
        let count = |host: &Host| {
            let count = spread.get(host.name()).map_or(0, Vec::len);
            format!("{} {count}", host.name())
        };
        let counts: Vec<String> = swarm.hosts.iter().map(count).collect();
        notes.say_when(format!("containers: {}", counts.join(", ")));
        Ok(())
    })
}
