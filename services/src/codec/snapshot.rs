//! The whole state as a stream of records, each after its length (u32, little
//! endian), closed by a count. The stream needs no more memory than its
//! largest record. Each distinct spec of a service is written once, before
//! the first task that runs it, and shared again after reading.

mod read;
mod write;

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::record::ClusterV1;
use crate::file::FileKind;
use crate::generic::Generic;
use crate::id::Id;
use crate::object::{
    JobStatus, Meta, RootRotation, Subnet, TaskAddress, TaskState, TaskStatus, UnlockKey,
    UpdateStatus, Vip,
};
use crate::time::Timestamp;

pub use read::read_snapshot;
pub use write::write_snapshot;

/// Limit of one record in bytes.
pub const MAX_SNAPSHOT_RECORD: usize = 8 << 20;

#[derive(Serialize, Deserialize)]
enum Record {
    V1(RecordV1),
}

#[derive(Serialize, Deserialize)]
enum RecordV1 {
    Cluster(ClusterV1),
    Node {
        id: Id,
        meta: Meta,
        spec_json: String,
        description_json: Option<String>,
        addr: SocketAddr,
    },
    RemovedNode(Id),
    Spec {
        service: Id,
        spec_version: u64,
        spec_json: String,
    },
    Service {
        id: Id,
        meta: Meta,
        spec_version: u64,
        previous_spec_json: Option<String>,
        update: Option<UpdateStatus>,
    },
    Task {
        id: Id,
        meta: Meta,
        service: Id,
        slot: u64,
        spec_version: u64,
        node: Option<Id>,
        desired: TaskState,
        status: TaskStatus,
        not_before: Timestamp,
        failures: u32,
    },
    End {
        records: u64,
    },
    Network {
        id: Id,
        meta: Meta,
        spec_json: String,
        subnets: Vec<Subnet>,
        /// Along the subnets: the last address that was picked.
        cursors: Vec<Option<IpAddr>>,
    },
    /// Of the service whose record it follows; none where it is empty, or
    /// only holds ports in host mode.
    Endpoint {
        service: Id,
        /// Along the spec's ports: what is published, `None` where that is
        /// not settled.
        published: Vec<Option<u16>>,
        vips: Vec<Vip>,
    },
    /// Of the task whose record it follows, where it has any.
    Addresses {
        task: Id,
        addresses: Vec<TaskAddress>,
    },
    /// There was an ingress network, whether it is there still or not.
    HadIngress,
    Attachment {
        id: Id,
        meta: Meta,
        network: Id,
        node: Id,
        addrs: Vec<IpNet>,
    },
    /// Of the task whose record it follows, where its slot is a node.
    NodeSlot {
        task: Id,
        node: Id,
    },
    /// Of the service whose record it follows, where that is a job.
    Job {
        service: Id,
        status: JobStatus,
    },
    /// Of the task whose record it follows, where that is a job's.
    JobTask {
        task: Id,
        iteration: u64,
    },
    File {
        id: Id,
        kind: FileKind,
        meta: Meta,
        spec_json: String,
        data: Vec<u8>,
    },
    /// Of the task whose record it follows, where it was given any.
    Generic {
        task: Id,
        generic: Generic,
    },
    /// While the CA is on its way to be another one.
    Rotation(RootRotation),
    /// Of the cluster, whose record it follows; none where it has no key.
    UnlockKey(UnlockKey),
}
