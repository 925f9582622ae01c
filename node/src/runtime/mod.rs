//! What runs tasks: the one trait between the worker's agent and an engine.
//!
//! The trait is as narrow as the agent's needs: create, start, stop, remove,
//! look, and be told that something is worth a look. It decides nothing: every
//! call is one thing asked of the engine, and whether it was wise is known in
//! `worker`. A container belongs to exactly one task and carries its ids as
//! labels, so that a restarted agent finds its own again.
//!
//! [`docker`] talks to a Docker Engine, [`fake`] is an engine in memory for
//! tests and simulations.

pub mod dns;
pub mod docker;
mod error;
pub mod fake;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use overlay::dns::resolv::Wanted;
use services::assignment::AssignedNetwork;
use services::object::{NodeDescription, PublishedPort, Subnet};
use services::spec::TaskSpec;
use services::{Assignment, Id, Timestamp};

pub use docker::{DockerConfig, DockerRuntime};
pub use error::RuntimeError;

pub type Result<T> = std::result::Result<T, RuntimeError>;

/// An engine that runs this node's containers.
///
/// Every call ends by itself: an engine that does not answer in time is
/// [`RuntimeError::Unavailable`], and whether the call took effect is then
/// unknown until the container is inspected.
pub trait Runtime: Debug + Send + Sync + 'static {
    /// Whether the engine answers at all; within seconds.
    fn ping(&self) -> BoxFuture<'_, Result<()>>;

    /// What the node is, for the scheduler.
    fn describe(&self) -> BoxFuture<'_, Result<NodeDescription>>;

    /// The devices that it can give to containers, as
    /// [`NodeDescription::devices`] says. Read from the host, without the engine.
    fn devices(&self) -> BoxFuture<'_, BTreeSet<String>>;

    /// Names the running process of the engine: another name means that the
    /// engine (or the host) was restarted in between. `None` if it cannot be told.
    fn instance(&self) -> BoxFuture<'_, Option<String>>;

    /// Every container of this node, in whatever state.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Listed>>>;

    /// Creates the task's container and returns its id. A container of the same
    /// task that exists already is adopted. The task's networks are made where
    /// they are missing. Pulls nothing: an absent image is
    /// [`RuntimeError::ImageMissing`]. It has these files, which it cannot change.
    fn create<'a>(
        &'a self,
        assignment: &'a Assignment,
        files: &'a [FileMount],
    ) -> BoxFuture<'a, Result<String>>;

    /// Fetches the image of a task, with its credentials for the registry. Calls
    /// for the same image with the same credentials share one transfer.
    fn pull<'a>(&'a self, task: &'a TaskSpec) -> BoxFuture<'a, Result<()>>;

    /// Starts a container, on these networks and no others: what it lacks of
    /// them is mended first. One that runs already is left alone.
    fn start<'a>(
        &'a self,
        container: &'a str,
        networks: &'a [AssignedNetwork],
    ) -> BoxFuture<'a, Result<()>>;

    /// Sends the container's stop signal, waits for `grace` and kills it.
    /// `None` is the grace that it was created with. Returns when it is down.
    fn stop<'a>(&'a self, container: &'a str, grace: Option<Duration>)
    -> BoxFuture<'a, Result<()>>;

    /// Kills and deletes a container with its anonymous volumes. One that is
    /// gone already is no error.
    fn remove<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<()>>;

    /// The container as it is now; `None` if there is none of this id.
    fn inspect<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<Option<Container>>>;

    /// Makes the networks that are to be there, and removes those of this node
    /// that nobody wants and no container is on.
    ///
    /// # Errors
    /// The first; what could be done is done.
    fn settle_networks<'a>(&'a self, wanted: &'a Networks) -> BoxFuture<'a, Result<()>>;

    /// The ids of tasks whose container changed (died, healthy or not,
    /// removed), from just before this call on. An item is a reason to inspect
    /// and says nothing itself; spurious ones are allowed. Ends when the
    /// connection does.
    fn events(&self) -> BoxStream<'static, Result<Id>>;

    /// How the container is called that has this place (`endpoint`) on the
    /// engine's `network`. `None` where the engine knows of no such container,
    /// or not yet.
    fn called<'a>(
        &'a self,
        network: &'a str,
        endpoint: &'a str,
    ) -> BoxFuture<'a, Result<Option<Called>>>;

    /// The ids of containers that are renamed from now on. Ends when the
    /// connection does.
    fn renames(&self) -> BoxStream<'static, Result<String>>;

    /// What the container wrote. Ends at its end, or with the container when
    /// following.
    fn logs<'a>(
        &'a self,
        container: &'a str,
        options: &'a LogOptions,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Result<LogFrame>>>>;
}

