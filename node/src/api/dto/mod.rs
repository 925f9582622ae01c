//! Docker's wire form of the swarm half of the Engine API (v1.41 … v1.51).
//!
//! Both ends use these types: the server's routes and our own command line.
//! They say what is on the wire and nothing else: enumerations are strings,
//! durations are nanoseconds, ids are text. What these values mean is in
//! `services::spec` and `services::object`; [`super::convert`] stands between.
//!
//! Reading is as tolerant as Go's decoder (unknown fields, and after
//! [`super::json`] also `null` and the case of keys); writing leaves out what
//! is unset and keeps explicit zeros, as Docker's answers do. Specs keep the
//! fields that they do not know in `extra`, so that reading one, changing it
//! and sending it back loses nothing.

mod container;
mod doctor;
mod file;
mod labels;
mod network;
mod node;
mod service;
mod site;
mod swarm;
mod task;
mod watch;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use services::Timestamp;

pub use container::{
    BindOptions, ContainerSpec, DnsConfig, Driver, Healthcheck, Mount, TmpfsOptions, Ulimit,
    VolumeOptions,
};
pub use doctor::{DoctorDevice, DoctorPair, DoctorPath, DoctorProbes, DoctorView, NetworkDoctor};
pub use file::{
    ConfigFileReference, Data, File, FileComparison, FileCreateResponse, FileSpec, FileTarget,
    SecretReference,
};
pub use labels::{
    DEVICE_LABEL, GPUS_LABEL, HOST_IP_LABEL, IP_LABEL, IPC_LABEL, PID_LABEL, PLATFORM_LABEL,
    PRIVILEGED_LABEL, SECURITY_OPT_LABEL, SHM_SIZE_LABEL, SWARMLET_LABEL, VIP_LABEL, is_one_of,
};
pub use network::{
    ConfigReference, EndpointResource, Ipam, IpamConfig, IpamOptions, Network, NetworkAttachment,
    NetworkAttachmentConfig, NetworkCreateRequest, NetworkCreateResponse, NetworkResource,
    NetworkSpec, NetworksPruned, ServiceInfo, SubnetConfig, TaskEndpoint,
};
pub use node::{
    EngineDescription, ManagerStatus, Node, NodeDescription, NodeSpec, NodeStatus, Plugin, TlsInfo,
};
pub use service::{
    Endpoint, EndpointSpec, JobStatus, PortConfig, ReplicatedJob, ReplicatedService, Service,
    ServiceCreateResponse, ServiceMode, ServiceSpec, ServiceStatus, ServiceUpdateResponse,
    UpdateConfig, UpdateStatus, VirtualIp,
};
pub use site::{Device, FoundSwarm, UpProgress, UpRequest};
pub use swarm::{
    CaConfig, ClusterInfo, Dispatcher, EncryptionConfig, Info, InitRequest, JoinRequest,
    JoinTokens, Orchestration, RaftConfig, RemoteManager, SigningKey, Swarm, SwarmInfo, SwarmSpec,
    UnlockKey,
};
pub use task::{
    ContainerStatus, DiscreteResource, GenericResource, Limit, NamedResource, Placement,
    PlacementPreference, Platform, PortStatus, Reservation, Resources, RestartPolicy, SpreadOver,
    Task, TaskSpec, TaskStatus,
};
pub use watch::{Actor, EventMessage, Member, SwarmEvent};

pub type Labels = BTreeMap<String, String>;

/// Fields that this version does not know, as they came.
pub type Extra = serde_json::Map<String, serde_json::Value>;

/// Every error answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorMessage {
    pub message: String,
}

/// What an update must name: `?version=` this index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Version {
    #[serde(rename = "Index", skip_serializing_if = "is_default")]
    pub index: u64,
}

/// A point in time, RFC 3339 with as many fractional digits as are not zero.
/// Go's zero time (year 1) reads as the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time(pub Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = jiff::Timestamp::from_nanosecond(i128::from(self.0.0))
            .map_err(serde::ser::Error::custom)?;
        serializer.collect_str(&time)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        let nanos = u64::try_from(time.as_nanosecond().max(0)).unwrap_or(u64::MAX);
        Ok(Self(Timestamp(nanos)))
    }
}

/// Go's `omitempty`.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_go_writes_it() {
        for text in [
            "2026-11-20T23:04:57.657523537Z",
            "2026-11-20T23:05:00.08Z",
            "2026-11-20T23:05:00Z",
        ] {
            let json = format!("{text:?}");
            let time: Time = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::to_string(&time).unwrap(), json);
        }
    }

    #[test]
    fn gos_zero_time_is_read() {
        let time: Time = serde_json::from_str("\"0001-01-01T00:00:00Z\"").unwrap();
        assert_eq!(time, Time::default());
    }
}
