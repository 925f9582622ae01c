//! From flags to the spec of a service.
//!
//! Creating and updating are the same act: flags are laid over a spec. To
//! create is to lay them over an empty one. What no flag names stays as it is,
//! so an update sends back fields that this version has never heard of.

mod files;
mod flags;
mod lists;
mod mode;
mod network;
mod options;

#[cfg(test)]
mod tests;

pub use flags::capabilities;
pub use mode::scale;
pub use network::{Ids, network};
pub use options::{Profiles, seccomp_path};

use super::args::{CreateArgs, ListChanges, ServiceFlags, UpdateArgs};
use super::values::{Invalid, Pair, env_file, merge_env, resolve_env, tagged};
use crate::api::dto::{
    ContainerSpec, DnsConfig, EndpointSpec, Labels, PlacementPreference, ServiceSpec, SpreadOver,
};

/// Looks up a variable of the caller's environment.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What names on the command line stand for.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub networks: Ids,
    pub secrets: Ids,
    pub configs: Ids,
    pub profiles: Profiles,
}

/// The spec that `service create` sends. `env_files` are the texts of the
/// files that `--env-file` names.
pub fn create(
    args: &CreateArgs,
    env_files: &[String],
    lookup: Lookup<'_>,
    known: &Known,
) -> Result<ServiceSpec, Invalid> {
    let mut env = Vec::new();
    for text in env_files {
        merge_env(&mut env, env_file(text, lookup)?);
    }
    merge_env(
        &mut env,
        args.env.iter().map(|entry| resolve_env(entry, lookup)),
    );

    let (image, command) = match args.image_and_args.split_first() {
        Some((image, command)) => (tagged(image), command.to_vec()),
        None => return Err(Invalid::new("an image is required")),
    };
    let mut spec = ServiceSpec {
        name: args.name.clone().unwrap_or_default(),
        labels: labels(&args.label),
        mode: mode::of(args.mode, &args.flags)?,
        ..ServiceSpec::default()
    };
    spec.task_template.container_spec = Some(ContainerSpec {
        image,
        args: command,
        labels: labels(&args.container_label),
        env,
        groups: args.group.clone(),
        mounts: args.mount.clone(),
        hosts: args.host.iter().map(|host| host.entry()).collect(),
        dns_config: dns(args),
        sysctls: labels(&args.sysctl),
        ulimits: args.ulimit.clone(),
        ..ContainerSpec::default()
    });
    if !args.constraint.is_empty() || !args.placement_pref.is_empty() {
        let placement = spec.task_template.placement.get_or_insert_default();
        placement.constraints = args.constraint.clone();
        placement.preferences = args
            .placement_pref
            .iter()
            .map(|over| preference(over))
            .collect();
    }
    files::add(
        container(&mut spec),
        (&args.secret, &known.secrets),
        (&args.config, &known.configs),
    )?;
    network::attach(&mut spec, &args.network, &known.networks)?;
    options::reserve(&mut spec, &args.generic_resource);
    options::add_devices(&mut spec.labels, &args.device);
    options::add_security(&mut spec.labels, &args.security_opt, known)?;
    if !args.publish.is_empty() {
        spec.endpoint_spec = Some(EndpointSpec {
            ports: lists::ports(&args.publish, args.host_ip)?,
            ..EndpointSpec::default()
        });
    }
    flags::apply(&args.flags, &mut spec)?;
    Ok(spec)
}

/// What `service update` sends instead of `spec`.
pub fn update(
    args: &UpdateArgs,
    mut spec: ServiceSpec,
    lookup: Lookup<'_>,
    known: &Known,
) -> Result<ServiceSpec, Invalid> {
    mode::change(&mut spec.mode, &args.flags)?;
    let container = container(&mut spec);
    if let Some(image) = &args.image {
        container.image = tagged(image);
    }
    if let Some(words) = &args.args {
        container.args.clone_from(&words.0);
    }
    lists::apply(&args.lists, &mut spec, lookup)?;
    let changes = &args.lists;
    network::detach(&mut spec, &changes.network_rm, &known.networks);
    network::attach(&mut spec, &changes.network_add, &known.networks)?;
    options::unreserve(&mut spec, &changes.generic_resource_rm);
    options::reserve(&mut spec, &changes.generic_resource_add);
    options::remove_devices(&mut spec.labels, &changes.device_rm);
    options::add_devices(&mut spec.labels, &changes.device_add);
    options::remove_security(&mut spec.labels, &changes.security_opt_rm);
    options::add_security(&mut spec.labels, &changes.security_opt_add, known)?;
    let container = self::container(&mut spec);
    files::remove(container, &changes.secret_rm, &changes.config_rm);
    files::add(
        container,
        (&changes.secret_add, &known.secrets),
        (&changes.config_add, &known.configs),
    )?;
    flags::apply(&args.flags, &mut spec)?;
    if args.force {
        spec.task_template.force_update += 1;
    }
    Ok(spec)
}

/// That nothing but `--rollback` is asked for.
pub fn only_rolls_back(args: &UpdateArgs) -> Result<(), Invalid> {
    let nothing_else = args.image.is_none()
        && args.args.is_none()
        && !args.force
        && args.lists == ListChanges::default()
        && args.flags == ServiceFlags::default();
    match nothing_else {
        true => Ok(()),
        false => Err(Invalid::new(
            "other flags may not be combined with --rollback",
        )),
    }
}

fn dns(args: &CreateArgs) -> Option<DnsConfig> {
    let dns = DnsConfig {
        nameservers: args.dns.clone(),
        search: args.dns_search.clone(),
        options: args.dns_option.clone(),
    };
    (dns != DnsConfig::default()).then_some(dns)
}

fn container(spec: &mut ServiceSpec) -> &mut ContainerSpec {
    spec.task_template.container_spec.get_or_insert_default()
}

pub fn labels(pairs: &[Pair]) -> Labels {
    pairs
        .iter()
        .map(|pair| (pair.key.clone(), pair.value.clone()))
        .collect()
}

fn preference(over: &str) -> PlacementPreference {
    PlacementPreference {
        spread: Some(SpreadOver {
            spread_descriptor: over.to_owned(),
        }),
    }
}
