//! The ways from one host to another that are measured beside each other.
//!
//! All of them are there at the same time, so that rounds can alternate:
//! Docker's swarm mode keeps to a data port and a range of addresses of its own.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use swarmlet_testnet::{Host, Netns, wait_for};

use super::{floor, nebula};
use crate::scenarios::kit;

const SOON: Duration = Duration::from_secs(60);
/// Not the one of swarmlet's overlay, which is the default of both.
const VXLAN_PORT: &str = "4790";
const VXLAN_POOL: &str = "10.201.0.0/16";
/// Of VXLAN over IPv4.
const VXLAN_HEADERS: u16 = 50;

/// What carries the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// From host to host, without containers
    Raw,
    /// Docker's own overlay between containers, not encrypted
    Vxlan,
    /// Debian's nebula from host to host, encrypted
    Nebula,
    /// The cipher and the system calls of a tunnel alone, from host to host
    Floor,
    /// Ours between containers, encrypted
    Swarmlet,
}

/// From whom to whom.
#[derive(Debug, Clone)]
pub struct Way {
    pub name: &'static str,
    pub client: Netns,
    pub server: Netns,
    /// The server's, as the client asks for it.
    pub address: IpAddr,
    /// What threads of this program carry it look at: they end with the last copy.
    pub _alive: Option<Arc<()>>,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Vxlan => "vxlan",
            Self::Nebula => "nebula",
            Self::Floor => "floor",
            Self::Swarmlet => "swarmlet",
        }
    }

    /// Makes it, from `h1` to `h2`; `mtu` is that of the link.
    pub fn lay(self, h1: &Host, h2: &Host, mtu: u16) -> Result<Way> {
        match self {
            Self::Raw => raw(h1, h2),
            Self::Vxlan => vxlan(h1, h2, mtu),
            Self::Nebula => nebula::lay(h1, h2, mtu),
            Self::Floor => floor::lay(h1, h2, mtu),
            Self::Swarmlet => swarmlet(h1, h2),
        }
        .with_context(|| format!("lay {}", self.name()))
    }
}

fn raw(h1: &Host, h2: &Host) -> Result<Way> {
    Ok(Way {
        name: Kind::Raw.name(),
        client: h1.netns()?,
        server: h2.netns()?,
        address: h2.ip().into(),
        _alive: None,
    })
}

/// An attachable network of Docker's swarm mode, whose service load balancing
/// needs IPVS; a network does not.
fn vxlan(h1: &Host, h2: &Host, mtu: u16) -> Result<Way> {
    let mtu = mtu - VXLAN_HEADERS;
    let (first, second) = (h1.ip(), h2.ip());
    let init = format!(
        "swarm init --advertise-addr {first} --data-path-port {VXLAN_PORT} \
         --default-addr-pool {VXLAN_POOL}"
    );
    kit::docker(h1, &init)?;
    let token = kit::docker(h1, "swarm join-token -q worker")?;
    let join = format!(
        "swarm join --advertise-addr {second} --token {} {first}:2377",
        token.trim()
    );
    kit::docker(h2, &join)?;
    let create = format!(
        "network create --driver overlay --attachable \
         --opt com.docker.network.driver.mtu={mtu} vxlan"
    );
    kit::docker(h1, &create)?;
    let run = "run -d --name vxlan --network vxlan busybox sleep 100000";
    for host in [h1, h2] {
        // A worker hears of the network a little later.
        wait_for("a container on Docker's overlay", SOON, || {
            let _ = kit::docker(host, "rm -f vxlan");
            kit::docker(host, run)
        })?;
    }
    Ok(Way {
        name: Kind::Vxlan.name(),
        client: h1.container_netns("vxlan")?,
        server: h2.container_netns("vxlan")?,
        address: address(h2, "vxlan", "vxlan")?,
        _alive: None,
    })
}

/// Two services of one task each.
fn swarmlet(h1: &Host, h2: &Host) -> Result<Way> {
    kit::swarmlet(h1, "network create lane")?;
    let mut ends = Vec::new();
    for host in [h1, h2] {
        let name = host.name();
        let create = format!(
            "service create -d --name lane-{name} --network lane \
             --constraint node.hostname=={name} --stop-grace-period 1s busybox sleep 100000"
        );
        kit::swarmlet(h1, &create)?;
    }
    for host in [h1, h2] {
        let service = format!("lane-{}", host.name());
        let container = kit::soon(&format!("a container of {service}"), || {
            let all = kit::containers(host, &service)?;
            let running = all.into_iter().find(|container| container.runs);
            running.context("none runs")
        })?;
        ends.push(container.id);
    }
    Ok(Way {
        name: Kind::Swarmlet.name(),
        client: h1.container_netns(&ends[0])?,
        server: h2.container_netns(&ends[1])?,
        address: address(h2, &ends[1], "lane")?,
        _alive: None,
    })
}

/// Of a container, on a network.
fn address(host: &Host, container: &str, network: &str) -> Result<IpAddr> {
    let found = kit::get_engine(host, &format!("/containers/{container}/json"))?;
    let on = &found["NetworkSettings"]["Networks"][network]["IPAddress"];
    let text = on.as_str().with_context(|| format!("{network}: {on}"))?;
    text.parse().with_context(|| format!("address {text:?}"))
}
