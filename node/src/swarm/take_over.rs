//! Going on with one manager, when most of them are lost for good.
//!
//! What the swarm is stays: its services, networks, secrets, tokens and workers,
//! whose tasks go on. The other managers are removed: together, those could still
//! agree on something else, and nobody listens to a removed node.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use certs::NodeId;
use gossip::Liveness;
use services::spec::{NodeSpec, Role};
use services::{Command, Id, State};
use tokio::time::timeout;

use super::{Phase, Swarm, SwarmError};
use crate::disk::keys::Keys;
use crate::manager::{Manager, node_id, node_key, observer};
use crate::membership::{Group, Membership};
use crate::site::decide::FOUND_WITHIN;
use crate::site::form::with_port;

impl Swarm {
    /// Makes this manager the only one. `advertise`: where it answers from now
    /// on; a port of zero: the one of before. `data_addr`: the same for the data
    /// port.
    pub async fn take_over(
        &self,
        advertise: Option<SocketAddr>,
        data_addr: Option<IpAddr>,
    ) -> Result<Id, SwarmError> {
        let _changing = self.0.changing.lock().await;
        let membership = match self.phase() {
            Phase::Active(membership) => membership,
            Phase::Locked(_) => return Err(SwarmError::Locked),
            _ => return Err(SwarmError::NotMember),
        };
        let manager = membership.manager().ok_or(SwarmError::NotManager)?;
        if let Some(leader) = leader_of_others(&manager).await {
            return Err(SwarmError::Agreed { leader });
        }
        let in_reach = in_reach(&membership, &manager);
        if !in_reach.is_empty() {
            let names = in_reach.join(", ");
            return Err(SwarmError::InReach { names });
        }
        drop(manager);
        membership.pause().await;
        let keys = Arc::clone(&membership.keys);
        // The port is free when nobody refers to the membership any more.
        drop(membership);
        self.enter(Phase::Resuming);

        let taken = match self.answer_at(advertise, data_addr) {
            Ok(()) => self.resumed_with(Arc::clone(&keys), Group::TakeOver).await,
            Err(error) => Err(error),
        };
        let membership = match taken {
            Ok(membership) => membership,
            Err(error) => {
                self.resume_as_it_was(keys).await;
                return Err(error.into());
            }
        };
        self.enter(Phase::Active(membership.clone()));
        match timeout(FOUND_WITHIN, remove_others(&membership)).await {
            Ok(Ok(())) => Ok(node_key(membership.me)),
            Ok(Err(error)) => Err(error.context("this manager is alone now, but").into()),
            Err(_) => Err(SwarmError::Failed(anyhow::anyhow!(
                "this manager is alone now, but the others are not removed after {} s: use \
                 \"swarmlet node demote\" and \"swarmlet node rm --force\"",
                FOUND_WITHIN.as_secs()
            ))),
        }
    }

    /// `None`: as before.
    fn answer_at(&self, addr: Option<SocketAddr>, data: Option<IpAddr>) -> anyhow::Result<()> {
        if addr.is_none() && data.is_none() {
            return Ok(());
        }
        let mut file = self.0.data.node_file()?.context("the node file is gone")?;
        if let Some(addr) = addr {
            file.addr = with_port(addr, file.addr.port());
            file.follows = false;
        }
        file.data_addr = data.or(file.data_addr);
        self.0.data.save_node_file(&file)
    }

    async fn resume_as_it_was(&self, keys: Arc<Keys>) {
        match self.resumed_with(keys, Group::Resume).await {
            Ok(membership) => self.enter(Phase::Active(membership)),
            Err(error) => self.enter(Phase::Failed(format!("{error:#}"))),
        }
    }
}

/// Who leads this manager and others, by name. Asked and not looked up: who led a
/// moment ago says nothing.
async fn leader_of_others(manager: &Manager) -> Option<String> {
    let agreed = manager.raft.read_barrier().await.is_ok();
    let status = manager.raft.watch().borrow().clone();
    let voters = status.members.values().filter(|member| member.voter);
    if !agreed || voters.count() <= 1 {
        return None;
    }
    let leader = status.leader.unwrap_or(manager.me);
    Some(manager.read_state(|state| observer::name(state, leader)))
}

fn other_managers(state: &State, me: NodeId) -> Vec<Id> {
    let managers = state.nodes().filter(|node| node.spec.role == Role::Manager);
    let others = managers.map(|node| node.id);
    others.filter(|id| *id != node_key(me)).collect()
}

/// The other managers that are not lost, by name. They would go on with what they
/// hold, and hear of nothing.
fn in_reach(membership: &Membership, manager: &Manager) -> Vec<String> {
    let is_alive = |id: &Id| {
        let member = membership.gossip.member(node_id(*id));
        member.is_some_and(|member| member.liveness == Liveness::Alive)
    };
    manager.read_state(|state| {
        let others = other_managers(state, membership.me).into_iter();
        let alive = others.filter(is_alive);
        alive.map(|id| observer::name(state, node_id(id))).collect()
    })
}

/// Once this manager leads.
async fn remove_others(membership: &Membership) -> anyhow::Result<()> {
    let manager = membership.manager().context("it is no manager")?;
    let mut status = manager.raft.watch();
    let me = manager.me;
    status.wait_for(|status| status.leader == Some(me)).await?;
    manager.raft.read_barrier().await?;
    for id in manager.read_state(|state| other_managers(state, me)) {
        let next = || manager.read_state(|state| next_step(state, id));
        let mut step = next();
        while let Some(command) = step {
            let done = manager.propose(command.clone()).await;
            step = next();
            // A step that fits no more is another one now.
            if let Err(error) = done
                && step.as_ref() == Some(&command)
            {
                return Err(error.into());
            }
        }
    }
    Ok(())
}

/// Only a worker can be removed.
fn next_step(state: &State, id: Id) -> Option<Command> {
    let node = state.node(id)?;
    if node.spec.role == Role::Worker {
        return Some(Command::RemoveNode { id });
    }
    let spec = NodeSpec {
        role: Role::Worker,
        ..node.spec.clone()
    };
    let version = node.meta.version;
    Some(Command::UpdateNode { id, version, spec })
}
