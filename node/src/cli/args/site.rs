//! `swarmlet up`, `discover` and `site-key`.

use clap::Args;

use super::{FormatFlag, NodeAddresses, StartFlags};
use crate::cli::values::{Pair, pair};

#[derive(Debug, Args)]
pub struct UpArgs {
    /// What all devices of the site are given, at least 16 characters; see
    /// `swarmlet site-key`
    #[arg(
        long,
        value_name = "KEY",
        env = "SWARMLET_SITE_KEY",
        hide_env_values = true
    )]
    pub site_key: String,
    /// How many of the devices become managers, if this one founds the swarm
    #[arg(long, value_name = "N", default_value = "3", value_parser = ["1", "3", "5", "7"])]
    pub managers: String,
    /// Add a label to this node
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub label: Vec<Pair>,
    /// Leave it to the daemon to wait for the others
    #[arg(short, long)]
    pub detach: bool,
    #[command(flatten)]
    pub addresses: NodeAddresses,
    #[command(flatten)]
    pub start: StartFlags,
}

#[derive(Debug, Args)]
pub struct DiscoverArgs {
    #[command(flatten)]
    pub format: FormatFlag,
}
