use super::*;
use crate::command::Command;
use crate::testing::{World, network, with_subnet};

/// Its nodes are at 10.0.0.1, so that 10.0.0.0/24 is not used.
fn world() -> World {
    let mut world = World::with_nodes(1);
    world.plan();
    world
}

fn nets(world: &World, id: Id) -> Vec<String> {
    let network = world.state.network(id).unwrap();
    let nets = network.subnets.iter().map(|subnet| subnet.net.to_string());
    nets.collect()
}

fn check_refused(world: &mut World, spec: NetworkSpec, expected: &str) {
    let before = world.state.clone();
    let refusal = world.create_network(spec).unwrap_err();
    assert!(refusal.message.contains(expected), "{}", refusal.message);
    assert_eq!(world.state, before);
}

#[test]
fn networks_get_the_lowest_free_subnets_around_the_nodes_own() {
    let mut world = world();
    let ingress = world.state.ingress_network().unwrap().id;
    assert_eq!(nets(&world, ingress), ["10.0.1.0/24"]);
    let (a, b) = (network("a"), network("b"));
    let a = world.create_network(a).unwrap();
    let b = world.create_network(b).unwrap();
    assert_eq!(nets(&world, a), ["10.0.2.0/24"]);
    assert_eq!(nets(&world, b), ["10.0.3.0/24"]);
    let gateway = world.state.network(a).unwrap().subnets[0].gateway;
    assert_eq!(gateway.to_string(), "10.0.2.1");
    world.command(Command::RemoveNetwork { id: a }).unwrap();
    let c = world.create_network(network("c")).unwrap();
    assert_eq!(nets(&world, c), ["10.0.2.0/24"]);
}

#[test]
fn a_larger_subnet_of_another_is_stepped_over() {
    let mut world = world();
    world
        .create_network(with_subnet("big", "10.0.0.0/15"))
        .unwrap_err();
    world
        .create_network(with_subnet("big", "10.0.2.0/23"))
        .unwrap();
    let next = world.create_network(network("next")).unwrap();
    assert_eq!(nets(&world, next), ["10.0.4.0/24"]);
}

#[test]
fn what_is_taken_is_refused_with_its_owner() {
    let mut world = world();
    let a = world
        .create_network(with_subnet("a", "172.30.0.0/16"))
        .unwrap();
    let owner = format!("172.30.0.0/16 of network a ({a})");
    check_refused(&mut world, with_subnet("b", "172.30.7.0/24"), &owner);
    check_refused(&mut world, with_subnet("b", "172.16.0.0/12"), &owner);
    check_refused(
        &mut world,
        with_subnet("b", "10.0.0.0/28"),
        "10.0.0.1/32 of node h1",
    );
    let route = vec![(
        "192.168.1.0/24".parse().unwrap(),
        "the route via eth0".to_owned(),
    )];
    let refusal = world
        .state
        .choose_subnets(&with_subnet("b", "192.168.0.0/16"), &route)
        .unwrap_err();
    assert!(
        refusal
            .message
            .ends_with("192.168.1.0/24 of the route via eth0")
    );
}

#[test]
fn routes_of_the_host_are_avoided() {
    let taken = vec![("10.0.0.0/14".parse().unwrap(), "a route".to_owned())];
    let subnets = world().state.choose_subnets(&network("a"), &taken).unwrap();
    assert_eq!(subnets[0].net.to_string(), "10.4.0.0/24");
}

#[test]
fn the_subnets_that_nodes_are_in_are_avoided() {
    let mut world = World::with_nodes(2);
    let node = world.node("h2");
    let mut description = world.state.node(node).unwrap().description.clone().unwrap();
    description.subnets = vec!["10.0.0.0/22".parse().unwrap(), "fd00::/8".parse().unwrap()];
    world.describe(node, description);
    let subnets = world.state.choose_subnets(&network("a"), &[]).unwrap();
    assert_eq!(subnets[0].net.to_string(), "10.0.4.0/24");
    check_refused(
        &mut world,
        with_subnet("b", "10.0.3.0/24"),
        "10.0.0.0/22 of node h2",
    );
}

#[test]
fn used_up_pools_are_said_and_recover() {
    let mut world = world();
    let cluster = world.state.cluster().unwrap();
    let mut spec = cluster.spec.clone();
    spec.address_pools = vec![
        "10.9.0.0/29".parse().unwrap(),
        "10.8.0.0/30".parse().unwrap(),
    ];
    spec.subnet_size = 30;
    let version = cluster.meta.version;
    world
        .command(Command::UpdateCluster { version, spec })
        .unwrap();
    for (name, net) in [
        ("a", "10.9.0.0/30"),
        ("b", "10.9.0.4/30"),
        ("c", "10.8.0.0/30"),
    ] {
        let id = world.create_network(network(name)).unwrap();
        assert_eq!(nets(&world, id), [net]);
    }
    let refused = "could not find an available, non-overlapping IPv4 address pool among the \
                   defaults to assign to the network: every /30 of 10.9.0.0/29, 10.8.0.0/30";
    check_refused(&mut world, network("d"), refused);
    let b = world.state.find_network("b").unwrap().id;
    world.command(Command::RemoveNetwork { id: b }).unwrap();
    let d = world.create_network(network("d")).unwrap();
    assert_eq!(nets(&world, d), ["10.9.0.4/30"]);
}

#[test]
fn ipv6_networks_get_local_prefixes_of_this_swarm() {
    let mut world = world();
    let dual = |name| NetworkSpec {
        ipv6: true,
        ..network(name)
    };
    let a = world.create_network(dual("a")).unwrap();
    let b = world.create_network(dual("b")).unwrap();
    assert_eq!(
        nets(&world, a),
        ["10.0.2.0/24", "fd00:10:0:0::/64"].map(canonical)
    );
    assert_eq!(
        nets(&world, b),
        ["10.0.3.0/24", "fd00:10:0:1::/64"].map(canonical)
    );
    let mut said = dual("c");
    said.ipam = with_subnet("", "fd12:3456::/64").ipam;
    let c = world.create_network(said).unwrap();
    assert_eq!(nets(&world, c), ["10.0.4.0/24", "fd12:3456::/64"]);
    let other = local_prefix(Id::from_u128(12345));
    assert_ne!(other, local_prefix(Id::from_u128(1 << 100)));
    assert_eq!(other.prefix_len(), 48);
    assert!(other.to_string().starts_with("fd"));
}

fn canonical(net: &str) -> String {
    net.parse::<IpNet>().unwrap().to_string()
}

#[test]
fn a_subnet_chosen_before_another_took_it_is_refused() {
    let mut world = world();
    let spec = std::sync::Arc::new(network("late"));
    let subnets = world.state.choose_subnets(&spec, &[]).unwrap();
    world.create_network(network("first")).unwrap();
    let id = world.next_id();
    let refusal = world
        .command(Command::CreateNetwork { id, spec, subnets })
        .unwrap_err();
    assert!(
        refusal.message.contains("of network first"),
        "{}",
        refusal.message
    );
}
