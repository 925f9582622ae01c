//! What users ask for: the specs of services, tasks, nodes and the cluster.
//!
//! An `Option` that is `None` means that the user did not say; the default is
//! applied where the value is used (`TaskSpec::stop_grace` and its like), so
//! that a spec is shown again as it was written. Specs travel in records as
//! JSON bytes, because users' specs grow with every release.

mod cluster;
mod container;
mod endpoint;
mod mode;
mod mtu;
mod network;
mod own_network;
mod platform;
mod run;
mod words;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::generic::Wanted;
use crate::id::Id;
use crate::registry::RegistryAuth;
pub use cluster::{Availability, ClusterSpec, NodeSpec, Role};
pub use container::{
    BindOptions, ContainerSpec, DnsConfig, Driver, Healthcheck, LogDriver, Mount, MountKind,
    TmpfsOptions, Ulimit, VolumeOptions,
};
pub(crate) use endpoint::same_host_ip;
pub use endpoint::{EndpointMode, EndpointSpec, PortSpec, Protocol, PublishMode};
pub use mode::Mode;
pub use network::{IpamConfig, IpamSpec, NetworkSpec};
pub use own_network::OwnNetwork;
pub use platform::Platform;
pub use run::{Device, GpuCount, GpuRequest, IpcMode, PidMode, RunOptions, SecurityOption};

pub type Labels = BTreeMap<String, String>;

/// Defaults of Docker Swarm, for what a spec leaves out.
pub mod defaults {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    pub const RESTART_DELAY: Duration = Duration::from_secs(5);
    pub const STOP_GRACE: Duration = Duration::from_secs(10);
    pub const UPDATE_PARALLELISM: u64 = 1;
    pub const UPDATE_MONITOR: Duration = Duration::from_secs(5);
    pub const REPLICAS: u64 = 1;
    pub const TASK_HISTORY: u64 = 5;
    pub const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);
    /// With its prefix length: what networks without a subnet are cut from.
    pub const ADDRESS_POOL: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 0, 0, 0), 8);
    pub const SUBNET_SIZE: u8 = 24;
    pub const DATA_PATH_PORT: u16 = 4789;
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceSpec {
    pub name: String,
    pub labels: Labels,
    pub task: TaskSpec,
    pub mode: Mode,
    pub update: Option<UpdateConfig>,
    pub rollback: Option<UpdateConfig>,
    pub endpoint: Option<EndpointSpec>,
}

impl ServiceSpec {
    /// Whether both ask for the same tasks: a difference in anything else
    /// (labels, replicas, how to update) replaces none.
    pub fn same_tasks(&self, other: &Self) -> bool {
        self.task.is_same(&other.task) && self.endpoint == other.endpoint
    }

    /// What the tasks are reached at; the default where nothing was said.
    pub fn endpoint_mode(&self) -> EndpointMode {
        let mode = self.endpoint.as_ref().and_then(|endpoint| endpoint.mode);
        mode.unwrap_or_default()
    }

    pub fn ports(&self) -> &[PortSpec] {
        self.endpoint.as_ref().map_or(&[], |it| &it.ports)
    }

    /// Whether its tasks are on the ingress network.
    pub fn has_ingress_ports(&self) -> bool {
        let ingress = |port: &PortSpec| port.mode == PublishMode::Ingress;
        self.ports().iter().any(ingress)
    }

    /// Whether its tasks need addresses.
    pub fn is_on_networks(&self) -> bool {
        !self.task.networks.is_empty() || self.has_ingress_ports()
    }

    /// The VIPs that a user named on this network.
    pub fn static_vips(&self, network: Id) -> &[IpAddr] {
        let endpoint = self.endpoint.as_ref();
        let said = endpoint.and_then(|endpoint| endpoint.addresses.get(&network));
        said.map_or(&[], Vec::as_slice)
    }

    /// The addresses that a user named for the task on this network.
    pub fn static_addresses(&self, network: Id) -> &[IpAddr] {
        let networks = self.task.networks.iter();
        let said = networks.filter(|it| it.target == network);
        said.map(|it| it.addresses.as_slice()).next().unwrap_or(&[])
    }

