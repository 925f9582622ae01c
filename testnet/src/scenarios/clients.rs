//! Programs that were written for Docker, pointed at our socket.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use swarmlet_testnet::{Host, ensure_programs, target_dir};

use super::kit::{self, Swarm, claim, soon, swarmlet};
use crate::runner::Context;

const SOCKET: &str = "unix:///run/swarmlet/swarmlet.sock";
const DOCKER_PY: &str = "docker==7.1.0";
/// What the docker program asked of Docker Engine, command by command, and how
/// it ended.
const TRACE: &str = include_str!("../../../node/src/api/tests/cli_trace.txt");
/// What the commands of the trace are about.
const STACK: &str = "\
services:
  web:
    image: busybox:latest
    command: sleep 1000
    stop_grace_period: 1s
    secrets: [s]
    configs: [c]
secrets:
  s: {file: ./s.txt}
configs:
  c: {file: ./s.txt}
";

pub fn dockers_commands_end_as_with_docker(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 1)?;
    let host = swarm.host(1);
    let dir = "/tmp/of-the-trace";
    std::fs::create_dir_all(host.path(dir)?)?;
    for (name, text) in [("s.txt", "secret\n"), ("st.yml", STACK)] {
        std::fs::write(host.path(&format!("{dir}/{name}"))?, text)?;
    }
    for recorded in TRACE.split("### docker ").skip(1) {
        let line = recorded.lines().next().unwrap_or_default();
        let ended = recorded.lines().find_map(|line| line.strip_prefix("rc="));
        let code: i32 = ended.context("no exit code in the trace")?.parse()?;
        let line = line.replace("refnode", host.name());
        claim(&format!("docker {line}"), || {
            let script = format!("cd {dir} && docker -H {SOCKET} {line}");
            let output = host.run(&["timeout", "120", "sh", "-c", &script])?;
            ensure!(output.status.code() == Some(code), "not {code}: {output}");
            Ok(())
        })?;
    }
    claim("a context leads the docker program here", || contexts(host))
}

fn contexts(host: &Host) -> Result<()> {
    let run = |line: &str| -> Result<String> {
        let argv = ["env", DOCKER_CONFIG]
            .into_iter()
            .chain(line.split_whitespace());
        Ok(host.ok(&argv.collect::<Vec<_>>())?)
    };
    run("swarmlet context install")?;
    let again = run("swarmlet context install")?;
    ensure!(again.contains("already"), "{again}");
    ensure!(run("docker --context swarmlet node ls")?.contains("Leader"));
    run("swarmlet context install --use")?;
    ensure!(run("docker node ls")?.contains("Leader"));
    let listed = run("docker context ls --format {{.Name}}={{.Current}}")?;
    ensure!(listed.contains("swarmlet=true"), "{listed}");
    run("swarmlet context rm")?;
    let listed = run("docker context ls --format {{.Name}}")?;
    ensure!(listed.trim() == "default", "{listed}");
    Ok(())
}

pub fn docker_py_drives_a_swarm(context: &Context) -> Result<()> {
    let library = docker_py()?;
    let swarm = Swarm::of(context, 2)?;
    let host = swarm.host(1);
    claim("docker-py makes, changes and removes all it knows", || {
        let script = host.path("/tmp/drive.py")?;
        std::fs::write(script, include_str!("clients/drive.py"))?;
        // A host need not see the folder that this was built in: it has a /tmp of its own.
        let inside = host.path("/tmp/library")?;
        let mut copy = Command::new("cp");
        let copied = copy.arg("-r").arg(&library).arg(inside).status()?;
        ensure!(copied.success(), "cp cannot copy docker-py: {copied}");
        let socket = format!("DOCKER_HOST={SOCKET}");
        let line = [
            "timeout",
            "180",
            "env",
            "PYTHONPATH=/tmp/library",
            &socket,
            "python3",
            "/tmp/drive.py",
        ];
        let said = host.ok(&line)?;
        ensure!(said.contains("is content"), "{said}");
        Ok(())
    })?;
    claim("nothing of it is left", || {
        soon("its containers to be gone", || {
            let left = swarm.containers("py")?;
            ensure!(left.is_empty(), "{left:#?}");
            Ok(())
        })
    })?;
    ensure!(!swarmlet(host, "node ls")?.is_empty());
    Ok(())
}

/// The library from PyPI, fetched once.
fn docker_py() -> Result<PathBuf> {
    ensure_programs(&[("pip3", "python3-pip")])?;
    let folder = target_dir().join("testnet").join(DOCKER_PY);
    if folder.is_dir() {
        return Ok(folder);
    }
    let fetched = folder.with_extension("part");
    let status = Command::new("/usr/bin/pip3")
        .args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--target",
        ])
        .arg(&fetched)
        .arg(DOCKER_PY)
        .status()
        .context("run pip3")?;
    ensure!(status.success(), "pip3 cannot fetch {DOCKER_PY}: {status}");
    std::fs::rename(&fetched, &folder)?;
    Ok(folder)
}

