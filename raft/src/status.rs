//! What a member knows of its group at one moment.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use certs::NodeId;
use openraft::{RaftMetrics, ServerState, metrics};

use crate::types::{Addr, Id, Types, is_voter};

/// What this node knows of its group. Local, so it may be out of date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What this node is.
    pub role: Role,
    /// Whom this node follows, itself included. `None` during an election, and
    /// where nothing was heard for the longest time before one: of the leader,
    /// or, if this node leads, of a majority.
    pub leader: Option<NodeId>,
    /// The latest term this node has heard of.
    pub term: u64,
    /// The index of the last entry that was applied here, 0 before the first.
    pub applied: u64,
    /// Every member, by the latest list in this node's log.
    pub members: BTreeMap<NodeId, MemberStatus>,
    /// Why this node takes no part: its disk failed. It comes back by itself
    /// when the disk can be written again.
    pub storage_error: Option<String>,
}

/// What a node is in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes commands.
    Leader,
    /// Stands for election.
    Candidate,
    /// Has a vote and follows.
    Follower,
    /// Has no vote: not promoted yet, or not even a member.
    Learner,
    /// Takes no part: shut down, or its disk failed.
    Stopped,
}

/// A member as the log lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberStatus {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Whether it has a vote; otherwise it is a learner, or on its way to a vote or
    /// away from it.
    pub voter: bool,
}

/// How far a member has come, as its leader knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Up to which index its log is known to agree with the leader's.
    pub matched: Option<u64>,
    /// How long ago it answered; `None` if it has not since this leader was
    /// elected.
    pub heard: Option<Duration>,
}

impl Status {
    pub(crate) fn stopped(storage_error: Option<String>) -> Self {
        Self {
            role: Role::Stopped,
            leader: None,
            term: 0,
            applied: 0,
            members: BTreeMap::new(),
            storage_error,
        }
    }

    /// `silent` if the leader, or its majority, was not heard for long.
    pub(crate) fn of(metrics: &RaftMetrics<Types>, silent: bool) -> Self {
        let membership = metrics.membership_config.membership();
        let member = |(id, addr): (&Id, &Addr)| {
            let (addr, voter) = (addr.0, is_voter(membership, *id));
            (id.0, MemberStatus { addr, voter })
        };
        Self {
            role: match metrics.state {
                ServerState::Leader => Role::Leader,
                ServerState::Candidate => Role::Candidate,
                ServerState::Follower => Role::Follower,
                ServerState::Learner => Role::Learner,
                ServerState::Shutdown => Role::Stopped,
            },
            leader: metrics.current_leader.filter(|_| !silent).map(|id| id.0),
            term: metrics.current_term,
            applied: metrics.last_applied.map_or(0, |id| id.index),
            members: membership.nodes().map(member).collect(),
            storage_error: None,
        }
    }

    /// The address of a member.
    pub(crate) fn addr(&self, id: NodeId) -> Option<SocketAddr> {
        self.members.get(&id).map(|member| member.addr)
    }
}

pub(crate) fn progress(metrics: &RaftMetrics<Types>) -> BTreeMap<NodeId, Progress> {
    let (Some(replication), Some(heartbeat)) = (&metrics.replication, &metrics.heartbeat) else {
        return BTreeMap::new();
    };
    let of = |(id, matched): (&Id, &Option<_>)| {
        let heard = heartbeat.get(id).copied().flatten();
        let progress = Progress {
            matched: matched.map(|id: crate::types::LogId| id.index),
            heard: heard.map(|at: metrics::SerdeInstant<_>| openraft::Instant::elapsed(&*at)),
        };
        (id.0, progress)
    };
    replication.iter().map(of).collect()
}
