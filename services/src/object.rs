//! The objects of the replicated state.
//!
//! Raft carries intent and outcomes only: a task's `status` here is what the
//! plan decided (NEW, PENDING, ASSIGNED) or how it ended. What happens in
//! between (ACCEPTED … RUNNING) is reported over sessions, lives in memory
//! ([`crate::Observed`]), and is reported again after a change of leader.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::generic::Generic;
use crate::id::Id;
use crate::spec::{
    ClusterSpec, Labels, NetworkSpec, NodeSpec, Platform, PortSpec, Protocol, ResourceAmounts,
    ServiceSpec,
};
use crate::time::Timestamp;

/// Version and times of an object. `version` is the Raft index of its last
/// write (Docker's `Version.Index`) and what an update must name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Meta {
    pub version: u64,
    pub created: Timestamp,
    pub updated: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    pub id: Id,
    pub meta: Meta,
    pub spec: ClusterSpec,
    pub ca: ClusterCa,
    pub join_tokens: JoinTokens,
    /// `None`: devices join with a token only.
    pub site: Option<SiteSecret>,
    /// Under what the managers keep their keys on disk; `None`: managers start
    /// without an operator.
    pub unlock_key: Option<UnlockKey>,
}

/// What the site key was stretched to: whoever proves that it knows it may
/// join. Only ever in sealed files and memory.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteSecret(pub [u8; 32]);

impl std::fmt::Debug for SiteSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SiteSecret").finish_non_exhaustive()
    }
}

/// What an operator types to start a manager. Only ever in sealed files, in memory
/// and in the answer to who asks for it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnlockKey(pub [u8; 32]);

impl std::fmt::Debug for UnlockKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnlockKey").finish_non_exhaustive()
    }
}

/// The certificate authority, PEM. Only ever in sealed files and memory.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterCa {
    pub certificate: String,
    pub key: String,
}

impl std::fmt::Debug for ClusterCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterCa").finish_non_exhaustive()
    }
}

/// The SHA-256 of a CA's certificate in DER.
pub type CaDigest = [u8; 32];

/// The CA on its way to be another one. Until every node has a certificate of the
/// next one, all of them trust both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootRotation {
    pub next: ClusterCa,
    pub digest: CaDigest,
    /// PEM: the certificate of the next CA, signed by the present one. It goes with
    /// every certificate of the next one.
    pub cross_signed: String,
    /// Those that the swarm has from then on.
    pub join_tokens: JoinTokens,
    pub begun: Timestamp,
    /// The nodes that could do without the present CA.
    pub renewed: BTreeSet<Id>,
}

/// The whole tokens, as users paste them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinTokens {
    pub worker: String,
    pub manager: String,
}

impl std::fmt::Debug for JoinTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinTokens").finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub id: Id,
    pub meta: Meta,
    pub spec: NodeSpec,
    /// `None` until the node's first session.
    pub description: Option<NodeDescription>,
    /// Where its control port answers, as last seen.
    pub addr: SocketAddr,
}

impl Node {
    /// Whether it said so: tasks on networks of the swarm cannot be there.
    pub fn is_without_overlay(&self) -> bool {
        self.description.as_ref().is_some_and(|it| it.no_overlay)
    }
}

/// What a node says of itself at the start of a session. Changes rarely.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeDescription {
    pub hostname: String,
    pub platform: Platform,
    pub resources: ResourceAmounts,
    pub engine_version: String,
    pub engine_labels: Labels,
    /// `(type, name)` of the engine's plugins, e.g. `("Log", "json-file")`.
    pub plugins: Vec<(String, String)>,
    pub swarmlet_version: String,
    /// The subnets that it has an interface in, other than the swarm's: no
    /// network of the swarm may take them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<IpNet>,
    /// Paths of the devices below `/dev`, and of the folders that have any,
    /// but for those that [all hosts have](crate::device::is_common).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub devices: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Generic::is_empty")]
    pub generic: Generic,
    /// Its daemon runs without the overlay: no task there is on a network of
    /// the swarm.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_overlay: bool,
    /// Where alone its data port answers; `None`: wherever the node is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_addr: Option<IpAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    pub id: Id,
    pub meta: Meta,
    pub spec: Arc<NetworkSpec>,
    /// One of each family that it has, IPv4 first. They overlap with no other
    /// network's and never change.
    pub subnets: Vec<Subnet>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    pub net: IpNet,
    pub gateway: IpAddr,
    /// Where addresses are picked; `None`: in all of `net`.
    pub range: Option<IpNet>,
}

