//! Networks, and who holds which address and which published port.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::address::{Holder, Pool};
use crate::command::Refusal;
use crate::id::Id;
use crate::object::{Attachment, Endpoint, Network, Service, Task, TaskState};
use crate::spec::{PortSpec, Protocol, PublishMode, ServiceSpec};
use crate::state::{State, find};

/// The part of the state that says who is where. All of it but the cursors
/// of the pools follows from the objects.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Networks {
    by_id: BTreeMap<Id, Arc<Network>>,
    /// By lower-case name, as services.
    by_name: BTreeMap<String, Id>,
    pools: BTreeMap<Id, Arc<Pool>>,
    pub(super) attachments: BTreeMap<Id, Arc<Attachment>>,
    pub(super) attachments_by_node: BTreeMap<Id, BTreeSet<Id>>,
    /// Of services that were given them; in host mode by several.
    ports: BTreeMap<(Protocol, u16), Vec<(Id, PortSpec)>>,
    /// The swarm had its ingress network, even if a user removed it since.
    pub(super) had_ingress: bool,
}

/// Reading.
impl State {
    pub fn network(&self, id: Id) -> Option<&Arc<Network>> {
        self.networks.by_id.get(&id)
    }

    /// In the order of their ids.
    pub fn networks(&self) -> impl ExactSizeIterator<Item = &Arc<Network>> {
        self.networks.by_id.values()
    }

    /// By full id, else exact name, else the one id that starts so.
    ///
    /// # Errors
    /// As [`State::find_service`].
    pub fn find_network(&self, text: &str) -> Result<&Arc<Network>, Refusal> {
        let by_name = self.network_named(text).map(|network| network.id);
        find("network", text, &self.networks.by_id, by_name.into_iter())
    }

    /// The network that published ports go through, unless it was removed.
    pub fn ingress_network(&self) -> Option<&Arc<Network>> {
        self.networks().find(|network| network.spec.ingress)
    }

    /// A service that is on the network, or has ports that go through it.
    pub fn service_on(&self, network: &Network) -> Option<&Arc<Service>> {
        let is_on = |spec: &ServiceSpec| {
            let mut targets = spec.task.networks.iter().map(|it| it.target);
            (network.spec.ingress && spec.has_ingress_ports()) || targets.any(|it| it == network.id)
        };
        self.services().find(|service| is_on(&service.spec))
    }

    /// Whether something keeps the network from being removed: a service, or a
    /// task or container that has an address of it.
    pub fn is_used(&self, network: &Network) -> bool {
        let has_users = |pool: &Pool| pool.users().next().is_some();
        self.service_on(network).is_some() || self.pool(network.id).is_some_and(has_users)
    }

    pub(crate) fn had_ingress(&self) -> bool {
        self.networks.had_ingress
    }

    pub(crate) fn network_named(&self, name: &str) -> Option<&Arc<Network>> {
        self.network(*self.networks.by_name.get(&name.to_lowercase())?)
    }

    pub(crate) fn pool(&self, network: Id) -> Option<&Pool> {
        self.networks.pools.get(&network).map(Arc::as_ref)
    }

    /// Whether the swarm itself talks there, on some node or on all.
    pub(crate) fn is_own_port(&self, port: &PortSpec) -> bool {
        let number = port.published;
        let is_of_data = || {
            let cluster = self.cluster();
            cluster.is_some_and(|cluster| cluster.spec.data_path_port == number)
        };
        let is_of_control = || self.nodes().any(|node| node.addr.port() == number);
        port.protocol == Protocol::Udp && number != 0 && (is_of_data() || is_of_control())
    }

    /// Who has a port that clients could not tell from this one; two services
    /// in host mode may, on different nodes.
    pub(crate) fn holder_of_port(&self, port: &PortSpec, but: Id) -> Option<(Id, &PortSpec)> {
        let holders = self.networks.ports.get(&(port.protocol, port.published))?;
        let both_host =
            |other: &PortSpec| [port.mode, other.mode] == [PublishMode::Host, PublishMode::Host];
        holders
            .iter()
            .find(|(id, other)| *id != but && port.collides_with(other) && !both_host(other))
            .map(|(id, other)| (*id, other))
    }
}

/// What a snapshot needs beside the objects.
impl State {
    pub(crate) fn cursors(&self, network: Id) -> Vec<Option<IpAddr>> {
        let subnets = self.pool(network).map_or(&[][..], |pool| &pool.subnets);
        subnets.iter().map(|subnet| subnet.cursor).collect()
    }

    pub(crate) fn set_cursors(&mut self, network: Id, cursors: &[Option<IpAddr>]) {
        if let Some(pool) = self.pool_mut(network) {
            for (subnet, cursor) in pool.subnets.iter_mut().zip(cursors) {
                subnet.cursor = *cursor;
            }
        }
    }

