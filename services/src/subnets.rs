//! Which subnets a new network gets.
//!
//! Decided once, at the API's door, and written into the log; `apply` only
//! checks that they are still free. The lowest free one is taken. What a user
//! names is taken as it is, or refused with the owner's name.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::address::successor;
use crate::command::{Refusal, RefusalKind};
use crate::id::Id;
use crate::object::{Node, Subnet};
use crate::spec::{ClusterSpec, IpamConfig, NetworkSpec};
use crate::state::State;

/// A subnet that is somebody else's, and whose, for people: `route via eth0`.
pub type Taken = (IpNet, String);

impl State {
    /// The subnets for a new network of this spec, IPv4 first. `taken` is what
    /// else is not free, such as the routes of the node that is asked; the
    /// addresses of the swarm's nodes and the subnets that they are in are
    /// avoided in any case.
    ///
    /// # Errors
    /// `InvalidArgument` that names the owner of what a user asked for, or
    /// says that the pools are used up.
    pub fn choose_subnets(
        &self,
        spec: &NetworkSpec,
        taken: &[Taken],
    ) -> Result<Vec<Subnet>, Refusal> {
        let config = |v4: bool| {
            let of_family = |config: &&IpamConfig| family(config) == Some(v4);
            spec.ipam.configs.iter().find(of_family)
        };
        let mut subnets = Vec::new();
        for (v4, wanted) in [(true, true), (false, spec.ipv6)] {
            if !wanted {
                continue;
            }
            let config = config(v4).cloned().unwrap_or_default();
            let net = match config.subnet {
                Some(net) => self.check_free(net.trunc(), taken)?,
                None => self.free_subnet(v4, taken)?,
            };
            subnets.push(Subnet {
                net,
                gateway: config.gateway.unwrap_or_else(|| first_host(net)),
                range: config.ip_range.map(|range| range.trunc()),
            });
        }
        Ok(subnets)
    }

    fn check_free(&self, net: IpNet, taken: &[Taken]) -> Result<IpNet, Refusal> {
        let Some((other, owner)) = self.owner_of(net, taken) else {
            return Ok(net);
        };
        Err(overlap(net, other, &owner))
    }

    /// Whoever has an address in common with `net`.
    fn owner_of(&self, net: IpNet, taken: &[Taken]) -> Option<Taken> {
        if let Some((other, owner)) = self.network_over(net) {
            return Some((other, owner));
        }
        let of_node = |node: &Arc<Node>| {
            let description = node.description.as_ref();
            let subnets = description.map_or(&[][..], |it| &it.subnets);
            let own = [IpNet::from(node.addr.ip())];
            let mut all = own.iter().chain(subnets);
            let other = *all.find(|other| overlaps(net, **other))?;
            let name = description.map(|it| it.hostname.clone());
            let name = name.unwrap_or_else(|| node.id.to_string());
            Some((other, format!("node {name}")))
        };
        if let Some(found) = self.nodes().find_map(of_node) {
            return Some(found);
        }
        taken
            .iter()
            .find(|(other, _)| overlaps(net, *other))
            .cloned()
    }

    /// The network whose subnet has an address in common with `net`.
    pub(crate) fn network_over(&self, net: IpNet) -> Option<Taken> {
        self.networks().find_map(|network| {
            let mut subnets = network.subnets.iter();
            let subnet = subnets.find(|subnet| overlaps(subnet.net, net))?;
            let owner = format!("network {} ({})", network.spec.name, network.id);
            Some((subnet.net, owner))
        })
    }

    /// The first of the pools that is nobody's.
    fn free_subnet(&self, v4: bool, taken: &[Taken]) -> Result<IpNet, Refusal> {
        let cluster = self.cluster();
        let spec = cluster.map_or_else(ClusterSpec::default, |it| it.spec.clone());
        let id = cluster.map_or_else(Id::default, |cluster| cluster.id);
        let (pools, size) = if v4 {
            (spec.address_pools, spec.subnet_size)
        } else {
            (vec![local_prefix(id)], 64)
        };
        for pool in pools.iter().filter(|pool| pool.addr().is_ipv4() == v4) {
            let mut candidate = first_subnet(*pool, size);
            while let Some(net) = candidate {
                let Some((other, _)) = self.owner_of(net, taken) else {
                    return Ok(net);
                };
                candidate = subnet_after(*pool, net, other);
            }
        }
        let names: Vec<String> = pools.iter().map(IpNet::to_string).collect();
        Err(RefusalKind::FailedPrecondition.because(format!(
            "could not find an available, non-overlapping {} address pool among the defaults to \
             assign to the network: every /{size} of {} is in use",
            if v4 { "IPv4" } else { "IPv6" },
            names.join(", "),
        )))
    }
}

pub(crate) fn overlap(net: IpNet, other: IpNet, owner: &str) -> Refusal {
    RefusalKind::InvalidArgument.because(format!(
        "Pool overlaps with other one on this address space: {net} has addresses in common with \
         {other} of {owner}"
    ))
}

/// Whether they have addresses in common.
pub fn overlaps(one: IpNet, other: IpNet) -> bool {
    one.contains(&other) || other.contains(&one)
}

/// `None`: the configuration says nothing that shows it.
fn family(config: &IpamConfig) -> Option<bool> {
    let net = config.subnet.or(config.ip_range).map(|net| net.addr());
    net.or(config.gateway).map(|addr| addr.is_ipv4())
}

fn first_host(net: IpNet) -> IpAddr {
    successor(net.network()).unwrap_or_else(|| net.network())
}

/// `fd…/48` of this swarm alone (RFC 4193): the 40 random bits are the id's.
fn local_prefix(cluster: Id) -> IpNet {
    let id = cluster.as_u128();
    let folded = (id ^ (id >> 40) ^ (id >> 80) ^ (id >> 120)) & ((1 << 40) - 1);
    let bits = (0xfd << 120) | (folded << 80);
    let net = Ipv6Net::new(Ipv6Addr::from_bits(bits), 48);
    net.map_or_else(|_| Ipv6Net::default().into(), IpNet::V6)
}

fn first_subnet(pool: IpNet, size: u8) -> Option<IpNet> {
    let net = IpNet::new(pool.network(), size.max(pool.prefix_len())).ok()?;
    Some(net.trunc())
}

/// The next one of the same size that begins behind both `net` and `other`.
fn subnet_after(pool: IpNet, net: IpNet, other: IpNet) -> Option<IpNet> {
    let end = match overlaps(net, other) && other.prefix_len() < net.prefix_len() {
        true => other.broadcast(),
        false => net.broadcast(),
    };
    let next = successor(end).filter(|addr| pool.contains(addr))?;
    let next = match next {
        IpAddr::V4(addr) => Ipv4Net::new(addr, net.prefix_len()).ok().map(IpNet::V4),
        IpAddr::V6(addr) => Ipv6Net::new(addr, net.prefix_len()).ok().map(IpNet::V6),
    };
    next.map(|net| net.trunc())
}
