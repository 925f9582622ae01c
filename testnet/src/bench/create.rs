//! How long until many containers run, asked for in three ways on the same
//! engines: that many `docker run -d` at once, one swarmlet service, and one
//! service of Docker's own swarm mode.
//!
//! Rounds are interleaved and change their order, so that a machine that slows
//! down slows all of them. An engine cannot serve two swarms: Docker's swarm
//! mode is measured in a second phase, beside `docker run` again. Each round
//! has two figures, in seconds from the request: when the asker is *told* that
//! all run (the last `docker run` returned; the API says so), and when the
//! engines *started* the last container.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;
use swarmlet_testnet::Testnet;

use super::engines::{Api, Engines};
use super::figures::{median, table};

pub const HOSTS: usize = 3;

/// How much longer than `docker run` swarmlet may take.
const LIMIT: f64 = 1.15;
const SERVICE: &str = "bench";
const PATIENCE: Duration = Duration::from_secs(300);
/// Above this, an engine forgets the first of a round's events.
const MOST: u64 = 150;

#[derive(Debug, PartialEq, Eq, Args)]
pub struct Create {
    /// How many containers
    #[arg(long, default_value_t = 60, value_name = "N",
          value_parser = clap::value_parser!(u64).range(3..=MOST))]
    replicas: u64,
    /// How often each is measured
    #[arg(long, default_value_t = 5, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,
    /// Leave Docker's swarm mode out
    #[arg(long)]
    no_swarm_mode: bool,
    /// Print all figures as a line of JSON too
    #[arg(long)]
    json: bool,
    /// Fail when swarmlet's median is above 1.15 of docker run's
    #[arg(long)]
    check: bool,
}

/// One way to ask for containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    DockerRun,
    Swarmlet,
    SwarmMode,
}

/// Seconds from the request.
#[derive(Debug, Clone, Copy, Serialize)]
struct Sample {
    told: f64,
    started: f64,
}

/// Rounds of `docker run` and of a rival, pairwise.
#[derive(Debug, Serialize)]
struct Phase {
    rival: &'static str,
    docker_run: Vec<Sample>,
    samples: Vec<Sample>,
    /// Medians of the rival's over those of `docker run`.
    ratio: Sample,
}

/// The line of `--json`.
#[derive(Debug, Serialize)]
struct Report {
    bench: &'static str,
    replicas: u64,
    limit: f64,
    phases: Vec<Phase>,
}

impl Create {
    /// Measures on the three hosts of `net`, which form a swarm.
    pub fn run(&self, net: &Testnet) -> Result<()> {
        let field = Field {
            engines: Engines::of(net.hosts())?,
            swarmlet: Api::swarmlet(&net.host("h1")?)?,
            replicas: usize::try_from(self.replicas)?,
        };
        println!(
            "{} containers of `{} {}` on {HOSTS} engines; seconds from the request",
            self.replicas,
            super::engines::IMAGE,
            super::engines::ARGS.join(" ")
        );
        println!("until the asker is told that all run, and until the last one started.");
        let mut phases = vec![self.phase(&field, Way::Swarmlet)?];
        if !self.no_swarm_mode {
            field.engines.change_to_swarm_mode()?;
            phases.push(self.phase(&field, Way::SwarmMode)?);
        }
        let ratio = phases[0].ratio.told;
        let report = Report {
            bench: "create",
            replicas: self.replicas,
            limit: LIMIT,
            phases,
        };
        if self.json {
            println!("{}", serde_json::to_string(&report)?);
        }
        ensure!(
            !self.check || ratio <= LIMIT,
            "swarmlet took {ratio:.3} of the time of docker run; the limit is {LIMIT}"
        );
        Ok(())
    }

