//! What a worker is told to run.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::file::{FileContent, FileKind, FileReference};
use crate::generic::Generic;
use crate::id::Id;
use crate::object::{Subnet, Task, TaskAddress, TaskState, container_name};
use crate::spec::ServiceSpec;
use crate::state::State;

/// One task as its node sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    pub task: Id,
    pub service: Id,
    /// Zero where the slot is the node.
    pub slot: u64,
    /// What was asked for; the task template and the host-mode ports count.
    pub spec: Arc<ServiceSpec>,
    /// READY (prepare it), RUNNING, or SHUTDOWN and beyond (stop it). A task
    /// that is no longer assigned at all is removed with its container.
    pub desired: TaskState,
    /// What its container is to be connected to.
    pub networks: Vec<AssignedNetwork>,
    /// What it was given of the node's generic resources.
    pub generic: Generic,
    /// Those of the secrets and configs that it [refers to](Self::references)
    /// that are there.
    pub files: BTreeMap<Id, Arc<FileContent>>,
}

/// One network of one task: all that is needed to make it on the node and to
/// connect the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedNetwork {
    pub id: Id,
    pub name: String,
    pub subnets: Vec<Subnet>,
    pub internal: bool,
    pub ingress: bool,
    /// Users may put containers of their own on it.
    #[serde(default)]
    pub attachable: bool,
    /// See [`NetworkSpec::mtu`](crate::spec::NetworkSpec::mtu).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// The task's own, one per subnet.
    pub addrs: Vec<IpNet>,
    pub aliases: Vec<String>,
    pub driver_opts: BTreeMap<String, String>,
    /// The swarm's signature over task, service, network, addresses and node,
    /// with which the node may tell the others of it. Managers add it when
    /// they send; empty: none.
    #[serde(default)]
    pub ticket: Vec<u8>,
}

impl Assignment {
    pub fn of(task: &Task, state: &State) -> Self {
        let networks = task.addresses.iter();
        let mut assignment = Self {
            task: task.id,
            service: task.service,
            slot: task.slot.number(),
            spec: Arc::clone(&task.spec),
            desired: task.ordered(),
            networks: networks
                .filter_map(|address| assigned_network(task, address, state))
                .collect(),
            generic: task.generic.clone(),
            files: BTreeMap::new(),
        };
        assignment.provide(|kind, id| {
            let file = state.file(kind, id)?;
            Some(Arc::clone(&file.spec.content))
        });
        assignment
    }

    /// The secrets and configs that it needs: none any more once it is to stop.
    pub fn references(&self) -> impl Iterator<Item = (FileKind, &FileReference)> {
        let needed = self.desired <= TaskState::Running;
        let files = self.spec.task.container.all_files();
        files.filter(move |_| needed)
    }

    /// Gives it what it needs of secrets and configs, and nothing else.
    pub fn provide(&mut self, known: impl Fn(FileKind, Id) -> Option<Arc<FileContent>>) {
        let files = self.references().filter_map(|(kind, reference)| {
            let content = known(kind, reference.id)?;
            Some((reference.id, content))
        });
        self.files = files.collect();
    }

    /// `<service>.<slot>.<task id>` on `node`, which runs it.
    pub fn container_name(&self, node: Id) -> String {
        container_name(&self.spec, self.slot, Some(node), self.task)
    }
}

/// `None` for a network that is gone, as it may be once the task ended.
fn assigned_network(task: &Task, address: &TaskAddress, state: &State) -> Option<AssignedNetwork> {
    let network = state.network(address.network)?;
    let attachments = &task.spec.task.networks;
    let attachment = attachments.iter().find(|it| it.target == network.id);
    let attachment = attachment.cloned().unwrap_or_default();
    Some(AssignedNetwork {
        id: network.id,
        name: network.spec.name.clone(),
        subnets: network.subnets.clone(),
        internal: network.spec.internal,
        ingress: network.spec.ingress,
        attachable: network.spec.attachable,
        mtu: network.spec.mtu().unwrap_or_default(),
        addrs: address.addrs.clone(),
        aliases: attachment.aliases,
        driver_opts: attachment.driver_opts,
        ticket: Vec::new(),
    })
}
