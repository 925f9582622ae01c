//! Everything that the drivers need, derived from a [`View`] at once: who is
//! where, which network an address is on, what a VIP and a published port lead
//! to, what a name means. Rules, tunnel and name server read this and nothing
//! else, so they never disagree.
//!
//! Subnets of a swarm do not overlap: an address alone says its network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use certs::NodeId;
use ipnet::IpNet;

use crate::directory::{NO_SERVICE, Network, NetworkId, Port, Protocol, Service, TaskId};
use crate::view::{Endpoint, Local, View};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub me: NodeId,
    /// Where other hosts reach this one.
    pub host: BTreeSet<IpAddr>,
    pub networks: BTreeMap<NetworkId, Network>,
    /// The same subnets, by address.
    pub subnets: Subnets,
    /// Containers of this node. Only those whose address is in their network.
    pub locals: BTreeMap<IpAddr, Local>,
    /// Containers of others, drained and starting ones too.
    pub remotes: BTreeMap<IpAddr, Remote>,
    pub vips: BTreeMap<IpAddr, Vip>,
    /// What is published on this node.
    pub ports: BTreeMap<PublishedPort, Target>,
    /// Containers of this node that outside clients may reach through the TUN,
    /// and where in them.
    pub ingress: BTreeSet<(IpAddr, Protocol, u16)>,
    /// By network and lower-case name (a service's own, or an alias).
    pub names: BTreeMap<NetworkId, BTreeMap<String, Named>>,
    /// By network and lower-case name: containers of no service. The names of
    /// services go before theirs, which nobody but their node vouches for.
    pub containers: BTreeMap<NetworkId, BTreeMap<String, BTreeSet<IpAddr>>>,
    /// Containers of no service on this node. Nobody told them whom to ask for
    /// names.
    pub guests: BTreeSet<IpAddr>,
    pub peers: BTreeMap<NodeId, Vec<SocketAddr>>,
}

/// A container of another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote {
    pub node: NodeId,
    pub network: NetworkId,
}

/// An address that stands for a service on one network, whatever the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vip {
    pub network: NetworkId,
    /// Those that take new connections; of the VIP's family. Maybe none.
    pub backends: BTreeSet<IpAddr>,
}

/// What a client of a node sees. `host_ip: None` is on all its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishedPort {
    pub protocol: Protocol,
    pub number: u16,
    pub host_ip: Option<IpAddr>,
}

/// Where a published port leads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// Those that take new connections, each with its port; both families.
    /// Maybe none.
    pub backends: BTreeMap<IpAddr, u16>,
}

/// What a name means on one network. Services may share an alias: then it is
/// all that they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    pub vips: BTreeSet<IpAddr>,
    /// The tasks of services without VIP here, which the name means itself.
    pub direct: BTreeSet<IpAddr>,
    /// All tasks that take connections: what `tasks.NAME` means.
    pub tasks: BTreeSet<IpAddr>,
}

impl Table {
    pub fn derive(view: &View) -> Self {
        let directory = &view.directory;
        let subnets = Subnets::of(&directory.networks);
        let locals: BTreeMap<_, _> = view
            .locals
            .iter()
            .filter(|(addr, local)| subnets.network_of(**addr) == Some(local.network))
            .map(|(addr, local)| (*addr, local.clone()))
            .collect();
        let endpoints = Endpoints::of(view, &subnets, &locals);
        let mut table = Self {
            me: view.me,
            host: view.host.clone(),
            networks: directory.networks.clone(),
            subnets,
            locals,
            remotes: endpoints.remotes(view.me),
            vips: BTreeMap::new(),
            ports: BTreeMap::new(),
            ingress: BTreeSet::new(),
            names: BTreeMap::new(),
            containers: endpoints.containers(),
            guests: endpoints.guests(view.me),
            peers: view.peers.clone(),
        };
        table.publish_local_ports();
        for (id, service) in &directory.services {
            let ready = |network| endpoints.ready(*id, network);
            table.add_vips_and_names(service, ready);
            table.add_ports(service, |network| endpoints.backends(*id, network));
            table.add_ingress(service, |network| endpoints.local(view.me, *id, network));
        }
        let is_own = |port: &PublishedPort| {
            port.protocol == Protocol::Udp && view.own_ports.contains(&port.number)
        };
        table.ports.retain(|port, _| !is_own(port));
        table
    }

