//! The replicated state: every object, and the indexes to find them by.
//!
//! The same sequence of commands makes the same state on every manager, so
//! all of it is ordered maps. Objects are behind `Arc`: a clone of the state
//! copies pointers, readers keep the one they have, and a change copies only
//! the object that it touches. Only `apply` writes here.

mod attachments;
mod files;
mod networks;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::assignment::Assignment;
use crate::command::{Refusal, RefusalKind};
use crate::generic::{self, Generic};
use crate::id::Id;
use crate::object::{
    Cluster, Endpoint, Node, NodeDescription, RootRotation, Service, Task, TaskAddress, TaskState,
    TaskStatus,
};
use crate::observed::Observed;
use crate::spec::ServiceSpec;
use files::Files;
use networks::Networks;

/// What the swarm agreed on. `Default` is the state before the first command.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) rotation: Option<Arc<RootRotation>>,
    nodes: BTreeMap<Id, Arc<Node>>,
    /// Of those that said one.
    data_addrs: BTreeMap<Id, IpAddr>,
    services: BTreeMap<Id, Arc<Service>>,
    tasks: BTreeMap<Id, Arc<Task>>,
    /// Ids whose certificates are refused for ever.
    removed: BTreeSet<Id>,
    /// By lower-case name: Docker's names differ by more than case.
    service_by_name: BTreeMap<String, Id>,
    tasks_by_service: BTreeMap<Id, BTreeSet<Id>>,
    tasks_by_node: BTreeMap<Id, BTreeSet<Id>>,
    specs_of_tasks: BTreeMap<Id, Specs>,
    networks: Networks,
    files: Files,
}

/// What the tasks of a service were made of, by the spec's version, and how
/// many of each.
type Specs = BTreeMap<u64, (Arc<ServiceSpec>, usize)>;

impl State {
    /// `None` before `CreateCluster`.
    pub fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.cluster.as_ref()
    }

    /// While the CA is on its way to be another one.
    pub fn rotation(&self) -> Option<&Arc<RootRotation>> {
        self.rotation.as_ref()
    }

    /// The nodes that a rotation of the CA waits for; none where there is none.
    pub fn not_renewed(&self) -> impl Iterator<Item = &Arc<Node>> {
        let rotation = self.rotation.iter();
        rotation.flat_map(move |rotation| {
            let nodes = self.nodes.values();
            nodes.filter(move |node| !rotation.renewed.contains(&node.id))
        })
    }

    pub fn node(&self, id: Id) -> Option<&Arc<Node>> {
        self.nodes.get(&id)
    }

    pub fn service(&self, id: Id) -> Option<&Arc<Service>> {
        self.services.get(&id)
    }

    pub fn task(&self, id: Id) -> Option<&Arc<Task>> {
        self.tasks.get(&id)
    }

    /// In the order of their ids.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// Where the data ports of nodes answer that are at one address alone.
    pub fn data_addrs(&self) -> &BTreeMap<Id, IpAddr> {
        &self.data_addrs
    }

    pub fn services(&self) -> impl ExactSizeIterator<Item = &Arc<Service>> {
        self.services.values()
    }

    pub fn tasks(&self) -> impl ExactSizeIterator<Item = &Arc<Task>> {
        self.tasks.values()
    }

    /// Also those of a service that was removed and whose tasks still stop.
    pub fn tasks_of_service(&self, id: Id) -> impl Iterator<Item = &Arc<Task>> {
        self.indexed(&self.tasks_by_service, id)
    }

    /// What its tasks were made of, the ended ones too, by the spec's version.
    pub fn specs_of_tasks(&self, service: Id) -> impl Iterator<Item = (u64, &ServiceSpec)> {
        let specs = self.specs_of_tasks.get(&service).into_iter();
        specs
            .flatten()
            .map(|(version, (spec, _))| (*version, &**spec))
    }

    pub fn tasks_of_node(&self, id: Id) -> impl Iterator<Item = &Arc<Task>> {
        self.indexed(&self.tasks_by_node, id)
    }

    fn indexed<'a>(
        &'a self,
        index: &'a BTreeMap<Id, BTreeSet<Id>>,
        id: Id,
    ) -> impl Iterator<Item = &'a Arc<Task>> {
        index
            .get(&id)
            .into_iter()
            .flatten()
            .filter_map(|task| self.tasks.get(task))
    }

    /// What no task holds of a node's generic resources, as far as is agreed:
    /// one that was given up holds nothing.
    pub(crate) fn free_generic(&self, node: Id) -> Generic {
        let description = self.node(node).and_then(|node| node.description.as_ref());
        let mut free = description.map_or_else(Generic::new, |it| it.generic.clone());
        if free.is_empty() {
            return free;
        }
        let tasks = self.tasks_of_node(node);
        for task in tasks.filter(|task| !task.status.state.is_final()) {
            generic::take(&mut free, &task.generic);
        }
        free
    }

    /// Whether the node was removed: its certificate must be refused.
    pub fn is_removed(&self, node: Id) -> bool {
        self.removed.contains(&node)
    }

    pub fn removed_nodes(&self) -> impl ExactSizeIterator<Item = Id> {
        self.removed.iter().copied()
    }

    /// The tasks that `node` is told to run or to stop, in the order of their ids.
    pub fn assigned(&self, node: Id) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks_of_node(node)
            .filter(|task| task.status.state >= TaskState::Assigned)
    }

    /// What `node` is told of them, by task id.
    pub fn assignments(&self, node: Id) -> BTreeMap<Id, Assignment> {
        self.assigned(node)
            .map(|task| (task.id, Assignment::of(task, self)))
            .collect()
    }

    /// The newest that is known of a task: what the plan wrote or what its
    /// node told, whichever is further. On a tie the node knows more.
    pub fn effective<'a>(task: &'a Task, observed: &'a Observed) -> &'a TaskStatus {
        match observed.tasks.get(&task.id) {
            Some(seen) if seen.state >= task.status.state && !task.status.state.is_final() => seen,
            _ => &task.status,
        }
    }
}

