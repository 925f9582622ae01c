//! What each node has left and carries already.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::generic::{self, Generic, Wanted};
use crate::id::Id;
use crate::object::{Node, Task, TaskState};
use crate::observed::NodeHealth;
use crate::plan::draft::Draft;
use crate::plan::slot::is_live;
use crate::spec::{Availability, PortSpec, Protocol, same_host_ip};

const RECENT: Duration = Duration::from_secs(5 * 60);
const TOO_MANY_FAILURES: u32 = 5;

/// One node, by its place in the order of ids.
pub(super) struct NodeLoad {
    pub(super) node: Arc<Node>,
    /// Why it takes no new tasks at all.
    pub(super) closed: Option<&'static str>,
    pub(super) free_cpus: i64,
    pub(super) free_memory: i64,
    pub(super) free_generic: Generic,
    /// Live tasks, of all services.
    pub(super) tasks: u32,
    /// With the addresses of the node that they are published on.
    host_ports: BTreeMap<(Protocol, u16), Vec<Option<IpAddr>>>,
}

pub(super) fn load(draft: &Draft) -> Vec<NodeLoad> {
    draft
        .state()
        .nodes()
        .map(|node| load_node(draft, node))
        .collect()
}

fn load_node(draft: &Draft, node: &Arc<Node>) -> NodeLoad {
    let resources = node.description.as_ref().map(|it| it.resources.clone());
    let resources = resources.unwrap_or_default();
    let mut load = NodeLoad {
        node: Arc::clone(node),
        closed: closed(draft, node),
        free_cpus: resources.nano_cpus,
        free_memory: resources.memory_bytes,
        free_generic: draft.state().free_generic(node.id),
        tasks: 0,
        host_ports: BTreeMap::new(),
    };
    for task in draft.state().tasks_of_node(node.id) {
        let runs = draft.occupies(task);
        if runs {
            load.take(task);
        }
        // Given up with its node, which has come back with it.
        if runs && task.status.state.is_final() {
            generic::take(&mut load.free_generic, &task.generic);
        }
        if runs && is_live(task) {
            load.tasks += 1;
        }
    }
    load
}

fn closed(draft: &Draft, node: &Node) -> Option<&'static str> {
    let seen = draft.observed().nodes.get(&node.id);
    match (seen.map(|it| &it.health), node.spec.availability) {
        (Some(NodeHealth::Down { .. }), _) => Some("down"),
        (_, Availability::Drain) => Some("drained"),
        (_, Availability::Pause) => Some("paused"),
        (Some(NodeHealth::Ready), Availability::Active) if node.description.is_some() => None,
        _ => Some("not heard of yet"),
    }
}

impl NodeLoad {
    pub(super) fn take(&mut self, task: &Task) {
        let needs = task.spec.task.reservations();
        self.free_cpus = self.free_cpus.saturating_sub(needs.nano_cpus);
        self.free_memory = self.free_memory.saturating_sub(needs.memory_bytes);
        self.take_ports(task.spec.host_ports());
    }

    /// What a task that is placed here is given.
    pub(super) fn give(&mut self, wanted: &Wanted) -> Generic {
        let given = generic::choose(&self.free_generic, wanted);
        generic::take(&mut self.free_generic, &given);
        given
    }

    pub(super) fn take_ports<'a>(&mut self, ports: impl IntoIterator<Item = &'a PortSpec>) {
        for port in ports {
            let taken = self.host_ports.entry((port.protocol, port.published));
            taken.or_default().push(port.host_ip);
        }
    }

    pub(super) fn has_host_port(&self, port: &PortSpec) -> bool {
        let taken = self.host_ports.get(&(port.protocol, port.published));
        let mut taken = taken.into_iter().flatten();
        taken.any(|host_ip| same_host_ip(*host_ip, port.host_ip))
    }
}

/// What the nodes have to do with one version of one service; the vectors run
/// along the nodes.
pub(super) struct ServiceOnNodes {
    pub(super) tasks: Vec<u32>,
    pub(super) failing: Vec<bool>,
}

impl ServiceOnNodes {
    /// As if the service had nothing on `nodes` nodes.
    pub(super) fn none(nodes: usize) -> Self {
        Self {
            tasks: vec![0; nodes],
            failing: vec![false; nodes],
        }
    }

    pub(super) fn count(draft: &Draft, nodes: &[NodeLoad], task: &Task) -> Self {
        let index: BTreeMap<Id, usize> = nodes
            .iter()
            .enumerate()
            .map(|(index, load)| (load.node.id, index))
            .collect();
        let mut tasks = vec![0; nodes.len()];
        let mut failures = vec![0_u32; nodes.len()];
        let since = draft.now() - RECENT;
        for other in draft.state().tasks_of_service(task.service) {
            let Some(&node) = other.node.as_ref().and_then(|node| index.get(node)) else {
                continue;
            };
            let status = draft.effective(other);
            if is_live(other) && draft.occupies(other) {
                tasks[node] += 1;
            }
            let failed = matches!(status.state, TaskState::Failed | TaskState::Rejected);
            if failed && other.spec_version == task.spec_version && status.at > since {
                failures[node] += 1;
            }
        }
        let too_many = |failures: u32| failures >= TOO_MANY_FAILURES;
        Self {
            tasks,
            failing: failures.into_iter().map(too_many).collect(),
        }
    }
}
