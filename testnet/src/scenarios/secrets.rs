//! Secrets and configs: from one device to the container on another, and to
//! nobody's disk.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use swarmlet_testnet::Host;

use super::kit::{self, Inside, Swarm, claim, refused, soon, swarmlet};
use crate::runner::Context;

const FIRST: &str = "correct-horse-battery-staple";
const SECOND: &str = "tr0ub4dor-and-three";
const SCRIPT: &str = "#!/bin/sh\\necho configured by $0\\n";
/// Of the worker, in memory.
const TASKS: &str = "/run/swarmlet/tasks";

pub fn secrets_reach_their_tasks_and_no_disk(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 4)?;
    let (ask, worker) = (swarm.host(1), swarm.host(4));
    create(ask, "secret create --label tier=back first -", FIRST)?;
    create(ask, "config create script -", SCRIPT)?;
    claim("a task on another device has its files", || {
        let line = "service create -d --name app --constraint node.hostname==h4 \
                    --stop-grace-period 1s \
                    --secret source=first,target=password,uid=33,gid=7,mode=0440 \
                    --config source=script,target=/etc/app.sh,mode=0755 \
                    busybox sleep 100000";
        swarmlet(ask, line)?;
        let app = app(&swarm, ask)?;
        has(&app, "/run/secrets/password", "33 7 440", FIRST)?;
        let said = exec(&app, &["/etc/app.sh"])?;
        ensure!(said.trim() == "configured by /etc/app.sh", "{said}");
        let write = exec(&app, &["sh", "-c", "echo x > /run/secrets/password"]);
        ensure!(write.is_err(), "it is not read-only");
        Ok(())
    })?;
    claim(
        "the largest config arrives, a larger one is refused",
        || largest(&swarm, ask),
    )?;
    claim("no disk holds what is in the secret", || {
        nowhere(&swarm, FIRST)
    })?;
    claim("only the device of the task has the file", || {
        for host in swarm.hosts() {
            let expected = usize::from(host.name() == "h4");
            ensure!(tasks_with_files(host)? == expected, "{}", host.name());
        }
        let mode = worker.ok(&["stat", "-c", "%a %U", TASKS])?;
        ensure!(mode.trim() == "700 root", "{mode}");
        Ok(())
    })?;
    claim("it is there after a reboot without a manager", || {
        worker.cut()?;
        worker.kill()?;
        worker.boot()?;
        let container = soon("the container to run again", || {
            let there = kit::containers(worker, "app")?;
            let running = there.into_iter().find(|container| container.runs);
            running.context("it does not run")
        })?;
        let app = Inside::of(worker, &container.id);
        has(&app, "/run/secrets/password", "33 7 440", FIRST)?;
        nowhere(&swarm, FIRST)?;
        worker.heal()?;
        swarm.complete(&[ask])
    })?;
    claim("a secret in use stays", || {
        let text = "secret 'first' is in use by the following service: app";
        refused(ask, "secret rm first", text)?;
        refused(ask, "config rm script", "config 'script' is in use")
    })?;
    claim("a rotated secret arrives", || rotate(&swarm, ask))?;
    claim("placeholders are filled in where the task runs", || {
        templates(&swarm, ask)
    })?;
    claim("Docker's own program sees them", || dockers_own(ask))?;
    claim("the files go with the task, and all with the node", || {
        swarmlet(ask, "service rm app")?;
        soon("the files to go", || {
            let left = tasks_with_files(worker)?;
            ensure!(left == 0, "{left} tasks have files");
            Ok(())
        })?;
        nowhere(&swarm, SECOND)?;
        swarmlet(ask, "secret rm second")?;
        swarmlet(ask, "config rm script")?;
        swarmlet(worker, "leave")?;
        ensure!(!worker.path(TASKS)?.exists(), "{TASKS} is there");
        let mounts = worker.ok(&["cat", "/proc/mounts"])?;
        ensure!(!mounts.contains(TASKS), "{mounts}");
        Ok(())
    })
}

fn largest(swarm: &Swarm, ask: &Host) -> Result<()> {
    let create = |bytes: usize| {
        let data = format!("head -c {bytes} /dev/zero | tr '\\0' x");
        host_pipe(
            swarm.host(2),
            &format!("{data} | swarmlet config create big -"),
        )
    };
    let refused = create(1_024_000).err().context("it is not refused")?;
    let refused = format!("{refused:#}");
    ensure!(refused.contains("less than 1024000 bytes"), "{refused}");
    create(1_023_999)?;
    let line = "service create -d --name large --config big busybox sleep 100000";
    swarmlet(ask, line)?;
    let large = swarm.inside(ask, "large", 1)?.remove(0);
    let size = exec(&large, &["stat", "-c", "%s", "/big"])?;
    ensure!(size.trim() == "1023999", "{size}");
    swarmlet(ask, "service rm large")?;
    soon("its files to go", || {
        let others = usize::from(large.host().name() == "h4");
        let left = tasks_with_files(large.host())?;
        ensure!(left == others, "{left} tasks have files");
        Ok(())
    })
}

