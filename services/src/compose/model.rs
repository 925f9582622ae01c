//! What a project of Compose files says, in one form for everything that they
//! let people write in several.
//!
//! Where the swarm's own specs say the same thing, these are their types. An
//! `Option` that is `None` means that nobody said.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use super::files::{FileError, Files, MAX_FILE};
use crate::file::Payload;
use crate::spec::{
    Device, DnsConfig, Driver, EndpointMode, GpuRequest, Healthcheck, IpamSpec, IpcMode, Labels,
    LogDriver, Mode, Mount, PidMode, Placement, Platform, PortSpec, Resources, RestartPolicy,
    Ulimit, UpdateConfig,
};

/// All files of a project, merged. The keys of its maps are the short names
/// that the files use.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Project {
    /// The top-level `name`.
    pub name: Option<String>,
    /// Those whose profiles are on, or that have none.
    pub services: BTreeMap<String, Service>,
    /// With `default`, where a service is on it. Services name no other ones.
    pub networks: BTreeMap<String, Network>,
    /// Services name no other ones.
    pub volumes: BTreeMap<String, Volume>,
    pub secrets: BTreeMap<String, FileObject>,
    pub configs: BTreeMap<String, FileObject>,
}

impl Project {
    /// The networks that some service is on: the ones that a stack needs.
    pub fn used_networks(&self) -> BTreeSet<&str> {
        let services = self.services.values();
        let used = services.flat_map(|service| service.networks.keys());
        used.map(String::as_str).collect()
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Service {
    pub image: String,
    /// Replaces the image's; `None` and empty leave it.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's; `None` and empty leave it.
    pub command: Option<Vec<String>>,
    /// With what `env_file` names. `None` takes a variable of the image away.
    pub environment: BTreeMap<String, Option<String>>,
    /// Of the containers. Those of the service are [`Deploy::labels`].
    pub labels: Labels,
    pub hostname: Option<String>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub groups: Vec<String>,
    pub tty: bool,
    pub stdin_open: bool,
    pub read_only: bool,
    pub init: Option<bool>,
    /// `volumes` and `tmpfs`. The source of a volume is a key of
    /// [`Project::volumes`], or empty for an anonymous one; that of a bind
    /// mount is absolute.
    pub mounts: Vec<Mount>,
    pub stop_signal: Option<String>,
    pub stop_grace: Option<Duration>,
    pub healthcheck: Option<Healthcheck>,
    pub logging: Option<LogDriver>,
    /// `extra_hosts` as specs hold them, `IP name`.
    pub hosts: Vec<String>,
    pub dns: DnsConfig,
    pub sysctls: BTreeMap<String, String>,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub ulimits: Vec<Ulimit>,
    pub oom_score_adj: Option<i64>,
    pub isolation: Option<String>,
    /// By the keys of [`Project::networks`]; empty with a `network_mode`.
    pub networks: BTreeMap<String, Attachment>,
    pub network_mode: Option<NetworkMode>,
    pub ports: Vec<PortSpec>,
    pub secrets: Vec<FileUse>,
    pub configs: Vec<FileUse>,
    pub deploy: Deploy,
    /// By the names of services, all of which are in the project.
    pub depends_on: BTreeMap<String, Dependency>,
    pub profiles: Vec<String>,
    pub devices: Vec<Device>,
    /// `gpus`, or the device of `deploy.resources.reservations` that is a GPU.
    pub gpus: Option<GpuRequest>,
    pub privileged: bool,
    /// `name=value` or `name`; a `seccomp` profile is its JSON, not its path.
    pub security_opt: Vec<String>,
    pub shm_size: Option<i64>,
    pub pid: Option<PidMode>,
    pub ipc: Option<IpcMode>,
    pub platform: Option<Platform>,
}

/// How the swarm runs it: `deploy`, and the keys of services that say the same.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Deploy {
    pub mode: Mode,
    /// Of the service.
    pub labels: Labels,
    pub update: Option<UpdateConfig>,
    pub rollback: Option<UpdateConfig>,
    pub restart: Option<RestartPolicy>,
    pub resources: Resources,
    /// Reserved counts by kind, as `gpu: 2`.
    pub generic_resources: BTreeMap<String, i64>,
    pub placement: Placement,
    pub endpoint_mode: Option<EndpointMode>,
}

/// That the tasks of a service are on a network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attachment {
    /// Names on it beside the service's own.
    pub aliases: Vec<String>,
    pub ipv4_address: Option<Ipv4Addr>,
    pub ipv6_address: Option<Ipv6Addr>,
    pub driver_opts: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkMode {
    Host,
    None,
}

/// What has to be before a service is started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dependency {
    pub condition: Condition,
    /// It is restarted when the other is replaced.
    pub restart: bool,
    /// Otherwise it may have been left out by its profiles.
    pub required: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    #[default]
    Started,
    Healthy,
    CompletedSuccessfully,
}

/// That a service has a secret or a config as a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileUse {
    /// A key of [`Project::secrets`] or [`Project::configs`].
    pub source: String,
    /// Always said: the source where the file says none.
    pub target: String,
    pub uid: u32,
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Network {
    /// `None`: the stack's name and the key. Said of every external one.
    pub name: Option<String>,
    /// It is there already; nothing but its name is said.
    pub external: bool,
    pub driver: Option<Driver>,
    pub internal: bool,
    pub attachable: bool,
    pub ipv6: bool,
    pub ipam: IpamSpec,
    pub labels: Labels,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Volume {
    /// `None`: the stack's name and the key. Said of every external one.
    pub name: Option<String>,
    pub external: bool,
    pub driver: Option<Driver>,
    pub labels: Labels,
}

/// A secret or a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileObject {
    /// `None`: the stack's name and the key. Said of every external one.
    pub name: Option<String>,
    pub source: FileSource,
    pub labels: Labels,
    /// What expands the bytes for each task.
    pub templating: Option<Driver>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSource {
    /// It is there already.
    External,
    /// Absolute, and not read yet.
    File(PathBuf),
    /// `content`, of configs only.
    Content(String),
    Environment {
        variable: String,
        value: Payload,
    },
}

impl FileSource {
    /// The bytes; `None` where the swarm has them already.
    ///
    /// # Errors
    /// Why its file cannot be read.
    pub fn read(&self, files: &dyn Files) -> Result<Option<Payload>, FileError> {
        Ok(match self {
            Self::External => None,
            Self::File(path) => Some(files.read(path, MAX_FILE)?.into()),
            Self::Content(text) => Some(text.clone().into_bytes().into()),
            Self::Environment { value, .. } => Some(value.clone()),
        })
    }
}
