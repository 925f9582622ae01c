//! What is to be done with the engine's networks. Pure.
//!
//! A network of the swarm is on the engine a network of our driver that carries
//! its id as an option. It is found by that, whatever it is called: names are the
//! users', and one of theirs may be taken by the time that ours is made.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use bollard::models::{
    EndpointIpamConfig, EndpointSettings, Ipam, IpamConfig, Network, NetworkCreateRequest,
};
use ipnet::IpNet;
use overlay::plugin::protocol::{MTU_OPTION, NETWORK_OPTION};
use services::assignment::AssignedNetwork;
use services::{Id, overlaps};

use crate::runtime::{NetworkPlan, Networks};

/// The engine's own address management.
const DEFAULT_IPAM: &str = "default";

/// A network as the engine has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub id: String,
    pub name: String,
    /// Of our driver.
    pub ours: bool,
    /// The swarm's network that it stands for.
    pub network: Option<Id>,
    shape: Shape,
}

/// What cannot be changed once a network is there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shape {
    ipam: String,
    /// With their gateways.
    subnets: BTreeSet<(IpNet, IpAddr)>,
}

impl Found {
    /// `None` for one that the engine cannot name.
    pub fn read(network: Network, plugin: &str) -> Option<Self> {
        let options = network.options.unwrap_or_default();
        let ipam = network.ipam.unwrap_or_default();
        let configs = ipam.config.unwrap_or_default();
        let subnets = configs.into_iter().filter_map(|config| {
            let gateway = config.gateway?;
            Some((config.subnet?.parse().ok()?, gateway.parse().ok()?))
        });
        Some(Self {
            id: network.id?,
            name: network.name?,
            ours: network.driver.as_deref() == Some(plugin),
            network: options.get(NETWORK_OPTION).and_then(|id| id.parse().ok()),
            shape: Shape {
                ipam: ipam.driver.unwrap_or_default(),
                subnets: subnets.collect(),
            },
        })
    }

    fn stands_for(&self, network: Id) -> bool {
        self.ours && self.network == Some(network)
    }
}

impl Shape {
    fn of(plan: &NetworkPlan, plugin: &str) -> Self {
        let subnets = plan.subnets.iter();
        Self {
            ipam: ipam_driver(plan, plugin).to_owned(),
            subnets: subnets.map(|it| (it.net, it.gateway)).collect(),
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        let meets = |net: IpNet| other.subnets.iter().any(|it| overlaps(it.0, net));
        self.subnets.iter().any(|it| meets(it.0))
    }
}

fn ipam_driver<'a>(plan: &NetworkPlan, plugin: &'a str) -> &'a str {
    match plan.attachable {
        true => plugin,
        false => DEFAULT_IPAM,
    }
}

/// How the engine comes to have a network.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice<'a> {
    /// It has it.
    Adopt(&'a Found),
    /// Under this name, when what is out of date is gone.
    Make { name: String, stale: Vec<&'a Found> },
}

pub(super) fn choose<'a>(plan: &NetworkPlan, found: &'a [Found], plugin: &str) -> Choice<'a> {
    let shape = Shape::of(plan, plugin);
    let mut same = found.iter().filter(|it| it.stands_for(plan.id));
    if let Some(adopted) = same.find(|it| it.shape == shape) {
        return Choice::Adopt(adopted);
    }
    // No two networks of a swarm overlap: the other one is of the past.
    let is_stale = |it: &Found| it.stands_for(plan.id) || (it.ours && it.shape.overlaps(&shape));
    let (stale, others): (Vec<_>, Vec<_>) = found.iter().partition(|it| is_stale(it));
    let name = match others.iter().any(|it| it.name == plan.name) {
        true => format!("{}-{}", plan.name, plan.id),
        false => plan.name.clone(),
    };
    Choice::Make { name, stale }
}

