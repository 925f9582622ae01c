//! What holds whatever happens: random services, nodes, faults and times.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::codec::{read_snapshot, write_snapshot};
use crate::command::{Change, Command, Refusal};
use crate::constraint::Constraint;
use crate::directory::{Directory, Follower};
use crate::id::Id;
use crate::object::{Node, SlotId, Task, TaskState, TaskStatus};
use crate::observed::NodeHealth;
use crate::plan::dirt::constraints_of;
use crate::plan::slot::is_live;
use crate::spec::{
    Availability, FailureAction, Mode, NetworkSpec, Placement, PortSpec, PublishMode,
    RestartCondition, RestartPolicy, ServiceSpec, UpdateConfig, UpdateOrder,
};
use crate::state::State;
use crate::subnets::overlaps;
use crate::testing::{
    SECOND, World, attach, constrain, network, publish, publish_ingress, reserve_memory, scale,
    set_image, web, with_subnet,
};

const GIB: i64 = 1 << 30;

#[derive(Debug, Clone)]
enum Event {
    Create(Box<ServiceSpec>),
    SetImage(Index, &'static str),
    Scale(Index, u64),
    Roll(Index),
    RemoveService(Index),
    AddNode,
    RemoveNode(Index),
    Label(Index, bool),
    SetAvailability(Index, Availability),
    Cut(Index),
    Heal(Index),
    NewLeader,
    Fail(Index),
    Pass(u64),
    Work,
    CreateNetwork(NetworkSpec),
    RemoveNetwork(Index),
    Attach(Index, Index),
    Detach(Index),
    /// A plan that is agreed on only when [`Event::Late`] happens.
    Decide,
    /// The same with a container that is attached.
    DecideAttach(Index, Index),
    Late,
}

fn service() -> impl Strategy<Value = ServiceSpec> {
    let placement = (
        any::<bool>(),
        select(vec![None, Some(1), Some(2)]),
        select(vec![0, GIB, 3 * GIB]),
        port(),
    );
    (image(), mode(), placement, restart(), update()).prop_map(
        |(image, mode, (bound, max_per_node, memory, port), restart, update)| {
            let mut spec = ServiceSpec { mode, ..web(1) };
            set_image(&mut spec, image);
            spec.task.placement = Some(Placement {
                max_per_node,
                ..Placement::default()
            });
            if bound {
                constrain(&mut spec, "node.labels.z!=a");
            }
            if memory > 0 {
                reserve_memory(&mut spec, memory);
            }
            match port {
                Some((PublishMode::Host, port)) => publish(&mut spec, port),
                Some((PublishMode::Ingress, port)) => publish_ingress(&mut spec, &[port, 0]),
                None => {}
            }
            spec.task.restart = Some(restart);
            if spec.mode.is_job() {
                return spec;
            }
            spec.rollback = Some(UpdateConfig {
                order: update.order,
                ..UpdateConfig::default()
            });
            spec.update = Some(update);
            spec
        },
    )
}

fn mode() -> impl Strategy<Value = Mode> {
    let replicated = (0..5_u64).prop_map(|replicas| Mode::Replicated {
        replicas: Some(replicas),
    });
    let job =
        (0..4_u64, 0..6_u64).prop_map(|(max_concurrent, total_completions)| Mode::ReplicatedJob {
            max_concurrent,
            total_completions,
        });
    prop_oneof![
        4 => replicated,
        2 => Just(Mode::Global),
        2 => job,
        1 => Just(Mode::GlobalJob),
    ]
}

fn port() -> impl Strategy<Value = Option<(PublishMode, u16)>> {
    select(vec![
        None,
        None,
        None,
        Some((PublishMode::Host, 8080)),
        Some((PublishMode::Host, 9090)),
        Some((PublishMode::Ingress, 8080)),
        Some((PublishMode::Ingress, 7070)),
    ])
}

/// Most of them are soon full.
fn network_spec() -> impl Strategy<Value = NetworkSpec> {
    let net = select(vec![
        None,
        None,
        Some("10.1.0.0/29"),
        Some("10.1.0.8/29"),
        Some("10.1.0.0/28"),
        Some("10.2.0.0/30"),
    ]);
    (net, any::<bool>(), any::<bool>()).prop_map(|(net, ipv6, attachable)| {
        let mut spec = net.map_or_else(|| network("any"), |net| with_subnet("any", net));
        spec.ipv6 = ipv6;
        spec.attachable = attachable;
        spec
    })
}

fn image() -> impl Strategy<Value = &'static str> {
    select(vec!["web:1", "web:1", "web:2", "crash", "missing", "once"])
}

