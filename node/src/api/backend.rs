//! What the API asks of the node behind it.
//!
//! Two traits, because two things answer: every node can say what it is, and
//! `init`, `join` and `leave`; only the leader reads and writes the swarm. The
//! routes know nothing of Raft, sessions or the network, so they are tested
//! against an implementation in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use certs::JoinToken;
use certs::lock::UnlockKey;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use overlay::directory::Port;
use services::happened::Happened;
use services::spec::{Availability, ClusterSpec, Labels, Role};
use services::{Answer, Command, Id, Observed, State, Taken};

use super::authorities::Authorities;
use super::dto::{Device, FoundSwarm, Member, SigningKey, UpProgress};
use super::error::ApiError;
use super::kept::{Kept, Revision};
use crate::doctor::Diagnosis;
use crate::manager::events::Event;
use crate::runtime::{LogFrame, LogOptions};

/// The node, whatever its place in the swarm.
pub trait Backend: Send + Sync + 'static {
    fn local(&self) -> LocalState;

    /// Calls `look` with this manager's own copy of the state, however old;
    /// does not call it on a worker or outside a swarm.
    fn peek(&self, look: &mut dyn FnMut(View<'_>));

    /// What happened to the swarm's objects after the first `seen` things, as
    /// far as this manager remembers, and how many there were; nothing where this
    /// is no manager.
    fn happened(&self, seen: u64) -> (Vec<Happened>, u64);

    /// Waits until there may be more than `seen`.
    fn happens(&self, seen: u64) -> BoxFuture<'_, ()>;

    /// Makes a swarm of this node and returns the node's id.
    fn init(&self, request: InitRequest) -> BoxFuture<'_, Result<Id, ApiError>>;

    /// Returns once this node is a member; with whom it found, where it was
    /// told no address.
    fn join(&self, request: JoinRequest) -> BoxFuture<'_, Result<Option<FoundSwarm>, ApiError>>;

    /// Waits for the other devices of a site from now on.
    fn up(&self, request: UpRequest) -> BoxFuture<'_, Result<UpProgress, ApiError>>;

    fn progress(&self) -> UpProgress;

    /// The devices on this LAN that are in a swarm or wait for one.
    fn discover(&self) -> BoxFuture<'_, Vec<Device>>;

    /// Who is here, as this node believes; `None` outside a swarm.
    fn members(&self) -> Option<Vec<Member>>;

    /// The ports of this host that lead to containers on networks of the swarm.
    fn published(&self) -> Published;

    /// What the overlay looks like from this node; `None` outside a swarm.
    fn diagnose(&self) -> BoxFuture<'_, Option<Diagnosis>>;

    fn leave(&self, force: bool) -> BoxFuture<'_, Result<(), ApiError>>;

    /// Takes up the part of a locked manager.
    fn unlock(&self, key: UnlockKey) -> BoxFuture<'_, Result<(), ApiError>>;

    /// Finds who answers a request of the swarm half: this node, if it leads
    /// (after a read barrier), or another, to which it is sent as it is.
    ///
    /// # Errors
    /// 503 in Docker's words: no swarm, a worker, or being prepared
    /// ([`super::not_a_manager`]); 500 where there is no leader.
    fn lead<'a>(
        &'a self,
        head: &'a Parts,
        body: &'a Bytes,
    ) -> BoxFuture<'a, Result<Lead, ApiError>>;
}

/// Of this host, by the address of the container that they lead to.
pub type Published = BTreeMap<IpAddr, BTreeSet<Port>>;

/// Who answers a request of the swarm half.
pub enum Lead {
    Here(Arc<dyn Manager>),
    /// The leader's answer.
    Elsewhere(Response),
}

impl fmt::Debug for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(_) => f.write_str("Here"),
            Self::Elsewhere(answer) => f.debug_tuple("Elsewhere").field(&answer.status()).finish(),
        }
    }
}

