//! Everything that can change the replicated state, and how it is refused.
//!
//! Each command is checked when it is applied: one that no longer fits (a
//! stale version, a name that was taken meanwhile) is refused with a reason
//! and changes nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::file::{FileKind, FileSpec};
use crate::generic::Generic;
use crate::id::Id;
use crate::object::{
    CaDigest, Cluster, NodeDescription, RootRotation, Subnet, TaskAddress, TaskState, TaskStatus,
    UnlockKey, UpdateStatus, Vip,
};
use crate::spec::{ClusterSpec, Labels, NetworkSpec, NodeSpec, Role, ServiceSpec};
use crate::time::Timestamp;

/// A command and when its proposer made it; `apply` knows no other clock.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    pub at: Timestamp,
    pub command: Command,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// The first command of a cluster. `cluster.meta` is set by `apply`.
    CreateCluster {
        cluster: Box<Cluster>,
    },
    UpdateCluster {
        version: u64,
        spec: ClusterSpec,
    },
    /// The new token, whole, made by the proposer.
    RotateJoinToken {
        role: Role,
        token: String,
    },
    /// A certificate was issued to a new node. Again for a known node that was
    /// not removed: its role in `spec` stays, only `addr` is renewed.
    AddNode {
        id: Id,
        spec: NodeSpec,
        addr: SocketAddr,
    },
    /// What a node says of itself; proposed only when it differs.
    DescribeNode {
        id: Id,
        description: Box<NodeDescription>,
        addr: SocketAddr,
    },
    UpdateNode {
        id: Id,
        version: u64,
        spec: NodeSpec,
    },
    /// A removed node's id is revoked for ever.
    RemoveNode {
        id: Id,
    },
    CreateService {
        id: Id,
        spec: Arc<ServiceSpec>,
    },
    UpdateService {
        id: Id,
        version: u64,
        spec: Arc<ServiceSpec>,
    },
    /// Swap `spec` and `previous_spec`.
    RollbackService {
        id: Id,
        version: u64,
    },
    RemoveService {
        id: Id,
    },
    /// What one run of `plan` decided.
    Plan {
        changes: Vec<Change>,
    },
    /// The proposer chose the subnets ([`crate::State::choose_subnets`]): what
    /// was decided is in the log, not how. Refused where one was taken since.
    CreateNetwork {
        id: Id,
        spec: Arc<NetworkSpec>,
        subnets: Vec<Subnet>,
    },
    /// Refused while something uses it.
    RemoveNetwork {
        id: Id,
    },
    /// The proposer chose the addresses ([`crate::State::choose_addresses`]).
    /// Refused where one was taken since. Again for an attachment that is
    /// there, on the same network and node: it gets these instead.
    CreateAttachment {
        id: Id,
        network: Id,
        node: Id,
        addrs: Vec<IpNet>,
    },
    /// What of them is there no more is no error.
    RemoveAttachments {
        ids: Vec<Id>,
    },
    CreateFile {
        id: Id,
        kind: FileKind,
        spec: FileSpec,
    },
    /// What it holds never changes.
    UpdateFile {
        id: Id,
        kind: FileKind,
        version: u64,
        labels: Labels,
    },
    /// Refused while a service refers to it.
    RemoveFile {
        id: Id,
        kind: FileKind,
    },
    /// As `UpdateCluster`, and the CA is to be another one: that of `rotation`,
    /// whatever another rotation was on its way to; `None`: the present one.
    RotateRoot {
        version: u64,
        spec: ClusterSpec,
        rotation: Option<Box<RootRotation>>,
    },
    /// The new key, made by the proposer; `None`: managers are locked no more.
    SetUnlockKey {
        key: Option<UnlockKey>,
    },
}

/// One decision of the plan. A change that no longer fits is skipped, the
/// others of its command apply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Change {
    CreateTask {
        id: Id,
        service: Id,
        /// The service must still have this spec, else the change is skipped.
        spec_version: u64,
        slot: u64,
        desired: TaskState,
        not_before: Timestamp,
        failures: u32,
    },
    /// PENDING → ASSIGNED.
    AssignTask {
        id: Id,
        node: Id,
    },
    SetDesired {
        id: Id,
        desired: TaskState,
    },
    /// An outcome, or why it is still pending. Never moves a state back.
    SetStatus {
        id: Id,
        status: TaskStatus,
    },
    /// Forget it; its node removes the container.
    DeleteTask {
        id: Id,
    },
    SetUpdateStatus {
        service: Id,
        spec_version: u64,
        status: UpdateStatus,
    },
    /// An automatic rollback: `spec` becomes `previous_spec`, which is cleared.
    Rollback {
        service: Id,
        spec_version: u64,
        status: UpdateStatus,
    },
    /// The ingress network that a swarm is born with.
    CreateIngress {
        id: Id,
        subnets: Vec<Subnet>,
    },
    /// All that the endpoint of the service is to have.
    AllocateService {
        service: Id,
        spec_version: u64,
        /// For each ingress port of the spec that names none, in their order.
        published: Vec<u16>,
        vips: Vec<Vip>,
    },
    /// NEW → PENDING.
    AllocateTask {
        id: Id,
        addresses: Vec<TaskAddress>,
    },
    /// As `CreateTask`, for a service whose slots are the nodes.
    CreateTaskOnNode {
        id: Id,
        service: Id,
        spec_version: u64,
        node: Id,
        desired: TaskState,
        not_before: Timestamp,
        failures: u32,
    },
    /// As `AssignTask`, with what the task is given of the node's generic
    /// resources.
    AssignTaskWith {
        id: Id,
        node: Id,
        generic: Generic,
    },
    /// They could do without the present CA.
    NodesRenewed {
        /// Of the CA that they have their certificates of.
        digest: CaDigest,
        nodes: Vec<Id>,
    },
    /// The next CA is the present one. Skipped while a node is not renewed.
    EndRotation {
        digest: CaDigest,
    },
}

/// What the proposer gets back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    Done,
    /// The object's version after the command.
    Version(u64),
}

/// Why a command changed nothing. `message` is Docker's text, without the
/// `rpc error` prefix that `kind` stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub kind: RefusalKind,
    pub message: String,
}

impl RefusalKind {
    pub fn because(self, message: impl Into<String>) -> Refusal {
        Refusal {
            kind: self,
            message: message.into(),
        }
    }
}

/// gRPC's codes, as far as Docker uses them in its answers; the API maps them
/// to HTTP statuses and to `rpc error: code = … desc = …` texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalKind {
    /// Plain 404 without the `rpc error` prefix.
    NotFound,
    AlreadyExists,
    InvalidArgument,
    FailedPrecondition,
    Unimplemented,
    /// Docker answers "update out of sequence" and bad constraints so.
    Unknown,
}
