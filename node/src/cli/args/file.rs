//! `swarmlet secret …` and `swarmlet config …`.

use clap::{Args, Subcommand};

use super::{InspectFlags, ListFlags};
use crate::cli::values::{Pair, pair};

#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Create a secret of a file, or of what is typed ("-")
    Create(SecretCreateArgs),
    /// List the secrets
    #[command(
        visible_alias = "list",
        mut_arg("filter", |it| it.help("Show only what matches: id=, label=, name="))
    )]
    Ls(ListFlags),
    /// Show secrets in full, but for what is in them
    Inspect(FileInspectArgs),
    /// Remove secrets
    #[command(visible_alias = "remove")]
    Rm(FileIds),
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Create a config of a file, or of what is typed ("-")
    Create(ConfigCreateArgs),
    /// List the configs
    #[command(
        visible_alias = "list",
        mut_arg("filter", |it| it.help("Show only what matches: id=, label=, name="))
    )]
    Ls(ListFlags),
    /// Show configs in full
    Inspect(FileInspectArgs),
    /// Remove configs
    #[command(visible_alias = "remove")]
    Rm(FileIds),
}

#[derive(Debug, Args)]
pub struct SecretCreateArgs {
    /// The plugin that keeps the secret
    #[arg(short, long, value_name = "DRIVER")]
    pub driver: Option<String>,
    #[command(flatten)]
    pub flags: FileFlags,
    #[arg(value_name = "SECRET")]
    pub name: String,
    /// "-" is the standard input
    #[arg(value_name = "FILE")]
    pub file: Option<String>,
}

#[derive(Debug, Args)]
pub struct ConfigCreateArgs {
    #[command(flatten)]
    pub flags: FileFlags,
    #[arg(value_name = "CONFIG")]
    pub name: String,
    /// "-" is the standard input
    #[arg(value_name = "FILE")]
    pub file: String,
}

#[derive(Debug, Args)]
pub struct FileFlags {
    /// A label of it
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = pair)]
    pub label: Vec<Pair>,
    /// It is a template, which this driver expands for each task
    #[arg(long, value_name = "DRIVER")]
    pub template_driver: Option<String>,
}

#[derive(Debug, Args)]
pub struct FileInspectArgs {
    #[command(flatten)]
    pub show: InspectFlags,
    /// Ids or names
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
}

#[derive(Debug, Args)]
pub struct FileIds {
    /// Ids or names
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
}
