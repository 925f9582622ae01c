//! The API's two questions, answered by the node: what it is ([`Swarm`]), and,
//! where it leads, what the swarm is ([`Manager`]).

mod refused;
mod site;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use base64::Engine;
use bytes::Bytes;
use certs::lock::UnlockKey;
use certs::{JoinToken, RootCertificate};
use futures::FutureExt;
use futures::future::BoxFuture;
use services::happened::Happened;
use services::object::{self, ClusterCa};
use services::spec::{ClusterSpec, Role};
use services::{Answer, Command, Id, State, Taken};

use crate::api::authorities::{Authorities, Authority};
use crate::api::backend::{
    self, Advertise, AdvertiseHost, Backend, InitRequest, JoinRequest, Lead, LocalNode, LocalState,
    LogStream, ManagerView, NewRoot, Published, UpRequest, View,
};
use crate::api::convert;
use crate::api::dto::{Device, FoundSwarm, Member, TlsInfo, UpProgress};
use crate::api::error::ApiError;
use crate::api::kept::{Kept, Revision};
use crate::api::not_a_manager;
use crate::doctor::{Diagnosis, ask};
use crate::forward::{self, Route};
use crate::manager::events::Event;
use crate::manager::{Manager, node_id, node_key};
use crate::runtime::LogOptions;
use crate::swarm::{InitOptions, JoinOptions, Phase, Swarm};
use crate::{address, clock, logs, routes};

/// A member that has answered the leader within this time is reachable.
const REACHABLE_WITHIN: Duration = Duration::from_secs(2);
/// How soon whoever watches events sees that a node became a manager, or
/// another swarm's.
const BECOMES_MANAGER_WITHIN: Duration = Duration::from_secs(2);

impl Backend for Swarm {
    fn local(&self) -> LocalState {
        match self.phase() {
            Phase::Resuming => LocalState::Pending,
            Phase::Inactive => LocalState::Inactive,
            Phase::Locked(_) => LocalState::Locked,
            Phase::Waiting(_) => LocalState::Waiting,
            Phase::Failed(error) => LocalState::Error(error),
            Phase::Active(membership) if *membership.removed.borrow() => LocalState::Error(
                "this node was removed from the swarm; leave it with `swarmlet leave --force`"
                    .into(),
            ),
            Phase::Active(membership) => LocalState::Active(LocalNode {
                id: node_key(membership.me),
                addr: membership.addr().ip(),
                role: match membership.manager() {
                    Some(_) => Role::Manager,
                    None => Role::Worker,
                },
                managers: membership
                    .news
                    .borrow()
                    .managers
                    .iter()
                    .map(|(id, addr)| (node_key(*id), *addr))
                    .collect(),
            }),
        }
    }

    fn peek(&self, look: &mut dyn FnMut(View<'_>)) {
        if let Phase::Active(membership) = self.phase()
            && let Some(manager) = membership.manager()
        {
            manager.view(look);
        }
    }

    fn happened(&self, seen: u64) -> (Vec<Happened>, u64) {
        let manager = match self.phase() {
            Phase::Active(membership) => membership.manager(),
            _ => None,
        };
        let told = |manager: Arc<Manager>| manager.raft.read(|it| it.happened.after(seen));
        manager.map_or((Vec::new(), 0), told)
    }

    fn happens(&self, seen: u64) -> BoxFuture<'_, ()> {
        let manager = match self.phase() {
            Phase::Active(membership) => membership.manager(),
            _ => None,
        };
        async move {
            let look_again = tokio::time::sleep(BECOMES_MANAGER_WITHIN);
            let Some(manager) = manager else {
                return look_again.await;
            };
            let mut count = manager.raft.read(|machine| machine.happened.count());
            tokio::select! {
                _ = count.wait_for(|count| *count != seen) => {}
                () = look_again => {}
            }
        }
        .boxed()
    }

