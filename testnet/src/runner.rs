//! `testnet test`: cargo's tests, then every scenario on hosts of its own.
//!
//! A scenario that fails does not stop the others; its hosts' logs stay below
//! `target/testnet/failed/`, and their ends are printed.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use swarmlet_testnet::{Artifacts, Options, Testnet, cargo, ensure_packages, tail, target_dir};

use crate::scenarios::{self, Scenario};

/// The name under which cargo's tests are filtered and reported.
const CARGO: &str = "cargo test --release --workspace";

/// Testnets of scenarios are called after the process that runs them.
const NAME: &str = "test-";

/// What a scenario is given.
#[derive(Debug, Clone)]
pub struct Context {
    pub artifacts: Artifacts,
    name: String,
    logs: PathBuf,
}

impl Context {
    /// Options for hosts of this scenario's own, with its place for logs.
    pub fn options(&self, hosts: usize) -> Options {
        Options {
            logs: Some(self.logs.clone()),
            ..Options::new(&self.name, hosts)
        }
    }

    /// Raises them; they are gone when the result is dropped.
    pub fn up(&self, options: &Options) -> Result<Testnet> {
        Ok(Testnet::up(&self.artifacts, options)?)
    }

    /// Raises hosts with an engine and no daemon.
    pub fn up_engines(&self, options: Options) -> Result<Testnet> {
        let without_daemon = Self {
            artifacts: Artifacts {
                swarmlet: None,
                ..self.artifacts.clone()
            },
            ..self.clone()
        };
        without_daemon.up(&Options {
            swarm: false,
            ..options
        })
    }
}

/// Runs everything whose name contains `filter`; an error if anything failed.
pub fn run(filter: &str) -> Result<()> {
    let scenarios: Vec<&Scenario> = scenarios::ALL
        .iter()
        .filter(|scenario| scenario.name.contains(filter))
        .collect();
    let mut tally = Tally::default();
    // For the overlay's tests too, which make network namespaces of their own.
    ensure_packages(true)?;
    let runs_cargo = CARGO.contains(filter);
    if runs_cargo {
        tally.run(CARGO, || {
            Ok(cargo(&[
                "test",
                "--quiet",
                "--workspace",
                "--no-fail-fast",
            ])?)
        });
    } else if scenarios.is_empty() {
        bail!("no test's name contains `{filter}`");
    }
    if !scenarios.is_empty() {
        remove_orphans()?;
        let artifacts = match runs_cargo {
            true => Artifacts::build_beside_tests()?,
            false => Artifacts::build()?,
        };
        for scenario in scenarios {
            run_scenario(&mut tally, &artifacts, scenario);
        }
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed > 0 {
        bail!("{} of the tests failed", tally.failed);
    }
    Ok(())
}

fn run_scenario(tally: &mut Tally, artifacts: &Artifacts, scenario: &Scenario) {
    let logs = target_dir().join("testnet/failed").join(scenario.name);
    let context = Context {
        artifacts: artifacts.clone(),
        name: format!("{NAME}{}", std::process::id()),
        logs: logs.clone(),
    };
    let passed = tally.run(scenario.name, || {
        remove(&logs)?;
        (scenario.run)(&context)
    });
    if passed {
        let _ = remove(&logs);
    } else {
        print_tails(&logs);
    }
}

/// Takes down what a run that was killed could not.
fn remove_orphans() -> Result<()> {
    let runs = |pid: u32| Path::new(&format!("/proc/{pid}")).exists();
    for name in Testnet::names() {
        if runner_of(&name).is_some_and(|pid| !runs(pid)) {
            Testnet::down(&name)?;
        }
    }
    Ok(())
}

/// The process that raised the testnet `name`, if a scenario did.
fn runner_of(name: &str) -> Option<u32> {
    let rest = name.strip_prefix(NAME)?;
    rest.split('-').next()?.parse().ok()
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn print_tails(logs: &Path) {
    println!("  logs: {}", logs.display());
    let files = |folder: &Path| {
        let mut paths: Vec<PathBuf> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        paths.sort();
        paths
    };
    for log in files(logs).iter().flat_map(|host| files(host)) {
        let end = tail(&log, 8);
        if !end.is_empty() {
            println!("  --- {}", log.display());
            for line in end.lines() {
                println!("  {line}");
            }
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    passed: u32,
    failed: u32,
}

impl Tally {
    /// Runs one test, tells how it went and how long it took, and counts it.
    fn run(&mut self, name: &str, test: impl FnOnce() -> Result<()>) -> bool {
        let start = Instant::now();
        println!("test {name} ...");
        // One scenario's bug must not keep the others from running.
        let result =
            catch_unwind(AssertUnwindSafe(test)).unwrap_or_else(|_| Err(anyhow!("it panicked")));
        let seconds = start.elapsed();
        match result {
            Ok(()) => {
                self.passed += 1;
                println!("test {name} ... ok ({})", in_seconds(seconds));
                true
            }
            Err(e) => {
                self.failed += 1;
                println!("test {name} ... FAILED ({})", in_seconds(seconds));
                println!("  {}", format!("{e:#}").replace('\n', "\n  "));
                false
            }
        }
    }
}

fn in_seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_and_panics_are_counted_and_do_not_stop_the_rest() {
        let mut tally = Tally::default();
        assert!(!tally.run("a", || bail!("no")));
        assert!(!tally.run("b", || panic!("never")));
        assert!(tally.run("c", || Ok(())));
        assert_eq!((tally.passed, tally.failed), (1, 2));
    }

    #[test]
    fn only_testnets_of_scenarios_have_a_runner() {
        assert_eq!(runner_of("test-12"), Some(12));
        assert_eq!(runner_of("test-12-b"), Some(12));
        assert_eq!(runner_of("test-mine"), None);
        assert_eq!(runner_of("default"), None);
    }

    #[test]
    fn a_filter_that_names_nothing_is_an_error() {
        assert!(run("no-such-scenario").is_err());
    }

    #[test]
    fn scenario_names_are_unique_and_fit_into_a_path() {
        let mut names: Vec<_> = scenarios::ALL.iter().map(|s| s.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(names.iter().all(|name| !name.contains('/')));
    }
}
