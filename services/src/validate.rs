//! Which service specs are accepted, in Docker's words
//! (`manager/controlapi/service.go`, measured against 20.10).
//!
//! Called once, at the API's door, before a command is proposed; inside,
//! specs are trusted. The API fills an empty name before.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::command::{Refusal, RefusalKind};
use crate::constraint;
use crate::spec::{
    ContainerSpec, EndpointMode, EndpointSpec, PublishMode, ResourceAmounts, ServiceSpec, TaskSpec,
    UpdateConfig,
};

const MAX_NAME: usize = 63;
const MIN_NANO_CPUS: i64 = 1_000_000;
const MIN_MEMORY: i64 = 4 << 20;
const MIN_HEALTH_PERIOD: Duration = Duration::from_millis(1);
/// Goes away with the overlay network.
const NO_INGRESS_YET: &str =
    "ports can be published in host mode only until the overlay network is there; use mode=host";

/// # Errors
/// Why the spec is refused, with the kind and text that Docker answers.
pub fn validate_service(spec: &ServiceSpec) -> Result<(), Refusal> {
    check_name(&spec.name)?;
    check_task(&spec.task)?;
    check_update("update", spec.update.as_ref())?;
    check_update("rollback", spec.rollback.as_ref())?;
    spec.endpoint.as_ref().map_or(Ok(()), check_endpoint)
}

fn invalid(message: impl Into<String>) -> Refusal {
    RefusalKind::InvalidArgument.because(message)
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let edge = |byte: Option<u8>| byte.is_some_and(|it| it.is_ascii_alphanumeric());
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() {
        return Err(invalid("meta: name must be provided"));
    }
    if !(edge(name.bytes().next()) && edge(name.bytes().last()) && name.bytes().all(inside)) {
        return Err(invalid("name must be valid as a DNS name component"));
    }
    if name.len() > MAX_NAME {
        return Err(invalid("name must be 63 characters or fewer"));
    }
    Ok(())
}

fn check_task(task: &TaskSpec) -> Result<(), Refusal> {
    if let Some(resources) = &task.resources {
        let amounts = [&resources.limits, &resources.reservations];
        amounts.into_iter().flatten().try_for_each(check_amounts)?;
    }
    if let Some(placement) = &task.placement {
        constraint::parse_all(&placement.constraints)?;
    }
    check_container(&task.container)
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
    let mut targets = BTreeSet::new();
    for mount in &container.mounts {
        if !targets.insert(&mount.target) {
            return Err(invalid(format!(
                "ContainerSpec: duplicate mount point: {}",
                mount.target
            )));
        }
    }
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
    let mut published = BTreeSet::new();
    for port in &endpoint.ports {
        if dnsrr && port.mode == PublishMode::Ingress {
            return Err(invalid(
                "EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
            ));
        }
        if port.target == 0 {
            return Err(invalid("EndpointSpec: target port must be provided"));
        }
        if port.published != 0 && !published.insert((port.protocol, port.published)) {
            return Err(invalid("EndpointSpec: duplicate published ports provided"));
        }
    }
    let ingress = |port: &crate::spec::PortSpec| port.mode == PublishMode::Ingress;
    if endpoint.ports.iter().any(ingress) {
        return Err(RefusalKind::Unimplemented.because(NO_INGRESS_YET));
    }
    Ok(())
}

/// The grammar of image references (`distribution/reference`):
/// `[domain/]path[:tag][@digest]`.
mod image {
    const MAX_NAME: usize = 255;
    const MAX_TAG: usize = 128;

    pub(super) fn is_reference(text: &str) -> bool {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            // A colon before a slash belongs to a registry's port.
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        is_name(name)
            && tag.is_none_or(is_tag)
            && digest.is_none_or(is_digest)
            && !is_bare_digest(text)
    }

    fn is_name(name: &str) -> bool {
        let (domain, path) = match name.split_once('/') {
            Some((head, path)) if is_domain_like(head) => (Some(head), path),
            _ => (None, name),
        };
        name.len() <= MAX_NAME
            && domain.is_none_or(is_domain)
            && path.split('/').all(is_path_component)
    }

