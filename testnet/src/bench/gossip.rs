//! Gossip swarms that no test bed has the hosts for, simulated.
//!
//! Each trial is a swarm of its own from the same seed: what it costs while nothing
//! happens, how soon a death is known, also with losses, with a fifth of the members
//! lost at once, and after a split. The members are the very machines that run on
//! devices; see `swarmlet_testnet::sim`.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use swarmlet_testnet::sim::{Options, Swarm};

use super::figures::{percentile, table};

const SECOND: u64 = 1_000_000;
/// Until a death is known to 99.9 % of the members.
const KNOWN_MS: f64 = 2_500.0;
/// Sent by a member while nothing happens, everything included.
const KBIT: f64 = 100.0;
const CONNECTIONS: usize = 64;
/// For how long anyone may believe someone dead who is not.
const WRONG_MS: f64 = 5_000.0;

#[derive(Debug, PartialEq, Eq, Args)]
pub struct Gossip {
    /// How many members, one swarm after the other
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000], value_name = "N",
          value_parser = clap::value_parser!(u32).range(3..=20_000))]
    members: Vec<u32>,
    /// Of everything random
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// How long nothing happens, in virtual seconds
    #[arg(long, default_value_t = 60, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Only trials whose name contains this
    #[arg(long, value_name = "TEXT")]
    trial: Option<String>,
    /// Fail when a limit is missed
    #[arg(long)]
    check: bool,
}

/// What a trial has shown; `None` where it is not about that.
#[derive(Debug, Default)]
struct Outcome {
    /// Until 99.9 % knew, of each death, in milliseconds.
    known: Vec<f64>,
    /// Mean and most of the members, in kbit/s.
    kbit: Option<(f64, f64)>,
    connections: usize,
    /// Beliefs that someone is dead who is not: how many there ever were, and how
    /// many milliseconds the longest lasted.
    wrong: (u64, f64),
    /// From the mending of a split until all agreed and nobody was wrong.
    agreed: Option<f64>,
    missed: Vec<String>,
    steps: u64,
    virtual_s: f64,
    real_s: f64,
}

type Trial = fn(&Gossip, &mut Swarm, &mut Outcome);

const TRIALS: [(&str, u64, Trial); 5] = [
    ("steady", 0, Gossip::steady),
    ("deaths", 0, Gossip::deaths),
    ("deaths, 5 % loss", 50, Gossip::deaths),
    ("20 % lost at once", 0, Gossip::fifth),
    ("split and heal", 0, Gossip::split),
];

impl Gossip {
    pub fn run(&self) -> Result<()> {
        let mut missed = Vec::new();
        println!("seed {}", self.seed);
        for members in &self.members {
            let mut rows = vec![heading(*members)];
            for (name, loss, trial) in TRIALS {
                if self
                    .trial
                    .as_ref()
                    .is_some_and(|text| !name.contains(text.as_str()))
                {
                    continue;
                }
                let outcome = self.try_out(*members, loss, trial);
                println!("{members} members, {name}: {}", outcome.raw());
                let named = |what: &String| format!("{members} members, {name}: {what}");
                missed.extend(outcome.missed.iter().map(named));
                rows.push(outcome.row(name));
            }
            print!("\n{}\n", table(&rows));
        }
        for what in &missed {
            println!("missed: {what}");
        }
        ensure!(missed.is_empty() || !self.check, "a limit was missed");
        Ok(())
    }

    fn try_out(&self, members: u32, loss: u64, trial: Trial) -> Outcome {
        let started = Instant::now();
        let options = Options {
            loss,
            ..Options::new(members as usize, self.seed)
        };
        let mut swarm = Swarm::formed(options);
        // Leases are given, connections are up.
        swarm.run(Duration::from_secs(4));
        swarm.traffic.reset();
        let mut outcome = Outcome::default();
        trial(self, &mut swarm, &mut outcome);
        let beliefs = &swarm.beliefs;
        let oldest = beliefs.oldest_wrong().map_or(0, |since| swarm.now - since);
        let longest = beliefs.wrong_longest.max(oldest);
        outcome.wrong = (beliefs.wrong_ever, longest as f64 / 1_000.0);
        outcome.connections = (0..members)
            .map(|m| swarm.traffic.most_open(m))
            .max()
            .unwrap_or(0);
        outcome.steps = swarm.steps;
        outcome.virtual_s = swarm.now as f64 / SECOND as f64;
        outcome.real_s = started.elapsed().as_secs_f64();
        outcome.judge();
        outcome
    }

    /// Nobody comes or goes; every member's load changes as often as it may be told.
    fn steady(&self, swarm: &mut Swarm, outcome: &mut Outcome) {
        let members = swarm.options.members as u64;
        let pause = (10 * SECOND).max(members * 500_000);
        let (start, mut due) = (swarm.now, swarm.now);
        let end = start + self.seconds * SECOND;
        while due < end {
            let member = swarm.below(members) as u32;
            let tasks = swarm.below(1_000_000) as u32;
            swarm.load(member, tasks);
            due += pause / members;
            swarm.run_to(due.min(end));
        }
        let seconds = (swarm.now - start) as f64 / SECOND as f64;
        let kbit = |member| swarm.traffic.of(member).bytes as f64 * 8.0 / 1_000.0 / seconds;
        let each: Vec<f64> = (0..members as u32).map(kbit).collect();
        let mean = each.iter().sum::<f64>() / each.len() as f64;
        outcome.kbit = Some((mean, each.iter().copied().fold(0.0, f64::max)));
    }

