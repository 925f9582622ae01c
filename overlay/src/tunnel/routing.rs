//! Which peer a packet goes to, and which packets a peer may send.
//!
//! Subnets of a swarm never overlap, so an address says its network and no
//! datagram carries one. Both directions are judged by the same table: a node
//! believes a peer only about the addresses that the peer's containers have, and
//! about clients from outside the overlay only towards containers of services
//! with published ports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use certs::NodeId;

use super::flows::Flows;
use super::packet::{Packet, Sender};
use crate::directory::NetworkId;
use crate::table::Table;
pub use crate::table::{Remote, Subnets};

/// Flows from outside that are remembered in each direction; under 7 MB each.
const MAX_FLOWS: usize = 32_768;

/// What the tunnel is told: where containers are, and where nodes are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routing {
    pub me: NodeId,
    /// Containers on other nodes.
    pub remote: BTreeMap<IpAddr, Remote>,
    /// Containers on this node.
    pub local: BTreeMap<IpAddr, Local>,
    /// Of all networks that this node knows.
    pub subnets: Subnets,
    /// The other live nodes, and where their data ports may answer, likeliest
    /// first. A connection to a node that is not here is closed.
    pub peers: BTreeMap<NodeId, Vec<SocketAddr>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    pub network: NetworkId,
    /// Its service has ports published on every node: clients from outside the
    /// overlay may reach it through any peer.
    pub ingress: bool,
}

/// Why a packet goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No node has the destination, or the flow of an answer is not known.
    Unknown,
    /// The sender may not send this: an address that is not its own, or to a
    /// network that it is not on.
    Foreign,
}

impl Routing {
    pub fn of(table: &Table) -> Self {
        let published: BTreeSet<IpAddr> = table.ingress.iter().map(|(addr, ..)| *addr).collect();
        let local = table.locals.iter().map(|(addr, local)| {
            let local = Local {
                network: local.network,
                ingress: published.contains(addr),
            };
            (*addr, local)
        });
        Self {
            me: table.me,
            remote: table.remotes.clone(),
            local: local.collect(),
            subnets: table.subnets.clone(),
            peers: table.peers.clone(),
        }
    }

    /// The peers that this node keeps a connection to whether or not it has a
    /// packet for them, so that those behind NAT can be reached too.
    pub fn wanted(&self) -> BTreeSet<NodeId> {
        if self.local.values().any(|local| local.ingress) {
            return self.peers.keys().copied().collect();
        }
        let networks: BTreeSet<NetworkId> =
            self.local.values().map(|local| local.network).collect();
        self.remote
            .values()
            .filter(|remote| networks.contains(&remote.network))
            .map(|remote| remote.node)
            .collect()
    }

    /// Whether it can be a client's, or another host's.
    fn is_outside(&self, addr: IpAddr) -> bool {
        let is_host = match addr {
            IpAddr::V4(addr) => {
                !(addr.is_unspecified()
                    || addr.is_loopback()
                    || addr.is_multicast()
                    || addr.is_broadcast())
            }
            IpAddr::V6(addr) => {
                !(addr.is_unspecified() || addr.is_loopback() || addr.is_multicast())
            }
        };
        is_host && !self.subnets.contains(addr)
    }
}

/// What is remembered of flows between clients outside and containers.
#[derive(Debug)]
pub struct Memory {
    /// To containers here: the peer through which the client came.
    came_through: Flows,
    /// From clients here: the peer whose container was asked.
    went_to: Flows,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            came_through: Flows::new(MAX_FLOWS),
            went_to: Flows::new(MAX_FLOWS),
        }
    }
}

impl Memory {
    /// The peer that a packet from this node's TUN goes to. `now`: since the
    /// memory began.
    ///
    /// # Errors
    /// The packet is to be dropped.
    pub fn choose(
        &mut self,
        routing: &Routing,
        packet: &Packet,
        bytes: &[u8],
        now: Duration,
    ) -> Result<NodeId, Refusal> {
        let sender = routing.local.get(&packet.src);
        if let Some(remote) = routing.remote.get(&packet.dst) {
            return match sender {
                Some(local) if local.network == remote.network => Ok(remote.node),
                Some(_) => Err(Refusal::Foreign),
                None if !routing.is_outside(packet.src) => Err(Refusal::Foreign),
                None => {
                    let key = packet.flow(bytes, Sender::Client);
                    self.went_to.remember(key, remote.node, now);
                    Ok(remote.node)
                }
            };
        }
        if !routing.is_outside(packet.dst) {
            return Err(Refusal::Unknown);
        }
        if sender.is_none() {
            return Err(Refusal::Foreign);
        }
        let key = packet.flow(bytes, Sender::Container);
        let node = self
            .came_through
            .recall(&key, now)
            .ok_or(Refusal::Unknown)?;
        if let Some(later) = packet.later_fragments(key) {
            self.came_through.remember(later, node, now);
        }
        Ok(node)
    }

    /// Whether the packet may be taken from `peer`. `now`: since the memory
    /// began.
    ///
    /// # Errors
    /// The packet is to be dropped.
    pub fn admit(
        &mut self,
        routing: &Routing,
        peer: NodeId,
        packet: &Packet,
        bytes: &[u8],
        now: Duration,
    ) -> Result<(), Refusal> {
        let sender = routing.remote.get(&packet.src);
        if let Some(local) = routing.local.get(&packet.dst) {
            return match sender {
                Some(remote) if remote.node == peer && remote.network == local.network => Ok(()),
                Some(_) => Err(Refusal::Foreign),
                None if local.ingress && routing.is_outside(packet.src) => {
                    let key = packet.flow(bytes, Sender::Client);
                    self.came_through.remember(key, peer, now);
                    Ok(())
                }
                None => Err(Refusal::Foreign),
            };
        }
        if sender.is_none_or(|remote| remote.node != peer) {
            return Err(Refusal::Foreign);
        }
        if !routing.is_outside(packet.dst) {
            return Err(Refusal::Unknown);
        }
        let key = packet.flow(bytes, Sender::Container);
        if self.went_to.recall(&key, now) != Some(peer) {
            return Err(Refusal::Unknown);
        }
        if let Some(later) = packet.later_fragments(key) {
            self.went_to.remember(later, peer, now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
