//! How long `docker service update --force` takes with its defaults, against
//! swarmlet and against Docker's own swarm mode, on the same engines.
//!
//! The same program asks both: Docker's own, which waits until the service is
//! as it should be. One task after the other is replaced, so that what the two
//! do between two tasks adds up. An engine cannot serve two swarms: swarmlet is
//! measured first, and Docker after it. Each round has two figures, in seconds
//! from the request: when the program *told* that all is done, and when the
//! engines *started* the last container. The first has in it for both the 5 s
//! for which the last task is watched.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;
use serde_json::json;
use swarmlet_testnet::Testnet;

use super::engines::{self, Api, ENGINE_SOCKET, Engines, SWARMLET_SOCKET};
use super::figures::{median, table};

pub const HOSTS: usize = 3;

const SERVICE: &str = "bench";
const PATIENCE: Duration = Duration::from_secs(120);
/// How much longer than Docker swarmlet may take: what one round differs from
/// the next.
const LIMIT: f64 = 1.05;

#[derive(Debug, PartialEq, Eq, Args)]
pub struct Update {
    /// How many containers the service has
    #[arg(long, value_delimiter = ',', default_values_t = [3, 10], value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=50))]
    replicas: Vec<u64>,
    /// How often each is measured
    #[arg(long, default_value_t = 5, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,
    /// Print all figures as a line of JSON too
    #[arg(long)]
    json: bool,
    /// Fail when one of swarmlet's medians is above Docker's by more than 5 %
    #[arg(long)]
    check: bool,
}

/// Whose swarm it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Whose {
    Swarmlet,
    SwarmMode,
}

/// A service without networks, or with a port that all devices publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Kind {
    Plain,
    Published,
}

/// Seconds from the request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Sample {
    told: f64,
    started: f64,
}

/// The rounds of one service.
#[derive(Debug, Serialize)]
struct Series {
    whose: Whose,
    kind: Kind,
    replicas: u64,
    samples: Vec<Sample>,
    median: Sample,
}

/// The line of `--json`.
#[derive(Debug, Serialize)]
struct Report {
    bench: &'static str,
    limit: f64,
    series: Vec<Series>,
}

impl Update {
    /// Measures on the three hosts of `net`, which form a swarm.
    pub fn run(&self, net: &Testnet) -> Result<()> {
        let engines = Engines::of(net.hosts())?;
        println!("{HOSTS} engines; seconds from `docker service update --force` until its end,");
        println!("and until the last container started.");
        let mut series = self.measure(&engines, Whose::Swarmlet)?;
        engines.change_to_swarm_mode()?;
        series.extend(self.measure(&engines, Whose::SwarmMode)?);
        println!();
        print!("{}", table(&rows(&series)));
        let slower = slower(&series);
        if self.json {
            let report = Report {
                bench: "update",
                limit: LIMIT,
                series,
            };
            println!("{}", serde_json::to_string(&report)?);
        }
        ensure!(
            !self.check || slower.is_empty(),
            "swarmlet is slower than Docker: {}",
            slower.join(", ")
        );
        Ok(())
    }

    fn measure(&self, engines: &Engines, whose: Whose) -> Result<Vec<Series>> {
        let host = engines.hosts().first().context("no hosts")?;
        let api = match whose {
            Whose::Swarmlet => Api::swarmlet(host)?,
            Whose::SwarmMode => Api::engine(host)?,
        };
        let mut all = Vec::new();
        for kind in [Kind::Plain, Kind::Published] {
            for replicas in &self.replicas {
                let count = usize::try_from(*replicas)?;
                api.create(&kind.spec(count))?;
                api.await_running(count, PATIENCE)?;
                let mut samples = Vec::new();
                for round in 1..=self.rounds {
                    let sample = sample(engines, whose, count)?;
                    let (told, started) = (sample.told, sample.started);
                    println!(
                        "{}, {replicas} {}, round {round}: {told:.3}, {started:.3}",
                        whose.name(),
                        kind.name()
                    );
                    samples.push(sample);
                }
                all.push(Series::new(whose, kind, *replicas, samples));
                api.ask("DELETE", &format!("/services/{SERVICE}"), "")?;
                engines.await_empty()?;
            }
        }
        Ok(all)
    }
}