    /// Sends nobody to containers of other nodes at these addresses: routes of
    /// this host lead them elsewhere.
    pub fn avoid(&mut self, taken: &BTreeSet<IpNet>) {
        if taken.is_empty() {
            return;
        }
        let is_lost = |addr: &&IpAddr| taken.iter().any(|net| net.contains(*addr));
        let lost: BTreeSet<IpAddr> = self.remotes.keys().filter(is_lost).copied().collect();
        for vip in self.vips.values_mut() {
            vip.backends.retain(|addr| !lost.contains(addr));
        }
        for target in self.ports.values_mut() {
            target.backends.retain(|addr, _| !lost.contains(addr));
        }
        for named in self.names.values_mut().flat_map(BTreeMap::values_mut) {
            named.direct.retain(|addr| !lost.contains(addr));
            named.tasks.retain(|addr| !lost.contains(addr));
        }
    }

    /// The networks of the container that has `addr` on this node: all of
    /// them, by whichever it asks.
    pub fn networks_of(&self, addr: IpAddr) -> BTreeSet<NetworkId> {
        let Some(asking) = self.locals.get(&addr) else {
            return BTreeSet::new();
        };
        let same = |local: &&Local| local.sandbox == asking.sandbox;
        let networks = self.locals.values().filter(same);
        networks.map(|local| local.network).collect()
    }

    /// By sandbox, whether the container may speak to the world: it is on a
    /// network that is not internal. Publishing a port of a container opens no
    /// way out of it, but for one that is on no network besides.
    pub fn open_sandboxes(&self) -> BTreeMap<&str, bool> {
        let mut networks: BTreeMap<&str, Vec<&Network>> = BTreeMap::new();
        for local in self.locals.values() {
            let on = networks.entry(&local.sandbox).or_default();
            on.extend(self.networks.get(&local.network));
        }
        let is_open = |on: Vec<&Network>| {
            let mut own = on.iter().filter(|network| !network.ingress).peekable();
            own.peek().is_none() || own.any(|network| !network.internal)
        };
        let sandboxes = networks.into_iter();
        sandboxes.map(|(name, on)| (name, is_open(on))).collect()
    }

    /// The node where `addr` lives, if that is another one.
    pub fn node_of(&self, addr: IpAddr) -> Option<NodeId> {
        self.remotes.get(&addr).map(|remote| remote.node)
    }

    fn publish_local_ports(&mut self) {
        for (addr, local) in &self.locals {
            for port in &local.ports {
                let target = target(&mut self.ports, port);
                target.backends.insert(*addr, port.target);
            }
        }
    }

    fn add_vips_and_names(
        &mut self,
        service: &Service,
        ready: impl Fn(NetworkId) -> BTreeSet<IpAddr>,
    ) {
        for (id, attachment) in &service.networks {
            let Some(network) = self.networks.get(id) else {
                continue;
            };
            let named = !network.ingress;
            let tasks = ready(*id);
            for vip in &attachment.vips {
                if self.subnets.network_of(*vip) != Some(*id) {
                    continue;
                }
                let backends = of_family(&tasks, *vip).collect();
                let network = *id;
                self.vips.insert(*vip, Vip { network, backends });
            }
            if !named {
                continue;
            }
            let names = self.names.entry(*id).or_default();
            for name in attachment.aliases.iter().chain([&service.name]) {
                let meaning = names.entry(name.to_lowercase()).or_default();
                meaning.vips.extend(&attachment.vips);
                meaning.tasks.extend(&tasks);
                if attachment.vips.is_empty() {
                    meaning.direct.extend(&tasks);
                }
            }
        }
    }

    fn add_ports(&mut self, service: &Service, ready: impl Fn(NetworkId) -> Vec<Backend>) {
        for port in &service.ports {
            target(&mut self.ports, port);
        }
        let ingress = self.networks.iter().filter(|(_, network)| network.ingress);
        for (addr, task) in ingress.flat_map(|(id, _)| ready(*id)) {
            for port in service.ports_of(task) {
                let target = target(&mut self.ports, port);
                target.backends.insert(addr, port.target);
            }
        }
    }

    fn add_ingress(&mut self, service: &Service, local: impl Fn(NetworkId) -> Vec<Backend>) {
        let ingress = self.networks.iter().filter(|(_, network)| network.ingress);
        for (addr, task) in ingress.flat_map(|(id, _)| local(*id)) {
            let ports = service.ports_of(task).iter();
            self.ingress
                .extend(ports.map(|port| (addr, port.protocol, port.target)));
        }
    }
}

/// A task, and where it is.
type Backend = (IpAddr, TaskId);

fn target<'a>(ports: &'a mut BTreeMap<PublishedPort, Target>, port: &Port) -> &'a mut Target {
    let published = PublishedPort {
        protocol: port.protocol,
        number: port.published,
        host_ip: port.host_ip,
    };
    ports.entry(published).or_default()
}

