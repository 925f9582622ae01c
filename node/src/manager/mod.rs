//! What a manager does beside running tasks: it holds the state, serves
//! sessions, relays to the leader, and, while it leads, plans.

pub mod authority;
pub mod autopilot;
pub mod events;
pub mod hub;
pub mod leader;
pub mod machine;
pub mod observer;
pub mod recent;
pub mod relay;
pub mod roles;
mod rotation;
pub mod tracker;
mod way;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use certs::{ClusterId, NodeId};
use gossip::Gossip;
use raft::{Raft, Role as RaftRole};
use services::State;
use services::spec::Role;
use services::{Answer, Command, Id, Proposal, Refusal};
use tokio::time::timeout;

use crate::api::kept::Kept;
use crate::attach::Pace;
use crate::clock;
use crate::control::Control;
use crate::control::message::SwarmNews;
use crate::doctor::Diagnose;
use events::{Event, Events, Kind};
use hub::Hub;
use machine::Machine;
use observer::Observer;

const HAND_OVER: Duration = Duration::from_millis(500);

pub struct Manager {
    pub me: NodeId,
    pub cluster: ClusterId,
    pub raft: Raft<Machine>,
    pub hub: Hub,
    pub observer: Observer,
    pub events: Events,
    pub gossip: Gossip,
    pub control: Arc<Control>,
    /// Of this manager's own node.
    pub doctor: Arc<dyn Diagnose>,
    /// At which nodes may ask for addresses of users' containers.
    pub attach_pace: Pace,
    /// While this manager leads.
    pub kept: Kept,
}

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    /// It was applied and changed nothing.
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Raft(#[from] raft::ProposeError),
    /// The command is too large, or the answer is of a newer release.
    #[error(transparent)]
    Codec(#[from] services::codec::CodecError),
}

impl Manager {
    /// Looks at this manager's own copy of the state, however old.
    pub fn read_state<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        self.raft.read(|machine| look(&machine.state))
    }

    pub fn leads(&self) -> bool {
        self.raft.watch().borrow().role == RaftRole::Leader
    }

    /// Makes another manager the leader, if this one leads and there is another.
    pub async fn hand_over(&self) {
        if self.leads() {
            // This takes milliseconds, an election most of a second.
            let handed = self.raft.transfer_leadership(None);
            let _ = timeout(HAND_OVER, handed).await;
        }
    }

    pub fn has_leader(&self) -> bool {
        self.raft.watch().borrow().leader.is_some()
    }

    pub fn leader(&self) -> Option<(NodeId, SocketAddr)> {
        let id = self.raft.watch().borrow().leader?;
        Some((id, self.address_of(id)?))
    }

    /// Has a command agreed on and applied; forwarded where this manager does
    /// not lead.
    pub async fn propose(&self, command: Command) -> Result<Answer, ProposeError> {
        let proposal = Proposal {
            at: clock::now(),
            command,
        };
        let applied = self
            .raft
            .propose(services::codec::encode_proposal(&proposal)?)
            .await?;
        Ok(services::codec::decode_answer(&applied.answer)??)
    }

    /// What `node` should know of the swarm; `None` where it is not part of it.
    pub fn news_for(&self, node: NodeId) -> Option<SwarmNews> {
        // Before the state is read, which may be further by then.
        let status = self.raft.watch().borrow().clone();
        let members = status.members.iter();
        let managers = members.map(|(id, member)| (*id, member.addr)).collect();
        self.read_state(|state| {
            Some(SwarmNews {
                at: status.applied,
                managers,
                role: state.node(node_key(node))?.spec.role,
                removed: state.removed_nodes().map(node_id).collect(),
            })
        })
    }

    /// Notes what happened to a node, for people.
    fn note(&self, kind: Kind, node: Id, text: impl Into<String>) {
        let name = self.read_state(|state| observer::name(state, node_id(node)));
        let event = Event {
            at: clock::now(),
            kind,
            node,
            name,
            text: text.into(),
        };
        event.log();
        self.events.add(event);
    }

    /// Where a manager answers.
    pub fn address_of(&self, manager: NodeId) -> Option<SocketAddr> {
        let status = self.raft.watch();
        let status = status.borrow();
        status.members.get(&manager).map(|member| member.addr)
    }

    /// The role that the swarm wants of a node, where the node is part of it.
    pub fn role_of(&self, node: NodeId) -> Option<Role> {
        self.read_state(|state| state.node(node_key(node)).map(|node| node.spec.role))
    }
}

/// A node's id in the state is the same number as in its certificate.
pub fn node_key(id: NodeId) -> Id {
    Id::from_u128(id.as_u128())
}

pub fn node_id(id: Id) -> NodeId {
    NodeId::from(id.as_u128())
}
