use std::collections::BTreeSet;

use crate::command::{Change, Command, RefusalKind};
use crate::id::Id;
use crate::object::{Task, TaskAddress, TaskState};
use crate::spec::{EndpointMode, NetworkSpec, ServiceSpec};
use crate::testing::{SECOND, World, attach, network, publish_ingress, scale, web, with_subnet};

pub(super) fn on_network(replicas: u64, target: Id) -> ServiceSpec {
    let mut spec = web(replicas);
    attach(&mut spec, target);
    spec
}

pub(super) fn named(name: &str, spec: ServiceSpec) -> ServiceSpec {
    ServiceSpec {
        name: name.to_owned(),
        ..spec
    }
}

/// With 5 addresses for services and tasks: 10.1.0.2 to 10.1.0.6.
fn small(world: &mut World) -> Id {
    world
        .create_network(with_subnet("small", "10.1.0.0/29"))
        .unwrap()
}

fn addrs(task: &Task) -> Vec<String> {
    let addrs = task.addresses.iter().flat_map(|address| &address.addrs);
    addrs.map(ToString::to_string).collect()
}

fn vips(world: &World, service: Id) -> Vec<String> {
    let vips = world.service(service).endpoint.vips.iter();
    vips.map(|vip| vip.addr.to_string()).collect()
}

/// Why tasks of the service wait for addresses.
pub(super) fn reasons(world: &World, service: Id) -> BTreeSet<String> {
    let tasks = world.live(service);
    let new = tasks
        .iter()
        .filter(|task| task.status.state == TaskState::New);
    new.map(|task| task.status.error.clone().unwrap_or_default())
        .collect()
}

pub(super) fn remove(world: &mut World, service: Id) {
    world
        .command(Command::RemoveService { id: service })
        .unwrap();
    world.settle();
}

#[test]
fn the_ingress_network_is_made_once() {
    let mut world = World::with_nodes(1);
    let changes = world.plan();
    assert!(matches!(changes.as_slice(), [Change::CreateIngress { .. }]));
    let ingress = world.state.ingress_network().unwrap().clone();
    assert_eq!(ingress.spec.name, "ingress");
    let id = ingress.id;
    world.command(Command::RemoveNetwork { id }).unwrap();
    assert_eq!(world.plan(), [], "a user removed it");
    let mut spec = web(1);
    publish_ingress(&mut spec, &[8080]);
    let refusal = world.try_create(spec.clone()).unwrap_err();
    assert_eq!(
        refusal.message,
        "service needs ingress network, but no ingress network is present"
    );
    let own = NetworkSpec {
        ingress: true,
        ..with_subnet("own", "10.99.0.0/24")
    };
    world.create_network(own.clone()).unwrap();
    let web = world.try_create(spec).unwrap();
    world.settle();
    assert_eq!(addrs(&world.running(web)[0]), ["10.99.0.2/24"]);
    let second = world.create_network(NetworkSpec {
        name: "second".to_owned(),
        ..own
    });
    assert!(second.is_err());
}

#[test]
fn a_task_has_an_address_on_each_network_before_it_is_placed() {
    let mut world = World::with_nodes(2);
    let mut dual = network("dual");
    dual.ipv6 = true;
    let dual = world.create_network(dual).unwrap();
    let back = world.create_network(network("back")).unwrap();
    let mut spec = on_network(2, dual);
    attach(&mut spec, back);
    publish_ingress(&mut spec, &[8080]);
    let web = world.create(spec);
    world.settle();
    assert_eq!(
        vips(&world, web),
        ["10.0.1.2/24", "fd00:10::2/64", "10.0.2.2/24"]
    );
    let tasks = world.running(web);
    let ingress = world.state.ingress_network().unwrap().id;
    for task in &tasks {
        let on: Vec<Id> = task.addresses.iter().map(|it| it.network).collect();
        assert_eq!(on, [dual, back, ingress]);
        assert_eq!(task.addresses[0].addrs.len(), 2);
    }
    let assigned = world.state.assignments(tasks[0].node.unwrap());
    let assigned = &assigned[&tasks[0].id].networks;
    assert_eq!(assigned[0].name, "dual");
    assert_eq!(assigned[0].subnets.len(), 2);
    assert_eq!(assigned[0].addrs, tasks[0].addresses[0].addrs);
    assert!(assigned[2].ingress);
}

#[test]
fn services_without_networks_are_planned_as_before() {
    let mut world = World::with_nodes(1);
    world.plan();
    let web = world.create(web(1));
    let changes = world.plan();
    let kinds: Vec<bool> = changes
        .iter()
        .map(|it| matches!(it, Change::CreateTask { .. } | Change::AssignTask { .. }))
        .collect();
    assert_eq!(kinds, [true, true]);
    assert_eq!(
        world.service(web).endpoint,
        crate::object::Endpoint::default()
    );
}

