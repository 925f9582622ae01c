//! What the engine tells, in our words. Total: a field that is missing or
//! strange becomes the harmless value, because the engine on a device may be
//! five years older or newer than this code.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, ContainerSummary,
    ContainerSummaryStateEnum, EventMessage, GenericResourcesInner, HealthStatusEnum, PluginsInfo,
    PortMap, SystemInfo,
};
use services::generic::{Amount, Generic};
use services::object::{NodeDescription, PublishedPort};
use services::spec::{Platform, Protocol, ResourceAmounts};
use services::{Id, Timestamp};

use super::label;
use crate::runtime::{Container, Exit, Health, Listed, Phase};

/// `None` for a container without a task's id: not one of ours after all.
pub(super) fn listed(summary: ContainerSummary) -> Option<Listed> {
    Some(Listed {
        task: summary.labels?.get(label::TASK_ID)?.parse().ok()?,
        id: summary.id?,
        running: matches!(
            summary.state,
            Some(ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::PAUSED)
        ),
    })
}

/// The task whose container the event is about.
pub(super) fn event_task(event: EventMessage) -> Option<Id> {
    let attributes = event.actor?.attributes?;
    attributes.get(label::TASK_ID)?.parse().ok()
}

pub(super) fn container(found: ContainerInspectResponse) -> Option<Container> {
    let state = found.state.unwrap_or_default();
    let settings = found.network_settings.unwrap_or_default();
    let networks = settings.networks.unwrap_or_default().into_values();
    let addrs = networks.flat_map(|it| [it.ip_address, it.global_ipv6_address]);
    let mut ports = settings.ports.map(published_ports).unwrap_or_default();
    if ports.is_empty() && state.running == Some(true) {
        // On a network of another driver the engine tells what was asked for only.
        let asked = found.host_config.and_then(|host| host.port_bindings);
        ports = asked.map(published_ports).unwrap_or_default();
    }
    Some(Container {
        id: found.id?,
        pid: state.pid.unwrap_or_default(),
        started: state.started_at.as_deref().and_then(timestamp),
        phase: phase(state),
        ports,
        addrs: addrs.filter_map(|addr| addr?.parse().ok()).collect(),
    })
}

fn phase(state: ContainerState) -> Phase {
    use ContainerStateStatusEnum as Status;
    match state.status {
        Some(Status::CREATED) => Phase::Created,
        Some(Status::REMOVING | Status::DEAD) => Phase::Removing,
        Some(Status::EXITED) => Phase::Exited(Exit {
            code: state.exit_code.unwrap_or_default(),
            oom_killed: state.oom_killed.unwrap_or_default(),
            error: state.error.filter(|error| !error.is_empty()),
            at: state.finished_at.as_deref().and_then(timestamp),
        }),
        _ => Phase::Running(health(state)),
    }
}

fn health(state: ContainerState) -> Health {
    match state.health.and_then(|health| health.status) {
        None | Some(HealthStatusEnum::EMPTY | HealthStatusEnum::NONE) => Health::Unchecked,
        Some(HealthStatusEnum::STARTING) => Health::Starting,
        Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
    }
}

/// RFC 3339; the engine's zero time (year 1) is "never".
fn timestamp(text: &str) -> Option<Timestamp> {
    let nanoseconds = text.parse::<jiff::Timestamp>().ok()?.as_nanosecond();
    u64::try_from(nanoseconds).ok().map(Timestamp)
}

/// In order of target; the IPv4 and the IPv6 wildcard are one port to users.
fn published_ports(map: PortMap) -> Vec<PublishedPort> {
    let mut ports: Vec<PublishedPort> = map
        .into_iter()
        .flat_map(|(key, bindings)| {
            let target = parse_port_key(&key);
            bindings
                .unwrap_or_default()
                .into_iter()
                .filter_map(move |binding| {
                    let (target, protocol) = target?;
                    Some(PublishedPort {
                        protocol,
                        target,
                        // Zero: whoever publishes it picks one.
                        published: binding.host_port?.parse().ok().filter(|port| *port != 0)?,
                        host_ip: binding
                            .host_ip
                            .and_then(|ip| ip.parse::<IpAddr>().ok())
                            .filter(|ip| !ip.is_unspecified()),
                    })
                })
        })
        .collect();
    ports.sort_by_key(|port| (port.target, port.protocol, port.published, port.host_ip));
    ports.dedup();
    ports
}

fn parse_port_key(key: &str) -> Option<(u16, Protocol)> {
    let (target, protocol) = key.split_once('/')?;
    Some((target.parse().ok()?, protocol.parse().ok()?))
}

