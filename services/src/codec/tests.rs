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

mod golden;
mod snapshots;

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

fn subnet(net: &str) -> Subnet {
    let net: IpNet = net.parse().unwrap();
    Subnet {
        net,
        gateway: net.hosts().next().unwrap(),
        range: None,
    }
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

fn unhex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn snapshot(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_snapshot(state, &mut bytes).unwrap();
    bytes
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
