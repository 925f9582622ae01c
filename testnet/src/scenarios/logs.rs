//! The logs of a service's tasks, wherever these run.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use swarmlet_testnet::{Host, wait_for};

use super::kit::{Swarm, argv, claim, refused, soon, swarmlet, swarmlet_with};
use crate::runner::Context;

const SCRIPT: &str = "for n in 1 2 3 4 5; do echo line $n; done; echo oops >&2; exec sleep 100000";

pub fn logs_come_from_every_node(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 4)?;
    let ask = swarm.host(2);
    let line = "service create -d --name talk --replicas 4 --replicas-max-per-node 1 \
                --stop-grace-period 1s busybox sh -c";
    swarmlet_with(ask, line, SCRIPT)?;
    let tasks = swarm.settled(ask, "talk", 4)?;

    claim("each task's lines have its name before them", || {
        let output = soon_whole(ask, "service logs talk", 4 * 5)?;
        for (slot, task) in tasks.iter().map(|task| (task.slot, task)) {
            let prefix = format!("talk.{slot}.{}@{}", &task.id[..12], task.node);
            let own = output
                .stdout
                .lines()
                .filter(|line| line.starts_with(&prefix));
            let said: Vec<&str> = own
                .filter_map(|line| line.split_once("| "))
                .map(|l| l.1)
                .collect();
            ensure!(
                said == ["line 1", "line 2", "line 3", "line 4", "line 5"],
                "{prefix} in {output}"
            );
        }
        ensure!(output.stderr.matches("oops").count() == 4, "{output}");
        Ok(())
    })?;
    claim("only the last lines, if so many are asked for", || {
        let output = ask.run(&[
            "swarmlet", "service", "logs", "--tail", "2", "--raw", "talk",
        ])?;
        let lines = output.stdout.lines().count() + output.stderr.lines().count();
        ensure!(lines == 8, "{output}");
        ensure!(!output.stdout.contains("line 3"), "{output}");
        Ok(())
    })?;
    claim("each line has its time, if that is asked for", || {
        let said = swarmlet(ask, "service logs --timestamps talk")?;
        let year = |line: &str| line.starts_with("20") && line.contains('T') && line.contains('Z');
        ensure!(
            said.lines().count() == 20 && said.lines().all(year),
            "{said}"
        );
        Ok(())
    })?;
    claim(
        "what the log driver keeps stands beside where a line is from",
        || {
            let line = "service create -d --name kept --stop-grace-period 1s --log-driver json-file \
                    --log-opt labels=tier --log-opt env=ZONE --container-label tier=front \
                    --env ZONE=a+b busybox sh -c";
            swarmlet_with(ask, line, SCRIPT)?;
            swarm.settled(ask, "kept", 1)?;
            let output = soon_whole(ask, "service logs --details kept", 5)?;
            let said = |line: &str| line.ends_with("ZONE=a+b,tier=front line 1");
            ensure!(output.stdout.lines().any(said), "{output}");
            swarmlet(ask, "service rm kept")?;
            Ok(())
        },
    )?;
    claim("one task's log is found by its id", || {
        let said = swarmlet(ask, &format!("service logs --raw {}", tasks[0].id))?;
        ensure!(said.lines().count() == 5, "{said}");
        refused(ask, "service logs nope", "nope")
    })?;
    claim("who follows sees what comes, until the end", || {
        follow(&swarm, ask)
    })
}

/// What a task wrote may be on its way to its engine's log.
fn soon_whole(ask: &Host, line: &str, lines: usize) -> Result<swarmlet_testnet::Output> {
    soon("all lines of all tasks", || {
        let output = ask.run(&argv("swarmlet", line))?;
        ensure!(
            output.ok() && output.stdout.lines().count() == lines,
            "{output}"
        );
        Ok(output)
    })
}

fn follow(swarm: &Swarm, ask: &Host) -> Result<()> {
    let line = "service create -d --name tick --stop-grace-period 1s busybox sh -c";
    let script = "n=0; while sleep 0.1; do n=$((n+1)); echo tick $n; done";
    swarmlet_with(ask, line, script)?;
    swarm.settled(ask, "tick", 1)?;
    let mut follower = ask.spawn(&["swarmlet", "service", "logs", "-f", "--raw", "tick"])?;
    let mut stdout = follower.stdout.take().context("no stdout")?;
    let mut heard = vec![0; 7];
    stdout.read_exact(&mut heard)?;
    ensure!(heard == b"tick 1\n", "{}", String::from_utf8_lossy(&heard));

    swarmlet(ask, "service rm tick")?;
    // Read to the end meanwhile, so that it cannot block on a full pipe.
    let rest = std::thread::spawn(move || {
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).map(|_| rest)
    });
    let ended = wait_for("the follower to end", Duration::from_secs(20), || {
        follower.try_wait().ok().flatten().context("still running")
    });
    if ended.is_err() {
        follower.kill()?;
    }
    let status = ended?;
    let rest = rest
        .join()
        .map_err(|_| anyhow::anyhow!("the reader died"))??;
    ensure!(rest.starts_with("tick 2\n"), "{rest}");
    ensure!(status.success(), "{status}");
    Ok(())
}
