//! The swarm's certificate authority is replaced while requests are answered, and
//! while a device is off.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use swarmlet_testnet::Host;

use super::kit::{self, Load, Swarm, claim, docker, refused, soon, swarmlet};
use crate::runner::Context;

const CLIENTS: usize = 4;

/// h1 to h3 are managers, h4 and h5 workers.
pub fn the_ca_is_replaced_under_load(context: &Context) -> Result<()> {
    let swarm = Swarm::of(context, 5)?;
    let (ask, away, new) = (swarm.host(1), swarm.host(4), swarm.host(5));
    swarmlet(new, "leave")?;
    soon("h5 to be down", || {
        let node = kit::node(ask, "h5")?;
        ensure!(node.state == "down", "{node:?}");
        Ok(())
    })?;
    swarmlet(ask, "node rm h5")?;
    swarmlet(ask, "network create --attachable front")?;
    swarmlet(
        ask,
        "service create -d --name web --replicas 4 --network front --publish 8080:80 whoami",
    )?;
    swarm.settled(ask, "web", 4)?;
    let first = root(ask)?;
    let token = swarmlet(ask, "join-token -q worker")?;
    let entry = SocketAddr::new(swarm.host(2).ip().into(), 8080);
    let load = Load::on(&ask.netns()?, entry, CLIENTS);
    load.flows()?;
    let containers = swarm.containers("web")?;

    claim("the docker program replaces it and sees it through", || {
        let line = "-H unix:///run/swarmlet/swarmlet.sock swarm ca --rotate";
        let said = docker(ask, line)?;
        let second = root(ask)?;
        ensure!(second != first, "the root is the same");
        ensure!(said.contains(second.trim()), "{said}");
        all_have(ask, &second)
    })?;
    claim("no request failed, and nothing restarted", || {
        load.flows()?;
        load.stop()?.all_answered()?;
        let now = swarm.containers("web")?;
        ensure!(now == containers, "before: {containers:#?}\nnow: {now:#?}");
        Ok(())
    })?;
    claim("the old token is refused, and the new one is good", || {
        let join = format!("join --token {} {}:2377", token.trim(), ask.ip());
        refused(new, &join, "is the token of this swarm?")?;
        let token = swarmlet(ask, "join-token -q worker")?;
        let join = format!("join --token {} {}:2377", token.trim(), ask.ip());
        swarmlet(new, &join)?;
        soon("h5 to be ready", || {
            let node = kit::node(ask, "h5")?;
            ensure!(node.state == "ready", "{node:?}");
            Ok(())
        })
    })?;
    claim(
        "a device that is off is waited for, and completes it",
        || {
            let second = root(ask)?;
            let token = swarmlet(ask, "join-token -q worker")?;
            let leader = swarm.leader(ask)?;
            away.daemon().kill()?;
            swarmlet(ask, "ca --rotate --detach")?;
            soon("it to wait for h4 alone", || {
                let missing = missing(ask)?;
                ensure!(missing == ["h4"], "{missing:?}");
                Ok(())
            })?;
            // Another leader waits for the same.
            leader.daemon().kill()?;
            leader.daemon().start()?;
            soon("another leader", || {
                let missing = missing(ask)?;
                ensure!(missing == ["h4"], "{missing:?}");
                Ok(())
            })?;
            ensure!(swarmlet(ask, "join-token -q worker")? == token);
            ensure!(root(ask)? == second);
            away.daemon().start()?;
            soon("the end of it", || {
                let third = root(ask)?;
                ensure!(third != second, "the root is the same");
                all_have(ask, &third)
            })
        },
    )
}

fn root(ask: &Host) -> Result<String> {
    let swarm = kit::get(ask, "/swarm")?;
    text(&swarm["TLSInfo"]["TrustRoot"])
}

fn text(value: &Value) -> Result<String> {
    let text = value.as_str().map(ToOwned::to_owned);
    text.with_context(|| format!("no text: {value}"))
}

fn all_have(ask: &Host, root: &str) -> Result<()> {
    let nodes = kit::get(ask, "/nodes")?;
    for node in nodes.as_array().context("no list")? {
        let has = text(&node["Description"]["TLSInfo"]["TrustRoot"])?;
        ensure!(has == root, "{node:#}");
    }
    Ok(())
}

/// The nodes without a certificate of the CA that is to be.
fn missing(ask: &Host) -> Result<Vec<String>> {
    let key = "CertIssuerPublicKey";
    let swarm = kit::get(ask, "/swarm")?;
    ensure!(
        swarm["RootRotationInProgress"] == true,
        "it is over: {swarm:#}"
    );
    let nodes = kit::get(ask, "/nodes")?;
    let nodes = nodes.as_array().context("no list")?.iter();
    let missing = nodes.filter(|it| it["Description"]["TLSInfo"][key] != swarm["TLSInfo"][key]);
    missing
        .map(|node| text(&node["Description"]["Hostname"]))
        .collect()
}
