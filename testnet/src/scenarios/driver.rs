//! What a service asks for is what its container gets, and what the container
//! does is what the task says.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use swarmlet_testnet::Host;

use super::kit::{self, Swarm, await_ended, claim, docker, soon, swarmlet, swarmlet_with};
use crate::runner::Context;

/// Every option that the driver passes on, but for the health check and the
/// command, which have claims of their own.
const EVERYTHING: &str = "service create -d --name all \
    --env COLOUR=red --env SIZE=a=b \
    --label of=service --container-label of=container --container-label \
    com.docker.swarm.service.name=forged \
    --user 1234:2345 --group 3456 --workdir /work --hostname box --tty \
    --mount type=bind,source=/run/in,target=/in,readonly \
    --mount type=bind,source=/run/out,target=/out \
    --mount type=volume,source=data,target=/data,volume-label=kind=test \
    --mount type=tmpfs,target=/scratch,tmpfs-size=1m,tmpfs-mode=1777 \
    --limit-cpu 0.5 --limit-memory 64m --limit-pids 50 --reserve-memory 32m \
    --cap-add NET_ADMIN --cap-drop MKNOD --ulimit nofile=100:200 \
    --sysctl net.ipv4.ip_default_ttl=42 --read-only --init --oom-score-adj 100 \
    --log-driver json-file --log-opt max-size=1m --log-opt max-file=2 \
    --stop-signal SIGUSR1 --stop-grace-period 20s \
    --host db:10.9.8.7 --dns 10.9.8.6 --dns-search example.test --dns-option ndots:3 \
    -p published=8088,target=80,mode=host";

pub fn a_container_is_what_its_service_says(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 1)?;
    let h1 = swarm.host(1);
    h1.ok(&["mkdir", "-p", "/run/in", "/run/out"])?;
    h1.ok(&["chmod", "777", "/run/out"])?;
    h1.ok(&["sh", "-c", "echo from outside > /run/in/file"])?;
    // Ends by the signal that the service names, and says so.
    let script = "trap 'echo signalled > /out/last; exit 0' USR1; while :; do sleep 0.1; done";
    swarmlet_with(
        h1,
        &format!("{EVERYTHING} --entrypoint /bin/busybox busybox sh -c"),
        script,
    )?;
    let container = swarm.settled(h1, "all", 1)?.remove(0).container;

    claim("the engine has every option", || inspected(h1, &container))?;
    claim("the process sees them", || seen_inside(h1, &container))?;
    claim("it ends by its signal, and leaves nothing", || {
        swarmlet(h1, "service rm all")?;
        soon("the container to be gone", || {
            let left = kit::containers(h1, "all")?;
            ensure!(left.is_empty(), "{left:#?}");
            Ok(())
        })?;
        let said = h1.ok(&["cat", "/run/out/last"])?;
        ensure!(said == "signalled\n", "{said}");
        Ok(())
    })?;
    claim("a command and its arguments replace the image's", || {
        swarmlet(h1, "service create -d --name args whoami --port 8099")?;
        let task = swarm.settled(h1, "args", 1)?.remove(0);
        let config = &inspect(h1, &task.container)?["Config"];
        same(config, "Entrypoint", json!(["/whoami"]))?;
        same(config, "Cmd", json!(["--port", "8099"]))
    })?;
    claim("a task runs when it is healthy", || healthy(&swarm, h1))?;
    claim("an unhealthy container is a failed task", || {
        let line = "service create -d --name ill --restart-condition none --health-cmd false \
                    --health-interval 200ms --health-retries 2 whoami";
        swarmlet(h1, line)?;
        await_ended(h1, "ill", &["Failed"], "unhealthy container")
    })?;
    claim("a container out of memory is a failed task", || {
        let line = "service create -d --name greedy --restart-condition none --limit-memory 16m \
                    busybox sh -c";
        swarmlet_with(h1, line, "head -c 64m /dev/zero | tail")?;
        await_ended(h1, "greedy", &["Failed"], "task: non-zero exit (137)")
    })?;
    claim("a command that ends well is complete", || {
        let line = "service create -d --name once --restart-condition on-failure busybox true";
        swarmlet(h1, line)?;
        await_ended(h1, "once", &["Complete"], "")?;
        ensure!(kit::tasks(h1, "once")?.len() == 1, "it was started again");
        Ok(())
    })
}

