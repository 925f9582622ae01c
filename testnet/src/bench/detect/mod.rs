//! How long until a lost device is known to be lost, and its tasks run
//! elsewhere; beside Debian's serf with its defaults, on the same hosts and in
//! the same trials.
//!
//! Hosts lose their power or their cable in turn. A device *knows* when its own
//! list of members says so, which is looked at every 10 ms; times count from
//! before the harness does the harm, so they are at most some 30 ms too long.
//! That a replacement runs is read from the engines' events. Whoever holds a
//! device for dead that is not, at any moment of the run, is counted.

mod members;
mod report;
mod serf;
mod sightings;
mod traffic;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use clap::Args;
use swarmlet_testnet::plan::{MANAGERS, MAX_HOSTS};
use swarmlet_testnet::{Host, Testnet};

use super::engines::{Api, Engines};
use crate::scenarios::kit;
use report::{Harm, Report, Trial};
use serf::Serf;
use sightings::{Injury, Log};
use traffic::Traffic;

pub use members::Watch;
pub use sightings::{Log as Sightings, Sighting, false_deaths};

/// How exactly the moment is known at which a device knows.
const RESOLUTION: Duration = Duration::from_millis(10);
const SERVICE: &str = "bench";
const TASKS_PER_HOST: usize = 2;
/// For serf, which takes longest.
const DETECTED: Duration = Duration::from_secs(60);
const SETTLED: Duration = Duration::from_secs(90);

#[derive(Debug, PartialEq, Eq, Args)]
pub struct Detect {
    /// How many hosts
    #[arg(long, default_value_t = MAX_HOSTS as u64, value_name = "N",
          value_parser = clap::value_parser!(u64).range(3..=MAX_HOSTS as u64))]
    pub hosts: u64,
    /// How often one is lost
    #[arg(long, default_value_t = 30, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=1000))]
    trials: u64,
    /// For how long bytes are counted before, in seconds
    #[arg(long, default_value_t = 60, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    idle: u64,
    /// Leave serf out
    #[arg(long)]
    no_serf: bool,
    /// Print all figures as a line of JSON too
    #[arg(long)]
    json: bool,
    /// Fail when a limit is missed
    #[arg(long)]
    check: bool,
}

/// Where it is measured.
struct Field {
    hosts: Vec<Host>,
    start: Instant,
    swarmlet: Arc<Log>,
    serf: Option<(Serf, Arc<Log>)>,
}

impl Detect {
    /// Measures on the hosts of `net`, which form a swarm.
    pub fn run(&self, net: &Testnet) -> Result<()> {
        let serf = if self.no_serf {
            None
        } else {
            Some(Serf::ensure_installed()?)
        };
        let field = Field::of(net, serf.is_some())?;
        let everyone: Vec<usize> = (0..field.hosts.len()).collect();
        let watch = Watch::begin(&field.hosts, &field.swarmlet, RESOLUTION);
        field.await_alive(&everyone)?;

        // Looking costs no bytes on the network.
        println!(
            "{} s without a request, then {} trials",
            self.idle, self.trials
        );
        let traffic = field.traffic(Duration::from_secs(self.idle))?;
        let mut trials = Vec::new();
        for number in 0..usize::try_from(self.trials)? {
            let victim = number % field.hosts.len();
            // Every host in turn, by both ways also where their number is even.
            let harm = if (number + number / field.hosts.len()).is_multiple_of(2) {
                Harm::Power
            } else {
                Harm::Cable
            };
            let trial = field.trial(victim, harm)?;
            println!("{:3}  {}", number + 1, trial.line());
            trials.push(trial);
        }
        drop(watch);
        let report = Report::new(
            serf,
            traffic,
            self.idle,
            trials,
            &field.swarmlet.all(),
            field.serf.as_ref().map(|(_, log)| log.all()),
        );
        report.print(self.json, self.check)
    }
}

impl Field {
    fn of(net: &Testnet, with_serf: bool) -> Result<Self> {
        let (hosts, start) = (net.hosts(), Instant::now());
        let first = hosts.first().context("no hosts")?;
        let serf = with_serf.then(|| {
            let log = Arc::new(Log::new(start));
            (Serf::new(&log), log)
        });
        if let Some((serf, _)) = &serf {
            for (observer, host) in hosts.iter().enumerate() {
                serf.start(observer, host, first)?;
            }
        }
        Ok(Self {
            swarmlet: Arc::new(Log::new(start)),
            serf,
            start,
            hosts,
        })
    }

    fn others(&self, victim: usize) -> Vec<usize> {
        (0..self.hosts.len()).filter(|n| *n != victim).collect()
    }