fn restart() -> impl Strategy<Value = RestartPolicy> {
    let condition = select(vec![
        RestartCondition::Any,
        RestartCondition::Any,
        RestartCondition::OnFailure,
        RestartCondition::None,
    ]);
    let delay = select(vec![None, Some(Duration::ZERO), Some(SECOND)]);
    (condition, delay, select(vec![0, 0, 2]), any::<bool>()).prop_map(
        |(condition, delay, max_attempts, window)| RestartPolicy {
            condition: Some(condition),
            delay,
            max_attempts: Some(max_attempts),
            window: window.then_some(SECOND * 20),
        },
    )
}

fn update() -> impl Strategy<Value = UpdateConfig> {
    let action = select(vec![
        FailureAction::Pause,
        FailureAction::Continue,
        FailureAction::Rollback,
    ]);
    let order = select(vec![UpdateOrder::StopFirst, UpdateOrder::StartFirst]);
    (
        0..3_u64,
        action,
        order,
        select(vec![0.0, 0.4, 1.0]),
        0..3_u64,
    )
        .prop_map(
            |(parallelism, action, order, max_failure_ratio, delay)| UpdateConfig {
                parallelism,
                delay: Some(SECOND * delay as u32),
                failure_action: Some(action),
                monitor: None,
                max_failure_ratio,
                order: Some(order),
            },
        )
}

fn event() -> impl Strategy<Value = Event> {
    let node = any::<Index>;
    let service_index = any::<Index>;
    let availability = select(vec![
        Availability::Active,
        Availability::Active,
        Availability::Pause,
        Availability::Drain,
    ]);
    prop_oneof![
        3 => service().prop_map(|spec| Event::Create(Box::new(spec))),
        3 => (service_index(), image()).prop_map(|(at, image)| Event::SetImage(at, image)),
        2 => (service_index(), 0..6_u64).prop_map(|(at, replicas)| Event::Scale(at, replicas)),
        1 => service_index().prop_map(Event::Roll),
        1 => service_index().prop_map(Event::RemoveService),
        1 => Just(Event::AddNode),
        1 => node().prop_map(Event::RemoveNode),
        1 => (node(), any::<bool>()).prop_map(|(at, set)| Event::Label(at, set)),
        1 => (node(), availability).prop_map(|(at, it)| Event::SetAvailability(at, it)),
        2 => node().prop_map(Event::Cut),
        2 => node().prop_map(Event::Heal),
        1 => Just(Event::NewLeader),
        2 => any::<Index>().prop_map(Event::Fail),
        4 => (1..40_000_u64).prop_map(Event::Pass),
        8 => Just(Event::Work),
        2 => network_spec().prop_map(Event::CreateNetwork),
        1 => any::<Index>().prop_map(Event::RemoveNetwork),
        3 => (node(), any::<Index>()).prop_map(|(at, network)| Event::Attach(at, network)),
        1 => any::<Index>().prop_map(Event::Detach),
    ]
}

fn event_with_late_plans() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => event(),
        1 => Just(Event::Decide),
        1 => (any::<Index>(), any::<Index>())
            .prop_map(|(at, network)| Event::DecideAttach(at, network)),
        1 => Just(Event::Late),
    ]
}

fn node_at(world: &World, at: Index) -> Option<(Id, String)> {
    let nodes: Vec<_> = world.state.nodes().collect();
    let node = nodes.get(at.index(nodes.len().max(1)))?;
    Some((node.id, node.description.as_ref()?.hostname.clone()))
}

fn service_at(world: &World, at: Index) -> Option<Id> {
    let services: Vec<_> = world.state.services().collect();
    let service = services.get(at.index(services.len().max(1)))?;
    Some(service.id)
}

