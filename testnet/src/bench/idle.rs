//! What a swarm costs its devices while nothing happens: bytes written, CPU
//! and memory of each daemon, beside those of the engine next to it.
//!
//! Three managers and a worker run a service; once all is still (every task
//! runs, no data directory changes) nobody asks them anything for the time of
//! the measurement, the benchmark included.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;
use stopwatch::{MachineInstant, Took};
use swarmlet_testnet::plan::MANAGERS;
use swarmlet_testnet::procs::Usage;
use swarmlet_testnet::{Host, Testnet, wait_for};

use super::engines::Api;
use super::figures::table;
use super::usage::{Listing, SWARMLET, Watched, changed, data_dir};

const CPU_PERCENT: f64 = 1.0;
const MANAGER_MB: f64 = 40.0;
const WORKER_MB: f64 = 25.0;

const PATIENCE: Duration = Duration::from_secs(120);
/// For how long nothing may be written before it counts as still.
const STILL: Duration = Duration::from_secs(2);
/// A measurement in which something was logged is taken again when of this part of it the machine
/// had no processor: a device that stands still for a second is lost to the others.
const STOLEN_PART: u32 = 20;
/// At most so often.
const DISTURBED: u32 = 4;
/// Changed paths that are named; the rest is counted.
const NAMED: usize = 5;

#[derive(Debug, PartialEq, Eq, Args)]
pub struct Idle {
    /// How long nothing is done
    #[arg(long, default_value_t = 60, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// How many tasks run meanwhile
    #[arg(long, default_value_t = 60, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=400))]
    replicas: u64,
    /// Print all figures as a line of JSON too
    #[arg(long)]
    json: bool,
    /// Fail when a limit is missed
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true,
          default_missing_value = "all")]
    check: Option<Check>,
}

/// Which limits must be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Check {
    All,
    /// Only bytes written, which do not depend on how busy the machine is
    Written,
}

/// One daemon or engine over the time of the measurement.
#[derive(Debug, Clone, Serialize)]
struct Row {
    host: String,
    role: &'static str,
    process: &'static str,
    /// Sent to block devices, wherever they went.
    written_bytes: u64,
    /// By how much its log grew, which is not below the data directory.
    logged_bytes: u64,
    /// Of one core.
    cpu_percent: f64,
    /// Resident at the end, in units of 10^6 bytes.
    rss_mb: f64,
    /// Paths below the data directory that are not as before.
    changed: Vec<String>,
}

/// The line of `--json`.
#[derive(Debug, Serialize)]
struct Report {
    bench: &'static str,
    seconds: f64,
    tasks: u64,
    rows: Vec<Row>,
    missed: Vec<String>,
}

/// A host and how it was when the measurement began.
struct Subject {
    host: Host,
    role: &'static str,
    processes: Vec<(Watched, Usage)>,
    files: Listing,
    log: u64,
}

impl Idle {
    /// Three managers and a worker.
    pub const HOSTS: usize = 4;

    /// What must be true on any machine.
    pub fn minute_without_a_write() -> Self {
        Self {
            seconds: 60,
            replicas: 60,
            json: false,
            check: Some(Check::Written),
        }
    }

    /// Measures on the hosts of `net`, which form a swarm.
    pub fn run(&self, net: &Testnet) -> Result<()> {
        let report = self.measure(net)?;
        println!(
            "{} tasks on {} hosts, {:.1} s without a request",
            report.tasks,
            Self::HOSTS,
            report.seconds
        );
        print!("{}", table(&rows(&report.rows)));
        println!(
            "limits: nothing written but the log, {CPU_PERCENT} % of a core, {MANAGER_MB} MB (manager), \
             {WORKER_MB} MB (worker)"
        );
        for missed in &report.missed {
            println!("missed: {missed}");
        }
        if self.json {
            println!("{}", serde_json::to_string(&report)?);
        }
        let missed = report.missed.join("; ");
        ensure!(self.check.is_none() || missed.is_empty(), "{missed}");
        Ok(())
    }

