//! Nodes: `GET /nodes*`, `POST /nodes/{id}/update`.

use serde::{Deserialize, Serialize};

use super::{Labels, Platform, Reservation, Time, Version, is_default};

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Node {
    #[serde(rename = "ID")]
    pub id: String,
    pub version: Version,
    pub created_at: Time,
    pub updated_at: Time,
    pub spec: NodeSpec,
    pub description: NodeDescription,
    pub status: NodeStatus,
    /// Managers only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager_status: Option<ManagerStatus>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeSpec {
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    pub labels: Labels,
    /// `worker` or `manager`.
    #[serde(skip_serializing_if = "is_default")]
    pub role: String,
    /// `active`, `pause` or `drain`.
    #[serde(skip_serializing_if = "is_default")]
    pub availability: String,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeDescription {
    #[serde(skip_serializing_if = "is_default")]
    pub hostname: String,
    pub platform: Platform,
    pub resources: Reservation,
    pub engine: EngineDescription,
    /// Not Docker's: paths of what services may name as their devices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    #[serde(rename = "TLSInfo", skip_serializing_if = "is_default")]
    pub tls_info: TlsInfo,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EngineDescription {
    #[serde(skip_serializing_if = "is_default")]
    pub engine_version: String,
    #[serde(skip_serializing_if = "is_default")]
    pub labels: Labels,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<Plugin>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Plugin {
    #[serde(rename = "Type", skip_serializing_if = "is_default")]
    pub kind: String,
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
}

/// The authority that signs the nodes' certificates: PEM, then base64 of the
/// DER subject and public key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TlsInfo {
    #[serde(skip_serializing_if = "is_default")]
    pub trust_root: String,
    #[serde(skip_serializing_if = "is_default")]
    pub cert_issuer_subject: String,
    #[serde(skip_serializing_if = "is_default")]
    pub cert_issuer_public_key: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeStatus {
    /// `unknown`, `down`, `ready` or `disconnected`.
    #[serde(skip_serializing_if = "is_default")]
    pub state: String,
    #[serde(skip_serializing_if = "is_default")]
    pub message: String,
    /// Since when it is down; Docker has no such field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Without a port.
    #[serde(skip_serializing_if = "is_default")]
    pub addr: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ManagerStatus {
    #[serde(skip_serializing_if = "is_default")]
    pub leader: bool,
    /// `unknown`, `unreachable` or `reachable`.
    #[serde(skip_serializing_if = "is_default")]
    pub reachability: String,
    /// With the control port.
    #[serde(skip_serializing_if = "is_default")]
    pub addr: String,
}
