//! Stacks of Compose files, deployed by swarmlet and by Docker's own program.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use swarmlet_testnet::Host;

use super::kit::{self, Swarm, Task, claim, rows, soon, swarmlet};
use crate::runner::Context;

/// On the host, and gone with it.
const FILE: &str = "/run/shop.yml";
const MOTD: &str = "/run/motd";
const PASSWORD: &str = "/run/password";
/// What ours understands and Docker's does not.
const SHOP: &str = "
services:
  web:
    image: whoami
    configs:
      - source: motd
        target: /etc/motd
    secrets: [password]
    depends_on:
      db:
        condition: service_healthy
      migrate:
        condition: service_completed_successfully
  migrate:
    image: busybox
    command: [sh, -c, \"sleep 1; cat /run/secrets/password\"]
    secrets: [password]
    deploy: {mode: replicated-job}
  db:
    image: whoami
    stop_grace_period: 1s
    healthcheck:
      test: [CMD, busybox, \"true\"]
      interval: 1s
    networks: [default, back]
networks:
  back:
    attachable: true
configs:
  motd:
    content: |
      hello of $GREETER
secrets:
  password:
    file: /run/password
";
/// What both do.
const PLAIN: &str = "
version: \"3.8\"
services:
  web:
    image: whoami
    environment:
      B: \"2\"
      A: \"1\"
    ports: [\"8090:80\"]
    volumes: [\"data:/data\"]
    configs:
      - source: motd
        target: /etc/motd
    deploy:
      replicas: 2
      resources:
        limits: {cpus: \"0.5\", memory: 64M}
      restart_policy: {condition: any, delay: 1s}
      update_config: {parallelism: 2, order: start-first}
    networks: [front]
  db:
    image: whoami
    stop_grace_period: 1s
    cap_drop: [NET_RAW]
networks:
  front: {}
volumes:
  data: {}
configs:
  motd:
    file: ./motd
";

pub fn stacks_are_deployed_changed_and_removed(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 2)?;
    let ask = swarm.host(1);
    write(ask, FILE, &SHOP.replace("$GREETER", "morning"))?;
    write(ask, PASSWORD, "first\n")?;
    claim("a dry run tells everything and makes nothing", || {
        let said = deploy(ask, "--dry-run")?;
        for wanted in [
            "create network shop_default",
            "create network shop_back",
            "create config shop_motd",
            "create secret shop_password",
            "create service shop_migrate",
            "create service shop_db",
            "create service shop_web",
        ] {
            ensure!(said.contains(wanted), "no {wanted:?} in:\n{said}");
        }
        ensure!(rows(ask, "stack ls")?.is_empty());
        Ok(())
    })?;
    claim(
        "a deploy makes each service after what it waits for",
        || {
            let said = deploy(ask, "--wait")?;
            let place = |text: &str| said.find(text).with_context(|| format!("{text}: {said}"));
            let web = place("Creating service shop_web")?;
            for before in [
                "Waiting for shop_db to be healthy",
                "Waiting for shop_migrate to be complete",
            ] {
                ensure!(place(before)? < web, "{said}");
            }
            ensure!(migrated(ask)? == "first\n");
            let stacks = rows(ask, "stack ls")?;
            ensure!(stacks.len() == 1, "{stacks:?}");
            ensure!(
                stacks[0]["Name"] == "shop" && stacks[0]["Services"] == "3",
                "{stacks:?}"
            );
            ensure!(rows(ask, "stack services shop")?.len() == 3);
            ensure!(rows(ask, "stack ps -f desired-state=running shop")?.len() == 2);
            ensure!(read(&swarm, ask, "/etc/motd")? == "hello of morning\n");
            ensure!(read(&swarm, ask, "/run/secrets/password")? == "first\n");
            let web = swarm.inside(ask, "shop_web", 1)?.remove(0);
            ensure!(!web.resolve("db")?.is_empty(), "db has no address");
            Ok(())
        },
    )?;
    claim("to deploy the same again replaces nothing", || {
        let before = tasks(ask)?;
        let said = deploy(ask, "--wait")?;
        ensure!(
            said.contains("Service shop_web is as it should be"),
            "{said}"
        );
        ensure!(tasks(ask)? == before);
        Ok(())
    })?;
    claim(
        "a changed config or secret is rolled out to those that have it",
        || {
            let db = kit::running(ask, "shop_db")?;
            write(ask, FILE, &SHOP.replace("$GREETER", "evening"))?;
            write(ask, PASSWORD, "second\n")?;
            let said = deploy(ask, "--dry-run")?;
            let told = "create config shop_motd-2, for shop_motd holds something else";
            ensure!(said.contains(told), "{said}");
            let told = "create secret shop_password-2, for shop_password holds something else";
            ensure!(said.contains(told) && !said.contains("second"), "{said}");
            ensure!(said.contains("change service shop_web"), "{said}");
            ensure!(said.contains("keep   service shop_db"), "{said}");
            deploy(ask, "--wait")?;
            soon("the new greeting", || {
                let motd = read(&swarm, ask, "/etc/motd")?;
                ensure!(motd == "hello of evening\n", "{motd}");
                Ok(())
            })?;
            ensure!(read(&swarm, ask, "/run/secrets/password")? == "second\n");
            // Lines of two tasks come in any order.
            let migrated = migrated(ask)?;
            ensure!(migrated.lines().any(|line| line == "second"), "{migrated}");
            ensure!(kit::running(ask, "shop_db")? == db);
            Ok(())
        },
    )?;
    claim(
        "what no file names any more goes where that is asked for",
        || {
            let (head, rest) = SHOP.split_once("      migrate:\n").context("no migrate")?;
            let (_, rest) = rest.split_once("  db:\n").context("no db")?;
            write(
                ask,
                FILE,
                &format!("{head}  db:\n{rest}").replace("$GREETER", "evening"),
            )?;
            let before = tasks(ask)?;
            let said = deploy(ask, "--wait")?;
            ensure!(
                said.contains("Service shop_web is as it should be"),
                "{said}"
            );
            ensure!(rows(ask, "stack services shop")?.len() == 3);
            deploy(ask, "--wait --prune")?;
            ensure!(rows(ask, "stack services shop")?.len() == 2);
            ensure!(tasks(ask)? == before);
            Ok(())
        },
    )?;
    claim("a deploy that does not converge fails and says why", || {
        let bad = SHOP.replacen("image: whoami", "image: none.invalid/none:1", 1);
        write(ask, FILE, &bad)?;
        let output = ask.run(&[
            "swarmlet",
            "stack",
            "deploy",
            "--resolve-image",
            "never",
            "--wait",
            "--wait-timeout",
            "30s",
            "-c",
            FILE,
            "shop",
        ])?;
        ensure!(!output.ok(), "{output}");
        ensure!(output.stderr.contains("service shop_web: "), "{output}");
        Ok(())
    })?;
    claim("a removed stack leaves nothing", || {
        swarmlet(ask, "stack rm --detach=false shop")?;
        nothing_left(&swarm, ask)
    })?;
    claim("a stack is one to Docker's program and to ours", || {
        both(&swarm, ask)
    })
}

fn both(swarm: &Swarm, ask: &Host) -> Result<()> {
    write(ask, FILE, PLAIN)?;
    write(ask, MOTD, "welcome\n")?;
    let docker = |line: &str| {
        let line = format!("-H unix:///run/swarmlet/swarmlet.sock {line}");
        kit::docker(ask, &line)
    };
    let theirs = format!("stack deploy -d --resolve-image never -c {FILE} shop");
    docker(&theirs)?;
    swarm.settled(ask, "shop_web", 2)?;
    swarm.settled(ask, "shop_db", 1)?;
    let before = tasks(ask)?;
    let plan = deploy(ask, "--dry-run")?;
    ensure!(plan.lines().all(|line| line.starts_with("keep ")), "{plan}");
    deploy(ask, "--wait")?;
    docker(&theirs)?;
    ensure!(tasks(ask)? == before, "{:#?}\n{before:#?}", tasks(ask)?);
    ensure!(docker("stack ls --format {{.Name}}={{.Services}}")? == "shop=2\n");
    ensure!(docker("stack ps -q shop")?.lines().count() == 3);

    swarmlet(ask, "stack rm --detach=false shop")?;
    nothing_left(swarm, ask)?;
    deploy(ask, "--wait")?;
    let before = tasks(ask)?;
    docker(&theirs)?;
    deploy(ask, "--wait")?;
    ensure!(tasks(ask)? == before, "{:#?}\n{before:#?}", tasks(ask)?);
    docker("stack rm shop")?;
    nothing_left(swarm, ask)
}

fn write(host: &Host, path: &str, text: &str) -> Result<()> {
    let here = host.path(path)?;
    fs::write(&here, text).with_context(|| here.display().to_string())
}

fn deploy(ask: &Host, flags: &str) -> Result<String> {
    let line = format!("stack deploy --resolve-image never {flags} -c {FILE} shop");
    swarmlet(ask, &line)
}

/// What the container of `web` reads in a file.
fn read(swarm: &Swarm, ask: &Host, path: &str) -> Result<String> {
    let web = swarm.inside(ask, "shop_web", 1)?.remove(0);
    let cat = ["docker", "exec", web.id(), "busybox", "cat", path];
    Ok(web.host().ok(&cat)?)
}

/// What the job has written, in all its runs.
fn migrated(ask: &Host) -> Result<String> {
    swarmlet(ask, "service logs --raw shop_migrate")
}

fn tasks(ask: &Host) -> Result<Vec<Task>> {
    let mut tasks = kit::running(ask, "shop_web")?;
    tasks.extend(kit::running(ask, "shop_db")?);
    tasks.sort();
    Ok(tasks)
}

fn nothing_left(swarm: &Swarm, ask: &Host) -> Result<()> {
    for list in ["stack ls", "service ls", "config ls", "secret ls"] {
        let left = rows(ask, list)?;
        ensure!(left.is_empty(), "{list}: {left:?}");
    }
    let left = rows(ask, "network ls -f label=com.docker.stack.namespace")?;
    ensure!(left.is_empty(), "{left:?}");
    soon("no container to be left", || {
        for service in ["shop_web", "shop_db", "shop_migrate"] {
            let left = swarm.containers(service)?;
            ensure!(left.is_empty(), "{left:#?}");
        }
        Ok(())
    })
}
