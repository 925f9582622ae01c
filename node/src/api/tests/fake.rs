//! A swarm in memory behind the routes: commands are applied to a real
//! [`State`], and plans are made by the real planner.

mod work;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::http::request::Parts;
use bytes::Bytes;
use certs::lock::UnlockKey;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use services::happened::Happened;
use services::object::{self, Cluster, ClusterCa, JoinTokens, Meta, NodeDescription, RootRotation};
use services::spec::{ClusterSpec, Labels, NodeSpec, Platform, ResourceAmounts, Role};
use services::{
    Answer, Command, Id, NodeHealth, Observed, Proposal, State, Taken, Timestamp, plan,
};
use tokio::sync::watch;

use crate::api::authorities::{Authorities, Authority};
use crate::api::backend::{
    Backend, InitRequest, JoinRequest, Lead, LocalNode, LocalState, LogStream, Manager,
    ManagerView, NewRoot, Published, UpRequest, View,
};
use crate::api::dto::{Device, FoundSwarm, Member, TlsInfo, UpProgress};
use crate::api::error::{ApiError, texts};
use crate::api::kept::{Kept, Revision};
use crate::api::not_a_manager;
use crate::doctor::Diagnosis;
use crate::manager::events::{Event, Events};
use crate::manager::recent::Recent;
use crate::runtime::{LogFrame, LogOptions};
use crate::swarm::SwarmError;

/// What managers are locked with.
pub const KEY: [u8; 32] = [0x42; 32];
pub const TRUST_ROOT: &str = "-----BEGIN CERTIFICATE-----";

#[derive(Clone)]
pub struct Fake(Arc<Mutex<Swarm>>, Option<Arc<Kept>>);

pub struct Swarm {
    pub local: LocalState,
    pub state: State,
    pub observed: Observed,
    pub managers: BTreeMap<Id, ManagerView>,
    pub authorities: Authorities,
    /// What `logs` gives, by task.
    pub logs: BTreeMap<Id, Result<Vec<LogFrame>, String>>,
    /// What `logs` was asked.
    pub log_options: watch::Sender<Vec<LogOptions>>,
    /// How often it was looked at.
    pub reads: watch::Sender<u64>,
    pub members: Vec<Member>,
    /// What each node says of the overlay; those that are not here are silent.
    pub diagnoses: BTreeMap<Id, Diagnosis>,
    pub published: Published,
    /// What `up` was asked last.
    pub up: Option<UpRequest>,
    pub taken: Vec<Taken>,
    pub events: Arc<Events>,
    pub happened: Arc<Recent<Happened>>,
    /// There is another leader by the time of the next event.
    pub deposed: bool,
    index: u64,
    ids: u128,
    /// How often a task was told of.
    told: u64,
}

impl Fake {
    pub fn new() -> Self {
        let swarm = Swarm {
            local: LocalState::Inactive,
            state: State::default(),
            observed: Observed::default(),
            managers: BTreeMap::new(),
            authorities: Authorities {
                present: Authority {
                    digest: [1; 32],
                    info: TlsInfo {
                        trust_root: TRUST_ROOT.into(),
                        cert_issuer_subject: "MBMxETAPBgNVBAMTCHN3YXJtLWNh".into(),
                        cert_issuer_public_key: "MFkwEwYHKoZI".into(),
                    },
                },
                next: None,
            },
            logs: BTreeMap::new(),
            log_options: watch::Sender::default(),
            reads: watch::Sender::default(),
            members: Vec::new(),
            diagnoses: BTreeMap::new(),
            published: BTreeMap::new(),
            up: None,
            taken: Vec::new(),
            events: Arc::default(),
            happened: Arc::default(),
            deposed: false,
            index: 0,
            ids: 0,
            told: 0,
        };
        Self(Arc::new(Mutex::new(swarm)), None)
    }

    /// Keeps answers; of what is seen only tasks may change from now on.
    pub fn keeping(self) -> Self {
        Self(self.0, Some(Arc::default()))
    }

