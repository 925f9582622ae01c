//! How devices reach each other over the overlay: `GET /swarmlet/doctor`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::is_default;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkDoctor {
    /// Why only the device that was asked tells of itself; empty where all were
    /// asked.
    #[serde(skip_serializing_if = "is_default")]
    pub alone: String,
    /// That were not asked, for being too many.
    #[serde(skip_serializing_if = "is_default")]
    pub left_out: u64,
    pub devices: Vec<DoctorDevice>,
    pub pairs: Vec<DoctorPair>,
    /// For people.
    pub problems: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DoctorDevice {
    #[serde(rename = "ID")]
    pub id: String,
    pub hostname: String,
    pub answered: bool,
    /// Where its data port is, if not wherever the device is reached.
    #[serde(skip_serializing_if = "is_default")]
    pub data_path_addr: String,
    /// Names of those that its containers are on.
    pub networks: Vec<String>,
    /// Packets that went nowhere, by the reason, since its tunnel began.
    pub dropped: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DoctorPair {
    #[serde(rename = "IDs")]
    pub ids: [String; 2],
    pub hostnames: [String; 2],
    /// Names of those that both are on.
    pub networks: Vec<String>,
    /// By at least one of the two.
    pub connected: bool,
    /// What the first sees of the second, and the second of the first; none for
    /// a device that did not say.
    pub seen: [Option<DoctorView>; 2],
}

/// Counters begin with the connection; times are in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DoctorView {
    /// Whether there is to be a connection without packets, too.
    pub wanted: bool,
    /// Why the last connection ended, or was not made.
    #[serde(skip_serializing_if = "is_default")]
    pub failure: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<DoctorPath>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub small_probes: Option<DoctorProbes>,
    /// As large as the path takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub large_probes: Option<DoctorProbes>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DoctorPath {
    /// With the data port.
    pub address: String,
    /// Whether this side made the connection.
    pub dialled: bool,
    pub established_for: u64,
    /// As QUIC has smoothed it.
    pub round_trip: u64,
    /// Bytes of a container's packet that go through in one piece.
    #[serde(rename = "MTU")]
    pub mtu: u64,
    /// Packets of containers, each a datagram.
    pub sent_datagrams: u64,
    pub received_datagrams: u64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// Of QUIC.
    pub sent_packets: u64,
    pub lost_packets: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DoctorProbes {
    pub sent: u64,
    pub answered: u64,
    pub fastest: u64,
    pub mean: u64,
    pub slowest: u64,
}