#[test]
fn a_full_network_is_said_and_goes_on_when_there_is_room() {
    let mut world = World::with_nodes(2);
    let small = small(&mut world);
    let web = world.create(on_network(6, small));
    world.settle();
    assert_eq!(world.running(web).len(), 4, "and one for the VIP");
    let reason = format!(
        "no available IPv4 addresses on this network's address pools: small ({small}): all of \
         10.1.0.0/29 are in use"
    );
    assert_eq!(reasons(&world, web), [reason.clone()].into());
    // Nor has another service room for its VIP.
    let other = world.create(named("other", on_network(1, small)));
    world.settle();
    assert_eq!(reasons(&world, other), [reason].into());
    world.update(web, |spec| scale(spec, 3));
    world.settle();
    assert_eq!(world.running(web).len(), 3);
    assert_eq!(vips(&world, other).len(), 1);
    world.update(web, |spec| scale(spec, 2));
    world.settle();
    assert_eq!(
        world.running(other).len(),
        1,
        "in the place of what stopped"
    );
    assert_eq!(reasons(&world, other), BTreeSet::new());
}

#[test]
fn an_address_that_was_given_back_rests() {
    let mut world = World::with_nodes(1);
    let back = world.create_network(network("back")).unwrap();
    let web = world.create(on_network(1, back));
    world.settle();
    let mut seen = BTreeSet::new();
    for round in 0..200 {
        let task = world.running(web)[0].clone();
        assert!(seen.insert(addrs(&task)), "{task:?} in round {round}");
        world.fail(task.id);
        world.run_for(SECOND * 61);
    }
}

#[test]
fn addresses_are_only_picked_in_the_range_and_never_those_set_apart() {
    let mut world = World::with_nodes(1);
    let mut spec = with_subnet("back", "10.1.0.0/24");
    let config = &mut spec.ipam.configs[0];
    config.ip_range = Some("10.1.0.64/29".parse().unwrap());
    config.aux = [("router".to_owned(), "10.1.0.66".parse().unwrap())].into();
    config.gateway = Some("10.1.0.67".parse().unwrap());
    let back = world.create_network(spec).unwrap();
    let web = world.create(on_network(20, back));
    world.settle();
    let mut given: Vec<String> = world.running(web).iter().flat_map(|it| addrs(it)).collect();
    given.extend(vips(&world, web));
    given.sort();
    let expected = [64, 65, 68, 69, 70, 71].map(|it| format!("10.1.0.{it}/24"));
    assert_eq!(given, expected);
    assert!(
        reasons(&world, web)
            .first()
            .unwrap()
            .contains("10.1.0.64 to 10.1.0.71")
    );
}

#[test]
fn a_vip_can_be_named() {
    let mut world = World::with_nodes(1);
    let small = small(&mut world);
    let say = |name: &str, addr: &str| {
        let mut spec = named(name, on_network(1, small));
        let endpoint = spec.endpoint.get_or_insert_default();
        endpoint.addresses = [(small, vec![addr.parse().unwrap()])].into();
        spec
    };
    let first = world.create(say("a", "10.1.0.3"));
    world.settle();
    assert_eq!(vips(&world, first), ["10.1.0.3/29"]);
    assert_eq!(addrs(&world.running(first)[0]), ["10.1.0.2/29"]);
    for (addr, why) in [
        ("10.1.0.3", format!("in use by service 'a' ({first})")),
        ("10.1.0.2", "in use by task".to_owned()),
        ("10.1.0.1", "in use by the network itself".to_owned()),
        ("10.2.0.1", "is in no subnet of network small".to_owned()),
    ] {
        let refusal = world.try_create(say("b", addr)).unwrap_err();
        assert!(refusal.message.contains(&why), "{}", refusal.message);
    }
    world.update(first, |spec| *spec = say("a", "10.1.0.6"));
    world.settle();
    assert_eq!(vips(&world, first), ["10.1.0.6/29"]);
}

#[test]
fn a_service_in_dnsrr_mode_has_no_vip() {
    let mut world = World::with_nodes(1);
    let small = small(&mut world);
    let mut spec = on_network(2, small);
    spec.endpoint.get_or_insert_default().mode = Some(EndpointMode::Dnsrr);
    let web = world.create(spec);
    world.settle();
    assert_eq!(vips(&world, web), [""; 0]);
    assert_eq!(world.running(web).len(), 2);
    world.update(web, |spec| spec.endpoint = None);
    world.settle();
    assert_eq!(vips(&world, web).len(), 1);
}