pub(super) fn description(info: SystemInfo) -> NodeDescription {
    let labels = info.labels.unwrap_or_default();
    NodeDescription {
        hostname: info.name.unwrap_or_default(),
        platform: Platform {
            architecture: info.architecture.unwrap_or_default(),
            os: info.os_type.unwrap_or_default(),
        },
        resources: ResourceAmounts {
            nano_cpus: info.ncpu.unwrap_or_default().saturating_mul(1_000_000_000),
            memory_bytes: info.mem_total.unwrap_or_default(),
            pids: 0,
        },
        engine_version: info.server_version.unwrap_or_default(),
        engine_labels: labels
            .iter()
            .map(|label| label.split_once('=').unwrap_or((label, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        plugins: plugins(info.plugins.unwrap_or_default()),
        swarmlet_version: env!("CARGO_PKG_VERSION").to_owned(),
        generic: generic(info.generic_resources.unwrap_or_default()),
        ..NodeDescription::default()
    }
}

/// As the engine's `node-generic-resources` say. A kind has numbers or names, and
/// the engine refuses both at once.
fn generic(resources: Vec<GenericResourcesInner>) -> Generic {
    let mut generic = Generic::new();
    for resource in resources {
        if let Some(named) = resource.named_resource_spec {
            let kind = generic.entry(named.kind.unwrap_or_default());
            let names = kind.or_insert_with(|| Amount::Named(BTreeSet::new()));
            if let Amount::Named(names) = names {
                names.extend(named.value);
            }
        } else if let Some(discrete) = resource.discrete_resource_spec {
            let number = u64::try_from(discrete.value.unwrap_or_default()).unwrap_or(0);
            let kind = discrete.kind.unwrap_or_default();
            generic.insert(kind, Amount::Discrete(number));
        }
    }
    generic
}

fn plugins(plugins: PluginsInfo) -> Vec<(String, String)> {
    let kinds = [
        ("Log", plugins.log),
        ("Network", plugins.network),
        ("Volume", plugins.volume),
        ("Authorization", plugins.authorization),
    ];
    let mut plugins: Vec<_> = kinds
        .into_iter()
        .flat_map(|(kind, names)| {
            let names = names.unwrap_or_default().into_iter();
            names.map(|name| (kind.to_owned(), name))
        })
        .collect();
    plugins.sort();
    plugins
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn generic_resources_are_those_of_the_engine() {
        let info = json!({"GenericResources": [
            {"DiscreteResourceSpec": {"Kind": "SSD", "Value": 3}},
            {"NamedResourceSpec": {"Kind": "GPU", "Value": "u1"}},
            {"NamedResourceSpec": {"Kind": "GPU", "Value": "u2"}},
            {"DiscreteResourceSpec": {"Kind": "odd", "Value": -1}},
        ]});
        let wanted = [
            ("GPU", Amount::Named(["u1".into(), "u2".into()].into())),
            ("SSD", Amount::Discrete(3)),
            ("odd", Amount::Discrete(0)),
        ];
        let wanted = wanted.map(|(kind, amount)| (kind.to_owned(), amount));
        let described = description(serde_json::from_value(info).unwrap());
        assert_eq!(described.generic, wanted.into());
    }

    /// As dockerd 20.10.24 answers `GET /containers/<id>/json`, shortened.
    fn inspected(state: Value, ports: Value) -> Container {
        let answer = json!({
            "Id": "4de6fe",
            "Created": "2026-11-21T02:38:33.1Z",
            "State": state,
            "NetworkSettings": {"Ports": ports},
            "HostConfig": null,
        });
        container(serde_json::from_value(answer).unwrap()).unwrap()
    }

    fn state(status: &str, code: i64, health: Value) -> Value {
        json!({
            "Status": status, "Running": status == "running", "OOMKilled": code == 137,
            "Pid": 17, "ExitCode": code, "Error": "",
            "StartedAt": "2026-11-21T02:38:33.57354895Z",
            "FinishedAt": if code == 0 { "0001-01-01T00:00:00Z" } else { "2026-11-21T02:38:34Z" },
            "Health": health,
        })
    }

    #[test]
    fn phases_are_told_apart() {
        let phase =
            |status, code, health| inspected(state(status, code, health), Value::Null).phase;
        assert_eq!(phase("created", 0, Value::Null), Phase::Created);
        assert_eq!(phase("removing", 0, Value::Null), Phase::Removing);
        let health = |status: &str| json!({"Status": status, "FailingStreak": 0, "Log": null});
        for (told, meant) in [
            (Value::Null, Health::Unchecked),
            (health("none"), Health::Unchecked),
            (health("starting"), Health::Starting),
            (health("healthy"), Health::Healthy),
            (health("unhealthy"), Health::Unhealthy),
        ] {
            assert_eq!(phase("running", 0, told.clone()), Phase::Running(meant));
            assert_eq!(phase("paused", 0, told), Phase::Running(meant));
        }
        assert_eq!(
            phase("exited", 137, Value::Null),
            Phase::Exited(Exit {
                code: 137,
                oom_killed: true,
                error: None,
                at: timestamp("2026-11-21T02:38:34Z"),
            })
        );
    }

    #[test]
    fn times_are_exact_and_the_year_one_is_never() {
        assert_eq!(
            timestamp("1970-01-01T00:00:01.5Z"),
            Some(Timestamp(1_500_000_000))
        );
        assert_eq!(timestamp("0001-01-01T00:00:00Z"), None);
        assert_eq!(timestamp("yesterday"), None);
    }

    #[test]
    fn both_wildcards_of_a_port_are_one() {
        let ports = json!({
            "80/tcp": [
                {"HostIp": "0.0.0.0", "HostPort": "32768"}, {"HostIp": "::", "HostPort": "32768"},
            ],
            "53/udp": [{"HostIp": "10.0.0.1", "HostPort": "53"}],
            "443/tcp": null,
            "x/y": [{"HostIp": "", "HostPort": ""}],
        });
        let port = |protocol, target, published, host_ip| PublishedPort {
            protocol,
            target,
            published,
            host_ip,
        };
        assert_eq!(
            inspected(state("running", 0, Value::Null), ports).ports,
            [
                port(Protocol::Udp, 53, 53, Some([10, 0, 0, 1].into())),
                port(Protocol::Tcp, 80, 32768, None),
            ]
        );
    }

    #[test]
    fn ports_on_a_network_of_ours_are_those_that_were_asked_for() {
        let inspected = |status: &str| {
            let answer = json!({
                "Id": "4de6fe",
                "State": state(status, 0, Value::Null),
                "NetworkSettings": {"Ports": {"80/tcp": null}, "Networks": {
                    "web": {"IPAddress": "10.0.5.3", "GlobalIPv6Address": ""},
                }},
                "HostConfig": {"PortBindings": {
                    "80/tcp": [{"HostIp": "", "HostPort": "40000"}],
                    "81/tcp": [{"HostIp": "", "HostPort": "0"}],
                }},
            });
            let found = container(serde_json::from_value(answer).unwrap()).unwrap();
            assert_eq!(found.addrs, [IpAddr::from([10, 0, 5, 3])]);
            found.ports
        };
        let port = PublishedPort {
            protocol: Protocol::Tcp,
            target: 80,
            published: 40_000,
            host_ip: None,
        };
        assert_eq!(inspected("running"), [port]);
        assert_eq!(inspected("exited"), []);
    }

    #[test]
    fn a_container_without_a_task_is_not_listed() {
        let summary = |labels: Value| {
            serde_json::from_value::<ContainerSummary>(
                json!({"Id": "a", "Labels": labels, "State": "running"}),
            )
            .unwrap()
        };
        let id = Id::from_u128(7);
        assert_eq!(
            listed(summary(json!({label::TASK_ID: id.to_string()}))),
            Some(Listed {
                id: "a".into(),
                task: id,
                running: true
            })
        );
        assert_eq!(listed(summary(json!({label::TASK_ID: "../.."}))), None);
        assert_eq!(listed(summary(json!({}))), None);
    }

    #[test]
    fn a_node_is_described_by_its_engine() {
        let info = json!({
            "Name": "h1", "Architecture": "x86_64", "OSType": "linux", "NCPU": 2,
            "MemTotal": 1024, "ServerVersion": "20.10.24", "Labels": ["gpu=yes", "bare"],
            "Plugins": {"Volume": ["local"], "Network": ["host", "bridge"], "Log": ["json-file"],
                        "Authorization": null},
        });
        let told = description(serde_json::from_value(info).unwrap());
        assert_eq!(told.resources.nano_cpus, 2_000_000_000);
        assert_eq!(told.engine_labels["gpu"], "yes");
        assert_eq!(told.engine_labels["bare"], "");
        assert_eq!(
            told.plugins
                .iter()
                .map(|(kind, name)| format!("{kind} {name}"))
                .collect::<Vec<_>>(),
            [
                "Log json-file",
                "Network bridge",
                "Network host",
                "Volume local"
            ]
        );
    }
}
