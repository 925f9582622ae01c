//! The command line as people and scripts see it, ours and Docker's.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use swarmlet_testnet::{Host, ServiceState};

use super::kit::{self, SOON, Swarm, claim, rows, soon, swarmlet};
use crate::runner::Context;

pub fn commands_print_what_docker_prints(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 3)?;
    let ask = swarm.host(1);
    claim("create tells its progress and ends when converged", || {
        let line = "service create --name web --replicas 3 \
                    -p published=8080,target=80,mode=host whoami";
        let said = swarmlet(ask, line)?;
        let id = said.lines().next().unwrap_or_default();
        ensure!(id.len() == 25, "{said}");
        ensure!(
            said.contains("overall progress: 3 out of 3 tasks"),
            "{said}"
        );
        ensure!(
            said.contains("Service") && said.contains("converged"),
            "{said}"
        );
        ensure!(kit::running(ask, "web")?.len() == 3);
        Ok(())
    })?;
    claim("a published port answers on its node", || {
        for host in swarm.hosts() {
            let answer = ask.http_get(&format!("http://{}:8080/", host.name()))?;
            ensure!(answer.status == 200, "{answer:?}");
        }
        Ok(())
    })?;
    claim("nodes are listed", || nodes(&swarm, ask))?;
    claim("services and tasks are listed", || services(ask))?;
    claim("what is inspected is the API's object", || {
        let printed: Value = serde_json::from_str(&swarmlet(ask, "node inspect self")?)?;
        ensure!(printed[0]["Description"]["Hostname"] == "h1", "{printed}");
        let printed: Value = serde_json::from_str(&swarmlet(ask, "service inspect web")?)?;
        let api = kit::get(ask, "/services/web?insertDefaults=true")?;
        ensure!(printed[0]["Spec"] == api["Spec"], "{printed}\n{api}");
        let pretty = swarmlet(ask, "service inspect --pretty web")?;
        ensure!(
            pretty.contains("Replicas:") && pretty.contains("whoami"),
            "{pretty}"
        );
        Ok(())
    })?;
    claim("info tells of the node and of the swarm", || {
        let said = swarmlet(ask, "info")?;
        for wanted in [["Swarm:", "active"], ["Managers:", "3"], ["Nodes:", "3"]] {
            let told = |line: &str| line.split_whitespace().eq(wanted);
            ensure!(said.lines().any(told), "{wanted:?} in {said}");
        }
        let info: Value = serde_json::from_str(&swarmlet(ask, "info --format json")?)?;
        ensure!(info["Swarm"]["Nodes"] == 3, "{}", info["Swarm"]);
        Ok(())
    })?;
    claim("Docker's own program works on our socket", || {
        dockers_own(&swarm, ask)
    })
}

fn nodes(swarm: &Swarm, ask: &Host) -> Result<()> {
    let table = swarmlet(ask, "node ls")?;
    let mut lines = table.lines();
    header(
        lines.next(),
        &[
            "ID",
            "HOSTNAME",
            "STATUS",
            "AVAILABILITY",
            "MANAGER STATUS",
            "ENGINE VERSION",
        ],
    )?;
    let own: Vec<&str> = lines.filter(|line| line.contains(" * ")).collect();
    ensure!(own.len() == 1 && own[0].contains("h1"), "{table}");
    let listed = rows(ask, "node ls")?;
    let leader = swarm.leader(ask)?.name();
    for (row, host) in listed.iter().zip(["h1", "h2", "h3"]) {
        let role = if host == leader {
            "Leader"
        } else {
            "Reachable"
        };
        let wanted = [
            ("Hostname", host),
            ("Status", "Ready"),
            ("Availability", "Active"),
            ("ManagerStatus", role),
            ("TLSStatus", "Ready"),
        ];
        for (key, wanted) in wanted {
            ensure!(row[key] == wanted, "{key}: {row}");
        }
        ensure!(row["Self"] == (host == "h1"), "{row}");
    }
    ensure!(listed.len() == 3, "{listed:?}");
    ensure!(
        swarmlet(ask, "node ls -q")?
            .lines()
            .all(|id| id.len() == 25)
    );
    Ok(())
}

