//! `network doctor` says how devices reach each other, and what is wrong.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use swarmlet_testnet::Host;

use crate::runner::Context;
use crate::scenarios::kit::{Swarm, argv, claim, rows, soon, swarmlet};

pub fn the_doctor_finds_what_keeps_devices_apart(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 3)?;
    let (h1, h2) = (swarm.host(1), swarm.host(2));
    swarmlet(h1, "network create --subnet 10.90.0.0/24 front")?;
    for name in ["h1", "h2"] {
        swarmlet(h1, &on_front(name, name))?;
        swarm.settled(h1, name, 1)?;
    }

    claim("two devices that share a network are well", || {
        soon("an examination without findings", || {
            let report = examine(h1)?;
            ensure!(report["Problems"] == Value::Array(vec![]), "{report}");
            let pairs = report["Pairs"].as_array().context("no pairs")?;
            let [pair] = &pairs[..] else {
                anyhow::bail!("not one pair: {report}");
            };
            ensure!(pair["Networks"] == serde_json::json!(["front"]), "{pair}");
            for seen in pair["Seen"].as_array().into_iter().flatten() {
                let probes = &seen["LargeProbes"];
                ensure!(probes["Sent"].as_u64() > Some(0), "{pair}");
                ensure!(probes["Answered"] == probes["Sent"], "{pair}");
                ensure!(probes["Mean"].as_u64() > Some(0), "{pair}");
                ensure!(seen["Path"]["MTU"].as_u64() >= Some(1400), "{pair}");
            }
            Ok(())
        })?;
        let page = swarmlet(h1, "network doctor front")?;
        ensure!(page.lines().all(|line| line.len() <= 80), "{page}");
        Ok(())
    })?;
    claim(
        "a device that is on such a subnet itself is told so",
        || {
            let rival = "the subnet 10.90.0.0/24 is that of eth0 on this device too";
            h2.ok(&argv("ip", "address add 10.90.0.200/24 dev eth0"))?;
            finds(h1, &format!("h2: {rival}"))?;
            // Its tasks are told when there is something new to do for the network.
            swarmlet(h1, &on_front("more", "h2"))?;
            soon("a task to say why it cannot start", || {
                swarmlet(h1, "service scale --detach more=2")?;
                swarmlet(h1, "service scale --detach more=3")?;
                let tasks = rows(h1, "service ps --no-trunc more")?;
                let told =
                    |task: &Value| task["Error"].as_str().is_some_and(|it| it.contains(rival));
                ensure!(tasks.iter().any(told), "{tasks:?}");
                Ok(())
            })?;
            h2.ok(&argv("ip", "address delete 10.90.0.200/24 dev eth0"))?;
            swarm.settled(h1, "more", 3)?;
            is_well(h1)
        },
    )?;
    claim("so is one that nobody reaches", || {
        swarm.net().split(&[h2])?;
        finds(h1, "h2")?;
        swarm.net().mend()?;
        is_well(h1)
    })
}

fn on_front(service: &str, node: &str) -> String {
    format!(
        "service create -d --name {service} --network front --restart-delay 200ms \
         --constraint node.hostname=={node} whoami"
    )
}

fn examine(ask: &Host) -> Result<Value> {
    let output = ask.run(&argv("swarmlet", "network doctor --format json front"))?;
    let report: Value = serde_json::from_str(&output.stdout).context(output.stdout.clone())?;
    let is_well = report["Problems"].as_array().is_some_and(Vec::is_empty);
    ensure!(output.ok() == is_well, "{output:?}");
    Ok(report)
}

fn finds(ask: &Host, problem: &str) -> Result<()> {
    soon(&format!("the doctor to find: {problem}"), || {
        let report = examine(ask)?;
        let problems = report["Problems"].as_array().into_iter().flatten();
        let mut problems = problems.filter_map(Value::as_str);
        ensure!(problems.any(|it| it.contains(problem)), "{report}");
        Ok(())
    })
}

fn is_well(ask: &Host) -> Result<()> {
    soon("the doctor to find nothing", || {
        let report = examine(ask)?;
        ensure!(report["Problems"] == Value::Array(vec![]), "{report}");
        Ok(())
    })
}