fn sample(engines: &Engines, whose: Whose, count: usize) -> Result<Sample> {
    engines.await_quiet()?;
    let host = engines.hosts().first().context("no hosts")?;
    let socket = format!("unix://{}", whose.socket());
    let (origin, start) = (SystemTime::now(), Instant::now());
    host.ok(&[
        "docker", "-H", &socket, "service", "update", "--force", "--quiet", SERVICE,
    ])?;
    let told = start.elapsed();
    let started = engines.last_start(origin, count)?;
    Ok(Sample {
        told: told.as_secs_f64(),
        started: started.as_secs_f64(),
    })
}

impl Whose {
    fn name(self) -> &'static str {
        match self {
            Self::Swarmlet => "swarmlet",
            Self::SwarmMode => "docker swarm mode",
        }
    }

    fn socket(self) -> &'static str {
        match self {
            Self::Swarmlet => SWARMLET_SOCKET,
            Self::SwarmMode => ENGINE_SOCKET,
        }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Published => "published",
        }
    }

    fn spec(self, replicas: usize) -> serde_json::Value {
        let mut spec = engines::spec(SERVICE, replicas);
        // Or each stop would wait for sleep, which ignores SIGTERM.
        spec["TaskTemplate"]["ContainerSpec"]["StopSignal"] = json!("SIGKILL");
        if self == Self::Published {
            let port = json!({"TargetPort": 80, "PublishedPort": 8080});
            spec["EndpointSpec"] = json!({"Mode": "vip", "Ports": [port]});
        }
        spec
    }
}

impl Series {
    fn new(whose: Whose, kind: Kind, replicas: u64, samples: Vec<Sample>) -> Self {
        let of =
            |figure: fn(&Sample) -> f64| median(&samples.iter().map(figure).collect::<Vec<_>>());
        let median = Sample {
            told: of(|it| it.told),
            started: of(|it| it.started),
        };
        Self {
            whose,
            kind,
            replicas,
            samples,
            median,
        }
    }

    fn service(&self) -> String {
        format!("{} {}", self.replicas, self.kind.name())
    }
}

/// Each of swarmlet's series with Docker's of the same service.
fn pairs(series: &[Series]) -> impl Iterator<Item = (&Series, &Series)> {
    let ours = series.iter().filter(|it| it.whose == Whose::Swarmlet);
    ours.filter_map(|our| {
        let mut docker = series.iter().filter(|it| it.whose == Whose::SwarmMode);
        let same = docker.find(|it| it.service() == our.service())?;
        Some((our, same))
    })
}

fn rows(series: &[Series]) -> Vec<Vec<String>> {
    let head = ["median", "swarmlet", "", "docker swarm mode", "", "ratio"];
    let below = ["", "told", "started", "told", "started", "told"];
    let mut rows: Vec<Vec<String>> = [head, below]
        .map(|words| words.map(str::to_owned).to_vec())
        .to_vec();
    for (our, docker) in pairs(series) {
        let figures = [
            our.median.told,
            our.median.started,
            docker.median.told,
            docker.median.started,
            our.median.told / docker.median.told,
        ];
        let mut row = vec![our.service()];
        row.extend(figures.map(|figure| format!("{figure:.3}")));
        rows.push(row);
    }
    rows
}

fn slower(series: &[Series]) -> Vec<String> {
    pairs(series)
        .filter(|(our, docker)| our.median.told > docker.median.told * LIMIT)
        .map(|(our, _)| our.service())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(whose: Whose, replicas: u64, told: &[f64]) -> Series {
        let sample = |told: &f64| Sample {
            told: *told,
            started: 1.0,
        };
        let samples = told.iter().map(sample).collect();
        Series::new(whose, Kind::Plain, replicas, samples)
    }

    #[test]
    fn medians_of_the_same_service_are_compared() {
        let all = [
            series(Whose::Swarmlet, 3, &[9.0, 2.0, 1.0]),
            series(Whose::Swarmlet, 10, &[5.0]),
            series(Whose::SwarmMode, 3, &[2.0, 2.0, 2.0]),
            series(Whose::SwarmMode, 10, &[4.0]),
        ];
        assert_eq!(slower(&all), ["10 plain"]);
        let rows = rows(&all);
        assert_eq!(rows[2][0], "3 plain");
        assert_eq!(rows[2][5], "1.000");
        assert_eq!(rows[3][5], "1.250");
    }
}
