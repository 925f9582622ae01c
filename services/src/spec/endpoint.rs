//! Where a service is reached.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::id::Id;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointSpec {
    pub mode: Option<EndpointMode>,
    pub ports: Vec<PortSpec>,
    /// By network: the VIPs that the service shall have there, at most one of
    /// each family. Where none is said, one is chosen.
    pub addresses: BTreeMap<Id, Vec<IpAddr>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointMode {
    #[default]
    Vip,
    /// Names resolve to the tasks; there is no VIP.
    Dnsrr,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSpec {
    pub name: Option<String>,
    pub protocol: Protocol,
    pub target: u16,
    /// Zero: one is picked, by the node in host mode, by the plan for ingress.
    pub published: u16,
    pub mode: PublishMode,
    /// `None`: on all addresses of the node.
    #[serde(default)]
    pub host_ip: Option<IpAddr>,
}

impl PortSpec {
    /// The plan picks its number.
    pub(crate) fn is_picked(&self) -> bool {
        self.mode == PublishMode::Ingress && self.published == 0
    }

    /// The same with that number.
    pub(crate) fn with_published(&self, published: u16) -> Self {
        Self {
            published,
            ..self.clone()
        }
    }

    /// Whether a client could not tell which of both it reaches.
    pub fn collides_with(&self, other: &Self) -> bool {
        self.published != 0
            && self.published == other.published
            && self.protocol == other.protocol
            && same_host_ip(self.host_ip, other.host_ip)
    }
}

/// Whether some address of a host is meant by both.
pub(crate) fn same_host_ip(one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => {
            let any = one.is_unspecified() || other.is_unspecified();
            one == other || (any && one.is_ipv4() == other.is_ipv4())
        }
        _ => true,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishMode {
    #[default]
    Ingress,
    Host,
}
