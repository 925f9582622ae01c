//! Performs what the machine decides, over libp2p on the control endpoint.
//!
//! Each connection is a QUIC connection of the control endpoint that TLS has
//! admitted. libp2p's swarm sees it through [`transport`] and [`muxer`]: it
//! dials, holds the limits and carries exchanges ([`exchange`]). Datagrams take
//! the short way past it ([`links`]). [`task`] joins both to the machine.

mod exchange;
mod keys;
mod links;
mod muxer;
mod task;
mod transport;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use std::{fmt, io};

use certs::{Credentials, NodeId, Peer};
use futures::future::BoxFuture;
use quinn::Connection;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::endpoints::{Endpoints, Table};
use crate::facts::Facts;
use crate::machine::{self, Event, Machine};
use crate::view::{Member, Moment};
use links::Links;
use task::Task;
use transport::{ControlEndpoint, Inbound};

/// Connections of peers that libp2p has not taken yet.
const MAX_INBOUND: usize = 32;
/// For the last words to get out before the connections are closed.
const FAREWELL: Duration = Duration::from_millis(100);

/// Opens connections of the protocol [`ALPN`](crate::ALPN) on the control
/// endpoint.
pub trait Dial: Send + Sync + 'static {
    /// A new connection to exactly this node, at this address.
    fn dial(&self, id: NodeId, addr: SocketAddr) -> BoxFuture<'static, io::Result<Connection>>;
}

/// What gossip starts with.
#[derive(Debug)]
pub struct Config {
    pub credentials: Credentials,
    /// Of this node.
    pub facts: Facts,
    /// Where others were last known to answer.
    pub hints: Vec<(NodeId, SocketAddr)>,
}

/// This node's part in the gossip of its swarm. Clones share it.
#[derive(Clone)]
pub struct Gossip(Arc<Shared>);

