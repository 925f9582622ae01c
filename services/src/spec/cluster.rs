//! Nodes, and the swarm as a whole.

use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use super::{Labels, defaults};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    #[default]
    Active,
    /// No new tasks; what runs stays.
    Pause,
    /// No tasks at all.
    Drain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Worker,
    Manager,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    pub name: Option<String>,
    pub labels: Labels,
    /// The role that the node should have; its certificate says which it has.
    pub role: Role,
    pub availability: Availability,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterSpec {
    pub labels: Labels,
    /// Dead tasks kept per slot.
    pub task_history: u64,
    pub certificate_lifetime: Duration,
    /// Shown to Docker's clients; swarmlet detects silence by itself.
    pub heartbeat: Duration,
    pub snapshot_interval: u64,
    /// What the subnets of networks are cut from. Set when the swarm is made.
    pub address_pools: Vec<IpNet>,
    /// Prefix length of such a subnet.
    pub subnet_size: u8,
    /// UDP, on every node.
    pub data_path_port: u16,
    /// Another number than before asks for another CA.
    #[serde(skip_serializing_if = "is_zero")]
    pub force_rotate: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self {
            labels: Labels::new(),
            task_history: defaults::TASK_HISTORY,
            certificate_lifetime: defaults::CERTIFICATE_LIFETIME,
            heartbeat: Duration::from_secs(5),
            snapshot_interval: 10_000,
            address_pools: vec![default_pool()],
            subnet_size: defaults::SUBNET_SIZE,
            data_path_port: defaults::DATA_PATH_PORT,
            force_rotate: 0,
        }
    }
}

fn default_pool() -> IpNet {
    let (addr, prefix) = defaults::ADDRESS_POOL;
    IpNet::V4(Ipv4Net::new_assert(addr, prefix))
}
