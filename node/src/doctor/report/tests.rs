use std::time::Duration;

use overlay::tunnel::{self, PathReport, Probed};
use services::Id;

use super::*;
use crate::doctor::Shared;

fn id(number: u128) -> NodeId {
    NodeId::from(number)
}

fn names() -> BTreeMap<NodeId, String> {
    (1..=3)
        .map(|number| (id(number), format!("h{number}")))
        .collect()
}

fn echoes(answered: u32) -> Echoes {
    Echoes {
        sent: 10,
        answered,
        ..Echoes::default()
    }
}

/// A peer that answers so many of ten small and ten large probes.
fn reached(number: u128, small: u32, large: u32) -> PeerReport {
    PeerReport {
        node: id(number),
        addrs: vec![([192, 0, 2, number as u8], 4789).into()],
        is_wanted: true,
        path: Some(PathReport {
            remote: ([192, 0, 2, number as u8], 4789).into(),
            dialled: true,
            established: Duration::from_secs(60),
            rtt: Duration::from_millis(1),
            mtu: 1_400,
            sent: 100,
            lost: 0,
            sent_datagrams: 100,
            received_datagrams: 90,
            sent_bytes: 10_000,
            received_bytes: 9_000,
        }),
        failure: None,
        probed: Some(Probed {
            small: echoes(small),
            large: echoes(large),
        }),
    }
}

fn missed(number: u128) -> PeerReport {
    PeerReport {
        path: None,
        failure: Some("timed out".into()),
        probed: None,
        ..reached(number, 0, 0)
    }
}

/// A node with containers on network `web`, as those peers have.
fn says(number: u128, peers: Vec<PeerReport>) -> Asked {
    let networks = vec![Shared {
        id: Id::from_u128(5),
        name: "web".into(),
        nodes: peers.iter().map(|peer| peer.node).collect(),
    }];
    Asked {
        id: id(number),
        answer: Ok(Diagnosis {
            networks,
            mtu: 1_400,
            tunnel: tunnel::Report {
                peers,
                drops: Drops::default(),
            },
            ..Diagnosis::default()
        }),
    }
}

fn problems(asked: &[Asked]) -> Vec<String> {
    report(asked, &names(), None).problems
}

#[test]
fn a_pair_is_told_once_with_what_both_sides_see() {
    let asked = [
        says(2, vec![reached(1, 10, 10)]),
        says(1, vec![reached(2, 10, 10)]),
    ];
    let report = report(&asked, &names(), None);
    assert_eq!(report.problems, Vec::<String>::new());
    let [pair] = &report.pairs[..] else {
        panic!("{:?}", report.pairs);
    };
    assert_eq!(pair.devices.clone().map(|it| it.name), ["h1", "h2"]);
    let seen = pair
        .seen
        .each_ref()
        .map(|peer| peer.as_ref().map(|it| it.node));
    assert_eq!(seen, [Some(id(2)), Some(id(1))]);
    assert_eq!(pair.networks, BTreeSet::from(["web".into()]));
}

#[test]
fn one_side_is_enough_where_the_other_does_not_answer() {
    let silent = Asked {
        id: id(2),
        answer: Err("no answer within 10 s".into()),
    };
    let report = report(&[says(1, vec![reached(2, 10, 10)]), silent], &names(), None);
    assert_eq!(
        report.problems,
        ["h2 does not answer: no answer within 10 s"]
    );
    assert!(report.pairs[0].is_connected());
    assert_eq!(report.pairs[0].seen[1], None);
    let answered = report.devices.iter().map(|device| device.answered);
    assert_eq!(answered.collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_connection_that_is_missing_is_told_with_what_was_tried() {
    let asked = [says(1, vec![missed(2)]), says(2, vec![missed(1)])];
    assert_eq!(
        problems(&asked),
        [
            "h1 - h2: no connection; h1 tries 192.0.2.2:4789 (timed out); h2 tries \
             192.0.2.1:4789 (timed out)"
        ]
    );
}

#[test]
fn a_connection_of_one_side_alone_is_a_problem() {
    let asked = [says(1, vec![reached(2, 0, 0)]), says(2, vec![missed(1)])];
    assert!(problems(&asked).contains(&"h1 - h2: h2 knows of no connection".to_owned()));
}

#[test]
fn nobody_minds_that_strangers_are_not_connected() {
    let stranger = PeerReport {
        is_wanted: false,
        ..missed(2)
    };
    let report = report(&[says(1, vec![stranger])], &names(), None);
    assert_eq!((report.pairs.len(), report.problems.len()), (0, 0));
}

#[test]
fn loss_is_a_problem_from_one_in_twenty_on() {
    let with = |small, large| problems(&[says(1, vec![reached(2, small, large)])]);
    assert_eq!(with(10, 9), Vec::<String>::new());
    assert_eq!(with(9, 9), ["h1 - h2: 2 of 20 probes were lost"]);
    assert_eq!(
        with(9, 0),
        ["h1 - h2: large packets are lost, small ones arrive"]
    );
    assert_eq!(with(0, 0), ["h1 - h2: 20 of 20 probes were lost"]);
}

#[test]
fn a_path_for_smaller_packets_than_containers_send_is_told() {
    let mut peer = reached(2, 10, 10);
    if let Some(path) = &mut peer.path {
        path.mtu = 1_242;
    }
    assert_eq!(
        problems(&[says(1, vec![peer])]),
        ["h1 - h2: the path carries packets of 1242 bytes, containers send 1400"]
    );
}

#[test]
fn what_a_node_finds_on_itself_comes_with_its_name() {
    let mut asked = says(3, Vec::new());
    if let Ok(diagnosis) = &mut asked.answer {
        diagnosis.fault = Some("the data port is taken".into());
        diagnosis.findings = vec!["route 10.0.5.0/24 dev swl0 is missing".into()];
    }
    assert_eq!(
        problems(&[asked]),
        [
            "h3: the data port is taken",
            "h3: route 10.0.5.0/24 dev swl0 is missing"
        ]
    );
}

#[test]
fn of_one_network_only_those_on_it_are_told() {
    let mut elsewhere = says(3, vec![reached(1, 10, 10)]);
    if let Ok(diagnosis) = &mut elsewhere.answer {
        diagnosis.networks.clear();
    }
    let asked = [says(1, vec![reached(2, 10, 10)]), elsewhere];
    for network in ["web", &Id::from_u128(5).to_string()] {
        let report = report(&asked, &names(), Some(network));
        assert_eq!(report.devices.len(), 1);
        let pairs = report.pairs.iter().map(|pair| pair.devices[1].id);
        assert_eq!(pairs.collect::<Vec<_>>(), [id(2)]);
    }
    let report = report(&asked, &names(), Some("db"));
    assert!(report.devices.is_empty() && report.pairs.is_empty());
}
