//! `swarmlet context …`.

use clap::{Args, Subcommand};

/// Docker's name for "which daemon".
#[derive(Debug, Subcommand)]
pub enum ContextCommand {
    /// Let the docker program find this daemon: docker --context swarmlet …
    Install(ContextInstallArgs),
    /// Remove what install made
    #[command(visible_alias = "remove")]
    Rm(ContextRmArgs),
}

#[derive(Debug, Args)]
pub struct ContextInstallArgs {
    /// What the context is called
    #[arg(long, default_value = "swarmlet")]
    pub name: String,
    /// Use it for every docker command that names no other
    #[arg(long = "use")]
    pub in_use: bool,
}

#[derive(Debug, Args)]
pub struct ContextRmArgs {
    /// The context
    #[arg(value_name = "NAME", default_value = "swarmlet")]
    pub name: String,
}