    fn is_domain_like(head: &str) -> bool {
        head == "localhost"
            || head
                .chars()
                .any(|it| it == '.' || it == ':' || it.is_ascii_uppercase())
    }

    fn is_domain(domain: &str) -> bool {
        let (host, port) = match domain.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (domain, None),
        };
        let is_port = |port: &str| !port.is_empty() && port.bytes().all(|it| it.is_ascii_digit());
        let bracketed = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let is_host = match bracketed {
            Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
            None => host.split('.').all(is_host_component),
        };
        is_host && port.is_none_or(is_port)
    }

    fn is_host_component(part: &str) -> bool {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || it == b'-')
    }

    /// Lower-case alphanumerics with `.`, `_`, `__` or dashes between them.
    fn is_path_component(part: &str) -> bool {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let separators = part.split(|it: char| it.is_ascii() && word(it as u8));
        let edges = part.bytes().next().is_some_and(word) && part.bytes().last().is_some_and(word);
        let is_separator =
            |it: &str| matches!(it, "" | "." | "_" | "__") || it.bytes().all(|byte| byte == b'-');
        edges && separators.into_iter().all(is_separator)
    }

    fn is_tag(tag: &str) -> bool {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        tag.len() <= MAX_TAG
            && tag.bytes().next().is_some_and(word)
            && tag.bytes().all(|it| word(it) || it == b'.' || it == b'-')
    }

    fn is_digest(digest: &str) -> bool {
        let Some((algorithm, hex)) = digest.split_once(':') else {
            return false;
        };
        let named = algorithm
            .bytes()
            .next()
            .is_some_and(|it| it.is_ascii_alphabetic())
            && algorithm
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || b"+._-".contains(&it));
        named && hex.len() >= 32 && hex.bytes().all(|it| it.is_ascii_hexdigit())
    }

    /// 64 hexadecimal digits mean an image's id, which is no name.
    fn is_bare_digest(text: &str) -> bool {
        text.len() == 64
            && text
                .bytes()
                .all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Mount, MountKind, Placement, PortSpec, Protocol, Resources};
    use proptest::prelude::*;

    fn web() -> ServiceSpec {
        let mut spec = ServiceSpec {
            name: "web".to_owned(),
            ..ServiceSpec::default()
        };
        spec.task.container.image = "nginx:1".to_owned();
        spec
    }

    /// `edit` of an accepted spec must be refused so.
    fn check(kind: RefusalKind, message: &str, edit: impl FnOnce(&mut ServiceSpec)) {
        let mut spec = web();
        assert_eq!(validate_service(&spec), Ok(()));
        edit(&mut spec);
        assert_eq!(validate_service(&spec), Err(kind.because(message)));
    }

    fn check_invalid(message: &str, edit: impl FnOnce(&mut ServiceSpec)) {
        check(RefusalKind::InvalidArgument, message, edit);
    }

    fn mount(target: &str) -> Mount {
        Mount {
            kind: MountKind::Tmpfs,
            source: String::new(),
            target: target.to_owned(),
            read_only: false,
            consistency: None,
            bind: None,
            volume: None,
            tmpfs: None,
        }
    }

    fn port(published: u16, mode: PublishMode) -> PortSpec {
        PortSpec {
            name: None,
            protocol: Protocol::Tcp,
            target: 80,
            published,
            mode,
        }
    }

    fn reserve(spec: &mut ServiceSpec, amounts: ResourceAmounts) {
        spec.task.resources = Some(Resources {
            limits: None,
            reservations: Some(amounts),
        });
    }

    fn publish(spec: &mut ServiceSpec, ports: Vec<PortSpec>) {
        spec.endpoint = Some(EndpointSpec { mode: None, ports });
    }

    #[test]
    fn names_are_dns_components() {
        let dns = "name must be valid as a DNS name component";
        check_invalid(dns, |spec| spec.name = "a b".to_owned());
        check_invalid(dns, |spec| spec.name = "-web".to_owned());
        check_invalid(dns, |spec| spec.name = "web.1".to_owned());
        check_invalid("name must be 63 characters or fewer", |spec| {
            spec.name = "a".repeat(64);
        });
        let stack = ServiceSpec {
            name: "shop_web-2".to_owned(),
            ..web()
        };
        assert_eq!(validate_service(&stack), Ok(()));
    }

    #[test]
    fn an_image_is_needed_and_must_be_a_reference() {
        check_invalid("ContainerSpec: image reference must be provided", |spec| {
            spec.task.container.image.clear();
        });
        check_invalid(
            "ContainerSpec: \"BAD IMAGE\" is not a valid repository/tag",
            |spec| spec.task.container.image = "BAD IMAGE".to_owned(),
        );
    }

    #[test]
    fn image_references_follow_the_grammar() {
        let hex = "0123456789abcdef".repeat(4);
        let good = [
            "busybox",
            "library/busybox:1.36",
            "ghcr.io/a/b_c__d-e.f:v1.0-rc_1",
            "localhost:5000/x",
            "[fd00::1]:5000/x/y",
            "Registry/x",
            &format!("nginx:1@sha256:{hex}"),
        ];
        let bad = [
            "",
            "Busybox",
            "a//b",
            "a/",
            "x:",
            "x:.1",
            "x@sha256:12",
            "a___b",
            "_a",
            "re gistry.io/x",
            "host:port/x",
            &hex,
        ];
        assert!(good.iter().all(|it| image::is_reference(it)), "{good:?}");
        for text in bad {
            assert!(!image::is_reference(text), "{text}");
        }
    }

    #[test]
    fn reservations_have_a_minimum() {
        check_invalid("invalid cpu value 1e-09: Must be at least 0.001", |spec| {
            reserve(
                spec,
                ResourceAmounts {
                    nano_cpus: 1,
                    ..ResourceAmounts::default()
                },
            );
        });
        check_invalid("invalid cpu value 0.0005: Must be at least 0.001", |spec| {
            reserve(
                spec,
                ResourceAmounts {
                    nano_cpus: 500_000,
                    ..ResourceAmounts::default()
                },
            );
        });
        check_invalid("invalid memory value 100: Must be at least 4MiB", |spec| {
            reserve(
                spec,
                ResourceAmounts {
                    memory_bytes: 100,
                    ..ResourceAmounts::default()
                },
            );
        });
    }

    #[test]
    fn a_mount_point_is_used_once() {
        check_invalid("ContainerSpec: duplicate mount point: /a", |spec| {
            spec.task.container.mounts = vec![mount("/a"), mount("/b"), mount("/a")];
        });
    }

    #[test]
    fn a_bad_constraint_is_of_unknown_kind_as_in_docker() {
        check(
            RefusalKind::Unknown,
            "constraint expected one operator from ==, !=",
            |spec| {
                spec.task.placement = Some(Placement {
                    constraints: vec!["node.role=manager".to_owned()],
                    ..Placement::default()
                });
            },
        );
    }

    #[test]
    fn a_failure_ratio_is_a_ratio() {
        let text = "TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1";
        for ratio in [-0.1, 1.1, f64::NAN] {
            check_invalid(text, |spec| {
                spec.update = Some(UpdateConfig {
                    max_failure_ratio: ratio,
                    ..UpdateConfig::default()
                });
            });
        }
    }

    #[test]
    fn ports_are_published_once_and_on_the_host_only() {
        check_invalid("EndpointSpec: duplicate published ports provided", |spec| {
            publish(
                spec,
                vec![port(80, PublishMode::Host), port(80, PublishMode::Host)],
            );
        });
        check_invalid(
            "EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
            |spec| {
                spec.endpoint = Some(EndpointSpec {
                    mode: Some(EndpointMode::Dnsrr),
                    ports: vec![port(80, PublishMode::Ingress)],
                });
            },
        );
        check(RefusalKind::Unimplemented, NO_INGRESS_YET, |spec| {
            publish(spec, vec![port(80, PublishMode::Ingress)]);
        });
        let mut dynamic = web();
        publish(
            &mut dynamic,
            vec![port(0, PublishMode::Host), port(0, PublishMode::Host)],
        );
        assert_eq!(validate_service(&dynamic), Ok(()));
    }

    proptest! {
        #[test]
        fn any_image_and_name_is_judged(image: String, name: String) {
            let mut spec = web();
            spec.task.container.image = image;
            spec.name = name;
            let _ = validate_service(&spec);
        }
    }
}