    /// How long it was, and what each process did meanwhile.
    fn undisturbed(&self, hosts: &[Host]) -> Result<(Took, Vec<Row>)> {
        await_stillness(hosts)?;
        let subjects = hosts.iter().cloned().enumerate();
        let subjects: Vec<Subject> = subjects
            .map(|(index, host)| Subject::new(index, host))
            .collect::<Result<_>>()?;
        let start = MachineInstant::now();
        std::thread::sleep(Duration::from_secs(self.seconds));
        let took = start.elapsed();
        let mut rows = Vec::new();
        for subject in &subjects {
            rows.extend(subject.rows(took.wall.as_secs_f64())?);
        }
        Ok((took, rows))
    }

    fn measure(&self, net: &Testnet) -> Result<Report> {
        let api = Api::swarmlet(&net.host("h1")?)?;
        let replicas = usize::try_from(self.replicas)?;
        api.create_service("idle", replicas)?;
        api.await_running(replicas, PATIENCE)?;
        let mut disturbed = 0;
        let (took, rows) = loop {
            let (took, rows) = self.undisturbed(&net.hosts())?;
            let something_happened = rows.iter().any(|row| row.logged_bytes > 0);
            if !something_happened
                || took.stolen < took.wall / STOLEN_PART
                || disturbed == DISTURBED
            {
                break (took.wall.as_secs_f64(), rows);
            }
            disturbed += 1;
            println!("measured again: something was logged while the machine stood still, {took}");
        };
        let running = api.running_tasks()?;
        ensure!(running == self.replicas, "only {running} tasks still run");
        Ok(Report {
            bench: "idle",
            seconds: took,
            tasks: running,
            missed: missed(&rows, self.check.unwrap_or(Check::All)),
            rows,
        })
    }
}

impl Subject {
    fn new(index: usize, host: Host) -> Result<Self> {
        let watched = Watched::of(&host)?;
        let measured = watched
            .into_iter()
            .map(|w| w.usage().map(|usage| (w, usage)));
        Ok(Self {
            role: if index < MANAGERS {
                "manager"
            } else {
                "worker"
            },
            processes: measured.collect::<Result<_>>()?,
            files: data_dir(&host)?,
            log: log_size(&host)?,
            host,
        })
    }

    fn rows(&self, seconds: f64) -> Result<Vec<Row>> {
        let changed = changed(&self.files, &data_dir(&self.host)?);
        let logged = log_size(&self.host)?.saturating_sub(self.log);
        let row = |(watched, before): &(Watched, Usage)| -> Result<Row> {
            let after = watched.usage()?;
            let ours = watched.name == SWARMLET;
            Ok(Row {
                host: self.host.name().to_owned(),
                role: self.role,
                process: watched.name,
                written_bytes: after.written.saturating_sub(before.written),
                logged_bytes: if ours { logged } else { 0 },
                cpu_percent: 100.0 * after.cpu.saturating_sub(before.cpu).as_secs_f64() / seconds,
                rss_mb: megabytes(after.rss),
                changed: if ours { changed.clone() } else { Vec::new() },
            })
        };
        self.processes.iter().map(row).collect()
    }
}

fn log_size(host: &Host) -> Result<u64> {
    let log = host.daemon().log();
    let meta = std::fs::metadata(&log).with_context(|| log.display().to_string())?;
    Ok(meta.len())
}

/// Waits until no data directory has changed for a while.
fn await_stillness(hosts: &[Host]) -> Result<()> {
    let listings = || -> Result<Vec<Listing>> { hosts.iter().map(data_dir).collect() };
    let mut last = listings()?;
    let mut since = Instant::now();
    wait_for("the data directories to be still", PATIENCE, || {
        let now = listings().map_err(|e| format!("{e:#}"))?;
        let changes: Vec<String> = last
            .iter()
            .zip(&now)
            .flat_map(|(a, b)| changed(a, b))
            .collect();
        if !changes.is_empty() {
            since = Instant::now();
        }
        last = now;
        if since.elapsed() >= STILL {
            Ok(())
        } else {
            Err(format!("changed: {changes:?}"))
        }
    })?;
    Ok(())
}

