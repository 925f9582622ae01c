//! A swarm to test with: a state, what is seen of it, and workers that do
//! what they are told, all at a time that only the test moves.

mod specs;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::assignment::Assignment;
use crate::command::{Answer, Change, Command, Proposal, Refusal};
use crate::id::Id;
use crate::object::{NodeDescription, Service, SlotId, Task, TaskState, TaskStatus};
use crate::observed::{NodeHealth, NodeObserved, Observed};
use crate::plan::{Plan, plan};
use crate::reconcile::{Actual, Assigned, LocalTask, Op, reconcile};
use crate::spec::{
    Availability, NetworkSpec, NodeSpec, Platform, ResourceAmounts, Role, ServiceSpec,
};
use crate::state::State;
use crate::time::Timestamp;
pub(crate) use specs::{
    attach, cluster, constrain, file, global, global_job, job, network, publish, publish_ingress,
    refer, reserve_cpus, reserve_memory, rotation, scale, set_image, web, with_subnet,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) observed: Observed,
    pub(crate) now: Timestamp,
    pub(crate) next: Option<Timestamp>,
    pub(crate) workers: BTreeMap<Id, Actual>,
    /// Decided, and not agreed on yet.
    pub(crate) late: Vec<Command>,
    /// What the workers know of their tasks, also while nobody listens.
    reports: BTreeMap<Id, TaskStatus>,
    index: u64,
    ids: u128,
}

impl World {
    /// A swarm without nodes.
    pub(crate) fn new() -> Self {
        let mut world = Self {
            state: State::default(),
            observed: Observed::default(),
            now: Timestamp(1_000_000 * SECOND.as_nanos() as u64),
            next: None,
            workers: BTreeMap::new(),
            late: Vec::new(),
            reports: BTreeMap::new(),
            index: 0,
            ids: 0,
        };
        let cluster = Box::new(cluster());
        world.command(Command::CreateCluster { cluster }).unwrap();
        world
    }

    /// With `count` nodes of 4 CPUs and 8 GiB, `h1` to `hN`, ready.
    pub(crate) fn with_nodes(count: usize) -> Self {
        let mut world = Self::new();
        for number in 1..=count {
            world.add_node(&format!("h{number}"));
        }
        world
    }

    pub(crate) fn next_id(&mut self) -> Id {
        self.ids += 1;
        Id::from_u128(self.ids)
    }

    pub(crate) fn command(&mut self, command: Command) -> Result<Answer, Refusal> {
        self.index += 1;
        let at = self.now;
        self.state.apply(self.index, &Proposal { at, command })
    }

    pub(crate) fn add_node(&mut self, name: &str) -> Id {
        let id = self.next_id();
        let addr = "10.0.0.1:2377".parse().unwrap();
        let spec = NodeSpec {
            name: None,
            labels: BTreeMap::new(),
            role: Role::Worker,
            availability: Availability::Active,
        };
        self.command(Command::AddNode { id, spec, addr }).unwrap();
        let description = NodeDescription {
            hostname: name.to_owned(),
            platform: Platform {
                architecture: "x86_64".to_owned(),
                os: "linux".to_owned(),
            },
            resources: ResourceAmounts {
                nano_cpus: 4_000_000_000,
                memory_bytes: 8 << 30,
                pids: 0,
            },
            ..NodeDescription::default()
        };
        self.describe(id, description);
        self.set_health(id, NodeHealth::Ready);
        id
    }

    pub(crate) fn describe(&mut self, id: Id, description: NodeDescription) {
        let addr = "10.0.0.1:2377".parse().unwrap();
        self.command(Command::DescribeNode {
            id,
            description: Box::new(description),
            addr,
        })
        .unwrap();
    }

    pub(crate) fn set_history(&mut self, task_history: u64) {
        let cluster = self.state.cluster().unwrap();
        let version = cluster.meta.version;
        let mut spec = cluster.spec.clone();
        spec.task_history = task_history;
        self.command(Command::UpdateCluster { version, spec })
            .unwrap();
    }

    pub(crate) fn node(&self, name: &str) -> Id {
        self.state.find_node(name).unwrap().id
    }

    pub(crate) fn edit_node(&mut self, name: &str, edit: impl FnOnce(&mut NodeSpec)) {
        let node = Arc::clone(self.state.find_node(name).unwrap());
        let mut spec = node.spec.clone();
        edit(&mut spec);
        let (id, version) = (node.id, node.meta.version);
        self.command(Command::UpdateNode { id, version, spec })
            .unwrap();
    }

    pub(crate) fn set_health(&mut self, node: Id, health: NodeHealth) {
        let since = self.now;
        self.observed
            .nodes
            .insert(node, NodeObserved { health, since });
    }

