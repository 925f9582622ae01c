//! The keys of services, one by one.

use super::kit::{stack, web};
use crate::compose::Condition;
use crate::spec::{GpuCount, IpcMode, Mode, MountKind, Protocol, PublishMode};

#[test]
fn commands_are_words_or_a_line_of_a_shell() {
    let service = web("command: sh -c 'echo \"a b\"'\nentrypoint: [a, 1, true]").service("web");
    assert_eq!(service.command.unwrap(), ["sh", "-c", "echo \"a b\""]);
    assert_eq!(service.entrypoint.unwrap(), ["a", "1", "true"]);
    let service = web("command: []\nentrypoint:").service("web");
    assert_eq!(service.command.unwrap(), [""; 0]);
    assert_eq!(service.entrypoint, None);
}

#[test]
fn ports_are_read_in_both_forms() {
    let service = web(r#"
ports:
  - 3000
  - "3001-3002"
  - "8000:80"
  - "9090-9091:8080-8081"
  - "127.0.0.1:8001:8001/udp"
  - "[::1]:8002:8002"
  - 443:443
  - {name: web, target: "81", published: "8081", host_ip: 10.0.0.1, mode: host, protocol: sctp}
"#)
    .service("web");
    let shown: Vec<String> = service
        .ports
        .iter()
        .map(|port| {
            let ip = port.host_ip.map(|ip| format!("{ip} ")).unwrap_or_default();
            format!("{ip}{}:{}", port.published, port.target)
        })
        .collect();
    assert_eq!(
        shown,
        [
            "0:3000",
            "0:3001",
            "0:3002",
            "8000:80",
            "9090:8080",
            "9091:8081",
            "127.0.0.1 8001:8001",
            "::1 8002:8002",
            "443:443",
            "10.0.0.1 8081:81",
        ]
    );
    assert_eq!(service.ports[9].protocol, Protocol::Sctp);
    assert_eq!(service.ports[9].name.as_deref(), Some("web"));
}

#[test]
fn mounts_are_read_in_both_forms() {
    let stack = web(
        r#"
volumes:
  - /anonymous
  - data:/data:nocopy
  - ./rel/../x:/x:ro,rshared
  - ~/h:/h
  - {type: bind, source: /b, target: /b, bind: {propagation: rslave, create_host_path: true, recursive: disabled}}
  - {type: tmpfs, target: /t, tmpfs: {size: 64m, mode: 01777}}
  - {type: volume, source: data, target: /v, volume: {nocopy: true, subpath: a, labels: [a=b]}, consistency: cached}
tmpfs: [/run, "/tmp:size=1m,mode=700,noexec"]
"#,
    )
    .layer("v.yml", "services: {}\nvolumes: {data: {driver: nfs, labels: {a: b}}}")
    .env("HOME", "/home/me");
    insta::assert_snapshot!(stack.warnings(), @r#"
    stack.yml:13:19: services.web.tmpfs[1]: the option "noexec" is not set: there are size, mode and ro
    "#);
    let mounts = stack.service("web").mounts;
    let sources: Vec<&str> = mounts.iter().map(|mount| mount.source.as_str()).collect();
    assert_eq!(
        sources,
        [
            "",
            "data",
            "/srv/app/x",
            "/home/me/h",
            "/b",
            "",
            "data",
            "",
            ""
        ]
    );
    assert!(mounts[1].volume.as_ref().unwrap().no_copy);
    assert_eq!(
        mounts[2].bind.as_ref().unwrap().propagation.as_deref(),
        Some("rshared")
    );
    let bind = mounts[4].bind.as_ref().unwrap();
    assert!(bind.create_mountpoint && bind.non_recursive);
    let tmpfs = mounts[5].tmpfs.as_ref().unwrap();
    assert_eq!(
        (tmpfs.size_bytes, tmpfs.mode),
        (Some(64 << 20), Some(0o1777))
    );
    assert_eq!(mounts[6].consistency.as_deref(), Some("cached"));
    assert_eq!(
        (mounts[8].kind, mounts[8].tmpfs.as_ref().unwrap().mode),
        (MountKind::Tmpfs, Some(0o700))
    );
}

#[test]
fn hosts_and_limits_are_read_in_every_form() {
    let service = web(r#"
extra_hosts: ["a:10.0.0.1", "b=[::1]", "c:::2", "d:host-gateway"]
ulimits: {nofile: {soft: 1024, hard: -1}, nproc: 65535}
sysctls: [net.core.somaxconn=1024]
dns_search: example.com
group_add: [mail, 1000]
oom_score_adj: -500
stop_signal: SIGINT
init: yes
"#)
    .service("web");
    assert_eq!(
        service.hosts,
        ["10.0.0.1 a", "::1 b", "::2 c", "host-gateway d"]
    );
    assert_eq!(service.ulimits[0].hard, -1);
    assert_eq!(service.sysctls["net.core.somaxconn"], "1024");
    assert_eq!(service.groups, ["mail", "1000"]);
    assert_eq!(service.init, Some(true));
    let map =
        web("extra_hosts: {a: 10.0.0.1, b: [10.0.0.2, \"::1\"]}\nsysctls: {a: 1}").service("web");
    assert_eq!(map.hosts, ["10.0.0.1 a", "10.0.0.2 b", "::1 b"]);
}

#[test]
fn what_docker_leaves_out_is_honoured() {
    let service = web(
        r#"
devices: [/dev/ttyUSB0, "/dev/a:/dev/b", "/dev/c:r", {source: /dev/d, target: /dev/e, permissions: rw}]
gpus: [{driver: nvidia, count: 2, capabilities: [gpu, utility]}]
privileged: true
security_opt: ["no-new-privileges:true", "apparmor=x", "label:type:y", seccomp=./s.json]
shm_size: 64m
pid: host
ipc: shareable
networks: {default: {ipv4_address: 10.1.0.5, ipv6_address: "fd00::5"}}
scale: 1
platform: linux/arm64/v8
mac_address: 02:42:ac:11:65:43
"#,
    )
    .file("s.json", "{\n \"defaultAction\": \"SCMP_ACT_ALLOW\"\n}\n")
    .service("web");
    let devices: Vec<String> = service
        .devices
        .iter()
        .map(|it| format!("{}:{}:{}", it.on_host, it.in_container, it.permissions))
        .collect();
    assert_eq!(
        devices,
        [
            "/dev/ttyUSB0:/dev/ttyUSB0:rwm",
            "/dev/a:/dev/b:rwm",
            "/dev/c:/dev/c:r",
            "/dev/d:/dev/e:rw"
        ]
    );
    assert_eq!(service.gpus.unwrap().count, GpuCount::Number(2));
    assert_eq!(
        service.security_opt,
        [
            "no-new-privileges=true",
            "apparmor=x",
            "label=type:y",
            "seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}"
        ]
    );
    assert_eq!(service.shm_size, Some(64 << 20));
    assert_eq!(service.ipc, Some(IpcMode::Shareable));
    assert_eq!(
        service.networks["default"]
            .ipv4_address
            .unwrap()
            .to_string(),
        "10.1.0.5"
    );
    assert_eq!(service.deploy.mode, Mode::Replicated { replicas: Some(1) });
    assert_eq!(service.platform.unwrap().architecture, "arm64");
}

#[test]
fn the_keys_of_older_versions_mean_what_deploy_says() {
    let service = web(r#"
cpus: 1.5
mem_limit: 1g
mem_reservation: 512m
pids_limit: 100
restart: on-failure:3
"#)
    .service("web");
    let limits = service.deploy.resources.limits.unwrap();
    assert_eq!(
        (limits.nano_cpus, limits.memory_bytes, limits.pids),
        (1_500_000_000, 1 << 30, 100)
    );
    let reservations = service.deploy.resources.reservations.unwrap();
    assert_eq!(reservations.memory_bytes, 512 << 20);
    assert_eq!(service.deploy.restart.unwrap().max_attempts, Some(3));
    let wrong = web(
        "mem_limit: 1g\nrestart: never\nscale: 2\ndeploy: {mode: global, replicas: 1, resources: {limits: {memory: 2g}}}",
    );
    insta::assert_snapshot!(wrong.errors(), @r#"
    stack.yml:4:5: services.web.mem_limit: deploy.resources.limits.memory says another amount: say it once
    stack.yml:5:14: services.web.restart: "never" is none of no, always, unless-stopped, on-failure and on-failure:<attempts>
    stack.yml:6:5: services.web.scale: `deploy` says something else: say it there alone
    stack.yml:7:28: services.web.deploy.replicas: a service of this mode has one task on each node
    "#);
}

#[test]
fn jobs_and_gpus_of_deploy_are_read() {
    let service = web(r#"
deploy:
  mode: replicated-job
  replicas: 4
  endpoint_mode: dnsrr
  resources:
    reservations:
      devices: [{capabilities: [gpu], device_ids: ["0", "3"]}]
  placement:
    preferences: [{spread: node.labels.zone}]
    max_replicas_per_node: 2
  rollback_config: {failure_action: continue, order: start-first, max_failure_ratio: 0.25}
"#)
    .service("web");
    assert_eq!(
        service.deploy.mode,
        Mode::ReplicatedJob {
            max_concurrent: 4,
            total_completions: 4
        }
    );
    let named = GpuCount::Named(vec!["0".into(), "3".into()]);
    assert_eq!(service.gpus.unwrap().count, named);
    assert_eq!(service.deploy.placement.max_per_node, Some(2));
    assert_eq!(service.deploy.rollback.unwrap().max_failure_ratio, 0.25);
}

#[test]
fn health_checks_are_read_in_every_form() {
    let test = |lines: &str| web(lines).service("web").healthcheck.unwrap().test;
    assert_eq!(
        test("healthcheck: {test: curl -f x}"),
        ["CMD-SHELL", "curl -f x"]
    );
    assert_eq!(test("healthcheck: {test: [CMD, a, b]}"), ["CMD", "a", "b"]);
    assert_eq!(test("healthcheck: {disable: true}"), ["NONE"]);
    assert_eq!(test("healthcheck: {interval: 1m30s}"), [""; 0]);
}

#[test]
fn dependencies_have_conditions() {
    let project = stack(
        r#"
services:
  web:
    image: web
    depends_on:
      db: {condition: service_healthy, restart: true}
      init: {condition: service_completed_successfully}
      cache:
  db: {image: db}
  init: {image: init}
  cache: {image: cache, depends_on: [db]}
"#,
    )
    .project();
    let web = &project.services["web"].depends_on;
    assert_eq!(web["db"].condition, Condition::Healthy);
    assert!(web["db"].restart && web["db"].required);
    assert_eq!(web["init"].condition, Condition::CompletedSuccessfully);
    assert_eq!(web["cache"].condition, Condition::Started);
}

#[test]
fn what_a_swarm_leaves_undone_is_warned_of() {
    let stack = web(r#"
build: {context: .}
container_name: web
links: ["db:database"]
expose: [80]
network_mode: bridge
userns_mode: host
pull_policy: always
restart: always
deploy: {restart_policy: {condition: none}}
"#);
    insta::assert_snapshot!(stack.warnings(), @r#"
    stack.yml:5:5: services.web.build: this is ignored: a swarm builds nothing: build the image, push it to a registry that every node reaches, and name it by `image`
    stack.yml:6:5: services.web.container_name: this is ignored: containers are named after their tasks; services are reached by the names of services and `networks` aliases
    stack.yml:7:5: services.web.links: this is ignored: services on one network reach each other by their names; for another name use `aliases` of the network
    stack.yml:8:5: services.web.expose: this is ignored: services on one network reach every port of each other
    stack.yml:9:5: services.web.network_mode: this is ignored: a service is on networks of the swarm
    stack.yml:10:5: services.web.userns_mode: this is ignored: the engine's own setting holds
    stack.yml:11:5: services.web.pull_policy: this is ignored: an image is pulled where its node lacks it
    stack.yml:12:5: services.web.restart: deploy.restart_policy says it: this means nothing
    "#);
}

#[test]
fn what_a_blank_variable_leaves_is_not_said() {
    let service = web(r#"
restart: "${RESTART}"
ports:
  - "${IP}:8080:80"
  - {target: 81, published: "${PORT}", host_ip: "${IP}"}
"#)
    .env("RESTART", "")
    .env("IP", "")
    .env("PORT", "")
    .service("web");
    assert_eq!(service.deploy.restart, None);
    let ports: Vec<_> = service
        .ports
        .iter()
        .map(|port| (port.host_ip, port.published, port.target))
        .collect();
    assert_eq!(ports, [(None, 8080, 80), (None, 0, 81)]);
}

#[test]
fn a_range_of_ports_is_published_in_either_form() {
    let short = web("ports: [\"127.0.0.1:8000-8002:80/udp\"]").service("web");
    let long =
        web("ports: [{target: 80, published: \"8000-8002\", host_ip: 127.0.0.1, protocol: udp}]")
            .service("web");
    assert_eq!(long.ports, short.ports);
    assert_eq!(long.ports.len(), 3);
    let merged = web("ports: [\"8000-8002:80\"]").layer(
        "over.yml",
        "services: {web: {ports: [{target: 80, published: 8000-8002, mode: host}]}}",
    );
    let ports = merged.service("web").ports;
    assert_eq!(ports.len(), 3);
    assert!(ports.iter().all(|port| port.mode == PublishMode::Host));
    insta::assert_snapshot!(
        web("ports: [{target: 80, published: 8002-8000}, {target: 80, published: a}]").errors(),
        @r#"
    stack.yml:4:37: services.web.ports[0].published: invalid range specified for port: 8002-8000
    stack.yml:4:73: services.web.ports[1].published: invalid port: "a"
    "#
    );
}
