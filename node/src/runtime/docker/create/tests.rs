use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use services::generic::Amount;
use services::object::TaskState;
use services::spec::{
    BindOptions, DnsConfig, EndpointSpec, OwnNetwork, Protocol, Resources, ServiceSpec,
    TmpfsOptions, Ulimit, VolumeOptions,
};

use super::*;
use crate::worker::testing;

const NODE: Id = Id::from_u128(3);

fn assignment(change: impl FnOnce(&mut ServiceSpec)) -> Assignment {
    let mut spec = ServiceSpec {
        name: "web".into(),
        ..Default::default()
    };
    spec.task.container.image = "busybox:latest".into();
    change(&mut spec);
    Assignment {
        task: Id::from_u128(1),
        service: Id::from_u128(2),
        slot: 4,
        spec: Arc::new(spec),
        desired: TaskState::Running,
        networks: Vec::new(),
        generic: Default::default(),
        files: BTreeMap::new(),
    }
}

/// The body as it goes over the wire, without what every body has.
fn body(change: impl FnOnce(&mut ServiceSpec)) -> Value {
    let body = container_body(&assignment(change), NODE).unwrap();
    let mut body = serde_json::to_value(body).unwrap();
    let fields = body.as_object_mut().unwrap();
    fields.retain(|name, _| !matches!(name.as_str(), "Image" | "Labels" | "StopTimeout"));
    body
}

fn check(change: impl FnOnce(&mut ServiceSpec), expected: Value) {
    assert_eq!(body(change), expected);
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs.map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
}

#[test]
fn a_bare_service_leaves_every_default_to_the_engine() {
    let body = container_body(&assignment(|_| ()), NODE).unwrap();
    assert_eq!(
        serde_json::to_value(body).unwrap(),
        json!({
            "Image": "busybox:latest",
            "StopTimeout": 10,
            "Labels": {
                "com.docker.swarm.task": "",
                "com.docker.swarm.task.id": "0000000000000000000000001",
                "com.docker.swarm.task.name": "web.4.0000000000000000000000001",
                "com.docker.swarm.node.id": "0000000000000000000000003",
                "com.docker.swarm.service.id": "0000000000000000000000002",
                "com.docker.swarm.service.name": "web",
            },
            "HostConfig": {},
        })
    );
}

#[test]
fn a_users_label_cannot_pose_as_ours() {
    let body = container_body(
        &assignment(|spec| {
            spec.task.container.labels = map(&[(label::TASK_ID, "forged"), ("tier", "front")]);
        }),
        NODE,
    )
    .unwrap();
    let labels = body.labels.unwrap();
    assert_eq!(labels[label::TASK_ID], Id::from_u128(1).to_string());
    assert_eq!(labels["tier"], "front");
}

#[test]
fn a_container_is_told_what_it_was_given() {
    let mut assignment = assignment(|spec| spec.task.container.env = strings(&["A=1"]));
    let names = Amount::Named(["u1".into(), "u2".into()].into());
    assignment.generic = [("gpu".into(), names), ("ssd".into(), Amount::Discrete(3))].into();
    let body = container_body(&assignment, NODE).unwrap();
    let wanted = ["A=1", "DOCKER_RESOURCE_GPU=u1,u2", "DOCKER_RESOURCE_SSD=3"];
    assert_eq!(body.env.unwrap(), wanted);
}

#[test]
fn command_is_the_entrypoint_and_args_are_the_command() {
    check(
        |spec| {
            let container = &mut spec.task.container;
            container.command = strings(&["/bin/sh", "-c"]);
            container.args = strings(&["env"]);
            container.env = strings(&["A=1", "B"]);
            container.hostname = Some("web-host".into());
            container.user = Some("nobody:nogroup".into());
            container.workdir = Some("/srv".into());
            container.tty = true;
            container.open_stdin = true;
            container.stop_signal = Some("SIGINT".into());
        },
        json!({
            "Entrypoint": ["/bin/sh", "-c"],
            "Cmd": ["env"],
            "Env": ["A=1", "B"],
            "Hostname": "web-host",
            "User": "nobody:nogroup",
            "WorkingDir": "/srv",
            "Tty": true,
            "OpenStdin": true,
            "StopSignal": "SIGINT",
            "HostConfig": {},
        }),
    );
}

