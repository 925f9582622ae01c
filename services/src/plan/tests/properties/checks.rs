//! What must hold.

use super::*;

/// A task only goes forward, and stays where it was put.
pub(super) fn check_forward(before: &State, after: &State) {
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
pub(super) fn check_slots(world: &World) {
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
pub(super) fn check_per_node(world: &World) {
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

pub(super) fn suits(spec: &ServiceSpec, node: &Node) -> bool {
    let mut constraints = constraints_of(spec).iter();
    constraints.all(|text| Constraint::parse(text).unwrap().matches(node))
}

/// Never more at a time than a job says, and none where one is done.
pub(super) fn check_jobs(world: &World) {
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
pub(super) fn check_done(before: &State, after: &State) {
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
pub(super) fn check_nodes(world: &World) {
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
pub(super) fn check_max_per_node(world: &World) {
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
pub(super) fn check_allocations(state: &State) {
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
pub(super) fn check_containers(world: &World) {
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
pub(super) struct Followed(BTreeMap<Id, (Follower, Directory)>);

impl Followed {
    /// Each is told of every change of its directory, once.
    pub(super) fn check(&mut self, state: &State) {
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