fn happen(world: &mut World, event: Event) {
    match event {
        Event::Create(mut spec) => {
            let number = world.next_id();
            spec.name = format!("service-{number}");
            // Some of the networks, the ingress network not among them.
            let networks = world.state.networks().filter(|it| !it.spec.ingress);
            let networks: Vec<Id> = networks.map(|it| it.id).collect();
            for (place, id) in networks.into_iter().enumerate() {
                if number.as_u128() >> (place % 4) & 1 == 1 {
                    attach(&mut spec, id);
                }
            }
            allow_taken(world.try_create(*spec).map(|_| ()));
        }
        Event::SetImage(at, image) => {
            if let Some(id) = service_at(world, at) {
                allow_taken(world.try_update(id, |spec| set_image(spec, image)));
            }
        }
        Event::Scale(at, replicas) => {
            if let Some(id) = service_at(world, at) {
                allow_taken(world.try_update(id, |spec| scale(spec, replicas)));
            }
        }
        Event::CreateNetwork(mut spec) => {
            spec.name = format!("network-{}", world.next_id());
            // Where a user's subnet is another's, it is refused.
            let _ = world.create_network(spec);
        }
        Event::RemoveNetwork(at) => {
            let networks: Vec<Id> = world.state.networks().map(|it| it.id).collect();
            if let Some(&id) = networks.get(at.index(networks.len().max(1))) {
                let _ = world.command(Command::RemoveNetwork { id });
            }
        }
        Event::Attach(at, network) => {
            if let Some(command) = attachment(world, at, network) {
                allow_taken(world.command(command).map(|_| ()));
            }
        }
        Event::Detach(at) => {
            let ids: Vec<Id> = world.state.attachments().map(|it| it.id).collect();
            if let Some(&id) = ids.get(at.index(ids.len().max(1))) {
                world.detach(id);
            }
        }
        Event::Decide => {
            let changes = world.decide().changes;
            world.late.push(Command::Plan { changes });
        }
        Event::DecideAttach(at, network) => {
            let command = attachment(world, at, network);
            world.late.extend(command);
        }
        Event::Late => {
            for command in std::mem::take(&mut world.late) {
                // Attachments may be refused by now.
                let _ = world.command(command);
            }
        }
        Event::Roll(at) => {
            if let Some(id) = service_at(world, at) {
                let version = world.service(id).meta.version;
                let _ = world.command(Command::RollbackService { id, version });
            }
        }
        Event::RemoveService(at) => {
            if let Some(id) = service_at(world, at) {
                world.command(Command::RemoveService { id }).unwrap();
            }
        }
        Event::AddNode => {
            let name = format!("host-{}", world.next_id());
            world.add_node(&name);
        }
        Event::RemoveNode(at) => {
            if let Some((id, _)) = node_at(world, at) {
                world.command(Command::RemoveNode { id }).unwrap();
                world.observed.nodes.remove(&id);
                world.workers.remove(&id);
            }
        }
        other => happen_to_nodes(world, other),
    }
}

/// `None` where no address is to be had, or no network is attachable.
fn attachment(world: &mut World, node: Index, network: Index) -> Option<Command> {
    let (node, _) = node_at(world, node)?;
    let networks: Vec<Id> = world.state.networks().map(|it| it.id).collect();
    let network = *networks.get(network.index(networks.len().max(1)))?;
    world.attachment(node, network, &[]).ok()
}

/// Another service has the port, or a network is gone.
fn allow_taken(outcome: Result<(), Refusal>) {
    if let Err(refusal) = outcome {
        let text = &refusal.message;
        let known = [
            "is already in use by",
            "not found",
            "needs ingress network",
            "are attached to network",
        ];
        assert!(known.iter().any(|known| text.contains(known)), "{text}");
    }
}

fn happen_to_nodes(world: &mut World, event: Event) {
    match event {
        Event::Label(at, set) => {
            if let Some((_, name)) = node_at(world, at) {
                world.edit_node(&name, |spec| {
                    spec.labels.clear();
                    if set {
                        spec.labels.insert("z".to_owned(), "a".to_owned());
                    }
                });
            }
        }
        Event::SetAvailability(at, availability) => {
            if let Some((_, name)) = node_at(world, at) {
                world.edit_node(&name, |spec| spec.availability = availability);
            }
        }
        Event::Cut(at) => {
            if let Some((_, name)) = node_at(world, at) {
                world.kill_node(&name);
            }
        }
        Event::Heal(at) => {
            if let Some((id, _)) = node_at(world, at) {
                world.reconnect(id);
            }
        }
        Event::NewLeader => world.forget_observed(),
        Event::Fail(at) => {
            let running: Vec<Id> = world
                .state
                .tasks()
                .filter(|task| world.effective(task) == TaskState::Running)
                .filter(|task| task.node.is_some_and(|node| world.is_ready(node)))
                .map(|task| task.id)
                .collect();
            if let Some(task) = running.get(at.index(running.len().max(1))) {
                world.fail(*task);
            }
        }
        Event::Pass(millis) => world.now = world.now + Duration::from_millis(millis),
        Event::Work => {
            world.work();
        }
        _ => {}
    }
}

