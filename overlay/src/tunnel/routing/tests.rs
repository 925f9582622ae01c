use super::*;
use crate::kit::{self, Site};
use crate::tunnel::packet::{TCP, UDP};
use crate::tunnel::tests::packets::{ip, tcp, udp};

const ME: u128 = 1;
const PEER: u128 = 2;
const OTHER: u128 = 3;
const INGRESS: NetworkId = 100;
const WEB: NetworkId = 101;
const DB: NetworkId = 102;

fn node(number: u128) -> NodeId {
    NodeId::from(number)
}

/// Networks `ingress` 10.0.0.0/24, `web` 10.0.1.0/24 and `db` 10.0.2.0/24. The last
/// byte of an address is the node.
fn routing() -> Routing {
    let addr = |net: u8, node: u128| IpAddr::from([10, 0, net, node as u8]);
    let local = |network, ingress| Local { network, ingress };
    let remote = |number, network| Remote {
        node: node(number),
        network,
    };
    Routing {
        me: node(ME),
        local: BTreeMap::from([
            (addr(0, ME), local(INGRESS, true)),
            (addr(1, ME), local(WEB, false)),
        ]),
        remote: BTreeMap::from([
            (addr(0, PEER), remote(PEER, INGRESS)),
            (addr(1, PEER), remote(PEER, WEB)),
            (addr(2, PEER), remote(PEER, DB)),
            (addr(1, OTHER), remote(OTHER, WEB)),
        ]),
        subnets: [
            ("10.0.0.0/24", INGRESS),
            ("10.0.1.0/24", WEB),
            ("10.0.2.0/24", DB),
        ]
        .into_iter()
        .map(|(net, id)| (net.parse().unwrap(), id))
        .collect(),
        peers: BTreeMap::from([(node(PEER), Vec::new()), (node(OTHER), Vec::new())]),
    }
}

fn question(src: &str, dst: &str) -> Vec<u8> {
    ip(src, dst, TCP, &tcp((4_000, 80), 0, 2, b""))
}

fn answer(src: &str, dst: &str) -> Vec<u8> {
    ip(src, dst, TCP, &tcp((80, 4_000), 0, 18, b""))
}

fn choose(memory: &mut Memory, bytes: &[u8]) -> Result<NodeId, Refusal> {
    let packet = Packet::parse(bytes).unwrap();
    memory.choose(&routing(), &packet, bytes, Duration::ZERO)
}

fn admit(memory: &mut Memory, peer: u128, bytes: &[u8]) -> Result<(), Refusal> {
    let packet = Packet::parse(bytes).unwrap();
    memory.admit(&routing(), node(peer), &packet, bytes, Duration::ZERO)
}

#[test]
fn it_is_what_the_table_says() {
    let mut site = Site::new();
    site.network(INGRESS, &["10.0.0.0/24"]).ingress = true;
    site.network(WEB, &["10.0.1.0/24"]);
    site.peer(PEER, "192.0.2.2");
    let service = site.service(1, WEB, &["10.0.1.100"]);
    service.ports.insert(kit::tcp(8080, 80));
    site.local(INGRESS, "10.0.0.1", "a");
    site.local(WEB, "10.0.1.1", "b");
    site.task(1, INGRESS, "10.0.0.1", ME);
    site.task(1, WEB, "10.0.1.2", PEER);
    let routing = Routing::of(&site.table());
    let local = |addr: &str| routing.local.get(&addr.parse::<IpAddr>().unwrap()).copied();
    let expected = |network, ingress| Some(Local { network, ingress });
    assert_eq!(local("10.0.0.1"), expected(INGRESS, true));
    assert_eq!(local("10.0.1.1"), expected(WEB, false));
    assert_eq!(routing.remote.len(), 1);
    assert_eq!(routing.subnets.iter().count(), 2);
    assert!(routing.peers.contains_key(&node(PEER)));
}

#[test]
fn a_packet_goes_to_the_node_of_its_destination() {
    let memory = &mut Memory::default();
    assert_eq!(
        choose(memory, &question("10.0.1.1", "10.0.1.2")),
        Ok(node(PEER))
    );
    assert_eq!(
        choose(memory, &question("10.0.1.1", "10.0.1.3")),
        Ok(node(OTHER))
    );
    assert_eq!(
        choose(memory, &question("10.0.1.1", "10.0.1.9")),
        Err(Refusal::Unknown)
    );
}

#[test]
fn nothing_goes_from_one_network_to_another() {
    let memory = &mut Memory::default();
    let across = question("10.0.1.1", "10.0.2.2");
    assert_eq!(choose(memory, &across), Err(Refusal::Foreign));
    let across = question("10.0.2.2", "10.0.1.1");
    assert_eq!(admit(memory, PEER, &across), Err(Refusal::Foreign));
}