/// A container that a user put on an attachable network by himself: no service
/// stands behind it, and its node's engine alone runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub id: Id,
    pub meta: Meta,
    pub network: Id,
    pub node: Id,
    /// One per subnet of the network, in their order, with its prefix length.
    pub addrs: Vec<IpNet>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    pub id: Id,
    pub meta: Meta,
    pub spec: Arc<ServiceSpec>,
    /// Grows with every write of `spec` and names it: tasks say which spec they
    /// run. The Raft index of the write, or the last one's + 1 after an
    /// automatic rollback.
    pub spec_version: u64,
    pub previous_spec: Option<Arc<ServiceSpec>>,
    pub update: Option<UpdateStatus>,
    /// Of a service whose mode is a job, and of no other.
    pub job: Option<JobStatus>,
    pub endpoint: Endpoint,
}

/// A job runs once for each write of its spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    /// From 0; tasks say which of them they are of.
    pub iteration: u64,
    pub last_execution: Timestamp,
}

impl JobStatus {
    pub fn first(at: Timestamp) -> Self {
        Self {
            iteration: 0,
            last_execution: at,
        }
    }

    pub fn next(self, at: Timestamp) -> Self {
        Self {
            iteration: self.iteration.saturating_add(1),
            last_execution: at,
        }
    }
}

impl Service {
    /// Whether tasks of older specs may still be there: an update or a rollback
    /// is under way, or was paused.
    pub fn is_updating(&self) -> bool {
        let state = self.update.as_ref().map(|update| update.state);
        !matches!(
            state,
            None | Some(UpdateState::Completed | UpdateState::RollbackCompleted)
        )
    }
}

/// What a service was given of what its spec asks. While something is
/// missing, new tasks wait and say why.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Endpoint {
    /// Those of the spec, in its order, with the published port filled in
    /// (host mode keeps its zeros: there the node picks).
    pub ports: Vec<PortSpec>,
    /// On each network of the spec one per subnet; none for `dnsrr`, and none
    /// on the ingress network.
    pub vips: Vec<Vip>,
}

/// An address that stands for all tasks of a service on one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Vip {
    pub network: Id,
    /// With the prefix length of its subnet, as Docker shows it.
    pub addr: IpNet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateState {
    Updating,
    Paused,
    Completed,
    RollbackStarted,
    RollbackPaused,
    RollbackCompleted,
}

impl UpdateState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Updating => "updating",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::RollbackStarted => "rollback_started",
            Self::RollbackPaused => "rollback_paused",
            Self::RollbackCompleted => "rollback_completed",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateStatus {
    pub state: UpdateState,
    pub started: Timestamp,
    pub completed: Option<Timestamp>,
    pub message: String,
}

impl UpdateStatus {
    /// An update or a rollback that starts now.
    pub fn begun(state: UpdateState, at: Timestamp, message: impl Into<String>) -> Self {
        Self {
            state,
            started: at,
            completed: None,
            message: message.into(),
        }
    }
}

/// One attempt to run one slot of a service. It never comes back: its state
/// only moves forward, and a replacement is a new task in the same slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub id: Id,
    pub meta: Meta,
    pub service: Id,
    pub slot: SlotId,
    /// Which run of a job it is of.
    pub job_iteration: Option<u64>,
    /// The service's spec as it was when the task was made; shared.
    pub spec: Arc<ServiceSpec>,
    pub spec_version: u64,
    pub node: Option<Id>,
    pub desired: TaskState,
    pub status: TaskStatus,
    /// Earliest time at which a READY task may be told to run (restart delay).
    pub not_before: Timestamp,
    /// Failures in a row of this slot, for the back-off.
    pub failures: u32,
    /// Where it is on networks, the ingress network among them; none before
    /// PENDING. They are its own until it ended, and only told afterwards.
    pub addresses: Vec<TaskAddress>,
    /// What it was given of its node's generic resources; its own until it
    /// ended, and only told afterwards.
    pub generic: Generic,
}