    fn init(&self, request: InitRequest) -> BoxFuture<'_, Result<Id, ApiError>> {
        async move {
            let advertise = request.advertise.map(resolve).transpose()?;
            let data_addr = data_path(request.data_path)?;
            // As Docker does: where there is no swarm yet, a new one begins.
            let is_member = matches!(self.phase(), Phase::Active(_) | Phase::Locked(_));
            if request.force_new_cluster && is_member {
                return Ok(Swarm::take_over(self, advertise, data_addr).await?);
            }
            let options = InitOptions {
                listen: request.listen,
                advertise,
                data_addr,
                availability: request.availability,
                spec: request.spec,
                unlock_key: request.autolock.then(new_unlock_key).transpose()?,
            };
            Ok(Swarm::init(self, options).await?)
        }
        .boxed()
    }

    fn join(&self, request: JoinRequest) -> BoxFuture<'_, Result<Option<FoundSwarm>, ApiError>> {
        async move {
            let options = JoinOptions {
                listen: request.listen,
                advertise: request.advertise.map(resolve).transpose()?,
                data_addr: data_path(request.data_path)?,
                availability: request.availability,
                remotes: look_up(&request.remotes).await?,
                token: request.token,
            };
            let found = Swarm::join(self, options).await?;
            Ok(found.map(|found| FoundSwarm {
                through: found.to_string(),
            }))
        }
        .boxed()
    }

    fn up(&self, request: UpRequest) -> BoxFuture<'_, Result<UpProgress, ApiError>> {
        site::up(self, request).boxed()
    }

    fn progress(&self) -> UpProgress {
        site::progress(self)
    }

    fn discover(&self) -> BoxFuture<'_, Vec<Device>> {
        site::devices(self).boxed()
    }

    fn members(&self) -> Option<Vec<Member>> {
        let Phase::Active(membership) = self.phase() else {
            return None;
        };
        let gossip = &membership.gossip;
        let (now, members) = (gossip.now(), gossip.members());
        let show = |member| convert::member(member, membership.me, now);
        Some(members.iter().map(show).collect())
    }

    fn published(&self) -> Published {
        match self.phase() {
            Phase::Active(membership) => {
                let network = membership.network.as_ref();
                network.map(|it| it.published()).unwrap_or_default()
            }
            _ => Published::new(),
        }
    }

    fn diagnose(&self) -> BoxFuture<'_, Option<Diagnosis>> {
        async move {
            match self.phase() {
                Phase::Active(membership) => Some(membership.doctor.diagnose().await),
                _ => None,
            }
        }
        .boxed()
    }

    fn leave(&self, force: bool) -> BoxFuture<'_, Result<(), ApiError>> {
        async move { Ok(Swarm::leave(self, force).await?) }.boxed()
    }

    fn unlock(&self, key: UnlockKey) -> BoxFuture<'_, Result<(), ApiError>> {
        async move { Ok(Swarm::unlock(self, key).await?) }.boxed()
    }

    fn lead<'a>(
        &'a self,
        head: &'a Parts,
        body: &'a Bytes,
    ) -> BoxFuture<'a, Result<Lead, ApiError>> {
        async move {
            let manager = self.managing()?;
            match forward::to_leader(&manager, head, body).await {
                Ok(Route::Here) => Ok(Lead::Here(manager)),
                Ok(Route::Answered(answer)) => Ok(Lead::Elsewhere(answer)),
                Err(error) => Err(error.into()),
            }
        }
        .boxed()
    }
}

impl Swarm {
    fn managing(&self) -> Result<Arc<Manager>, ApiError> {
        if let Phase::Active(membership) = self.phase()
            && let Some(manager) = membership.manager()
        {
            return Ok(manager);
        }
        Err(not_a_manager(&self.local()))
    }
}

fn resolve(advertise: Advertise) -> Result<SocketAddr, ApiError> {
    let ip = match advertise.host {
        AdvertiseHost::Ip(ip) => ip,
        AdvertiseHost::Interface(name) => {
            address::of_interface(&name).map_err(ApiError::bad_request)?
        }
    };
    Ok(SocketAddr::new(ip, advertise.port.unwrap_or(0)))
}

fn new_unlock_key() -> Result<object::UnlockKey, ApiError> {
    let key = UnlockKey::generate().map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(object::UnlockKey(*key.to_bytes()))
}

fn data_path(text: Option<String>) -> Result<Option<IpAddr>, ApiError> {
    let addr = text.map(|text| address::data_path(&text)).transpose();
    addr.map_err(ApiError::bad_request)
}

async fn look_up(remotes: &[String]) -> Result<Vec<SocketAddr>, ApiError> {
    let mut addrs = Vec::new();
    for remote in remotes {
        let found = tokio::net::lookup_host(remote)
            .await
            .map_err(|error| ApiError::bad_request(format!("cannot look up {remote}: {error}")))?;
        addrs.extend(found);
    }
    Ok(addrs)
}

