//! Tasks on networks run where there is an overlay.

use std::collections::BTreeMap;

use crate::Id;
use crate::spec::ServiceSpec;
use crate::testing::{SECOND, World, attach, global, network, publish, publish_ingress, web};

fn say_overlay(world: &mut World, name: &str, has: bool) {
    let node = world.state.find_node(name).unwrap().clone();
    let mut description = node.description.clone().unwrap();
    description.no_overlay = !has;
    world.describe(node.id, description);
}

/// Three nodes, the first without an overlay, and a network.
fn world() -> (World, Id) {
    let mut world = World::with_nodes(3);
    say_overlay(&mut world, "h1", false);
    let network = world.create_network(network("back")).unwrap();
    (world, network)
}

fn on(network: Id, mut spec: ServiceSpec) -> ServiceSpec {
    attach(&mut spec, network);
    spec
}

fn spread(names: &[(&str, usize)]) -> BTreeMap<String, usize> {
    names
        .iter()
        .map(|&(name, count)| (name.to_owned(), count))
        .collect()
}

#[test]
fn tasks_on_networks_go_where_there_is_an_overlay() {
    let (mut world, network) = world();
    let web = world.create(on(network, web(4)));
    world.settle();
    assert_eq!(world.spread(web), spread(&[("h2", 2), ("h3", 2)]));
}

#[test]
fn so_do_those_with_ports_that_every_node_answers() {
    let (mut world, _) = world();
    let mut spec = web(4);
    publish_ingress(&mut spec, &[80]);
    let web = world.create(spec);
    world.settle();
    assert_eq!(world.spread(web), spread(&[("h2", 2), ("h3", 2)]));
}

#[test]
fn tasks_on_no_network_of_the_swarm_go_anywhere() {
    let (mut world, _) = world();
    let mut spec = web(3);
    publish(&mut spec, 80);
    let web = world.create(spec);
    world.settle();
    let each = spread(&[("h1", 1), ("h2", 1), ("h3", 1)]);
    assert_eq!(world.spread(web), each);
}

#[test]
fn a_global_service_leaves_out_who_has_none() {
    let (mut world, network) = world();
    let web = world.create(on(network, global()));
    world.settle();
    assert_eq!(world.spread(web), spread(&[("h2", 1), ("h3", 1)]));
    say_overlay(&mut world, "h1", true);
    say_overlay(&mut world, "h2", false);
    world.settle();
    assert_eq!(world.spread(web), spread(&[("h1", 1), ("h3", 1)]));
}

#[test]
fn where_nobody_has_one_it_is_said() {
    let mut world = World::with_nodes(2);
    for name in ["h1", "h2"] {
        say_overlay(&mut world, name, false);
    }
    let network = world.create_network(network("back")).unwrap();
    let web = world.create(on(network, web(1)));
    world.settle();
    assert_eq!(
        world.live(web)[0].status.error.as_deref(),
        Some("no suitable node (no overlay network on 2 nodes: the daemon runs with --no-overlay)")
    );
    say_overlay(&mut world, "h2", true);
    world.settle();
    assert_eq!(world.spread(web), spread(&[("h2", 1)]));
}

#[test]
fn tasks_that_need_networks_leave_a_node_that_has_no_overlay_any_more() {
    let (mut world, network) = world();
    let linked = world.create(on(network, web(2)));
    let mut alone = web(3);
    alone.name = "alone".to_owned();
    let alone = world.create(alone);
    world.settle();
    let stayed: Vec<Id> = world.live(alone).iter().map(|task| task.id).collect();
    say_overlay(&mut world, "h2", false);
    world.run_for(SECOND * 10);
    assert_eq!(world.spread(linked), spread(&[("h3", 2)]));
    let left: Vec<Id> = world.live(alone).iter().map(|task| task.id).collect();
    assert_eq!(left, stayed);
}
