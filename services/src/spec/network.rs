//! Networks and their addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Driver, Labels};

/// A network over all nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSpec {
    pub name: String,
    pub labels: Labels,
    /// `None`: `overlay`, the only one.
    pub driver: Option<Driver>,
    /// Its containers reach nothing but each other.
    pub internal: bool,
    /// Containers that are no tasks may join it.
    pub attachable: bool,
    /// Published ports go through it. There is at most one.
    pub ingress: bool,
    /// Dual stack: it has an IPv6 subnet beside its IPv4 one.
    pub ipv6: bool,
    pub ipam: IpamSpec,
}

/// What a user said of a network's addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IpamSpec {
    /// `None`: `default`, the only one.
    pub driver: Option<Driver>,
    /// At most one of each family.
    pub configs: Vec<IpamConfig>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IpamConfig {
    /// `None`: one is cut from the swarm's pools.
    pub subnet: Option<IpNet>,
    /// Where addresses are picked; those that users name may lie elsewhere.
    pub ip_range: Option<IpNet>,
    /// `None`: the subnet's first.
    pub gateway: Option<IpAddr>,
    /// By what they are for: addresses that are never given.
    pub aux: BTreeMap<String, IpAddr>,
}