    /// A swarm of one manager, which is ready.
    pub fn active() -> Self {
        let fake = Self::new();
        fake.edit(|swarm| swarm.found());
        fake
    }

    pub fn edit<R>(&self, edit: impl FnOnce(&mut Swarm) -> R) -> R {
        edit(&mut self.0.lock().unwrap())
    }
}

impl Swarm {
    pub fn new_id(&mut self) -> Id {
        self.ids += 1;
        // Spread, so that ids differ from their first digit on.
        Id::from_u128(
            self.ids
                .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
        )
    }

    pub fn apply(&mut self, command: Command) -> Result<Answer, ApiError> {
        self.index += 1;
        let at = Timestamp(1_795_215_734_000_000_000 + self.index * 1_500_000_000);
        let proposal = Proposal { at, command };
        let (answer, told) = self.state.apply_and_tell(self.index, &proposal)?;
        told.into_iter().for_each(|it| self.happened.add(it));
        Ok(answer)
    }

    fn found(&mut self) -> Id {
        let cluster = Cluster {
            id: self.new_id(),
            meta: Meta::default(),
            spec: Default::default(),
            ca: ClusterCa {
                certificate: String::new(),
                key: String::new(),
            },
            join_tokens: JoinTokens {
                worker: "SWMTKN-1-a-b".into(),
                manager: "SWMTKN-1-a-c".into(),
            },
            site: None,
            unlock_key: None,
        };
        let cluster = Box::new(cluster);
        self.apply(Command::CreateCluster { cluster }).unwrap();
        let id = self.add_node("refnode", Role::Manager, [10, 77, 0, 1]);
        let addr = SocketAddr::from(([10, 77, 0, 1], 2377));
        let view = ManagerView {
            leader: true,
            reachable: true,
            addr,
        };
        self.managers.insert(id, view);
        self.local = LocalState::Active(LocalNode {
            id,
            addr: addr.ip(),
            role: Role::Manager,
            managers: vec![(id, addr)],
        });
        id
    }

    pub fn add_node(&mut self, hostname: &str, role: Role, ip: [u8; 4]) -> Id {
        let id = self.new_id();
        let addr = SocketAddr::from((ip, 2377));
        let spec = NodeSpec {
            name: None,
            labels: Labels::new(),
            role,
            availability: Default::default(),
        };
        self.apply(Command::AddNode { id, spec, addr }).unwrap();
        let description = NodeDescription {
            hostname: hostname.into(),
            platform: Platform {
                architecture: "x86_64".into(),
                os: "linux".into(),
            },
            resources: ResourceAmounts {
                nano_cpus: 2_000_000_000,
                memory_bytes: 25_276_518_400,
                pids: 0,
            },
            engine_version: "20.10.24+dfsg1".into(),
            plugins: vec![("Log".into(), "json-file".into())],
            ..NodeDescription::default()
        };
        self.apply(Command::DescribeNode {
            id,
            description: Box::new(description),
            addr,
        })
        .unwrap();
        self.see(id, NodeHealth::Ready);
        id
    }

    /// Plans until there is nothing to plan.
    pub fn plan(&mut self) {
        loop {
            let now = Timestamp(1_795_215_734_000_000_000 + (self.index + 1) * 1_500_000_000);
            let (state, observed) = (self.state.clone(), self.observed.clone());
            let changes = plan(&state, &observed, now, &mut || self.new_id()).changes;
            if changes.is_empty() {
                return;
            }
            self.apply(Command::Plan { changes }).unwrap();
        }
    }

    fn view(&self) -> View<'_> {
        View {
            state: &self.state,
            observed: &self.observed,
            managers: &self.managers,
            authorities: &self.authorities,
        }
    }
}

impl Backend for Fake {
    fn local(&self) -> LocalState {
        self.edit(|swarm| swarm.local.clone())
    }

