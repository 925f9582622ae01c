//! Forming a swarm without addresses: `/swarmlet/up`, `/swarmlet/discover`,
//! and what `POST /swarm/join` tells of a swarm that it had to look for.

use serde::{Deserialize, Serialize};

use super::{Labels, is_default};

/// `POST /swarmlet/up`.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpRequest {
    pub site_key: String,
    /// Zero: the default, three.
    pub managers: u64,
    /// Of this node.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: Labels,
    pub listen_addr: String,
    pub advertise_addr: String,
    pub availability: String,
}

impl std::fmt::Debug for UpRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpRequest").finish_non_exhaustive()
    }
}

/// `GET /swarmlet/up`, and the answer to `POST`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpProgress {
    /// `none`, `waiting`, `asking`, `founding`, `joining`, `conflict`,
    /// `founded` or `joined`.
    pub state: String,
    /// Other devices of the site that wait as well.
    pub found: u64,
    /// The swarm's id, once this node is part of it.
    pub swarm: String,
    pub node: String,
    pub through: String,
    /// For people.
    pub message: String,
}

/// A line of `GET /swarmlet/discover`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Device {
    /// Empty for a device that waits, or that does not answer.
    pub swarm: String,
    pub hostname: String,
    /// With the control port.
    pub address: String,
    /// The public tag of its site key, in hexadecimal; empty without one.
    pub site: String,
    /// Of swarmlet.
    pub version: String,
    /// `member` or `waiting`.
    pub state: String,
    pub node: String,
    /// The device that was asked.
    #[serde(rename = "Self")]
    pub is_self: bool,
    /// Of the swarm of the device that was asked.
    pub own: bool,
}

/// The answer to a join that was told no address.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FoundSwarm {
    /// The manager that let this node in.
    pub through: String,
}
