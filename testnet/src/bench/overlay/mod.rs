//! What the overlay costs, beside the raw link, Docker's own VXLAN overlay and
//! Debian's nebula, between the same two hosts and in alternating rounds.
//!
//! Streams, datagrams and round trips go between two containers (raw and
//! nebula: between the hosts). Both hosts share this machine's cores, so CPU
//! time is the whole machine's, and what else runs here is part of every
//! figure: its load is printed. The congestion control of TCP is pinned.

mod latency;
mod machine;
mod nebula;
mod streams;
mod ways;

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;
use swarmlet_testnet::{Testnet, ensure_programs};

use super::figures::{median, table};
use streams::{CONGESTION_CONTROL, Server};
use ways::{Kind, Way};

/// Of VXLAN's throughput, at least.
const OF_VXLAN: f64 = 0.4;
/// Of nebula's throughput, at least.
const OF_NEBULA: f64 = 8.0;
/// Microseconds above VXLAN's round trip at the 99th percentile, at most.
const ABOVE_VXLAN: f64 = 100.0;

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
          value_parser = clap::value_parser!(u16).range(1280..=9000))]
    pub mtu: Vec<u16>,
    /// Only these ways
    #[arg(long, value_name = "WAY", value_enum, value_delimiter = ',',
          default_values_t = [Kind::Raw, Kind::Vxlan, Kind::Nebula, Kind::Swarmlet])]
    way: Vec<Kind>,
    /// Print all figures as a line of JSON too
    #[arg(long)]
    json: bool,
    /// Fail when a limit is missed
    #[arg(long)]
    check: bool,
}

/// One figure of every way, round by round.
#[derive(Debug, Clone, Serialize)]
struct Figure {
    what: &'static str,
    ways: Vec<&'static str>,
    /// A row per round, a column per way.
    rounds: Vec<Vec<f64>>,
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
        let figures = self.rounds_of(&ways)?;
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

    /// Every way once a round, in turn from the first and from the last.
    fn rounds_of(&self, ways: &[Way]) -> Result<Vec<Figure>> {
        let servers = ways.iter().map(|way| Server::iperf(&way.server));
        let _servers: Vec<Server> = servers.collect::<Result<_>>()?;
        for way in ways {
            streams::await_server(way)?;
        }
        let mut figures = NAMES.map(|what| Figure {
            what,
            ways: ways.iter().map(|way| way.name).collect(),
            rounds: Vec::new(),
        });
        for round in 0..self.rounds {
            let mut order: Vec<usize> = (0..ways.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            let mut row = vec![[0.0; NAMES.len()]; ways.len()];
            for index in order {
                row[index] = self.measure(&ways[index])?;
            }
            for (number, figure) in figures.iter_mut().enumerate() {
                figure
                    .rounds
                    .push(row.iter().map(|way| way[number]).collect());
            }
        }
        for figure in &figures {
            print!("\n{}", figure.table());
        }
        Ok(figures.to_vec())
    }

    fn measure(&self, way: &Way) -> Result<[f64; NAMES.len()]> {
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
}

const NAMES: [&str; 7] = [
    "1 TCP stream, Gb/s",
    "1 TCP stream, CPU s/GB",
    "8 TCP streams, Gb/s",
    "8 TCP streams, CPU s/GB",
    "UDP of 64 B, 1000/s",
    "64 B and back, p50 us",
    "64 B and back, p99 us",
];

impl Figure {
    fn table(&self) -> String {
        let mut head = vec![self.what.to_owned()];
        head.extend(self.ways.iter().map(|way| (*way).to_owned()));
        let mut rows = vec![head];
        let row = |name: String, values: &[f64]| {
            let mut row = vec![name];
            row.extend(values.iter().map(|value| format!("{value:.2}")));
            row
        };
        for (number, values) in self.rounds.iter().enumerate() {
            rows.push(row((number + 1).to_string(), values));
        }
        let medians: Vec<f64> = (0..self.ways.len()).map(|way| self.middle(way)).collect();
        rows.push(row("median".into(), &medians));
        table(&rows)
    }

    /// The median of the way in column `way`.
    fn middle(&self, way: usize) -> f64 {
        let column = self.rounds.iter().filter_map(|round| round.get(way));
        median(&column.copied().collect::<Vec<_>>())
    }

    fn of(&self, kind: Kind) -> Option<f64> {
        let way = self.ways.iter().position(|name| *name == kind.name())?;
        Some(self.middle(way))
    }
}

/// Where ours is beyond a limit; a way that was left out sets none.
fn missed(figures: &[Figure]) -> Vec<String> {
    let mut missed = Vec::new();
    for figure in figures {
        let Some(own) = figure.of(Kind::Swarmlet) else {
            continue;
        };
        let mut at_least = |factor: f64, kind: Kind| {
            if let Some(theirs) = figure.of(kind)
                && own < factor * theirs
            {
                let name = kind.name();
                missed.push(format!(
                    "{}: {own:.2} is less than {factor} of {name}'s {theirs:.2}",
                    figure.what
                ));
            }
        };
        if figure.what.ends_with("Gb/s") {
            at_least(OF_VXLAN, Kind::Vxlan);
            at_least(OF_NEBULA, Kind::Nebula);
        }
        if figure.what.ends_with("p99 us")
            && let Some(theirs) = figure.of(Kind::Vxlan)
            && own > theirs + ABOVE_VXLAN
        {
            missed.push(format!(
                "{}: {own:.1} is more than {ABOVE_VXLAN} above vxlan's {theirs:.1}",
                figure.what
            ));
        }
    }
    missed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(what: &'static str, values: [f64; 3]) -> Figure {
        Figure {
            what,
            ways: vec!["vxlan", "nebula", "swarmlet"],
            rounds: vec![values.to_vec(), values.to_vec()],
        }
    }

    #[test]
    fn throughput_is_held_to_a_share_of_each_rivals() {
        let keeps = figure(NAMES[0], [10.0, 0.5, 4.0]);
        assert_eq!(missed(&[keeps]), Vec::<String>::new());
        let both = missed(&[figure(NAMES[2], [10.0, 0.5, 3.9])]);
        assert_eq!(both.len(), 2, "{both:?}");
    }

    #[test]
    fn the_round_trip_is_held_to_vxlans_at_the_99th_percentile_only() {
        let middle = figure(NAMES[5], [10.0, 1.0, 500.0]);
        assert_eq!(missed(&[middle]), Vec::<String>::new());
        let tail = missed(&[figure(NAMES[6], [10.0, 1.0, 111.0])]);
        assert_eq!(tail.len(), 1, "{tail:?}");
    }

    #[test]
    fn a_table_has_every_round_and_the_median() {
        let text = figure("x", [1.0, 2.0, 3.0]).table();
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(
            text.ends_with("median   1.00    2.00      3.00\n"),
            "{text}"
        );
    }
}
