//! What the trials come to, printed and as JSON.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::{Serialize, Serializer};

use super::super::figures::{percentile, table};
use super::sightings::{Injury, Sighting, false_deaths};
use super::traffic::Traffic;

/// Of one device, at the 99th percentile.
const DETECTED: f64 = 1.5;
const REPLACED: f64 = 3.0;

/// What a host loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Harm {
    Power,
    Cable,
}

/// One host, lost and returned. Times are seconds from the harm.
#[derive(Debug, Serialize)]
pub struct Trial {
    pub harm: Harm,
    /// The victim led the swarm.
    pub leads: bool,
    /// When the last of its tasks ran elsewhere, if it had any.
    #[serde(serialize_with = "in_seconds")]
    pub replaced: Option<Duration>,
    /// When each other device knew.
    #[serde(serialize_with = "all_in_seconds")]
    pub swarmlet: Vec<Duration>,
    #[serde(serialize_with = "all_in_seconds_if")]
    pub serf: Option<Vec<Duration>>,
    #[serde(skip)]
    pub injury: Injury,
}

/// The line of `--json`.
#[derive(Debug, Serialize)]
pub struct Report {
    bench: &'static str,
    /// Of the Debian package, where it took part.
    serf: Option<String>,
    trials: Vec<Trial>,
    swarmlet_false_deaths: usize,
    serf_false_deaths: usize,
    idle_seconds: u64,
    /// Bytes in those seconds, of each host.
    traffic: Vec<Traffic>,
    missed: Vec<String>,
}

impl Trial {
    /// In one line, as soon as it is over.
    pub fn line(&self) -> String {
        let span = |times: &[Duration]| {
            let first = times.iter().min().copied().unwrap_or_default();
            let last = times.iter().max().copied().unwrap_or_default();
            format!("{:6.3} to {:6.3}", first.as_secs_f64(), last.as_secs_f64())
        };
        let serf = self
            .serf
            .as_ref()
            .map(|times| format!("; serf {}", span(times)));
        let replaced = self
            .replaced
            .map_or("none".into(), |t| format!("{:6.3}", t.as_secs_f64()));
        format!(
            "h{} {}  swarmlet {}{}; replaced {replaced}{}",
            self.injury.victim + 1,
            match self.harm {
                Harm::Power => "power",
                Harm::Cable => "cable",
            },
            span(&self.swarmlet),
            serf.unwrap_or_default(),
            if self.leads { "  (led)" } else { "" }
        )
    }
}

impl Report {
    pub fn new(
        serf: Option<String>,
        traffic: Vec<Traffic>,
        idle_seconds: u64,
        trials: Vec<Trial>,
        swarmlet_seen: &[Sighting],
        serf_seen: Option<Vec<Sighting>>,
    ) -> Self {
        let injuries: Vec<Injury> = trials.iter().map(|trial| trial.injury).collect();
        let swarmlet_false = false_deaths(swarmlet_seen, &injuries);
        for sighting in &swarmlet_false {
            println!("false death: {sighting:?}");
        }
        let serf_seen = serf_seen.unwrap_or_default();
        let mut report = Self {
            bench: "detect",
            serf,
            swarmlet_false_deaths: swarmlet_false.len(),
            serf_false_deaths: false_deaths(&serf_seen, &injuries).len(),
            trials,
            idle_seconds,
            traffic,
            missed: Vec::new(),
        };
        report.missed = report.missed();
        report
    }

    pub fn print(&self, json: bool, check: bool) -> Result<()> {
        println!();
        print!("{}", table(&self.times()));
        println!(
            "live devices held for dead: {} by swarmlet, {} by serf {}",
            self.swarmlet_false_deaths,
            self.serf_false_deaths,
            self.serf.as_deref().unwrap_or("(left out)")
        );
        println!();
        print!("{}", table(&self.bytes()));
        println!(
            "limits: known within {DETECTED} s at p99, replaced within {REPLACED} s, nobody held for dead"
        );
        for missed in &self.missed {
            println!("missed: {missed}");
        }
        if json {
            println!("{}", serde_json::to_string(self)?);
        }
        let missed = self.missed.join("; ");
        ensure!(!check || missed.is_empty(), "{missed}");
        Ok(())
    }

    /// Of every device in every trial.
    fn swarmlet_times(&self) -> Vec<f64> {
        let all = self.trials.iter().flat_map(|trial| &trial.swarmlet);
        all.map(Duration::as_secs_f64).collect()
    }

