//! Which service specs are accepted, in Docker's words
//! (`manager/controlapi/service.go`, measured against 20.10).
//!
//! Called once, at the API's door, before a command is proposed; inside,
//! specs are trusted. The API fills an empty name before.

mod file;
mod image;
mod network;
mod run;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::command::{Refusal, RefusalKind};
use crate::constraint;
use crate::expand;
use crate::file::FileKind;
use crate::spec::{
    ContainerSpec, EndpointMode, EndpointSpec, NetworkAttachment, PortSpec, PublishMode,
    ResourceAmounts, ServiceSpec, TaskSpec, UpdateConfig,
};

pub use file::validate_file;
pub use network::validate_network;

const MAX_NAME: usize = 63;
/// Bounds what one command makes the managers hold.
const MAX_REPLICAS: u64 = 100_000;
/// A change of a plan that gives addresses on all of them is still a few
/// kilobytes, see [`crate::plan::CHANGES_PER_PROPOSAL`].
const MAX_NETWORKS: usize = 32;
const MAX_ALIASES: usize = 64;
const MAX_ALIAS: usize = 253;
const MIN_NANO_CPUS: i64 = 1_000_000;
const MIN_MEMORY: i64 = 4 << 20;
const MIN_HEALTH_PERIOD: Duration = Duration::from_millis(1);

/// # Errors
/// Why the spec is refused, with the kind and text that Docker answers.
pub fn validate_service(spec: &ServiceSpec) -> Result<(), Refusal> {
    check_name(&spec.name)?;
    check_task(&spec.task)?;
    expand::check_service(spec).map_err(|error| invalid(error.to_string()))?;
    check_mode(spec)?;
    run::check_own_network(spec)?;
    run::check_fixed_addresses(spec)?;
    check_update("update", spec.update.as_ref())?;
    check_update("rollback", spec.rollback.as_ref())?;
    spec.endpoint.as_ref().map_or(Ok(()), check_endpoint)
}

fn check_mode(spec: &ServiceSpec) -> Result<(), Refusal> {
    let job = spec.mode.is_job();
    if spec.mode.slots().is_some_and(|slots| slots > MAX_REPLICAS) {
        let what = if job { "completions" } else { "replicas" };
        return Err(invalid(format!(
            "{what} cannot be more than {MAX_REPLICAS}"
        )));
    }
    if job && spec.update.is_some() {
        return Err(invalid("Jobs may not have an update config"));
    }
    Ok(())
}

fn invalid(message: impl Into<String>) -> Refusal {
    RefusalKind::InvalidArgument.because(message)
}

fn check_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(invalid("meta: name must be provided"));
    }
    if !is_word(name, b"-_") {
        return Err(invalid("name must be valid as a DNS name component"));
    }
    if name.len() > MAX_NAME {
        return Err(invalid("name must be 63 characters or fewer"));
    }
    Ok(())
}

/// Letters and digits, and between them also those of `inside`.
fn is_word(text: &str, inside: &[u8]) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|it| it.is_ascii_alphanumeric());
    let mut bytes = text.bytes();
    edge(bytes.clone().next())
        && edge(bytes.clone().next_back())
        && bytes.all(|it| it.is_ascii_alphanumeric() || inside.contains(&it))
}

fn check_task(task: &TaskSpec) -> Result<(), Refusal> {
    check_attachments(&task.networks)?;
    if let Some(resources) = &task.resources {
        let amounts = [&resources.limits, &resources.reservations];
        amounts.into_iter().flatten().try_for_each(check_amounts)?;
    }
    if let Some(placement) = &task.placement {
        constraint::parse_all(&placement.constraints)?;
    }
    check_container(&task.container)
}

fn check_attachments(attachments: &[NetworkAttachment]) -> Result<(), Refusal> {
    if attachments.len() > MAX_NETWORKS {
        return Err(invalid(format!(
            "TaskSpec: a service cannot be on more than {MAX_NETWORKS} networks"
        )));
    }
    let mut targets = BTreeSet::new();
    for attachment in attachments {
        let target = attachment.target;
        if !targets.insert(target) {
            return Err(invalid(format!(
                "TaskSpec: duplicate network attachment: {target}"
            )));
        }
        if attachment.aliases.len() > MAX_ALIASES {
            return Err(invalid(format!(
                "TaskSpec: a service cannot have more than {MAX_ALIASES} aliases on a network"
            )));
        }
        let mut aliases = attachment.aliases.iter();
        if let Some(alias) = aliases.find(|alias| !is_alias(alias)) {
            return Err(invalid(format!(
                "TaskSpec: invalid network alias {alias:?}"
            )));
        }
    }
    Ok(())
}