#[test]
fn a_peer_sends_only_for_its_own_containers() {
    let memory = &mut Memory::default();
    let packet = question("10.0.1.2", "10.0.1.1");
    assert_eq!(admit(memory, PEER, &packet), Ok(()));
    assert_eq!(admit(memory, OTHER, &packet), Err(Refusal::Foreign));
    // An address of the subnet that no node has; one that is this node's own.
    let nobody = question("10.0.1.77", "10.0.1.1");
    assert_eq!(admit(memory, PEER, &nobody), Err(Refusal::Foreign));
    let mine = question("10.0.1.1", "10.0.0.1");
    assert_eq!(admit(memory, PEER, &mine), Err(Refusal::Foreign));
}

#[test]
fn a_datagram_for_a_network_without_a_task_here_is_refused() {
    let memory = &mut Memory::default();
    let packet = question("10.0.2.2", "10.0.2.9");
    assert_eq!(admit(memory, PEER, &packet), Err(Refusal::Unknown));
}

#[test]
fn clients_from_outside_reach_published_services_only() {
    let memory = &mut Memory::default();
    assert_eq!(
        admit(memory, PEER, &question("192.0.2.9", "10.0.0.1")),
        Ok(())
    );
    assert_eq!(
        admit(memory, PEER, &question("192.0.2.9", "10.0.1.1")),
        Err(Refusal::Foreign)
    );
    for nobody in ["127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"] {
        assert_eq!(
            admit(memory, PEER, &question(nobody, "10.0.0.1")),
            Err(Refusal::Foreign)
        );
    }
}

#[test]
fn an_answer_goes_back_through_the_node_that_its_client_came_through() {
    let memory = &mut Memory::default();
    let reply = answer("10.0.0.1", "192.0.2.9");
    assert_eq!(choose(memory, &reply), Err(Refusal::Unknown));
    admit(memory, PEER, &question("192.0.2.9", "10.0.0.1")).unwrap();
    assert_eq!(choose(memory, &reply), Ok(node(PEER)));
    admit(memory, OTHER, &question("192.0.2.9", "10.0.0.1")).unwrap();
    assert_eq!(choose(memory, &reply), Ok(node(OTHER)));
}

#[test]
fn an_answer_is_taken_only_from_the_node_that_was_asked() {
    let memory = &mut Memory::default();
    let reply = answer("10.0.0.2", "192.0.2.9");
    assert_eq!(admit(memory, PEER, &reply), Err(Refusal::Unknown));
    let asked = question("192.0.2.9", "10.0.0.2");
    assert_eq!(choose(memory, &asked), Ok(node(PEER)));
    assert_eq!(admit(memory, PEER, &reply), Ok(()));
    assert_eq!(admit(memory, OTHER, &reply), Err(Refusal::Foreign));
    // The same node, another port: nobody asked that.
    let unasked = ip("10.0.0.2", "192.0.2.9", UDP, &udp((80, 4_000), b"surprise"));
    assert_eq!(admit(memory, PEER, &unasked), Err(Refusal::Unknown));
}

#[test]
fn the_fragments_of_an_answer_follow_the_first_of_them() {
    let memory = &mut Memory::default();
    let asked = ip("192.0.2.9", "10.0.0.1", UDP, &udp((4_000, 53), b"all?"));
    admit(memory, PEER, &asked).unwrap();
    let mut first = ip("10.0.0.1", "192.0.2.9", UDP, &udp((53, 4_000), b"12345678"));
    first[6] = 0x20;
    let mut later = ip("10.0.0.1", "192.0.2.9", UDP, b"the rest");
    later[6..8].copy_from_slice(&[0, 2]);
    assert_eq!(choose(memory, &later), Err(Refusal::Unknown));
    assert_eq!(choose(memory, &first), Ok(node(PEER)));
    assert_eq!(choose(memory, &later), Ok(node(PEER)));
}

#[test]
fn a_connection_is_kept_to_all_that_share_a_network() {
    let mut routing = routing();
    routing.local.retain(|_, local| local.network == WEB);
    assert_eq!(routing.wanted(), [node(PEER), node(OTHER)].into());
    for local in routing.local.values_mut() {
        local.network = DB;
    }
    assert_eq!(routing.wanted(), [node(PEER)].into());
    routing.local.clear();
    assert_eq!(routing.wanted(), BTreeSet::new());
}

#[test]
fn a_node_with_a_published_service_keeps_a_connection_to_all() {
    // Each may be where a client comes in, and this one may be behind NAT.
    let mut routing = routing();
    routing.remote.clear();
    assert_eq!(routing.wanted(), [node(PEER), node(OTHER)].into());
}
