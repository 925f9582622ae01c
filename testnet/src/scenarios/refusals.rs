//! Bad input: a clear error, an exit code, and nothing that has changed.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use swarmlet_testnet::Host;

use super::kit::{self, Swarm, claim, refused, refused_with, soon, swarmlet};
use crate::runner::Context;

pub fn bad_input_is_refused_and_changes_nothing(context: &Context) -> Result<()> {
    let swarm = Swarm::unformed(context, 3)?;
    let (h1, h2) = (swarm.host(1), swarm.host(2));
    claim("a node in no swarm says what to do", || {
        refused(h1, "service ls", "This node is not a swarm manager")?;
        refused(h1, "leave", "This node is not part of a swarm")?;
        refused(h1, "join --token nonsense h2:2377", "invalid join token")?;
        ensure!(state_of(h1)? == "inactive");
        Ok(())
    })?;

    let address = h1.ip().to_string();
    let said = swarmlet(h1, &format!("init --advertise-addr {address}"))?;
    ensure!(
        said.starts_with("Swarm initialized: current node ("),
        "{said}"
    );
    swarmlet(h1, "service create -d --name web whoami")?;
    swarm.settled(h1, "web", 1)?;
    let before = contents(h1)?;

    claim("tokens are checked", || tokens(h1, h2, &swarm))?;
    claim("what is unknown is not found", || unknown(h1))?;
    claim("a bad spec is refused whole", || bad_specs(h1))?;
    claim("an update must name the version it saw", || stale(h1))?;
    claim("a worker sends its users to the managers", || {
        refused(h2, "service ls", "Worker nodes can't be used")?;
        refused(h2, "node ls", "Worker nodes can't be used")
    })?;
    claim("the last manager does not just leave", || {
        refused(h1, "leave", "Removing the last manager erases")?;
        refused(
            h1,
            "node demote h1",
            "attempting to demote the last manager of the swarm",
        )?;
        refused(h1, "init", "This node is already part of a swarm")
    })?;
    claim("nothing of it changed the swarm", || {
        swarmlet(h2, "leave")?;
        soon("h2 to be down", || {
            let node = kit::node(h1, "h2")?;
            ensure!(node.state == "down", "{node:?}");
            Ok(())
        })?;
        swarmlet(h1, "node rm h2")?;
        let now = contents(h1)?;
        ensure!(now == before, "before: {before}\nnow: {now}");
        swarm.settled(h1, "web", 1)?;
        Ok(())
    })
}

fn tokens(h1: &Host, h2: &Host, swarm: &Swarm) -> Result<()> {
    let token = || Ok::<_, anyhow::Error>(swarmlet(h1, "join-token -q worker")?.trim().to_owned());
    let good = token()?;
    let join = |token: &str, remote: &str| format!("join --token {token} {remote}");

    // The last part is the secret, the one before it names the CA.
    let (pin, secret) = good.rsplit_once('-').context("an odd token")?;
    let other = |text: &str| -> String {
        let digits = text.chars();
        digits
            .map(|digit| if digit == '0' { '1' } else { '0' })
            .collect()
    };
    refused(
        h2,
        &join(&format!("{pin}-{}", other(secret)), "h1:2377"),
        "invalid join token",
    )?;
    let (prefix, digest) = pin.rsplit_once('-').context("an odd token")?;
    let foreign = format!("{prefix}-{}-{secret}", other(digest));
    refused(
        h2,
        &join(&foreign, "h1:2377"),
        "is the token of this swarm?",
    )?;
    // h3 runs a daemon that is in no swarm; at .99 is nobody at all.
    refused(h2, &join(&good, "h3:2377"), "no manager could be reached")?;
    let nobody = h1.ip().octets();
    let nobody = format!("{}.{}.{}.99:2377", nobody[0], nobody[1], nobody[2]);
    refused(h2, &join(&good, &nobody), "no manager could be reached")?;
    ensure!(state_of(h2)? == "inactive", "a refused join left its mark");
    ensure!(kit::nodes(h1)?.len() == 1, "a refused join added a node");

    swarmlet(h1, "join-token --rotate worker")?;
    let new = token()?;
    ensure!(new != good, "the token is the same");
    refused(h2, &join(&good, "h1:2377"), "invalid join token")?;
    let said = swarmlet(h2, &join(&new, "h1:2377"))?;
    ensure!(said == "This node joined a swarm as a worker.\n", "{said}");
    refused(
        h2,
        &join(&new, "h1:2377"),
        "This node is already part of a swarm",
    )?;
    soon("h2 to be ready", || {
        let node = kit::node(h1, "h2")?;
        ensure!(node.state == "ready", "{node:?}");
        Ok(())
    })?;
    swarm.settled(h1, "web", 1)?;
    Ok(())
}

