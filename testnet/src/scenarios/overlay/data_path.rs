//! Devices with a network for the traffic between containers alone.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use swarmlet_testnet::Host;

use super::{CLIENT, await_all_answer};
use crate::runner::Context;
use crate::scenarios::kit::{Swarm, argv, claim, refused, soon, swarmlet};

pub fn containers_talk_over_the_network_that_is_for_them(context: &Context) -> Result<()> {
    let swarm = Swarm::unformed(context, 2)?;
    let (h1, h2) = (swarm.host(1), swarm.host(2));
    for (host, number) in [(h1, 1), (h2, 2)] {
        let ip = |line: &str| host.ok(&argv("ip", line));
        ip("link add data0 link eth0 type macvlan mode bridge")?;
        ip(&format!("address add 10.77.0.{number}/24 dev data0"))?;
        ip("link set data0 up")?;
    }
    let init = format!("init --advertise-addr {} --data-path-addr", h1.ip());
    claim("an address of no use is refused, and nothing begun", || {
        refused(
            h1,
            &format!("{init} 0.0.0.0"),
            "must be a non-zero IP address",
        )?;
        refused(
            h1,
            &format!("{init} 10.77.0.2"),
            "10.77.0.2 cannot be used on this device",
        )?;
        refused(h1, "node ls", "not a swarm manager")
    })?;
    swarmlet(h1, &format!("{init} data0"))?;
    let token = swarmlet(h1, "join-token -q worker")?;
    let join = format!("join --token {} {}:2377", token.trim(), h1.ip());
    swarmlet(h2, &format!("{join} --data-path-addr 10.77.0.2"))?;

    swarmlet(h1, "network create front")?;
    for (name, node, what) in [("client", "h1", CLIENT), ("server", "h2", "whoami")] {
        let line = format!(
            "service create -d --name {name} --network front --constraint node.hostname=={node} \
             {what}"
        );
        swarmlet(h1, &line)?;
    }
    let servers = swarm.inside(h1, "server", 1)?;
    let client = swarm.inside(h1, "client", 1)?.remove(0);
    claim("their packets go there", || {
        await_all_answer(&client, "server", &servers)?;
        await_paths(h1)?;
        let page = swarmlet(h1, "network doctor front")?;
        let said = "Data path addresses:\n  h1: 10.77.0.1\n  h2: 10.77.0.2\n";
        ensure!(page.contains(said), "{page}");
        Ok(())
    })?;
    claim("also after a restart", || {
        h2.daemon().stop(Duration::from_secs(20))?;
        h2.daemon().start()?;
        await_paths(h1)?;
        await_all_answer(&client, "server", &servers)
    })
}

/// Waits until each of the two devices reaches the other on its own network.
fn await_paths(ask: &Host) -> Result<()> {
    soon("the doctor to see the devices' own network", || {
        let output = ask.run(&argv("swarmlet", "network doctor --format json front"))?;
        let report: Value = serde_json::from_str(&output.stdout).context(output.stdout)?;
        ensure!(report["Problems"] == Value::Array(vec![]), "{report}");
        let pairs = report["Pairs"].as_array().into_iter().flatten();
        let seen = pairs.flat_map(|pair| pair["Seen"].as_array().into_iter().flatten());
        let addrs: Vec<&str> = seen
            .filter_map(|it| it["Path"]["Address"].as_str())
            .collect();
        ensure!(addrs.len() == 2, "{report}");
        ensure!(
            addrs.iter().all(|it| it.starts_with("10.77.0.")),
            "{report}"
        );
        Ok(())
    })
}
