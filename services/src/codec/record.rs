//! The records themselves: the domain's types with specs as JSON text.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{CodecError, arc_from_json, from_json, to_json};
use crate::assignment::Assignment;
use crate::command::{Answer, Change, Command, Proposal, Refusal};
use crate::file::{FileKind, FileSpec};
use crate::generic::Generic;
use crate::id::Id;
use crate::object::{
    Cluster, ClusterCa, JoinTokens, Meta, RootRotation, SiteSecret, Subnet, TaskState, UnlockKey,
};
use crate::spec::{Labels, Role, ServiceSpec};
use crate::time::Timestamp;

#[derive(Serialize, Deserialize)]
pub(super) enum ProposalRecord {
    V1 { at: Timestamp, command: CommandV1 },
}

/// Fields that end in `json` hold the type of the command's field as JSON.
#[derive(Serialize, Deserialize)]
pub(super) enum CommandV1 {
    CreateCluster(ClusterV1),
    UpdateCluster {
        version: u64,
        spec_json: String,
    },
    RotateJoinToken {
        role: Role,
        token: String,
    },
    AddNode {
        id: Id,
        spec_json: String,
        addr: SocketAddr,
    },
    DescribeNode {
        id: Id,
        description_json: String,
        addr: SocketAddr,
    },
    UpdateNode {
        id: Id,
        version: u64,
        spec_json: String,
    },
    RemoveNode {
        id: Id,
    },
    CreateService {
        id: Id,
        spec_json: String,
    },
    UpdateService {
        id: Id,
        version: u64,
        spec_json: String,
    },
    RollbackService {
        id: Id,
        version: u64,
    },
    RemoveService {
        id: Id,
    },
    Plan {
        changes: Vec<Change>,
    },
    CreateNetwork {
        id: Id,
        spec_json: String,
        subnets: Vec<Subnet>,
    },
    RemoveNetwork {
        id: Id,
    },
    CreateAttachment {
        id: Id,
        network: Id,
        node: Id,
        addrs: Vec<IpNet>,
    },
    RemoveAttachments {
        ids: Vec<Id>,
    },
    CreateFile {
        id: Id,
        kind: FileKind,
        spec_json: String,
        data: Vec<u8>,
    },
    UpdateFile {
        id: Id,
        kind: FileKind,
        version: u64,
        labels: Labels,
    },
    RemoveFile {
        id: Id,
        kind: FileKind,
    },
    RotateRoot {
        version: u64,
        spec_json: String,
        rotation: Option<Box<RootRotation>>,
    },
    SetUnlockKey {
        key: Option<UnlockKey>,
    },
    /// As `CreateCluster`, of one with an unlock key.
    CreateLockedCluster(ClusterV1, UnlockKey),
}

/// An unlock key is beside it.
#[derive(Serialize, Deserialize)]
pub(super) struct ClusterV1 {
    id: Id,
    meta: Meta,
    spec_json: String,
    ca: ClusterCa,
    join_tokens: JoinTokens,
    site: Option<SiteSecret>,
}

impl ClusterV1 {
    pub(super) fn of(cluster: &Cluster) -> Result<Self, CodecError> {
        Ok(Self {
            id: cluster.id,
            meta: cluster.meta,
            spec_json: to_json(&cluster.spec)?,
            ca: cluster.ca.clone(),
            join_tokens: cluster.join_tokens.clone(),
            site: cluster.site.clone(),
        })
    }

    pub(super) fn cluster(self) -> Result<Cluster, CodecError> {
        Ok(Cluster {
            id: self.id,
            meta: self.meta,
            spec: from_json(&self.spec_json)?,
            ca: self.ca,
            join_tokens: self.join_tokens,
            site: self.site,
            unlock_key: None,
        })
    }
}

impl ProposalRecord {
    pub(super) fn of(proposal: &Proposal) -> Result<Self, CodecError> {
        Ok(Self::V1 {
            at: proposal.at,
            command: CommandV1::of(&proposal.command)?,
        })
    }

    pub(super) fn proposal(self) -> Result<Proposal, CodecError> {
        let Self::V1 { at, command } = self;
        Ok(Proposal {
            at,
            command: command.command()?,
        })
    }
}

