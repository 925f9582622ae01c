//! `swarmlet stack …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{FormatFlag, ListFlags, TaskFlags};
use crate::cli::values::{Invalid, Nanos, boolean, duration};

#[derive(Debug, Subcommand)]
pub enum StackCommand {
    /// Make a stack what Compose files say, or change it to that
    #[command(visible_alias = "up")]
    Deploy(Box<StackDeployArgs>),
    /// Print what Compose files say, merged and with the values of variables
    Config(StackConfigArgs),
    /// List the stacks
    #[command(visible_alias = "list")]
    Ls(StackLsArgs),
    /// List the tasks of a stack
    Ps(StackPsArgs),
    /// List the services of a stack
    Services(StackServicesArgs),
    /// Remove stacks
    #[command(visible_aliases = ["remove", "down"])]
    Rm(StackRmArgs),
}

/// Which files a project is read from.
#[derive(Debug, Args)]
pub struct ProjectFlags {
    /// A Compose file, or "-" for the standard input; later ones are laid over
    /// earlier ones
    #[arg(
        short,
        long = "compose-file",
        value_name = "FILE",
        value_delimiter = ',',
        required = true
    )]
    pub compose_file: Vec<PathBuf>,
    /// Deploy the services of this profile, too
    #[arg(long, value_name = "NAME")]
    pub profile: Vec<String>,
}

#[derive(Debug, Args)]
pub struct StackDeployArgs {
    #[command(flatten)]
    pub project: ProjectFlags,
    /// Print what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Remove the services of the stack that no file names any more
    #[arg(long)]
    pub prune: bool,
    /// Wait until all services do what the files say; fail where they do not
    #[arg(long, conflicts_with = "detach")]
    pub wait: bool,
    /// How long to wait, for --wait and for what a service depends on
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10m")]
    pub wait_timeout: Nanos,
    /// Do not wait, whatever services depend on; --detach=false is --wait
    #[arg(short, long, num_args = 0..=1, require_equals = true, value_name = "BOOL",
          default_missing_value = "true", value_parser = boolean)]
    pub detach: Option<bool>,
    /// Send the credentials that docker login left here to the nodes that pull
    #[arg(long)]
    pub with_registry_auth: bool,
    /// When to ask a registry which digest and which platforms an image has
    #[arg(long, value_enum, value_name = "WHEN", default_value = "always")]
    pub resolve_image: ResolveImage,
    /// Do not show progress
    #[arg(short, long)]
    pub quiet: bool,
    #[arg(value_name = "STACK", value_parser = stack)]
    pub stack: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ResolveImage {
    Always,
    /// Where the files name another image than before
    Changed,
    Never,
}

#[derive(Debug, Args)]
pub struct StackConfigArgs {
    #[command(flatten)]
    pub project: ProjectFlags,
    /// Leave variables as they are written
    #[arg(long)]
    pub skip_interpolation: bool,
}

#[derive(Debug, Args)]
pub struct StackLsArgs {
    #[command(flatten)]
    pub format: FormatFlag,
}

#[derive(Debug, Args)]
#[command(mut_arg("filter", |it| it.help("Show only what matches: desired-state=, id=, label=, name=, node=")))]
pub struct StackPsArgs {
    #[command(flatten)]
    pub tasks: TaskFlags,
    #[arg(value_name = "STACK", value_parser = stack)]
    pub stack: String,
}

#[derive(Debug, Args)]
#[command(mut_arg("filter", |it| it.help("Show only what matches: id=, label=, mode=, name=")))]
pub struct StackServicesArgs {
    #[command(flatten)]
    pub list: ListFlags,
    #[arg(value_name = "STACK", value_parser = stack)]
    pub stack: String,
}

#[derive(Debug, Args)]
pub struct StackRmArgs {
    /// Do not wait until the tasks have stopped (default true)
    #[arg(short, long, num_args = 0..=1, require_equals = true, value_name = "BOOL",
          default_value = "true", default_missing_value = "true", hide_default_value = true,
          value_parser = boolean)]
    pub detach: bool,
    #[arg(value_name = "STACK", required = true, value_parser = stack)]
    pub stacks: Vec<String>,
}

/// A name of something, at least.
fn stack(text: &str) -> Result<String, Invalid> {
    let is_blank = |c: char| c.is_whitespace() || c == '"' || c == '\'';
    match text.trim_matches(is_blank).is_empty() {
        true => Err(Invalid::new(format!("invalid stack name: {text:?}"))),
        false => Ok(text.to_owned()),
    }
}
