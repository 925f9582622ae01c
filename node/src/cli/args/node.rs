//! `swarmlet node …`.

use clap::{Args, Subcommand};
use services::spec::{Availability, Role};

use super::{InspectFlags, ListFlags, TaskFlags, word};
use crate::cli::values::{Pair, pair};

#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// List the nodes
    #[command(
        visible_alias = "list",
        mut_arg("filter", |it| it.help("Show only what matches: id=, name=, label=, node.label=, role=, membership="))
    )]
    Ls(ListFlags),
    /// Show nodes in full
    Inspect(NodeInspectArgs),
    /// List the tasks on nodes, by default on this one
    Ps(NodePsArgs),
    /// Change a node's labels, role or availability
    Update(NodeUpdateArgs),
    /// Make workers managers
    Promote(NodeIds),
    /// Make managers workers
    Demote(NodeIds),
    /// Remove nodes from the swarm
    #[command(visible_alias = "remove")]
    Rm(NodeRmArgs),
}

#[derive(Debug, Args)]
pub struct NodeInspectArgs {
    #[command(flatten)]
    pub show: InspectFlags,
    /// Ids or names; "self" is this node
    #[arg(value_name = "NODE", required = true)]
    pub nodes: Vec<String>,
}

#[derive(Debug, Args)]
#[command(mut_arg("filter", |it| it.help("Show only what matches: id=, name=, label=, desired-state=")))]
pub struct NodePsArgs {
    #[command(flatten)]
    pub tasks: TaskFlags,
    /// Ids or names; "self" is this node
    #[arg(value_name = "NODE", default_value = "self")]
    pub nodes: Vec<String>,
}

#[derive(Debug, Args)]
pub struct NodeUpdateArgs {
    /// Whether the node takes tasks
    #[arg(long, value_parser = word::<Availability>(Availability::WORDS))]
    pub availability: Option<Availability>,
    /// Add or change a label
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub label_add: Vec<Pair>,
    /// Remove a label
    #[arg(long, value_name = "KEY")]
    pub label_rm: Vec<String>,
    /// The role that the node should have
    #[arg(long, value_parser = word::<Role>(Role::WORDS))]
    pub role: Option<Role>,
    /// An id or a name; "self" is this node
    #[arg(value_name = "NODE")]
    pub node: String,
}

#[derive(Debug, Args)]
pub struct NodeIds {
    /// Ids or names
    #[arg(value_name = "NODE", required = true)]
    pub nodes: Vec<String>,
}

#[derive(Debug, Args)]
pub struct NodeRmArgs {
    /// Remove a node even where it is not down
    #[arg(short, long)]
    pub force: bool,
    /// Ids or names
    #[arg(value_name = "NODE", required = true)]
    pub nodes: Vec<String>,
}