/// A task only goes forward, and stays where it was put.
fn check_forward(before: &State, after: &State) {
    for task in after.tasks() {
        let Some(old) = before.task(task.id) else {
            continue;
        };
        assert!(task.status.state >= old.status.state, "{old:?} {task:?}");
        assert!(task.desired >= old.desired, "{old:?} {task:?}");
        assert!(old.node.is_none() || task.node == old.node);
    }
}

/// No slot is meant to run twice, except while a new task starts first.
fn check_slots(world: &World) {
    let mut running: BTreeMap<(Id, SlotId), usize> = BTreeMap::new();
    for task in world.state.tasks() {
        if task.desired == TaskState::Running && !world.effective(task).is_final() {
            *running.entry((task.service, task.slot)).or_default() += 1;
        }
    }
    for ((service, slot), count) in running {
        let config = world
            .service(service)
            .spec
            .update
            .clone()
            .unwrap_or_default();
        let allowed = match config.order {
            Some(UpdateOrder::StartFirst) => 2,
            _ => 1,
        };
        assert!(
            count <= allowed,
            "{count} tasks in slot {slot:?} of {service}"
        );
    }
}

/// The nodes of each task say that it may be there, and nothing else does.
fn check_per_node(world: &World) {
    let services = world.state.services();
    for service in services.filter(|it| it.spec.mode.is_per_node()) {
        for task in world.state.tasks_of_service(service.id) {
            let SlotId::Node(node) = task.slot else {
                panic!("{task:?} has no node");
            };
            assert!(task.node.is_none_or(|actual| actual == node));
            if !is_live(task) || world.effective(task).is_final() {
                continue;
            }
            let node = world.state.node(node).expect("its node is there");
            assert_ne!(node.spec.availability, Availability::Drain, "{task:?}");
            let health = world.observed.nodes.get(&node.id).map(|it| &it.health);
            assert!(!matches!(health, Some(NodeHealth::Down { .. })), "{task:?}");
            assert!(suits(&service.spec, node), "{task:?}");
        }
    }
}

fn suits(spec: &ServiceSpec, node: &Node) -> bool {
    let mut constraints = constraints_of(spec).iter();
    constraints.all(|text| Constraint::parse(text).unwrap().matches(node))
}

/// Never more at a time than a job says, and none where one is done.
fn check_jobs(world: &World) {
    for service in world.state.services().filter(|it| it.spec.mode.is_job()) {
        assert_eq!(service.update, None);
        let live = world.live(service.id);
        let current = |task: &&Arc<Task>| task.spec_version == service.spec_version;
        assert!(live.iter().all(|task| current(&task)), "of earlier runs");
        let (done, going): (Vec<_>, Vec<_>) = live
            .iter()
            .partition(|task| world.effective(task) == TaskState::Complete);
        let slots: BTreeSet<SlotId> = live.iter().map(|task| task.slot).collect();
        assert_eq!(slots.len(), live.len(), "one task for each slot");
        if let Mode::ReplicatedJob {
            max_concurrent,
            total_completions,
        } = service.spec.mode
        {
            assert!(going.len() as u64 <= max_concurrent, "{going:#?}");
            assert!(done.len() as u64 <= total_completions);
        }
    }
}

/// What is done stays done, until the job runs anew or its node leaves.
fn check_done(before: &State, after: &State) {
    for task in before.tasks().filter(|task| task.spec.mode.is_job()) {
        let done = task.status.state == TaskState::Complete && is_live(task);
        let service = after.service(task.service);
        let same_run = service.is_some_and(|it| it.spec_version == task.spec_version);
        let has_node = task.node.is_some_and(|node| after.node(node).is_some());
        if done && same_run && has_node {
            assert_eq!(after.task(task.id), Some(task));
        }
    }
}

