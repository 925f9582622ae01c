use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::directory::{
    Directory, DirectoryAttachment, DirectoryNetwork, DirectoryNode, DirectoryPort,
    DirectoryService, OutdatedPorts,
};
use crate::object::Subnet;
use crate::spec::Protocol;

fn network(name: &str, third: u8) -> DirectoryNetwork {
    DirectoryNetwork {
        name: name.to_owned(),
        subnets: vec![Subnet {
            net: format!("10.0.{third}.0/24").parse().unwrap(),
            gateway: IpAddr::from([10, 0, third, 1]),
            range: None,
        }],
        internal: third.is_multiple_of(2),
        ingress: third.is_multiple_of(3),
        attachable: third.is_multiple_of(5),
        mtu: third.is_multiple_of(7).then_some(1_300),
    }
}

fn service(name: &str, networks: &[u128], port: u16) -> DirectoryService {
    let attachment = |id: &u128| DirectoryAttachment {
        vips: vec![
            IpAddr::from([10, 0, *id as u8, 2]),
            IpAddr::from([0xfd; 16]),
        ],
        aliases: BTreeSet::from([format!("{name}-{id}")]),
    };
    let networks = networks
        .iter()
        .map(|id| (Id::from_u128(*id), attachment(id)));
    let published = |number| DirectoryPort {
        protocol: Protocol::Udp,
        published: number,
        target: 53,
        host_ip: number
            .is_multiple_of(2)
            .then(|| IpAddr::from([192, 0, 2, 1])),
    };
    DirectoryService {
        name: name.to_owned(),
        networks: networks.collect(),
        ports: (port > 0).then(|| published(port)).into_iter().collect(),
        outdated: match port.is_multiple_of(7) {
            true => vec![OutdatedPorts {
                tasks: BTreeSet::from([Id::from_u128(port.into())]),
                ports: BTreeSet::from([published(port)]),
            }],
            false => Vec::new(),
        },
    }
}

fn node(last: u8) -> DirectoryNode {
    DirectoryNode {
        data_addr: IpAddr::from([10, 9, 0, last]),
    }
}

/// Through bytes; the pieces come in the order that `order` picks.
fn through_bytes(delta: &DirectoryDelta, mut order: u64) -> DirectoryDelta {
    let mut pieces = encode_directory(delta).unwrap();
    let mut whole = DirectoryDelta::default();
    while !pieces.is_empty() {
        let next = order as usize % pieces.len();
        order = order.rotate_right(7);
        whole.extend(decode_directory(&pieces.swap_remove(next)).unwrap());
    }
    whole
}

/// Nodes of one release hear this from managers of the next, and have it on
/// their disks: a change that breaks this needs a new version beside the old one.
#[test]
fn the_bytes_of_a_directory_stay_as_they_are() {
    let id = Id::from_u128;
    let delta = DirectoryDelta {
        data_port: Some(4789),
        networks: [(id(1), Some(network("web", 5))), (id(2), None)].into(),
        services: [(id(3), Some(service("site", &[1], 8080)))].into(),
        ..DirectoryDelta::default()
    };
    let [bytes] = <[_; 1]>::try_from(encode_directory(&delta).unwrap()).unwrap();
    let expected = [
        b"\x00\x01\xfb\xb5\x12\x02\x01\x01\x85",
        GOLDEN_NETWORK,
        b"\x02\x00\x01\x03\x01\xdd",
        GOLDEN_SERVICE,
    ];
    assert_eq!(
        bytes.escape_ascii().to_string(),
        expected.concat().escape_ascii().to_string()
    );
    assert_eq!(decode_directory(&bytes).unwrap(), delta);
}

const GOLDEN_NETWORK: &[u8] = br#"{"name":"web","subnets":[{"net":"10.0.5.0/24","gateway":"10.0.5.1","range":null}],"internal":false,"ingress":false,"attachable":true}"#;
const GOLDEN_SERVICE: &[u8] = br#"{"name":"site","networks":{"0000000000000000000000001":{"vips":["10.0.1.2","fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd"],"aliases":["site-1"]}},"ports":[{"protocol":"udp","published":8080,"target":53,"host_ip":"192.0.2.1"}]}"#;

