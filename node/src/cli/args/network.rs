//! `swarmlet network …`.

use std::net::IpAddr;

use clap::{Args, Subcommand};
use ipnet::IpNet;

use super::{Filter, Format, FormatFlag, ListFlags, filter, format};
use crate::cli::values::{Pair, boolean, ip, pair, subnet};

#[derive(Debug, Subcommand)]
pub enum NetworkCommand {
    /// Create a network, by default one of the whole swarm
    Create(NetworkCreateArgs),
    /// List the networks of the swarm and of this node
    #[command(visible_alias = "list")]
    Ls(NetworkLsArgs),
    /// Show networks in full
    Inspect(NetworkInspectArgs),
    /// Remove networks
    #[command(visible_alias = "remove")]
    Rm(NetworkRmArgs),
    /// Remove the networks that nothing uses
    Prune(NetworkPruneArgs),
    /// Examine how the devices reach each other, and what keeps them from it
    Doctor(NetworkDoctorArgs),
}

#[derive(Debug, Clone, Args)]
pub struct NetworkCreateArgs {
    /// "overlay" spans the swarm; any other is of this node's engine
    #[arg(short, long, value_name = "DRIVER", default_value = "overlay")]
    pub driver: String,
    /// A range of addresses, in CIDR notation; the swarm picks one otherwise
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = subnet)]
    pub subnet: Vec<IpNet>,
    /// The gateway of a subnet
    #[arg(long, value_name = "IP", value_delimiter = ',', value_parser = ip)]
    pub gateway: Vec<IpAddr>,
    /// The part of a subnet that containers get addresses from
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = subnet)]
    pub ip_range: Vec<IpNet>,
    /// An address that no container gets
    #[arg(long, value_name = "NAME=IP", value_parser = reserved)]
    pub aux_address: Vec<(String, IpAddr)>,
    /// Let containers that are no tasks be connected, too
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "BOOL",
          default_value = "false", default_missing_value = "true", hide_default_value = true,
          value_parser = boolean)]
    pub attachable: bool,
    /// Its containers reach nothing but each other
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "BOOL",
          default_value = "false", default_missing_value = "true", hide_default_value = true,
          value_parser = boolean)]
    pub internal: bool,
    /// The one that published ports go through
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "BOOL",
          default_value = "false", default_missing_value = "true", hide_default_value = true,
          value_parser = boolean)]
    pub ingress: bool,
    /// Give containers an IPv6 address as well
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "BOOL",
          default_value = "false", default_missing_value = "true", hide_default_value = true,
          value_parser = boolean)]
    pub ipv6: bool,
    /// A label of the network
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub label: Vec<Pair>,
    /// An option of the driver
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = pair)]
    pub opt: Vec<Pair>,
    #[arg(value_name = "NETWORK")]
    pub name: String,
}

fn reserved(text: &str) -> Result<(String, IpAddr), crate::cli::values::Invalid> {
    let Pair { key, value } = pair(text)?;
    Ok((key, ip(&value)?))
}

#[derive(Debug, Args)]
#[command(mut_arg("filter", |it| it.help("Show only what matches: driver=, id=, label=, name=, scope=, type=, dangling=")))]
pub struct NetworkLsArgs {
    #[command(flatten)]
    pub list: ListFlags,
    /// Do not shorten ids
    #[arg(long)]
    pub no_trunc: bool,
}

#[derive(Debug, Args)]
pub struct NetworkInspectArgs {
    /// "json" prints each object on one line
    #[arg(short, long, value_name = "FORMAT", value_parser = format)]
    pub format: Option<Format>,
    /// Show the services and tasks on it as well
    #[arg(short, long)]
    pub verbose: bool,
    /// Ids or names
    #[arg(value_name = "NETWORK", required = true)]
    pub networks: Vec<String>,
}

#[derive(Debug, Args)]
pub struct NetworkRmArgs {
    /// It is no error where a network is not there
    #[arg(short, long)]
    pub force: bool,
    /// Ids or names
    #[arg(value_name = "NETWORK", required = true)]
    pub networks: Vec<String>,
}

#[derive(Debug, Args)]
pub struct NetworkDoctorArgs {
    #[command(flatten)]
    pub format: FormatFlag,
    /// Only between devices with containers on this network, by id or name
    #[arg(value_name = "NETWORK")]
    pub network: Option<String>,
}

#[derive(Debug, Args)]
pub struct NetworkPruneArgs {
    /// Remove only what matches: until=, label=, label!=
    #[arg(long, value_name = "KEY=VALUE", value_parser = filter)]
    pub filter: Vec<Filter>,
    /// Do not ask before
    #[arg(short, long)]
    pub force: bool,
}