/// What really is on each node fits there, whatever the managers believe.
fn check_nodes(world: &World) {
    for node in world.state.nodes().filter(|node| world.is_ready(node.id)) {
        let mut memory = 0;
        let mut ports: Vec<&PortSpec> = Vec::new();
        for (id, local) in world.workers.get(&node.id).into_iter().flatten() {
            let Some(task) = world.state.task(*id) else {
                continue;
            };
            if !local.state.is_final() {
                memory += task.spec.task.reservations().memory_bytes;
                for port in task.spec.host_ports() {
                    let taken = ports.iter().any(|other| other.collides_with(port));
                    assert!(!taken, "{port:?} twice on one node");
                    ports.push(port);
                }
            }
        }
        let total = node.description.as_ref().unwrap().resources.memory_bytes;
        assert!(memory <= total, "{memory} of {total} bytes reserved");
    }
}

/// The limit is one of replicas: a service with a task per node has none.
fn check_max_per_node(world: &World) {
    let mut counts: BTreeMap<(Id, Id), (u64, Arc<Task>)> = BTreeMap::new();
    let tasks = world.state.tasks();
    for task in tasks.filter(|task| !task.spec.mode.is_per_node()) {
        if let Some(node) = task.node
            && is_live(task)
            && !world.effective(task).is_final()
        {
            let entry = counts.entry((task.service, node));
            entry.or_insert_with(|| (0, Arc::clone(task))).0 += 1;
        }
    }
    for (count, task) in counts.into_values() {
        let placement = task.spec.task.placement.clone().unwrap_or_default();
        assert!(count <= placement.max_per_node.unwrap_or(u64::MAX));
    }
}

/// No address, subnet or port has two owners, whatever the indexes believe.
fn check_allocations(state: &State) {
    let mut nets: Vec<IpNet> = Vec::new();
    let mut owned: BTreeSet<IpAddr> = BTreeSet::new();
    for network in state.networks() {
        for subnet in &network.subnets {
            let overlaps = nets.iter().any(|net| overlaps(*net, subnet.net));
            assert!(!overlaps, "{} overlaps", subnet.net);
            nets.push(subnet.net);
            let ends = [subnet.net.network(), subnet.net.broadcast()];
            owned.extend(ends.into_iter().chain([subnet.gateway]));
        }
    }
    let mut ports: Vec<(Id, PortSpec)> = Vec::new();
    for service in state.services() {
        for vip in &service.endpoint.vips {
            assert!(owned.insert(vip.addr.addr()), "{vip:?} twice");
        }
        let ingress = service.endpoint.ports.iter();
        for port in ingress.filter(|port| port.mode == PublishMode::Ingress) {
            let taken = ports.iter().any(|(_, other)| other.collides_with(port));
            assert!(!taken, "{port:?} twice");
            ports.push((service.id, port.clone()));
        }
    }
    for attachment in state.attachments() {
        assert!(state.node(attachment.node).is_some(), "its node is gone");
        let network = state.network(attachment.network);
        let network = network.expect("networks in use stay");
        assert!(network.spec.attachable);
        assert_eq!(attachment.addrs.len(), network.subnets.len());
        for (addr, subnet) in attachment.addrs.iter().zip(&network.subnets) {
            assert!(subnet.net.contains(&addr.addr()));
            assert!(owned.insert(addr.addr()), "{addr} twice");
        }
    }
    for task in state.tasks() {
        let lost = task.status.state == TaskState::Orphaned
            && task.node.is_some_and(|node| state.node(node).is_some());
        if task.status.state.is_final() && !lost {
            continue;
        }
        for address in &task.addresses {
            let network = state
                .network(address.network)
                .expect("networks in use stay");
            assert_eq!(address.addrs.len(), network.subnets.len());
            for (addr, subnet) in address.addrs.iter().zip(&network.subnets) {
                assert!(subnet.net.contains(&addr.addr()));
                assert!(owned.insert(addr.addr()), "{addr} twice");
            }
        }
        let waits = task.status.state == TaskState::New;
        assert!(waits || task.addresses.is_empty() != task.spec.is_on_networks());
        assert!(!waits || task.node.is_none());
    }
}

