//! `swarmlet service …`.

use std::net::IpAddr;

use clap::{Args, Subcommand};
use services::spec::Device;

use super::{InspectFlags, ListFlags, ModeName, ServiceFlags, TaskFlags};
use crate::api::dto::{DiscreteResource, Mount, Ulimit};
use crate::cli::values::{
    Attachment, ExtraHost, FileRequest, Invalid, Pair, PortRemoval, PublishedPorts, Words,
    attachment, boolean, config, dns_search, extra_host, ip, ip_address, mount, pair, publish,
    publish_removal, secret, spread, ulimit, words,
};

#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Create a service
    Create(Box<CreateArgs>),
    /// List the services
    #[command(
        visible_alias = "list",
        mut_arg("filter", |it| it.help("Show only what matches: id=, name=, label=, mode="))
    )]
    Ls(ListFlags),
    /// List the tasks of services
    Ps(ServicePsArgs),
    /// Show services in full
    Inspect(ServiceInspectArgs),
    /// Set the number of replicas
    Scale(ScaleArgs),
    /// Change a service
    Update(Box<UpdateArgs>),
    /// Show the logs of a service or a task
    Logs(LogsArgs),
    /// Remove services
    #[command(visible_alias = "remove")]
    Rm(ServiceIds),
    /// Go back to the spec before the last update
    Rollback(RollbackArgs),
}

/// Whether and how to wait for a service to converge.
#[derive(Debug, Clone, Args)]
pub struct WaitFlags {
    /// Return at once instead of waiting for the service to converge
    #[arg(short, long, num_args = 0..=1, require_equals = true, value_name = "BOOL",
          default_value = "false", default_missing_value = "true", hide_default_value = true,
          value_parser = boolean)]
    pub detach: bool,
    /// Do not show progress
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
#[command(override_usage = "swarmlet service create [OPTIONS] IMAGE [COMMAND] [ARG...]")]
pub struct CreateArgs {
    /// The image, and what to run instead of its own command
    #[arg(value_name = "IMAGE", required = true, num_args = 1..,
          trailing_var_arg = true)]
    pub image_and_args: Vec<String>,
    #[command(flatten)]
    pub wait: WaitFlags,
    /// Give the nodes the credentials of your `docker login` for the image's
    /// registry
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "BOOL",
          default_value = "false", default_missing_value = "true", hide_default_value = true,
          value_parser = boolean)]
    pub with_registry_auth: bool,
    /// The service's name; one is made up where none is said
    #[arg(long)]
    pub name: Option<String>,
    /// How many tasks there are
    #[arg(long, value_enum, default_value = "replicated")]
    pub mode: ModeName,
    /// A label of the service
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = pair)]
    pub label: Vec<Pair>,
    /// A label of its containers
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub container_label: Vec<Pair>,
    /// An environment variable; NAME alone takes its value from here
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// A file of environment variables
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<std::path::PathBuf>,
    /// A mount, e.g. type=bind,source=/srv,target=/data,readonly
    #[arg(long, value_parser = mount)]
    pub mount: Vec<Mount>,
    /// A secret, e.g. NAME or source=NAME,target=FILE,uid=0,gid=0,mode=0444
    #[arg(long, value_name = "SECRET", value_parser = secret)]
    pub secret: Vec<FileRequest>,
    /// A config, e.g. NAME or source=NAME,target=/FILE,uid=0,gid=0,mode=0444
    #[arg(long, value_name = "CONFIG", value_parser = config)]
    pub config: Vec<FileRequest>,
    /// A placement constraint, e.g. node.labels.zone==a
    #[arg(long)]
    pub constraint: Vec<String>,
    /// A placement preference, e.g. spread=node.labels.zone
    #[arg(long, value_name = "PREF", value_parser = spread)]
    pub placement_pref: Vec<String>,
    /// A network, e.g. name=NET,alias=NAME,ip=10.0.5.9 (of the service),
    /// task-ip=10.0.5.10 (of its one task)
    #[arg(long, value_name = "NETWORK", value_parser = attachment)]
    pub network: Vec<Attachment>,
    /// A published port, e.g. 8080:80, 127.0.0.1:8080:80 or
    /// published=53,target=53,protocol=udp,mode=host,host_ip=10.0.0.1
    #[arg(short, long, value_name = "PORT", value_parser = publish)]
    pub publish: Vec<PublishedPorts>,
    /// The address to publish on where a port says none
    #[arg(long, value_name = "IP", requires = "publish", value_parser = ip)]
    pub host_ip: Option<IpAddr>,
    /// A device of the host, e.g. /dev/ttyUSB0:/dev/gps:rw; tasks run only where
    /// it is
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    pub device: Vec<Device>,
    /// A security option, e.g. no-new-privileges or seccomp=FILE
    #[arg(long, value_name = "OPTION")]
    pub security_opt: Vec<String>,
    /// What a node must have free of a generic resource, e.g. GPU=1
    #[arg(long, value_name = "KIND=NUMBER", value_parser = generic_resource)]
    pub generic_resource: Vec<DiscreteResource>,
    /// A DNS server
    #[arg(long, value_name = "IP", value_parser = ip_address)]
    pub dns: Vec<String>,
    /// A DNS option
    #[arg(long, value_name = "OPTION")]
    pub dns_option: Vec<String>,
    /// A DNS search domain
    #[arg(long, value_name = "DOMAIN", value_parser = dns_search)]
    pub dns_search: Vec<String>,
    /// An entry of /etc/hosts
    #[arg(long, value_name = "NAME:IP", value_parser = extra_host)]
    pub host: Vec<ExtraHost>,
    /// A supplementary group of the container's user
    #[arg(long)]
    pub group: Vec<String>,
    /// A kernel parameter
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub sysctl: Vec<Pair>,
    /// A limit, e.g. nofile=1024:2048
    #[arg(long, value_name = "LIMIT", value_parser = ulimit)]
    pub ulimit: Vec<Ulimit>,
    #[command(flatten)]
    pub flags: ServiceFlags,
}

