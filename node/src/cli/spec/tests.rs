use clap::Parser;

use super::*;
use crate::cli::args::{Cli, ClientCommand, Command, ServiceCommand};

fn service(line: &[&str]) -> ServiceCommand {
    let line = ["swarmlet", "service"].iter().chain(line);
    match Cli::try_parse_from(line)
        .unwrap_or_else(|e| panic!("{e}"))
        .command
    {
        Command::Client(ClientCommand::Service(command)) => command,
        other => panic!("{other:?}"),
    }
}

fn home(name: &str) -> Option<String> {
    (name == "HOME").then(|| "/root".to_owned())
}

fn created(line: &[&str]) -> Result<ServiceSpec, Invalid> {
    let ServiceCommand::Create(args) = service(&[&["create"], line].concat()) else {
        panic!("not create");
    };
    create(
        &args,
        &["FROM_FILE=1\nB=file\n".to_owned()],
        &home,
        &without_networks(),
    )
}

/// The daemon looks up the networks of a new service.
fn without_networks() -> Known {
    Known {
        networks: Ids::default(),
        ..known()
    }
}

fn known() -> Known {
    let ids = |ids: &[(&str, &str)]| {
        let ids = ids.iter().map(|(name, id)| ((*name).into(), (*id).into()));
        Ids(ids.collect())
    };
    Known {
        networks: ids(&[("net", "017d7b0wjf4n0h7dkdkivqhbq"), ("other", "n2")]),
        secrets: ids(&[("s1", "id1"), ("s2", "id2")]),
        configs: ids(&[("c1", "id3")]),
        profiles: [("p.json".into(), "{}".into())].into(),
    }
}

fn updated(spec: &ServiceSpec, line: &[&str]) -> Result<ServiceSpec, Invalid> {
    let ServiceCommand::Update(args) = service(&[&["update"], line, &["web"]].concat()) else {
        panic!("not update");
    };
    update(&args, spec.clone(), &home, &known())
}

fn json(spec: &ServiceSpec) -> String {
    serde_json::to_string_pretty(&spec).unwrap()
}

