//! The binary: the daemon, or a client of one.

use std::process::ExitCode;

use clap::Parser;
use node::cli::args::{Cli, Command, DaemonArgs};
use node::{cli, daemon};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Command::Daemon(args) => run_daemon(args),
        Command::Client(command) => cli::run(cli.host, command),
    }
}

fn run_daemon(args: DaemonArgs) -> ExitCode {
    match start_daemon(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("swarmlet: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start_daemon(args: DaemonArgs) -> anyhow::Result<()> {
    // openraft tells all that it does, and warns of every attempt at a peer that
    // is away. libp2p's mDNS tells of every device, and speaks on each address
    // of the host, also on ours for containers, where no multicast is let out:
    // that is an error to it, every time. A filter that names one of them comes
    // later and wins.
    let quiet = "openraft=error,libp2p_mdns=off";
    let filter = EnvFilter::try_new(format!("{quiet},{}", args.start.log_level))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    // A second one would be woken for half of what the first one is.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?
        .block_on(daemon::run(args))
}