#[test]
fn limits_and_the_kernels_knobs_reach_the_host_config() {
    check(
        |spec| {
            spec.task.resources = Some(Resources {
                limits: Some(ResourceAmounts {
                    nano_cpus: 500_000_000,
                    memory_bytes: 64 << 20,
                    pids: 20,
                }),
                reservations: Some(ResourceAmounts {
                    nano_cpus: 1,
                    memory_bytes: 2,
                    pids: 0,
                }),
            });
            let container = &mut spec.task.container;
            container.groups = strings(&["audio", "20"]);
            container.read_only = true;
            container.init = Some(false);
            container.isolation = Some("default".into());
            container.sysctls = map(&[("net.core.somaxconn", "1024")]);
            container.cap_add = strings(&["CAP_NET_ADMIN"]);
            container.cap_drop = strings(&["ALL"]);
            container.oom_score_adj = Some(-500);
            container.ulimits = vec![Ulimit {
                name: "nofile".into(),
                soft: 100,
                hard: 200,
            }];
        },
        json!({"HostConfig": {
            "NanoCpus": 500_000_000,
            "Memory": 67_108_864,
            "PidsLimit": 20,
            "GroupAdd": ["audio", "20"],
            "ReadonlyRootfs": true,
            "Init": false,
            "Isolation": "default",
            "Sysctls": {"net.core.somaxconn": "1024"},
            "CapAdd": ["CAP_NET_ADMIN"],
            "CapDrop": ["ALL"],
            "OomScoreAdj": -500,
            "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}],
        }}),
    );
}

#[test]
fn names_and_logs_reach_the_host_config() {
    check(
        |spec| {
            let container = &mut spec.task.container;
            container.hosts = strings(&["10.0.0.9 db db.local", "::1 six"]);
            container.dns = Some(DnsConfig {
                nameservers: strings(&["10.0.0.2"]),
                search: strings(&["local"]),
                options: strings(&["ndots:1"]),
            });
            spec.task.log_driver = Some(Driver {
                name: "json-file".into(),
                options: map(&[("max-size", "1m")]),
            });
        },
        json!({"HostConfig": {
            "ExtraHosts": ["db:10.0.0.9", "db.local:10.0.0.9", "six:::1"],
            "Dns": ["10.0.0.2"],
            "DnsSearch": ["local"],
            "DnsOptions": ["ndots:1"],
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
        }}),
    );
}

#[test]
fn a_health_check_is_in_nanoseconds_and_none_turns_it_off() {
    let check_with = |healthcheck: Healthcheck, expected: Value| {
        check(
            |spec| spec.task.container.healthcheck = Some(healthcheck),
            json!({"Healthcheck": expected, "HostConfig": {}}),
        );
    };
    check_with(
        Healthcheck {
            test: strings(&["CMD-SHELL", "true"]),
            interval: Some(Duration::from_millis(1500)),
            timeout: Some(Duration::from_secs(1)),
            start_period: Some(Duration::from_secs(2)),
            start_interval: None,
            retries: Some(3),
        },
        json!({
            "Test": ["CMD-SHELL", "true"],
            "Interval": 1_500_000_000,
            "Timeout": 1_000_000_000,
            "StartPeriod": 2_000_000_000,
            "Retries": 3,
        }),
    );
    check_with(
        Healthcheck {
            test: strings(&["NONE"]),
            ..Default::default()
        },
        json!({"Test": ["NONE"]}),
    );
}

fn bare_mount(kind: MountKind, source: &str, target: &str) -> Mount {
    Mount {
        kind,
        source: source.into(),
        target: target.into(),
        read_only: false,
        consistency: None,
        bind: None,
        volume: None,
        tmpfs: None,
    }
}

#[test]
fn mounts_keep_the_options_of_their_kind() {
    check(
        |spec| {
            spec.task.container.mounts = vec![
                Mount {
                    read_only: true,
                    bind: Some(BindOptions {
                        propagation: Some("rslave".into()),
                        non_recursive: true,
                        create_mountpoint: false,
                    }),
                    ..bare_mount(MountKind::Bind, "/srv/data", "/data")
                },
                Mount {
                    volume: Some(VolumeOptions {
                        no_copy: true,
                        subpath: None,
                        labels: map(&[("a", "b")]),
                        driver: Some(Driver {
                            name: "local".into(),
                            options: map(&[("type", "nfs")]),
                        }),
                    }),
                    ..bare_mount(MountKind::Volume, "vol", "/vol")
                },
                bare_mount(MountKind::Volume, "", "/anonymous"),
                Mount {
                    tmpfs: Some(TmpfsOptions {
                        size_bytes: Some(1 << 20),
                        mode: Some(0o1770),
                    }),
                    ..bare_mount(MountKind::Tmpfs, "", "/tmp")
                },
            ];
        },
        json!({"HostConfig": {"Mounts": [
            {
                "Type": "bind", "Source": "/srv/data", "Target": "/data", "ReadOnly": true,
                "BindOptions": {"Propagation": "rslave", "NonRecursive": true},
            },
            {
                "Type": "volume", "Source": "vol", "Target": "/vol",
                "VolumeOptions": {
                    "NoCopy": true, "Labels": {"a": "b"},
                    "DriverConfig": {"Name": "local", "Options": {"type": "nfs"}},
                },
            },
            {"Type": "volume", "Target": "/anonymous"},
            {
                "Type": "tmpfs", "Target": "/tmp",
                "TmpfsOptions": {"SizeBytes": 1_048_576, "Mode": 1016},
            },
        ]}}),
    );
}