    /// The host ports that a task of this service takes on its node. A port
    /// that the node picks by itself (published as zero) is not among them.
    pub fn host_ports(&self) -> impl Iterator<Item = &PortSpec> {
        self.ports()
            .iter()
            .filter(|port| port.mode == PublishMode::Host && port.published != 0)
    }
}

/// What one task of a service is. Two tasks with equal `TaskSpec`s are
/// interchangeable; a change of it is what an update rolls out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskSpec {
    pub container: ContainerSpec,
    pub resources: Option<Resources>,
    pub restart: Option<RestartPolicy>,
    pub placement: Option<Placement>,
    pub log_driver: Option<LogDriver>,
    /// Counts `--force` updates: a difference that only says "replace it".
    pub force_update: u64,
    /// Overlay networks; the one for ingress is not among them.
    pub networks: Vec<NetworkAttachment>,
    /// Instead of them, one of its node's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_network: Option<OwnNetwork>,
    /// For the registry that the image comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry_auth: Option<RegistryAuth>,
    /// Reserved of its node's generic resources.
    #[serde(skip_serializing_if = "Wanted::is_empty")]
    pub generic: Wanted,
}

/// That the tasks of a service are on a network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkAttachment {
    /// Users may say its name: it is looked up once, at the API's door.
    pub target: Id,
    /// Names on this network beside the service's own.
    pub aliases: Vec<String>,
    pub driver_opts: BTreeMap<String, String>,
    /// The task's own there, at most one of each family; where none is said,
    /// one is picked. Only of services that have one task at a time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
}

impl TaskSpec {
    /// Other credentials for the registry make no other task: what runs has its
    /// image.
    pub fn is_same(&self, other: &Self) -> bool {
        if self.registry_auth == other.registry_auth {
            return self == other;
        }
        let other = Self {
            registry_auth: self.registry_auth.clone(),
            ..other.clone()
        };
        *self == other
    }

    pub fn stop_grace(&self) -> Duration {
        self.container.stop_grace.unwrap_or(defaults::STOP_GRACE)
    }

    pub fn restart_condition(&self) -> RestartCondition {
        self.restart
            .as_ref()
            .and_then(|policy| policy.condition)
            .unwrap_or_default()
    }

    pub fn restart_delay(&self) -> Duration {
        self.restart
            .as_ref()
            .and_then(|policy| policy.delay)
            .unwrap_or(defaults::RESTART_DELAY)
    }

    pub fn reservations(&self) -> ResourceAmounts {
        self.resources
            .as_ref()
            .and_then(|resources| resources.reservations.clone())
            .unwrap_or_default()
    }
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    pub limits: Option<ResourceAmounts>,
    /// Counted by the scheduler only.
    pub reservations: Option<ResourceAmounts>,
}

/// Amounts of a node, a limit or a reservation; zero is "none said".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceAmounts {
    /// Billionths of a CPU.
    pub nano_cpus: i64,
    pub memory_bytes: i64,
    /// Limits only.
    pub pids: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartCondition {
    None,
    OnFailure,
    #[default]
    Any,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RestartPolicy {
    pub condition: Option<RestartCondition>,
    pub delay: Option<Duration>,
    /// `None` or zero: without limit.
    pub max_attempts: Option<u64>,
    /// In which `max_attempts` are counted; zero: for ever.
    pub window: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Placement {
    /// As written, e.g. `node.labels.zone==a`; parsed by `constraint`.
    pub constraints: Vec<String>,
    /// Spread descriptors, e.g. `node.labels.zone`, most significant first.
    pub preferences: Vec<String>,
    pub max_per_node: Option<u64>,
    /// The platforms that the image exists for; empty: any.
    pub platforms: Vec<Platform>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureAction {
    #[default]
    Pause,
    Continue,
    Rollback,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateOrder {
    #[default]
    StopFirst,
    StartFirst,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateConfig {
    /// Zero: all at once.
    pub parallelism: u64,
    pub delay: Option<Duration>,
    pub failure_action: Option<FailureAction>,
    pub monitor: Option<Duration>,
    /// 0.0–1.0 of the tasks to be updated.
    pub max_failure_ratio: f64,
    pub order: Option<UpdateOrder>,
}