fn rotate(swarm: &Swarm, ask: &Host) -> Result<()> {
    create(ask, "secret create second -", SECOND)?;
    let line = "service update -d --secret-rm first \
                --secret-add source=second,target=password,mode=0400 app";
    let before = app(swarm, ask)?;
    swarmlet(ask, line)?;
    soon("another container", || {
        let now = app(swarm, ask)?;
        ensure!(now.id() != before.id(), "the same");
        has(&now, "/run/secrets/password", "0 0 400", SECOND)
    })?;
    swarmlet(ask, "secret rm first")?;
    nowhere(swarm, SECOND)
}

fn templates(swarm: &Swarm, ask: &Host) -> Result<()> {
    let text = r#"{{secret "pw"}} on {{.Node.Hostname}} for {{.Service.Name}}"#;
    create(ask, "config create --template-driver golang letter -", text)?;
    let line = "service create -d --name filled --constraint node.hostname==h4 \
                --env WHERE={{.Node.Hostname}}-{{.Task.Slot}} --hostname slot-{{.Task.Slot}} \
                --secret source=second,target=pw --config source=letter,target=/letter \
                busybox sleep 100000";
    swarmlet(ask, line)?;
    let filled = swarm.inside(ask, "filled", 1)?.remove(0);
    let said = exec(&filled, &["sh", "-c", "echo $WHERE $(hostname)"])?;
    ensure!(said.trim() == "h4-1 slot-1", "{said}");
    let letter = format!("{SECOND} on h4 for filled");
    has(&filled, "/letter", "0 0 444", &letter)?;
    let env = "service create -d --name bad --env A={{.Node.Nope}} busybox";
    refused(ask, env, "can't evaluate field Nope")?;
    swarmlet(ask, "service rm filled")?;
    swarmlet(ask, "config rm letter").map(drop)
}

fn dockers_own(ask: &Host) -> Result<()> {
    let docker = |line: &str| {
        let line = format!("-H unix:///run/swarmlet/swarmlet.sock {line}");
        kit::docker(ask, &line)
    };
    let listed = docker("secret ls --format {{.Name}}")?;
    ensure!(listed.trim() == "second", "{listed}");
    let shown = docker("secret inspect second")?;
    ensure!(!shown.contains("Data"), "{shown}");
    let shown = docker("config inspect --pretty script")?;
    ensure!(shown.contains("echo configured"), "{shown}");
    docker("secret create -l a=b third /etc/hostname")?;
    let listed = docker("secret ls -q --filter label=a=b")?;
    ensure!(listed.trim().len() == 25, "{listed}");
    docker("service update -d --secret-add third app")?;
    docker("service update -d --secret-rm third app")?;
    docker("secret rm third").map(drop)
}

/// `swarmlet` with `text` on its standard input; `text` is a format of printf.
fn create(host: &Host, line: &str, text: &str) -> Result<()> {
    host_pipe(host, &format!("printf '{text}' | swarmlet {line}"))
}

/// A line of the shell that prints an id.
fn host_pipe(host: &Host, line: &str) -> Result<()> {
    let id = host.ok(&["sh", "-c", line])?;
    ensure!(id.trim().len() == 25, "{id}");
    Ok(())
}

fn app(swarm: &Swarm, ask: &Host) -> Result<Inside> {
    let mut inside = swarm.inside(ask, "app", 1)?;
    Ok(inside.remove(0))
}

fn exec(inside: &Inside, argv: &[&str]) -> Result<String> {
    let exec = ["docker", "exec", inside.id()];
    Ok(inside.host().ok(&[&exec, argv].concat())?)
}

/// The container has a file so owned, of this mode and content.
fn has(inside: &Inside, path: &str, owner_and_mode: &str, content: &str) -> Result<()> {
    let found = exec(inside, &["stat", "-c", "%u %g %a", path])?;
    ensure!(found.trim() == owner_and_mode, "{path}: {found}");
    let found = exec(inside, &["cat", path])?;
    ensure!(found == content, "{path}: {found}");
    Ok(())
}

/// No file on the disk of any host, nor any log of one, has `text` in it.
fn nowhere(swarm: &Swarm, text: &str) -> Result<()> {
    for host in swarm.hosts() {
        let kept = host.disk_path().join("swarmlet/agent/assignments");
        ensure!(kept.exists() || host.name() != "h4", "nothing is kept");
        for place in [host.disk_path(), host.logs()] {
            ensure_absent(&place, text)?;
        }
    }
    Ok(())
}

fn ensure_absent(place: &Path, text: &str) -> Result<()> {
    ensure!(place.is_dir(), "there is no {}", place.display());
    let mut grep = Command::new("grep");
    grep.args(["--recursive", "--files-with-matches", "--fixed-strings"]);
    let found = grep.arg(text).arg(place).output()?;
    let files = String::from_utf8_lossy(&found.stdout);
    ensure!(files.is_empty(), "{text} is in {files}");
    // Files that vanish meanwhile are told as well, and count as an error.
    ensure!(found.status.code() != Some(0), "{found:?}");
    Ok(())
}

fn tasks_with_files(host: &Host) -> Result<usize> {
    let path = host.path(TASKS)?;
    match path.exists() {
        true => Ok(fs::read_dir(path)?.count()),
        false => Ok(0),
    }
}
