//! Published ports, asked for on any device.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use swarmlet_testnet::Host;

use crate::runner::Context;
use crate::scenarios::kit::{
    self, Inside, Swarm, argv, ask_udp, claim, docker, get_at, refused, soon, swarmlet,
};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The task is on h3 alone.
pub fn a_published_port_answers_on_every_device_with_the_clients_address(
    context: &Context,
) -> Result<()> {
    let swarm = Swarm::of(context, 3)?;
    let ask = swarm.host(1);
    let line = "service create -d --name web --constraint node.hostname==h3 \
                -p 8080:80 -p 8080:80/udp whoami";
    swarmlet(ask, line)?;
    swarm.settled(ask, "web", 1)?;

    claim("every device answers every other, TCP and UDP", || {
        for client in swarm.hosts() {
            for entry in swarm.hosts() {
                seen_as_itself(client, entry.ip().into(), 8080)?;
            }
        }
        Ok(())
    })?;
    claim("and on its localhost", || {
        for host in swarm.hosts() {
            seen_as_itself(host, LOCALHOST, 8080)?;
        }
        Ok(())
    })?;
    claim("a container may ask any device, too", || {
        docker(ask, "run -d --rm --name asker busybox sleep 100000")?;
        let asker = Inside::of(ask, "asker").netns()?;
        for entry in swarm.hosts() {
            get_at(&asker, SocketAddr::new(entry.ip().into(), 8080))?;
        }
        docker(ask, "rm -f asker").map(drop)
    })?;
    claim("a port without a number gets a free one", || {
        swarmlet(
            ask,
            "service create -d --name any --constraint node.hostname==h3 -p 80 whoami",
        )?;
        swarm.settled(ask, "any", 1)?;
        let service = kit::service(ask, "any")?;
        let port = &service["Endpoint"]["Ports"][0]["PublishedPort"];
        let port = u16::try_from(port.as_u64().context("no port")?)?;
        ensure!((30000..=32767).contains(&port), "{port}");
        seen_as_itself(ask, swarm.host(2).ip().into(), port)
    })?;
    claim(
        "a port is published once, and again when it is free",
        || {
            let line =
                "service create -d --name other --constraint node.hostname==h3 -p 8080:80 whoami";
            refused(ask, line, "port '8080' is already in use by service 'web'")?;
            swarmlet(ask, "service rm web")?;
            for host in swarm.hosts() {
                soon("the port to be closed", || {
                    closed(ask, host.ip().into(), 8080)
                })?;
            }
            swarmlet(ask, line)?;
            seen_as_itself(ask, swarm.host(2).ip().into(), 8080)
        },
    )?;
    claim("an address to publish on is the only one", || {
        let line = "service create -d --name local -p 127.0.0.1:8091:80 whoami";
        swarmlet(ask, line)?;
        for host in swarm.hosts() {
            seen_as_itself(host, LOCALHOST, 8091)?;
            closed(ask, host.ip().into(), 8091)?;
        }
        Ok(())
    })?;
    claim("a port of one device is on that device alone", || {
        host_mode(&swarm, ask)
    })?;
    claim("a program keeps the port that it had before", || {
        program_of_a_device(&swarm, ask)
    })
}

/// On h2, as an SSH server would be.
fn program_of_a_device(swarm: &Swarm, ask: &Host) -> Result<()> {
    let h2 = swarm.host(2);
    let line = "run -d --rm --name program --hostname program --network host whoami --port 8095";
    docker(h2, line)?;
    let at_h2 = SocketAddr::new(h2.ip().into(), 8095);
    let program_answers = |wanted: bool| {
        let answer = get_at(&ask.netns()?, at_h2)?;
        ensure!((answer.server() == "program") == wanted, "{answer:?}");
        Ok(())
    };
    soon("the program to answer", || program_answers(true))?;
    let line = "service create -d --name late --constraint node.hostname==h3 -p 8095:80 whoami";
    swarmlet(ask, line)?;
    seen_as_itself(ask, ask.ip().into(), 8095)?;
    soon("the doctor to say so", || {
        let output = ask.run(&argv("swarmlet", "network doctor --format json"))?;
        let said = format!("h2: the published ports: {at_h2}/tcp is used by another program");
        ensure!(output.stdout.contains(&said), "{output}");
        Ok(())
    })?;
    program_answers(true)?;
    docker(h2, "rm -f program")?;
    soon("the service to have the port", || program_answers(false))
}

