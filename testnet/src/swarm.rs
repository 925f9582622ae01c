//! Forming a swarm of all hosts, with the commands that a person would type.

use std::time::Duration;

use crate::error::Result;
use crate::host::Host;
use crate::plan::MANAGERS;
use crate::testnet::Testnet;
use crate::wait::wait_for;

const CONTROL_PORT: u16 = 2377;
const READY: Duration = Duration::from_secs(60);

/// h1 inits, h2 and h3 join as managers, the rest as workers; returns when h1
/// lists them all as ready.
pub(crate) fn form(net: &Testnet) -> Result<()> {
    let hosts = net.hosts();
    let Some((first, others)) = hosts.split_first() else {
        return Ok(());
    };
    let address = first.ip().to_string();
    // Told no address, every host goes by the one that it has at the time.
    first.ok(&["swarmlet", "init"])?;
    for (index, host) in others.iter().enumerate() {
        let role = if index + 1 < MANAGERS {
            "manager"
        } else {
            "worker"
        };
        let token = first.ok(&["swarmlet", "join-token", "-q", role])?;
        let remote = format!("{address}:{CONTROL_PORT}");
        host.ok(&["swarmlet", "join", "--token", token.trim(), &remote])?;
    }
    wait_for("every node to be ready", READY, || {
        match ready_nodes(first) {
            Ok(ready) if ready == hosts.len() => Ok(()),
            Ok(ready) => Err(format!("{ready} of {} nodes are ready", hosts.len())),
            Err(e) => Err(e.to_string()),
        }
    })
}

fn ready_nodes(host: &Host) -> Result<usize> {
    let answer = host.daemon().api("GET", "/nodes", "")?;
    let nodes = answer.json()?;
    let ready = |node: &&serde_json::Value| node["Status"]["State"] == "ready";
    Ok(nodes
        .as_array()
        .map_or(0, |all| all.iter().filter(ready).count()))
}
