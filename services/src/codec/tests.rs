use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use ipnet::IpNet;
use proptest::prelude::*;

use super::*;
use crate::command::{Change, Command, RefusalKind};
use crate::file::FileKind;
use crate::generic::{Amount, Generic};
use crate::id::Id;
use crate::object::{
    Attachment, Cluster, ContainerStatus, Meta, NodeDescription, PublishedPort, Subnet,
    TaskAddress, TaskState, TaskStatus, UnlockKey, UpdateState, UpdateStatus, Vip,
};
use crate::observed::NodeHealth;
use crate::spec::{
    Availability, ClusterSpec, IpcMode, Mode, NodeSpec, OwnNetwork, PidMode, Protocol, Role,
    RunOptions, ServiceSpec,
};
use crate::state::State;
use crate::testing::{
    SECOND, World, attach, cluster, file, global, global_job, job, network, publish_ingress, refer,
    rotation, set_image, web,
};
use crate::time::Timestamp;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes are what a running swarm has on its disks: a change that breaks
/// this needs a new version of the record, beside the old one.
fn check_golden(command: Command, expected: &str) {
    let proposal = Proposal {
        at: Timestamp(300),
        command,
    };
    let bytes = encode_proposal(&proposal).unwrap();
    assert_eq!(hex(&bytes), expected.replace([' ', '\n'], ""));
    assert_eq!(decode_proposal(&bytes).unwrap(), proposal);
}

fn id(value: u128) -> Id {
    Id::from_u128(value)
}

fn update_status() -> UpdateStatus {
    UpdateStatus::begun(UpdateState::Paused, Timestamp(9), "m")
}

fn task_status() -> TaskStatus {
    TaskStatus {
        error: Some("e".to_owned()),
        container: Some(ContainerStatus {
            id: "c".to_owned(),
            pid: 1,
            exit_code: -1,
            oom_killed: true,
        }),
        ports: vec![PublishedPort {
            protocol: Protocol::Udp,
            target: 53,
            published: 5353,
            host_ip: Some("10.0.0.1".parse().unwrap()),
        }],
        started: Some(Timestamp(7)),
        ..TaskStatus::at(TaskState::Failed, Timestamp(8), "m")
    }
}

#[test]
fn the_bytes_of_plans_stay_as_they_are() {
    let changes = vec![
        Change::CreateTask {
            id: id(1),
            service: id(2),
            spec_version: 3,
            slot: 4,
            desired: TaskState::Ready,
            not_before: Timestamp(5),
            failures: 6,
        },
        Change::AssignTask {
            id: id(1),
            node: id(2),
        },
        Change::SetDesired {
            id: id(1),
            desired: TaskState::Remove,
        },
        Change::SetStatus {
            id: id(1),
            status: task_status(),
        },
        Change::DeleteTask { id: id(1) },
        Change::SetUpdateStatus {
            service: id(2),
            spec_version: 3,
            status: update_status(),
        },
        Change::Rollback {
            service: id(2),
            spec_version: 3,
            status: update_status(),
        },
    ];
    check_golden(Command::Plan { changes }, GOLDEN_PLAN);
}

const GOLDEN_PLAN: &str = "
    00 fb2c01 0b 07
    00 01 02 03 04 05 05 06
    01 01 02
    02 01 0c
    03 01 0a 08 016d 010165 01 0163 02 01 01 01 01 35 fbe914 01 00 0a000001 01 07
    04 01
    05 02 03 01 09 00 016d
    06 02 03 01 09 00 016d";

fn subnet(net: &str) -> Subnet {
    let net: IpNet = net.parse().unwrap();
    Subnet {
        net,
        gateway: net.hosts().next().unwrap(),
        range: None,
    }
}

