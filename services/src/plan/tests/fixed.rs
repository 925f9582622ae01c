//! Addresses that users name for the one task of a service.

use std::net::IpAddr;

use crate::command::Command;
use crate::id::Id;
use crate::object::{Task, TaskState};
use crate::spec::ServiceSpec;
use crate::testing::{SECOND, World, attach, scale, set_image, web, with_subnet};

const ADDR: &str = "10.1.0.5";

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// With 5 addresses for services and tasks: 10.1.0.2 to 10.1.0.6.
fn small(world: &mut World) -> Id {
    let net = with_subnet("small", "10.1.0.0/29");
    world.create_network(net).unwrap()
}

fn on(name: &str, network: Id, said: Option<&str>) -> ServiceSpec {
    let mut spec = web(1);
    name.clone_into(&mut spec.name);
    attach(&mut spec, network);
    spec.task.networks[0].addresses = said.map(addr).into_iter().collect();
    spec
}

fn addr_of(task: &Task) -> IpAddr {
    task.addresses[0].addrs[0].addr()
}

/// The network, and a service on it whose task has the address.
fn with_web(nodes: usize) -> (World, Id, Id) {
    let mut world = World::with_nodes(nodes);
    let net = small(&mut world);
    let web = world.create(on("web", net, Some(ADDR)));
    world.settle();
    (world, net, web)
}

/// The task of the service, and its node, which dies.
fn lost(world: &mut World, service: Id) -> (Task, Id) {
    let lost = Task::clone(&world.running(service)[0]);
    let node = lost.node.unwrap();
    let host = world.state.node(node).unwrap().description.clone().unwrap();
    world.kill_node(&host.hostname);
    (lost, node)
}

#[test]
fn every_task_of_the_slot_has_the_address() {
    let (mut world, _, web) = with_web(2);
    let first = world.running(web)[0].clone();
    assert_eq!(addr_of(&first), addr(ADDR));

    world.update(web, |spec| set_image(spec, "web:2"));
    world.settle();
    let second = world.running(web)[0].clone();
    assert_ne!(second.id, first.id);
    assert_eq!(addr_of(&second), addr(ADDR));

    world.fail(second.id);
    world.run_for(SECOND * 10);
    let third = world.running(web)[0].clone();
    assert_ne!(third.id, second.id);
    assert_eq!(addr_of(&third), addr(ADDR));
}

#[test]
fn nobody_else_is_given_the_address_meanwhile() {
    let mut world = World::with_nodes(1);
    let net = small(&mut world);
    let mut spec = on("web", net, Some(ADDR));
    scale(&mut spec, 0);
    let web = world.create(spec);
    let mut others = on("others", net, None);
    scale(&mut others, 9);
    let others = world.create(others);
    world.settle();
    let taken: Vec<IpAddr> = world.running(others).iter().map(|it| addr_of(it)).collect();
    assert_eq!(taken.len(), 2, "two are VIPs, one is kept: {taken:?}");
    assert!(!taken.contains(&addr(ADDR)));
    world.update(web, |spec| scale(spec, 1));
    world.settle();
    assert_eq!(addr_of(&world.running(web)[0]), addr(ADDR));
}

#[test]
fn an_address_that_another_has_is_refused_with_its_owner() {
    let mut world = World::with_nodes(1);
    let net = small(&mut world);
    let other = world.create(on("other", net, None));
    world.settle();
    let taken = addr_of(&world.running(other)[0]).to_string();
    let web = world.create(on("web", net, Some(ADDR)));
    world.settle();
    for (said, why) in [
        (taken.as_str(), "is already in use by task "),
        (ADDR, "is already in use by task "),
        ("10.1.0.1", "is already in use by the network itself"),
        ("10.2.0.5", "is in no subnet of network small"),
    ] {
        let refusal = world.try_create(on("new", net, Some(said))).unwrap_err();
        assert!(refusal.message.contains(why), "{}", refusal.message);
    }
    world.update(web, |spec| scale(spec, 0));
    world.settle();
    let refusal = world.try_create(on("new", net, Some(ADDR))).unwrap_err();
    assert!(
        refusal.message.contains("in use by service 'web'"),
        "{}",
        refusal.message
    );
    world.command(Command::RemoveService { id: web }).unwrap();
    world.settle();
    let new = world.create(on("new", net, Some(ADDR)));
    world.settle();
    assert_eq!(addr_of(&world.running(new)[0]), addr(ADDR));
}

#[test]
fn a_lost_task_keeps_its_address_until_its_node_is_gone() {
    let (mut world, _, web) = with_web(2);
    let (lost, node) = lost(&mut world, web);
    world.settle();
    let waits = world
        .live(web)
        .into_iter()
        .find(|it| it.id != lost.id)
        .unwrap();
    assert_eq!(waits.status.state, TaskState::New);
    let error = waits.status.error.clone().unwrap();
    assert!(
        error.contains(&format!("in use by task {}", lost.id)),
        "{error}"
    );
    world.command(Command::RemoveNode { id: node }).unwrap();
    world.settle();
    let task = world.running(web)[0].clone();
    assert_eq!((task.id, addr_of(&task)), (waits.id, addr(ADDR)));
}

#[test]
fn an_address_is_free_when_its_lost_node_is_back_without_the_task() {
    let (mut world, _, web) = with_web(2);
    let (lost, node) = lost(&mut world, web);
    world.run_for(SECOND * 25 * 3600);
    assert_eq!(
        world.state.task(lost.id).unwrap().status.state,
        TaskState::Orphaned
    );
    world.workers.remove(&node);
    world.observed.tasks.remove(&lost.id);
    world.set_health(node, crate::observed::NodeHealth::Ready);
    world.settle();
    assert_eq!(addr_of(&world.running(web)[0]), addr(ADDR));
}

#[test]
fn two_that_name_an_address_have_it_one_after_the_other() {
    let (mut world, net, one) = with_web(1);
    let two = world.create(on("two", net, None));
    world.settle();
    // As an automatic rollback leaves it, which asks nobody.
    let spec = std::sync::Arc::new(on("two", net, Some(ADDR)));
    world.state.set_spec(two, spec);
    world.update(one, |spec| set_image(spec, "web:2"));
    world.settle();
    assert_eq!(
        addr_of(&world.running(one)[0]),
        addr(ADDR),
        "it is not blocked"
    );
    world.update(two, |spec| set_image(spec, "web:2"));
    world.settle();
    let waits = world.live(two)[0].clone();
    assert_eq!(waits.status.state, TaskState::New);
    world.command(Command::RemoveService { id: one }).unwrap();
    world.settle();
    assert_eq!(addr_of(&world.running(two)[0]), addr(ADDR));
}