impl CommandV1 {
    fn of(command: &Command) -> Result<Self, CodecError> {
        Ok(match command {
            Command::CreateCluster { cluster } => match &cluster.unlock_key {
                None => Self::CreateCluster(ClusterV1::of(cluster)?),
                Some(key) => Self::CreateLockedCluster(ClusterV1::of(cluster)?, key.clone()),
            },
            Command::UpdateCluster { version, spec } => Self::UpdateCluster {
                version: *version,
                spec_json: to_json(spec)?,
            },
            Command::RotateJoinToken { role, token } => Self::RotateJoinToken {
                role: *role,
                token: token.clone(),
            },
            Command::AddNode { id, spec, addr } => Self::AddNode {
                id: *id,
                spec_json: to_json(spec)?,
                addr: *addr,
            },
            Command::DescribeNode {
                id,
                description,
                addr,
            } => Self::DescribeNode {
                id: *id,
                description_json: to_json(description)?,
                addr: *addr,
            },
            Command::UpdateNode { id, version, spec } => Self::UpdateNode {
                id: *id,
                version: *version,
                spec_json: to_json(spec)?,
            },
            Command::RemoveNode { id } => Self::RemoveNode { id: *id },
            Command::CreateService { id, spec } => Self::CreateService {
                id: *id,
                spec_json: to_json(spec)?,
            },
            Command::UpdateService { id, version, spec } => Self::UpdateService {
                id: *id,
                version: *version,
                spec_json: to_json(spec)?,
            },
            Command::RollbackService { id, version } => Self::RollbackService {
                id: *id,
                version: *version,
            },
            Command::RemoveService { id } => Self::RemoveService { id: *id },
            Command::Plan { changes } => Self::Plan {
                changes: changes.clone(),
            },
            Command::CreateNetwork { id, spec, subnets } => Self::CreateNetwork {
                id: *id,
                spec_json: to_json(spec)?,
                subnets: subnets.clone(),
            },
            Command::RemoveNetwork { id } => Self::RemoveNetwork { id: *id },
            Command::CreateAttachment {
                id,
                network,
                node,
                addrs,
            } => Self::CreateAttachment {
                id: *id,
                network: *network,
                node: *node,
                addrs: addrs.clone(),
            },
            Command::RemoveAttachments { ids } => Self::RemoveAttachments { ids: ids.clone() },
            Command::CreateFile { id, kind, spec } => Self::CreateFile {
                id: *id,
                kind: *kind,
                spec_json: to_json(spec)?,
                data: spec.content.data.bytes().to_vec(),
            },
            Command::UpdateFile {
                id,
                kind,
                version,
                labels,
            } => Self::UpdateFile {
                id: *id,
                kind: *kind,
                version: *version,
                labels: labels.clone(),
            },
            Command::RemoveFile { id, kind } => Self::RemoveFile {
                id: *id,
                kind: *kind,
            },
            Command::RotateRoot {
                version,
                spec,
                rotation,
            } => Self::RotateRoot {
                version: *version,
                spec_json: to_json(spec)?,
                rotation: rotation.clone(),
            },
            Command::SetUnlockKey { key } => Self::SetUnlockKey { key: key.clone() },
        })
    }