    pub(crate) fn set_had_ingress(&mut self) {
        self.networks.had_ingress = true;
    }
}

/// Writes, which keep the indexes true.
impl State {
    pub(crate) fn put_network(&mut self, network: Network) {
        let networks = &mut self.networks;
        networks.had_ingress |= network.spec.ingress;
        networks
            .by_name
            .insert(network.spec.name.to_lowercase(), network.id);
        networks
            .pools
            .insert(network.id, Arc::new(Pool::of(&network)));
        networks.by_id.insert(network.id, Arc::new(network));
    }

    pub(crate) fn drop_network(&mut self, id: Id) {
        if let Some(network) = self.networks.by_id.remove(&id) {
            let name = network.spec.name.to_lowercase();
            self.networks.by_name.remove(&name);
            self.networks.pools.remove(&id);
        }
    }

    /// The address was chosen by the plan.
    pub(crate) fn picked(&mut self, network: Id, addr: IpAddr) {
        if let Some(pool) = self.pool_mut(network) {
            pool.picked(addr);
        }
    }

    pub(super) fn take_endpoint(&mut self, service: &Service) {
        for port in service.endpoint.ports.iter().filter(|it| it.published != 0) {
            let key = (port.protocol, port.published);
            let holders = self.networks.ports.entry(key).or_default();
            holders.push((service.id, port.clone()));
            // Whatever their order was when they came.
            holders.sort_by_key(|(id, port)| (*id, port.host_ip, port.target));
        }
        for vip in &service.endpoint.vips {
            if let Some(pool) = self.pool_mut(vip.network) {
                pool.hold(vip.addr.addr(), Holder::Service(service.id));
            }
        }
    }

    /// Keeps the addresses that the service's spec names for its task.
    pub(super) fn name_addresses(&mut self, id: Id, spec: &ServiceSpec) {
        for (network, addr) in fixed_addresses(spec) {
            if let Some(pool) = self.pool_mut(network) {
                pool.name(addr, id);
            }
        }
    }

    pub(super) fn unname_addresses(&mut self, id: Id, spec: &ServiceSpec) {
        for (network, addr) in fixed_addresses(spec) {
            if let Some(pool) = self.pool_mut(network) {
                pool.unname(addr, id);
            }
        }
    }

    pub(super) fn release_endpoint(&mut self, service: Id, endpoint: &Endpoint) {
        for port in &endpoint.ports {
            let key = (port.protocol, port.published);
            let ports = &mut self.networks.ports;
            if let Some(holders) = ports.get_mut(&key) {
                holders.retain(|(id, _)| *id != service);
                if holders.is_empty() {
                    ports.remove(&key);
                }
            }
        }
        for vip in &endpoint.vips {
            if let Some(pool) = self.pool_mut(vip.network) {
                pool.release(vip.addr.addr(), Holder::Service(service));
            }
        }
    }

    /// Takes or gives back the addresses of a task, as it needs them.
    pub(super) fn settle_addresses(&mut self, task: &Task) {
        let holds = self.holds_addresses(task);
        self.hold_addresses(task, holds);
    }

    pub(super) fn release_addresses(&mut self, task: &Task) {
        self.hold_addresses(task, false);
    }

    fn hold_addresses(&mut self, task: &Task, holds: bool) {
        let holder = Holder::Task(task.id);
        for address in &task.addresses {
            for addr in address.addrs.iter().map(ipnet::IpNet::addr) {
                let pool = self.pool(address.network);
                let held = pool.is_some_and(|pool| pool.holder(addr) == Some(holder));
                if held == holds {
                    // A pool that others share is not copied for nothing.
                    continue;
                }
                let Some(pool) = self.pool_mut(address.network) else {
                    continue;
                };
                match holds {
                    true => pool.hold(addr, holder),
                    false => pool.release(addr, holder),
                }
            }
        }
    }

    /// A task that was given up may still run where nobody sees it, as long
    /// as its node may come back.
    fn holds_addresses(&self, task: &Task) -> bool {
        let may_come_back = || task.node.is_some_and(|node| self.node(node).is_some());
        match task.status.state {
            TaskState::Orphaned => may_come_back(),
            state => !state.is_final(),
        }
    }

    pub(super) fn pool_mut(&mut self, network: Id) -> Option<&mut Pool> {
        self.networks.pools.get_mut(&network).map(Arc::make_mut)
    }
}

fn fixed_addresses(spec: &ServiceSpec) -> impl Iterator<Item = (Id, IpAddr)> {
    let networks = spec.task.networks.iter();
    networks.flat_map(|network| network.addresses.iter().map(|addr| (network.target, *addr)))
}
