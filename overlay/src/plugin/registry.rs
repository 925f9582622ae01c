//! What the driver has promised the engine, and what it will promise next.
//!
//! The engine names its networks and endpoints by ids of its own. A network of
//! the engine stands for one of the swarm's; an endpoint is a container's place
//! on it, with the addresses that the plan chose. Between `Join` and `Leave` an
//! endpoint has a *link*, a veth pair, and its addresses are local here.
//!
//! A container reaches everything through its network's own gateway, also its
//! neighbours: one on-link route to the gateway and two halves of the subnet,
//! which win over the subnet's own route. So it resolves a single hardware
//! address, and what happens to its packets is up to the host. The gateway must
//! be each network's own: a route that a second network's endpoint repeats fails
//! the whole `Join`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Refusal;
use super::attach::AttachmentId;
use super::attachments::Attachment;
use super::protocol::{CreateEndpoint, CreateNetwork, InterfaceName, JoinAnswer, RouteKind};
use super::protocol::{PortRange, StaticRoute, format_id, parse_id};
use crate::directory::{NetworkId, Port};
use crate::view::Local;

/// For any port, as the host may offer what a container is about to have.
const TRIES: usize = 16;
/// Digits of a link's own part of its name.
const LINK_DIGITS: usize = 6;

/// Addresses that a container on this node may have, and on which network.
pub type Expected = BTreeSet<(NetworkId, IpAddr)>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    pub(super) networks: BTreeMap<String, Network>,
    pub(super) endpoints: BTreeMap<String, Endpoint>,
    pub(super) attachments: BTreeMap<AttachmentId, Attachment>,
}

/// A network of the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Network {
    #[serde(with = "id_as_text")]
    id: NetworkId,
    /// Each with its gateway.
    subnets: Vec<(IpNet, IpAddr)>,
    /// What its containers send at most, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mtu: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Endpoint {
    /// As the engine calls it.
    network: String,
    addresses: Vec<IpAddr>,
    ports: BTreeSet<Port>,
    joined: Option<Joined>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Joined {
    sandbox: String,
    veth: String,
}

/// A veth pair as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The host's end.
    pub host: String,
    /// The container's end, until the engine takes it.
    pub container: String,
    /// What the host's end answers for.
    pub gateways: Vec<IpAddr>,
    /// What is behind it.
    pub addresses: Vec<IpAddr>,
    /// Of packets through both ends, in bytes; `None`: as many as the tunnel
    /// carries, which is the most in any case.
    pub mtu: Option<u16>,
}

impl Registry {
    /// Takes in the engine's network; one of that name is forgotten.
    pub fn create_network(&mut self, call: &CreateNetwork) -> Result<(), Refusal> {
        let network = Network {
            id: call.swarm_network()?,
            subnets: call.subnets()?,
            mtu: call.mtu()?,
        };
        self.networks.insert(call.network.clone(), network);
        Ok(())
    }

    /// Forgets a network with its endpoints; returns links to delete.
    pub fn delete_network(&mut self, network: &str) -> Vec<String> {
        self.networks.remove(network);
        let links = self.forget(|_, endpoint| endpoint.network == network);
        self.end_attachments();
        links
    }

    /// Takes in an endpoint, if the plan or an attachment knows of it. Returns the hardware
    /// address that the driver gives it, and the links of endpoints that had
    /// one of its addresses: the engine gives none twice, so they are dead.
    pub fn create_endpoint(
        &mut self,
        call: &CreateEndpoint,
        expected: &Expected,
    ) -> Result<(Option<[u8; 6]>, Vec<String>), Refusal> {
        let network = self.network(&call.network)?.id;
        let addresses = call.addresses()?;
        if let Some(stray) = addresses
            .iter()
            .find(|&&a| !expected.contains(&(network, a)) && !self.is_attached(network, a))
        {
            return Err(Refusal::Unexpected(*stray));
        }
        let dead = self.forget(|id, endpoint| {
            id == &call.endpoint || endpoint.addresses.iter().any(|a| addresses.contains(a))
        });
        let mac = (!call.has_mac())
            .then(|| addresses.first().map(mac_of))
            .flatten();
        let endpoint = Endpoint {
            network: call.network.clone(),
            addresses,
            ports: BTreeSet::new(),
            joined: None,
        };
        self.endpoints.insert(call.endpoint.clone(), endpoint);
        Ok((mac, dead))
    }