/// Lookups as Docker does them: full id, else exact name, else the one id
/// that starts so.
///
/// # Errors
/// `NotFound` ("service x not found"), or `InvalidArgument` where several
/// match ("service x is ambiguous (2 matches found)").
impl State {
    pub fn find_service(&self, text: &str) -> Result<&Arc<Service>, Refusal> {
        let by_name = self.service_named(text).into_iter();
        find(
            "service",
            text,
            &self.services,
            by_name.map(|service| service.id),
        )
    }

    /// A node's names are its host name and the name in its spec.
    pub fn find_node(&self, text: &str) -> Result<&Arc<Node>, Refusal> {
        let named = |node: &&Arc<Node>| {
            let host = node.description.as_ref().map(|it| it.hostname.as_str());
            let name = node.spec.name.as_deref();
            [host, name]
                .into_iter()
                .flatten()
                .any(|it| it.eq_ignore_ascii_case(text))
        };
        let by_name = self.nodes().filter(named).map(|node| node.id);
        find("node", text, &self.nodes, by_name)
    }

    /// A task's name is that of its container, `web.1.<id>`.
    pub fn find_task(&self, text: &str) -> Result<&Arc<Task>, Refusal> {
        let by_name = self
            .tasks()
            .filter(|task| text.starts_with(&task.spec.name) && task.container_name() == text)
            .map(|task| task.id);
        find("task", text, &self.tasks, by_name)
    }

    pub(crate) fn service_named(&self, name: &str) -> Option<&Arc<Service>> {
        let id = self.service_by_name.get(&name.to_lowercase())?;
        self.services.get(id)
    }
}

fn find<'a, T>(
    kind: &str,
    text: &str,
    objects: &'a BTreeMap<Id, Arc<T>>,
    by_name: impl Iterator<Item = Id>,
) -> Result<&'a Arc<T>, Refusal> {
    if let Some(object) = text.parse().ok().and_then(|id: Id| objects.get(&id)) {
        return Ok(object);
    }
    let mut matches: Vec<Id> = by_name.collect();
    if matches.is_empty() && !text.is_empty() {
        let starts_so = |id: &&Id| id.to_string().starts_with(text);
        matches = objects.keys().filter(starts_so).copied().collect();
    }
    match matches.as_slice() {
        [id] => objects.get(id),
        [] => None,
        several => {
            return Err(RefusalKind::InvalidArgument.because(format!(
                "{kind} {text} is ambiguous ({} matches found)",
                several.len()
            )));
        }
    }
    .ok_or_else(|| RefusalKind::NotFound.because(format!("{kind} {text} not found")))
}

/// Writes, which keep the indexes true.
impl State {
    pub(crate) fn put_node(&mut self, node: Node) {
        self.index_data_addr(node.id, node.description.as_ref());
        self.nodes.insert(node.id, Arc::new(node));
    }

    pub(crate) fn edit_node(&mut self, id: Id) -> Option<&mut Node> {
        self.nodes.get_mut(&id).map(Arc::make_mut)
    }

    pub(crate) fn set_description(&mut self, id: Id, description: NodeDescription) {
        self.index_data_addr(id, Some(&description));
        if let Some(node) = self.edit_node(id) {
            node.description = Some(description);
        }
    }

    fn index_data_addr(&mut self, id: Id, description: Option<&NodeDescription>) {
        match description.and_then(|it| it.data_addr) {
            Some(addr) => self.data_addrs.insert(id, addr),
            None => self.data_addrs.remove(&id),
        };
    }

