//! Containers that users put on networks by themselves.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::command::{Command, Refusal};
use crate::id::Id;
use crate::object::TaskState;
use crate::testing::{World, attach, network, web, with_subnet};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// With 5 addresses for services, tasks and containers: 10.1.0.2 to 10.1.0.6.
fn small(world: &mut World) -> Id {
    let mut spec = with_subnet("small", "10.1.0.0/29");
    spec.attachable = true;
    world.create_network(spec).unwrap()
}

fn put(world: &mut World, node: &str, network: Id, wanted: &[&str]) -> Result<Id, Refusal> {
    let wanted: Vec<IpAddr> = wanted.iter().map(|text| ip(text)).collect();
    let node = world.node(node);
    let command = world.attachment(node, network, &wanted)?;
    let Command::CreateAttachment { id, .. } = command else {
        panic!("{command:?}");
    };
    world.command(command).map(|_| id)
}

fn addrs(world: &World, id: Id) -> Vec<String> {
    let attachment = world.state.attachment(id).unwrap();
    attachment.addrs.iter().map(IpNet::to_string).collect()
}

fn refused(outcome: Result<Id, Refusal>) -> String {
    outcome.unwrap_err().message
}

#[test]
fn containers_and_tasks_share_the_addresses_of_a_network() {
    let mut world = World::with_nodes(1);
    let small = small(&mut world);
    let mut spec = web(2);
    attach(&mut spec, small);
    let service = world.create(spec);
    world.settle();
    let first = put(&mut world, "h1", small, &[]).unwrap();
    assert_eq!(addrs(&world, first), ["10.1.0.5/29"]);
    let second = put(&mut world, "h1", small, &[]).unwrap();
    assert_eq!(addrs(&world, second), ["10.1.0.6/29"]);
    let all_taken = format!(
        "no available IPv4 addresses on this network's address pools: small ({small}): all of \
         10.1.0.0/29 are in use"
    );
    assert_eq!(refused(put(&mut world, "h1", small, &[])), all_taken);

    // A task waits for what a container has.
    world.update(service, |spec| crate::testing::scale(spec, 3));
    world.settle();
    assert_eq!(world.running(service).len(), 2);
    world.detach(first);
    world.settle();
    assert_eq!(world.running(service).len(), 3);
    let states = world
        .live(service)
        .into_iter()
        .map(|it| world.effective(&it));
    assert!(states.into_iter().all(|state| state == TaskState::Running));
}

#[test]
fn a_container_has_one_address_of_each_family() {
    let mut world = World::with_nodes(1);
    let mut spec = network("both");
    spec.ipv6 = true;
    spec.attachable = true;
    let both = world.create_network(spec).unwrap();
    let subnets = world.state.network(both).unwrap().subnets.clone();
    let id = put(&mut world, "h1", both, &[]).unwrap();
    let attachment = world.state.attachment(id).unwrap();
    assert_eq!(attachment.addrs.len(), 2);
    for (addr, subnet) in attachment.addrs.iter().zip(&subnets) {
        assert!(subnet.net.contains(addr), "{addr} {subnet:?}");
    }
}

#[test]
fn a_user_may_name_an_address_that_nobody_has() {
    let mut world = World::with_nodes(1);
    let small = small(&mut world);
    let first = put(&mut world, "h1", small, &["10.1.0.4"]).unwrap();
    assert_eq!(addrs(&world, first), ["10.1.0.4/29"]);
    let node = world.node("h1");
    for (addr, why) in [
        (
            "10.1.0.4",
            format!(
                "address 10.1.0.4 of network small is already in use by a container of node {node}"
            ),
        ),
        (
            "10.1.0.1",
            "address 10.1.0.1 of network small is already in use by the network itself".to_owned(),
        ),
        (
            "10.2.0.1",
            "address 10.2.0.1 is in no subnet of network small".to_owned(),
        ),
    ] {
        assert_eq!(refused(put(&mut world, "h1", small, &[addr])), why);
    }
}

