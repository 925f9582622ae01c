//! What a node has to know of networks and services, so that it can route,
//! balance and resolve names by itself.
//!
//! That is where the data ports of nodes are, if not where the nodes are themselves;
//! everything on the networks that it has tasks or attached containers
//! on, and every published port: those answer on all nodes. Of the attachable
//! networks it knows, so that containers can be attached. It is plain data and made anew
//! from the state; what changed since is the difference of two of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::object::{Network, Service, Subnet};
use crate::spec::{PortSpec, Protocol, PublishMode, ServiceSpec};
use crate::state::State;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Directory {
    /// UDP, of the data plane on every node; zero: not known.
    pub data_port: u16,
    pub networks: BTreeMap<Id, DirectoryNetwork>,
    pub services: BTreeMap<Id, DirectoryService>,
    /// Those whose data port is elsewhere than they are.
    pub nodes: BTreeMap<Id, DirectoryNode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryNode {
    /// Where alone the data port answers.
    pub data_addr: IpAddr,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryNetwork {
    pub name: String,
    pub subnets: Vec<Subnet>,
    pub internal: bool,
    pub ingress: bool,
    /// Any container may be put on it, on any node.
    pub attachable: bool,
    /// See [`NetworkSpec::mtu`](crate::spec::NetworkSpec::mtu).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryService {
    pub name: String,
    /// Of those that the node knows.
    pub networks: BTreeMap<Id, DirectoryAttachment>,
    /// By `mode=ingress`; the tasks answer on the ingress network.
    pub ports: BTreeSet<DirectoryPort>,
    /// Of tasks that an update has not replaced yet, where theirs differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outdated: Vec<OutdatedPorts>,
}

/// Tasks that answer elsewhere than their service's spec says now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OutdatedPorts {
    pub tasks: BTreeSet<Id>,
    /// Of the service's published ports those that they answer for, with their
    /// own targets.
    pub ports: BTreeSet<DirectoryPort>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DirectoryAttachment {
    /// One of each family that the network has; none for `dnsrr`, or while
    /// none could be given.
    pub vips: Vec<IpAddr>,
    pub aliases: BTreeSet<String>,
}

/// `published` on the nodes is `target` in the tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DirectoryPort {
    pub protocol: Protocol,
    pub published: u16,
    pub target: u16,
    /// `None`: on all addresses of every node.
    pub host_ip: Option<IpAddr>,
}

/// From one directory to a later one: by id what is new there, or `None` for
/// what is there no more.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DirectoryDelta {
    /// `None`: as it was.
    pub data_port: Option<u16>,
    pub networks: BTreeMap<Id, Option<DirectoryNetwork>>,
    pub services: BTreeMap<Id, Option<DirectoryService>>,
    pub nodes: BTreeMap<Id, Option<DirectoryNode>>,
}

/// Follows the directory of one node. Most changes of the state concern none:
/// to see that takes a glance at each service, and no copy.
#[derive(Debug, Default)]
pub struct Follower {
    made_of: Option<Sources>,
}

#[derive(Debug)]
struct Sources {
    data_port: u16,
    known: BTreeSet<Id>,
    data_addrs: BTreeMap<Id, IpAddr>,
    networks: Vec<Arc<Network>>,
    services: Vec<Arc<Service>>,
    /// What depends on tasks too.
    outdated: Vec<Vec<OutdatedPorts>>,
}

impl Follower {
    /// The directory of `node`; `None` where it is as at the last call.
    pub fn look(&mut self, state: &State, node: Id) -> Option<Directory> {
        let known = state.networks_of(node);
        let data_port = state.data_port();
        let outdated: Vec<_> = state
            .services()
            .map(|it| state.outdated_ports(it))
            .filter(|outdated| !outdated.is_empty())
            .collect();
        if let Some(before) = &self.made_of
            && before.data_port == data_port
            && before.known == known
            && before.outdated == outdated
            && before.data_addrs == *state.data_addrs()
            && are_the_same(&before.networks, state.networks())
            && are_the_same(&before.services, state.services())
        {
            return None;
        }
        self.made_of = Some(Sources {
            data_port,
            known,
            outdated,
            data_addrs: state.data_addrs().clone(),
            networks: state.networks().cloned().collect(),
            services: state.services().cloned().collect(),
        });
        Some(state.directory(node))
    }
}