/// Nor do containers, on nodes that the managers see.
fn check_containers(world: &World) {
    let mut owned: BTreeMap<IpAddr, Id> = BTreeMap::new();
    for node in world.state.nodes().filter(|node| world.is_ready(node.id)) {
        for (id, local) in world.workers.get(&node.id).into_iter().flatten() {
            let Some(task) = world.state.task(*id).filter(|_| !local.state.is_final()) else {
                continue;
            };
            for addr in task.addresses.iter().flat_map(|it| &it.addrs) {
                let other = owned.insert(addr.addr(), *id);
                assert_eq!(other, None, "{addr} is also of {id}");
            }
        }
    }
}

/// By node, as its session has it.
#[derive(Default)]
struct Followed(BTreeMap<Id, (Follower, Directory)>);

impl Followed {
    /// Each is told of every change of its directory, once.
    fn check(&mut self, state: &State) {
        for node in state.nodes() {
            let (follower, held) = self.0.entry(node.id).or_default();
            let now = state.directory(node.id);
            *held = follower
                .look(state, node.id)
                .unwrap_or_else(|| held.clone());
            assert_eq!(*held, now);
            assert_eq!(follower.look(state, node.id), None);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever else a plan does that is agreed on after others.
    #[test]
    fn nothing_is_given_twice_even_by_late_plans(
        events in prop::collection::vec(event_with_late_plans(), 1..60),
    ) {
        let mut world = World::with_nodes(3);
        let mut events = events.into_iter().peekable();
        while let Some(event) = events.next() {
            let before = world.state.clone();
            happen(&mut world, event);
            check_forward(&before, &world.state);
            check_allocations(&world.state);
            // Then another decides first, and on the same state.
            if !matches!(events.peek(), Some(Event::Decide)) {
                world.plan();
                check_allocations(&world.state);
            }
        }
        let mut snapshot = Vec::new();
        write_snapshot(&world.state, &mut snapshot).unwrap();
        prop_assert_eq!(read_snapshot(snapshot.as_slice()).unwrap(), world.state);
    }

    /// `World::plan` plans twice and finds nothing the second time.
    #[test]
    fn whatever_happens_the_plan_is_whole_and_safe(events in prop::collection::vec(event(), 1..60)) {
        let mut world = World::with_nodes(3);
        let mut followed = Followed::default();
        for event in events {
            let before = world.state.clone();
            happen(&mut world, event);
            check_forward(&before, &world.state);
            followed.check(&world.state);
            let before = world.state.clone();
            world.plan();
            check_forward(&before, &world.state);
            check_slots(&world);
            check_nodes(&world);
            check_max_per_node(&world);
            check_per_node(&world);
            check_jobs(&world);
            check_done(&before, &world.state);
            check_allocations(&world.state);
            check_containers(&world);
            followed.check(&world.state);
        }
        let mut snapshot = Vec::new();
        write_snapshot(&world.state, &mut snapshot).unwrap();
        prop_assert_eq!(read_snapshot(snapshot.as_slice()).unwrap(), world.state);
    }

    #[test]
    fn once_the_nodes_behave_all_replicas_run(events in prop::collection::vec(event(), 1..40)) {
        let mut world = World::with_nodes(3);
        for event in events {
            happen(&mut world, event);
            world.plan();
        }
        let nodes: Vec<_> = world.state.nodes().cloned().collect();
        for node in nodes {
            let name = node.description.as_ref().unwrap().hostname.clone();
            world.edit_node(&name, |spec| spec.availability = Availability::Active);
            world.reconnect(node.id);
        }
        // What is wanted has to be possible, and what fails must be replaced.
        let room = world.add_node("room");
        let mut description = world.state.node(room).unwrap().description.clone().unwrap();
        description.resources.memory_bytes = 1024 * GIB;
        world.describe(room, description);
        let wide = world.create_network(with_subnet("wide", "10.128.0.0/16")).unwrap();
        let services: Vec<Id> = world.state.services().map(|service| service.id).collect();
        for &id in &services {
            world.update(id, |spec| {
                spec.task.networks.clear();
                attach(spec, wide);
                let image = if spec.mode.is_job() { "once" } else { "web:3" };
                set_image(spec, image);
                if spec.mode.is_per_node() {
                    spec.task.resources = None;
                }
                if let Mode::ReplicatedJob { max_concurrent, .. } = &mut spec.mode {
                    *max_concurrent += 1;
                }
                spec.endpoint = None;
                spec.task.restart = None;
                if let Some(placement) = &mut spec.task.placement {
                    placement.max_per_node = None;
                }
            });
        }
        world.run_for(SECOND * 900);
        for id in services {
            let spec = Arc::clone(&world.service(id).spec);
            let found: Vec<SlotId> = match spec.mode.is_job() {
                true => world.done(id),
                false => world.running(id).iter().map(|task| task.slot).collect(),
            };
            let slots: BTreeSet<SlotId> = found.iter().copied().collect();
            prop_assert_eq!(slots.len(), found.len());
            let nodes = world.state.nodes().filter(|node| suits(&spec, node)).count();
            let wanted = spec.mode.slots().unwrap_or(nodes as u64);
            prop_assert_eq!(found.len() as u64, wanted, "{:?}", spec.mode);
            prop_assert!(world.images(id).iter().all(|image| image == "web:3"));
        }
        prop_assert_eq!(world.next, None);
    }

    /// Also from states that no plan would have made.
    #[test]
    fn any_changes_leave_a_state_that_can_be_planned(
        services in prop::collection::vec(service(), 1..3),
        changes in prop::collection::vec(change(), 1..60),
        pass in 0..100_000_u64,
    ) {
        let mut world = World::with_nodes(2);
        for mut spec in services {
            spec.name = format!("service-{}", world.next_id());
            allow_taken(world.try_create(spec).map(|_| ()));
        }
        for change in changes {
            let before = world.state.clone();
            let change = make_change(&mut world, &change);
            world.command(Command::Plan { changes: vec![change] }).unwrap();
            check_forward(&before, &world.state);
        }
        world.now = world.now + Duration::from_millis(pass);
        world.plan();
        world.run_for(SECOND * 120);
    }
}

fn state() -> impl Strategy<Value = TaskState> {
    select(vec![
        TaskState::New,
        TaskState::Pending,
        TaskState::Assigned,
        TaskState::Ready,
        TaskState::Running,
        TaskState::Complete,
        TaskState::Shutdown,
        TaskState::Failed,
        TaskState::Rejected,
        TaskState::Remove,
        TaskState::Orphaned,
    ])
}

#[derive(Debug, Clone)]
struct RandomChange {
    at: Index,
    other: Index,
    state: TaskState,
    kind: u8,
    slot: u64,
}

fn change() -> impl Strategy<Value = RandomChange> {
    let parts = (any::<Index>(), any::<Index>(), state(), 0..7_u8, 0..4_u64);
    parts.prop_map(|(at, other, state, kind, slot)| RandomChange {
        at,
        other,
        state,
        kind,
        slot,
    })
}

fn make_change(world: &mut World, random: &RandomChange) -> Change {
    let &RandomChange {
        at,
        other,
        state,
        kind,
        slot,
    } = random;
    let tasks: Vec<Id> = world.state.tasks().map(|task| task.id).collect();
    let id = tasks
        .get(at.index(tasks.len().max(1)))
        .copied()
        .unwrap_or_default();
    let service = service_at(world, other).unwrap_or_default();
    let known = world.service(service).clone();
    match kind {
        2 => Change::CreateTaskOnNode {
            id: world.next_id(),
            service,
            spec_version: known.spec_version,
            node: node_at(world, at).map(|(node, _)| node).unwrap_or_default(),
            desired: state,
            not_before: world.now + SECOND * slot as u32,
            failures: u32::from(kind),
        },
        0..=1 => Change::CreateTask {
            id: world.next_id(),
            service,
            spec_version: known.spec_version,
            slot,
            desired: state,
            not_before: world.now + SECOND * slot as u32,
            failures: u32::from(kind),
        },
        3 => Change::AssignTask {
            id,
            node: node_at(world, other)
                .map(|(node, _)| node)
                .unwrap_or_default(),
        },
        4 => Change::SetDesired { id, desired: state },
        5 => Change::SetStatus {
            id,
            status: TaskStatus::at(state, world.now, "random"),
        },
        _ => {
            world.report(id, state);
            if let Some((node, _)) = node_at(world, other) {
                world.set_health(node, NodeHealth::Ready);
            }
            Change::DeleteTask { id: Id::default() }
        }
    }
}
