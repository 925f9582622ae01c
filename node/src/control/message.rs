//! What nodes say to each other over the node protocol (`swl-node/1`).
//!
//! Whoever opens a bidirectional stream says in its first frame what it is
//! for; what follows is the business of that purpose. Descriptions and specs
//! grow with every release and travel as JSON bytes inside.

use std::fmt;
use std::net::SocketAddr;

use certs::NodeId;
use serde::{Deserialize, Serialize};
use services::object::TaskStatus;
use services::spec::Role;
use services::{Id, NodeTrust, Timestamp};

/// The first frame of a stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Open {
    /// Worker to any manager; `Up` and `Down` frames follow.
    Session(Hello),
    /// Manager to leader: what its sessions report; `Relayed` frames follow.
    Relay,
    /// Manager to leader: HTTP/1.1 follows, answered by the leader's API.
    Http,
    /// Towards the node of a task, or to the manager that has its session:
    /// the frames of [`crate::logs`] follow.
    Logs(LogsRequest),
    /// To any manager: a new certificate; one `Renewal` follows.
    Renew { csr: Vec<u8> },
    /// Towards a node, or to the manager that has its session: what the overlay
    /// looks like from there. A `Result` of a JSON [`crate::doctor::Diagnosis`]
    /// follows.
    Diagnose { node: NodeId },
    /// To any manager: addresses for containers of users; one
    /// [`crate::attach::Answer`] follows.
    Attach(crate::attach::Ask),
    /// As `Logs`, each message with the details of its log driver.
    DetailedLogs(LogsRequest),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// Where this node's control port answers, as far as it knows.
    pub addr: SocketAddr,
}

/// Worker to manager.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Up {
    Beat,
    Engine(EngineReport),
    /// All tasks of the node once, in one or more frames, then what changes.
    Tasks {
        /// The sender's clock, which need not be the receiver's.
        now: Timestamp,
        /// Forget what was said before: the first of all.
        reset: bool,
        /// The last of all; true also for every change.
        complete: bool,
        statuses: Vec<(Id, TaskStatus)>,
    },
    /// The node's daemon stops in order and leaves its containers running.
    Pauses,
    /// Once, and when it changes.
    Trust(NodeTrust),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EngineReport {
    /// `description` is a JSON [`services::object::NodeDescription`].
    Ready {
        description: Vec<u8>,
    },
    Unavailable {
        reason: String,
    },
}

/// Manager to worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Down {
    Beat,
    Assign(AssignmentBatch),
    Swarm(SwarmNews),
    Directory(DirectoryBatch),
    /// Of assignments that follow, which this node does not have yet.
    File(FileBatch),
    /// Before the assignments whose tickets these sign.
    Trust(TrustNews),
    /// Tickets for containers of users on this node, by attachment and network.
    Tickets(Vec<(Id, Id, Vec<u8>)>),
}

/// The swarm's CAs, PEM: the one that join tokens name first, the one that issues
/// certificates last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustNews {
    /// See [`SwarmNews::at`].
    pub at: u64,
    pub roots: Vec<String>,
}

/// A part of an assignment set. The first session frame of a set has `reset`,
/// its last has `complete`; the worker acts on complete sets only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AssignmentBatch {
    pub reset: bool,
    /// In the encoding of `services::codec`.
    pub changed: Vec<u8>,
    pub removed: Vec<Id>,
    pub complete: bool,
}

/// A part of the content of a secret or a config; those of one follow each
/// other.
#[derive(Clone, Serialize, Deserialize)]
pub struct FileBatch {
    pub id: Id,
    /// Of the encoding of `services::codec`, which is all parts together.
    pub content: Vec<u8>,
    pub complete: bool,
}

impl fmt::Debug for FileBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBatch")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A part of what changed in the node's directory; see [`AssignmentBatch`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DirectoryBatch {
    pub reset: bool,
    /// In the encoding of `services::codec`.
    pub delta: Vec<u8>,
    pub complete: bool,
}

/// What every node should know of the swarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwarmNews {
    /// Up to which index of the log it is known to be so; zero: a guess.
    pub at: u64,
    pub managers: Vec<(NodeId, SocketAddr)>,
    /// The role that the receiver should have.
    pub role: Role,
    pub removed: Vec<NodeId>,
}

impl SwarmNews {
    /// Takes what another manager said, unless that is behind what is known:
    /// managers are not equally far. Returns whether anything is different.
    pub fn update(&mut self, news: Self) -> bool {
        if news.at < self.at {
            return false;
        }
        let changed = !self.says_the_same(&news);
        *self = news;
        changed
    }

    pub fn says_the_same(&self, other: &Self) -> bool {
        self.managers == other.managers && self.role == other.role && self.removed == other.removed
    }
}

/// Manager to leader, about the nodes whose sessions it holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Relayed {
    /// The nodes heard of since the last frame of this kind.
    Alive(Vec<NodeId>),
    Engine {
        node: NodeId,
        addr: SocketAddr,
        report: EngineReport,
    },
    Tasks {
        node: NodeId,
        now: Timestamp,
        complete: bool,
        statuses: Vec<(Id, TaskStatus)>,
    },
    /// See [`Up::Pauses`].
    Pauses(NodeId),
    /// What follows was said of the state as it was after this index of the log.
    AsOf(u64),
    /// See [`Up::Trust`].
    Trust { node: NodeId, trust: NodeTrust },
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct LogsRequest {
    pub node: NodeId,
    pub task: Id,
    pub follow: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// `None`: all.
    pub tail: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Renewal {
    Granted { certificate: String },
    Refused { reason: String },
}
