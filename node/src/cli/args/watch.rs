//! `swarmlet members`, `events` and `update`.

use clap::builder::RangedI64ValueParser;
use clap::{Args, ValueEnum};

use super::{Format, FormatFlag};
use crate::cli::values::{Invalid, Nanos, duration};

#[derive(Debug, Args)]
pub struct MembersArgs {
    #[command(flatten)]
    pub format: FormatFlag,
}

#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Go on with what happens from now on
    #[arg(short, long)]
    pub follow: bool,
    /// Only what happened since, e.g. 2026-01-02T13:23:37Z, or 42m for 42
    /// minutes ago
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// "json" prints a JSON object a line
    #[arg(long, value_name = "FORMAT", value_parser = super::format)]
    pub format: Option<Format>,
}

/// `swarmlet update`: what is not said stays as it is.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct SwarmUpdateArgs {
    /// How many managers there should be: 1, 3, 5 or 7
    #[arg(long, value_name = "N", value_parser = managers)]
    pub managers: Option<u8>,
    /// Whether candidates are made managers, and dead managers replaced,
    /// without a command
    #[arg(long, value_enum)]
    pub autopilot: Option<Switch>,
    /// How long a node's certificate is valid (ns|us|ms|s|m|h), at least 1h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub cert_expiry: Option<Nanos>,
    /// Whether managers wait for an unlock key whenever they start
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub autolock: Option<bool>,
    /// How many dead tasks are kept for each slot
    #[arg(long, value_name = "N", value_parser = history())]
    pub task_history_limit: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

impl Switch {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

fn history() -> RangedI64ValueParser {
    clap::value_parser!(i64).range(0..)
}

/// An odd number: an even one bears no more failures than one less.
pub fn managers(text: &str) -> Result<u8, Invalid> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        "5" => Ok(5),
        "7" => Ok(7),
        _ => Err(Invalid::new("must be 1, 3, 5 or 7")),
    }
}
