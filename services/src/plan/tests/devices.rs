//! Tasks that name devices run where these are.

use std::collections::BTreeMap;

use crate::Id;
use crate::spec::ServiceSpec;
use crate::testing::{SECOND, World, global, web};

fn plug(world: &mut World, name: &str, devices: &[&str]) {
    let node = world.state.find_node(name).unwrap().clone();
    let mut description = node.description.clone().unwrap();
    description.devices = devices.iter().map(|&path| path.to_owned()).collect();
    world.describe(node.id, description);
}

fn with_device(mut spec: ServiceSpec, device: &str) -> ServiceSpec {
    spec.task.container.run.devices = vec![device.parse().unwrap()];
    spec
}

fn why(world: &World, service: Id) -> String {
    let task = &world.live(service)[0];
    task.status.error.clone().unwrap_or_default()
}

fn on(names: &[(&str, usize)]) -> BTreeMap<String, usize> {
    names
        .iter()
        .map(|&(name, count)| (name.to_owned(), count))
        .collect()
}

#[test]
fn a_task_waits_for_a_node_that_has_its_device() {
    let mut world = World::with_nodes(3);
    plug(&mut world, "h1", &["/dev/kvm"]);
    let web = world.create(with_device(web(2), "/dev/ttyUSB0:/dev/gps"));
    world.settle();
    assert_eq!(
        why(&world, web),
        "no suitable node (missing device on 3 nodes: /dev/ttyUSB0)"
    );
    plug(&mut world, "h2", &["/dev/ttyUSB0"]);
    world.settle();
    assert_eq!(world.spread(web), on(&[("h2", 2)]));
}

#[test]
fn a_task_stays_where_its_device_was_and_goes_where_it_is() {
    let mut world = World::with_nodes(2);
    plug(&mut world, "h1", &["/dev/ttyUSB0"]);
    let web = world.create(with_device(web(1), "/dev/ttyUSB0"));
    world.settle();
    plug(&mut world, "h1", &[]);
    plug(&mut world, "h2", &["/dev/ttyUSB0"]);
    world.settle();
    assert_eq!(
        world.spread(web),
        on(&[("h1", 1)]),
        "it may be back in a moment"
    );
    let task = world.running(web)[0].id;
    world.fail(task);
    world.run_for(SECOND * 10);
    assert_eq!(world.spread(web), on(&[("h2", 1)]));
}

#[test]
fn a_global_service_is_where_its_device_is() {
    let mut world = World::with_nodes(3);
    plug(&mut world, "h1", &["/dev/video0"]);
    plug(&mut world, "h2", &["/dev/video0"]);
    let web = world.create(with_device(global(), "/dev/video0"));
    world.settle();
    assert_eq!(world.spread(web), on(&[("h1", 1), ("h2", 1)]));
    plug(&mut world, "h2", &[]);
    plug(&mut world, "h3", &["/dev/video0"]);
    world.settle();
    assert_eq!(world.spread(web), on(&[("h1", 1), ("h3", 1)]));
}

#[test]
fn what_every_host_has_is_not_looked_for() {
    let mut world = World::with_nodes(1);
    let web = world.create(with_device(web(1), "/dev/tty1"));
    world.settle();
    assert_eq!(world.running(web).len(), 1);
}

#[test]
fn gpus_are_looked_for_by_their_number() {
    let mut world = World::with_nodes(2);
    plug(&mut world, "h1", &["/dev/nvidia0", "/dev/nvidiactl"]);
    let mut spec = web(1);
    spec.task.container.run.gpus = Some("2".parse().unwrap());
    let web = world.create(spec);
    world.settle();
    assert_eq!(
        why(&world, web),
        "no suitable node (missing device on 2 nodes: 2 GPUs)"
    );
    plug(&mut world, "h2", &["/dev/nvidia0", "/dev/nvidia1"]);
    world.settle();
    assert_eq!(world.spread(web), on(&[("h2", 1)]));
}