/// What `line` changes of `spec`, as the lines of JSON that differ.
fn changes(spec: &ServiceSpec, line: &[&str]) -> String {
    let (before, after) = (json(spec), json(&updated(spec, line).unwrap()));
    let (before, after): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    let gone = before
        .iter()
        .filter(|l| !after.contains(l))
        .map(|l| format!("- {}", l.trim()));
    let new = after
        .iter()
        .filter(|l| !before.contains(l))
        .map(|l| format!("+ {}", l.trim()));
    gone.chain(new).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_spec_says_only_what_was_said() {
    let spec = created(&["--name", "web", "busybox", "sleep", "1000"]).unwrap();
    insta::assert_snapshot!(serde_json::to_string(&spec).unwrap(), @r#"{"Name":"web","Labels":{},"TaskTemplate":{"ContainerSpec":{"Image":"busybox:latest","Args":["sleep","1000"],"Env":["FROM_FILE=1","B=file"]},"ForceUpdate":0},"Mode":{"Replicated":{}}}"#);
}

#[test]
fn every_flag_reaches_the_spec() {
    let spec = created(&[
        "--replicas=3",
        "--replicas-max-per-node=2",
        "--label=a=b",
        "--container-label=c",
        "--env=B=flag",
        "--env=HOME",
        "--mount=type=tmpfs,target=/t",
        "--constraint=node.role==worker",
        "--placement-pref=spread=node.labels.zone",
        "--publish=published=8080,target=80,mode=host",
        "--endpoint-mode=dnsrr",
        "--dns=1.1.1.1",
        "--dns-option=ndots:0",
        "--dns-search=a.b",
        "--host=db:10.0.0.1",
        "--group=adm",
        "--sysctl=net.core.somaxconn=1",
        "--ulimit=nofile=1:2",
        "--entrypoint=sh -c",
        "--workdir=/w",
        "--user=1:1",
        "--hostname=h",
        "--init",
        "--tty",
        "--read-only",
        "--stop-signal=INT",
        "--stop-grace-period=3s",
        "--cap-add=net_admin",
        "--cap-drop=ALL",
        "--oom-score-adj=-5",
        "--log-driver=local",
        "--log-opt=max-size=1m",
        "--health-cmd=true",
        "--health-interval=1s",
        "--health-timeout=2s",
        "--health-retries=3",
        "--health-start-period=4s",
        "--health-start-interval=500ms",
        "--limit-cpu=1.5",
        "--limit-memory=64m",
        "--limit-pids=9",
        "--reserve-cpu=.5",
        "--reserve-memory=32m",
        "--restart-condition=on-failure",
        "--restart-delay=1s",
        "--restart-max-attempts=7",
        "--restart-window=1m",
        "--update-parallelism=2",
        "--update-order=start-first",
        "--rollback-delay=1s",
        "--rollback-max-failure-ratio=0.5",
        "--generic-resource=gpu=2",
        "--device=/dev/ttyUSB0:/dev/gps:rw",
        "--security-opt=seccomp=p.json",
        "--privileged",
        "--gpus=all",
        "--shm-size=64m",
        "--pid=host",
        "--ipc=host",
        "busybox",
    ])
    .unwrap();
    insta::assert_snapshot!(serde_json::to_string(&spec).unwrap(), @r#"{"Labels":{"a":"b","swarmlet.device.0":"/dev/ttyUSB0:/dev/gps:rw","swarmlet.gpus":"all","swarmlet.ipc":"host","swarmlet.pid":"host","swarmlet.privileged":"true","swarmlet.security-opt.0":"seccomp={}","swarmlet.shm-size":"67108864"},"TaskTemplate":{"ContainerSpec":{"Image":"busybox:latest","Labels":{"c":""},"Command":["sh","-c"],"Hostname":"h","Env":["FROM_FILE=1","B=flag","HOME=/root"],"Dir":"/w","User":"1:1","Groups":["adm"],"Init":true,"StopSignal":"INT","TTY":true,"ReadOnly":true,"Mounts":[{"Type":"tmpfs","Target":"/t"}],"StopGracePeriod":3000000000,"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":1000000000,"Timeout":2000000000,"StartPeriod":4000000000,"StartInterval":500000000,"Retries":3},"Hosts":["10.0.0.1 db"],"DNSConfig":{"Nameservers":["1.1.1.1"],"Search":["a.b"],"Options":["ndots:0"]},"Sysctls":{"net.core.somaxconn":"1"},"CapabilityAdd":["CAP_NET_ADMIN"],"CapabilityDrop":["ALL"],"Ulimits":[{"Name":"nofile","Hard":2,"Soft":1}],"OomScoreAdj":-5},"Resources":{"Limits":{"NanoCPUs":1500000000,"MemoryBytes":67108864,"Pids":9},"Reservations":{"NanoCPUs":500000000,"MemoryBytes":33554432,"GenericResources":[{"DiscreteResourceSpec":{"Kind":"gpu","Value":2}}]}},"RestartPolicy":{"Condition":"on-failure","Delay":1000000000,"MaxAttempts":7,"Window":60000000000},"Placement":{"Constraints":["node.role==worker"],"Preferences":[{"Spread":{"SpreadDescriptor":"node.labels.zone"}}],"MaxReplicas":2},"LogDriver":{"Name":"local","Options":{"max-size":"1m"}},"ForceUpdate":0},"Mode":{"Replicated":{"Replicas":3}},"UpdateConfig":{"Parallelism":2,"FailureAction":"pause","Monitor":5000000000,"MaxFailureRatio":0,"Order":"start-first"},"RollbackConfig":{"Parallelism":1,"Delay":1000000000,"FailureAction":"pause","Monitor":5000000000,"MaxFailureRatio":0.5,"Order":"stop-first"},"EndpointSpec":{"Mode":"dnsrr","Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":8080,"PublishMode":"host"}]}}"#);
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    for (line, why) in [
        (
            &["--mode=global", "--replicas=2", "busybox"][..],
            "replicas can only be used with replicated or replicated-job mode",
        ),
        (
            &["--mode=global-job", "--replicas=2", "busybox"],
            "replicas can only be used with replicated or replicated-job mode",
        ),
        (
            &["--mode=global", "--replicas-max-per-node=1", "busybox"],
            "replicas-max-per-node can only be used with replicated or replicated-job mode",
        ),
        (
            &["--max-concurrent=2", "busybox"],
            "max-concurrent can only be used with replicated-job mode",
        ),
        (
            &["--mode=global-job", "--update-delay=1s", "busybox"],
            "update and rollback configuration is not supported for jobs",
        ),
        (
            &["--no-healthcheck", "--health-cmd=true", "busybox"],
            "--no-healthcheck conflicts with --health-* options",
        ),
    ] {
        assert_eq!(created(line).unwrap_err().to_string(), why);
    }
}

fn sample() -> ServiceSpec {
    let mut spec = created(&[
        "--name=web",
        "--label=a=1",
        "--env=A=1",
        "--publish=published=8080,target=80,mode=host",
        "--mount=source=v,target=/v",
        "--constraint=node.role==worker",
        "--host=db:10.0.0.1",
        "--cap-add=net_admin",
        "--ulimit=nofile=1",
        "--dns=1.1.1.1",
        "--replicas=2",
        "busybox",
    ])
    .unwrap();
    spec.extra.insert("Later".into(), true.into());
    spec
}

#[test]
fn an_update_without_flags_changes_nothing() {
    let spec = sample();
    assert_eq!(updated(&spec, &[]).unwrap(), spec);
}

#[test]
fn an_update_changes_only_what_it_names() {
    let spec = sample();
    insta::assert_snapshot!(changes(&spec, &["--image=busybox:2", "--force", "--args=sleep 5"]), @r#"
    - "Image": "busybox:latest",
    - "ForceUpdate": 0
    + "Image": "busybox:2",
    + "Args": [
    + "sleep",
    + "5"
    + "ForceUpdate": 1
    "#);
    insta::assert_snapshot!(changes(&spec, &["--env-add=A=2", "--env-add=C=3", "--env-rm=B"]), @r#"
    - "B=file",
    - "A=1"
    + "A=2",
    + "C=3"
    "#);
    insta::assert_snapshot!(changes(&spec, &["--label-rm=a", "--label-add=b=2"]), @r#"
    - "a": "1"
    + "b": "2"
    "#);
    insta::assert_snapshot!(changes(&spec, &["--replicas=5"]), @r#"
    - "Replicas": 2
    + "Replicas": 5
    "#);
    insta::assert_snapshot!(changes(&spec, &["--cap-drop=NET_ADMIN"]), @r#"
    - "CapabilityAdd": [
    + "CapabilityDrop": [
    "#);
    insta::assert_snapshot!(changes(&spec, &["--host-rm=db", "--host-add=db:10.0.0.2"]), @r#"
    - "10.0.0.1 db"
    + "10.0.0.2 db"
    "#);
}

#[test]
fn what_is_removed_is_gone() {
    let spec = updated(
        &sample(),
        &[
            "--mount-rm=/v",
            "--publish-rm=80",
            "--constraint-rm=node.role==worker",
            "--ulimit-rm=nofile",
            "--dns-rm=1.1.1.1",
            "--cap-add=RESET",
            "--host-rm=db",
        ],
    )
    .unwrap();
    insta::assert_snapshot!(serde_json::to_string(&spec).unwrap(), @r#"{"Name":"web","Labels":{"a":"1"},"TaskTemplate":{"ContainerSpec":{"Image":"busybox:latest","Env":["FROM_FILE=1","B=file","A=1"],"DNSConfig":{}},"Placement":{},"ForceUpdate":0},"Mode":{"Replicated":{"Replicas":2}},"EndpointSpec":{},"Later":true}"#);
}

#[test]
fn two_new_mounts_at_one_target_are_refused() {
    let error = updated(
        &sample(),
        &["--mount-add=target=/x", "--mount-add=target=/x"],
    );
    assert_eq!(error.unwrap_err().to_string(), "duplicate mount target: /x");
}

#[test]
fn a_rollback_stands_alone() {
    for (line, alone) in [
        (&["--rollback"][..], true),
        (&["--rollback", "--detach", "-q"], true),
        (&["--rollback", "--image=x"], false),
        (&["--rollback", "--env-rm=A"], false),
        (&["--rollback", "--tty=false"], false),
    ] {
        let ServiceCommand::Update(args) = service(&[&["update"], line, &["web"]].concat()) else {
            panic!("not update");
        };
        assert_eq!(only_rolls_back(&args).is_ok(), alone, "{line:?}");
    }
}

#[test]
fn each_mode_says_how_many_tasks_there_are() {
    let mode = |line: &[&str]| {
        let spec = created(&[line, &["busybox"]].concat()).unwrap();
        serde_json::to_string(&spec.mode).unwrap()
    };
    for (line, expected) in [
        (&["--mode=global"][..], r#"{"Global":{}}"#),
        (&["--mode=global-job"], r#"{"GlobalJob":{}}"#),
        (&["--mode=replicated-job"], r#"{"ReplicatedJob":{}}"#),
        (
            &["--mode=replicated-job", "--replicas=5"],
            r#"{"ReplicatedJob":{"MaxConcurrent":5,"TotalCompletions":5}}"#,
        ),
        (
            &[
                "--mode=replicated-job",
                "--replicas=5",
                "--max-concurrent=2",
            ],
            r#"{"ReplicatedJob":{"MaxConcurrent":2,"TotalCompletions":5}}"#,
        ),
        (
            &["--mode=replicated-job", "--max-concurrent=2"],
            r#"{"ReplicatedJob":{"MaxConcurrent":2}}"#,
        ),
    ] {
        assert_eq!(mode(line), expected, "{line:?}");
    }
}

#[test]
fn a_jobs_numbers_are_changed_one_by_one() {
    let job = created(&["--mode=replicated-job", "--replicas=5", "busybox"]).unwrap();
    let changed = |flag: &str| {
        let ServiceCommand::Update(args) = service(&["update", flag, "job"]) else {
            panic!("not update");
        };
        let spec = update(&args, job.clone(), &|_| None, &Known::default()).unwrap();
        let job = spec.mode.replicated_job.unwrap();
        (job.max_concurrent, job.total_completions)
    };
    assert_eq!(changed("--replicas=9"), (Some(5), Some(9)));
    assert_eq!(changed("--max-concurrent=1"), (Some(1), Some(5)));
    let scaled = scale(job.clone(), 7).unwrap().mode.replicated_job.unwrap();
    assert_eq!(scaled.total_completions, Some(7));
    assert_eq!(scaled.max_concurrent, Some(5));
}

#[test]
fn only_what_is_replicated_can_be_scaled() {
    let scaled = scale(sample(), 9).unwrap();
    assert_eq!(scaled.mode.replicated.unwrap().replicas, Some(9));
    let global = created(&["--mode=global", "busybox"]).unwrap();
    assert_eq!(
        scale(global, 2).unwrap_err().to_string(),
        "scale can only be used with replicated or replicated-job mode"
    );
}

#[test]
fn networks_are_attached_and_detached() {
    let spec = created(&[
        "--network=net",
        "--network=name=other,alias=w,ip=10.0.5.9",
        "busybox",
    ])
    .unwrap();
    insta::assert_snapshot!(serde_json::to_string(&spec).unwrap(), @r#"{"Labels":{"swarmlet.vip.other":"10.0.5.9"},"TaskTemplate":{"ContainerSpec":{"Image":"busybox:latest","Env":["FROM_FILE=1","B=file"]},"Networks":[{"Target":"net"},{"Target":"other","Aliases":["w"]}],"ForceUpdate":0},"Mode":{"Replicated":{}}}"#);
    let mut spec = spec;
    for (network, id) in spec.task_template.networks.iter_mut().zip(["n1", "n2"]) {
        network.target = id.into();
    }
    insta::assert_snapshot!(changes(&spec, &["--network-rm=other", "--network-add=net"]), @r#"
    - "Labels": {
    - "swarmlet.vip.other": "10.0.5.9"
    - "Target": "n2",
    - "Aliases": [
    - "w"
    - ]
    + "Labels": {},
    + "Target": "017d7b0wjf4n0h7dkdkivqhbq"
    "#);
    let error = updated(&spec, &["--network-add=other"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "service is already attached to network other"
    );
}

#[test]
fn a_port_is_published_on_one_address() {
    let spec = created(&[
        "--publish=8080:80",
        "--publish=10.0.0.2:81:81",
        "--host-ip=127.0.0.1",
        "busybox",
    ])
    .unwrap();
    let ports = spec.endpoint_spec.clone().unwrap().ports;
    let ips: Vec<_> = ports.iter().map(|port| port.host_ip.as_str()).collect();
    assert_eq!(ips, ["127.0.0.1", "10.0.0.2"]);
    let error = created(&["--publish=80", "--host-ip=127.0.0.1", "busybox"]);
    assert_eq!(
        error.unwrap_err().to_string(),
        "target port 80 is published on 127.0.0.1: say on which port, too"
    );

    // The daemon has made labels of them.
    let mut spec = spec;
    let label = ports[0].host_ip_label();
    assert_eq!(label, "swarmlet.host-ip.8080/tcp");
    spec.labels.insert(label.clone(), "127.0.0.1".into());
    let open = updated(&spec, &["--publish-rm=80", "--publish-add=8080:80"]).unwrap();
    assert_eq!(open.labels.get(&label), None);
    assert_eq!(open.endpoint_spec.unwrap().ports[1].host_ip, "");
}

#[test]
fn secrets_and_configs_are_added_and_removed() {
    let line = [
        "--secret=s1",
        "--config=source=c1,target=/etc/c,uid=7",
        "busybox",
    ];
    let spec = created(&line).unwrap();
    let container = spec.task_template.container_spec.clone().unwrap();
    assert_eq!(container.secrets[0].id, "id1");
    let file = container.configs[0].file.clone().unwrap();
    assert_eq!((&*file.name, &*file.uid, file.mode), ("/etc/c", "7", 0o444));

    let line = [
        "--secret-rm=s1",
        "--secret-add=source=s2,target=s1",
        "--config-rm=c1",
    ];
    let spec = updated(&spec, &line).unwrap();
    let container = spec.task_template.container_spec.unwrap();
    let [secret] = container.secrets.as_slice() else {
        panic!("{container:?}");
    };
    assert_eq!((&*secret.id, &*secret.name), ("id2", "s2"));
    assert_eq!(secret.file.as_ref().unwrap().name, "s1");
    assert!(container.configs.is_empty());
}

#[test]
fn files_that_are_not_there_or_in_each_others_way_are_refused() {
    for (line, why) in [
        (&["--secret=nope"][..], "secret not found: nope"),
        (&["--config=s1"], "config not found: s1"),
        (
            &["--secret=s1", "--secret=source=s2,target=s1"],
            "duplicate secret target for s2 not allowed",
        ),
    ] {
        let error = created(&[line, &["busybox"]].concat()).unwrap_err();
        assert_eq!(error.to_string(), why);
    }
}