    fn logs(&self) -> impl Iterator<Item = (&'static str, &Log)> {
        let serf = self.serf.iter().map(|(_, log)| ("serf", &**log));
        std::iter::once(("swarmlet", &*self.swarmlet)).chain(serf)
    }

    /// Waits until everyone in `these` holds everyone in it for alive.
    fn await_alive(&self, these: &[usize]) -> Result<()> {
        for (name, log) in self.logs() {
            let what = format!("{name} to know that all are alive");
            log.agreed(&what, SETTLED, these, these, false)?;
        }
        Ok(())
    }

    fn traffic(&self, time: Duration) -> Result<Vec<Traffic>> {
        self.hosts.iter().try_for_each(traffic::count)?;
        std::thread::sleep(time);
        self.hosts.iter().map(traffic::read).collect()
    }

    fn trial(&self, victim: usize, harm: Harm) -> Result<Trial> {
        let host = &self.hosts[victim];
        let others = self.others(victim);
        let live: Vec<Host> = others.iter().map(|n| self.hosts[*n].clone()).collect();
        // One of the managers, which come first.
        let ask = live.first().context("only one host")?;
        let total = TASKS_PER_HOST * self.hosts.len();
        let lost = self.run_tasks(ask, total, host)?;
        let leads = kit::leader(ask)? == host.name();

        let (hurt, origin) = (self.start.elapsed(), SystemTime::now());
        match harm {
            Harm::Power => host.kill()?,
            Harm::Cable => host.cut()?,
        }
        for (name, log) in self.logs() {
            let what = format!("{name} to know that {} is lost", host.name());
            log.agreed(&what, DETECTED, &others, &[victim], true)?;
        }
        kit::soon("the replacements to run", || {
            let running = kit::running(ask, SERVICE)?;
            let elsewhere = running.iter().filter(|task| task.node != host.name());
            let elsewhere = elsewhere.count();
            anyhow::ensure!(elsewhere == total, "{elsewhere} of {total} run");
            Ok(())
        })?;
        let engines = Engines::of(live.clone())?;
        let replaced = match lost {
            0 => None,
            lost => Some(engines.last_start(origin, lost)?),
        };
        let healed = self.start.elapsed();
        self.restore(victim, harm, ask)?;
        let settled = self.start.elapsed();
        self.remove_tasks(ask)?;
        let injury = Injury {
            victim,
            hurt,
            healed,
            settled,
        };
        let detected = |log: &Log| sightings::detections(&log.all(), &injury);
        Ok(Trial {
            harm,
            leads,
            replaced,
            swarmlet: detected(&self.swarmlet),
            serf: self.serf.as_ref().map(|(_, log)| detected(log)),
            injury,
        })
    }

    /// Spreads tasks over the hosts; how many of them `host` has.
    fn run_tasks(&self, ask: &Host, total: usize, host: &Host) -> Result<usize> {
        let api = Api::swarmlet(ask)?;
        api.create_service(SERVICE, total)?;
        api.await_running(total, SETTLED)?;
        Engines::of(self.hosts.clone())?.await_quiet()?;
        let running = kit::running(ask, SERVICE)?;
        let own = running.iter().filter(|task| task.node == host.name());
        Ok(own.count())
    }

    fn remove_tasks(&self, ask: &Host) -> Result<()> {
        Api::swarmlet(ask)?.ask("DELETE", &format!("/services/{SERVICE}"), "")?;
        Engines::of(self.hosts.clone())?.await_empty()
    }

    fn restore(&self, victim: usize, harm: Harm, ask: &Host) -> Result<()> {
        let host = &self.hosts[victim];
        match harm {
            Harm::Power => host.boot()?,
            Harm::Cable => host.heal()?,
        }
        match (&self.serf, harm) {
            (Some((serf, _)), Harm::Power) => serf.start(victim, host, ask)?,
            (Some(_), Harm::Cable) => Serf::rejoin(host, ask)?,
            (None, _) => {}
        }
        let everyone: Vec<usize> = (0..self.hosts.len()).collect();
        self.await_alive(&everyone)?;
        kit::soon("every node to be ready", || {
            let nodes = kit::nodes(ask)?;
            let ready = nodes.iter().filter(|node| node.state == "ready").count();
            let reachable = nodes.iter().filter(|node| node.reachability == "reachable");
            let (reachable, managers) = (reachable.count(), MANAGERS.min(self.hosts.len()));
            anyhow::ensure!(
                ready == self.hosts.len() && reachable == managers,
                "{nodes:#?}"
            );
            Ok(())
        })
    }
}
