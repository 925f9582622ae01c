//! What only `docker run` can ask for: devices, privileges, a task's address,
//! and generic resources.

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use swarmlet_testnet::Host;

use super::kit::{self, Inside, Swarm, claim, refused, soon, swarmlet};
use crate::runner::Context;

/// A `/dev` of the host's own, with all that the machine's has: that is shared
/// by all hosts.
const OWN_DEVICES: &str = "mkdir /run/dev && mount -t tmpfs -o mode=755 tmpfs /run/dev \
    && find /dev -mindepth 1 -maxdepth 1 ! -type s ! -name pts ! -name shm ! -name mqueue \
    ! -name hugepages -exec cp -a {} /run/dev/ ';' \
    && mkdir /run/dev/pts /run/dev/shm && mount --bind /dev/pts /run/dev/pts \
    && mount --bind /run/dev /dev";
const DEVICE: &str = "/dev/swarmlet-gps";

pub fn tasks_get_what_docker_run_can_ask_for(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 3)?;
    let (h1, h2) = (swarm.host(1), swarm.host(2));
    h2.ok(&["sh", "-c", OWN_DEVICES])?;
    claim("a task waits for its device and says so", || {
        let line = format!(
            "service create --detach --name gps --restart-delay 0s --stop-grace-period 1s \
             --device {DEVICE}:/dev/gps:rw whoami"
        );
        swarmlet(h1, &line)?;
        let why = format!("no suitable node (missing device on 3 nodes: {DEVICE})");
        soon("the reason", || {
            let tasks = swarmlet(h1, "service ps --no-trunc gps")?;
            ensure!(tasks.contains(&why), "{tasks}");
            Ok(())
        })
    })?;
    claim("it runs where the device is plugged in", || {
        plugged(&swarm, h2)
    })?;
    claim("a container has the rights that its service says", || {
        privileged(&swarm, h1)
    })?;
    claim("a task has the address that was named for it", || {
        addressed(&swarm, h1)
    })?;
    claim("generic resources are given once", || {
        generic(&swarm, h1, swarm.host(3))
    })?;
    claim("a task is placed and made for its platform", || {
        for_platform(&swarm, h1)
    })?;
    claim("a task is on its node's own network", || {
        on_own_network(&swarm, h1)
    })?;
    claim("what means nothing is refused", || {
        let create = "service create --detach";
        let known = "those of services are swarmlet.device";
        refused(
            h1,
            &format!("{create} --label swarmlet.devices=/dev/kvm whoami"),
            known,
        )?;
        let line = format!("{create} --container-label swarmlet.privileged=true whoami");
        refused(h1, &line, "make it one of the service")?;
        let line = format!("{create} --label swarmlet.device=gps whoami");
        refused(h1, &line, "say its path below /dev")
    })
}

fn plugged(swarm: &Swarm, h2: &Host) -> Result<()> {
    h2.ok(&["mknod", DEVICE, "c", "1", "3"])?;
    let inside = swarm.inside(swarm.host(1), "gps", 1)?.remove(0);
    ensure!(inside.host().name() == "h2", "{inside:?}");
    let shown = exec(&inside, &["ls", "-l", "/dev/gps"])?;
    ensure!(
        shown.starts_with('c') && shown.contains("1,   3"),
        "{shown}"
    );
    let node = swarmlet(swarm.host(1), "node inspect --pretty h2")?;
    ensure!(node.contains(DEVICE), "{node}");
    Ok(())
}

fn privileged(swarm: &Swarm, h1: &Host) -> Result<()> {
    let line = "service create --detach --name all --shm-size 32m --pid host --ipc shareable \
                --security-opt systempaths=unconfined whoami";
    swarmlet(h1, line)?;
    let inside = swarm.inside(h1, "all", 1)?.remove(0);
    let said = kit::get_engine(inside.host(), &format!("/containers/{}/json", inside.id()))?;
    let config = &said["HostConfig"];
    for (key, wanted) in [
        ("ShmSize", json!(32 << 20)),
        ("PidMode", json!("host")),
        ("IpcMode", json!("shareable")),
        ("MaskedPaths", json!([])),
    ] {
        // Empty lists come back as null from some engines.
        let same = config[key] == wanted || (wanted == json!([]) && config[key] == Value::Null);
        ensure!(same, "{key} is {}, not {wanted}", config[key]);
    }
    let shm = exec(&inside, &["df", "-k", "/dev/shm"])?;
    ensure!(shm.contains("32768"), "{shm}");
    let init = exec(&inside, &["cat", "/proc/1/comm"])?;
    let of_host = inside.host().ok(&["cat", "/proc/1/comm"])?;
    ensure!(
        init == of_host,
        "{init} is the first process, not {of_host}"
    );
    // A machine that has not every right itself starts no such container.
    let line = "service create --detach --name root --restart-condition none --privileged whoami";
    swarmlet(h1, line)?;
    soon("a privileged container", || {
        for host in swarm.hosts() {
            if let Some(container) = kit::containers(host, "root")?.first() {
                let path = format!("/containers/{}/json", container.id);
                let privileged = &kit::get_engine(host, &path)?["HostConfig"]["Privileged"];
                ensure!(*privileged == json!(true), "it is {privileged}");
                return Ok(());
            }
        }
        bail!("there is none")
    })
}

