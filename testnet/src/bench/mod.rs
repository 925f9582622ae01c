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
mod idle;
mod starve;
mod usage;

use anyhow::Result;
use clap::Subcommand;
use swarmlet_testnet::{Artifacts, Options, Testnet, ensure_packages, target_dir};

use crate::interrupt::Guard;

pub use idle::Idle;

/// The testnet that benchmarks use when no name is given.
pub const DEFAULT_NAME: &str = "bench";

#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Bench {
    /// Time until many containers run: docker run, swarmlet, Docker's swarm mode
    Create(create::Create),
    /// Disk writes, CPU and memory of a swarm that has nothing to do
    Idle(Idle),
    /// Time until a lost device is known to be lost and its tasks run elsewhere
    Detect(detect::Detect),
    /// Whom a starving device takes down with it
    Starve(starve::Starve),
}

/// Runs one benchmark on hosts of its own, which are gone afterwards.
pub fn run(name: &str, bench: &Bench) -> Result<()> {
    ensure_packages(true)?;
    let artifacts = Artifacts::build()?;
    let guard = Guard::of_testnet(name)?;
    Testnet::down(name)?;
    let up = |hosts| -> Result<Testnet> {
        let options = Options {
            logs: Some(target_dir().join("testnet/bench")),
            ..Options::new(name, hosts)
        };
        Ok(Testnet::up(&artifacts, &options)?)
    };
    guard.finish(match bench {
        Bench::Create(create) => up(create::HOSTS).and_then(|net| create.run(&net)),
        Bench::Idle(idle) => up(Idle::HOSTS).and_then(|net| idle.run(&net)),
        Bench::Detect(detect) => {
            up(usize::try_from(detect.hosts)?).and_then(|net| detect.run(&net))
        }
        Bench::Starve(starve) => {
            up(usize::try_from(starve.hosts)?).and_then(|net| starve.run(&net))
        }
    })
}
