use std::time::Duration;

use gossip::endpoints::Backend;
use gossip::{Facts, Through};
use overlay::table::Table;
use overlay::view::Local;
use services::Id;
use services::directory::DirectoryNode;
use services::object::Subnet;

use super::*;

const ME: u128 = 1;
const PEER: u128 = 2;
const WEB: u128 = 100;
const SHOP: u128 = 200;

fn node(number: u128) -> NodeId {
    NodeId::from(number)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Network `web` with the service `shop`, whose VIP is 10.0.1.2; a task of it
/// is here and one on the peer.
fn sources() -> Sources {
    let subnet = Subnet {
        net: "10.0.1.0/24".parse().unwrap(),
        gateway: ip("10.0.1.1"),
        range: None,
    };
    let web = DirectoryNetwork {
        name: "web".into(),
        subnets: vec![subnet],
        internal: false,
        ingress: false,
        attachable: false,
        mtu: None,
    };
    let attachment = DirectoryAttachment {
        vips: vec![ip("10.0.1.2")],
        aliases: ["store".to_owned()].into(),
    };
    let shop = DirectoryService {
        name: "shop".into(),
        networks: [(Id::from_u128(WEB), attachment)].into(),
        ports: [DirectoryPort {
            protocol: Protocol::Tcp,
            published: 8080,
            target: 80,
            host_ip: None,
        }]
        .into(),
        outdated: Vec::new(),
    };
    let local = Local {
        network: WEB,
        veth: "swv0000abc".into(),
        sandbox: "s".into(),
        ports: BTreeSet::new(),
    };
    Sources {
        directory: Arc::new(Directory {
            data_port: 4789,
            networks: [(Id::from_u128(WEB), web)].into(),
            services: [(Id::from_u128(SHOP), shop)].into(),
            nodes: BTreeMap::new(),
        }),
        answering: Arc::new(answering(true)),
        locals: Arc::new([(ip("10.0.1.10"), local)].into()),
        peers: [(node(PEER), vec!["192.0.2.2:4789".parse().unwrap()])].into(),
        host: [ip("192.0.2.1")].into(),
        own_ports: [2377, 4789].into(),
    }
}

fn answering(ready: bool) -> Answering {
    let backend = |task, at, addr| Backend {
        task,
        node: node(at),
        addrs: vec![ip(addr)],
        ready,
        names: Vec::new(),
    };
    let backends = vec![backend(1, ME, "10.0.1.10"), backend(2, PEER, "10.0.1.11")];
    [(WEB, [(SHOP, backends)].into())].into()
}

fn member(number: u128, liveness: Liveness, seen: Option<&str>, said: &[&str]) -> Member {
    let facts = Facts {
        addrs: said.iter().map(|addr| addr.parse().unwrap()).collect(),
        hostname: String::new(),
        role: certs::Role::Worker,
        version: String::new(),
        platform: Default::default(),
        resources: Default::default(),
        load: Default::default(),
        endpoints: BTreeMap::new(),
    };
    Member {
        id: node(number),
        liveness,
        incarnation: 1,
        since: Duration::ZERO,
        facts: Some(Arc::new(facts)),
        addr: seen.map(|addr| addr.parse().unwrap()),
        round_trip: None,
        last_heard: None,
        through: Through::Direct,
    }
}

#[test]
fn a_vip_leads_to_the_tasks_here_and_elsewhere() {
    let mut viewer = Viewer::new(node(ME));
    let table = Table::derive(&viewer.look(sources()).unwrap());
    let vip = table.vips.get(&ip("10.0.1.2")).unwrap();
    let backends: Vec<_> = vip.backends.iter().copied().collect();
    assert_eq!(backends, [ip("10.0.1.10"), ip("10.0.1.11")]);
    assert_eq!(table.node_of(ip("10.0.1.11")), Some(node(PEER)));
    assert!(table.names.get(&WEB).unwrap().contains_key("store"));
    assert_eq!(table.ports.len(), 1);
}

#[test]
fn what_is_the_same_is_no_news() {
    let mut viewer = Viewer::new(node(ME));
    let first = sources();
    let view = viewer.look(first.clone()).unwrap();
    assert_eq!(view.endpoints.len(), 2);
    assert!(viewer.look(first).is_none());
    // The same again, in other places of the memory.
    assert!(viewer.look(sources()).is_none());
}

#[test]
fn each_source_is_news_when_it_changes() {
    type Change = fn(&mut Sources);
    let changes: [(&str, Change); 5] = [
        ("directory", |it| it.directory = Arc::default()),
        ("endpoints", |it| it.answering = Arc::new(answering(false))),
        ("locals", |it| it.locals = Arc::default()),
        ("peers", |it| it.peers.clear()),
        ("host", |it| it.host = [ip("192.0.2.9")].into()),
    ];
    for (what, change) in changes {
        let mut viewer = Viewer::new(node(ME));
        viewer.look(sources());
        let mut changed = sources();
        change(&mut changed);
        let view = viewer.look(changed.clone());
        let anew = Viewer::new(node(ME)).look(changed);
        assert!(view.is_some(), "{what}");
        assert_eq!(view, anew, "{what}");
    }
}

#[test]
fn peers_are_dialled_where_they_were_seen_first() {
    let said = ["192.0.2.2:2377", "198.51.100.2:2377"];
    let members = [
        member(ME, Liveness::Alive, None, &["192.0.2.1:2377"]),
        member(PEER, Liveness::Alive, Some("203.0.113.9:40000"), &said),
        member(
            3,
            Liveness::Suspect,
            Some("[::ffff:192.0.2.3]:9"),
            &["192.0.2.3:2377"],
        ),
        member(4, Liveness::Left, None, &said),
    ];
    let mut directory = Directory {
        data_port: 4789,
        ..Directory::default()
    };
    let found = peers(node(ME), &members, &directory);
    let at = |addrs: &[&str]| -> Vec<SocketAddr> {
        addrs.iter().map(|addr| addr.parse().unwrap()).collect()
    };
    let expected = [
        (
            node(PEER),
            at(&["203.0.113.9:4789", "192.0.2.2:4789", "198.51.100.2:4789"]),
        ),
        (node(3), at(&["192.0.2.3:4789"])),
    ];
    assert_eq!(found, expected.into());
    let data_addr = ip("10.9.0.3");
    let apart = (Id::from_u128(3), DirectoryNode { data_addr });
    directory.nodes.extend([apart]);
    let found = peers(node(ME), &members, &directory);
    assert_eq!(found[&node(3)], at(&["10.9.0.3:4789"]));
    assert_eq!(found[&node(PEER)].len(), 3);
}

#[test]
fn a_host_has_one_address_of_each_family_that_others_can_send_to() {
    let own = [
        "fe80::1",
        "192.0.2.1",
        "192.0.2.7",
        "2001:db8::7",
        "2001:db8::8",
    ]
    .map(ip);
    let both = [ip("192.0.2.1"), ip("2001:db8::7")].into();
    assert_eq!(host_addresses(ip("192.0.2.1"), own), both);
    assert_eq!(
        host_addresses(ip("2001:db8::8"), own),
        [ip("192.0.2.1"), ip("2001:db8::8")].into()
    );
    let alone = [ip("192.0.2.1")];
    assert_eq!(
        host_addresses(alone[0], [ip("::1"), ip("fe80::2")]),
        alone.into()
    );
}