impl Manager {
    fn view(&self, look: &mut dyn FnMut(View<'_>)) {
        let managers = self.managers();
        self.read_state(|state| {
            let authorities = authorities(state);
            self.observer.read(|observed| {
                look(View {
                    state,
                    observed,
                    managers: &managers,
                    authorities: &authorities,
                });
            });
        });
    }

    fn managers(&self) -> BTreeMap<Id, ManagerView> {
        let status = self.raft.watch().borrow().clone();
        let progress = self.raft.replication();
        let reachable = |id| {
            id == self.me
                || progress
                    .get(&id)
                    .and_then(|progress| progress.heard)
                    .is_some_and(|ago| ago < REACHABLE_WITHIN)
        };
        let view = |(id, member): (&certs::NodeId, &raft::MemberStatus)| {
            let view = ManagerView {
                leader: status.leader == Some(*id),
                reachable: reachable(*id),
                addr: member.addr,
            };
            (node_key(*id), view)
        };
        status.members.iter().map(view).collect()
    }
}

fn authorities(state: &State) -> Authorities {
    let present = state.cluster().map(|cluster| authority(&cluster.ca));
    let next = state.rotation().map(|rotation| authority(&rotation.next));
    Authorities {
        present: present.unwrap_or_default(),
        next,
    }
}

fn authority(ca: &ClusterCa) -> Authority {
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    match RootCertificate::from_pem(&ca.certificate) {
        Ok(root) => Authority {
            digest: root.digest(),
            info: TlsInfo {
                trust_root: ca.certificate.clone(),
                cert_issuer_subject: encode(root.subject_der()),
                cert_issuer_public_key: encode(root.public_key_der()),
            },
        },
        Err(error) => {
            tracing::error!(%error, "the swarm's root certificate is unreadable");
            Authority::default()
        }
    }
}

impl backend::Manager for Manager {
    fn read(&self, look: &mut dyn FnMut(View<'_>)) {
        self.view(look);
    }

    fn kept(&self) -> Option<(&Kept, Revision)> {
        let revision = Revision {
            managers: self.managers(),
            applied: self.raft.read(|machine| machine.changes),
            seen: self.observer.revision(),
        };
        Some((&self.kept, revision))
    }

    fn propose(&self, command: Command) -> BoxFuture<'_, Result<Answer, ApiError>> {
        async move { Ok(Manager::propose(self, command).await?) }.boxed()
    }

    fn taken_subnets(&self) -> Vec<Taken> {
        routes::of_host()
    }

    fn new_id(&self) -> Id {
        clock::random_id()
    }

    fn rotate_token(&self, role: Role) -> BoxFuture<'_, Result<(), ApiError>> {
        async move {
            let cluster = self.cluster().map_err(ApiError::unavailable)?;
            let new_token = || {
                let root = RootCertificate::from_pem(&cluster.ca.certificate)?;
                JoinToken::generate(root.digest())
            };
            let token = new_token()
                .map_err(|error| ApiError::internal(error.to_string()))?
                .to_string();
            Manager::propose(self, Command::RotateJoinToken { role, token }).await?;
            Ok(())
        }
        .boxed()
    }

    fn new_unlock_key(&self) -> Result<object::UnlockKey, ApiError> {
        new_unlock_key()
    }

    fn rotate_root(
        &self,
        version: u64,
        spec: ClusterSpec,
        to: NewRoot,
    ) -> BoxFuture<'_, Result<(), ApiError>> {
        async move {
            let rotation = self.rotation(&to).map_err(ApiError::invalid_argument)?;
            let command = Command::RotateRoot {
                version,
                spec,
                rotation: rotation.map(Box::new),
            };
            Manager::propose(self, command).await?;
            Ok(())
        }
        .boxed()
    }

    fn remove_node(&self, id: Id, _force: bool) -> BoxFuture<'_, Result<(), ApiError>> {
        async move {
            Manager::propose(self, Command::RemoveNode { id }).await?;
            Ok(())
        }
        .boxed()
    }

    fn events(&self, seen: u64) -> (Vec<Event>, u64) {
        self.events.after(seen)
    }

    fn next_event(&self, seen: u64) -> BoxFuture<'_, bool> {
        async move {
            let mut count = self.events.count();
            let mut status = self.raft.watch();
            let me = self.me;
            tokio::select! {
                more = count.wait_for(|count| *count > seen) => more.is_ok(),
                _ = status.wait_for(|status| status.leader != Some(me)) => false,
            }
        }
        .boxed()
    }

    fn diagnose(&self, nodes: Vec<Id>) -> BoxFuture<'_, Vec<(Id, Result<Diagnosis, String>)>> {
        async move {
            let nodes = nodes.into_iter().map(node_id).collect();
            let answers = ask::all(self, nodes).await.into_iter();
            answers.map(|(id, answer)| (node_key(id), answer)).collect()
        }
        .boxed()
    }

    fn logs(&self, task: Id, options: LogOptions) -> BoxFuture<'_, Result<LogStream, ApiError>> {
        async move {
            let node = self
                .read_state(|state| state.task(task).and_then(|task| task.node))
                .ok_or_else(|| ApiError::not_found(format!("task {task} is on no node")))?;
            logs::open(self, node_id(node), task, &options)
                .await
                .map_err(|error| ApiError::unavailable(error.to_string()))
        }
        .boxed()
    }
}
