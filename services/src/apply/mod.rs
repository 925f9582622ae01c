//! How a committed command changes the state.
//!
//! Deterministic and total: every manager applies the same commands in the
//! same order and comes to the same state, so nothing here knows a clock or
//! fails half-way. A command that no longer fits is refused before the first
//! write; a single change of a plan that no longer fits is skipped, because
//! the next run of the plan sees why.

mod attachment;
mod change;
mod file;
pub(crate) mod network;
mod rotation;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::command::{Answer, Change, Command, Proposal, Refusal, RefusalKind};
use crate::id::Id;
use crate::object::{
    Cluster, Endpoint, JobStatus, Meta, Node, NodeDescription, Service, TaskState, TaskStatus,
    UpdateState, UpdateStatus,
};
use crate::spec::{ClusterSpec, NodeSpec, Role, ServiceSpec};
use crate::state::State;
use crate::time::Timestamp;

pub(crate) use change::WAITS_FOR_ADDRESSES;

type Outcome = Result<Answer, Refusal>;

impl State {
    /// Applies the command committed at Raft index `index`, which becomes the
    /// version of every object that it writes.
    ///
    /// # Errors
    /// The refusal says why, in Docker's words; the state is as it was.
    pub fn apply(&mut self, index: u64, proposal: &Proposal) -> Result<Answer, Refusal> {
        let mut write = Write {
            state: self,
            index,
            at: proposal.at,
        };
        match &proposal.command {
            Command::CreateCluster { cluster } => write.create_cluster(cluster),
            Command::UpdateCluster { version, spec } => write.update_cluster(*version, spec),
            Command::RotateJoinToken { role, token } => write.rotate_join_token(*role, token),
            Command::AddNode { id, spec, addr } => write.add_node(*id, spec, *addr),
            Command::DescribeNode {
                id,
                description,
                addr,
            } => write.describe_node(*id, description, *addr),
            Command::UpdateNode { id, version, spec } => write.update_node(*id, *version, spec),
            Command::RemoveNode { id } => write.remove_node(*id),
            Command::CreateService { id, spec } => write.create_service(*id, spec),
            Command::UpdateService { id, version, spec } => {
                write.update_service(*id, *version, spec)
            }
            Command::RollbackService { id, version } => write.rollback_service(*id, *version),
            Command::RemoveService { id } => write.remove_service(*id),
            Command::Plan { changes } => {
                for change in changes {
                    write.change(change);
                }
                Ok(Answer::Done)
            }
            Command::CreateNetwork { id, spec, subnets } => {
                write.create_network(*id, spec, subnets)
            }
            Command::RemoveNetwork { id } => write.remove_network(*id),
            Command::CreateAttachment {
                id,
                network,
                node,
                addrs,
            } => write.create_attachment(*id, *network, *node, addrs),
            Command::RemoveAttachments { ids } => {
                write.remove_attachments(ids);
                Ok(Answer::Done)
            }
            Command::CreateFile { id, kind, spec } => write.create_file(*kind, *id, spec),
            Command::UpdateFile {
                id,
                kind,
                version,
                labels,
            } => write.update_file(*kind, *id, *version, labels),
            Command::RemoveFile { id, kind } => write.remove_file(*kind, *id),
            Command::RotateRoot {
                version,
                spec,
                rotation,
            } => write.rotate_root(*version, spec, rotation.as_deref()),
            Command::SetUnlockKey { key } => {
                write.edit_cluster(None, |cluster| cluster.unlock_key.clone_from(key))
            }
        }
    }

    /// Applies one decision; see [`Command::Plan`].
    pub(crate) fn apply_change(&mut self, index: u64, at: Timestamp, change: &Change) {
        Write {
            state: self,
            index,
            at,
        }
        .change(change);
    }
}

/// One command being applied: the state, and what stamps its objects.
struct Write<'a> {
    state: &'a mut State,
    index: u64,
    at: Timestamp,
}

impl Write<'_> {
    fn created(&self) -> Meta {
        Meta {
            version: self.index,
            created: self.at,
            updated: self.at,
        }
    }

    fn touch(&self, meta: Meta) -> Meta {
        Meta {
            version: self.index,
            updated: self.at,
            ..meta
        }
    }

    fn versioned(&self) -> Outcome {
        Ok(Answer::Version(self.index))
    }
}

fn check_version(meta: Meta, named: u64) -> Result<(), Refusal> {
    if meta.version == named {
        Ok(())
    } else {
        Err(RefusalKind::Unknown.because("update out of sequence"))
    }
}