    fn command(self) -> Result<Command, CodecError> {
        Ok(match self {
            Self::CreateCluster(cluster) => Command::CreateCluster {
                cluster: Box::new(cluster.cluster()?),
            },
            Self::UpdateCluster { version, spec_json } => Command::UpdateCluster {
                version,
                spec: from_json(&spec_json)?,
            },
            Self::RotateJoinToken { role, token } => Command::RotateJoinToken { role, token },
            Self::AddNode {
                id,
                spec_json,
                addr,
            } => Command::AddNode {
                id,
                spec: from_json(&spec_json)?,
                addr,
            },
            Self::DescribeNode {
                id,
                description_json,
                addr,
            } => Command::DescribeNode {
                id,
                description: from_json(&description_json)?,
                addr,
            },
            Self::UpdateNode {
                id,
                version,
                spec_json,
            } => Command::UpdateNode {
                id,
                version,
                spec: from_json(&spec_json)?,
            },
            Self::RemoveNode { id } => Command::RemoveNode { id },
            Self::CreateService { id, spec_json } => Command::CreateService {
                id,
                spec: arc_from_json(&spec_json)?,
            },
            Self::UpdateService {
                id,
                version,
                spec_json,
            } => Command::UpdateService {
                id,
                version,
                spec: arc_from_json(&spec_json)?,
            },
            Self::RollbackService { id, version } => Command::RollbackService { id, version },
            Self::RemoveService { id } => Command::RemoveService { id },
            Self::Plan { changes } => Command::Plan { changes },
            Self::CreateNetwork {
                id,
                spec_json,
                subnets,
            } => Command::CreateNetwork {
                id,
                spec: arc_from_json(&spec_json)?,
                subnets,
            },
            Self::RemoveNetwork { id } => Command::RemoveNetwork { id },
            Self::CreateAttachment {
                id,
                network,
                node,
                addrs,
            } => Command::CreateAttachment {
                id,
                network,
                node,
                addrs,
            },
            Self::RemoveAttachments { ids } => Command::RemoveAttachments { ids },
            Self::CreateFile {
                id,
                kind,
                spec_json,
                data,
            } => Command::CreateFile {
                id,
                kind,
                spec: from_json::<FileSpec>(&spec_json)?.with_data(data.into()),
            },
            Self::UpdateFile {
                id,
                kind,
                version,
                labels,
            } => Command::UpdateFile {
                id,
                kind,
                version,
                labels,
            },
            Self::RemoveFile { id, kind } => Command::RemoveFile { id, kind },
            Self::RotateRoot {
                version,
                spec_json,
                rotation,
            } => Command::RotateRoot {
                version,
                spec: from_json(&spec_json)?,
                rotation,
            },
            Self::SetUnlockKey { key } => Command::SetUnlockKey { key },
            Self::CreateLockedCluster(cluster, key) => Command::CreateCluster {
                cluster: Box::new(Cluster {
                    unlock_key: Some(key),
                    ..cluster.cluster()?
                }),
            },
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) enum AnswerRecord {
    V1(Result<Answer, Refusal>),
}

#[derive(Serialize, Deserialize)]
pub(super) enum AssignmentsRecord {
    /// Written where no task is on a network.
    V1 {
        spec_jsons: Vec<String>,
        tasks: Vec<AssignmentV1>,
    },
    V2 {
        spec_jsons: Vec<String>,
        tasks: Vec<AssignmentV1>,
        /// By place in `tasks`: the networks of those that are on any.
        networks_jsons: Vec<(u32, String)>,
    },
    /// Written where a task was given generic resources.
    V3 {
        spec_jsons: Vec<String>,
        tasks: Vec<AssignmentV1>,
        networks_jsons: Vec<(u32, String)>,
        /// By place in `tasks`.
        generics: Vec<(u32, Generic)>,
    },
}

#[derive(Serialize, Deserialize)]
pub(super) struct AssignmentV1 {
    task: Id,
    service: Id,
    slot: u64,
    /// Index into the record's specs.
    spec: u32,
    desired: TaskState,
}

impl AssignmentsRecord {
    pub(super) fn of<'a>(
        assignments: impl IntoIterator<Item = &'a Assignment>,
    ) -> Result<Self, CodecError> {
        let mut spec_jsons = Vec::new();
        let mut known: BTreeMap<*const ServiceSpec, u32> = BTreeMap::new();
        let mut tasks = Vec::new();
        let mut networks_jsons = Vec::new();
        let mut generics = Vec::new();
        for assignment in assignments {
            let place = u32::try_from(tasks.len())
                .map_err(|error| CodecError::Unwritable(error.to_string()))?;
            if !assignment.networks.is_empty() {
                networks_jsons.push((place, to_json(&assignment.networks)?));
            }
            if !assignment.generic.is_empty() {
                generics.push((place, assignment.generic.clone()));
            }
            let address = Arc::as_ptr(&assignment.spec);
            let spec = match known.get(&address) {
                Some(&spec) => spec,
                None => {
                    let next = u32::try_from(spec_jsons.len())
                        .map_err(|error| CodecError::Unwritable(error.to_string()))?;
                    spec_jsons.push(to_json(&assignment.spec)?);
                    known.insert(address, next);
                    next
                }
            };
            tasks.push(AssignmentV1 {
                task: assignment.task,
                service: assignment.service,
                slot: assignment.slot,
                spec,
                desired: assignment.desired,
            });
        }
        Ok(match (networks_jsons.is_empty(), generics.is_empty()) {
            (true, true) => Self::V1 { spec_jsons, tasks },
            (false, true) => Self::V2 {
                spec_jsons,
                tasks,
                networks_jsons,
            },
            (_, false) => Self::V3 {
                spec_jsons,
                tasks,
                networks_jsons,
                generics,
            },
        })
    }

    pub(super) fn assignments(self) -> Result<Vec<Assignment>, CodecError> {
        let (spec_jsons, tasks, networks_jsons, generics) = match self {
            Self::V1 { spec_jsons, tasks } => (spec_jsons, tasks, Vec::new(), Vec::new()),
            Self::V2 {
                spec_jsons,
                tasks,
                networks_jsons,
            } => (spec_jsons, tasks, networks_jsons, Vec::new()),
            Self::V3 {
                spec_jsons,
                tasks,
                networks_jsons,
                generics,
            } => (spec_jsons, tasks, networks_jsons, generics),
        };
        let specs: Vec<Arc<ServiceSpec>> = spec_jsons
            .iter()
            .map(|json| arc_from_json(json))
            .collect::<Result<_, _>>()?;
        let assignment = |task: AssignmentV1| {
            let spec = usize::try_from(task.spec)
                .ok()
                .and_then(|index| specs.get(index));
            Ok(Assignment {
                task: task.task,
                service: task.service,
                slot: task.slot,
                spec: spec.cloned().ok_or_else(|| {
                    CodecError::malformed("a task names a spec that is not there")
                })?,
                desired: task.desired,
                networks: Vec::new(),
                generic: Generic::new(),
                files: BTreeMap::new(),
            })
        };
        let assignments = tasks.into_iter().map(assignment);
        let mut assignments: Vec<Assignment> = assignments.collect::<Result<_, CodecError>>()?;
        for (place, json) in networks_jsons {
            of_place(&mut assignments, place, "networks")?.networks = from_json(&json)?;
        }
        for (place, generic) in generics {
            of_place(&mut assignments, place, "resources")?.generic = generic;
        }
        Ok(assignments)
    }
}

fn of_place<'a>(
    assignments: &'a mut [Assignment],
    place: u32,
    what: &str,
) -> Result<&'a mut Assignment, CodecError> {
    let place = usize::try_from(place).ok();
    let assignment = place.and_then(|place| assignments.get_mut(place));
    assignment
        .ok_or_else(|| CodecError::malformed(format!("{what} are of a task that is not there")))
}
