//! Autolock: a manager whose disk was carried away is of no use without the key that
//! its operator has.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use swarmlet_testnet::Host;

use super::kit::{self, Swarm, claim, refused, soon, swarmlet};
use crate::runner::Context;

const SOCKET: &str = "unix:///run/swarmlet/swarmlet.sock";
const STOP: Duration = Duration::from_secs(20);
const ENCRYPTED: &str = "Swarm is encrypted and needs to be unlocked before it can be used.";
/// What stands for a private key or a data key that anybody can read.
const IN_THE_OPEN: [&str; 2] = ["BEGIN PRIVATE KEY", "BEGIN SWARMLET DATA KEY"];

/// h1 to h3 are managers, h4 is a worker.
pub fn locked_managers_wait_for_their_operator(context: &Context) -> Result<()> {
    let swarm = Swarm::unformed(context, 4)?;
    let (first, second, worker) = (swarm.host(1), swarm.host(2), swarm.host(4));
    let managers = &swarm.hosts()[..3];
    let printed = docker(first, "swarm init --autolock")?;
    let key = key_in(&printed)?;
    claim(
        "the one that made the swarm is locked from the start",
        || {
            ensure!(unlock_key(first)? == key, "{printed}");
            ensure!(swarmlet(first, "unlock-key -q")?.trim() == key);
            is_locked_on_disk(first)
        },
    )?;
    for (host, role) in swarm.hosts()[1..]
        .iter()
        .zip(["manager", "manager", "worker"])
    {
        let token = docker(first, &format!("swarm join-token -q {role}"))?;
        let line = format!("swarm join --token {} {}:2377", token.trim(), first.ip());
        docker(host, &line)?;
    }
    swarm.complete(&[first])?;
    swarmlet(
        first,
        "service create -d --name web --replicas 4 --constraint node.role==worker whoami",
    )?;
    swarm.settled(first, "web", 4)?;
    let kept = kit::containers(worker, "web")?;
    claim(
        "managers that join lock themselves, a worker does not",
        || {
            for host in managers {
                soon("a locked disk", || is_locked_on_disk(host))?;
            }
            ensure!(is_locked_on_disk(worker).is_err(), "the worker is locked");
            Ok(())
        },
    )?;

    claim("one that starts again says that it is locked", || {
        second.daemon().stop(STOP)?;
        second.daemon().start()?;
        says_locked(second)?;
        refused(second, "leave", "Please unlock it first")?;
        refused(second, "init --force-new-cluster", ENCRYPTED)?;
        let text = "invalid key string";
        ensure!(unlock(second, "SWMKEY-1-short").is_err_and(|why| why.contains(text)));
        let wrong = format!("SWMKEY-1-{}", "A".repeat(43));
        let text = "swarm could not be unlocked: invalid key provided";
        ensure!(unlock(second, &wrong).is_err_and(|why| why.contains(text)));
        says_locked(second)
    })?;
    claim("with the key it is a manager again", || {
        unlock(second, &key).map_err(anyhow::Error::msg)?;
        votes(first, 3)?;
        ensure!(unlock(second, &key).is_err_and(|why| why.contains("not locked")));
        is_locked_on_disk(second)
    })?;

    let newer = claim_rotation(&swarm, managers, &key)?;
    claim("without power for all, every manager waits", || {
        for host in managers {
            host.kill()?;
        }
        for host in managers {
            host.boot()?;
            says_locked(host)?;
        }
        Ok(())
    })?;
    claim("the worker's tasks have gone on meanwhile", || {
        let now = kit::containers(worker, "web")?;
        ensure!(kept.iter().all(|it| now.contains(it)), "{now:#?}");
        Ok(())
    })?;
    claim("the key of before fits no more, the new one does", || {
        ensure!(unlock(first, &key).is_err_and(|why| why.contains("invalid key provided")));
        for host in managers {
            unlock(host, &newer).map_err(anyhow::Error::msg)?;
        }
        votes(first, 3)?;
        swarm.settled(first, "web", 4)?;
        let now = kit::containers(worker, "web")?;
        ensure!(kept.iter().all(|it| now.contains(it)), "{now:#?}");
        Ok(())
    })?;
    claim("no disk and no log has a key", || {
        for host in swarm.hosts() {
            for key in [&key, &newer] {
                absent(host, key.trim_start_matches("SWMKEY-1-"))?;
            }
        }
        Ok(())
    })?;
    claim("autolock is turned off again", || {
        docker(first, "swarm update --autolock=false")?;
        for host in managers {
            soon("an open disk", || {
                ensure!(is_locked_on_disk(host).is_err(), "it is locked");
                Ok(())
            })?;
        }
        second.daemon().stop(STOP)?;
        second.daemon().start()?;
        votes(first, 3)
    })?;
    claim("a locked node leaves by force, and leaves nothing", || {
        swarmlet(first, "update --autolock")?;
        soon("a locked disk", || is_locked_on_disk(second))?;
        second.daemon().stop(STOP)?;
        second.daemon().start()?;
        docker(second, "swarm leave --force")?;
        let state = docker(second, "info --format {{.Swarm.LocalNodeState}}")?;
        ensure!(state.trim() == "inactive", "{state}");
        ensure!(!second.disk_path().join("swarmlet/identity").exists());
        Ok(())
    })
}