/// Which place of its service a task fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SlotId {
    /// From 1 for replicas, from 0 for the tasks of a job.
    Number(u64),
    /// The one of a service that has a task per node.
    Node(Id),
}

impl SlotId {
    /// Docker's `Slot`: zero for a node.
    pub fn number(self) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Node(_) => 0,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskAddress {
    pub network: Id,
    /// One per subnet of the network, in their order, with its prefix length.
    pub addrs: Vec<IpNet>,
}

impl Task {
    /// `<service>.<slot>.<task id>`.
    pub fn container_name(&self) -> String {
        let node = self.known_node();
        container_name(&self.spec, self.slot.number(), node, self.id)
    }

    /// Where it is, or will be as its slot says.
    pub fn known_node(&self) -> Option<Id> {
        match self.slot {
            SlotId::Node(node) => Some(node),
            SlotId::Number(_) => self.node,
        }
    }

    /// Where its node is to take it. What is done is not done once more, even
    /// by a node that remembers nothing.
    pub fn ordered(&self) -> TaskState {
        match self.status.state.is_final() {
            true => self.desired.max(TaskState::Shutdown),
            false => self.desired,
        }
    }

    /// Where it shall get, as users are told: a job's task is to end.
    pub fn shown_desired(&self) -> TaskState {
        match self.desired {
            TaskState::Running if self.spec.mode.is_job() => TaskState::Complete,
            desired => desired,
        }
    }
}

/// As in Swarm, slot zero is called after the node.
pub(crate) fn container_name(spec: &ServiceSpec, slot: u64, node: Option<Id>, task: Id) -> String {
    match (slot, node) {
        (0, Some(node)) => format!("{}.{node}.{task}", spec.name),
        _ => format!("{}.{slot}.{task}", spec.name),
    }
}

/// The order is Swarm's: a state only ever increases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TaskState {
    New,
    Pending,
    Assigned,
    Accepted,
    Preparing,
    Ready,
    Starting,
    Running,
    Complete,
    Shutdown,
    Failed,
    Rejected,
    /// Only ever desired: stop it and forget it.
    Remove,
    Orphaned,
}

impl TaskState {
    /// Whether the attempt is over: nothing of it runs or will run.
    pub fn is_final(self) -> bool {
        self > Self::Running
    }

    /// Docker's lower-case name, as in `"State": "running"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Pending => "pending",
            Self::Assigned => "assigned",
            Self::Accepted => "accepted",
            Self::Preparing => "preparing",
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Shutdown => "shutdown",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Remove => "remove",
            Self::Orphaned => "orphaned",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStatus {
    pub state: TaskState,
    pub at: Timestamp,
    /// Swarm's words, e.g. `started`, `assigned`, `pending task scheduling`.
    pub message: String,
    /// Why it is not further, or how it failed; what `service ps` shows.
    pub error: Option<String>,
    pub container: Option<ContainerStatus>,
    /// Host-mode ports as the engine published them.
    pub ports: Vec<PublishedPort>,
    /// When the task first was RUNNING (healthy, where there is a check), if
    /// it was: failing before that fails an update.
    pub started: Option<Timestamp>,
}

impl TaskStatus {
    /// `state` since `at`, with nothing to tell of errors and containers.
    pub fn at(state: TaskState, at: Timestamp, message: impl Into<String>) -> Self {
        Self {
            state,
            at,
            message: message.into(),
            error: None,
            container: None,
            ports: Vec::new(),
            started: None,
        }
    }

    /// Given up without having heard how it ended.
    pub fn orphaned(at: Timestamp, error: &str) -> Self {
        Self {
            error: Some(error.to_owned()),
            ..Self::at(TaskState::Orphaned, at, "orphaned")
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ContainerStatus {
    pub id: String,
    pub pid: i64,
    pub exit_code: i64,
    pub oom_killed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    pub protocol: Protocol,
    pub target: u16,
    pub published: u16,
    pub host_ip: Option<IpAddr>,
}
