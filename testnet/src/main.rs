//! `testnet`: raises real hosts on this machine, lets people and tests work
//! with them, and removes them without a trace.

mod bench;
mod cli;
mod demo;
mod interrupt;
mod listing;
mod runner;
mod scenarios;

use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use swarmlet_testnet::{Artifacts, Host, Options, Testnet, ensure_packages, run_init, run_switch};

use cli::{Cli, Verb};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("testnet: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let name = cli.name.as_deref().unwrap_or(cli::DEFAULT_NAME);
    let host = |host: &str| -> Result<Host> { Ok(Testnet::open(name)?.host(host)?) };
    match cli.verb {
        Verb::Up { hosts, no_swarm } => up(name, hosts, !no_swarm),
        Verb::Exec { host: h, command } => exec(&host(&h)?, &command),
        Verb::Cut { host: h } => Ok(host(&h)?.cut()?),
        Verb::Heal { host: h } => Ok(host(&h)?.heal()?),
        Verb::Kill { host: h } => Ok(host(&h)?.kill()?),
        Verb::Boot { host: h } => Ok(host(&h)?.boot()?),
        Verb::Ls { json } => listing::print(cli.name.as_deref(), json),
        Verb::Down => down(name),
        Verb::Demo => demo::run(cli.name.as_deref().unwrap_or(demo::DEFAULT_NAME)),
        Verb::Bench(what) => bench::run(cli.name.as_deref().unwrap_or(bench::DEFAULT_NAME), &what),
        Verb::Test { filter } => runner::run(filter.as_deref().unwrap_or("")),
        Verb::HostInit { dir, host } => Ok(run_init(&dir, &host)?),
        Verb::Switch { .. } => run_switch(),
    }
}

fn up(name: &str, hosts: usize, swarm: bool) -> Result<()> {
    ensure_packages(false)?;
    let artifacts = match Artifacts::build() {
        Err(e) if !swarm => {
            eprintln!("hosts get no swarmlet: {e}");
            Artifacts::without_swarmlet()?
        }
        built => built?,
    };
    let options = Options {
        swarm,
        keep: true,
        ..Options::new(name, hosts)
    };
    let was_up = Testnet::open(name).is_ok();
    if let Err(e) = Testnet::up(&artifacts, &options) {
        if !was_up && Testnet::open(name).is_ok() {
            eprintln!(
                "what did start is left for a look, until `cargo testnet down --name {name}`"
            );
        }
        return Err(e.into());
    }
    listing::print(Some(name), false)
}

/// Becomes the command, so that its terminal and exit code are the caller's.
fn exec(host: &Host, command: &[String]) -> Result<()> {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    Err(host.command(&words)?.exec()).context("run nsenter")
}

fn down(name: &str) -> Result<()> {
    if !Testnet::down(name)? {
        eprintln!("no testnet `{name}` was up");
    }
    Ok(())
}
