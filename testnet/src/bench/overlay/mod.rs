//! What the overlay costs, beside the raw link, Docker's own VXLAN overlay,
//! Debian's nebula and the least that a tunnel needs, between the same two hosts
//! and in alternating rounds.
//!
//! Streams, datagrams and round trips go between two containers (raw, nebula and
//! the least: between the hosts). All hosts share this machine's cores, so CPU
//! time is the whole machine's, and what else runs here is part of every
//! figure: its load is printed. The congestion control of TCP is pinned.

mod figure;
mod floor;
mod latency;
mod machine;
mod nebula;
mod spread;
mod streams;
mod transaction;
mod ways;
mod web;

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;
use swarmlet_testnet::{Testnet, ensure_programs};

use figure::{Figure, alternate, missed};
use spread::Spread;
use streams::{CONGESTION_CONTROL, Server};
use ways::{Kind, Way};
use web::Web;

/// What swarmlet's tunnel needs of a link for itself.
const HEADERS: u16 = 100;

const PROGRAMS: [(&str, &str); 5] = [
    ("iperf3", "iperf3"),
    ("nebula", "nebula"),
    ("nebula-cert", "nebula"),
    ("wrk", "wrk"),
    ("haproxy", "haproxy"),
];

#[derive(Debug, PartialEq, Eq, Args)]
pub struct Overlay {
    /// How often each is measured
    #[arg(long, default_value_t = 5, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,
    /// For how long each stream is sent
    #[arg(long, default_value_t = 3, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// The longest packets of the links, one run for each
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_values_t = [1500, 9000],
          value_parser = clap::value_parser!(u16).range(1380..=9000))]
    pub mtu: Vec<u16>,
    /// Only these ways
    #[arg(long, value_name = "WAY", value_enum, value_delimiter = ',',
          default_values_t = [Kind::Raw, Kind::Vxlan, Kind::Nebula, Kind::Floor, Kind::Swarmlet])]
    way: Vec<Kind>,
    /// Print all figures as a line of JSON too
    #[arg(long)]
    json: bool,
    /// Fail when a limit is missed
    #[arg(long)]
    check: bool,
}

/// With which the daemons use links with this MTU.
pub fn daemon_args(mtu: u16) -> Vec<String> {
    vec!["--mtu".into(), (mtu - HEADERS).to_string()]
}

/// The line of `--json`.
#[derive(Debug, Serialize)]
struct Report {
    bench: &'static str,
    mtu: u16,
    load_before: String,
    load_after: String,
    figures: Vec<Figure>,
    missed: Vec<String>,
}

impl Overlay {
    pub const HOSTS: usize = 3;

    /// Measures on the hosts of `net`, which form a swarm.
    pub fn run(&self, net: &Testnet, mtu: u16) -> Result<()> {
        ensure_programs(&PROGRAMS)?;
        let (h1, h2) = (net.host("h1")?, net.host("h2")?);
        let load_before = machine::load();
        println!(
            "MTU {mtu}, {} rounds of {} s, {CONGESTION_CONTROL}; load of the machine {load_before}",
            self.rounds, self.seconds
        );
        let ways = self.way.iter().map(|kind| kind.lay(&h1, &h2, mtu));
        let ways: Vec<Way> = ways.collect::<Result<_>>()?;
        let mut figures = self.lanes(&ways)?;
        if self.way.contains(&Kind::Swarmlet) {
            figures.extend(self.services(net)?);
        }
        let report = Report {
            bench: "overlay",
            mtu,
            load_before,
            load_after: machine::load(),
            missed: missed(&figures),
            figures,
        };
        println!("load of the machine afterwards {}", report.load_after);
        for missed in &report.missed {
            println!("missed: {missed}");
        }
        if self.json {
            println!("{}", serde_json::to_string(&report)?);
        }
        let missed = report.missed.join("; ");
        ensure!(!self.check || missed.is_empty(), "MTU {mtu}: {missed}");
        Ok(())
    }

    /// What a way carries.
    fn lanes(&self, ways: &[Way]) -> Result<Vec<Figure>> {
        let servers = ways.iter().map(|way| Server::iperf(&way.server));
        let _servers: Vec<Server> = servers.collect::<Result<_>>()?;
        for way in ways {
            streams::await_server(way)?;
        }
        let names: Vec<&str> = ways.iter().map(|way| way.name).collect();
        alternate(LANES, &names, self.rounds, |way| self.lane(&ways[way]))
    }

    fn lane(&self, way: &Way) -> Result<[f64; LANES.len()]> {
        let one = streams::tcp(way, 1, self.seconds)?;
        let eight = streams::tcp(way, 8, self.seconds)?;
        let datagrams = streams::udp(way, self.seconds)?;
        let round_trip = latency::measure(way)?;
        Ok([
            one.bits_per_second / 1e9,
            one.cpu_per_gigabyte,
            eight.bits_per_second / 1e9,
            eight.cpu_per_gigabyte,
            datagrams / 1e3,
            round_trip.p50,
            round_trip.p99,
        ])
    }

    /// What services cost on our way, and how soon all know of a change.
    fn services(&self, net: &Testnet) -> Result<Vec<Figure>> {
        let web = Web::lay(net)?;
        let mut figures = alternate(["requests, 1000/s"], &web::NAMES, self.rounds, |way| {
            Ok([web.measure(way, self.seconds)?])
        })?;
        drop(web);
        let host = net.host("h3")?.netns()?;
        let changes = [transaction::CHANGE];
        figures.extend(alternate(
            ["endpoint of 1000, ms"],
            &changes,
            self.rounds,
            |_| Ok([transaction::measure(&host)?]),
        )?);
        let spread = Spread::lay(net)?;
        let mut known = Figure::new("known by all, s", &spread::NAMES);
        for _ in 0..self.rounds {
            known.rounds.push(spread.measure()?.to_vec());
        }
        print!("\n{}", known.table());
        figures.push(known);
        Ok(figures)
    }
}

const LANES: [&str; 7] = [
    "1 TCP stream, Gb/s",
    "1 TCP stream, CPU s/GB",
    "8 TCP streams, Gb/s",
    "8 TCP streams, CPU s/GB",
    "UDP of 64 B, 1000/s",
    "64 B and back, p50 us",
    "64 B and back, p99 us",
];
