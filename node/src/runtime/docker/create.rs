//! From an assignment to the body of `POST /containers/create`.
//!
//! The mapping is Docker Swarm's: `command` becomes the entrypoint and `args`
//! the command, reservations are the scheduler's business alone, and the
//! engine never restarts a task's container by itself. What a spec leaves out
//! is left out here as well, so that the image's and the engine's defaults hold.

mod run;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigIsolationEnum, HostConfigLogConfig,
    Mount as EngineMount, MountBindOptions, MountTmpfsOptions, MountType, MountVolumeOptions,
    MountVolumeOptionsDriverConfig, NetworkingConfig, PortBinding, PortMap, ResourcesUlimits,
};
use overlay::dns::resolv::Resolv;
use services::generic::environment;
use services::spec::{
    ContainerSpec, Driver, Healthcheck, Mount, MountKind, PortSpec, PublishMode, ResourceAmounts,
    TaskSpec,
};
use services::{Assignment, Id};

use super::label;
use super::networks::Connection;
use crate::runtime::{FileMount, Result, RuntimeError, dns};

/// The body that makes the assignment's container on `node`.
///
/// Fails only for words that the engine could not understand either (a mount
/// propagation or an isolation that does not exist).
pub(super) fn container_body(assignment: &Assignment, node: Id) -> Result<ContainerCreateBody> {
    let task = &assignment.spec.task;
    let container = &task.container;
    let ports = host_ports(assignment);
    let given = environment(&assignment.generic);
    let env: Vec<String> = container.env.iter().cloned().chain(given).collect();
    Ok(ContainerCreateBody {
        image: Some(container.image.clone()),
        labels: Some(labels(assignment, node)),
        entrypoint: filled(&container.command),
        cmd: filled(&container.args),
        env: filled(&env),
        hostname: container.hostname.clone(),
        user: container.user.clone(),
        working_dir: container.workdir.clone(),
        tty: container.tty.then_some(true),
        open_stdin: container.open_stdin.then_some(true),
        healthcheck: container.healthcheck.as_ref().map(health_config),
        stop_signal: container.stop_signal.clone(),
        stop_timeout: Some(whole_seconds(task.stop_grace()).into()),
        exposed_ports: filled(&ports).map(|ports| ports.iter().map(port_key).collect()),
        host_config: Some(host_config(task, &ports)?),
        ..Default::default()
    })
}

/// Puts the container on its first network; engines before API 1.44 take no more
/// than one when they create. It asks the name server at `gateway`.
pub(super) fn connect(
    body: &mut ContainerCreateBody,
    assignment: &Assignment,
    first: &Connection,
    gateway: Ipv4Addr,
) {
    let endpoint = (first.name.clone(), first.endpoint.clone());
    body.networking_config = Some(NetworkingConfig {
        endpoints_config: Some(HashMap::from([endpoint])),
    });
    let host = body.host_config.get_or_insert_default();
    host.network_mode = Some(first.name.clone());
    let resolv = Resolv::of(&dns::wanted(assignment), Some(gateway));
    let servers: Vec<String> = resolv.servers.iter().map(IpAddr::to_string).collect();
    host.dns = filled(&servers);
    host.dns_search = filled(&resolv.search);
    host.dns_options = filled(&resolv.options);
    // A client may come in by one interface and have its answer by another: the
    // default route's.
    let sysctls = host.sysctls.get_or_insert_default();
    let sysctl = sysctls.entry("net.ipv4.conf.all.rp_filter".to_owned());
    sysctl.or_insert_with(|| "2".to_owned());
}

/// Gives the container these files of the host, read-only.
pub(super) fn mount_files(body: &mut ContainerCreateBody, files: &[FileMount]) {
    if files.is_empty() {
        return;
    }
    let host = body.host_config.get_or_insert_default();
    let mounts = files.iter().map(|file| EngineMount {
        typ: Some(MountType::BIND),
        source: Some(file.source.to_string_lossy().into_owned()),
        target: Some(file.target.clone()),
        read_only: Some(true),
        ..Default::default()
    });
    host.mounts.get_or_insert_default().extend(mounts);
}