    /// Forgets the node and refuses its id from now on.
    pub(crate) fn revoke_node(&mut self, id: Id) {
        self.data_addrs.remove(&id);
        self.nodes.remove(&id);
        self.removed.insert(id);
    }

    pub(crate) fn put_service(&mut self, service: Service) {
        self.service_by_name
            .insert(service.spec.name.to_lowercase(), service.id);
        self.take_endpoint(&service);
        self.name_addresses(service.id, &service.spec);
        self.services.insert(service.id, Arc::new(service));
    }

    pub(crate) fn set_spec(&mut self, id: Id, spec: Arc<ServiceSpec>) {
        let Some(mut service) = self.services.remove(&id) else {
            return;
        };
        self.unname_addresses(id, &service.spec);
        self.name_addresses(id, &spec);
        Arc::make_mut(&mut service).spec = spec;
        self.services.insert(id, service);
    }

    /// The spec, the name and the endpoint must not be changed through this.
    pub(crate) fn edit_service(&mut self, id: Id) -> Option<&mut Service> {
        self.services.get_mut(&id).map(Arc::make_mut)
    }

    pub(crate) fn set_endpoint(&mut self, id: Id, endpoint: Endpoint) {
        let Some(mut service) = self.services.remove(&id) else {
            return;
        };
        self.release_endpoint(id, &service.endpoint);
        Arc::make_mut(&mut service).endpoint = endpoint;
        self.take_endpoint(&service);
        self.services.insert(id, service);
    }

    pub(crate) fn drop_service(&mut self, id: Id) {
        if let Some(service) = self.services.remove(&id) {
            self.service_by_name
                .remove(&service.spec.name.to_lowercase());
            self.release_endpoint(id, &service.endpoint);
            self.unname_addresses(id, &service.spec);
        }
    }

    pub(crate) fn put_task(&mut self, task: Task) {
        self.tasks_by_service
            .entry(task.service)
            .or_default()
            .insert(task.id);
        if let Some(node) = task.node {
            self.tasks_by_node.entry(node).or_default().insert(task.id);
        }
        let specs = self.specs_of_tasks.entry(task.service).or_default();
        let spec = specs.entry(task.spec_version);
        spec.or_insert_with(|| (Arc::clone(&task.spec), 0)).1 += 1;
        self.settle_addresses(&task);
        self.tasks.insert(task.id, Arc::new(task));
    }

    pub(crate) fn set_addresses(&mut self, id: Id, addresses: Vec<TaskAddress>) {
        let Some(mut task) = self.tasks.remove(&id) else {
            return;
        };
        self.release_addresses(&task);
        Arc::make_mut(&mut task).addresses = addresses;
        self.settle_addresses(&task);
        self.tasks.insert(id, task);
    }

    /// Whether it goes on holding its addresses may have changed.
    pub(crate) fn settle_task(&mut self, id: Id) {
        if let Some(task) = self.tasks.get(&id).filter(|it| !it.addresses.is_empty()) {
            let task = Arc::clone(task);
            self.settle_addresses(&task);
        }
    }

    /// The service and the node must not be changed through this; who changes
    /// the status settles the task after.
    pub(crate) fn edit_task(&mut self, id: Id) -> Option<&mut Task> {
        self.tasks.get_mut(&id).map(Arc::make_mut)
    }

    pub(crate) fn place_task(&mut self, id: Id, node: Id) -> Option<&mut Task> {
        let task = self.tasks.get_mut(&id)?;
        self.tasks_by_node.entry(node).or_default().insert(id);
        let task = Arc::make_mut(task);
        task.node = Some(node);
        Some(task)
    }

    pub(crate) fn drop_task(&mut self, id: Id) {
        let Some(task) = self.tasks.remove(&id) else {
            return;
        };
        self.release_addresses(&task);
        unindex(&mut self.tasks_by_service, task.service, id);
        if let Some(specs) = self.specs_of_tasks.get_mut(&task.service) {
            if let Some((_, tasks)) = specs.get_mut(&task.spec_version) {
                *tasks -= 1;
            }
            specs.retain(|_, (_, tasks)| *tasks > 0);
            if specs.is_empty() {
                self.specs_of_tasks.remove(&task.service);
            }
        }
        if let Some(node) = task.node {
            unindex(&mut self.tasks_by_node, node, id);
        }
    }
}

fn unindex(index: &mut BTreeMap<Id, BTreeSet<Id>>, key: Id, id: Id) {
    if let Some(ids) = index.get_mut(&key) {
        ids.remove(&id);
        if ids.is_empty() {
            index.remove(&key);
        }
    }
}
