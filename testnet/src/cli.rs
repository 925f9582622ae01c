//! The command line of `testnet`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use swarmlet_testnet::procs;

use crate::bench::Bench;

/// The testnet that is meant when no name is given.
pub const DEFAULT_NAME: &str = "default";

/// Real hosts on one machine: namespaces with a Docker Engine and swarmlet each.
#[derive(Debug, Parser)]
#[command(name = "testnet", bin_name = "cargo testnet")]
pub struct Cli {
    /// Which testnet [default: "default"; `ls` shows all]
    #[arg(long, global = true, value_name = "X")]
    pub name: Option<String>,

    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// Raise N hosts h1..hN and form a swarm of them
    Up {
        /// How many hosts, 1 to 8
        #[arg(default_value_t = 3, value_name = "N")]
        hosts: usize,
        /// Leave the daemons on their own
        #[arg(long)]
        no_swarm: bool,
    },
    /// Run a command inside a host
    Exec {
        host: String,
        #[arg(last = true, required = true, value_name = "CMD")]
        command: Vec<String>,
    },
    /// Unplug a host's network cable
    Cut { host: String },
    /// Plug a host's network cable in again
    Heal { host: String },
    /// Power a host off: SIGKILL for everything in it
    Kill { host: String },
    /// Power a host on, with the disk it had
    Boot { host: String },
    /// List hosts and how they are
    Ls {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Remove a testnet with everything it has on this machine
    Down,
    /// Show a swarm at work: formed, used, scaled, hurt and healed
    Demo,
    /// Measure swarmlet beside Docker on the same engines
    #[command(subcommand)]
    Bench(Bench),
    /// Run all tests: cargo's, then the scenarios on real hosts
    Test {
        /// Only those whose name contains this ("cargo" for cargo's)
        filter: Option<String>,
    },
    #[command(name = procs::INIT_VERB, hide = true)]
    HostInit {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        host: String,
    },
    #[command(name = procs::SWITCH_VERB, hide = true)]
    Switch {
        #[arg(long)]
        dir: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        let words = std::iter::once("testnet").chain(line.split_whitespace());
        Cli::try_parse_from(words)
    }

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn up_raises_three_hosts_unless_told_otherwise() {
        let up = |line| parse(line).unwrap().verb;
        let verb = |hosts, no_swarm| Verb::Up { hosts, no_swarm };
        assert_eq!(up("up"), verb(3, false));
        assert_eq!(up("up 5 --no-swarm"), verb(5, true));
    }

    #[test]
    fn the_name_goes_anywhere_before_the_command() {
        for line in [
            "--name x exec h2 -- ls --name y",
            "exec --name x h2 -- ls --name y",
            "exec h2 --name x -- ls --name y",
        ] {
            let cli = parse(line).unwrap();
            assert_eq!(cli.name.as_deref(), Some("x"), "{line}");
            let Verb::Exec { host, command } = cli.verb else {
                panic!("{line}");
            };
            assert_eq!((host.as_str(), command.len()), ("h2", 3), "{line}");
        }
    }

    #[test]
    fn exec_without_a_command_is_refused() {
        assert!(parse("exec h2").is_err());
        assert!(parse("exec h2 ls").is_err());
    }
}