/// Has ports of the host lead to the container.
pub(super) fn publish(body: &mut ContainerCreateBody, ports: &[PortSpec]) {
    let host = body.host_config.get_or_insert_default();
    host.port_bindings = (!ports.is_empty()).then(|| port_bindings(ports));
}

/// Grace periods are whole seconds in the API; a shorter one is not none.
pub(super) fn whole_seconds(duration: Duration) -> i32 {
    let round_up = u64::from(duration.subsec_nanos() > 0);
    i32::try_from(duration.as_secs().saturating_add(round_up)).unwrap_or(i32::MAX)
}

fn labels(assignment: &Assignment, node: Id) -> HashMap<String, String> {
    let ours = [
        (label::TASK, String::new()),
        (label::TASK_ID, assignment.task.to_string()),
        (label::TASK_NAME, assignment.container_name(node)),
        (label::NODE_ID, node.to_string()),
        (label::SERVICE_ID, assignment.service.to_string()),
        (label::SERVICE_NAME, assignment.spec.name.clone()),
    ];
    let theirs = assignment.spec.task.container.labels.clone();
    theirs
        .into_iter()
        .chain(ours.map(|(name, value)| (name.to_owned(), value)))
        .collect()
}

pub(super) fn host_ports(assignment: &Assignment) -> Vec<PortSpec> {
    let endpoint = assignment.spec.endpoint.as_ref();
    endpoint
        .map_or(&[][..], |endpoint| &endpoint.ports)
        .iter()
        .filter(|port| port.mode == PublishMode::Host)
        .cloned()
        .collect()
}

fn port_key(port: &PortSpec) -> String {
    format!("{}/{}", port.target, port.protocol.as_str())
}

fn port_bindings(ports: &[PortSpec]) -> PortMap {
    let mut bindings = PortMap::new();
    for port in ports {
        let host_port = match port.published {
            0 => String::new(),
            published => published.to_string(),
        };
        bindings
            .entry(port_key(port))
            .or_default()
            .get_or_insert_default()
            .push(PortBinding {
                host_ip: port.host_ip.map(|addr| addr.to_string()),
                host_port: Some(host_port),
            });
    }
    bindings
}

fn host_config(task: &TaskSpec, ports: &[PortSpec]) -> Result<HostConfig> {
    let container = &task.container;
    let limits = limits(task);
    let dns = container.dns.clone().unwrap_or_default();
    Ok(HostConfig {
        nano_cpus: non_zero(limits.nano_cpus),
        memory: non_zero(limits.memory_bytes),
        pids_limit: non_zero(limits.pids),
        ulimits: filled(&container.ulimits).map(|_| ulimits(container)),
        group_add: filled(&container.groups),
        port_bindings: (!ports.is_empty()).then(|| port_bindings(ports)),
        mounts: match container.mounts.as_slice() {
            [] => None,
            mounts => Some(mounts.iter().map(mount).collect::<Result<_>>()?),
        },
        readonly_rootfs: container.read_only.then_some(true),
        init: container.init,
        isolation: container.isolation.as_deref().map(isolation).transpose()?,
        sysctls: (!container.sysctls.is_empty()).then(|| owned(&container.sysctls)),
        cap_add: filled(&container.cap_add),
        cap_drop: filled(&container.cap_drop),
        oom_score_adj: container.oom_score_adj,
        dns: filled(&dns.nameservers),
        dns_search: filled(&dns.search),
        dns_options: filled(&dns.options),
        extra_hosts: filled(&container.hosts)
            .map(|hosts| hosts.iter().flat_map(|line| extra_hosts(line)).collect()),
        log_config: task.log_driver.as_ref().map(log_config),
        network_mode: task.own_network.map(|network| network.as_str().to_owned()),
        ..run::host_config(&container.run)
    })
}