    fn peek(&self, look: &mut dyn FnMut(View<'_>)) {
        self.edit(|swarm| look(swarm.view()));
    }

    fn happened(&self, seen: u64) -> (Vec<Happened>, u64) {
        self.edit(|swarm| swarm.happened.after(seen))
    }

    fn happens(&self, seen: u64) -> BoxFuture<'_, ()> {
        let mut count = self.edit(|swarm| swarm.happened.count());
        async move {
            let _ = count.wait_for(|count| *count != seen).await;
        }
        .boxed()
    }

    fn init(&self, _: InitRequest) -> BoxFuture<'_, Result<Id, ApiError>> {
        async { Ok(self.edit(Swarm::found)) }.boxed()
    }

    fn join(&self, asked: JoinRequest) -> BoxFuture<'_, Result<Option<FoundSwarm>, ApiError>> {
        let through = "node-a (10.77.0.1:2377)".into();
        let found = asked.remotes.is_empty().then_some(FoundSwarm { through });
        async { Ok(found) }.boxed()
    }

    fn up(&self, asked: UpRequest) -> BoxFuture<'_, Result<UpProgress, ApiError>> {
        self.edit(|swarm| {
            swarm.local = LocalState::Waiting;
            swarm.up = Some(asked);
        });
        async { Ok(self.progress()) }.boxed()
    }

    fn progress(&self) -> UpProgress {
        let waits = self.edit(|swarm| swarm.up.is_some());
        UpProgress {
            state: if waits { "waiting" } else { "none" }.into(),
            ..UpProgress::default()
        }
    }

    fn discover(&self) -> BoxFuture<'_, Vec<Device>> {
        async { Vec::new() }.boxed()
    }

    fn members(&self) -> Option<Vec<Member>> {
        self.edit(|swarm| match swarm.local {
            LocalState::Active(_) => Some(swarm.members.clone()),
            _ => None,
        })
    }

    fn published(&self) -> Published {
        self.edit(|swarm| swarm.published.clone())
    }

    fn diagnose(&self) -> BoxFuture<'_, Option<Diagnosis>> {
        let own = self.edit(|swarm| match &swarm.local {
            LocalState::Active(node) => swarm.diagnoses.get(&node.id).cloned(),
            _ => None,
        });
        async { own }.boxed()
    }

    fn leave(&self, force: bool) -> BoxFuture<'_, Result<(), ApiError>> {
        async move {
            if force {
                self.edit(|swarm| swarm.local = LocalState::Inactive);
                Ok(())
            } else {
                Err(ApiError::unavailable(texts::LAST_MANAGER_LEAVES))
            }
        }
        .boxed()
    }

    fn unlock(&self, key: UnlockKey) -> BoxFuture<'_, Result<(), ApiError>> {
        let fits = key == UnlockKey::from_bytes(KEY);
        async move {
            if !fits {
                return Err(SwarmError::WrongUnlockKey.into());
            }
            self.edit(|swarm| {
                let id = swarm.managers.keys().next().copied().unwrap();
                swarm.local = LocalState::Active(LocalNode {
                    id,
                    addr: [10, 77, 0, 1].into(),
                    role: Role::Manager,
                    managers: Vec::new(),
                });
            });
            Ok(())
        }
        .boxed()
    }

    fn lead<'a>(&'a self, _: &'a Parts, _: &'a Bytes) -> BoxFuture<'a, Result<Lead, ApiError>> {
        async move {
            match self.local() {
                LocalState::Active(node) if node.role == Role::Manager => {
                    Ok(Lead::Here(Arc::new(self.clone())))
                }
                other => Err(not_a_manager(&other)),
            }
        }
        .boxed()
    }
}

impl Manager for Fake {
    fn read(&self, look: &mut dyn FnMut(View<'_>)) {
        self.edit(|swarm| {
            look(swarm.view());
            swarm.reads.send_modify(|count| *count += 1);
        });
    }

    fn kept(&self) -> Option<(&Kept, Revision)> {
        let revision = self.edit(|swarm| Revision {
            applied: swarm.index,
            seen: swarm.told,
            managers: swarm.managers.clone(),
        });
        Some((self.1.as_deref()?, revision))
    }

    fn propose(&self, command: Command) -> BoxFuture<'_, Result<Answer, ApiError>> {
        async move { self.edit(|swarm| swarm.apply(command)) }.boxed()
    }