    fn replaced_times(&self) -> Vec<f64> {
        let all = self.trials.iter().filter_map(|trial| trial.replaced);
        all.map(|time| time.as_secs_f64()).collect()
    }

    fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        let known = percentile(&self.swarmlet_times(), 99);
        if known > DETECTED {
            missed.push(format!("a loss was known after {known:.3} s at p99"));
        }
        let replaced = percentile(&self.replaced_times(), 100);
        if replaced > REPLACED {
            missed.push(format!("a replacement ran after {replaced:.3} s"));
        }
        if self.swarmlet_false_deaths > 0 {
            let count = self.swarmlet_false_deaths;
            missed.push(format!("{count} times a live device was held for dead"));
        }
        missed
    }

    fn times(&self) -> Vec<Vec<String>> {
        let last = |times: &Vec<Duration>| times.iter().max().map(Duration::as_secs_f64);
        let serf: Vec<&Vec<Duration>> =
            self.trials.iter().filter_map(|t| t.serf.as_ref()).collect();
        let of_devices = serf.iter().flat_map(|times| times.iter());
        let columns = [
            ("swarmlet: each device knows", self.swarmlet_times()),
            (
                "swarmlet: the last one knows",
                self.trials
                    .iter()
                    .filter_map(|t| last(&t.swarmlet))
                    .collect(),
            ),
            ("swarmlet: replacements run", self.replaced_times()),
            (
                "serf: each device knows",
                of_devices.map(Duration::as_secs_f64).collect(),
            ),
            (
                "serf: the last one knows",
                serf.iter().filter_map(|times| last(times)).collect(),
            ),
        ];
        let head = ["seconds", "n", "p50", "p99", "max"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for (name, times) in columns.iter().filter(|(_, times)| !times.is_empty()) {
            let mut row = vec![(*name).to_owned(), times.len().to_string()];
            row.extend([50, 99, 100].map(|p| format!("{:.3}", percentile(times, p))));
            rows.push(row);
        }
        rows
    }

    fn bytes(&self) -> Vec<Vec<String>> {
        let head = [
            "bytes/s",
            "swarmlet in",
            "out",
            "mDNS in",
            "out",
            "serf in",
            "out",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for (index, t) in self.traffic.iter().enumerate() {
            let figures = [
                t.swarmlet_in,
                t.swarmlet_out,
                t.mdns_in,
                t.mdns_out,
                t.serf_in,
                t.serf_out,
            ];
            let mut row = vec![format!("h{}", index + 1)];
            row.extend(figures.map(|bytes| (bytes / self.idle_seconds.max(1)).to_string()));
            rows.push(row);
        }
        rows
    }
}

fn in_seconds<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(to)
}

fn all_in_seconds<S: Serializer>(times: &[Duration], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(times.iter().map(Duration::as_secs_f64))
}

fn all_in_seconds_if<S: Serializer>(
    times: &Option<Vec<Duration>>,
    to: S,
) -> Result<S::Ok, S::Error> {
    let seconds = times
        .as_ref()
        .map(|times| times.iter().map(Duration::as_secs_f64));
    seconds.map(Iterator::collect::<Vec<_>>).serialize(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(known: u64, replaced: u64, seen: &[Sighting]) -> Report {
        let trial = Trial {
            harm: Harm::Power,
            leads: false,
            replaced: Some(Duration::from_millis(replaced)),
            swarmlet: vec![Duration::from_millis(known)],
            serf: None,
            injury: Injury {
                victim: 0,
                hurt: Duration::ZERO,
                healed: Duration::from_secs(5),
                settled: Duration::from_secs(6),
            },
        };
        Report::new(None, vec![Traffic::default()], 60, vec![trial], seen, None)
    }

    #[test]
    fn each_limit_can_be_missed() {
        let dead = Sighting {
            observer: 1,
            subject: 2,
            dead: true,
            at: Duration::from_secs(1),
        };
        assert!(report(900, 2000, &[]).missed.is_empty());
        for bad in [
            report(1600, 2000, &[]),
            report(900, 3100, &[]),
            report(900, 2000, &[dead]),
        ] {
            assert_eq!(bad.missed.len(), 1, "{:?}", bad.missed);
            assert!(bad.print(false, true).is_err());
        }
    }

    #[test]
    fn raw_figures_are_seconds() {
        let line = serde_json::to_value(report(900, 2000, &[])).unwrap();
        assert_eq!(line["trials"][0]["swarmlet"][0], 0.9);
        assert_eq!(line["trials"][0]["replaced"], 2.0);
    }
}