    pub(crate) fn kill_node(&mut self, name: &str) {
        let reason = "silent for 5 s".to_owned();
        self.set_health(self.node(name), NodeHealth::Down { reason });
    }

    pub(crate) fn is_ready(&self, node: Id) -> bool {
        let seen = self.observed.nodes.get(&node);
        seen.is_some_and(|seen| seen.health == NodeHealth::Ready)
    }

    /// The node's session is back, with the status of all that it knows.
    pub(crate) fn reconnect(&mut self, node: Id) {
        self.set_health(node, NodeHealth::Ready);
        for id in self
            .workers
            .get(&node)
            .into_iter()
            .flatten()
            .map(|(id, _)| id)
        {
            if let Some(status) = self.reports.get(id) {
                self.observed.tasks.insert(*id, status.clone());
            }
        }
    }

    /// As a new leader, who heard of nobody yet.
    pub(crate) fn forget_observed(&mut self) {
        self.observed = Observed::default();
    }

    pub(crate) fn create(&mut self, spec: ServiceSpec) -> Id {
        let id = self.next_id();
        let spec = Arc::new(spec);
        self.command(Command::CreateService { id, spec }).unwrap();
        id
    }

    /// As the API does it.
    pub(crate) fn create_network(&mut self, spec: NetworkSpec) -> Result<Id, Refusal> {
        let id = self.next_id();
        let subnets = self.state.choose_subnets(&spec, &[])?;
        let spec = Arc::new(spec);
        self.command(Command::CreateNetwork { id, spec, subnets })?;
        Ok(id)
    }

    /// What is proposed to put a container of `node` on the network.
    pub(crate) fn attachment(
        &mut self,
        node: Id,
        network: Id,
        wanted: &[IpAddr],
    ) -> Result<Command, Refusal> {
        let id = self.next_id();
        Ok(Command::CreateAttachment {
            id,
            network,
            node,
            addrs: self.state.choose_addresses(id, network, wanted)?,
        })
    }

    pub(crate) fn detach(&mut self, id: Id) {
        let ids = vec![id];
        self.command(Command::RemoveAttachments { ids }).unwrap();
    }

    pub(crate) fn try_create(&mut self, spec: ServiceSpec) -> Result<Id, Refusal> {
        let id = self.next_id();
        let spec = Arc::new(spec);
        self.command(Command::CreateService { id, spec })?;
        Ok(id)
    }

    pub(crate) fn update(&mut self, id: Id, edit: impl FnOnce(&mut ServiceSpec)) {
        self.try_update(id, edit).unwrap();
    }

    pub(crate) fn try_update(
        &mut self,
        id: Id,
        edit: impl FnOnce(&mut ServiceSpec),
    ) -> Result<(), Refusal> {
        let service = Arc::clone(self.service(id));
        let mut spec = ServiceSpec::clone(&service.spec);
        edit(&mut spec);
        let (version, spec) = (service.meta.version, Arc::new(spec));
        self.command(Command::UpdateService { id, version, spec })?;
        Ok(())
    }

    pub(crate) fn service(&self, id: Id) -> &Arc<Service> {
        self.state.service(id).unwrap()
    }

    /// Plans, applies, and holds the plan to its promise: that is all there is.
    pub(crate) fn plan(&mut self) -> Vec<Change> {
        let Plan { changes, .. } = self.decide();
        let command = Command::Plan {
            changes: changes.clone(),
        };
        self.command(command).unwrap();
        let again = self.decide();
        assert_eq!(again.changes, [], "after {changes:#?}");
        assert!(again.next.is_none_or(|next| next > self.now));
        self.next = again.next;
        changes
    }

    pub(crate) fn decide(&mut self) -> Plan {
        let mut last = self.ids;
        let mut ids = || {
            last += 1;
            Id::from_u128(last)
        };
        let plan = plan(&self.state, &self.observed, self.now, &mut ids);
        self.ids = last;
        plan
    }
}

/// Workers.
impl World {
    /// Every worker that is ready does one step of each of its tasks; whether
    /// there was anything to do. The image says how a task fares.
    pub(crate) fn work(&mut self) -> bool {
        let ready: Vec<Id> = self
            .observed
            .nodes
            .iter()
            .filter(|(_, seen)| seen.health == NodeHealth::Ready)
            .map(|(id, _)| *id)
            .collect();
        let mut worked = false;
        for node in ready {
            let assigned: Assigned = self.state.assignments(node);
            let mut actual = self.workers.remove(&node).unwrap_or_default();
            for op in reconcile(&assigned, &actual) {
                worked = true;
                self.perform(op, &assigned, &mut actual);
            }
            self.workers.insert(node, actual);
        }
        worked
    }