#[test]
fn the_bytes_of_allocations_stay_as_they_are() {
    let addr = |text: &str| text.parse::<IpNet>().unwrap();
    let changes = vec![
        Change::CreateIngress {
            id: id(1),
            subnets: vec![Subnet {
                range: Some(addr("10.0.1.128/25")),
                ..subnet("10.0.1.0/24")
            }],
        },
        Change::AllocateService {
            service: id(2),
            spec_version: 3,
            published: vec![30_000],
            vips: vec![Vip {
                network: id(4),
                addr: addr("10.0.1.2/24"),
            }],
        },
        Change::AllocateTask {
            id: id(5),
            addresses: vec![TaskAddress {
                network: id(4),
                addrs: vec![addr("10.0.1.3/24"), addr("fd00:1::3/64")],
            }],
        },
    ];
    check_golden(Command::Plan { changes }, GOLDEN_ALLOCATIONS);
}

const GOLDEN_ALLOCATIONS: &str = "
    00 fb2c01 0b 03
    07 01 01 00 0a000100 18 00 0a000101 01 00 0a000180 19
    08 02 03 01 fb3075 01 04 00 0a000102 18
    09 05 01 04 02 00 0a000103 18 01 fd000001000000000000000000000003 40";

#[test]
fn the_bytes_of_a_task_for_a_node_stay_as_they_are() {
    let changes = vec![Change::CreateTaskOnNode {
        id: id(1),
        service: id(2),
        spec_version: 3,
        node: id(4),
        desired: TaskState::Running,
        not_before: Timestamp(5),
        failures: 6,
    }];
    let bytes = "00 fb2c01 0b 01 0a 01 02 03 04 07 05 06";
    check_golden(Command::Plan { changes }, bytes);
}

fn given() -> Generic {
    let names = Amount::Named(["a".to_owned(), "b".to_owned()].into());
    [
        ("gpu".to_owned(), names),
        ("ssd".to_owned(), Amount::Discrete(2)),
    ]
    .into()
}

const GIVEN: &str = "02 03677075 01 02 0161 0162 03737364 00 02";

#[test]
fn the_bytes_of_generic_resources_stay_as_they_are() {
    let changes = vec![Change::AssignTaskWith {
        id: id(1),
        node: id(2),
        generic: given(),
    }];
    let bytes = format!("00 fb2c01 0b 01 0b 01 02 {GIVEN}");
    check_golden(Command::Plan { changes }, &bytes);

    let assignment = Assignment {
        task: id(1),
        service: id(2),
        slot: 3,
        spec: Arc::new(ServiceSpec::default()),
        desired: TaskState::Running,
        networks: Vec::new(),
        generic: given(),
        files: BTreeMap::new(),
    };
    let bytes = encode_assignments([&assignment]).unwrap();
    assert_eq!(bytes[0], 2, "version 3");
    let end = format!("01 01 02 03 00 07 00 01 00 {GIVEN}").replace(' ', "");
    assert!(hex(&bytes).ends_with(&end), "{}", hex(&bytes));
    assert_eq!(decode_assignments(&bytes).unwrap(), [assignment]);
}

#[test]
fn a_task_in_a_snapshot_keeps_its_generic_resources() {
    let mut world = World::with_nodes(1);
    world.settle();
    world.create(web(1));
    world.settle();
    let id = world.state.tasks().next().unwrap().id;
    let without = snapshot(&world.state).len();
    world.state.edit_task(id).unwrap().generic = given();
    let bytes = snapshot(&world.state);
    let record = bincode::serde::encode_to_vec(id, bincode::config::standard()).unwrap();
    let record = format!("0010{}{GIVEN}", hex(&record)).replace(' ', "");
    assert!(
        hex(&bytes).contains(&record),
        "{}",
        hex(&bytes[without - 8..])
    );
    assert_eq!(read_snapshot(bytes.as_slice()).unwrap(), world.state);
}