fn not_found(kind: &str, id: Id) -> Refusal {
    RefusalKind::NotFound.because(format!("{kind} {id} not found"))
}

/// The cluster.
impl Write<'_> {
    fn create_cluster(&mut self, cluster: &Cluster) -> Outcome {
        if self.state.cluster.is_some() {
            return Err(RefusalKind::AlreadyExists.because("the swarm exists already"));
        }
        self.state.cluster = Some(Arc::new(Cluster {
            meta: self.created(),
            ..cluster.clone()
        }));
        self.versioned()
    }

    fn update_cluster(&mut self, version: u64, spec: &ClusterSpec) -> Outcome {
        self.edit_cluster(Some(version), |cluster| cluster.spec = spec.clone())
    }

    fn rotate_join_token(&mut self, role: Role, token: &str) -> Outcome {
        self.edit_cluster(None, |cluster| {
            let tokens = &mut cluster.join_tokens;
            match role {
                Role::Worker => tokens.worker = token.to_owned(),
                Role::Manager => tokens.manager = token.to_owned(),
            }
        })
    }

    fn edit_cluster(&mut self, version: Option<u64>, edit: impl FnOnce(&mut Cluster)) -> Outcome {
        let Some(cluster) = self.state.cluster.clone() else {
            return Err(RefusalKind::NotFound.because("the swarm does not exist yet"));
        };
        if let Some(version) = version {
            check_version(cluster.meta, version)?;
        }
        let mut cluster = Arc::unwrap_or_clone(cluster);
        cluster.meta = self.touch(cluster.meta);
        edit(&mut cluster);
        self.state.cluster = Some(Arc::new(cluster));
        self.versioned()
    }
}

/// Nodes.
impl Write<'_> {
    fn add_node(&mut self, id: Id, spec: &NodeSpec, addr: SocketAddr) -> Outcome {
        if self.state.is_removed(id) {
            return Err(RefusalKind::FailedPrecondition
                .because(format!("node {id} was removed from the swarm")));
        }
        let meta = self.created();
        if let Some(known) = self.state.node(id) {
            let meta = self.touch(known.meta);
            if let Some(node) = self.state.edit_node(id) {
                node.addr = addr;
                node.meta = meta;
            }
        } else {
            self.state.put_node(Node {
                id,
                meta,
                spec: spec.clone(),
                description: None,
                addr,
            });
        }
        self.versioned()
    }

    fn describe_node(
        &mut self,
        id: Id,
        description: &NodeDescription,
        addr: SocketAddr,
    ) -> Outcome {
        let known = self.state.node(id).ok_or_else(|| not_found("node", id))?;
        let meta = self.touch(known.meta);
        if let Some(node) = self.state.edit_node(id) {
            node.addr = addr;
            node.meta = meta;
        }
        self.state.set_description(id, description.clone());
        self.versioned()
    }

    fn update_node(&mut self, id: Id, version: u64, spec: &NodeSpec) -> Outcome {
        let known = self.state.node(id).ok_or_else(|| not_found("node", id))?;
        check_version(known.meta, version)?;
        let demoted = known.spec.role == Role::Manager && spec.role == Role::Worker;
        if demoted && self.managers() == 1 {
            return Err(RefusalKind::FailedPrecondition
                .because("attempting to demote the last manager of the swarm"));
        }
        let meta = self.touch(known.meta);
        if let Some(node) = self.state.edit_node(id) {
            node.spec = spec.clone();
            node.meta = meta;
        }
        self.versioned()
    }

    fn managers(&self) -> usize {
        let is_manager = |node: &&Arc<Node>| node.spec.role == Role::Manager;
        self.state.nodes().filter(is_manager).count()
    }

    fn remove_node(&mut self, id: Id) -> Outcome {
        let known = self.state.node(id).ok_or_else(|| not_found("node", id))?;
        if known.spec.role == Role::Manager {
            return Err(RefusalKind::FailedPrecondition.because(format!(
                "node {id} is a cluster manager and is a member of the raft cluster. \
                 It must be demoted to worker before removal"
            )));
        }
        self.state.revoke_node(id);
        let attached = self.state.attachments_of_node(id).map(|it| it.id);
        let attached: Vec<Id> = attached.collect();
        self.remove_attachments(&attached);
        let lost: Vec<Id> = self.state.tasks_of_node(id).map(|task| task.id).collect();
        for task in lost {
            let status = TaskStatus::orphaned(self.at, "its node was removed from the swarm");
            self.set_status(task, &status);
            self.state.settle_task(task);
        }
        Ok(Answer::Done)
    }
}

