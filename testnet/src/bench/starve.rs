//! A device whose daemon hardly gets to run must take nobody down with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;
use swarmlet_testnet::Testnet;
use swarmlet_testnet::plan::MAX_HOSTS;

use super::detect::{Sighting, Sightings, Watch, false_deaths};

const EVERY: Duration = Duration::from_millis(50);
const KNOWN: Duration = Duration::from_secs(60);

#[derive(Debug, PartialEq, Eq, Args)]
pub struct Starve {
    /// How many hosts
    #[arg(long, default_value_t = MAX_HOSTS as u64, value_name = "N",
          value_parser = clap::value_parser!(u64).range(3..=MAX_HOSTS as u64))]
    pub hosts: u64,
    /// For how long, in seconds
    #[arg(long, default_value_t = 600, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Print all figures as a line of JSON too
    #[arg(long)]
    json: bool,
    /// Fail when any other device was held for dead
    #[arg(long)]
    check: bool,
}

/// The line of `--json`.
#[derive(Debug, Serialize)]
struct Report {
    bench: &'static str,
    hosts: usize,
    seconds: f64,
    /// How often anybody held another device than the starved one for dead.
    others_dead: usize,
    /// How often anybody held the starved one for dead.
    starved_dead: usize,
}

impl Starve {
    /// Measures on the hosts of `net`, which form a swarm.
    pub fn run(&self, net: &Testnet) -> Result<()> {
        let hosts = net.hosts();
        let (starved, last) = hosts.iter().enumerate().next_back().context("no hosts")?;
        let log = Arc::new(Sightings::new(Instant::now()));
        let watch = Watch::begin(&hosts, &log, EVERY);
        let everyone: Vec<usize> = (0..hosts.len()).collect();
        log.agreed("all to be alive", KNOWN, &everyone, &everyone, false)?;

        let start = Instant::now();
        let starving = last.daemon().starve()?;
        std::thread::sleep(Duration::from_secs(self.seconds));
        drop(starving);
        let seconds = start.elapsed().as_secs_f64();
        drop(watch);

        let deaths = false_deaths(&log.all(), &[]);
        let (own, others): (Vec<Sighting>, Vec<Sighting>) =
            deaths.iter().partition(|s| s.subject == starved);
        for sighting in &others {
            println!("false death: {sighting:?}");
        }
        let report = Report {
            bench: "starve",
            hosts: hosts.len(),
            seconds,
            others_dead: others.len(),
            starved_dead: own.len(),
        };
        println!(
            "{} starved for {seconds:.0} s among {} hosts: others were held for dead {} times, \
             it itself {} times",
            last.name(),
            report.hosts,
            report.others_dead,
            report.starved_dead
        );
        if self.json {
            println!("{}", serde_json::to_string(&report)?);
        }
        ensure!(
            !self.check || report.others_dead == 0,
            "others were held for dead"
        );
        Ok(())
    }
}