#[test]
fn a_network_in_use_stays() {
    let mut world = World::with_nodes(1);
    let small = small(&mut world);
    let web = world.create(on_network(1, small));
    world.settle();
    let id = small;
    let refusal = world.command(Command::RemoveNetwork { id }).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::FailedPrecondition);
    assert_eq!(
        refusal.message,
        format!("network {small} is in use by service {web}")
    );
    let task = world.running(web)[0].id;
    world.command(Command::RemoveService { id: web }).unwrap();
    let refusal = world.command(Command::RemoveNetwork { id }).unwrap_err();
    assert_eq!(
        refusal.message,
        format!("network {small} is in use by task {task}")
    );
    world.settle();
    world.command(Command::RemoveNetwork { id }).unwrap();
    let refusal = world.command(Command::RemoveNetwork { id }).unwrap_err();
    assert_eq!(refusal.message, format!("network {small} not found"));
    let refusal = world.try_create(on_network(1, small)).unwrap_err();
    assert_eq!(refusal.message, format!("network {small} not found"));
    let mut spec = named("web2", crate::testing::web(1));
    publish_ingress(&mut spec, &[80]);
    let web2 = world.create(spec);
    let id = world.state.ingress_network().unwrap().id;
    let refusal = world.command(Command::RemoveNetwork { id }).unwrap_err();
    assert_eq!(
        refusal.message,
        format!("ingress network cannot be removed because service {web2} depends on it")
    );
    let refusal = world.try_create(named("x", on_network(1, id))).unwrap_err();
    assert_eq!(
        refusal.message,
        "Service cannot be explicitly attached to the ingress network \"ingress\""
    );
}

#[test]
fn what_a_lost_node_may_still_run_keeps_its_address() {
    let mut world = World::with_nodes(1);
    let small = small(&mut world);
    let web = world.create(on_network(4, small));
    world.settle();
    assert_eq!(world.running(web).len(), 4);
    world.kill_node("h1");
    world.add_node("h2");
    world.settle();
    assert_eq!(world.running(web).len(), 0, "all addresses are on h1");
    assert!(!reasons(&world, web).is_empty());
    world.run_for(SECOND * 25 * 3600);
    let orphans = world.tasks(web);
    assert!(
        orphans
            .iter()
            .any(|it| it.status.state == TaskState::Orphaned)
    );
    assert_eq!(
        world.running(web).len(),
        0,
        "given up, but it may come back"
    );
    let id = world.node("h1");
    world.edit_node("h1", |spec| spec.role = crate::spec::Role::Worker);
    world.command(Command::RemoveNode { id }).unwrap();
    world.observed.nodes.remove(&id);
    world.settle();
    assert_eq!(world.running(web).len(), 4, "it can never come back");
}

#[test]
fn a_task_that_was_given_up_is_remembered_while_it_may_have_its_address() {
    let mut world = World::with_nodes(1);
    let small = small(&mut world);
    let web = world.create(on_network(4, small));
    world.settle();
    world.kill_node("h1");
    world.command(Command::RemoveService { id: web }).unwrap();
    world.run_for(SECOND * 25 * 3600);
    let left = world.tasks(web);
    assert!(left.iter().all(|it| it.status.state == TaskState::Orphaned));
    assert_eq!(left.len(), 4);
    world.add_node("h2");
    let next = world.create(named("next", on_network(4, small)));
    world.settle();
    assert_eq!(world.running(next).len(), 0, "it may come back");
    world.reconnect(world.node("h1"));
    world.settle();
    assert!(world.tasks(web).is_empty());
    assert_eq!(world.running(next).len(), 4);
}

#[test]
fn a_late_plan_gives_nothing_that_was_given_since() {
    let mut world = World::with_nodes(1);
    let small = small(&mut world);
    world.create(on_network(2, small));
    world.plan();
    world.create(named("other", on_network(2, small)));
    // Two leaders decide on the same state, and both decisions are agreed on.
    let late = world.decide().changes;
    world.plan();
    let before = world.state.clone();
    world.command(Command::Plan { changes: late }).unwrap();
    let holders = |state: &crate::state::State| state.pool(small).unwrap().users().count();
    assert_eq!(holders(&world.state), holders(&before));
    let task = world
        .state
        .tasks()
        .find(|it| !it.addresses.is_empty())
        .unwrap();
    let taken: Vec<TaskAddress> = task.addresses.clone();
    let thief = world.state.tasks().find(|it| it.addresses.is_empty());
    if let Some(thief) = thief.map(|it| it.id) {
        let changes = vec![Change::AllocateTask {
            id: thief,
            addresses: taken,
        }];
        world.command(Command::Plan { changes }).unwrap();
        assert_eq!(world.state.task(thief).unwrap().addresses, []);
    }
}