fn inspected(h1: &Host, id: &str) -> Result<()> {
    let all = inspect(h1, id)?;
    let config = &all["Config"];
    for (key, wanted) in [
        ("User", json!("1234:2345")),
        ("WorkingDir", json!("/work")),
        ("Hostname", json!("box")),
        ("Tty", json!(true)),
        ("Entrypoint", json!(["/bin/busybox"])),
        ("StopSignal", json!("SIGUSR1")),
    ] {
        same(config, key, wanted)?;
    }
    let env = config["Env"].to_string();
    ensure!(
        env.contains("\"COLOUR=red\"") && env.contains("\"SIZE=a=b\""),
        "{env}"
    );
    labels(&config["Labels"], &all["Name"])?;

    let host = &all["HostConfig"];
    for (key, wanted) in [
        ("GroupAdd", json!(["3456"])),
        ("NanoCpus", json!(500_000_000)),
        ("Memory", json!(64 << 20)),
        ("MemoryReservation", json!(0)),
        ("PidsLimit", json!(50)),
        (
            "Ulimits",
            json!([{"Name": "nofile", "Soft": 100, "Hard": 200}]),
        ),
        ("Sysctls", json!({"net.ipv4.ip_default_ttl": "42"})),
        ("ReadonlyRootfs", json!(true)),
        ("Init", json!(true)),
        ("OomScoreAdj", json!(100)),
        (
            "LogConfig",
            json!({"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}}),
        ),
        ("ExtraHosts", json!(["db:10.9.8.7"])),
        ("Dns", json!(["10.9.8.6"])),
        ("DnsSearch", json!(["example.test"])),
        ("DnsOptions", json!(["ndots:3"])),
        ("RestartPolicy", json!({"Name": "", "MaximumRetryCount": 0})),
        (
            "PortBindings",
            json!({"80/tcp": [{"HostIp": "", "HostPort": "8088"}]}),
        ),
    ] {
        same(host, key, wanted)?;
    }
    // Engines differ in whether they write the prefix.
    ensure!(
        host["CapAdd"].to_string().contains("NET_ADMIN"),
        "{}",
        host["CapAdd"]
    );
    ensure!(
        host["CapDrop"].to_string().contains("MKNOD"),
        "{}",
        host["CapDrop"]
    );
    let volume = kit::get_engine(h1, "/volumes/data")?;
    same(&volume, "Labels", json!({"kind": "test"}))
}

/// The service's own label stays on the service; nobody forges ours.
fn labels(labels: &Value, name: &Value) -> Result<()> {
    same(labels, "of", json!("container"))?;
    same(labels, "com.docker.swarm.service.name", json!("all"))?;
    let task = labels["com.docker.swarm.task.id"].as_str().unwrap_or("?");
    ensure!(name == &json!(format!("/all.1.{task}")), "{name}, {labels}");
    for key in ["task", "task.name", "node.id", "service.id"] {
        let label = &labels[format!("com.docker.swarm.{key}")];
        ensure!(label.is_string(), "no {key}: {labels}");
    }
    Ok(())
}

fn seen_inside(h1: &Host, id: &str) -> Result<()> {
    for (command, wanted) in [
        ("id -u", "1234"),
        ("id -g", "2345"),
        ("pwd", "/work"),
        ("hostname", "box"),
        ("cat /in/file", "from outside"),
        ("cat /proc/sys/net/ipv4/ip_default_ttl", "42"),
        ("cat /proc/1/oom_score_adj", "100"),
        ("touch /out/new /scratch/new", ""),
    ] {
        let said = h1.ok(&["sh", "-c", &format!("docker exec {id} {command}")])?;
        ensure!(said.trim() == wanted, "{command}: {said}");
    }
    for refused in ["touch /in/new", "touch /new"] {
        let output = h1.run(&["sh", "-c", &format!("docker exec {id} {refused}")])?;
        ensure!(!output.ok(), "{refused} worked");
    }
    let limits = docker(h1, &format!("exec {id} grep files /proc/1/limits"))?;
    let limits: Vec<&str> = limits.split_whitespace().collect();
    ensure!(limits.ends_with(&["100", "200", "files"]), "{limits:?}");
    let mounted = docker(h1, &format!("exec {id} cat /proc/mounts"))?;
    let scratch = mounted.lines().find(|line| line.contains(" /scratch "));
    ensure!(
        scratch.is_some_and(|line| line.starts_with("tmpfs") && line.contains("size=1024k")),
        "{mounted}"
    );
    Ok(())
}

fn healthy(swarm: &Swarm, h1: &Host) -> Result<()> {
    let line = "service create -d --name well --health-interval 200ms --health-retries 100 \
                --mount type=bind,source=/run/in,target=/in --health-cmd";
    let mut argv = kit::argv("swarmlet", line);
    argv.extend(["test -e /in/well", "whoami"]);
    h1.ok(&argv)?;
    soon("a container that is not healthy yet", || {
        let there = kit::containers(h1, "well")?;
        ensure!(there.iter().any(|container| container.runs), "{there:#?}");
        Ok(())
    })?;
    let tasks = kit::tasks(h1, "well")?;
    ensure!(
        tasks.iter().all(|task| task.state == "starting"),
        "{tasks:#?}"
    );
    h1.ok(&["touch", "/run/in/well"])?;
    let container = swarm.settled(h1, "well", 1)?.remove(0).container;
    same(
        &inspect(h1, &container)?["State"]["Health"],
        "Status",
        json!("healthy"),
    )
}

fn inspect(h1: &Host, id: &str) -> Result<Value> {
    kit::get_engine(h1, &format!("/containers/{id}/json"))
}

fn same(object: &Value, key: &str, wanted: Value) -> Result<()> {
    ensure!(
        object[key] == wanted,
        "{key} is {}, not {wanted}",
        object[key]
    );
    Ok(())
}