fn services(ask: &Host) -> Result<()> {
    let table = swarmlet(ask, "service ls")?;
    header(
        table.lines().next(),
        &["ID", "NAME", "MODE", "REPLICAS", "IMAGE", "PORTS"],
    )?;
    let row = rows(ask, "service ls")?.pop().context("no service")?;
    for (key, wanted) in [
        ("Name", "web"),
        ("Mode", "replicated"),
        ("Replicas", "3/3"),
        ("Image", "whoami:latest"),
    ] {
        ensure!(row[key] == wanted, "{key}: {row}");
    }
    let table = swarmlet(ask, "service ps web")?;
    header(
        table.lines().next(),
        &[
            "ID",
            "NAME",
            "IMAGE",
            "NODE",
            "DESIRED STATE",
            "CURRENT STATE",
            "ERROR",
            "PORTS",
        ],
    )?;
    for (row, name) in rows(ask, "service ps web")?
        .iter()
        .zip(["web.1", "web.2", "web.3"])
    {
        ensure!(
            row["Name"] == name && row["DesiredState"] == "Running",
            "{row}"
        );
        let state = row["CurrentState"].as_str().unwrap_or_default();
        ensure!(
            state.starts_with("Running ") && state.ends_with(" ago"),
            "{row}"
        );
    }
    let own = rows(ask, "node ps")?;
    ensure!(own.len() == 1 && own[0]["Node"] == "h1", "{own:?}");
    Ok(())
}

fn header(line: Option<&str>, columns: &[&str]) -> Result<()> {
    let line = line.context("nothing was printed")?;
    let found: Vec<&str> = line
        .split("   ")
        .map(str::trim)
        .filter(|c| !c.is_empty())
        .collect();
    ensure!(found == columns, "{line}");
    Ok(())
}

/// The docker program, pointed at swarmlet's socket and told nothing else.
fn dockers_own(swarm: &Swarm, ask: &Host) -> Result<()> {
    let docker = |line: &str| -> Result<String> {
        kit::docker(
            ask,
            &format!("-H unix:///run/swarmlet/swarmlet.sock {line}"),
        )
    };
    ensure!(docker("node ls")?.contains("Leader"));
    let id = docker("service create -d --no-resolve-image --name theirs --replicas 2 whoami")?;
    ensure!(id.trim().len() == 25, "{id}");
    swarm.settled(ask, "theirs", 2)?;
    let listed = docker("service ls --filter name=theirs --format {{.Replicas}}")?;
    ensure!(listed == "2/2\n", "{listed}");
    let tasks = docker("service ps theirs --format {{.Name}}={{.DesiredState}}")?;
    ensure!(
        tasks.lines().eq(["theirs.1=Running", "theirs.2=Running"]),
        "{tasks}"
    );
    docker("service update -d --env-add A=1 theirs")?;
    soon("their update to be done", || {
        let state = docker("service inspect theirs --format {{.UpdateStatus.State}}")?;
        ensure!(state == "completed\n", "{state}");
        Ok(())
    })?;
    docker("node update --label-add seen=yes h2")?;
    let label = docker("node inspect h2 --format {{.Spec.Labels.seen}}")?;
    ensure!(label == "yes\n", "{label}");
    ensure!(docker("info --format {{.Swarm.LocalNodeState}}")? == "active\n");
    // Not ours: the engine answers, streams and upgraded connections included.
    ensure!(docker("run --rm busybox echo through")? == "through\n");
    let gone = docker("service rm theirs")?;
    ensure!(gone == "theirs\n", "{gone}");
    soon("their containers to be gone", || {
        let left = swarm.containers("theirs")?;
        ensure!(left.is_empty(), "{left:#?}");
        Ok(())
    })
}

pub fn init_and_join_start_a_daemon_where_none_runs(context: &Context) -> Result<()> {
    let swarm = Swarm::unformed(context, 2)?;
    let (h1, h2) = (swarm.host(1), swarm.host(2));
    for host in swarm.hosts() {
        host.daemon().stop(SOON)?;
        kit::refused(host, "node ls", "Cannot connect to the swarmlet daemon")?;
    }
    claim("init starts one and says so", || {
        let output = h1.run(&["swarmlet", "init", "--advertise-addr", &h1.ip().to_string()])?;
        ensure!(output.ok(), "{output}");
        ensure!(
            output.to_string().contains("Started the swarmlet daemon"),
            "{output}"
        );
        ensure!(output.stdout.contains("Swarm initialized"), "{output}");
        Ok(())
    })?;
    claim("join starts one too, and takes part", || {
        let token = swarmlet(h1, "join-token -q worker")?;
        let output = h2.run(&["swarmlet", "join", "--token", token.trim(), "h1"])?;
        ensure!(output.ok(), "{output}");
        ensure!(
            output.to_string().contains("Started the swarmlet daemon"),
            "{output}"
        );
        ensure!(
            output
                .stdout
                .contains("This node joined a swarm as a worker."),
            "{output}"
        );
        swarm.complete(&[h1])?;
        swarmlet(h1, "service create -d --name web --replicas 2 whoami")?;
        swarm.settled(h1, "web", 2)?;
        Ok(())
    })?;
    claim("they outlive the command that started them", || {
        for host in swarm.hosts() {
            ensure!(matches!(host.daemon().state()?, ServiceState::Ended { .. }));
            ensure!(host.daemon().answers(), "{} is silent", host.name());
        }
        Ok(())
    })
}
