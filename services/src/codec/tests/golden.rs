//! What is on the disks of running swarms stays as it is.

use super::*;

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