    fn phase(&self, field: &Field, rival: Way) -> Result<Phase> {
        println!();
        for way in [Way::DockerRun, rival] {
            // The first containers of an engine's life pay for cold caches.
            field.measure(way)?;
            println!("{:17} {}", way.name(), field.engines.setup()?);
            field.clear(way)?;
        }
        let (mut docker_run, mut samples) = (Vec::new(), Vec::new());
        let (told, started) = ("told", "started");
        let mut rows = vec![
            cells(&["", Way::DockerRun.name(), "", rival.name(), ""]),
            cells(&["round", told, started, told, started]),
        ];
        for round in 1..=self.rounds {
            let mut order = [Way::DockerRun, rival];
            if round % 2 == 0 {
                order.reverse();
            }
            for way in order {
                let sample = field.measure(way)?;
                field.clear(way)?;
                match way {
                    Way::DockerRun => docker_run.push(sample),
                    _ => samples.push(sample),
                }
            }
            rows.push(row(
                &round.to_string(),
                &[docker_run.last(), samples.last()],
            ));
        }
        let phase = Phase::new(rival, docker_run, samples);
        rows.push(row(
            "median",
            &[
                Some(&middle(&phase.docker_run)),
                Some(&middle(&phase.samples)),
            ],
        ));
        rows.push(row("ratio", &[None, Some(&phase.ratio)]));
        print!("{}", table(&rows));
        Ok(phase)
    }
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::DockerRun => "docker run -d",
            Self::Swarmlet => "swarmlet",
            Self::SwarmMode => "docker swarm mode",
        }
    }
}

impl Phase {
    fn new(rival: Way, docker_run: Vec<Sample>, samples: Vec<Sample>) -> Self {
        let (base, own) = (middle(&docker_run), middle(&samples));
        Self {
            rival: rival.name(),
            docker_run,
            samples,
            ratio: Sample {
                told: own.told / base.told,
                started: own.started / base.started,
            },
        }
    }
}

fn middle(samples: &[Sample]) -> Sample {
    let of = |figure: fn(&Sample) -> f64| median(&samples.iter().map(figure).collect::<Vec<_>>());
    Sample {
        told: of(|s| s.told),
        started: of(|s| s.started),
    }
}

fn row(head: &str, samples: &[Option<&Sample>]) -> Vec<String> {
    let mut row = vec![head.to_owned()];
    for sample in samples {
        let figures = sample.map(|s| [s.told, s.started]);
        row.extend(figures.map_or([String::new(), String::new()], |f| {
            f.map(|f| format!("{f:.3}"))
        }));
    }
    row
}

fn cells(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Where it is measured.
#[derive(Debug)]
struct Field {
    engines: Engines,
    swarmlet: Api,
    replicas: usize,
}

impl Field {
    fn measure(&self, way: Way) -> Result<Sample> {
        self.engines.await_quiet()?;
        let (origin, told) = match way {
            Way::DockerRun => self.engines.run_detached(self.replicas)?,
            Way::Swarmlet | Way::SwarmMode => {
                let (origin, start) = (SystemTime::now(), Instant::now());
                let api = self.manager(way)?;
                api.create_service(SERVICE, self.replicas)?;
                api.await_running(self.replicas, PATIENCE)?;
                (origin, start.elapsed())
            }
        };
        let started = self.engines.last_start(origin, self.replicas);
        Ok(Sample {
            told: told.as_secs_f64(),
            started: started.with_context(|| way.name())?.as_secs_f64(),
        })
    }

    fn clear(&self, way: Way) -> Result<()> {
        match way {
            Way::DockerRun => self.engines.clear(),
            Way::Swarmlet | Way::SwarmMode => {
                self.manager(way)?
                    .ask("DELETE", &format!("/services/{SERVICE}"), "")?;
                self.engines.await_empty()
            }
        }
    }

    fn manager(&self, way: Way) -> Result<&Api> {
        match way {
            Way::SwarmMode => self.engines.first(),
            Way::DockerRun | Way::Swarmlet => Ok(&self.swarmlet),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(told: &[f64]) -> Vec<Sample> {
        let sample = |told: &f64| Sample {
            told: *told,
            started: told / 2.0,
        };
        told.iter().map(sample).collect()
    }

    #[test]
    fn the_ratio_is_of_medians() {
        let phase = Phase::new(
            Way::Swarmlet,
            samples(&[2.0, 9.0, 4.0]),
            samples(&[3.0, 1.0, 3.0]),
        );
        assert!((phase.ratio.told - 0.75).abs() < 1e-9, "{phase:?}");
        assert!((phase.ratio.started - 0.75).abs() < 1e-9, "{phase:?}");
    }

    #[test]
    fn a_row_keeps_the_columns_of_a_missing_sample() {
        let sample = Sample {
            told: 1.0,
            started: 0.5,
        };
        assert_eq!(
            row("x", &[None, Some(&sample)]),
            ["x", "", "", "1.000", "0.500"]
        );
    }
}
