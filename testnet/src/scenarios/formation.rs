//! Devices that find each other on the LAN: by a token, by a site key that is
//! typed, by one that lies in a file.

use std::process::Child;
use std::time::Duration;

use anyhow::{Result, ensure};
use stopwatch::MachineInstant;
use swarmlet_testnet::{Host, wait_for};

use super::kit::{self, SOON, Swarm, argv, claim, refused, rows, soon, swarmlet};
use crate::runner::Context;

const SITE: &str = "the key of the first site";
const OTHER_SITE: &str = "the key of another site";
/// To find a swarm takes 3 s at most, to join it then a little more.
const FOUND: Duration = Duration::from_secs(6);
/// Some rounds of settling, and a promotion for each of two managers.
const FORMED: Duration = Duration::from_secs(60);

/// Five fresh hosts; nobody is ever told an address.
pub fn devices_form_a_swarm_without_addresses(context: &Context) -> Result<()> {
    let swarm = Swarm::unformed(context, 5)?;
    let five: Vec<&Host> = swarm.hosts().iter().collect();
    let (four, last) = (&five[..4], five[4]);

    claim("a token alone finds its swarm", || token(&swarm))?;
    leave(&five[..2])?;
    claim("four devices with one site key form one swarm", || {
        let said = up_together(four, SITE)?;
        let founded = said.iter().filter(|said| said.contains("Founded swarm "));
        ensure!(founded.count() == 1, "{said:#?}");
        one_swarm(four, 3)
    })?;
    claim("a fifth with the key in a file joins at its boot", || {
        let site = format!("key = '{SITE}'");
        let write = "mkdir -p /etc/swarmlet && echo \"$1\" > /etc/swarmlet/site.toml";
        last.ok(&["sh", "-c", write, "sh", &site])?;
        last.kill()?;
        last.boot()?;
        one_swarm(&five, 3)
    })?;
    last.ok(&["rm", "/etc/swarmlet/site.toml"])?;
    leave(&five)?;
    claim("halves that formed apart do not merge, and say so", || {
        halves(&swarm)
    })
}

fn token(swarm: &Swarm) -> Result<()> {
    let (h1, h2, h3) = (swarm.host(1), swarm.host(2), swarm.host(3));
    swarmlet(h1, "init")?;
    let gone = swarmlet(h1, "join-token -q worker")?;
    swarmlet(h1, "leave --force")?;
    refused(
        h2,
        &format!("join --token {}", gone.trim()),
        "no device of this token's swarm answers on this network",
    )?;

    swarmlet(h1, "init")?;
    let token = swarmlet(h1, "join-token -q worker")?;
    let since = MachineInstant::now();
    let said = swarmlet(h2, &format!("join --token {}", token.trim()))?;
    let took = since.elapsed();
    ensure!(
        said.contains(&format!("Found the swarm at h1 ({}:2377)", h1.ip())),
        "{said}"
    );
    ensure!(took.had() < FOUND, "it took {took}");
    one_swarm(&[h1, h2], 1)?;
    soon("a stranger to see both", || {
        let seen = rows(h3, "discover")?;
        let swarm_of = |name: &str| {
            let own = seen.iter().filter(|row| row["Hostname"] == name);
            own.map(|row| &row["Swarm"]).next_back()
        };
        let (first, second) = (swarm_of("h1"), swarm_of("h2"));
        ensure!(
            first == second && first.is_some_and(|swarm| *swarm != ""),
            "{seen:#?}"
        );
        Ok(())
    })
}

fn halves(swarm: &Swarm) -> Result<()> {
    let all: Vec<&Host> = swarm.hosts().iter().collect();
    let (left, right, last) = (&all[..2], &all[2..4], all[4]);
    swarm.net().split(left)?;
    let said = up_together(&all[..4], OTHER_SITE)?;
    let founded = said.iter().filter(|said| said.contains("Founded swarm "));
    ensure!(founded.count() == 2, "{said:#?}");
    // A second manager would add a way to lose the quorum, a third is missing.
    one_swarm(left, 1)?;
    one_swarm(right, 1)?;

    swarm.net().mend()?;
    soon("a fifth to be told of both", || {
        let output = start_up(last, OTHER_SITE)?.wait_with_output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(
            !output.status.success()
                && told.contains("two swarms of this site are in reach")
                && told.contains("swarmlet leave --force"),
            "{}: {told}",
            output.status
        );
        Ok(())
    })?;
    one_swarm(left, 1)?;
    one_swarm(right, 1)?;

    leave(right)?;
    let said = up_together(right, OTHER_SITE)?;
    ensure!(
        said.iter().all(|said| said.contains("Joined swarm ")),
        "{said:#?}"
    );
    // The fifth has waited and needs no command.
    one_swarm(&all, 3)
}

/// `swarmlet up` on all at the same moment; what each printed, once all are in
/// a swarm.
fn up_together(hosts: &[&Host], key: &str) -> Result<Vec<String>> {
    let started: Vec<Child> = hosts
        .iter()
        .map(|host| start_up(host, key))
        .collect::<Result<_>>()?;
    let mut said = Vec::new();
    for (host, child) in hosts.iter().zip(started) {
        let output = child.wait_with_output()?;
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        let name = host.name();
        ensure!(
            output.status.success(),
            "{name}: {} {out}\n{err}",
            output.status
        );
        said.push(format!("{name}: {out}"));
    }
    Ok(said)
}

fn start_up(host: &Host, key: &str) -> Result<Child> {
    let mut line = argv("swarmlet", "up --site-key");
    line.push(key);
    Ok(host.spawn(&line)?)
}

fn leave(hosts: &[&Host]) -> Result<()> {
    for host in hosts {
        swarmlet(host, "leave --force")?;
    }
    Ok(())
}

/// Waits until `hosts` and nobody else are one swarm with so many managers.
fn one_swarm(hosts: &[&Host], managers: usize) -> Result<()> {
    let mut ids = Vec::new();
    for host in hosts {
        let what = format!("{} to be in a swarm", host.name());
        ids.push(wait_for(&what, SOON, || {
            let info = kit::get(host, "/info")?;
            let id = info["Swarm"]["NodeID"].as_str().unwrap_or_default();
            ensure!(
                info["Swarm"]["LocalNodeState"] == "active" && !id.is_empty(),
                "{}",
                info["Swarm"]
            );
            Ok(id.to_owned())
        })?);
    }
    ids.sort();
    let what = format!("one swarm of {} with {managers} managers", hosts.len());
    wait_for(&what, FORMED, || {
        let answers = hosts.iter().filter_map(|host| kit::nodes(host).ok());
        let all: Vec<_> = answers.collect();
        ensure!(!all.is_empty(), "nobody answers as a manager");
        for nodes in all {
            let mut listed: Vec<String> = nodes.iter().map(|node| node.id.clone()).collect();
            listed.sort();
            let ready = nodes.iter().all(|node| node.state == "ready");
            let reachable = nodes.iter().filter(|node| node.reachability == "reachable");
            ensure!(
                ready && listed == ids && reachable.count() == managers,
                "{nodes:#?}"
            );
        }
        Ok(())
    })?;
    Ok(())
}
