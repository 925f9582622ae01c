//! What one endpoint's change costs a node in a large swarm: 200 services of 5
//! tasks on 20 networks.
//!
//! No containers and no peers are needed for that: the overlay's own table is
//! made of a made-up view, and the kernel of a host told it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use overlay::directory::{Attachment, Directory, Network, Service};
use overlay::host::Host;
use overlay::names::Names;
use overlay::table::Table;
use overlay::view::{Endpoint, View};
use swarmlet_testnet::Netns;

use crate::bench::figures::median;

const NETWORKS: u8 = 20;
const SERVICES: u8 = 200;
const TASKS: u8 = 5;
const TURNS: usize = 20;
/// Bytes of text for nftables that one change stays below.
const SMALL: usize = 500;
/// What is measured: from the view to the kernel.
pub const CHANGE: &str = "change";
/// Names that nothing else on the host has.
const RUN_DIR: &str = "/run/bench";

/// Milliseconds of a change, the median of some.
pub fn measure(host: &Netns) -> Result<f64> {
    let done = host.enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(runtime.block_on(changes()))
    });
    done.context("enter the host")?
}

async fn changes() -> Result<f64> {
    let mut host = Host::open(Names::of(Path::new(RUN_DIR)))?;
    let times = in_turn(&mut host).await;
    host.clean_up().await?;
    Ok(median(&times?))
}

async fn in_turn(host: &mut Host) -> Result<Vec<f64>> {
    let mut view = large()?;
    host.apply(&Table::derive(&view)).await?;
    let mut times = Vec::new();
    for turn in 0..TURNS {
        let mut endpoint = view.endpoints.pop_first().context("no endpoint")?;
        endpoint.ready = turn % 2 == 1;
        view.endpoints.insert(endpoint);
        let start = Instant::now();
        let applied = host.apply(&Table::derive(&view)).await?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        ensure!((1..SMALL).contains(&applied.rules), "{applied:?}");
    }
    Ok(times)
}

fn large() -> Result<View> {
    let mut directory = Directory::default();
    let mut endpoints = BTreeSet::new();
    for number in 0..NETWORKS {
        let subnet = format!("{}/24", address(number, 0)).parse()?;
        let network = Network {
            name: format!("net{number}"),
            subnets: vec![subnet],
            internal: false,
            ingress: false,
        };
        directory.networks.insert(number.into(), network);
    }
    for number in 0..SERVICES {
        let (network, slot) = (number % NETWORKS, number / NETWORKS);
        let attachment = Attachment {
            vips: vec![address(network, 2 + slot)],
            aliases: BTreeSet::new(),
        };
        let service = Service {
            name: format!("service{number}"),
            networks: BTreeMap::from([(network.into(), attachment)]),
            ..Service::default()
        };
        directory.services.insert(number.into(), service);
        for task in 0..TASKS {
            endpoints.insert(Endpoint {
                network: network.into(),
                service: number.into(),
                task: u128::from(number) * u128::from(TASKS) + u128::from(task),
                addr: address(network, 20 + slot * TASKS + task),
                node: u128::from(1 + (number + task) % 10).into(),
                ready: true,
                names: Vec::new(),
            });
        }
    }
    Ok(View {
        // None of them: all tasks are elsewhere.
        me: 0.into(),
        host: BTreeSet::new(),
        own_ports: BTreeSet::new(),
        directory: Arc::new(directory),
        endpoints,
        locals: BTreeMap::new(),
        peers: BTreeMap::new(),
    })
}

/// Outside what a swarm gives to its networks by default.
fn address(network: u8, number: u8) -> IpAddr {
    Ipv4Addr::new(172, 30, network, number).into()
}