/// Debian's registry, which lets in who knows a password. Engines take the one
/// on their own `localhost` without TLS.
const REGISTRY: &str = "localhost:5000";
const IMAGE: &str = "localhost:5000/private:1";
const USER: &str = "carol";
/// In base64 with its user's name, it has a letter that URLs write otherwise.
const PASSWORD: &str = "open?sesame>9";
const LOGIN: &str = r#"{"auths": {"localhost:5000": {"auth": "Y2Fyb2w6b3Blbj9zZXNhbWU+OQ=="}}}"#;
const DOCKER_CONFIG: &str = "DOCKER_CONFIG=/tmp/of-docker";

fn start_registry(host: &Host) -> Result<()> {
    let dir = "/var/lib/registry-of-carol";
    host.ok(&["mkdir", "-p", dir])?;
    let users = format!("{dir}/users");
    host.ok(&["htpasswd", "-Bbc", &users, USER, PASSWORD])?;
    let config = format!(
        "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {dir}/data}}}}\n\
         http: {{addr: '127.0.0.1:5000'}}\n\
         auth: {{htpasswd: {{realm: r, path: {users}}}}}\n"
    );
    std::fs::write(host.path(&format!("{dir}/config.yml"))?, config)?;
    let line = format!("docker-registry serve {dir}/config.yml > {dir}/log 2>&1 &");
    host.ok(&["sh", "-c", &line])?;
    soon("the registry to answer", || {
        let answer = host.http_get(&format!("http://{REGISTRY}/v2/"))?;
        ensure!(answer.status == 401, "{answer:?}");
        Ok(())
    })
}

/// `program` with the words of `line`, as somebody who logged in to the registry.
fn as_carol(host: &Host, program: &str, line: &str) -> Result<String> {
    let config = host.path("/tmp/of-docker")?;
    std::fs::create_dir_all(&config)?;
    std::fs::write(config.join("config.json"), LOGIN)?;
    let argv = ["timeout", "120", "env", DOCKER_CONFIG, program];
    let argv: Vec<&str> = argv.into_iter().chain(line.split_whitespace()).collect();
    Ok(host.ok(&argv)?)
}

pub fn a_private_image_is_pulled_with_the_credentials_of_its_service(
    context: &Context,
) -> Result<()> {
    ensure_programs(&[
        ("docker-registry", "docker-registry"),
        ("htpasswd", "apache2-utils"),
    ])?;
    let swarm = Swarm::of(context, 2)?;
    let (ask, worker) = (swarm.host(1), swarm.host(2));
    start_registry(worker)?;
    kit::docker(worker, &format!("tag busybox:latest {IMAGE}"))?;
    as_carol(worker, "docker", &format!("push {IMAGE}"))?;
    kit::docker(worker, &format!("rmi {IMAGE}"))?;
    let create = |name: &str, flags: &str| {
        format!(
            "service create -d --name {name} --constraint node.hostname==h2 {flags} \
             --stop-grace-period 1s {IMAGE} sleep 100000"
        )
    };
    claim("without credentials the image is not to be had", || {
        swarmlet(ask, &create("shut", "--restart-condition none"))?;
        kit::await_ended(ask, "shut", &["Rejected"], "no basic auth credentials")
    })?;
    claim("with them it is pulled where the task runs", || {
        as_carol(ask, "swarmlet", &create("open", "--with-registry-auth"))?;
        swarm.settled(ask, "open", 1).map(drop)
    })?;
    claim("nobody is shown the password", || {
        for path in ["/services/open?insertDefaults=true", "/tasks"] {
            let shown = kit::get(ask, path)?.to_string();
            ensure!(!shown.contains(PASSWORD), "{path}");
        }
        for host in swarm.hosts() {
            let found = host.run(&["grep", "-rlF", PASSWORD, "/var/lib/swarmlet"])?;
            ensure!(found.stdout.is_empty(), "{}: {found}", host.name());
        }
        Ok(())
    })?;
    claim("a node that starts again has them still", || {
        worker.kill()?;
        worker.boot()?;
        start_registry(worker)?;
        swarm.complete(&[ask])?;
        let tasks = swarm.settled(ask, "open", 1)?;
        ensure!(!tasks.is_empty());
        kit::docker(worker, &format!("rmi -f {IMAGE}"))?;
        swarmlet(ask, "service update -d --force open")?;
        soon("the task to be another one", || {
            let now = kit::running(ask, "open")?;
            ensure!(now.len() == 1 && now[0].id != tasks[0].id, "{now:?}");
            Ok(())
        })
    })?;
    claim("Docker's own program brings them, too", || {
        kit::docker(worker, &format!("rmi -f {IMAGE}"))?;
        let line = create("theirs", "--with-registry-auth --no-resolve-image");
        as_carol(ask, "docker", &format!("-H {SOCKET} {line}"))?;
        swarm.settled(ask, "theirs", 1).map(drop)
    })
}