/// They are on the disks of running swarms, too.
#[test]
fn the_words_for_run_options_stay_as_they_are() {
    let mut spec = ServiceSpec::default();
    let plain = serde_json::to_string(&spec).unwrap();
    for word in ["\"run\"", "\"own_network\""] {
        assert!(!plain.contains(word), "as releases before wrote it");
    }
    spec.task.own_network = Some(OwnNetwork::Host);
    spec.task.container.run = RunOptions {
        devices: vec!["/dev/a:/dev/b:r".parse().unwrap()],
        gpus: Some("all".parse().unwrap()),
        privileged: true,
        security: vec![
            "no-new-privileges".parse().unwrap(),
            "systempaths=unconfined".parse().unwrap(),
        ],
        shm_size: Some(1),
        pid: Some(PidMode::Host),
        ipc: Some(IpcMode::None),
        platform: Some("linux/arm/v7".parse().unwrap()),
    };
    spec.task.generic = [("gpu".to_owned(), 1)].into();
    let json = serde_json::to_string(&spec).unwrap();
    for words in [
        r#""run":{"devices":[{"on_host":"/dev/a","in_container":"/dev/b","permissions":"r"}],"gpus":{"driver":"","count":"all","capabilities":["gpu"],"options":{}},"privileged":true,"security":[{"engine":"no-new-privileges"},"unconfined_paths"],"shm_size":1,"pid":"host","ipc":"none","platform":{"architecture":"arm/v7","os":"linux"}}"#,
        r#""own_network":"host""#,
        r#""generic":{"gpu":1}"#,
    ] {
        assert!(json.contains(words), "{words} in {json}");
    }
    assert_eq!(serde_json::from_str::<ServiceSpec>(&json).unwrap(), spec);
}