    fn deaths(&self, swarm: &mut Swarm, outcome: &mut Outcome) {
        for _ in 0..10 {
            let up = swarm.up();
            let victim = up[swarm.below(up.len() as u64) as usize];
            lose(swarm, &[victim], outcome);
            swarm.run(Duration::from_secs(1));
        }
    }

    fn fifth(&self, swarm: &mut Swarm, outcome: &mut Outcome) {
        let members = swarm.options.members as u32;
        let victims: Vec<u32> = (0..members / 5).map(|n| n * 5).collect();
        lose(swarm, &victims, outcome);
        settle(swarm, outcome);
    }

    fn split(&self, swarm: &mut Swarm, outcome: &mut Outcome) {
        swarm.split(|member| (member % 2) as u8);
        swarm.run(Duration::from_secs(20));
        let believers = swarm.beliefs.believers(0);
        if believers < swarm.options.members / 2 {
            let what = format!("only {believers} believed a member of the other half dead");
            outcome.missed.push(what);
        }
        swarm.split(|_| 0);
        settle(swarm, outcome);
    }
}

/// Powers some off, and waits until 99.9 % of those left know of each.
fn lose(swarm: &mut Swarm, victims: &[u32], outcome: &mut Outcome) {
    let killed = swarm.now;
    for victim in victims {
        swarm.kill(*victim);
    }
    let enough = (swarm.up().len() * 999).div_ceil(1_000);
    let mut waiting = victims.to_vec();
    let end = killed + 20 * SECOND;
    while !waiting.is_empty() && swarm.now < end {
        swarm.run(Duration::from_millis(5));
        let known_after = (swarm.now - killed) as f64 / 1_000.0;
        waiting.retain(|victim| {
            let known = swarm.beliefs.believers(*victim) >= enough;
            if known {
                outcome.known.push(known_after);
            }
            !known
        });
    }
    if !waiting.is_empty() {
        let what = format!("{} deaths were not known after 20 s", waiting.len());
        outcome.missed.push(what);
    }
}

/// Waits until all agree.
fn settle(swarm: &mut Swarm, outcome: &mut Outcome) {
    let start = swarm.now;
    while swarm.now < start + 60 * SECOND {
        if swarm.beliefs.wrong() == 0 && swarm.agree() {
            outcome.agreed = Some((swarm.now - start) as f64 / SECOND as f64);
            return;
        }
        swarm.run(Duration::from_millis(50));
    }
    let what = format!(
        "no agreement after 60 s, {} wrong beliefs",
        swarm.beliefs.wrong()
    );
    outcome.missed.push(what);
}

fn heading(members: u32) -> Vec<String> {
    let members = format!("{members} members");
    let columns = [
        &members,
        "known p50 ms",
        "p99",
        "most",
        "kbit/s mean",
        "most",
        "connections",
        "wrong",
        "longest ms",
        "agreed s",
        "events",
        "virtual s",
        "real s",
    ];
    columns.map(str::to_owned).to_vec()
}

impl Outcome {
    /// When each death was known. Thousands at once have a line in the table.
    fn raw(&self) -> String {
        match self.known.len() {
            0 => "done".to_owned(),
            1..=10 => format!("known after {:.0?} ms", self.known),
            many => format!("{many} deaths known"),
        }
    }

    fn judge(&mut self) {
        let known = percentile(&self.known, 100);
        if known > KNOWN_MS {
            self.missed
                .push(format!("a death was known after {known:.0} ms"));
        }
        if let Some((_, most)) = self.kbit.filter(|(_, most)| *most > KBIT) {
            self.missed.push(format!("{most:.0} kbit/s"));
        }
        if self.connections > CONNECTIONS {
            self.missed
                .push(format!("{} connections", self.connections));
        }
        let (_, longest) = self.wrong;
        if longest > WRONG_MS {
            self.missed.push(format!("wrong for {longest:.0} ms"));
        }
    }

    fn row(&self, name: &str) -> Vec<String> {
        let known = |percent| match self.known.is_empty() {
            true => "-".to_owned(),
            false => format!("{:.0}", percentile(&self.known, percent)),
        };
        let maybe = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.1}"));
        vec![
            name.to_owned(),
            known(50),
            known(99),
            known(100),
            maybe(self.kbit.map(|(mean, _)| mean)),
            maybe(self.kbit.map(|(_, most)| most)),
            self.connections.to_string(),
            self.wrong.0.to_string(),
            format!("{:.0}", self.wrong.1),
            maybe(self.agreed),
            self.steps.to_string(),
            format!("{:.1}", self.virtual_s),
            format!("{:.1}", self.real_s),
        ]
    }
}
