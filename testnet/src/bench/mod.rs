//! `testnet bench`: swarmlet's figures beside Docker's, on the same engines and
//! in the same run, with every raw figure printed.
//!
//! A machine's speed is not ours to promise, so limits are ratios or amounts,
//! and missing one is an error only with `--check`. Nothing here waits for a
//! time except where the figure is about time.

mod create;
mod detect;
mod engines;
mod figures;
mod gossip;
mod idle;
mod overlay;
mod starve;
mod update;
mod usage;

use anyhow::Result;
use clap::Subcommand;
use swarmlet_testnet::plan::ETHERNET_MTU;
use swarmlet_testnet::{Artifacts, Options, Testnet, ensure_packages, target_dir};

use crate::interrupt::Guard;

pub use idle::Idle;

/// The testnet that benchmarks use when no name is given.
pub const DEFAULT_NAME: &str = "bench";

#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Bench {
    /// Time until many containers run: docker run, swarmlet, Docker's swarm mode
    Create(create::Create),
    /// Time of a forced update: swarmlet and Docker's swarm mode
    Update(update::Update),
    /// Disk writes, CPU and memory of a swarm that has nothing to do
    Idle(Idle),
    /// Time until a lost device is known to be lost and its tasks run elsewhere
    Detect(detect::Detect),
    /// Whom a starving device takes down with it
    Starve(starve::Starve),
    /// Throughput, round trips and load balancing between containers
    Overlay(overlay::Overlay),
    /// Gossip of thousands of members, simulated
    Gossip(gossip::Gossip),
}

/// Runs one benchmark on hosts of its own, which are gone afterwards, or on none.
pub fn run(name: &str, bench: &Bench) -> Result<()> {
    let hosts = match bench {
        Bench::Create(_) => create::HOSTS,
        Bench::Update(_) => update::HOSTS,
        Bench::Idle(_) => Idle::HOSTS,
        Bench::Detect(detect) => usize::try_from(detect.hosts)?,
        Bench::Starve(starve) => usize::try_from(starve.hosts)?,
        Bench::Overlay(_) => overlay::Overlay::HOSTS,
        Bench::Gossip(gossip) => return gossip.run(),
    };
    let mtus = match bench {
        Bench::Overlay(overlay) => overlay.mtu.clone(),
        _ => vec![ETHERNET_MTU],
    };
    ensure_packages(true)?;
    let artifacts = Artifacts::build()?;
    if let Some(swarmlet) = &artifacts.swarmlet {
        // Of which profile it is, is a part of every figure.
        println!("measured: {}", swarmlet.display());
    }
    let guard = Guard::of_testnet(name)?;
    for mtu in mtus {
        Testnet::down(name)?;
        let options = Options {
            logs: Some(target_dir().join("testnet/bench")),
            mtu,
            daemon_args: match bench {
                Bench::Overlay(_) => overlay::daemon_args(mtu),
                _ => Vec::new(),
            },
            ..Options::new(name, hosts)
        };
        let net = Testnet::up(&artifacts, &options).map_err(anyhow::Error::from);
        guard.finish(net.and_then(|net| match bench {
            Bench::Create(create) => create.run(&net),
            Bench::Update(update) => update.run(&net),
            Bench::Idle(idle) => idle.run(&net),
            Bench::Detect(detect) => detect.run(&net),
            Bench::Starve(starve) => starve.run(&net),
            Bench::Overlay(overlay) => overlay.run(&net, mtu),
            Bench::Gossip(gossip) => gossip.run(),
        }))?;
    }
    Ok(())
}
