//! What a node says of itself. It is the only author of its facts, signs them,
//! and everyone can check that without asking anyone.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use certs::Role;
use serde::{Deserialize, Serialize};

/// Where a node can be dialled, the most likely first.
pub const MAX_ADDRS: usize = 8;
/// Tasks on overlay networks, one per task and network.
pub const MAX_ENDPOINTS: usize = 1_024;
/// Bytes of any text in the facts.
pub const MAX_TEXT: usize = 255;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Of the control port.
    pub addrs: Vec<SocketAddr>,
    pub hostname: String,
    pub role: Role,
    /// Of swarmlet.
    pub version: String,
    pub platform: Platform,
    pub resources: Resources,
    pub load: Load,
    /// By task and network.
    pub endpoints: BTreeMap<(u128, u128), Endpoint>,
}

/// As Docker and Go name them: `linux`, `amd64`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
}

/// What the device has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resources {
    /// Billionths of a processor.
    pub nano_cpus: u64,
    /// Bytes.
    pub memory: u64,
}

/// What is in use, in coarse steps: a change of it is news for the whole swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Load {
    /// Percent of all processors, in steps of ten.
    pub cpu: u8,
    /// Percent of the memory, in steps of ten.
    pub memory: u8,
    /// Containers of tasks that run.
    pub tasks: u32,
}

/// Where a task answers on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub service: u128,
    pub addr: IpAddr,
    pub state: EndpointState,
    pub ticket: Ticket,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndpointState {
    /// Takes new connections.
    Ready,
    /// Finishes what it has.
    Draining,
}

/// A manager's word that a task of a service belongs at this address, on this
/// network, on this node; an endpoint counts only with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    pub manager: certs::NodeId,
    /// Ed25519.
    pub signature: Vec<u8>,
}