    fn new_id(&self) -> Id {
        self.edit(Swarm::new_id)
    }

    fn taken_subnets(&self) -> Vec<Taken> {
        self.edit(|swarm| swarm.taken.clone())
    }

    fn rotate_token(&self, role: Role) -> BoxFuture<'_, Result<(), ApiError>> {
        let token = "SWMTKN-1-a-new".into();
        async move {
            self.edit(|swarm| swarm.apply(Command::RotateJoinToken { role, token }))
                .map(|_| ())
        }
        .boxed()
    }

    fn new_unlock_key(&self) -> Result<object::UnlockKey, ApiError> {
        Ok(object::UnlockKey(KEY))
    }

    fn rotate_root(
        &self,
        version: u64,
        spec: ClusterSpec,
        to: NewRoot,
    ) -> BoxFuture<'_, Result<(), ApiError>> {
        let certificate = match to {
            NewRoot::Made => "made".into(),
            NewRoot::Given { certificate, .. } => certificate,
        };
        let next = Authority {
            digest: [2; 32],
            info: TlsInfo {
                trust_root: certificate.clone(),
                ..TlsInfo::default()
            },
        };
        let rotation = RootRotation {
            next: ClusterCa {
                certificate,
                key: String::new(),
            },
            digest: next.digest,
            cross_signed: String::new(),
            join_tokens: JoinTokens {
                worker: "SWMTKN-1-b-b".into(),
                manager: "SWMTKN-1-b-c".into(),
            },
            begun: Timestamp(0),
            renewed: Default::default(),
        };
        let command = Command::RotateRoot {
            version,
            spec,
            rotation: Some(Box::new(rotation)),
        };
        async move {
            self.edit(|swarm| {
                swarm.apply(command)?;
                swarm.authorities.next = Some(next);
                Ok(())
            })
        }
        .boxed()
    }

    fn remove_node(&self, id: Id, _: bool) -> BoxFuture<'_, Result<(), ApiError>> {
        async move {
            self.edit(|swarm| swarm.apply(Command::RemoveNode { id }))
                .map(|_| ())
        }
        .boxed()
    }

    fn diagnose(&self, nodes: Vec<Id>) -> BoxFuture<'_, Vec<(Id, Result<Diagnosis, String>)>> {
        let answer = |id, swarm: &Swarm| match swarm.diagnoses.get(&id) {
            Some(diagnosis) => (id, Ok(diagnosis.clone())),
            None => (id, Err("its cable is cut".to_owned())),
        };
        let answers = self.edit(|swarm| {
            let nodes = nodes.into_iter();
            nodes.map(|id| answer(id, swarm)).collect()
        });
        async { answers }.boxed()
    }

    fn events(&self, seen: u64) -> (Vec<Event>, u64) {
        self.edit(|swarm| swarm.events.after(seen))
    }

    fn next_event(&self, seen: u64) -> BoxFuture<'_, bool> {
        let events = self.edit(|swarm| Arc::clone(&swarm.events));
        async move {
            let mut count = events.count();
            let more = count.wait_for(|count| *count > seen).await;
            more.is_ok() && !self.edit(|swarm| swarm.deposed)
        }
        .boxed()
    }

    fn logs(&self, task: Id, options: LogOptions) -> BoxFuture<'_, Result<LogStream, ApiError>> {
        async move {
            self.edit(|swarm| {
                swarm.log_options.send_modify(|asked| asked.push(options));
                match swarm.logs.get(&task).cloned().unwrap_or(Ok(Vec::new())) {
                    Ok(frames) => Ok(futures::stream::iter(frames).map(Ok).boxed()),
                    Err(reason) => Err(ApiError::unavailable(reason)),
                }
            })
        }
        .boxed()
    }
}