    fn perform(&mut self, op: Op, assigned: &Assigned, actual: &mut Actual) {
        let image = |id: &Id| assigned.get(id).map(|it: &Assignment| image_of(it));
        match op {
            Op::Accept(id) => self.reach(actual, id, TaskState::Accepted),
            Op::Prepare(id) => match image(&id).as_deref() {
                Some("missing") => self.reach(actual, id, TaskState::Rejected),
                _ => self.reach(actual, id, TaskState::Ready),
            },
            Op::Start(id) => {
                self.reach(actual, id, TaskState::Running);
                match image(&id).as_deref() {
                    Some("crash") => self.reach(actual, id, TaskState::Failed),
                    Some("once") => self.reach(actual, id, TaskState::Complete),
                    _ => {}
                }
            }
            Op::Stop(id) => self.reach(actual, id, TaskState::Shutdown),
            Op::Remove(id) => {
                actual.remove(&id);
            }
        }
    }

    fn reach(&mut self, actual: &mut Actual, id: Id, state: TaskState) {
        actual.insert(
            id,
            LocalTask {
                state,
                busy: false,
                has_container: state >= TaskState::Ready && state != TaskState::Rejected,
            },
        );
        self.report(id, state);
    }

    /// As a worker would: the task is `state` since now.
    pub(crate) fn report(&mut self, id: Id, state: TaskState) {
        let before = self.reports.get(&id).and_then(|seen| seen.started);
        let started = match state {
            TaskState::Running => Some(self.now),
            _ => before,
        };
        let failed = matches!(state, TaskState::Failed | TaskState::Rejected);
        let status = TaskStatus {
            error: failed.then(|| "it failed".to_owned()),
            started,
            ..TaskStatus::at(state, self.now, state.as_str())
        };
        self.reports.insert(id, status.clone());
        self.observed.tasks.insert(id, status);
    }

    /// A container dies by itself.
    pub(crate) fn fail(&mut self, id: Id) {
        self.end(id, TaskState::Failed);
    }

    /// A container comes to an end.
    pub(crate) fn end(&mut self, id: Id, state: TaskState) {
        let node = self.state.task(id).unwrap().node.unwrap();
        let mut actual = self.workers.remove(&node).unwrap_or_default();
        self.reach(&mut actual, id, state);
        self.workers.insert(node, actual);
    }

    /// Plans and works until nothing more happens at this time.
    pub(crate) fn settle(&mut self) {
        for _ in 0..1000 {
            let changed = !self.plan().is_empty();
            if !self.work() && !changed {
                return;
            }
        }
        panic!("something changes for ever at {:?}", self.now);
    }

    /// Lets time pass, stopping wherever the plan wants to run again.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.settle();
        while let Some(next) = self.next.filter(|next| *next <= end) {
            self.now = next;
            self.settle();
        }
        self.now = end;
        self.settle();
    }
}

/// Looking.
impl World {
    pub(crate) fn effective(&self, task: &Task) -> TaskState {
        State::effective(task, &self.observed).state
    }

    pub(crate) fn tasks(&self, service: Id) -> Vec<Arc<Task>> {
        let mut tasks: Vec<_> = self.state.tasks_of_service(service).cloned().collect();
        tasks.sort_by_key(|task| (task.slot, task.meta.created, task.id));
        tasks
    }

    /// Meant to run, or prepared for it.
    pub(crate) fn live(&self, service: Id) -> Vec<Arc<Task>> {
        let mut tasks = self.tasks(service);
        tasks.retain(|task| task.desired <= TaskState::Running);
        tasks
    }

    pub(crate) fn running(&self, service: Id) -> Vec<Arc<Task>> {
        let mut tasks = self.live(service);
        tasks.retain(|task| self.effective(task) == TaskState::Running);
        tasks
    }

    /// How many tasks of the service run on each node that has any.
    pub(crate) fn spread(&self, service: Id) -> BTreeMap<String, usize> {
        let mut spread = BTreeMap::new();
        for task in self.running(service) {
            let node = self.state.node(task.node.unwrap()).unwrap();
            let name = node.description.as_ref().unwrap().hostname.clone();
            *spread.entry(name).or_default() += 1;
        }
        spread
    }

    /// The slots whose task of the present run of a job ended well.
    pub(crate) fn done(&self, service: Id) -> Vec<SlotId> {
        let run = self.service(service).spec_version;
        let mut tasks = self.tasks(service);
        tasks.retain(|task| task.spec_version == run);
        tasks.retain(|task| self.effective(task) == TaskState::Complete);
        tasks.iter().map(|task| task.slot).collect()
    }

    pub(crate) fn images(&self, service: Id) -> Vec<String> {
        self.running(service)
            .iter()
            .map(|task| task.spec.task.container.image.clone())
            .collect()
    }
}

fn image_of(assignment: &Assignment) -> String {
    assignment.spec.task.container.image.clone()
}
