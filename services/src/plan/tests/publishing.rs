use std::collections::BTreeSet;
use std::net::IpAddr;

use super::allocating::{named, on_network, reasons, remove};
use crate::command::{Command, RefusalKind};
use crate::directory::DirectoryPort;
use crate::id::Id;
use crate::spec::{PortSpec, Protocol};
use crate::testing::{SECOND, World, attach, network, publish, publish_ingress, set_image, web};

fn published(world: &World, service: Id) -> Vec<u16> {
    let ports = world.service(service).endpoint.ports.iter();
    ports.map(|port| port.published).collect()
}

#[test]
fn a_taken_port_is_refused_naming_its_owner() {
    let mut world = World::with_nodes(1);
    let mut spec = web(1);
    publish_ingress(&mut spec, &[8080]);
    let first = world.create(spec.clone());
    let mut host = named("host", web(1));
    publish(&mut host, 9090);
    let host = world.create(host);
    // Even before the plan has run.
    let refusal = world.try_create(named("second", spec.clone())).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::InvalidArgument);
    assert_eq!(
        refusal.message,
        format!("port '8080' is already in use by service 'web' ({first}) as an ingress port")
    );
    publish_ingress(&mut spec, &[9090]);
    let refusal = world.try_create(named("second", spec.clone())).unwrap_err();
    assert_eq!(
        refusal.message,
        format!(
            "port '9090' is already in use by service 'host' ({host}) as a host-published port"
        )
    );
    remove(&mut world, first);
    publish_ingress(&mut spec, &[8080]);
    let second = world.try_create(named("second", spec)).unwrap();
    world.settle();
    assert_eq!(published(&world, second), [8080]);
}

#[test]
fn a_port_may_be_published_on_different_addresses() {
    let mut world = World::with_nodes(1);
    let on = |name: &str, host_ip: Option<&str>| {
        let mut spec = named(name, web(1));
        publish_ingress(&mut spec, &[8080]);
        let host_ip = host_ip.map(|it| it.parse().unwrap());
        spec.endpoint.as_mut().unwrap().ports[0].host_ip = host_ip;
        spec
    };
    world.create(on("a", Some("192.0.2.1")));
    world.create(on("b", Some("192.0.2.2")));
    for (name, host_ip) in [
        ("c", Some("192.0.2.2")),
        ("c", None),
        ("c", Some("0.0.0.0")),
    ] {
        assert!(world.try_create(on(name, host_ip)).is_err(), "{host_ip:?}");
    }
    world.create(on("d", Some("2001:db8::1")));
}

#[test]
fn host_mode_ports_on_different_addresses_share_a_node() {
    let mut world = World::with_nodes(1);
    let services = ["192.0.2.1", "192.0.2.2", "192.0.2.2"].map(|addr| {
        let mut spec = named(&format!("s{}", world.next_id()), web(1));
        publish(&mut spec, 8080);
        spec.endpoint.as_mut().unwrap().ports[0].host_ip = Some(addr.parse().unwrap());
        world.create(spec)
    });
    world.settle();
    let running: Vec<usize> = services.iter().map(|it| world.running(*it).len()).collect();
    assert_eq!(running, [1, 1, 0]);
}

#[test]
fn ports_that_nobody_names_are_picked_and_kept() {
    let mut world = World::with_nodes(1);
    let mut spec = web(1);
    publish_ingress(&mut spec, &[0, 8080, 0]);
    let web = world.create(spec);
    world.settle();
    assert_eq!(published(&world, web), [30_000, 8080, 30_001]);
    world.update(web, |spec| set_image(spec, "web:2"));
    world.settle();
    assert_eq!(published(&world, web), [30_000, 8080, 30_001]);
    world.update(web, |spec| {
        spec.endpoint.as_mut().unwrap().ports.remove(0);
    });
    world.settle();
    assert_eq!(published(&world, web), [8080, 30_001]);
}

#[test]
fn the_swarms_own_ports_are_not_for_services() {
    let mut world = World::with_nodes(2);
    let control = world.state.nodes().next().unwrap().addr.port();
    let data = world.state.cluster().unwrap().spec.data_path_port;
    let mut spec = web(1);
    for port in [control, data] {
        publish_ingress(&mut spec, &[port]);
        spec.endpoint.as_mut().unwrap().ports[0].protocol = Protocol::Udp;
        let refusal = world.try_create(spec.clone()).unwrap_err();
        assert_eq!(
            refusal.message,
            format!("port '{port}' is already in use: the nodes of the swarm talk on {port}/udp")
        );
    }
    publish_ingress(&mut spec, &[control]);
    world.try_create(spec).unwrap();
}