/// A changed object is another one: those that are held here stay as they are.
fn are_the_same<'a, T: 'a>(
    before: &[Arc<T>],
    now: impl ExactSizeIterator<Item = &'a Arc<T>>,
) -> bool {
    before.len() == now.len() && before.iter().zip(now).all(|(a, b)| Arc::ptr_eq(a, b))
}

impl State {
    /// What `node` has to know. Its cost grows with the tasks of the node and
    /// the services of the swarm.
    pub fn directory(&self, node: Id) -> Directory {
        let known = self.networks_of(node);
        let networks = self.networks();
        let networks = networks.filter(|it| it.spec.attachable || known.contains(&it.id));
        let networks = networks.map(|network| {
            let spec = &network.spec;
            let shown = DirectoryNetwork {
                name: spec.name.clone(),
                subnets: network.subnets.clone(),
                internal: spec.internal,
                ingress: spec.ingress,
                attachable: spec.attachable,
                mtu: spec.mtu().unwrap_or_default(),
            };
            (network.id, shown)
        });
        let services = self.services().filter_map(|service| {
            let shown = self.directory_service(service, &known)?;
            Some((service.id, shown))
        });
        let nodes = self.data_addrs().iter();
        let nodes = nodes.map(|(id, &data_addr)| (*id, DirectoryNode { data_addr }));
        Directory {
            data_port: self.data_port(),
            networks: networks.collect(),
            services: services.collect(),
            nodes: nodes.collect(),
        }
    }

    fn data_port(&self) -> u16 {
        self.cluster().map_or(0, |it| it.spec.data_path_port)
    }

    /// Where its tasks are, until they ended, and its attached containers, and
    /// what ports are published on.
    fn networks_of(&self, node: Id) -> BTreeSet<Id> {
        let tasks = self.tasks_of_node(node);
        let open = tasks.filter(|task| !task.status.state.is_final());
        let addresses = open.flat_map(|task| &task.addresses);
        let ingress = self.ingress_network().map(|network| network.id);
        let attached = self.attachments_of_node(node).map(|it| it.network);
        let tasks = addresses.map(|it| it.network);
        tasks.chain(attached).chain(ingress).collect()
    }

    /// `None`: the node has nothing to do with it.
    fn directory_service(
        &self,
        service: &Service,
        known: &BTreeSet<Id>,
    ) -> Option<DirectoryService> {
        let attachments = service.spec.task.networks.iter();
        let networks: BTreeMap<Id, DirectoryAttachment> = attachments
            .filter(|attachment| known.contains(&attachment.target))
            .map(|attachment| {
                let network = attachment.target;
                let vips = service.endpoint.vips.iter();
                let vips = vips.filter(|vip| vip.network == network);
                let shown = DirectoryAttachment {
                    vips: vips.map(|vip| vip.addr.addr()).collect(),
                    aliases: attachment.aliases.iter().cloned().collect(),
                };
                (network, shown)
            })
            .collect();
        let ports = ingress_ports(&service.endpoint.ports);
        (!networks.is_empty() || !ports.is_empty()).then(|| DirectoryService {
            name: service.spec.name.clone(),
            networks,
            outdated: self.outdated_ports(service),
            ports,
        })
    }