/// The new key.
fn claim_rotation(swarm: &Swarm, managers: &[Host], key: &str) -> Result<String> {
    let first = swarm.host(1);
    let locked = |host: &Host| {
        let path = host.disk_path().join("swarmlet/identity/data.key");
        std::fs::read(path).context("no data key")
    };
    let before: Vec<Vec<u8>> = managers.iter().map(locked).collect::<Result<_>>()?;
    docker(first, "swarm unlock-key --rotate")?;
    let newer = unlock_key(first)?;
    claim("a new key is on the disk of every manager", || {
        ensure!(newer != key, "it is the same key");
        for (host, before) in managers.iter().zip(&before) {
            soon("the data key under the new key", || {
                ensure!(locked(host)? != *before, "{} has the old one", host.name());
                Ok(())
            })?;
        }
        Ok(())
    })?;
    Ok(newer)
}

fn docker(host: &Host, line: &str) -> Result<String> {
    kit::docker(host, &format!("-H {SOCKET} {line}"))
}

fn unlock_key(host: &Host) -> Result<String> {
    Ok(docker(host, "swarm unlock-key -q")?.trim().to_owned())
}

fn key_in(printed: &str) -> Result<String> {
    let mut words = printed.split_whitespace();
    let key = words.find(|word| word.starts_with("SWMKEY-1-"));
    Ok(key.context(printed.to_owned())?.to_owned())
}

/// Through Docker's own program; what it says where it is refused.
fn unlock(host: &Host, key: &str) -> Result<(), String> {
    let line = format!("echo {key} | docker -H {SOCKET} swarm unlock 2>&1");
    let output = host.run(&["sh", "-c", &line]);
    let output = output.map_err(|error| error.to_string())?;
    match output.ok() {
        true => Ok(()),
        false => Err(output.to_string()),
    }
}

fn says_locked(host: &Host) -> Result<()> {
    soon("a word of the lock", || {
        let state = docker(host, "info --format {{.Swarm.LocalNodeState}}")?;
        ensure!(state.trim() == "locked", "{state}");
        Ok(())
    })?;
    refused(host, "node ls", ENCRYPTED)
}

fn votes(ask: &Host, count: usize) -> Result<()> {
    soon("the managers to vote", || {
        let nodes = kit::nodes(ask)?;
        let votes = nodes.iter().filter(|node| node.reachability == "reachable");
        ensure!(votes.count() == count, "{nodes:#?}");
        Ok(())
    })
}

fn is_locked_on_disk(host: &Host) -> Result<()> {
    ensure!(host.disk_path().join("swarmlet/identity/data.key").exists());
    IN_THE_OPEN.iter().try_for_each(|text| absent(host, text))
}

fn absent(host: &Host, text: &str) -> Result<()> {
    for place in [host.disk_path().join("swarmlet"), host.logs()] {
        let mut grep = Command::new("grep");
        grep.args([
            "--recursive",
            "--files-with-matches",
            "--fixed-strings",
            "--text",
        ]);
        let found = grep.arg(text).arg(&place).output()?;
        let files = String::from_utf8_lossy(&found.stdout);
        ensure!(files.is_empty(), "{text} is in {files}");
    }
    Ok(())
}