#[test]
fn a_rollback_to_a_port_that_is_taken_since_waits_and_says_so() {
    let mut world = World::with_nodes(1);
    let mut spec = web(1);
    publish_ingress(&mut spec, &[8080]);
    spec.update = Some(crate::spec::UpdateConfig {
        parallelism: 1,
        failure_action: Some(crate::spec::FailureAction::Rollback),
        ..Default::default()
    });
    let first = world.create(spec);
    world.settle();
    world.update(first, |spec| {
        set_image(spec, "crash");
        spec.endpoint = None;
    });
    let mut spec = named("thief", web(1));
    publish_ingress(&mut spec, &[8080]);
    let thief = world.create(spec);
    world.run_for(SECOND * 30);
    let taken =
        format!("port '8080' is already in use by service 'thief' ({thief}) as an ingress port");
    assert_eq!(reasons(&world, first), [taken.clone()].into());
    let version = world.service(first).meta.version;
    let spec = world.service(first).spec.clone();
    let id = first;
    let refusal = world.command(Command::UpdateService { id, version, spec });
    assert_eq!(refusal.unwrap_err().message, taken);
    remove(&mut world, thief);
    world.run_for(SECOND * 30);
    assert_eq!(world.running(first).len(), 1);
    assert_eq!(published(&world, first), [8080]);
}

#[test]
fn a_node_knows_its_networks_and_every_published_port() {
    let mut world = World::with_nodes(2);
    let (a, b) = (network("a"), network("b"));
    let a = world.create_network(a).unwrap();
    let b = world.create_network(b).unwrap();
    let mut spec = on_network(1, a);
    spec.task.networks[0].aliases = vec!["db".to_owned()];
    attach(&mut spec, b);
    crate::testing::constrain(&mut spec, "node.hostname==h1");
    let both = world.create(spec);
    let mut spec = named("front", web(1));
    publish_ingress(&mut spec, &[8080]);
    let front = world.create(spec);
    world.create(named("alone", web(1)));
    world.settle();
    let (h1, h2) = (world.node("h1"), world.node("h2"));
    let ingress = world.state.ingress_network().unwrap().id;
    let known = world.state.directory(h1);
    assert_eq!(
        Vec::from_iter(known.networks.keys()),
        [&a, &b, &ingress].map(|it| it)
    );
    assert_eq!(Vec::from_iter(known.services.keys()), [&both, &front]);
    let shown = &known.services[&both].networks[&a];
    assert_eq!(shown.vips, ["10.0.1.2".parse::<IpAddr>().unwrap()]);
    assert!(shown.aliases.contains("db"));
    let elsewhere = world.state.directory(h2);
    assert_eq!(Vec::from_iter(elsewhere.networks.keys()), [&ingress]);
    assert_eq!(Vec::from_iter(elsewhere.services.keys()), [&front]);
    let port = elsewhere.services[&front].ports.first().unwrap();
    assert_eq!((port.published, port.target), (8080, 80));
    let mut copy = elsewhere.clone();
    copy.apply(known.since(&elsewhere));
    assert_eq!(copy, known);
    copy.apply(elsewhere.since(&known));
    assert_eq!(copy, elsewhere);
    assert!(copy.since(&elsewhere).is_empty());
}

#[test]
fn tasks_keep_their_ports_until_an_update_replaces_them() {
    let mut world = World::with_nodes(1);
    let mut spec = named("web", web(2));
    publish_ingress(&mut spec, &[8080, 0]);
    let web = world.create(spec);
    world.settle();
    let h1 = world.node("h1");
    let picked = published(&world, web)[1];
    let old: BTreeSet<Id> = world.running(web).iter().map(|task| task.id).collect();
    let directory = |world: &World| world.state.directory(h1).services[&web].clone();
    assert_eq!(directory(&world).outdated, []);
    world.update(web, |spec| {
        let ports = &mut spec.endpoint.as_mut().unwrap().ports;
        ports[0].target = 90;
        ports.push(PortSpec {
            published: 9090,
            ..ports[0].clone()
        });
    });
    // Who knows of the new ports at once knows that nobody answers there yet.
    let known = directory(&world);
    let targets = |ports: &BTreeSet<DirectoryPort>| {
        let targets = ports.iter().map(|port| (port.published, port.target));
        targets.collect::<BTreeSet<_>>()
    };
    let wanted = [(8080, 90), (9090, 90), (picked, 81)];
    assert_eq!(targets(&known.ports), wanted.into());
    let [outdated] = &known.outdated[..] else {
        panic!("{:?}", known.outdated)
    };
    assert_eq!(outdated.tasks, old);
    assert_eq!(targets(&outdated.ports), [(8080, 80), (picked, 81)].into());
    world.settle();
    assert_eq!(directory(&world).outdated, []);
}

#[test]
fn a_published_port_of_one_protocol_leaves_the_other() {
    let mut world = World::with_nodes(1);
    let mut spec = web(1);
    publish_ingress(&mut spec, &[53, 53]);
    let ports: &mut Vec<PortSpec> = &mut spec.endpoint.as_mut().unwrap().ports;
    ports[1].protocol = crate::spec::Protocol::Udp;
    let web = world.create(spec);
    world.settle();
    assert_eq!(published(&world, web), [53, 53]);
    assert_eq!(world.running(web).len(), 1);
}