#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// An id or a name
    #[arg(value_name = "SERVICE")]
    pub service: String,
    #[command(flatten)]
    pub wait: WaitFlags,
    /// Give the nodes the credentials of your `docker login` for the image's
    /// registry
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "BOOL",
          default_value = "false", default_missing_value = "true", hide_default_value = true,
          value_parser = boolean)]
    pub with_registry_auth: bool,
    /// The image
    #[arg(long)]
    pub image: Option<String>,
    /// What to run instead of the image's own command
    #[arg(long, value_name = "COMMAND", value_parser = words)]
    pub args: Option<Words>,
    /// Replace every task even where nothing has changed
    #[arg(long)]
    pub force: bool,
    /// Go back to the spec before the last update
    #[arg(long)]
    pub rollback: bool,
    #[command(flatten)]
    pub lists: ListChanges,
    #[command(flatten)]
    pub flags: ServiceFlags,
}

/// `--x-add` and `--x-rm`: what is added to and taken from a spec's lists.
#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "Options that add to lists and take from them")]
pub struct ListChanges {
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub label_add: Vec<Pair>,
    #[arg(long, value_name = "KEY")]
    pub label_rm: Vec<String>,
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub container_label_add: Vec<Pair>,
    #[arg(long, value_name = "KEY")]
    pub container_label_rm: Vec<String>,
    #[arg(long, value_name = "NAME=VALUE")]
    pub env_add: Vec<String>,
    #[arg(long, value_name = "NAME")]
    pub env_rm: Vec<String>,
    #[arg(long, value_name = "MOUNT", value_parser = mount)]
    pub mount_add: Vec<Mount>,
    #[arg(long, value_name = "TARGET")]
    pub mount_rm: Vec<String>,
    #[arg(long, value_name = "SECRET", value_parser = secret)]
    pub secret_add: Vec<FileRequest>,
    #[arg(long, value_name = "SECRET")]
    pub secret_rm: Vec<String>,
    #[arg(long, value_name = "CONFIG", value_parser = config)]
    pub config_add: Vec<FileRequest>,
    #[arg(long, value_name = "CONFIG")]
    pub config_rm: Vec<String>,
    #[arg(long, value_name = "CONSTRAINT")]
    pub constraint_add: Vec<String>,
    #[arg(long, value_name = "CONSTRAINT")]
    pub constraint_rm: Vec<String>,
    #[arg(long, value_name = "PREF", value_parser = spread)]
    pub placement_pref_add: Vec<String>,
    #[arg(long, value_name = "PREF", value_parser = spread)]
    pub placement_pref_rm: Vec<String>,
    #[arg(long, value_name = "NETWORK", value_parser = attachment)]
    pub network_add: Vec<Attachment>,
    #[arg(long, value_name = "NETWORK")]
    pub network_rm: Vec<String>,
    #[arg(long, value_name = "PORT", value_parser = publish)]
    pub publish_add: Vec<PublishedPorts>,
    /// The address to publish on where an added port says none
    #[arg(long, value_name = "IP", requires = "publish_add", value_parser = ip)]
    pub host_ip: Option<IpAddr>,
    /// By the target port
    #[arg(long, value_name = "PORT", value_parser = removal)]
    pub publish_rm: Vec<Removals>,
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    pub device_add: Vec<Device>,
    /// By the path on the host
    #[arg(long, value_name = "DEVICE")]
    pub device_rm: Vec<String>,
    #[arg(long, value_name = "OPTION")]
    pub security_opt_add: Vec<String>,
    #[arg(long, value_name = "OPTION")]
    pub security_opt_rm: Vec<String>,
    #[arg(long, value_name = "KIND=NUMBER", value_parser = generic_resource)]
    pub generic_resource_add: Vec<DiscreteResource>,
    #[arg(long, value_name = "KIND")]
    pub generic_resource_rm: Vec<String>,
    #[arg(long, value_name = "IP", value_parser = ip_address)]
    pub dns_add: Vec<String>,
    #[arg(long, value_name = "IP")]
    pub dns_rm: Vec<String>,
    #[arg(long, value_name = "OPTION")]
    pub dns_option_add: Vec<String>,
    #[arg(long, value_name = "OPTION")]
    pub dns_option_rm: Vec<String>,
    #[arg(long, value_name = "DOMAIN", value_parser = dns_search)]
    pub dns_search_add: Vec<String>,
    #[arg(long, value_name = "DOMAIN")]
    pub dns_search_rm: Vec<String>,
    #[arg(long, value_name = "NAME:IP", value_parser = extra_host)]
    pub host_add: Vec<ExtraHost>,
    #[arg(long, value_name = "NAME")]
    pub host_rm: Vec<String>,
    #[arg(long, value_name = "GROUP")]
    pub group_add: Vec<String>,
    #[arg(long, value_name = "GROUP")]
    pub group_rm: Vec<String>,
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub sysctl_add: Vec<Pair>,
    #[arg(long, value_name = "KEY")]
    pub sysctl_rm: Vec<String>,
    #[arg(long, value_name = "LIMIT", value_parser = ulimit)]
    pub ulimit_add: Vec<Ulimit>,
    #[arg(long, value_name = "NAME")]
    pub ulimit_rm: Vec<String>,
}

