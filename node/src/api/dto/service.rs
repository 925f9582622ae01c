//! Services: `GET /services*`, `POST /services/create`, `…/update`.

use serde::{Deserialize, Serialize, Serializer};

use super::{
    Extra, HOST_IP_LABEL, Labels, NetworkAttachmentConfig, TaskSpec, Time, Version, is_default,
};

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Service {
    #[serde(rename = "ID")]
    pub id: String,
    pub version: Version,
    pub created_at: Time,
    pub updated_at: Time,
    pub spec: ServiceSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_spec: Option<ServiceSpec>,
    pub endpoint: Endpoint,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_status: Option<UpdateStatus>,
    /// Only with `?status=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_status: Option<ServiceStatus>,
    /// Of jobs only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_status: Option<JobStatus>,
}

/// A job runs once for each write of its spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobStatus {
    pub job_iteration: Version,
    pub last_execution: Time,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceSpec {
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    pub labels: Labels,
    pub task_template: TaskSpec,
    pub mode: ServiceMode,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_config: Option<UpdateConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback_config: Option<UpdateConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_spec: Option<EndpointSpec>,
    /// Of older clients, which do not say it in the task template.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkAttachmentConfig>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// At most one of them is set; none is replicated.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceMode {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicated: Option<ReplicatedService>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global: Option<Extra>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicated_job: Option<ReplicatedJob>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global_job: Option<Extra>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ReplicatedService {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u64>,
}

/// Shown whole; where one is not said, it is made from the other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ReplicatedJob {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_completions: Option<u64>,
}

/// How an update or a rollback proceeds; times in nanoseconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateConfig {
    /// Zero: all at once.
    pub parallelism: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<i64>,
    /// `pause`, `continue` or `rollback`.
    #[serde(skip_serializing_if = "is_default")]
    pub failure_action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor: Option<i64>,
    #[serde(serialize_with = "ratio")]
    pub max_failure_ratio: f64,
    /// `stop-first` or `start-first`.
    #[serde(skip_serializing_if = "is_default")]
    pub order: String,
}

/// Go writes `0`, not `0.0`.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn ratio<S: Serializer>(ratio: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if *ratio == 0.0 {
        serializer.serialize_u8(0)
    } else if *ratio == 1.0 {
        serializer.serialize_u8(1)
    } else {
        serializer.serialize_f64(*ratio)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EndpointSpec {
    /// `vip` or `dnsrr`.
    #[serde(skip_serializing_if = "is_default")]
    pub mode: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortConfig>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortConfig {
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// `tcp`, `udp` or `sctp`.
    #[serde(skip_serializing_if = "is_default")]
    pub protocol: String,
    #[serde(skip_serializing_if = "is_default")]
    pub target_port: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub published_port: u32,
    /// `ingress` or `host`.
    #[serde(skip_serializing_if = "is_default")]
    pub publish_mode: String,
    /// The only address of each node that answers; not Docker's, which is why
    /// a label says the same ([`PortConfig::host_ip_label`]).
    #[serde(rename = "HostIP", skip_serializing_if = "is_default")]
    pub host_ip: String,
}

impl PortConfig {
    /// The label of the service that says the port's host address. Clients of
    /// Docker's, which forget the field that they do not know, send it back.
    pub fn host_ip_label(&self) -> String {
        let protocol = match self.protocol.as_str() {
            "" => "tcp",
            protocol => protocol,
        };
        format!("{HOST_IP_LABEL}{}/{protocol}", self.published_port)
    }
}

/// Where a service answers, as it was arranged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Endpoint {
    pub spec: EndpointSpec,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortConfig>,
    #[serde(rename = "VirtualIPs", skip_serializing_if = "Vec::is_empty")]
    pub virtual_ips: Vec<VirtualIp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VirtualIp {
    #[serde(rename = "NetworkID", skip_serializing_if = "is_default")]
    pub network_id: String,
    /// CIDR.
    #[serde(skip_serializing_if = "is_default")]
    pub addr: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateStatus {
    /// `updating`, `paused`, `completed`, `rollback_started`,
    /// `rollback_paused` or `rollback_completed`.
    #[serde(skip_serializing_if = "is_default")]
    pub state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    #[serde(skip_serializing_if = "is_default")]
    pub message: String,
}

/// Counts of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceStatus {
    pub running_tasks: u64,
    pub desired_tasks: u64,
    pub completed_tasks: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceCreateResponse {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceUpdateResponse {
    pub warnings: Option<Vec<String>>,
}
