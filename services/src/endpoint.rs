//! What a service's endpoint must have, and what of it is settled already.
//!
//! What a spec names (a port, a VIP) is taken in the same step as the spec
//! itself, or the spec is refused and told who has it. What it leaves open is
//! chosen by the plan afterwards. After a rollback something may be missing
//! that was taken by another since; the service waits until it is free.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::address::{Holder, Pool, in_net};
use crate::command::{Refusal, RefusalKind};
use crate::id::Id;
use crate::object::{Endpoint, Vip};
use crate::spec::{EndpointMode, PortSpec, PublishMode, ServiceSpec};
use crate::state::State;

/// Where the plan picks published ports that nobody named, as Docker does.
pub(crate) const PICKED_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;
pub(crate) const NO_INGRESS: &str =
    "service needs ingress network, but no ingress network is present";

/// One VIP that a service is to have.
pub(crate) struct WantedVip {
    pub(crate) network: Id,
    /// Place and address of the subnet within the network.
    pub(crate) subnet: usize,
    pub(crate) net: IpNet,
    /// The address that the user named.
    pub(crate) said: Option<IpAddr>,
}

/// In the order of the spec, each once.
fn attached(spec: &ServiceSpec) -> impl Iterator<Item = Id> {
    let mut seen = BTreeSet::new();
    let targets = spec.task.networks.iter().map(|it| it.target);
    targets.filter(move |target| seen.insert(*target))
}

impl State {
    /// The networks that a task of this spec is on.
    ///
    /// # Errors
    /// Which of them does not exist.
    pub(crate) fn task_networks(&self, spec: &ServiceSpec) -> Result<Vec<Id>, Refusal> {
        let mut networks = Vec::new();
        for id in attached(spec) {
            if self.network(id).is_none() {
                let text = format!("network {id} not found");
                return Err(RefusalKind::NotFound.because(text));
            }
            networks.push(id);
        }
        if spec.has_ingress_ports() {
            let missing = || RefusalKind::FailedPrecondition.because(NO_INGRESS);
            let ingress = self.ingress_network().ok_or_else(missing)?;
            networks.push(ingress.id);
        }
        Ok(networks)
    }

    /// None for what is not there.
    pub(crate) fn wanted_vips(&self, spec: &ServiceSpec) -> Vec<WantedVip> {
        if spec.endpoint_mode() == EndpointMode::Dnsrr {
            return Vec::new();
        }
        let mut wanted = Vec::new();
        for network in attached(spec) {
            let said = spec.static_vips(network);
            let subnets = self.pool(network).map_or(&[][..], |pool| &pool.subnets);
            for (subnet, pool) in subnets.iter().enumerate() {
                let net = pool.net;
                let said = said.iter().copied().find(|addr| net.contains(addr));
                wanted.push(WantedVip {
                    network,
                    subnet,
                    net,
                    said,
                });
            }
        }
        wanted
    }

    /// Whether nothing that the spec asks for is missing.
    pub(crate) fn is_whole(&self, spec: &ServiceSpec, endpoint: &Endpoint) -> bool {
        spec.ports().len() == endpoint.ports.len()
            && (!spec.is_on_networks()
                || (self.task_networks(spec).is_ok()
                    && self.wanted_vips(spec).len() == endpoint.vips.len()))
    }

    /// What the service has of `spec` without anybody choosing: all that the
    /// spec names and no other has, and what was picked for it `before`.
    pub(crate) fn settled_endpoint(
        &self,
        id: Id,
        spec: &ServiceSpec,
        before: &Endpoint,
    ) -> Endpoint {
        let named: Vec<&PortSpec> = spec
            .ports()
            .iter()
            .filter(|port| !port.is_picked() && self.holder_of_port(port, id).is_none())
            .collect();
        let keep = |port: &PortSpec| {
            let mut kept = before.ports.iter().filter(|old| {
                **old == port.with_published(old.published) && PICKED_PORTS.contains(&old.published)
            });
            kept.find(|old| !named.iter().any(|named| named.collides_with(old)))
                .cloned()
        };
        let settled = |port: &PortSpec| match port.is_picked() {
            true => keep(port),
            false => named.contains(&port).then(|| port.clone()),
        };
        let vips = self.wanted_vips(spec).into_iter();
        Endpoint {
            ports: spec.ports().iter().filter_map(settled).collect(),
            vips: vips
                .filter_map(|vip| self.settled_vip(id, &vip, before))
                .collect(),
        }
    }