/// Services.
impl Write<'_> {
    fn create_service(&mut self, id: Id, spec: &Arc<ServiceSpec>) -> Outcome {
        if self.state.service_named(&spec.name).is_some() {
            return Err(RefusalKind::AlreadyExists.because(format!(
                "name conflicts with an existing object: service {} already exists",
                spec.name
            )));
        }
        // Also while tasks of a removed service of this id still stop.
        let used =
            self.state.service(id).is_some() || self.state.tasks_of_service(id).next().is_some();
        if used {
            return Err(RefusalKind::AlreadyExists.because(format!("service {id} already exists")));
        }
        self.state.check_files(spec)?;
        self.state.check_endpoint(id, spec)?;
        self.state.put_service(Service {
            id,
            meta: self.created(),
            spec: Arc::clone(spec),
            spec_version: self.index,
            previous_spec: None,
            update: None,
            job: spec.mode.is_job().then(|| JobStatus::first(self.at)),
            endpoint: self.state.settled_endpoint(id, spec, &Endpoint::default()),
        });
        self.versioned()
    }

    fn update_service(&mut self, id: Id, version: u64, spec: &Arc<ServiceSpec>) -> Outcome {
        let known = self.known_service(id)?;
        if known.spec.name != spec.name {
            return Err(RefusalKind::Unimplemented.because("renaming services is not supported"));
        }
        if std::mem::discriminant(&known.spec.mode) != std::mem::discriminant(&spec.mode) {
            return Err(RefusalKind::Unimplemented.because("service mode change is not allowed"));
        }
        check_version(known.meta, version)?;
        self.state.check_files(spec)?;
        self.state.check_endpoint(id, spec)?;
        let rolls_out = !spec.mode.is_job() && !spec.same_tasks(&known.spec);
        let update = rolls_out
            .then(|| UpdateStatus::begun(UpdateState::Updating, self.at, "update in progress"));
        let previous = Some(Arc::clone(&known.spec));
        self.respec(id, Arc::clone(spec), previous, self.index, update);
        self.versioned()
    }

    fn rollback_service(&mut self, id: Id, version: u64) -> Outcome {
        let known = self.known_service(id)?;
        let Some(spec) = known.previous_spec.clone() else {
            return Err(RefusalKind::FailedPrecondition
                .because(format!("service {id} does not have a previous spec")));
        };
        check_version(known.meta, version)?;
        self.state.check_files(&spec)?;
        self.state.check_endpoint(id, &spec)?;
        let previous = Some(Arc::clone(&known.spec));
        let begun = || {
            let message = "manually requested rollback";
            UpdateStatus::begun(UpdateState::RollbackStarted, self.at, message)
        };
        // Nothing is rolled out of a job: it runs again.
        let update = (!spec.mode.is_job()).then(begun);
        self.respec(id, spec, previous, self.index, update);
        self.versioned()
    }

    fn remove_service(&mut self, id: Id) -> Outcome {
        self.known_service(id)?;
        self.state.drop_service(id);
        let left: Vec<Id> = self
            .state
            .tasks_of_service(id)
            .map(|task| task.id)
            .collect();
        for task in left {
            self.set_desired(task, TaskState::Remove);
        }
        Ok(Answer::Done)
    }

    fn known_service(&self, id: Id) -> Result<&Arc<Service>, Refusal> {
        self.state
            .service(id)
            .ok_or_else(|| not_found("service", id))
    }

    fn respec(
        &mut self,
        id: Id,
        spec: Arc<ServiceSpec>,
        previous: Option<Arc<ServiceSpec>>,
        spec_version: u64,
        update: Option<UpdateStatus>,
    ) {
        let (index, at) = (self.index, self.at);
        let before = self.state.service(id).map(|it| it.endpoint.clone());
        let before = before.unwrap_or_default();
        let endpoint = self.state.settled_endpoint(id, &spec, &before);
        if endpoint != before {
            self.state.set_endpoint(id, endpoint);
        }
        self.state.set_spec(id, spec);
        if let Some(service) = self.state.edit_service(id) {
            service.previous_spec = previous;
            service.spec_version = spec_version;
            service.update = update;
            service.job = service.job.map(|job| job.next(at));
            service.meta.version = index;
            service.meta.updated = at;
        }
    }
}