    /// Forgets an endpoint; returns its link if it still has one.
    pub fn delete_endpoint(&mut self, endpoint: &str) -> Option<String> {
        let link = self.forget(|id, _| id.as_str() == endpoint).pop();
        self.end_attachments();
        link
    }

    /// The link that the endpoint is to get, and what the engine is told of it.
    /// `prefix` is what names of links begin with.
    pub fn plan_join(&self, endpoint: &str, prefix: &str) -> Result<(Link, JoinAnswer), Refusal> {
        let found = self.endpoint(endpoint)?;
        let network = self.network(&found.network)?;
        let host = link_name(prefix, endpoint);
        let taken = |(id, other): (&String, &Endpoint)| id != endpoint && other.has_link(&host);
        if self.endpoints.iter().any(taken) {
            return Err(Refusal::NameTaken(host));
        }
        let link = Link {
            container: format!("{host}c"),
            host,
            gateways: network.gateways_for(&found.addresses),
            addresses: found.addresses.clone(),
            mtu: network.mtu,
        };
        let answer = JoinAnswer {
            interface: InterfaceName {
                source: link.container.clone(),
                prefix: "eth".into(),
            },
            gateway: link.gateways.iter().find(|ip| ip.is_ipv4()).copied(),
            gateway6: link.gateways.iter().find(|ip| ip.is_ipv6()).copied(),
            routes: network.routes_by(&link.gateways),
        };
        Ok((link, answer))
    }

    /// The endpoint has its link now.
    pub fn joined(&mut self, endpoint: &str, sandbox: &str, veth: &str) {
        if let Some(endpoint) = self.endpoints.get_mut(endpoint) {
            endpoint.joined = Some(Joined {
                sandbox: sandbox.to_owned(),
                veth: veth.to_owned(),
            });
        }
    }

    /// The endpoint is to have no link any more; returns the one to delete.
    pub fn leave(&mut self, endpoint: &str) -> Option<String> {
        let joined = self.endpoints.get_mut(endpoint)?.joined.take()?;
        Some(joined.veth)
    }

    /// Lets ports of this host lead to the endpoint. `free` says which number a
    /// port can have that no program of the host has: its own, if it has one.
    pub fn publish(
        &mut self,
        endpoint: &str,
        wanted: Vec<PortRange>,
        free: impl Fn(&Port) -> Option<u16>,
    ) -> Result<(), Refusal> {
        let had = self.endpoint(endpoint)?.ports.clone();
        let mut ports = BTreeSet::new();
        for wanted in wanted {
            let port = match wanted.is_one() {
                true => wanted.port,
                false => self.pick(endpoint, &wanted, (&had, &ports), &free)?,
            };
            if let Some(owner) = self.owner(endpoint, &port) {
                return Err(Refusal::PortTaken(port.published, owner));
            }
            ports.insert(port);
        }
        if let Some(endpoint) = self.endpoints.get_mut(endpoint) {
            endpoint.ports = ports;
        }
        Ok(())
    }

    /// One that is the endpoint's already, or that nobody has.
    fn pick(
        &self,
        endpoint: &str,
        wanted: &PortRange,
        (had, taken): (&BTreeSet<Port>, &BTreeSet<Port>),
        free: impl Fn(&Port) -> Option<u16>,
    ) -> Result<Port, Refusal> {
        let is_new = |port: &Port| !taken.iter().any(|it| same_door(it, port));
        let known = had.iter().find(|port| wanted.is(port) && is_new(port));
        let tries = wanted.numbers().filter_map(|published| {
            let port = Port {
                published,
                ..wanted.port
            };
            let published = free(&port)?;
            Some(Port { published, ..port })
        });
        let mut tries = tries.filter(|port| is_new(port) && self.owner(endpoint, port).is_none());
        let port = known.copied().or_else(|| tries.next());
        port.ok_or(Refusal::NoHostPort(wanted.port.target))
    }