fn missed(rows: &[Row], check: Check) -> Vec<String> {
    let mut missed = Vec::new();
    for row in rows.iter().filter(|row| row.process == SWARMLET) {
        let who = format!("{} ({})", row.host, row.role);
        if !row.changed.is_empty() {
            let named = row.changed.iter().take(NAMED).cloned().collect::<Vec<_>>();
            let (count, named) = (row.changed.len(), named.join(" "));
            missed.push(format!("{who} changed {count} paths: {named}"));
        } else if row.written_bytes > 0 && row.logged_bytes == 0 {
            missed.push(format!("{who} wrote {} bytes", row.written_bytes));
        }
        if check == Check::Written {
            continue;
        }
        if row.cpu_percent >= CPU_PERCENT {
            missed.push(format!("{who} used {:.2} % of a core", row.cpu_percent));
        }
        let limit = if row.role == "manager" {
            MANAGER_MB
        } else {
            WORKER_MB
        };
        if row.rss_mb > limit {
            missed.push(format!("{who} has {:.1} MB of {limit}", row.rss_mb));
        }
    }
    missed
}

fn rows(rows: &[Row]) -> Vec<Vec<String>> {
    let head = [
        "host", "role", "process", "written", "logged", "changed", "CPU %", "RSS MB",
    ];
    let mut cells = vec![head.map(str::to_owned).to_vec()];
    cells.extend(rows.iter().map(|row| {
        let ours = |figure: String| {
            if row.process == SWARMLET {
                figure
            } else {
                "-".into()
            }
        };
        vec![
            row.host.clone(),
            row.role.to_owned(),
            row.process.to_owned(),
            row.written_bytes.to_string(),
            ours(row.logged_bytes.to_string()),
            ours(row.changed.len().to_string()),
            format!("{:.2}", row.cpu_percent),
            format!("{:.1}", row.rss_mb),
        ]
    }));
    cells
}

#[expect(
    clippy::cast_precision_loss,
    reason = "memory sizes are far below 2^53"
)]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(role: &'static str) -> Row {
        Row {
            host: "h1".into(),
            role,
            process: SWARMLET,
            written_bytes: 0,
            logged_bytes: 0,
            cpu_percent: 0.4,
            rss_mb: 24.0,
            changed: Vec::new(),
        }
    }

    #[test]
    fn a_daemon_within_its_limits_misses_none() {
        assert!(missed(&[row("manager"), row("worker")], Check::All).is_empty());
    }

    #[test]
    fn each_limit_can_be_missed() {
        let written = Row {
            written_bytes: 1,
            ..row("worker")
        };
        let changed = Row {
            changed: vec!["raft/log".into()],
            ..row("worker")
        };
        let cpu = Row {
            cpu_percent: 1.0,
            ..row("worker")
        };
        let rss = Row {
            rss_mb: 25.1,
            ..row("worker")
        };
        for bad in [&written, &changed, &cpu, &rss] {
            assert_eq!(
                missed(std::slice::from_ref(bad), Check::All).len(),
                1,
                "{bad:?}"
            );
        }
        assert!(missed(&[cpu, rss], Check::Written).is_empty());
        assert_eq!(missed(&[written, changed], Check::Written).len(), 2);
    }

    #[test]
    fn a_log_may_grow() {
        let logged = Row {
            written_bytes: 4096,
            logged_bytes: 200,
            ..row("manager")
        };
        assert!(missed(&[logged], Check::Written).is_empty());
    }

    #[test]
    fn a_manager_may_have_more_memory_and_an_engine_any() {
        let rss = |role| Row {
            rss_mb: 39.0,
            ..row(role)
        };
        assert!(missed(&[rss("manager")], Check::All).is_empty());
        let engine = Row {
            process: "dockerd",
            written_bytes: 9,
            ..rss("worker")
        };
        assert!(missed(&[engine], Check::All).is_empty());
    }
}