    /// That which was named, or was picked `before`.
    pub(crate) fn settled_vip(&self, id: Id, wanted: &WantedVip, before: &Endpoint) -> Option<Vip> {
        let network = wanted.network;
        if let Some(addr) = wanted.said {
            let open = self.pool(network)?.is_open_to(addr, Holder::Service(id));
            let addr = in_net(addr, wanted.net);
            return open.then_some(Vip { network, addr });
        }
        let mut vips = before.vips.iter().copied();
        vips.find(|vip| vip.network == network && wanted.net.contains(&vip.addr.addr()))
    }

    /// The endpoint with what was picked; `None` where that does not fit, or
    /// something of it is no longer free.
    pub(crate) fn whole_endpoint(
        &self,
        id: Id,
        spec: &ServiceSpec,
        published: &[u16],
        vips: &[Vip],
    ) -> Option<Endpoint> {
        let mut picked = published.iter().copied();
        let mut ports: Vec<PortSpec> = Vec::with_capacity(spec.ports().len());
        for port in spec.ports() {
            let mut port = port.clone();
            if port.is_picked() {
                port.published = picked.next().filter(|it| PICKED_PORTS.contains(it))?;
            }
            let own = ports.iter().any(|other| port.collides_with(other));
            if own || self.is_own_port(&port) || self.holder_of_port(&port, id).is_some() {
                return None;
            }
            ports.push(port);
        }
        self.task_networks(spec).ok()?;
        let wanted = self.wanted_vips(spec);
        let fits = |(wanted, vip): (&WantedVip, &Vip)| {
            let addr = vip.addr.addr();
            wanted.network == vip.network
                && wanted.net.contains(&addr)
                && in_net(addr, wanted.net) == vip.addr
                && wanted.said.is_none_or(|said| said == addr)
                && self
                    .pool(vip.network)
                    .is_some_and(|pool| pool.is_open_to(addr, Holder::Service(id)))
        };
        let whole = picked.next().is_none()
            && wanted.len() == vips.len()
            && wanted.iter().zip(vips).all(fits);
        whole.then(|| Endpoint {
            ports,
            vips: vips.to_vec(),
        })
    }

    /// Why a service cannot have what this spec names.
    ///
    /// # Errors
    /// In Docker's words, naming who has it.
    pub(crate) fn check_endpoint(&self, id: Id, spec: &ServiceSpec) -> Result<(), Refusal> {
        for network in attached(spec) {
            let found = self.network(network).filter(|it| it.spec.ingress);
            if let Some(ingress) = found {
                return Err(invalid(format!(
                    "Service cannot be explicitly attached to the ingress network {:?}",
                    ingress.spec.name
                )));
            }
        }
        // A swarm that is being made has its ingress network in a moment.
        if self.had_ingress() || !spec.has_ingress_ports() {
            self.task_networks(spec)?;
        }
        for port in spec.ports() {
            if let Some(refusal) = self.port_conflict(id, port) {
                return Err(refusal);
            }
        }
        for attachment in &spec.task.networks {
            for &addr in &attachment.addresses {
                self.check_fixed_address(id, attachment.target, addr)?;
            }
        }
        let addresses = spec.endpoint.iter().flat_map(|it| &it.addresses);
        for (&network, addrs) in addresses {
            for &addr in addrs {
                self.check_vip(id, spec, network, addr)?;
            }
        }
        Ok(())
    }

    /// Docker's text where another service has the port.
    pub(crate) fn port_conflict(&self, id: Id, port: &PortSpec) -> Option<Refusal> {
        if self.is_own_port(port) {
            let number = port.published;
            return Some(invalid(format!(
                "port '{number}' is already in use: the nodes of the swarm talk on {number}/udp"
            )));
        }
        let (owner, taken) = self.holder_of_port(port, id)?;
        let name = self.service(owner).map_or("", |it| it.spec.name.as_str());
        let how = match taken.mode {
            PublishMode::Ingress => "an ingress port",
            PublishMode::Host => "a host-published port",
        };
        let number = port.published;
        Some(invalid(format!(
            "port '{number}' is already in use by service '{name}' ({owner}) as {how}"
        )))
    }