struct Shared {
    me: NodeId,
    credentials: Credentials,
    machine: Mutex<Machine>,
    endpoints: Mutex<Endpoints>,
    /// What the machine was told last of this node.
    facts: Mutex<Facts>,
    links: Arc<Links>,
    /// The zero of all moments.
    epoch: Instant,
    changes: watch::Sender<u64>,
    /// The machine was told something by another than the task.
    told: Notify,
    inbound: mpsc::Sender<Inbound>,
    flushes: mpsc::Sender<oneshot::Sender<()>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Gossip {
    /// Begins to gossip. Must be called within a Tokio runtime.
    pub fn start(config: Config, dial: Arc<dyn Dial>) -> io::Result<Self> {
        let me = config.credentials.node_id();
        let incarnation = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let incarnation = incarnation.unwrap_or_default().as_millis();
        let machine = Machine::new(
            machine::Config::default(),
            Box::new(keys::LiveKeys::new(config.credentials.clone())),
            config.facts.clone(),
            incarnation.try_into().unwrap_or(u64::MAX),
            rand::random(),
            Moment::ZERO,
        );
        let (inbound, inbound_rx) = mpsc::channel(MAX_INBOUND);
        let (flushes, flushes_rx) = mpsc::channel(1);
        let links = Arc::new(Links::new(me));
        let shared = Arc::new(Shared {
            me,
            credentials: config.credentials,
            machine: Mutex::new(machine),
            endpoints: Mutex::default(),
            facts: Mutex::new(config.facts),
            links: Arc::clone(&links),
            epoch: Instant::now(),
            changes: watch::Sender::new(0),
            told: Notify::new(),
            inbound,
            flushes,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let endpoint = ControlEndpoint::new(dial, inbound_rx, links);
        let task = Task::new(Arc::clone(&shared), endpoint);
        shared.tasks.spawn(task.run(flushes_rx));
        let gossip = Self(shared);
        for (id, addr) in config.hints {
            gossip.hint(id, vec![addr]);
        }
        Ok(gossip)
    }

    /// Serves a connection that `peer` has opened, until it ends.
    pub async fn serve(&self, peer: Peer, connection: Connection) {
        let handed_in = self.0.inbound.send((peer.id, connection.clone()));
        if self.0.credentials.is_revoked(peer.id) || handed_in.await.is_err() {
            connection.close(0u32.into(), b"");
        }
        connection.closed().await;
    }

    /// Changes what this node says of itself.
    pub fn publish(&self, change: impl FnOnce(&mut Facts)) {
        let mut facts = lock(&self.0.facts);
        let before = facts.clone();
        change(&mut facts);
        if *facts != before {
            self.tell(Event::Facts(facts.clone()));
        }
    }

    /// Where a node may answer, from a source that knows no better.
    pub fn hint(&self, id: NodeId, addrs: Vec<SocketAddr>) {
        if id != self.0.me {
            self.tell(Event::Hint { id, addrs });
        }
    }

    /// All that this node knows of, itself included, by id.
    pub fn members(&self) -> Vec<Member> {
        let members: Vec<Member> = lock(&self.0.machine).members().collect();
        members
            .into_iter()
            .map(|member| self.seen(member))
            .collect()
    }

    pub fn member(&self, id: NodeId) -> Option<Member> {
        let member = lock(&self.0.machine).member(id)?;
        Some(self.seen(member))
    }

    /// Adds what only the connection knows.
    fn seen(&self, mut member: Member) -> Member {
        if let Some((addr, round_trip)) = self.0.links.seen(member.id) {
            member.addr = Some(addr);
            member.round_trip = Some(round_trip);
        }
        member
    }

    /// Where to dial a node, the most likely first; empty where nobody said.
    pub fn addrs(&self, id: NodeId) -> Vec<SocketAddr> {
        lock(&self.0.machine).addrs(id)
    }

    /// Where the tasks of every network answer now, as far as that is vouched
    /// for; ask again after [`changes`](Self::changes). While nothing in it
    /// changes it is the same table, and only new tickets cost anything.
    pub fn endpoints(&self) -> Arc<Table> {
        let mut endpoints = lock(&self.0.endpoints);
        let members: Vec<Member> = lock(&self.0.machine).members().collect();
        let credentials = &self.0.credentials;
        endpoints.update(members.into_iter(), |bytes, signature| {
            credentials.root_verifies(bytes, signature)
        })
    }

    /// Counts the changes of liveness and of facts.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Time since gossip started, as in [`Member::since`].
    pub fn now(&self) -> Moment {
        self.0.epoch.elapsed()
    }

    /// Begins all connections anew. Those that others opened are bound to the
    /// address that they came to: where this device does not have that any
    /// more, nothing that it says on them gets out.
    pub fn addresses_changed(&self) {
        self.0.links.close_all();
        self.0.told.notify_one();
    }

    /// Drops these nodes at once, and believes nothing of them any more.
    pub fn set_revoked(&self, nodes: BTreeSet<NodeId>) {
        for id in &nodes {
            self.0.links.close(*id);
        }
        self.tell(Event::Revoked(nodes));
    }

    /// Takes up the certificate that the credentials hold now.
    pub fn certificate_changed(&self) {
        self.tell(Event::CertificateChanged);
    }

    /// The credentials trust a CA that they did not before: tickets that nothing
    /// spoke for may be good. When one goes, what was verified stays so.
    pub fn root_added(&self) {
        lock(&self.0.endpoints).forget();
        self.0.told.notify_one();
    }

    /// Tells the others that this node goes for good.
    pub async fn leave(&self) {
        self.tell(Event::Leave);
        let (flushed, done) = oneshot::channel();
        let said = self.0.flushes.send(flushed).await.is_ok() && done.await.is_ok();
        if said && self.0.links.is_any_open() {
            // QUIC has it; a closed connection would send no more of it.
            tokio::time::sleep(FAREWELL).await;
        }
    }

    /// Ends all connections, and the task.
    pub async fn shutdown(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    fn tell(&self, event: Event) {
        let now = self.now();
        lock(&self.0.machine).handle(event, now);
        self.0.told.notify_one();
    }
}

impl fmt::Debug for Gossip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gossip")
            .field("me", &self.0.me)
            .finish_non_exhaustive()
    }
}

/// A poisoned lock says only that another thread panicked; the machine is
/// consistent after every event.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