/// The body of `POST /networks/create`. Never internal: the engine would then
/// give its containers no gateway, and what they may reach is not its business.
pub(super) fn create_request(
    plan: &NetworkPlan,
    name: String,
    plugin: &str,
) -> NetworkCreateRequest {
    let option = HashMap::from([(NETWORK_OPTION.to_owned(), plan.id.to_string())]);
    let configs = plan.subnets.iter().map(|subnet| IpamConfig {
        subnet: Some(subnet.net.to_string()),
        gateway: Some(subnet.gateway.to_string()),
        ..IpamConfig::default()
    });
    let mtu = plan.mtu.map(|mtu| (MTU_OPTION.to_owned(), mtu.to_string()));
    let has_v6 = plan.subnets.iter().any(|it| it.net.addr().is_ipv6());
    NetworkCreateRequest {
        name,
        driver: Some(plugin.to_owned()),
        enable_ipv6: has_v6.then_some(true),
        ipam: Some(Ipam {
            driver: Some(ipam_driver(plan, plugin).to_owned()),
            config: Some(configs.collect()),
            options: plan.attachable.then(|| option.clone()),
        }),
        options: Some(option.into_iter().chain(mtu).collect()),
        ..NetworkCreateRequest::default()
    }
}

/// Networks of ours that nobody wants.
pub(super) fn unwanted<'a>(wanted: &Networks, found: &'a [Found]) -> Vec<&'a Found> {
    let is_wanted = |id| wanted.make.contains_key(&id) || wanted.keep.contains(&id);
    let ours = found.iter().filter(|it| it.ours);
    ours.filter(|it| !it.network.is_some_and(is_wanted))
        .collect()
}

/// A network that a container is to be on.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// The engine's.
    pub id: String,
    pub name: String,
    pub endpoint: EndpointSettings,
}

impl Connection {
    pub fn new(id: String, name: String, assigned: &AssignedNetwork) -> Self {
        Self {
            id,
            name,
            endpoint: endpoint(assigned),
        }
    }

    /// Whether it is what the container has under this name.
    fn is(&self, name: &str, has: &EndpointSettings) -> bool {
        let id = has.network_id.as_deref().unwrap_or_default();
        // It has none before its first start.
        let same_id = id.is_empty() || id == self.id;
        name == self.name && same_id && addresses(has) == addresses(&self.endpoint)
    }
}

/// Names are ours to tell, so it has no aliases.
fn endpoint(assigned: &AssignedNetwork) -> EndpointSettings {
    let addr = |wanted: fn(&IpAddr) -> bool| {
        let addrs = assigned.addrs.iter().map(IpNet::addr);
        addrs.filter(wanted).map(|addr| addr.to_string()).next()
    };
    let options = &assigned.driver_opts;
    EndpointSettings {
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: addr(IpAddr::is_ipv4),
            ipv6_address: addr(IpAddr::is_ipv6),
            link_local_ips: None,
        }),
        driver_opts: (!options.is_empty()).then(|| options.clone().into_iter().collect()),
        ..EndpointSettings::default()
    }
}

fn addresses(endpoint: &EndpointSettings) -> Vec<IpAddr> {
    let config = endpoint.ipam_config.iter();
    let texts = config.flat_map(|it| [&it.ipv4_address, &it.ipv6_address]);
    texts.flatten().filter_map(|it| it.parse().ok()).collect()
}

/// What a container that does not run lacks of its networks.
#[derive(Debug, PartialEq)]
pub(super) enum Mend<'a> {
    /// By the network's name, as the container knows it.
    Disconnect(&'a str),
    Connect(&'a Connection),
}

pub(super) fn mending<'a>(
    wanted: &'a [Connection],
    has: &'a HashMap<String, EndpointSettings>,
) -> Vec<Mend<'a>> {
    let mut names: Vec<&str> = has.keys().map(String::as_str).collect();
    names.sort_unstable();
    let is_wanted = |name: &&str| wanted.iter().any(|it| it.is(name, &has[*name]));
    let wrong = names.into_iter().filter(|name| !is_wanted(name));
    let lacks = |it: &&Connection| !has.iter().any(|(name, has)| it.is(name, has));
    wrong
        .map(Mend::Disconnect)
        .chain(wanted.iter().filter(lacks).map(Mend::Connect))
        .collect()
}

#[cfg(test)]
mod tests;