#[test]
fn an_attachment_can_be_asked_for_again_with_other_addresses() {
    let mut world = World::with_nodes(2);
    let small = small(&mut world);
    let id = put(&mut world, "h1", small, &[]).unwrap();
    let again = |world: &mut World, node: &str, wanted: &[IpAddr]| {
        let addrs = world.state.choose_addresses(id, small, wanted)?;
        let command = Command::CreateAttachment {
            id,
            network: small,
            node: world.node(node),
            addrs,
        };
        world.command(command)
    };
    again(&mut world, "h1", &[]).unwrap();
    assert_eq!(addrs(&world, id), ["10.1.0.2/29"]);
    again(&mut world, "h1", &[ip("10.1.0.6")]).unwrap();
    assert_eq!(addrs(&world, id), ["10.1.0.6/29"]);
    assert_eq!(world.state.attachments().len(), 1);
    put(&mut world, "h1", small, &["10.1.0.2"]).expect("it was given back");
    let stolen = again(&mut world, "h2", &[]).unwrap_err();
    assert_eq!(stolen.message, format!("attachment {id} already exists"));
}

#[test]
fn only_attachable_networks_take_containers() {
    let mut world = World::with_nodes(1);
    let plain = world.create_network(network("plain")).unwrap();
    let refusal = put(&mut world, "h1", plain, &[]);
    assert_eq!(refused(refusal), "network plain not manually attachable");
    let nowhere = Id::from_u128(77);
    let refusal = put(&mut world, "h1", nowhere, &[]);
    assert_eq!(refused(refusal), format!("network {nowhere} not found"));
}

#[test]
fn a_network_stays_while_a_container_is_on_it() {
    let mut world = World::with_nodes(1);
    let small = small(&mut world);
    let id = put(&mut world, "h1", small, &[]).unwrap();
    let remove = Command::RemoveNetwork { id: small };
    let refusal = world.command(remove.clone()).unwrap_err();
    assert_eq!(
        refusal.message,
        format!("network {small} is in use by task {id}")
    );
    world.detach(id);
    world.detach(id);
    world.command(remove).unwrap();
}

#[test]
fn a_node_that_is_removed_takes_its_attachments_with_it() {
    let mut world = World::with_nodes(2);
    let small = small(&mut world);
    put(&mut world, "h1", small, &[]).unwrap();
    let stays = put(&mut world, "h2", small, &[]).unwrap();
    let id = world.node("h1");
    world.command(Command::RemoveNode { id }).unwrap();
    let left: Vec<Id> = world.state.attachments().map(|it| it.id).collect();
    assert_eq!(left, [stays]);
    assert_eq!(world.state.attachments_of_node(id).count(), 0);
    put(&mut world, "h2", small, &["10.1.0.2"]).expect("its address is free");
}

#[test]
fn one_node_cannot_take_all_addresses_of_the_swarm() {
    let mut world = World::with_nodes(1);
    let mut spec = with_subnet("wide", "10.64.0.0/16");
    spec.attachable = true;
    let wide = world.create_network(spec).unwrap();
    for _ in 0..1_000 {
        put(&mut world, "h1", wide, &[]).unwrap();
    }
    let text = refused(put(&mut world, "h1", wide, &[]));
    assert!(text.contains("1000 containers of node"), "{text}");
}

#[test]
fn one_node_leaves_half_of_a_network_to_the_others() {
    let mut world = World::with_nodes(2);
    let small = small(&mut world);
    let ids: Vec<Id> = (0..3)
        .map(|_| put(&mut world, "h1", small, &[]).unwrap())
        .collect();
    let text = refused(put(&mut world, "h1", small, &[]));
    assert!(
        text.ends_with("the rest is for other nodes and for services"),
        "{text}"
    );
    put(&mut world, "h2", small, &[]).unwrap();
    world.detach(ids[0]);
    put(&mut world, "h1", small, &[]).expect("one was given back");
}

#[test]
fn every_node_knows_attachable_networks_and_their_services_once_it_is_on_them() {
    let mut world = World::with_nodes(2);
    let small = small(&mut world);
    let mut spec = web(1);
    attach(&mut spec, small);
    crate::testing::constrain(&mut spec, "node.hostname==h1");
    let service = world.create(spec);
    world.settle();
    let h2 = world.node("h2");
    let known = world.state.directory(h2);
    assert!(known.networks[&small].attachable);
    assert!(!known.services.contains_key(&service));
    let id = put(&mut world, "h2", small, &[]).unwrap();
    assert!(world.state.directory(h2).services.contains_key(&service));
    world.detach(id);
    assert_eq!(world.state.directory(h2), known);
}