fn unknown(h1: &Host) -> Result<()> {
    for line in [
        "node inspect nope",
        "node ps nope",
        "node update --availability drain nope",
        "node promote nope",
        "node demote nope",
        "node rm nope",
        "service inspect nope",
        "service ps nope",
        "service scale nope=2",
        "service update --force nope",
        "service rollback nope",
        "service rm nope",
        "service logs nope",
    ] {
        let output = h1.run(&kit::argv("swarmlet", line))?;
        let told = output.stderr.to_lowercase();
        ensure!(
            !output.ok() && (told.contains("nope not found") || told.contains("no such")),
            "`{line}` does not say what was not found:\n{output}"
        );
        // Docker prints an empty list beside the error.
        ensure!(
            ["", "[]"].contains(&output.stdout.trim()),
            "`{line}` found something:\n{output}"
        );
    }
    Ok(())
}

fn bad_specs(h1: &Host) -> Result<()> {
    let create = |rest: &str| format!("service create -d {rest}");
    for (rest, wanted) in [
        ("--name web whoami", "service web already exists"),
        ("--name we.b whoami", "must be valid as a DNS name"),
        (
            "--constraint node.role=manager whoami",
            "expected one operator",
        ),
        ("--reserve-memory 1k whoami", "Must be at least 4MiB"),
        ("--limit-cpu 0.0001 whoami", "Must be at least 0.001"),
        (
            "--mount type=tmpfs,target=/a --mount type=tmpfs,target=/a whoami",
            "duplicate mount point",
        ),
        ("-p 2377:80/udp whoami", "the nodes of the swarm talk on"),
        ("--mode sometimes whoami", "--mode"),
        (
            "--mode global --replicas 2 whoami",
            "replicas can only be used with replicated",
        ),
        ("--replicas many whoami", "--replicas"),
        ("--restart-delay soon whoami", "--restart-delay"),
        ("--secret key whoami", "secret not found: key"),
        ("", "IMAGE"),
    ] {
        refused(h1, &create(rest), wanted)?;
    }
    let long = format!("--name {} whoami", "x".repeat(64));
    refused(h1, &create(&long), "63 characters or fewer")?;
    let mut image = kit::argv("swarmlet", "service create -d");
    image.push("BAD IMAGE");
    refused_with(h1, &image, "is not a valid repository/tag")?;
    refused(
        h1,
        "service update -d --constraint-add nonsense web",
        "expected one operator",
    )?;
    refused(h1, "service rollback web", "does not have a previous spec")?;
    refused(h1, "node update --availability away h1", "--availability")
}

fn stale(h1: &Host) -> Result<()> {
    let service = kit::service(h1, "web")?;
    let (id, spec) = (&service["ID"], service["Spec"].to_string());
    let path = format!("/services/{}/update?version=1", id.as_str().unwrap_or("?"));
    let answer = h1.daemon().api("POST", &path, &spec)?;
    ensure!(
        answer.status == 500 && answer.body.contains("update out of sequence"),
        "{answer:?}"
    );
    let node = kit::get(h1, "/nodes/self").or_else(|_| kit::get(h1, "/nodes/h1"))?;
    let path = format!(
        "/nodes/{}/update?version=1",
        node["ID"].as_str().unwrap_or("?")
    );
    let answer = h1.daemon().api("POST", &path, &node["Spec"].to_string())?;
    ensure!(
        answer.status == 500 && answer.body.contains("update out of sequence"),
        "{answer:?}"
    );
    Ok(())
}

/// `inactive`, `active`, …
fn state_of(host: &Host) -> Result<String> {
    let info = kit::get(host, "/info")?;
    let state = info["Swarm"]["LocalNodeState"].as_str();
    Ok(state.unwrap_or_default().to_owned())
}

/// What the swarm has agreed on, but for versions and times.
fn contents(manager: &Host) -> Result<Value> {
    let kept = |path: &str| -> Result<Vec<Value>> {
        let all = kit::get(manager, path)?;
        let all = all.as_array().cloned().unwrap_or_default();
        let kept = all
            .iter()
            .map(|object| Value::from(vec![object["ID"].clone(), object["Spec"].clone()]));
        Ok(kept.collect())
    };
    let mut contents = kept("/services")?;
    contents.extend(kept("/nodes")?);
    contents.push(kit::get(manager, "/swarm")?["Spec"].clone());
    Ok(Value::from(contents))
}
