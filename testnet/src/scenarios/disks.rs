//! Data directories that cannot be used: of another swarm, or full.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use swarmlet_testnet::Host;

use super::kit::{self, SOON, Swarm, claim, refused, soon, swarmlet};
use crate::runner::Context;

/// The log of one swarm under the identity of another, and the remains of a
/// swarm where one is to begin.
pub fn a_data_directory_of_another_swarm_is_refused(context: &Context) -> Result<()> {
    let swarm = Swarm::unformed(context, 2)?;
    let (h1, h2) = (swarm.host(1), swarm.host(2));
    for host in swarm.hosts() {
        swarmlet(host, &format!("init --advertise-addr {}", host.ip()))?;
        let own = format!("service create -d --name {}-web whoami", host.name());
        swarmlet(host, &own)?;
        swarm.settled(host, &format!("{}-web", host.name()), 1)?;
    }
    for host in swarm.hosts() {
        host.daemon().stop(SOON)?;
    }
    let (foreign, own) = (raft_dir(h1), raft_dir(h2));
    let kept = own.with_extension("kept");

    claim("a log of another swarm is refused", || {
        fs::rename(&own, &kept)?;
        copy(&foreign, &own)?;
        h2.daemon().start()?;
        soon("h2 to say what is wrong", || {
            let info = kit::get(h2, "/info")?;
            let told = info["Swarm"]["Error"].as_str().unwrap_or_default();
            ensure!(told.contains("belongs to cluster"), "{}", info["Swarm"]);
            Ok(())
        })?;
        refused(h2, "service ls", "")?;
        refused(h2, "init", "already part of a swarm")?;
        Ok(h2.daemon().stop(SOON)?)
    })?;
    claim("with its own log the node is back", || {
        fs::remove_dir_all(&own)?;
        fs::rename(&kept, &own)?;
        h2.daemon().start()?;
        swarm.settled(h2, "h2-web", 1).map(drop)
    })?;
    claim("no swarm begins on the remains of another", || {
        swarmlet(h2, "leave --force")?;
        copy(&foreign, &own)?;
        refused(h2, "init", "holds the state of another swarm")?;
        fs::remove_dir_all(&own)?;
        swarmlet(h2, &format!("init --advertise-addr {}", h2.ip())).map(drop)
    })?;
    claim("the other swarm has lost nothing", || {
        h1.daemon().start()?;
        swarm.settled(h1, "h1-web", 1).map(drop)
    })
}

fn raft_dir(host: &Host) -> PathBuf {
    host.disk_path().join("swarmlet/raft")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(
        status.success(),
        "cp -a {} {}",
        from.display(),
        to.display()
    );
    Ok(())
}

const DATA_DIR: &str = "/var/lib/swarmlet";
const FILLER: &str = "/var/lib/swarmlet/filler";

/// A manager's disk runs full while commands are committed.
pub fn a_full_disk_refuses_clearly_and_loses_nothing(context: &Context) -> Result<()> {
    let swarm = Swarm::unformed(context, 1)?;
    let h1 = swarm.host(1);
    h1.daemon().stop(SOON)?;
    h1.ok(&["mount", "-t", "tmpfs", "-o", "size=24m", "small", DATA_DIR])?;
    h1.daemon().start()?;
    swarmlet(h1, &format!("init --advertise-addr {}", h1.ip()))?;
    swarmlet(h1, "service create -d --name web whoami")?;
    swarm.settled(h1, "web", 1)?;
    let before = swarm.containers("web")?;

    let mut names = BTreeSet::from(["web".to_owned()]);
    claim("a command that cannot be committed says why", || {
        fill_up(h1)?;
        let refusal = create_until_refused(h1, &mut names)?;
        ensure!(refusal.contains("No space left on device"), "{refusal}");
        Ok(())
    })?;
    claim("what runs runs on", || {
        let now = swarm.containers("web")?;
        ensure!(now == before, "before: {before:#?}\nnow: {now:#?}");
        Ok(())
    })?;
    claim("with room again all goes on", || {
        h1.ok(&["rm", FILLER])?;
        soon("a command to be committed", || {
            swarmlet(h1, "service create -d --name later whoami")
        })?;
        names.insert("later".to_owned());
        swarm.settled(h1, "later", 1)?;
        ensure!(listed(h1)? == names, "{:?}, not {names:?}", listed(h1)?);
        Ok(())
    })?;
    claim("nothing more and nothing less is on the disk", || {
        h1.daemon().kill()?;
        h1.daemon().start()?;
        swarm.settled(h1, "later", 1)?;
        ensure!(listed(h1)? == names, "{:?}, not {names:?}", listed(h1)?);
        Ok(())
    })
}

fn fill_up(h1: &Host) -> Result<()> {
    let done = h1.run(&["dd", "if=/dev/zero", &format!("of={FILLER}"), "bs=4k"])?;
    ensure!(
        done.stderr.contains("No space left on device"),
        "the disk is not full:\n{done}"
    );
    Ok(())
}

/// Creates one service after the other, each of 100 kB, until one is refused;
/// puts the others' names into `names`, and returns why.
fn create_until_refused(h1: &Host, names: &mut BTreeSet<String>) -> Result<String> {
    let label = format!("big={}", "x".repeat(100_000));
    for number in 0..300 {
        let name = format!("big{number}");
        let output = h1.run(&[
            "swarmlet",
            "service",
            "create",
            "-d",
            "--name",
            &name,
            "--replicas",
            "0",
            "--label",
            &label,
            "whoami",
        ])?;
        if !output.ok() {
            return Ok(output.stderr);
        }
        names.insert(name);
    }
    bail!("300 services of 100 kB were taken by a full disk")
}

fn listed(h1: &Host) -> Result<BTreeSet<String>> {
    let services = kit::get(h1, "/services")?;
    let services = services.as_array().context("no list of services")?;
    let name = |service: &serde_json::Value| {
        service["Spec"]["Name"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    Ok(services.iter().map(name).collect())
}