/// The same, of those that few swarms have.
#[test]
fn the_bytes_of_nodes_stay_as_they_are() {
    let id = Id::from_u128;
    let delta = DirectoryDelta {
        nodes: [(id(1), Some(node(5))), (id(2), None)].into(),
        ..DirectoryDelta::default()
    };
    let [nothing, bytes] = <[_; 2]>::try_from(encode_directory(&delta).unwrap()).unwrap();
    assert_eq!(nothing, [0; 4]);
    let expected = [
        b"\x01\x02\x01\x01\x18",
        br#"{"data_addr":"10.9.0.5"}"# as &[u8],
        b"\x02\x00",
    ];
    assert_eq!(
        bytes.escape_ascii().to_string(),
        expected.concat().escape_ascii().to_string()
    );
    assert_eq!(decode_directory(&bytes).unwrap(), delta);
}

#[test]
fn a_change_of_nothing_is_one_small_piece() {
    let pieces = encode_directory(&DirectoryDelta::default()).unwrap();
    assert_eq!(pieces, [[0; 4]]);
}

#[test]
fn no_piece_holds_more_than_one_entry_beyond_its_fill() {
    let long = "n".repeat(FULL / 3);
    let networks = (0..32).map(|n| (Id::from_u128(n.into()), Some(network(&long, n))));
    let delta = DirectoryDelta {
        networks: networks.collect(),
        ..DirectoryDelta::default()
    };
    let pieces = encode_directory(&delta).unwrap();
    assert!(pieces.iter().all(|piece| piece.len() < 2 * FULL));
    assert!(pieces.len() >= 32 / 4, "{}", pieces.len());
    assert_eq!(through_bytes(&delta, 0xdead_beef), delta);
}

#[test]
fn an_entry_beyond_the_limit_is_refused() {
    let name = "n".repeat(MAX_DIRECTORY_PIECE);
    let delta = DirectoryDelta {
        networks: [(Id::from_u128(1), Some(network(&name, 1)))].into(),
        ..DirectoryDelta::default()
    };
    let refused = encode_directory(&delta).unwrap_err();
    assert!(matches!(refused, CodecError::TooLarge { .. }), "{refused}");
    let refused = decode_directory(&vec![0; MAX_DIRECTORY_PIECE + 1]).unwrap_err();
    assert!(matches!(refused, CodecError::TooLarge { .. }), "{refused}");
}

fn any_network() -> impl Strategy<Value = DirectoryNetwork> {
    ("\\PC{0,20}", any::<u8>()).prop_map(|(name, third)| network(&name, third))
}

fn any_service() -> impl Strategy<Value = DirectoryService> {
    let networks = prop::collection::vec(0..6u128, 0..4);
    ("\\PC{0,20}", networks, any::<u16>())
        .prop_map(|(name, networks, port)| service(&name, &networks, port))
}

fn any_directory() -> impl Strategy<Value = Directory> {
    let id = || (0..8u128).prop_map(Id::from_u128);
    let networks = prop::collection::btree_map(id(), any_network(), 0..5);
    let services = prop::collection::btree_map(id(), any_service(), 0..5);
    let nodes = prop::collection::btree_map(id(), any::<u8>().prop_map(node), 0..5);
    (any::<u16>(), networks, services, nodes).prop_map(|(data_port, networks, services, nodes)| {
        Directory {
            data_port,
            networks,
            services,
            nodes,
        }
    })
}

proptest! {
    #[test]
    fn a_directory_follows_another_through_bytes(
        before in any_directory(),
        between in any_directory(),
        after in any_directory(),
        order in any::<u64>(),
    ) {
        let mut told = before.clone();
        told.apply(through_bytes(&between.since(&before), order));
        prop_assert_eq!(&told, &between);
        told.apply(through_bytes(&after.since(&between), order));
        prop_assert_eq!(&told, &after);
        // Or both at once.
        let mut both = between.since(&before);
        both.extend(after.since(&between));
        let mut told = before;
        told.apply(through_bytes(&both, order));
        prop_assert_eq!(&told, &after);
    }

    #[test]
    fn damaged_bytes_are_refused_or_something_that_has_bytes(
        directory in any_directory(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let pieces = encode_directory(&directory.since(&Directory::default())).unwrap();
        for mut bytes in pieces {
            let place = at.index(bytes.len());
            bytes[place] = byte;
            if let Ok(read) = decode_directory(&bytes) {
                prop_assert_eq!(&through_bytes(&read, 0), &read);
            }
            bytes.truncate(cut.index(bytes.len()));
            let _ = decode_directory(&bytes);
        }
    }

    #[test]
    fn noise_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(read) = decode_directory(&bytes) {
            prop_assert_eq!(&through_bytes(&read, 0), &read);
        }
    }
}
