//! What every list can be asked for.

use clap::Args;

use super::{Filter, FormatFlag, filter};

/// A command that has it says in the help of `filter` which keys there are.
#[derive(Debug, Args)]
pub struct ListFlags {
    /// Show only what matches
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = filter)]
    pub filter: Vec<Filter>,
    #[command(flatten)]
    pub format: FormatFlag,
    /// Only print ids
    #[arg(short, long)]
    pub quiet: bool,
}

/// The same of tasks.
#[derive(Debug, Args)]
pub struct TaskFlags {
    #[command(flatten)]
    pub list: ListFlags,
    /// Do not map ids to names
    #[arg(long)]
    pub no_resolve: bool,
    /// Do not shorten ids, images and errors
    #[arg(long)]
    pub no_trunc: bool,
}
