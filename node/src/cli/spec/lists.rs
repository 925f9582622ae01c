//! `--x-add` and `--x-rm`, laid over the lists of a spec.
//!
//! Removals come first, so that naming the same thing in both replaces it. What
//! stays keeps its place: a list in another order is another spec, and its
//! tasks would be replaced.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Lookup, container, preference};
use crate::api::dto::{ContainerSpec, DnsConfig, Mount, PortConfig, ServiceSpec};
use crate::cli::args::ListChanges;
use crate::cli::values::{
    Invalid, Pair, PublishedPorts, host_name, key_of, merge_env, resolve_env,
};

pub fn apply(
    changes: &ListChanges,
    spec: &mut ServiceSpec,
    lookup: Lookup<'_>,
) -> Result<(), Invalid> {
    change_map(&mut spec.labels, &changes.label_add, &changes.label_rm);
    change_placement(changes, spec);
    if !changes.publish_add.is_empty() || !changes.publish_rm.is_empty() {
        change_ports(changes, spec)?;
    }
    change_container(changes, container(spec), lookup)
}

fn change_container(
    changes: &ListChanges,
    container: &mut ContainerSpec,
    lookup: Lookup<'_>,
) -> Result<(), Invalid> {
    change_map(
        &mut container.labels,
        &changes.container_label_add,
        &changes.container_label_rm,
    );
    change_map(
        &mut container.sysctls,
        &changes.sysctl_add,
        &changes.sysctl_rm,
    );

    let unset = |entry: &String| changes.env_rm.iter().any(|name| name == key_of(entry));
    container.env.retain(|entry| !unset(entry));
    let env = changes
        .env_add
        .iter()
        .map(|entry| resolve_env(entry, lookup));
    merge_env(&mut container.env, env);

    change_mounts(&mut container.mounts, &changes.mount_add, &changes.mount_rm)?;
    change_strings(&mut container.groups, &changes.group_add, &changes.group_rm);
    change_hosts(changes, &mut container.hosts);
    change_dns(changes, container);

    let listed = |names: &[String], name: &str| names.iter().any(|n| n == name);
    container
        .ulimits
        .retain(|limit| !listed(&changes.ulimit_rm, &limit.name));
    for limit in &changes.ulimit_add {
        container.ulimits.retain(|known| known.name != limit.name);
        container.ulimits.push(limit.clone());
    }
    Ok(())
}

fn change_map(map: &mut BTreeMap<String, String>, add: &[Pair], remove: &[String]) {
    for key in remove {
        map.remove(key);
    }
    for pair in add {
        map.insert(pair.key.clone(), pair.value.clone());
    }
}

fn change_strings(list: &mut Vec<String>, add: &[String], remove: &[String]) {
    list.retain(|item| !remove.contains(item));
    for item in add {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

fn change_placement(changes: &ListChanges, spec: &mut ServiceSpec) {
    let unchanged = changes.constraint_add.is_empty()
        && changes.constraint_rm.is_empty()
        && changes.placement_pref_add.is_empty()
        && changes.placement_pref_rm.is_empty();
    if unchanged {
        return;
    }
    let placement = spec.task_template.placement.get_or_insert_default();
    change_strings(
        &mut placement.constraints,
        &changes.constraint_add,
        &changes.constraint_rm,
    );
    let preferences = |list: &[String]| list.iter().map(|over| preference(over)).collect();
    let removed: Vec<_> = preferences(&changes.placement_pref_rm);
    placement.preferences.retain(|pref| !removed.contains(pref));
    let mut added: Vec<_> = preferences(&changes.placement_pref_add);
    placement.preferences.append(&mut added);
}

fn change_ports(changes: &ListChanges, spec: &mut ServiceSpec) -> Result<(), Invalid> {
    let is_removed = |port: &PortConfig| {
        let mut removals = changes.publish_rm.iter().flat_map(|removals| &removals.0);
        removals.any(|removal| removal.matches(port))
    };
    let ports = &mut spec.endpoint_spec.get_or_insert_default().ports;
    for port in ports.iter().filter(|port| is_removed(port)) {
        spec.labels.remove(&port.host_ip_label());
    }
    ports.retain(|port| !is_removed(port));
    for port in self::ports(&changes.publish_add, changes.host_ip)? {
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    Ok(())
}

/// The ports that flags publish, on `host_ip` where they do not say an address.
pub fn ports(
    published: &[PublishedPorts],
    host_ip: Option<IpAddr>,
) -> Result<Vec<PortConfig>, Invalid> {
    let host_ip = host_ip.filter(|ip| !ip.is_unspecified());
    let mut ports: Vec<PortConfig> = published.iter().flat_map(|it| it.0.clone()).collect();
    for port in &mut ports {
        match host_ip {
            Some(ip) if port.host_ip.is_empty() && port.published_port == 0 => {
                return Err(Invalid::new(format!(
                    "target port {} is published on {ip}: say on which port, too",
                    port.target_port
                )));
            }
            Some(ip) if port.host_ip.is_empty() => port.host_ip = ip.to_string(),
            _ => {}
        }
    }
    Ok(ports)
}

/// A mount is known by its target.
fn change_mounts(mounts: &mut Vec<Mount>, add: &[Mount], remove: &[String]) -> Result<(), Invalid> {
    mounts.retain(|mount| !remove.contains(&mount.target));
    for (index, mount) in add.iter().enumerate() {
        if add[..index]
            .iter()
            .any(|other| other.target == mount.target)
        {
            return Err(Invalid::new(format!(
                "duplicate mount target: {}",
                mount.target
            )));
        }
        match mounts.iter_mut().find(|known| known.target == mount.target) {
            Some(known) => known.clone_from(mount),
            None => mounts.push(mount.clone()),
        }
    }
    Ok(())
}

fn change_hosts(changes: &ListChanges, hosts: &mut Vec<String>) {
    let removed: Vec<&str> = changes.host_rm.iter().map(|host| host_name(host)).collect();
    hosts.retain(|entry| {
        let name = entry.split_whitespace().nth(1);
        name.is_none_or(|name| !removed.contains(&name))
    });
    let added: Vec<String> = changes.host_add.iter().map(|host| host.entry()).collect();
    change_strings(hosts, &added, &[]);
}

fn change_dns(changes: &ListChanges, container: &mut ContainerSpec) {
    let mut dns = container.dns_config.clone().unwrap_or_default();
    change_strings(&mut dns.nameservers, &changes.dns_add, &changes.dns_rm);
    change_strings(
        &mut dns.search,
        &changes.dns_search_add,
        &changes.dns_search_rm,
    );
    change_strings(
        &mut dns.options,
        &changes.dns_option_add,
        &changes.dns_option_rm,
    );
    if dns != DnsConfig::default() || container.dns_config.is_some() {
        container.dns_config = Some(dns);
    }
}