/// What one `--publish-rm` takes away.
#[derive(Debug, Clone, PartialEq)]
pub struct Removals(pub Vec<PortRemoval>);

/// A service asks for a number, and the swarm chooses which.
fn generic_resource(text: &str) -> Result<DiscreteResource, Invalid> {
    let invalid = || {
        Invalid::new(format!(
            "invalid generic-resource request `{text}`: say KIND=NUMBER"
        ))
    };
    let (kind, number) = text.split_once('=').ok_or_else(invalid)?;
    let value = number.parse().ok().filter(|value| *value > 0);
    Ok(DiscreteResource {
        kind: Some(kind.to_owned())
            .filter(|it| !it.is_empty())
            .ok_or_else(invalid)?,
        value: value.ok_or_else(invalid)?,
    })
}

fn device(text: &str) -> Result<Device, Invalid> {
    text.parse()
}

fn removal(text: &str) -> Result<Removals, Invalid> {
    publish_removal(text).map(Removals)
}

#[derive(Debug, Args)]
#[command(mut_arg("filter", |it| it.help("Show only what matches: id=, name=, node=, desired-state=")))]
pub struct ServicePsArgs {
    #[command(flatten)]
    pub tasks: TaskFlags,
    /// Ids or names
    #[arg(value_name = "SERVICE", required = true)]
    pub services: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ServiceInspectArgs {
    #[command(flatten)]
    pub show: InspectFlags,
    /// Ids or names
    #[arg(value_name = "SERVICE", required = true)]
    pub services: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ScaleArgs {
    /// Return at once instead of waiting for the services to converge
    #[arg(short, long, num_args = 0..=1, require_equals = true, value_name = "BOOL",
          default_value = "false", default_missing_value = "true", hide_default_value = true,
          value_parser = boolean)]
    pub detach: bool,
    #[arg(value_name = "SERVICE=REPLICAS", required = true, value_parser = scaling)]
    pub scalings: Vec<Scaling>,
}

/// `web=3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scaling {
    pub service: String,
    pub replicas: u64,
}

fn scaling(text: &str) -> Result<Scaling, Invalid> {
    let (service, replicas) = text
        .split_once('=')
        .filter(|(service, replicas)| !service.is_empty() && !replicas.is_empty())
        .ok_or_else(|| Invalid::new(format!("invalid scale specifier '{text}'")))?;
    let replicas = replicas
        .parse()
        .map_err(|_| Invalid::new(format!("invalid replicas value {replicas}")))?;
    Ok(Scaling {
        service: service.to_owned(),
        replicas,
    })
}

#[derive(Debug, Args)]
pub struct RollbackArgs {
    #[command(flatten)]
    pub wait: WaitFlags,
    /// An id or a name
    #[arg(value_name = "SERVICE")]
    pub service: String,
}

#[derive(Debug, Args)]
pub struct ServiceIds {
    /// Ids or names
    #[arg(value_name = "SERVICE", required = true)]
    pub services: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub struct LogsArgs {
    /// Show the details that the log driver adds
    #[arg(long)]
    pub details: bool,
    /// Go on showing what is logged
    #[arg(short, long)]
    pub follow: bool,
    /// Do not map ids to names
    #[arg(long)]
    pub no_resolve: bool,
    /// Do not show the ids of tasks
    #[arg(long)]
    pub no_task_ids: bool,
    /// Do not shorten ids
    #[arg(long)]
    pub no_trunc: bool,
    /// Show the lines alone
    #[arg(long)]
    pub raw: bool,
    /// Only what was logged since then: 2026-01-02T13:23:37Z, or 42m ago
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only so many lines from the end
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all")]
    pub tail: String,
    /// Show when each line was logged
    #[arg(short, long)]
    pub timestamps: bool,
    /// An id or a name
    #[arg(value_name = "SERVICE|TASK")]
    pub target: String,
}