    fn check_vip(
        &self,
        id: Id,
        spec: &ServiceSpec,
        network: Id,
        addr: IpAddr,
    ) -> Result<(), Refusal> {
        let attached = attached(spec).any(|target| target == network);
        let Some(pool) = self.pool(network).filter(|_| attached) else {
            return Err(invalid(format!(
                "address {addr} is for network {network}, which the service is not attached to"
            )));
        };
        match self.address_conflict(Holder::Service(id), network, addr) {
            Some(refusal) => Err(refusal),
            None => self.check_subnet(pool, network, addr),
        }
    }

    fn check_fixed_address(&self, id: Id, network: Id, addr: IpAddr) -> Result<(), Refusal> {
        match self.fixed_address_conflict(id, network, addr) {
            Some(refusal) => Err(refusal),
            None => self
                .pool(network)
                .map_or(Ok(()), |pool| self.check_subnet(pool, network, addr)),
        }
    }

    fn check_subnet(&self, pool: &Pool, network: Id, addr: IpAddr) -> Result<(), Refusal> {
        match pool.subnet_of(addr) {
            Some(_) => Ok(()),
            None => Err(invalid(format!(
                "address {addr} is in no subnet of network {}",
                self.network_name(network)
            ))),
        }
    }

    /// Who but the service and its tasks has the address that it names for them.
    /// What it names already it may go on naming: after a rollback two may.
    fn fixed_address_conflict(&self, service: Id, network: Id, addr: IpAddr) -> Option<Refusal> {
        let pool = self.pool(network)?;
        if pool.named_by(addr).any(|it| it == service) {
            return None;
        }
        let is_own = |task: Id| self.task(task).is_some_and(|it| it.service == service);
        match pool.holder(addr) {
            Some(Holder::Task(task)) if is_own(task) => None,
            Some(holder) => Some(self.in_use(network, addr, holder)),
            None => {
                let other = pool.named_by(addr).next().map(Holder::Service);
                other.map(|other| self.in_use(network, addr, other))
            }
        }
    }

    /// Who else has the address.
    pub(crate) fn address_conflict(
        &self,
        holder: Holder,
        network: Id,
        addr: IpAddr,
    ) -> Option<Refusal> {
        let pool = self.pool(network)?;
        let others = || pool.named_by(addr).map(Holder::Service);
        let named = || others().find(|it| *it != holder);
        match pool.holder(addr) {
            Some(owner) if owner == holder => None,
            Some(owner) => Some(self.in_use(network, addr, owner)),
            None => named().map(|owner| self.in_use(network, addr, owner)),
        }
    }

    /// Why a task waits for an address that another one has.
    pub(crate) fn still_held(&self, network: Id, addr: IpAddr) -> String {
        let holder = self.pool(network).and_then(|pool| pool.holder(addr));
        holder.map_or_else(String::new, |holder| {
            self.in_use(network, addr, holder).message
        })
    }

    fn in_use(&self, network: Id, addr: IpAddr, owner: Holder) -> Refusal {
        let owner = match owner {
            Holder::Service(owner) => match self.service(owner) {
                Some(service) => format!("service '{}' ({owner})", service.spec.name),
                None => format!("service {owner}"),
            },
            Holder::Task(task) => format!("task {task}"),
            Holder::Attachment(attachment) => match self.attachment(attachment) {
                Some(it) => format!("a container of node {}", it.node),
                None => "a container".to_owned(),
            },
            Holder::Nobody => "the network itself".to_owned(),
        };
        let name = self.network_name(network);
        invalid(format!(
            "address {addr} of network {name} is already in use by {owner}"
        ))
    }

    /// Why nothing can be picked in the network's subnet at this place.
    pub(crate) fn exhausted(&self, network: Id, subnet: usize) -> String {
        let net = self.pool(network).and_then(|pool| pool.subnets.get(subnet));
        let net = net.map_or_else(String::new, |subnet| subnet.to_string());
        let family = if net.contains(':') { "IPv6" } else { "IPv4" };
        let name = self.network_name(network);
        format!(
            "no available {family} addresses on this network's address pools: {name} ({network}): \
             all of {net} are in use"
        )
    }

    pub(crate) fn network_name(&self, id: Id) -> String {
        let named = |network: &std::sync::Arc<crate::object::Network>| network.spec.name.clone();
        self.network(id).map_or_else(|| id.to_string(), named)
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    RefusalKind::InvalidArgument.because(message)
}