fn addressed(swarm: &Swarm, h1: &Host) -> Result<()> {
    swarmlet(h1, "network create --subnet 10.77.0.0/24 plant")?;
    let line = "service create --detach --name plc --stop-grace-period 1s \
                --network name=plant,task-ip=10.77.0.77 whoami";
    swarmlet(h1, line)?;
    let first = swarm.inside(h1, "plc", 1)?.remove(0);
    let addr = "10.77.0.77".parse::<std::net::IpAddr>()?;
    ensure!(first.address("plant")? == addr, "{first:?}");
    swarmlet(h1, "service update --detach --force plc")?;
    soon("another task to have it", || {
        let next = swarm.inside(h1, "plc", 1)?.remove(0);
        ensure!(
            next.id() != first.id() && next.address("plant")? == addr,
            "{next:?}"
        );
        Ok(())
    })?;
    let why = "it is for a service with one replica";
    refused(h1, "service scale plc=2", why)
}

fn for_platform(swarm: &Swarm, h1: &Host) -> Result<()> {
    let own = match std::env::consts::ARCH {
        "x86_64" => "linux/amd64",
        "aarch64" => "linux/arm64",
        other => bail!("which platform is {other}?"),
    };
    let create = "service create --detach --stop-grace-period 1s";
    swarmlet(h1, &format!("{create} --name near --platform {own} whoami"))?;
    swarm.inside(h1, "near", 1)?;
    let line = format!("{create} --name far --platform linux/s390x whoami");
    swarmlet(h1, &line)?;
    soon("the reason", || {
        let tasks = swarmlet(h1, "service ps --no-trunc far")?;
        let why = "unsupported platform on 3 nodes: the service is for linux/s390x";
        ensure!(tasks.contains(why), "{tasks}");
        Ok(())
    })
}

fn on_own_network(swarm: &Swarm, h1: &Host) -> Result<()> {
    let line = "service create --detach --name bare --network host --stop-grace-period 1s \
                --publish published=80,target=80,mode=host whoami";
    swarmlet(h1, line)?;
    let inside = swarm.inside(h1, "bare", 1)?.remove(0);
    let namespace = ["readlink", "/proc/self/ns/net"];
    let (own, of_host) = (exec(&inside, &namespace)?, inside.host().ok(&namespace)?);
    ensure!(own == of_host, "it is in {own}, its host in {of_host}");
    let line = "service create --detach --name mute --network none --stop-grace-period 1s whoami";
    swarmlet(h1, line)?;
    let inside = swarm.inside(h1, "mute", 1)?.remove(0);
    let links = exec(&inside, &["ls", "/sys/class/net"])?;
    ensure!(links.trim() == "lo", "{links}");
    let tasks = kit::get(h1, &format!("/tasks?{}", kit::filters("service", "mute")))?;
    let network = &tasks[0]["NetworksAttachments"][0]["Network"]["Spec"]["Name"];
    ensure!(*network == json!("none"), "{tasks}");
    let line = "service create --detach --network host --publish 8080:80 whoami";
    refused(h1, line, "publish its ports with mode=host")
}

fn generic(swarm: &Swarm, h1: &Host, h3: &Host) -> Result<()> {
    let settings = r#"echo '{"node-generic-resources": ["lane=left", "lane=right"]}' > /run/testnet/engine.json"#;
    h3.ok(&["sh", "-c", settings])?;
    h3.engine().kill()?;
    h3.engine().start()?;
    let line = "service create --detach --name lane --replicas 3 --generic-resource lane=1 whoami";
    swarmlet(h1, line)?;
    let inside = swarm.inside(h1, "lane", 2)?;
    let mut given = Vec::new();
    for inside in &inside {
        ensure!(inside.host().name() == "h3", "{inside:?}");
        let env = exec(inside, &["env"])?;
        let lane = env
            .lines()
            .find_map(|it| it.strip_prefix("DOCKER_RESOURCE_LANE="));
        given.push(lane.unwrap_or_default().to_owned());
    }
    given.sort_unstable();
    ensure!(given == ["left", "right"], "{given:?}");
    let tasks = swarmlet(h1, "service ps --no-trunc lane")?;
    ensure!(tasks.contains("not enough lane"), "{tasks}");
    Ok(())
}

fn exec(inside: &Inside, words: &[&str]) -> Result<String> {
    let exec = ["docker", "exec", inside.id(), "busybox"];
    let argv: Vec<&str> = exec.iter().chain(words).copied().collect();
    Ok(inside.host().ok(&argv)?)
}