#[test]
fn a_propagation_that_does_not_exist_is_refused() {
    let refused = container_body(
        &assignment(|spec| {
            spec.task.container.mounts = vec![Mount {
                bind: Some(BindOptions {
                    propagation: Some("sideways".into()),
                    ..Default::default()
                }),
                ..bare_mount(MountKind::Bind, "/a", "/b")
            }];
        }),
        NODE,
    );
    assert_eq!(
        refused,
        Err(RuntimeError::Refused(
            "invalid mount propagation: sideways".into()
        ))
    );
}

#[test]
fn only_host_mode_ports_are_the_engines_and_zero_lets_it_pick() {
    let port = |target, published, protocol, mode| PortSpec {
        name: None,
        protocol,
        target,
        published,
        mode,
        host_ip: None,
    };
    check(
        |spec| {
            spec.endpoint = Some(EndpointSpec {
                ports: vec![
                    port(80, 8080, Protocol::Tcp, PublishMode::Host),
                    PortSpec {
                        host_ip: Some([192, 0, 2, 1].into()),
                        ..port(80, 8081, Protocol::Tcp, PublishMode::Host)
                    },
                    port(53, 0, Protocol::Udp, PublishMode::Host),
                    port(443, 443, Protocol::Tcp, PublishMode::Ingress),
                ],
                ..EndpointSpec::default()
            });
        },
        json!({
            "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
            "HostConfig": {"PortBindings": {
                "80/tcp": [{"HostPort": "8080"}, {"HostIp": "192.0.2.1", "HostPort": "8081"}],
                "53/udp": [{"HostPort": ""}],
            }},
        }),
    );
}

#[test]
fn a_task_on_its_nodes_own_network_is_made_there() {
    for (network, mode) in [
        (OwnNetwork::Host, "host"),
        (OwnNetwork::Bridge, "bridge"),
        (OwnNetwork::None, "none"),
    ] {
        check(
            |spec| spec.task.own_network = Some(network),
            json!({"HostConfig": {"NetworkMode": mode}}),
        );
    }
}

#[test]
fn a_grace_below_a_second_is_not_none() {
    assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
    assert_eq!(whole_seconds(Duration::ZERO), 0);
    assert_eq!(whole_seconds(Duration::from_secs(u64::MAX)), i32::MAX);
}

/// The body of a task on a network, without what every body has.
fn connected(change: impl FnOnce(&mut ServiceSpec)) -> Value {
    let mut assignment = assignment(change);
    assignment.networks = vec![testing::network(Id::from_u128(11), &["10.0.1.2/24"])];
    let first = Connection::new("9ec05b".into(), "front".into(), &assignment.networks[0]);
    let mut body = container_body(&assignment, NODE).unwrap();
    connect(&mut body, &assignment, &first, [169, 254, 1, 1].into());
    let mut body = serde_json::to_value(body).unwrap();
    let fields = body.as_object_mut().unwrap();
    fields.retain(|name, _| matches!(name.as_str(), "HostConfig" | "NetworkingConfig"));
    body
}

#[test]
fn a_container_is_made_on_its_first_network_and_asks_us_for_names() {
    let endpoint = json!({"IPAMConfig": {"IPv4Address": "10.0.1.2"}});
    assert_eq!(
        connected(|spec| {
            spec.task.container.dns = Some(DnsConfig {
                nameservers: strings(&["9.9.9.9"]),
                search: strings(&["local"]),
                options: strings(&["ndots:2", "timeout:1"]),
            });
        }),
        json!({
            "HostConfig": {
                "NetworkMode": "front",
                "Dns": ["169.254.1.1"],
                "DnsSearch": ["local"],
                "DnsOptions": ["timeout:1"],
                "Sysctls": {"net.ipv4.conf.all.rp_filter": "2"},
            },
            "NetworkingConfig": {"EndpointsConfig": {"front": endpoint}},
        })
    );
}

#[test]
fn a_users_own_knob_of_the_kernel_stays_his() {
    let knob = map(&[("net.ipv4.conf.all.rp_filter", "0")]);
    let body = connected(|spec| spec.task.container.sysctls = knob.clone());
    assert_eq!(body["HostConfig"]["Sysctls"], json!(knob));
}
