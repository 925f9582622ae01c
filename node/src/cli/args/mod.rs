//! What can be typed: every command and flag, as clap types.
//!
//! Flags carry Docker's names, defaults and value syntaxes where Docker has
//! them. A flag for what swarmlet cannot do is not here, so that it is refused
//! instead of being dropped.

mod context;
mod file;
mod list;
mod network;
mod node;
mod service;
mod service_flags;
mod site;
mod stack;
mod swarm;
mod watch;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

pub use context::{ContextCommand, ContextInstallArgs, ContextRmArgs};
pub use file::{
    ConfigCommand, ConfigCreateArgs, FileFlags, FileIds, FileInspectArgs, SecretCommand,
    SecretCreateArgs,
};
pub use list::{ListFlags, TaskFlags};
pub use network::{
    NetworkCommand, NetworkCreateArgs, NetworkDoctorArgs, NetworkInspectArgs, NetworkLsArgs,
    NetworkPruneArgs, NetworkRmArgs,
};
pub use node::{NodeCommand, NodeIds, NodeInspectArgs, NodePsArgs, NodeRmArgs, NodeUpdateArgs};
pub use service::{
    CreateArgs, ListChanges, LogsArgs, Removals, RollbackArgs, ScaleArgs, Scaling, ServiceCommand,
    ServiceIds, ServiceInspectArgs, ServicePsArgs, UpdateArgs, WaitFlags,
};
pub use service_flags::{
    ContainerFlags, HealthFlags, ModeName, ResourceFlags, RestartFlags, RollbackFlags, RunFlags,
    ServiceFlags, UpdateFlags,
};
pub use site::{DiscoverArgs, UpArgs};
pub use stack::{
    ProjectFlags, ResolveImage, StackCommand, StackConfigArgs, StackDeployArgs, StackLsArgs,
    StackPsArgs, StackRmArgs, StackServicesArgs,
};
pub use swarm::{
    CaArgs, DaemonArgs, InfoArgs, InitArgs, JoinArgs, JoinTokenArgs, LeaveArgs, NodeAddresses,
    StartFlags, UnlockKeyArgs,
};

pub use watch::{EventsArgs, MembersArgs, SwarmUpdateArgs};

use super::values::Invalid;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "swarmlet",
    version,
    about = "Run containers on a handful of devices as if they were one",
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// The daemon's API socket
    #[arg(
        short = 'H',
        long,
        value_name = "unix://PATH",
        env = "SWARMLET_HOST",
        default_value = "unix:///run/swarmlet/swarmlet.sock",
        value_parser = socket
    )]
    pub host: Socket,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon of this node in the foreground
    Daemon(DaemonArgs),
    #[command(flatten)]
    Client(ClientCommand),
}

/// What is asked of a running daemon; `init` and `join` start one if need be.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Make a new swarm with this node as its manager
    Init(InitArgs),
    /// Make this node a member of a swarm
    Join(JoinArgs),
    /// Form a swarm with all devices that are given the same site key, or join
    /// theirs
    Up(UpArgs),
    /// Show the swarms and the waiting devices on this LAN
    Discover(DiscoverArgs),
    /// Make a site key
    SiteKey,
    /// Take this node out of its swarm
    Leave(LeaveArgs),
    /// Show or rotate the token with which nodes join
    JoinToken(JoinTokenArgs),
    /// Unlock this manager; the key is asked for, or read from standard input
    Unlock,
    /// Show or rotate the key that managers are unlocked with
    UnlockKey(UnlockKeyArgs),
    /// Show the swarm's certificate authority, or replace it
    Ca(CaArgs),
    /// Show this node and its part in the swarm
    Info(InfoArgs),
    /// Change how the swarm is run
    Update(SwarmUpdateArgs),
    /// Show who is here, as this node believes; works with no manager in reach
    Members(MembersArgs),
    /// Show what happened in the swarm lately
    Events(EventsArgs),
    /// Manage the nodes of the swarm
    #[command(subcommand)]
    Node(NodeCommand),
    /// Manage the services of the swarm
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Manage stacks: services, networks, secrets and configs of one name
    #[command(subcommand)]
    Stack(StackCommand),
    /// Manage the networks of the swarm and of this node
    #[command(subcommand)]
    Network(NetworkCommand),
    /// Manage the secrets of the swarm
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Manage the configs of the swarm
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Lead the docker program to this daemon
    #[command(subcommand)]
    Context(ContextCommand),
}

/// Where the daemon listens for its API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket(PathBuf);

impl Socket {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl std::fmt::Display for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "unix://{}", self.0.display())
    }
}

fn socket(text: &str) -> Result<Socket, Invalid> {
    let path = match text.strip_prefix("unix://") {
        Some(path) => path,
        None if text.contains("://") => {
            return Err(Invalid::new(
                "the daemon listens on a unix socket only: unix:///path/to/swarmlet.sock",
            ));
        }
        None => text,
    };
    if path.is_empty() {
        return Err(Invalid::new("the socket's path is empty"));
    }
    Ok(Socket(PathBuf::from(path)))
}

/// How an answer is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Table,
    Json,
}

#[derive(Debug, Clone, Copy, Args)]
pub struct FormatFlag {
    /// "json" prints a JSON object a line; without it, a table is printed
    #[arg(long, value_name = "FORMAT", value_parser = format, default_value = "table",
          hide_default_value = true)]
    pub format: Format,
}

fn format(text: &str) -> Result<Format, Invalid> {
    match text {
        "json" | "{{json .}}" => Ok(Format::Json),
        "table" | "" => Ok(Format::Table),
        text if text.contains("{{") => Err(Invalid::new(
            "Go templates are not supported; use --format json, and a tool such as jq",
        )),
        _ => Err(Invalid::new("the only format is json")),
    }
}

/// How an inspected object is shown.
#[derive(Debug, Clone, Args)]
pub struct InspectFlags {
    /// "json" prints each object on one line
    #[arg(short, long, value_name = "FORMAT", value_parser = format)]
    pub format: Option<Format>,
    /// Print for people to read
    #[arg(long, conflicts_with = "format")]
    pub pretty: bool,
}

/// One `--filter key=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    pub key: String,
    pub value: String,
}

fn filter(text: &str) -> Result<Filter, Invalid> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| Invalid::new("invalid argument: a filter is of the form key=value"))?;
    Ok(Filter {
        key: key.trim().to_ascii_lowercase(),
        value: value.trim().to_owned(),
    })
}

/// One of `words`, each of which `T` can be read from.
fn word<T>(words: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = Invalid> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words.iter().copied()).try_map(|said| said.parse())
}

#[cfg(test)]
mod docker;
#[cfg(test)]
mod tests;