/// Names that can be asked for in the DNS.
fn is_alias(alias: &str) -> bool {
    let label = |label: &str| {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.len() <= MAX_NAME && label.bytes().all(inside)
    };
    alias.len() <= MAX_ALIAS && alias.split('.').all(label)
}

fn check_amounts(amounts: &ResourceAmounts) -> Result<(), Refusal> {
    let cpus = amounts.nano_cpus;
    if cpus != 0 && cpus < MIN_NANO_CPUS {
        let shown = go_general(cpus as f64 / 1e9);
        return Err(invalid(format!(
            "invalid cpu value {shown}: Must be at least 0.001"
        )));
    }
    let memory = amounts.memory_bytes;
    if memory != 0 && memory < MIN_MEMORY {
        return Err(invalid(format!(
            "invalid memory value {memory}: Must be at least 4MiB"
        )));
    }
    Ok(())
}

/// As Go's `%g` prints a number below 0.001.
fn go_general(value: f64) -> String {
    if value.abs() >= 1e-4 {
        return value.to_string();
    }
    let text = format!("{value:e}");
    match text.split_once("e-") {
        Some((digits, exponent)) => format!("{digits}e-{exponent:0>2}"),
        None => text,
    }
}

fn check_container(container: &ContainerSpec) -> Result<(), Refusal> {
    if container.image.is_empty() {
        return Err(invalid("ContainerSpec: image reference must be provided"));
    }
    if !image::is_reference(&container.image) {
        return Err(invalid(format!(
            "ContainerSpec: {:?} is not a valid repository/tag",
            container.image
        )));
    }
    for kind in FileKind::ALL {
        file::check_references(kind, container.files(kind))?;
    }
    check_mount_points(container)?;
    run::check_run(&container.run)?;
    let Some(check) = &container.healthcheck else {
        return Ok(());
    };
    let periods = [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ];
    for (name, period) in periods {
        if period.is_some_and(|it| !it.is_zero() && it < MIN_HEALTH_PERIOD) {
            return Err(invalid(format!(
                "ContainerSpec: {name} in HealthConfig cannot be less than 1ms"
            )));
        }
    }
    Ok(())
}

/// Each is once, however it is written: the engine would refuse every task.
fn check_mount_points(container: &ContainerSpec) -> Result<(), Refusal> {
    let mounts = container.mounts.iter().map(|it| it.target.clone());
    let files = container.all_files().map(|(kind, it)| it.path(kind));
    let targets: Vec<String> = mounts.chain(files).collect();
    let mut known = BTreeSet::new();
    for target in &targets {
        if !known.insert(resolved(target)) {
            return Err(invalid(format!(
                "ContainerSpec: duplicate mount point: {target}"
            )));
        }
    }
    Ok(())
}

/// The names on the way to an absolute path, where no link is on it.
fn resolved(path: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    names
}

fn check_update(what: &str, config: Option<&UpdateConfig>) -> Result<(), Refusal> {
    let ratio = config.map_or(0.0, |config| config.max_failure_ratio);
    if (0.0..=1.0).contains(&ratio) {
        return Ok(());
    }
    Err(invalid(format!(
        "TaskSpec: {what}-maxfailureratio cannot be less than 0 or bigger than 1"
    )))
}

fn check_endpoint(endpoint: &EndpointSpec) -> Result<(), Refusal> {
    let dnsrr = endpoint.mode == Some(EndpointMode::Dnsrr);
    let mut published: BTreeMap<_, Vec<&PortSpec>> = BTreeMap::new();
    for port in &endpoint.ports {
        if dnsrr && port.mode == PublishMode::Ingress {
            return Err(invalid(
                "EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
            ));
        }
        if port.target == 0 {
            return Err(invalid("EndpointSpec: target port must be provided"));
        }
        let same = published
            .entry((port.protocol, port.published))
            .or_default();
        if same.iter().any(|other| other.collides_with(port)) {
            return Err(invalid("EndpointSpec: duplicate published ports provided"));
        }
        same.push(port);
    }
    check_addresses(endpoint, dnsrr)
}

/// VIPs that users name; whether they are free is seen when they are taken.
fn check_addresses(endpoint: &EndpointSpec, dnsrr: bool) -> Result<(), Refusal> {
    for (network, addrs) in &endpoint.addresses {
        if dnsrr && !addrs.is_empty() {
            return Err(invalid(
                "EndpointSpec: a service in dnsrr mode has no virtual IP",
            ));
        }
        let of_family = |v4: bool| addrs.iter().filter(move |it| it.is_ipv4() == v4).count();
        if of_family(true) > 1 || of_family(false) > 1 {
            return Err(invalid(format!(
                "EndpointSpec: more than one virtual IP of a family on network {network}"
            )));
        }
    }
    Ok(())
}
