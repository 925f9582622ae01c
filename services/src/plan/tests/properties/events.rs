//! What happens: random services, networks, nodes, faults and times.

use super::*;

pub(super) const GIB: i64 = 1 << 30;

#[derive(Debug, Clone)]
pub(super) enum Event {
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

pub(super) fn service() -> impl Strategy<Value = ServiceSpec> {
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

pub(super) fn mode() -> impl Strategy<Value = Mode> {
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

pub(super) fn port() -> impl Strategy<Value = Option<(PublishMode, u16)>> {
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
pub(super) fn network_spec() -> impl Strategy<Value = NetworkSpec> {
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

pub(super) fn image() -> impl Strategy<Value = &'static str> {
    select(vec!["web:1", "web:1", "web:2", "crash", "missing", "once"])
}

pub(super) fn restart() -> impl Strategy<Value = RestartPolicy> {
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

pub(super) fn update() -> impl Strategy<Value = UpdateConfig> {
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

pub(super) fn event() -> impl Strategy<Value = Event> {
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

pub(super) fn event_with_late_plans() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => event(),
        1 => Just(Event::Decide),
        1 => (any::<Index>(), any::<Index>())
            .prop_map(|(at, network)| Event::DecideAttach(at, network)),
        1 => Just(Event::Late),
    ]
}

pub(super) fn node_at(world: &World, at: Index) -> Option<(Id, String)> {
    let nodes: Vec<_> = world.state.nodes().collect();
    let node = nodes.get(at.index(nodes.len().max(1)))?;
    Some((node.id, node.description.as_ref()?.hostname.clone()))
}

pub(super) fn service_at(world: &World, at: Index) -> Option<Id> {
    let services: Vec<_> = world.state.services().collect();
    let service = services.get(at.index(services.len().max(1)))?;
    Some(service.id)
}

pub(super) fn happen(world: &mut World, event: Event) {
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
pub(super) fn attachment(world: &mut World, node: Index, network: Index) -> Option<Command> {
    let (node, _) = node_at(world, node)?;
    let networks: Vec<Id> = world.state.networks().map(|it| it.id).collect();
    let network = *networks.get(network.index(networks.len().max(1)))?;
    world.attachment(node, network, &[]).ok()
}

/// Another service has the port, or a network is gone.
pub(super) fn allow_taken(outcome: Result<(), Refusal>) {
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

pub(super) fn happen_to_nodes(world: &mut World, event: Event) {
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
