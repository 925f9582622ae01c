//! What the managers say of networks and services: the part of the desired
//! state that a node needs to route and to resolve names by itself.
//!
//! A node keeps the last directory on its disk. So names and VIPs work after a
//! reboot with no manager in reach.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Of a network, 128 bits as in the swarm's ids.
pub type NetworkId = u128;
pub type ServiceId = u128;
/// What stands in place of a service for containers that users put on networks
/// by themselves.
pub const NO_SERVICE: ServiceId = 0;
pub type TaskId = u128;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Directory {
    pub networks: BTreeMap<NetworkId, Network>,
    pub services: BTreeMap<ServiceId, Service>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    pub name: String,
    /// At most one of each family. No two networks of a swarm overlap.
    pub subnets: Vec<IpNet>,
    /// Its containers reach nothing but each other.
    pub internal: bool,
    /// The one that published ports go through. It has no names.
    pub ingress: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Service {
    pub name: String,
    pub networks: BTreeMap<NetworkId, Attachment>,
    /// On every node, by `mode=ingress`. The tasks answer on the ingress network.
    pub ports: BTreeSet<Port>,
    /// Of tasks that an update has not replaced yet, where theirs differ.
    pub outdated: Vec<OutdatedPorts>,
}

/// Tasks that answer elsewhere than their service's specification says now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OutdatedPorts {
    pub tasks: BTreeSet<TaskId>,
    /// Of the service's published ports those that they answer for, with their
    /// own targets.
    pub ports: BTreeSet<Port>,
}

impl Service {
    /// The published ports that a task of it answers for.
    pub fn ports_of(&self, task: TaskId) -> &BTreeSet<Port> {
        let outdated = self.outdated.iter().find(|it| it.tasks.contains(&task));
        outdated.map_or(&self.ports, |it| &it.ports)
    }
}

/// A service on one of its networks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attachment {
    /// At most one of each family; none where names resolve to the tasks.
    pub vips: Vec<IpAddr>,
    /// Names beside the service's own.
    pub aliases: BTreeSet<String>,
}

/// `published` on the nodes is `target` in the tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port {
    pub protocol: Protocol,
    pub published: u16,
    pub target: u16,
    /// `None`: on all addresses of every node.
    pub host_ip: Option<IpAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// As nftables and users write it.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}