/// Specs travel as JSON: these words are on the disks of running swarms.
#[test]
fn the_words_for_modes_stay_as_they_are() {
    let words = [
        (
            Mode::Replicated { replicas: Some(3) },
            r#"{"replicated":{"replicas":3}}"#,
        ),
        (Mode::Global, r#""global""#),
        (
            Mode::ReplicatedJob {
                max_concurrent: 1,
                total_completions: 2,
            },
            r#"{"replicated_job":{"max_concurrent":1,"total_completions":2}}"#,
        ),
        (Mode::GlobalJob, r#""global_job""#),
    ];
    for (mode, words) in words {
        assert_eq!(serde_json::to_string(&mode).unwrap(), words);
        assert_eq!(serde_json::from_str::<Mode>(words).unwrap(), mode);
    }
}

#[test]
fn the_records_of_modes_in_a_snapshot_stay_as_they_are() {
    let mut world = World::with_nodes(1);
    world.settle();
    let before = snapshot(&world.state).len();
    world.create(global_job());
    world.settle();
    let task = world.state.tasks().next().unwrap();
    let bytes = hex(&snapshot(&world.state)[before - 8..]);
    let fixed = |id: Id| {
        let bytes = bincode::serde::encode_to_vec(id, bincode::config::standard());
        hex(&bytes.unwrap())
    };
    let (service, node) = (fixed(task.service), fixed(task.node.unwrap()));
    let task = fixed(task.id);
    let at = hex(&world.now.0.to_le_bytes());
    // The job of the service, the node of its task, and the task's run.
    for record in [
        format!("000d{service}00fd{at}"),
        format!("000c{task}{node}"),
        format!("000e{task}00"),
    ] {
        let length = hex(&u32::try_from(record.len() / 2).unwrap().to_le_bytes());
        assert!(bytes.contains(&(length + &record)), "{record} in {bytes}");
    }
}

#[test]
fn the_bytes_of_a_rotation_of_the_ca_stay_as_they_are() {
    let mut rotation = rotation([5; 32]);
    rotation.renewed.insert(id(9));
    let spec = ClusterSpec {
        force_rotate: 3,
        ..ClusterSpec::default()
    };
    let spec_json = serde_json::to_string(&spec).unwrap();
    assert!(spec_json.ends_with(r#","force_rotate":3}"#), "{spec_json}");
    let text = |text: &str| hex(&[&[text.len() as u8], text.as_bytes()].concat());
    let texts = ["SWMTKN-1-w2", "SWMTKN-1-m2"].map(text).concat();
    let begun = [text("next certificate"), text("next key")].concat();
    let record = format!(
        "{begun} {} {} {texts} fb2c01 01 09",
        "05".repeat(32),
        text("cross-signed")
    );
    let spec_json = text(&spec_json);
    let command = Command::RotateRoot {
        version: 7,
        spec,
        rotation: Some(Box::new(rotation.clone())),
    };
    check_golden(command, &format!("00 fb2c01 13 07 {spec_json} 01 {record}"));

    let digest = [5; 32];
    let changes = vec![
        Change::NodesRenewed {
            digest,
            nodes: vec![id(9)],
        },
        Change::EndRotation { digest },
    ];
    let digest = "05".repeat(32);
    let changes_bytes = format!("00 fb2c01 0b 02 0c {digest} 01 09 0d {digest}");
    check_golden(Command::Plan { changes }, &changes_bytes);

    let mut world = World::new();
    let before = snapshot(&world.state).len();
    let cluster = world.state.cluster().unwrap();
    let command = Command::RotateRoot {
        version: cluster.meta.version,
        spec: cluster.spec.clone(),
        rotation: Some(Box::new(rotation)),
    };
    world.command(command).unwrap();
    let bytes = snapshot(&world.state);
    let record = format!("0011{record}").replace(' ', "");
    assert_eq!(bytes.len(), before + 4 + record.len() / 2);
    assert!(hex(&bytes).contains(&record), "{}", hex(&bytes));
    assert_eq!(read_snapshot(bytes.as_slice()).unwrap(), world.state);
}

#[test]
fn the_bytes_of_a_network_stay_as_they_are() {
    let command = Command::CreateNetwork {
        id: id(1),
        spec: Arc::new(network("n")),
        subnets: vec![subnet("10.0.1.0/24")],
    };
    check_golden(command, GOLDEN_NETWORK);
    check_golden(Command::RemoveNetwork { id: id(1) }, "00 fb2c01 0d 01");
}

#[test]
fn the_bytes_of_attachments_stay_as_they_are() {
    let addr = |text: &str| text.parse::<IpNet>().unwrap();
    let addrs = vec![addr("10.0.1.3/24"), addr("fd00:1::3/64")];
    let command = Command::CreateAttachment {
        id: id(1),
        network: id(2),
        node: id(3),
        addrs: addrs.clone(),
    };
    let bytes = "00 0a000103 18 01 fd000001000000000000000000000003 40";
    check_golden(command, &format!("00 fb2c01 0e 01 02 03 02 {bytes}"));
    let ids = vec![id(1), id(300)];
    let command = Command::RemoveAttachments { ids };
    check_golden(command, "00 fb2c01 0f 02 01 fb2c01");

    let mut state = State::default();
    state.put_attachment(Attachment {
        id: id(1),
        meta: Meta {
            version: 4,
            created: Timestamp(5),
            updated: Timestamp(6),
        },
        network: id(2),
        node: id(3),
        addrs,
    });
    // One record of 33 bytes, and the end.
    let expected = format!("21000000 00 0b 01 040506 02 03 02 {bytes} 03000000 00 06 01");
    assert_eq!(hex(&snapshot(&state)), expected.replace(' ', ""));
}

const GOLDEN_NETWORK: &str = "
    00 fb2c01 0c 01 8b
    7b226e616d65223a226e222c226c6162656c73223a7b7d2c22647269766572223a6e756c6c2c22696e7465726e
    616c223a66616c73652c2261747461636861626c65223a66616c73652c22696e6772657373223a66616c73652c
    2269707636223a66616c73652c226970616d223a7b22647269766572223a6e756c6c2c22636f6e66696773223a
    5b5d7d7d
    01 00 0a000100 18 00 0a000101 00";

#[test]
fn the_bytes_of_commands_stay_as_they_are() {
    let addr = "10.0.0.1:2377".parse().unwrap();
    let golden: [(Command, &str); 4] = [
        (
            Command::RotateJoinToken {
                role: Role::Manager,
                token: "t".to_owned(),
            },
            "00 fb2c01 02 01 0174",
        ),
        (
            Command::RemoveNode { id: id(1 << 127) },
            "00 fb2c01 06 fe 00000000000000000000000000000080",
        ),
        (
            Command::RollbackService {
                id: id(1),
                version: 251,
            },
            "00 fb2c01 09 01 fbfb00",
        ),
        (
            Command::AddNode {
                id: id(1),
                spec: node_spec(),
                addr,
            },
            "00 fb2c01 03 01 3f7b226e616d65223a226e222c226c6162656c73223a7b7d2c22726f6c65223a22776f726b6572222c22617661696c6162696c697479223a22647261696e227d 00 0a000001 fb4909",
        ),
    ];
    for (command, expected) in golden {
        check_golden(command, expected);
    }
}

#[test]
fn the_bytes_of_a_cluster_stay_as_they_are() {
    let cluster = Box::new(cluster());
    check_golden(Command::CreateCluster { cluster }, GOLDEN_CLUSTER);
}

#[test]
fn the_bytes_of_an_unlock_key_stay_as_they_are() {
    let bytes = "07".repeat(32);
    let key = Some(UnlockKey([7; 32]));
    let command = Command::SetUnlockKey { key: key.clone() };
    check_golden(command, &format!("00 fb2c01 14 01 {bytes}"));
    check_golden(Command::SetUnlockKey { key: None }, "00 fb2c01 14 00");

    let cluster = Box::new(Cluster {
        unlock_key: key.clone(),
        ..cluster()
    });
    let golden = GOLDEN_CLUSTER.replacen("fb2c01 00", "fb2c01 15", 1);
    check_golden(
        Command::CreateCluster { cluster },
        &format!("{golden} {bytes}"),
    );

    let mut world = World::new();
    let without = hex(&snapshot(&world.state));
    world.command(Command::SetUnlockKey { key }).unwrap();
    let with = snapshot(&world.state);
    // A record of 34 bytes; without a key the snapshot is that of releases before.
    let record = format!("22000000 00 12 {bytes}").replace(' ', "");
    assert!(hex(&with).contains(&record) && !without.contains(&record));
    assert_eq!(read_snapshot(with.as_slice()).unwrap(), world.state);
}

#[test]
fn a_cluster_of_before_networks_gets_their_defaults() {
    let bytes = unhex(CLUSTER_BEFORE_NETWORKS);
    let cluster = Box::new(cluster());
    let expected = Command::CreateCluster { cluster };
    assert_eq!(decode_proposal(&bytes).unwrap().command, expected);
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

const GOLDEN_CLUSTER: &str = "
    00 fb2c01 00 fe00000000000000000000000010000000 000000 d1
    7b226c6162656c73223a7b7d2c227461736b5f686973746f7279223a352c2263657274696669636174655f6c69
    666574696d65223a7b2273656373223a373737363030302c226e616e6f73223a307d2c22686561727462656174
    223a7b2273656373223a352c226e616e6f73223a307d2c22736e617073686f745f696e74657276616c223a3130
    3030302c22616464726573735f706f6f6c73223a5b2231302e302e302e302f38225d2c227375626e65745f7369
    7a65223a32342c22646174615f706174685f706f7274223a343738397d
    0b6365727469666963617465 036b6579 0a53574d544b4e2d312d77 0a53574d544b4e2d312d6d
    01 0707070707070707070707070707070707070707070707070707070707070707";

const CLUSTER_BEFORE_NETWORKS: &str = "
    00 fb2c01 00 fe00000000000000000000000010000000 000000 8b
    7b226c6162656c73223a7b7d2c227461736b5f686973746f7279223a352c2263657274696669636174655f6c69
    666574696d65223a7b2273656373223a373737363030302c226e616e6f73223a307d2c22686561727462656174
    223a7b2273656373223a352c226e616e6f73223a307d2c22736e617073686f745f696e74657276616c223a3130
    3030307d
    0b6365727469666963617465 036b6579 0a53574d544b4e2d312d77 0a53574d544b4e2d312d6d
    01 0707070707070707070707070707070707070707070707070707070707070707";

fn node_spec() -> NodeSpec {
    NodeSpec {
        name: Some("n".to_owned()),
        labels: BTreeMap::new(),
        role: Role::Worker,
        availability: Availability::Drain,
    }
}

fn every_command() -> Vec<Command> {
    let addr = "[fd00::1]:2377".parse().unwrap();
    let spec = Arc::new(web(3));
    vec![
        Command::CreateCluster {
            cluster: Box::new(cluster()),
        },
        Command::UpdateCluster {
            version: 1,
            spec: ClusterSpec::default(),
        },
        Command::RotateJoinToken {
            role: Role::Worker,
            token: "t".to_owned(),
        },
        Command::AddNode {
            id: id(1),
            spec: node_spec(),
            addr,
        },
        Command::DescribeNode {
            id: id(1),
            description: Box::new(NodeDescription::default()),
            addr,
        },
        Command::UpdateNode {
            id: id(1),
            version: 1,
            spec: node_spec(),
        },
        Command::RemoveNode { id: id(1) },
        Command::CreateService {
            id: id(1),
            spec: Arc::clone(&spec),
        },
        Command::UpdateService {
            id: id(1),
            version: 1,
            spec,
        },
        Command::RollbackService {
            id: id(1),
            version: 1,
        },
        Command::RemoveService { id: id(1) },
        Command::Plan { changes: vec![] },
        Command::CreateNetwork {
            id: id(1),
            spec: Arc::new(network("back")),
            subnets: vec![subnet("10.0.1.0/24"), subnet("fd00:1::/64")],
        },
        Command::RemoveNetwork { id: id(1) },
        Command::CreateAttachment {
            id: id(1),
            network: id(2),
            node: id(3),
            addrs: vec![
                "10.0.1.7/24".parse().unwrap(),
                "fd00:1::7/64".parse().unwrap(),
            ],
        },
        Command::RemoveAttachments {
            ids: vec![id(1), id(300)],
        },
        Command::CreateFile {
            id: id(1),
            kind: FileKind::Secret,
            spec: file("s1", b"bytes"),
        },
        Command::UpdateFile {
            id: id(1),
            kind: FileKind::Secret,
            version: 1,
            labels: BTreeMap::new(),
        },
        Command::RemoveFile {
            id: id(1),
            kind: FileKind::Config,
        },
        Command::RotateRoot {
            version: 1,
            spec: ClusterSpec::default(),
            rotation: None,
        },
        Command::SetUnlockKey { key: None },
    ]
}

#[test]
fn every_command_survives_its_bytes() {
    for (number, command) in every_command().into_iter().enumerate() {
        let proposal = Proposal {
            at: Timestamp(1),
            command,
        };
        let bytes = encode_proposal(&proposal).unwrap();
        assert_eq!(
            bytes[..3],
            [0, 1, number as u8],
            "commands keep their numbers"
        );
        assert_eq!(decode_proposal(&bytes).unwrap(), proposal);
    }
}

#[test]
fn answers_survive_their_bytes_which_stay() {
    let answers = [
        (Ok(Answer::Done), "000000"),
        (Ok(Answer::Version(300)), "000001fb2c01"),
        (Err(RefusalKind::Unknown.because("no")), "00010502 6e6f"),
    ];
    for (answer, expected) in answers {
        let bytes = encode_answer(&answer).unwrap();
        assert_eq!(hex(&bytes), expected.replace(' ', ""));
        assert_eq!(decode_answer(&bytes).unwrap(), answer);
    }
}

#[test]
fn assignments_share_their_spec_again() {
    let mut world = World::with_nodes(1);
    world.create(web(3));
    world.settle();
    let assignments = world.state.assignments(world.node("h1"));
    let bytes = encode_assignments(assignments.values()).unwrap();
    let decoded = decode_assignments(&bytes).unwrap();
    assert!(decoded.iter().eq(assignments.values()));
    assert!(
        decoded
            .windows(2)
            .all(|two| Arc::ptr_eq(&two[0].spec, &two[1].spec))
    );
    let alone = encode_assignments(assignments.values().take(1)).unwrap();
    assert!(bytes.len() < alone.len() + 3 * 40, "the spec is there once");
}

#[test]
fn assignments_without_networks_are_as_before_there_were_any() {
    let mut world = World::with_nodes(1);
    world.create(web(1));
    world.settle();
    let before = world.state.assignments(world.node("h1"));
    let bytes = encode_assignments(before.values()).unwrap();
    assert_eq!(bytes[0], 0, "version 1");
    let back = world.create_network(network("back")).unwrap();
    let mut spec = web(2);
    spec.name = "other".to_owned();
    attach(&mut spec, back);
    world.create(spec);
    world.settle();
    let assignments = world.state.assignments(world.node("h1"));
    let bytes = encode_assignments(assignments.values()).unwrap();
    assert_eq!(bytes[0], 1, "version 2");
    let decoded = decode_assignments(&bytes).unwrap();
    assert!(decoded.iter().eq(assignments.values()));
    assert_eq!(
        decoded.iter().filter(|it| !it.networks.is_empty()).count(),
        2
    );
}

#[test]
fn a_snapshot_of_before_networks_is_read() {
    let state = read_snapshot(unhex(SNAPSHOT_BEFORE_NETWORKS).as_slice()).unwrap();
    let service = state.services().next().unwrap();
    assert_eq!(service.endpoint.ports, service.spec.ports());
    assert_eq!(service.endpoint.ports[0].host_ip, None);
    assert!(state.is_whole(&service.spec, &service.endpoint));
    assert_eq!(state.networks().len(), 0);
    assert_eq!(state.tasks().next().unwrap().addresses, []);
    let limits = state.cluster().unwrap().spec.clone();
    assert_eq!(limits.address_pools, ClusterSpec::default().address_pools);
    let mut world = World::new();
    world.state = state;
    let node = world.state.nodes().next().unwrap().id;
    world.set_health(node, NodeHealth::Ready);
    world.settle();
    assert!(world.state.ingress_network().is_some(), "made afterwards");
    assert_eq!(world.state.services().next().unwrap().update, None);
}

const SNAPSHOT_BEFORE_NETWORKS: &str = include_str!("before_networks.hex");

#[test]
fn an_assignment_without_its_spec_is_refused() {
    // No specs, and one task of spec 0.
    let bytes = [0, 0, 1, 1, 2, 1, 0, 7];
    let error = decode_assignments(&bytes).unwrap_err();
    assert!(matches!(error, CodecError::Malformed(_)), "{error}");
}

#[test]
fn a_proposal_beyond_the_limit_is_refused() {
    let token = "t".repeat(MAX_PROPOSAL);
    let role = Role::Worker;
    let proposal = Proposal {
        at: Timestamp(1),
        command: Command::RotateJoinToken { role, token },
    };
    let error = encode_proposal(&proposal).unwrap_err();
    assert!(matches!(error, CodecError::TooLarge { .. }), "{error}");
    let error = decode_proposal(&vec![0; MAX_PROPOSAL + 1]).unwrap_err();
    assert!(matches!(error, CodecError::TooLarge { .. }), "{error}");
}

#[test]
fn bytes_after_a_record_are_refused() {
    let mut bytes = encode_answer(&Ok(Answer::Done)).unwrap();
    bytes.push(0);
    assert!(matches!(
        decode_answer(&bytes),
        Err(CodecError::Malformed(_))
    ));
}

/// A state with some of everything, and tasks of two specs.
fn rich_world() -> World {
    let mut world = World::with_nodes(3);
    let mut spec = network("back");
    spec.ipv6 = true;
    spec.attachable = true;
    let back = world.create_network(spec).unwrap();
    let node = world.node("h1");
    let attachment = world.attachment(node, back, &[]).unwrap();
    world.command(attachment).unwrap();
    let mut spec = web(4);
    attach(&mut spec, back);
    for kind in FileKind::ALL {
        let (id, content) = (world.next_id(), file("f1", b"bytes"));
        let create = Command::CreateFile {
            id,
            kind,
            spec: content,
        };
        world.command(create).unwrap();
        refer(&mut spec, kind, id, "f1");
    }
    publish_ingress(&mut spec, &[8080, 0]);
    let service = world.create(spec);
    for (name, spec) in [
        ("other", web(2)),
        ("agent", global()),
        ("job", job(2, 5)),
        ("global-job", global_job()),
    ] {
        let name = name.to_owned();
        world.create(ServiceSpec { name, ..spec });
    }
    world.settle();
    world.update(service, |spec| set_image(spec, "web:2"));
    world.run_for(SECOND);
    let gone = world.node("h3");
    world.command(Command::RemoveNode { id: gone }).unwrap();
    world.settle();
    world
}

fn snapshot(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_snapshot(state, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_snapshot_is_the_whole_state() {
    let world = rich_world();
    let bytes = snapshot(&world.state);
    let read = read_snapshot(bytes.as_slice()).unwrap();
    assert_eq!(read, world.state);
    assert_eq!(snapshot(&read), bytes);
    assert_eq!(
        read_snapshot(snapshot(&State::default()).as_slice()).unwrap(),
        State::default()
    );
}

#[test]
fn tasks_share_their_spec_again_after_a_snapshot() {
    let read = read_snapshot(snapshot(&rich_world().state).as_slice()).unwrap();
    for task in read.tasks() {
        for other in read.tasks_of_service(task.service) {
            if other.spec_version == task.spec_version {
                assert!(Arc::ptr_eq(&task.spec, &other.spec));
            }
        }
        let service = read.service(task.service).unwrap();
        if service.spec_version == task.spec_version {
            assert!(Arc::ptr_eq(&task.spec, &service.spec));
        }
    }
}

#[test]
fn a_snapshot_that_was_cut_short_is_refused() {
    let bytes = snapshot(&rich_world().state);
    for length in 0..bytes.len() {
        assert!(read_snapshot(&bytes[..length]).is_err(), "at {length}");
    }
}

#[test]
fn a_snapshot_that_lost_a_record_is_refused() {
    let bytes = snapshot(&rich_world().state);
    let first = 4 + u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
    let error = read_snapshot(&bytes[first..]).unwrap_err();
    assert!(error.to_string().contains("records and says"), "{error}");
}

static RICH_SNAPSHOT: LazyLock<Vec<u8>> = LazyLock::new(|| snapshot(&rich_world().state));

proptest! {
    #[test]
    fn decoders_refuse_noise(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_proposal(&bytes);
        let _ = decode_answer(&bytes);
        let _ = decode_assignments(&bytes);
        let _ = read_snapshot(bytes.as_slice());
    }

    /// One bit of something real: the decoder gets further than with noise.
    #[test]
    fn decoders_survive_a_flipped_bit(at: prop::sample::Index, bit in 0..8_u8, which: prop::sample::Index) {
        let commands = every_command();
        let command = commands[which.index(commands.len())].clone();
        let mut bytes = encode_proposal(&Proposal { at: Timestamp(1), command }).unwrap();
        let at_byte = at.index(bytes.len());
        bytes[at_byte] ^= 1 << bit;
        let _ = decode_proposal(&bytes);
        let mut bytes = RICH_SNAPSHOT.clone();
        let at_byte = at.index(bytes.len());
        bytes[at_byte] ^= 1 << bit;
        let _ = read_snapshot(bytes.as_slice());
    }
}