fn limits(task: &TaskSpec) -> ResourceAmounts {
    let resources = task.resources.as_ref();
    resources
        .and_then(|resources| resources.limits.clone())
        .unwrap_or_default()
}

fn ulimits(container: &ContainerSpec) -> Vec<ResourcesUlimits> {
    let ulimits = container.ulimits.iter();
    ulimits
        .map(|ulimit| ResourcesUlimits {
            name: Some(ulimit.name.clone()),
            soft: Some(ulimit.soft),
            hard: Some(ulimit.hard),
        })
        .collect()
}

fn isolation(word: &str) -> Result<HostConfigIsolationEnum> {
    word.parse()
        .map_err(|_| RuntimeError::Refused(format!("invalid isolation: {word}")))
}

/// `IP name [alias…]` as `name:IP` each.
fn extra_hosts(line: &str) -> Vec<String> {
    let mut words = line.split_whitespace();
    let address = words.next().unwrap_or_default();
    words.map(|name| format!("{name}:{address}")).collect()
}

fn log_config(driver: &Driver) -> HostConfigLogConfig {
    HostConfigLogConfig {
        typ: Some(driver.name.clone()).filter(|name| !name.is_empty()),
        config: Some(owned(&driver.options)),
    }
}

fn health_config(check: &Healthcheck) -> HealthConfig {
    HealthConfig {
        test: filled(&check.test),
        interval: check.interval.map(nanoseconds),
        timeout: check.timeout.map(nanoseconds),
        start_period: check.start_period.map(nanoseconds),
        start_interval: check.start_interval.map(nanoseconds),
        retries: check.retries.map(i64::from),
    }
}

fn mount(mount: &Mount) -> Result<EngineMount> {
    Ok(EngineMount {
        typ: Some(match mount.kind {
            MountKind::Bind => MountType::BIND,
            MountKind::Volume => MountType::VOLUME,
            MountKind::Tmpfs => MountType::TMPFS,
        }),
        source: Some(mount.source.clone()).filter(|source| !source.is_empty()),
        target: Some(mount.target.clone()),
        read_only: mount.read_only.then_some(true),
        consistency: mount.consistency.clone(),
        bind_options: match &mount.bind {
            None => None,
            Some(bind) => Some(MountBindOptions {
                propagation: match bind.propagation.as_deref() {
                    None | Some("") => None,
                    Some(word) => Some(word.parse().map_err(|_| {
                        RuntimeError::Refused(format!("invalid mount propagation: {word}"))
                    })?),
                },
                non_recursive: bind.non_recursive.then_some(true),
                create_mountpoint: bind.create_mountpoint.then_some(true),
                ..Default::default()
            }),
        },
        volume_options: mount.volume.as_ref().map(|volume| MountVolumeOptions {
            no_copy: volume.no_copy.then_some(true),
            labels: (!volume.labels.is_empty()).then(|| owned(&volume.labels)),
            driver_config: volume
                .driver
                .as_ref()
                .map(|driver| MountVolumeOptionsDriverConfig {
                    name: Some(driver.name.clone()).filter(|name| !name.is_empty()),
                    options: (!driver.options.is_empty()).then(|| owned(&driver.options)),
                }),
            subpath: volume.subpath.clone(),
        }),
        tmpfs_options: mount.tmpfs.as_ref().map(|tmpfs| MountTmpfsOptions {
            size_bytes: tmpfs.size_bytes,
            mode: tmpfs.mode.map(i64::from),
            ..Default::default()
        }),
        ..Default::default()
    })
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn non_zero(amount: i64) -> Option<i64> {
    Some(amount).filter(|amount| *amount != 0)
}

fn filled<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    Some(list.to_vec()).filter(|list| !list.is_empty())
}

fn owned(map: &std::collections::BTreeMap<String, String>) -> HashMap<String, String> {
    map.clone().into_iter().collect()
}

#[cfg(test)]
mod tests;