/// A file of the host, and where a container has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMount {
    pub source: PathBuf,
    /// Absolute.
    pub target: String,
}

/// A network of the swarm, as an engine is to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkPlan {
    pub id: Id,
    pub name: String,
    pub subnets: Vec<Subnet>,
    /// Users may put containers on it, for which the engine asks us for
    /// addresses.
    pub attachable: bool,
    /// Of its containers' packets, in bytes; `None`: as the node's.
    pub mtu: Option<u16>,
}

impl From<&AssignedNetwork> for NetworkPlan {
    fn from(network: &AssignedNetwork) -> Self {
        Self {
            id: network.id,
            name: network.name.clone(),
            subnets: network.subnets.clone(),
            attachable: network.attachable,
            mtu: network.mtu,
        }
    }
}

/// Which networks of the swarm an engine is to have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks {
    /// There in any case.
    pub make: BTreeMap<Id, NetworkPlan>,
    /// Made on demand, and left alone.
    pub keep: BTreeSet<Id>,
    /// Whatever is not wanted goes: containers on it, which are their users',
    /// are taken off.
    pub evict: bool,
}

/// What a container of a user is called, and whom it asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Called {
    /// The engine's id of it.
    pub container: String,
    /// Its own name first, then its aliases.
    pub names: Vec<String>,
    pub resolv: Wanted,
}

/// A container in a listing: enough to see whether it must be inspected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub id: String,
    pub task: Id,
    pub running: bool,
}

/// A container as the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    pub id: String,
    pub phase: Phase,
    /// On the host; 0 when it does not run.
    pub pid: i64,
    /// When it last started.
    pub started: Option<Timestamp>,
    /// The ports that the engine opened for it on the host.
    pub ports: Vec<PublishedPort>,
    /// On its networks, while it runs.
    pub addrs: Vec<IpAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// It never ran.
    Created,
    Running(Health),
    Exited(Exit),
    /// The engine is deleting it.
    Removing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Neither the service nor the image has a health check.
    Unchecked,
    Starting,
    Healthy,
    Unhealthy,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exit {
    pub code: i64,
    pub oom_killed: bool,
    /// The engine's own words, where it has any.
    pub error: Option<String>,
    pub at: Option<Timestamp>,
}

/// Which part of a container's output is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on with what it writes from now on.
    pub follow: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// Only so many lines of what there is; `None` is all.
    pub tail: Option<u64>,
    /// With what the log driver was told to keep of the container.
    pub details: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            follow: false,
            stdout: true,
            stderr: true,
            since: None,
            until: None,
            tail: None,
            details: false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    Stdout,
    Stderr,
}

/// A line, or a piece of one that is longer than the engine's log entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFrame {
    pub stream: LogStream,
    /// When the engine read it.
    pub at: Option<Timestamp>,
    /// Where they were asked for: `key=value` with commas between, keys and
    /// values as in a URL's query; empty where there are none.
    pub details: String,
    /// With its line break, where it had one. At most
    /// [`docker::MAX_LOG_FRAME`] bytes.
    pub data: Bytes,
}