/// On a network of the swarm, and on none.
fn host_mode(swarm: &Swarm, ask: &Host) -> Result<()> {
    swarmlet(ask, "network create front")?;
    let (h1, h2) = (swarm.host(1), swarm.host(2));
    for (name, port, network) in [("plain", 8092, ""), ("linked", 8093, "--network front")] {
        let publish =
            |port: u16, more: &str| format!("-p published={port},target=80,mode=host{more}");
        let line = format!(
            "service create -d --name {name} {network} --constraint node.hostname==h2 {} {} whoami",
            publish(port, ""),
            publish(port + 10, ",host_ip=127.0.0.1"),
        );
        swarmlet(ask, &line)?;
        swarm.settled(ask, name, 1)?;
        let at = SocketAddr::new(h2.ip().into(), port);
        let answer = soon("h2 to answer", || get_at(&h1.netns()?, at))?;
        ensure!(
            answer.client()? == IpAddr::from(h1.ip()),
            "{name}: {answer:?}"
        );
        closed(h2, h1.ip().into(), port)?;
        soon("h2 to answer itself", || {
            get_at(&h2.netns()?, SocketAddr::new(LOCALHOST, port + 10))
        })?;
        closed(h1, h2.ip().into(), port + 10)?;
    }
    picked(swarm, ask)
}

/// A number that nobody named is picked on the device, and told.
fn picked(swarm: &Swarm, ask: &Host) -> Result<()> {
    let line = "service create -d --name picked --network front \
                --constraint node.hostname==h2 -p target=80,mode=host whoami";
    swarmlet(ask, line)?;
    swarm.settled(ask, "picked", 1)?;
    let port: u16 = soon("the port to be told", || {
        let line = "-H unix:///run/swarmlet/swarmlet.sock service ps --format {{.Ports}} picked";
        let shown = docker(ask, line)?;
        let port = shown.trim().strip_prefix("*:");
        let port = port.and_then(|it| it.strip_suffix("->80/tcp"));
        Ok(port.with_context(|| shown.clone())?.parse()?)
    })?;
    let at = SocketAddr::new(swarm.host(2).ip().into(), port);
    let answer = soon("h2 to answer", || get_at(&ask.netns()?, at))?;
    ensure!(answer.client()? == IpAddr::from(ask.ip()), "{answer:?}");
    Ok(())
}

/// Both ways in which the task on h3 may be asked show it the client's address.
///
/// h3 alone would take such packets for its own, come back: there, the task
/// sees the device that was asked.
fn seen_as_itself(client: &Host, entry: IpAddr, port: u16) -> Result<()> {
    let network = client.netns()?;
    let server = SocketAddr::new(entry, port);
    let what = format!("{server} to answer {}", client.name());
    let answer = soon(&what, || get_at(&network, server))?;
    let own = IpAddr::from(client.ip());
    let comes_back = client.name() == "h3" && ![own, LOCALHOST].contains(&entry);
    let wanted = if comes_back { entry } else { own };
    ensure!(answer.client()? == wanted, "{server} for {own}: {answer:?}");
    if port == 8080 && kit::service(client, "web").is_ok() {
        let answer = ask_udp(&network, server)?;
        ensure!(
            answer.client()? == wanted,
            "{server}/udp for {own}: {answer:?}"
        );
    }
    Ok(())
}

fn closed(client: &Host, entry: IpAddr, port: u16) -> Result<()> {
    let server = SocketAddr::new(entry, port);
    let answer = get_at(&client.netns()?, server);
    ensure!(
        answer.is_err(),
        "{server} answers {}: {answer:?}",
        client.name()
    );
    Ok(())
}