    /// None but while an update changes what published ports lead to.
    fn outdated_ports(&self, service: &Service) -> Vec<OutdatedPorts> {
        let ports = ingress_ports(&service.endpoint.ports);
        if ports.is_empty() || !service.is_updating() {
            return Vec::new();
        }
        // Few specs, and many tasks of each.
        let specs = self.specs_of_tasks(service.id);
        let older: BTreeMap<u64, BTreeSet<DirectoryPort>> = specs
            .map(|(version, spec)| (version, outdated(&ports, spec)))
            .filter(|(_, own)| *own != ports)
            .collect();
        if older.is_empty() {
            return Vec::new();
        }
        let mut by_ports: BTreeMap<&BTreeSet<DirectoryPort>, BTreeSet<Id>> = BTreeMap::new();
        let tasks = self.tasks_of_service(service.id);
        for task in tasks.filter(|task| !task.status.state.is_final()) {
            if let Some(own) = older.get(&task.spec_version) {
                by_ports.entry(own).or_default().insert(task.id);
            }
        }
        let grouped = by_ports.into_iter();
        grouped
            .map(|(ports, tasks)| OutdatedPorts {
                tasks,
                ports: ports.clone(),
            })
            .collect()
    }
}

/// The ports as the tasks of an older spec answer for them.
fn outdated(ports: &BTreeSet<DirectoryPort>, spec: &ServiceSpec) -> BTreeSet<DirectoryPort> {
    let own = ingress_ports(spec.ports());
    let as_before = |port: &DirectoryPort| {
        let like = || {
            let asked = (port.protocol, port.host_ip);
            own.iter()
                .filter(move |it| (it.protocol, it.host_ip) == asked)
        };
        let same = like().find(|it| it.published == port.published);
        // One that was picked is not in the spec.
        let picked = || like().find(|it| it.published == 0 && it.target == port.target);
        let found = same.or_else(picked)?;
        Some(DirectoryPort {
            target: found.target,
            ..*port
        })
    };
    ports.iter().filter_map(as_before).collect()
}

fn ingress_ports(ports: &[PortSpec]) -> BTreeSet<DirectoryPort> {
    let ingress = ports.iter().filter(|it| it.mode == PublishMode::Ingress);
    ingress.map(directory_port).collect()
}

fn directory_port(port: &PortSpec) -> DirectoryPort {
    DirectoryPort {
        protocol: port.protocol,
        published: port.published,
        target: port.target,
        host_ip: port.host_ip,
    }
}

impl Directory {
    pub fn since(&self, before: &Self) -> DirectoryDelta {
        DirectoryDelta {
            data_port: (self.data_port != before.data_port).then_some(self.data_port),
            networks: difference(&before.networks, &self.networks),
            services: difference(&before.services, &self.services),
            nodes: difference(&before.nodes, &self.nodes),
        }
    }

    pub fn apply(&mut self, delta: DirectoryDelta) {
        self.data_port = delta.data_port.unwrap_or(self.data_port);
        merge(&mut self.networks, delta.networks);
        merge(&mut self.services, delta.services);
        merge(&mut self.nodes, delta.nodes);
    }
}

impl DirectoryDelta {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what comes after it.
    pub fn extend(&mut self, later: Self) {
        self.data_port = later.data_port.or(self.data_port);
        self.networks.extend(later.networks);
        self.services.extend(later.services);
        self.nodes.extend(later.nodes);
    }
}

fn difference<T: Clone + PartialEq>(
    before: &BTreeMap<Id, T>,
    after: &BTreeMap<Id, T>,
) -> BTreeMap<Id, Option<T>> {
    let gone = before.keys().filter(|id| !after.contains_key(id));
    let gone = gone.map(|id| (*id, None));
    let new = after.iter().filter(|(id, it)| before.get(id) != Some(it));
    let new = new.map(|(id, it)| (*id, Some(it.clone())));
    gone.chain(new).collect()
}

fn merge<T>(into: &mut BTreeMap<Id, T>, changes: BTreeMap<Id, Option<T>>) {
    for (id, change) in changes {
        match change {
            Some(it) => into.insert(id, it),
            None => into.remove(&id),
        };
    }
}