    /// The address of another container that this port leads to.
    fn owner(&self, endpoint: &str, port: &Port) -> Option<IpAddr> {
        let mut others = self.endpoints.iter().filter(|(id, _)| *id != endpoint);
        let (_, owner) = others.find(|(_, it)| it.ports.iter().any(|it| same_door(it, port)))?;
        owner.addresses.first().copied()
    }

    pub fn unpublish(&mut self, endpoint: &str) {
        if let Some(endpoint) = self.endpoints.get_mut(endpoint) {
            endpoint.ports.clear();
        }
    }

    /// The addresses that have a link here.
    pub fn locals(&self) -> BTreeMap<IpAddr, Local> {
        let mut locals = BTreeMap::new();
        for endpoint in self.endpoints.values() {
            let network = self.networks.get(&endpoint.network);
            let (Some(network), Some(joined)) = (network, &endpoint.joined) else {
                continue;
            };
            for addr in &endpoint.addresses {
                let local = Local {
                    network: network.id,
                    veth: joined.veth.clone(),
                    sandbox: joined.sandbox.clone(),
                    ports: endpoint.ports.clone(),
                };
                locals.insert(*addr, local);
            }
        }
        locals
    }

    /// The engine's networks of this driver, and the swarm's that they stand for.
    pub fn networks(&self) -> BTreeMap<String, NetworkId> {
        let named = |(name, network): (&String, &Network)| (name.clone(), network.id);
        self.networks.iter().map(named).collect()
    }

    /// Compares with the links that there are, all of the host's: forgets the
    /// joins whose link is gone and the attachments that were theirs, and returns the links to keep as they are to be,
    /// and the names of ours that belong to nobody.
    pub fn reconcile(
        &mut self,
        present: &BTreeSet<String>,
        prefix: &str,
    ) -> (Vec<Link>, Vec<String>) {
        for endpoint in self.endpoints.values_mut() {
            endpoint
                .joined
                .take_if(|joined| !present.contains(&joined.veth));
        }
        self.end_unlinked();
        let kept: Vec<Link> = self
            .endpoints
            .iter()
            .filter(|(_, endpoint)| endpoint.joined.is_some())
            .filter_map(|(id, _)| self.plan_join(id, prefix).ok())
            .map(|(link, _)| link)
            .collect();
        let strays = present
            .iter()
            .filter(|name| is_ours(name, prefix))
            .filter(|name| {
                kept.iter()
                    .all(|link| ![&link.host, &link.container].contains(name))
            });
        let strays = strays.cloned().collect();
        (kept, strays)
    }

    fn network(&self, id: &str) -> Result<&Network, Refusal> {
        let found = self.networks.get(id);
        found.ok_or_else(|| Refusal::UnknownNetwork(short(id)))
    }

    fn endpoint(&self, id: &str) -> Result<&Endpoint, Refusal> {
        let found = self.endpoints.get(id);
        found.ok_or_else(|| Refusal::UnknownEndpoint(short(id)))
    }

    /// Forgets endpoints; returns the links that they had.
    pub(super) fn forget(
        &mut self,
        mut which: impl FnMut(&String, &Endpoint) -> bool,
    ) -> Vec<String> {
        let mut links = Vec::new();
        self.endpoints.retain(|id, endpoint| {
            let gone = which(id, endpoint);
            if gone {
                links.extend(endpoint.joined.take().map(|joined| joined.veth));
            }
            !gone
        });
        links
    }
}

impl Endpoint {
    /// As the engine calls it.
    pub(super) fn network(&self) -> &str {
        &self.network
    }

    pub(super) fn has(&self, addr: IpAddr) -> bool {
        self.addresses.contains(&addr)
    }

    pub(super) fn is_joined(&self) -> bool {
        self.joined.is_some()
    }