fn of_family(addrs: &BTreeSet<IpAddr>, like: IpAddr) -> impl Iterator<Item = IpAddr> {
    let same = move |addr: &&IpAddr| addr.is_ipv4() == like.is_ipv4();
    addrs.iter().filter(same).copied()
}

/// Endpoints that a packet could reach: those of known networks, and of this
/// node only while the container is connected.
struct Endpoints<'a> {
    by_addr: BTreeMap<IpAddr, &'a Endpoint>,
    ready: BTreeMap<(u128, NetworkId), BTreeSet<IpAddr>>,
}

impl<'a> Endpoints<'a> {
    fn of(view: &'a View, subnets: &Subnets, locals: &BTreeMap<IpAddr, Local>) -> Self {
        let mut by_addr = BTreeMap::new();
        let mut ready: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for endpoint in &view.endpoints {
            let here = endpoint.node == view.me;
            let reachable = subnets.network_of(endpoint.addr) == Some(endpoint.network)
                && here == locals.contains_key(&endpoint.addr);
            if !reachable {
                continue;
            }
            by_addr.insert(endpoint.addr, endpoint);
            if endpoint.ready {
                let service = (endpoint.service, endpoint.network);
                ready.entry(service).or_default().insert(endpoint.addr);
            }
        }
        Self { by_addr, ready }
    }

    fn ready(&self, service: u128, network: NetworkId) -> BTreeSet<IpAddr> {
        let found = self.ready.get(&(service, network));
        found.cloned().unwrap_or_default()
    }

    fn backends(&self, service: u128, network: NetworkId) -> Vec<Backend> {
        let ready = self.ready.get(&(service, network)).into_iter().flatten();
        let known = ready.filter_map(|addr| self.by_addr.get(addr));
        known
            .map(|endpoint| (endpoint.addr, endpoint.task))
            .collect()
    }

    fn local(&self, me: NodeId, service: u128, network: NetworkId) -> Vec<Backend> {
        let here = self.by_addr.values().filter(|endpoint| {
            (endpoint.node, endpoint.service, endpoint.network) == (me, service, network)
        });
        here.map(|endpoint| (endpoint.addr, endpoint.task))
            .collect()
    }

    fn containers(&self) -> BTreeMap<NetworkId, BTreeMap<String, BTreeSet<IpAddr>>> {
        let mut containers: BTreeMap<_, BTreeMap<String, BTreeSet<_>>> = BTreeMap::new();
        let all = self.by_addr.values();
        for endpoint in all.filter(|it| it.service == NO_SERVICE) {
            for name in &endpoint.names {
                let names = containers.entry(endpoint.network).or_default();
                let meaning = names.entry(name.to_lowercase()).or_default();
                meaning.insert(endpoint.addr);
            }
        }
        containers
    }

    fn guests(&self, me: NodeId) -> BTreeSet<IpAddr> {
        let all = self.by_addr.iter();
        let guests = all.filter(|(_, at)| at.node == me && at.service == NO_SERVICE);
        guests.map(|(addr, _)| *addr).collect()
    }

    fn remotes(&self, me: NodeId) -> BTreeMap<IpAddr, Remote> {
        let others = self.by_addr.iter().filter(|(_, at)| at.node != me);
        let remote = |at: &Endpoint| Remote {
            node: at.node,
            network: at.network,
        };
        others.map(|(addr, at)| (*addr, remote(at))).collect()
    }
}

/// The subnets of all known networks, found by an address in them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subnets(
    /// By first address. They do not overlap.
    BTreeMap<IpAddr, (IpNet, NetworkId)>,
);

impl Subnets {
    fn of(networks: &BTreeMap<NetworkId, Network>) -> Self {
        let all = networks.iter().flat_map(|(id, network)| {
            let subnets = network.subnets.iter();
            subnets.map(|net| (*net, *id))
        });
        all.collect()
    }

    /// `None`: `addr` is outside the overlay, as far as this node knows.
    pub fn network_of(&self, addr: IpAddr) -> Option<NetworkId> {
        let (_, (net, id)) = self.0.range(..=addr).next_back()?;
        net.contains(&addr).then_some(*id)
    }

    pub fn contains(&self, addr: IpAddr) -> bool {
        self.network_of(addr).is_some()
    }

    pub fn iter(&self) -> impl Iterator<Item = (IpNet, NetworkId)> {
        self.0.values().copied()
    }
}

impl FromIterator<(IpNet, NetworkId)> for Subnets {
    fn from_iter<T: IntoIterator<Item = (IpNet, NetworkId)>>(subnets: T) -> Self {
        let subnets = subnets.into_iter();
        Self(
            subnets
                .map(|(net, id)| (net.network(), (net.trunc(), id)))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests;