/// The swarm as its leader reads and writes it.
pub trait Manager: Send + Sync + 'static {
    /// Calls `look` once; it must not come back here.
    fn read(&self, look: &mut dyn FnMut(View<'_>));

    /// Answers that were given already, and what answers are made of now; `None`
    /// where none are kept.
    fn kept(&self) -> Option<(&Kept, Revision)>;

    /// Returns when the command was applied here.
    fn propose(&self, command: Command) -> BoxFuture<'_, Result<Answer, ApiError>>;

    fn new_id(&self) -> Id;

    /// Subnets that this host uses otherwise, and for what.
    fn taken_subnets(&self) -> Vec<Taken>;

    /// Replaces the join token of `role`; the old one is refused from then on.
    fn rotate_token(&self, role: Role) -> BoxFuture<'_, Result<(), ApiError>>;

    /// A key that was none before.
    ///
    /// # Errors
    /// 500 where there is no randomness.
    fn new_unlock_key(&self) -> Result<services::object::UnlockKey, ApiError>;

    /// As [`Command::UpdateCluster`], and the swarm's CA becomes another one.
    ///
    /// # Errors
    /// 400 for a CA that nodes could not live by.
    fn rotate_root(
        &self,
        version: u64,
        spec: ClusterSpec,
        to: NewRoot,
    ) -> BoxFuture<'_, Result<(), ApiError>>;

    /// Takes the node out of the swarm for ever. Whether it may go was checked
    /// as far as the state knows (down or `force`, not a manager).
    fn remove_node(&self, node: Id, force: bool) -> BoxFuture<'_, Result<(), ApiError>>;

    /// The events after the first `seen`, and how many there were in all.
    fn events(&self, seen: u64) -> (Vec<Event>, u64);

    /// Waits until there are more than `seen`; `false` where this manager leads
    /// no more and will not know.
    fn next_event(&self, seen: u64) -> BoxFuture<'_, bool>;

    /// What the overlay looks like from each of these nodes, or why it does not
    /// say. Takes seconds.
    fn diagnose(&self, nodes: Vec<Id>) -> BoxFuture<'_, Vec<(Id, Result<Diagnosis, String>)>>;

    /// What the task's container wrote. The stream ends with the container's
    /// log, or with `follow` when the task is gone for good.
    fn logs(&self, task: Id, options: LogOptions) -> BoxFuture<'_, Result<LogStream, ApiError>>;
}

/// Which CA the swarm is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewRoot {
    /// One that is made for it.
    Made,
    /// The user's own, PEM.
    Given {
        certificate: String,
        key: SigningKey,
    },
}

/// The swarm as seen at one moment.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub state: &'a State,
    pub observed: &'a Observed,
    /// The members of the Raft group.
    pub managers: &'a BTreeMap<Id, ManagerView>,
    pub authorities: &'a Authorities,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManagerView {
    pub leader: bool,
    pub reachable: bool,
    /// With the control port.
    pub addr: SocketAddr,
}

/// This node's own view of its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalState {
    Inactive,
    /// For the other devices of its site.
    Waiting,
    /// Joining, or its manager is being started.
    Pending,
    Locked,
    Error(String),
    Active(LocalNode),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalNode {
    pub id: Id,
    pub addr: IpAddr,
    pub role: Role,
    /// The managers that this node knows, itself included if it is one.
    pub managers: Vec<(Id, SocketAddr)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct InitRequest {
    pub listen: SocketAddr,
    pub advertise: Option<Advertise>,
    /// As it was written.
    pub data_path: Option<String>,
    pub availability: Availability,
    pub force_new_cluster: bool,
    /// Managers are to be locked.
    pub autolock: bool,
    pub spec: ClusterSpec,
}

#[derive(Clone, PartialEq)]
pub struct JoinRequest {
    pub listen: SocketAddr,
    pub advertise: Option<Advertise>,
    /// As it was written.
    pub data_path: Option<String>,
    pub availability: Availability,
    /// `HOST:PORT` of managers; the port was added if missing. None: wherever
    /// the swarm of the token is on this LAN.
    pub remotes: Vec<String>,
    pub token: JoinToken,
}

impl fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinRequest")
            .field("remotes", &self.remotes)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq)]
pub struct UpRequest {
    pub key: String,
    pub managers: usize,
    pub labels: Labels,
    pub listen: SocketAddr,
    /// As it was written; an interface may have no address yet.
    pub advertise: Option<String>,
    pub availability: Availability,
}

impl fmt::Debug for UpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpRequest").finish_non_exhaustive()
    }
}

/// What others should call this node by: `192.0.2.1`, `192.0.2.1:2377`,
/// `eth0` or `eth0:2377`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertise {
    pub host: AdvertiseHost,
    pub port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdvertiseHost {
    Ip(IpAddr),
    Interface(String),
}

/// Frames in the order of the task's output.
pub type LogStream = BoxStream<'static, std::io::Result<LogFrame>>;