    fn has_link(&self, name: &str) -> bool {
        self.joined
            .as_ref()
            .is_some_and(|joined| joined.veth == name)
    }
}

impl Network {
    pub(super) fn id(&self) -> NetworkId {
        self.id
    }

    /// Those of the families in which the container has an address.
    fn gateways_for(&self, addresses: &[IpAddr]) -> Vec<IpAddr> {
        let wanted = |gateway: &IpAddr| addresses.iter().any(|a| a.is_ipv4() == gateway.is_ipv4());
        let gateways = self.subnets.iter().map(|(_, gateway)| *gateway);
        gateways.filter(wanted).collect()
    }

    fn routes_by(&self, gateways: &[IpAddr]) -> Vec<StaticRoute> {
        let mut routes = Vec::new();
        for (subnet, gateway) in &self.subnets {
            if !gateways.contains(gateway) {
                continue;
            }
            routes.push(StaticRoute {
                destination: IpNet::from(*gateway),
                kind: RouteKind::OnLink,
                next_hop: None,
            });
            routes.extend(halves(*subnet).map(|destination| StaticRoute {
                destination,
                kind: RouteKind::NextHop,
                next_hop: Some(*gateway),
            }));
        }
        routes
    }
}

/// The two halves of a subnet; none of one that is too small for a container
/// beside the gateway.
fn halves(subnet: IpNet) -> impl Iterator<Item = IpNet> {
    let halved = subnet.prefix_len() + 1;
    let wide = halved < subnet.max_prefix_len();
    let halves = wide.then(|| subnet.subnets(halved).ok()).flatten();
    halves.into_iter().flatten()
}

/// The host's end for an endpoint: its name is not soon used again, since ids are
/// random, so that what is left of rules for one link never serves another.
fn link_name(prefix: &str, endpoint: &str) -> String {
    let hash = endpoint
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let id = format_id(NetworkId::from(hash));
    format!("{prefix}{}", &id[id.len() - LINK_DIGITS..])
}

/// Is it a link of ours, or the end of one that no container has got?
fn is_ours(name: &str, prefix: &str) -> bool {
    let Some(own) = name.strip_prefix(prefix) else {
        return false;
    };
    // Prefixes of other nodes on this host may begin with ours, and are longer.
    own.len() == LINK_DIGITS || (own.len() == LINK_DIGITS + 1 && own.ends_with('c'))
}

/// Locally administered, with the address in it as Docker does.
fn mac_of(address: &IpAddr) -> [u8; 6] {
    let [a, b, c, d] = match address {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(v6) => {
            let [.., a, b, c, d] = v6.octets();
            [a, b, c, d]
        }
    };
    [0x02, 0x42, a, b, c, d]
}

impl PortRange {
    fn is_one(&self) -> bool {
        self.port.published != 0 && self.port.published == self.last
    }

    /// What to ask for, in this order; zero for any.
    fn numbers(&self) -> impl Iterator<Item = u16> {
        let any = std::iter::repeat_n(0, if self.last == 0 { TRIES } else { 0 });
        let range = self.port.published.max(1)..=self.last;
        any.chain(range)
    }

    fn is(&self, port: &Port) -> bool {
        let same = Port {
            published: self.port.published,
            ..*port
        };
        let range = self.port.published..=self.last;
        same == self.port && (self.last == 0 || range.contains(&port.published))
    }
}

/// Would both answer to one packet?
fn same_door(a: &Port, b: &Port) -> bool {
    let same_ip = a.host_ip.is_none() || b.host_ip.is_none() || a.host_ip == b.host_ip;
    a.protocol == b.protocol && a.published == b.published && same_ip
}

/// The engine's ids as its CLI shows them.
fn short(id: &str) -> String {
    id.chars().take(12).collect()
}

pub(super) mod id_as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::{NetworkId, format_id, parse_id};

    pub fn serialize<S: Serializer>(id: &NetworkId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_id(*id))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NetworkId, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_id(&text).ok_or_else(|| D::Error::custom("not an id"))
    }
}
