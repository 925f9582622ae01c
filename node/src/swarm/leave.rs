//! Leaving a swarm, and being let go by it.

use std::time::Duration;

use services::Command;
use services::spec::Role;
use tokio::time::timeout;

use super::{Phase, Swarm, SwarmError};
use crate::control::message::SwarmNews;
use crate::manager::{Manager, node_key};
use crate::membership::Membership;
use crate::site::Progress;

/// Docker's words, and what force means here.
const LOCKED: &str = "Swarm is encrypted and locked. Please unlock it first or use `--force` to \
    ignore this message. What this manager holds of the swarm is lost then: all of it, where it \
    is the last one.";
const LET_GO_WITHIN: Duration = Duration::from_secs(10);

impl Swarm {
    /// Stops the node's tasks and forgets the swarm. A manager is let go by
    /// the others first, where they are there.
    pub async fn leave(&self, force: bool) -> Result<(), SwarmError> {
        let _changing = self.0.changing.lock().await;
        let membership = match self.phase() {
            Phase::Resuming | Phase::Inactive => return Err(SwarmError::NotMember),
            Phase::Waiting(forming) => {
                self.give_up(&forming).await;
                return Ok(());
            }
            Phase::Failed(_) if force => None,
            Phase::Locked(_) if force => {
                self.remove_containers().await;
                None
            }
            Phase::Locked(_) => return Err(SwarmError::Needed(LOCKED.into())),
            Phase::Failed(why) => {
                return Err(SwarmError::Needed(format!(
                    "This node could not take part in its swarm: {why}. Use `--force` to leave it anyway."
                )));
            }
            Phase::Active(membership) => Some(membership),
        };
        if let Some(membership) = membership {
            if let Some(manager) = membership.manager() {
                if !force {
                    return Err(SwarmError::Needed(missed(&manager)));
                }
                hand_over(&membership, &manager).await;
            }
            membership.leave().await;
        }
        if let Some(network) = &self.0.network
            && let Err(error) = network.clean_up().await
        {
            tracing::warn!("something of the overlay is left on this host: {error:#}");
        }
        if let Err(error) = self.0.files.clear() {
            tracing::warn!(%error, "files of tasks are left in the run directory");
        }
        self.0.data.clear()?;
        self.0.data.forget_pending()?;
        self.tell(Progress::default());
        self.enter(Phase::Inactive);
        Ok(())
    }
}

/// Docker's words for why a manager should not just leave.
fn missed(manager: &Manager) -> String {
    let status = manager.raft.watch();
    let voters = status
        .borrow()
        .members
        .values()
        .filter(|member| member.voter)
        .count();
    let start =
        "You are attempting to leave the swarm on a node that is participating as a manager. ";
    if voters <= 1 {
        return format!(
            "{start}Removing the last manager erases all current state of the swarm. Use \
             `--force` to ignore this message. "
        );
    }
    let left = voters - 1;
    format!(
        "{start}Removing this node leaves {left} managers out of {voters}. Without a Raft quorum \
         your swarm will be inaccessible. The only way to restore a swarm that has lost consensus \
         is to reinitialize it with `--force-new-cluster`. Use `--force` to suppress this message."
    )
}

/// Has the others run the swarm without this manager, if there are others and
/// they can agree. If not, it leaves all the same: that is what force means.
async fn hand_over(membership: &Membership, manager: &Manager) {
    let me = node_key(manager.me);
    let Some((version, mut spec)) = manager.read_state(|state| {
        state
            .node(me)
            .map(|node| (node.meta.version, node.spec.clone()))
    }) else {
        return;
    };
    spec.role = Role::Worker;
    // Or the autopilot makes it a manager again before it is gone.
    spec.labels.remove(services::managing::CANDIDATE);
    let id = me;
    let demote = Command::UpdateNode { id, version, spec };
    let let_go = async {
        if let Err(error) = manager.propose(demote).await {
            tracing::warn!(%error, "leaving without the others' agreement");
            return;
        }
        // The log of a removed manager may end before its removal: another
        // manager says it.
        let gone = |news: &SwarmNews| news.managers.iter().all(|(id, _)| *id != manager.me);
        let _ = membership.news.subscribe().wait_for(gone).await;
    };
    if timeout(LET_GO_WITHIN, let_go).await.is_err() {
        tracing::warn!("leaving before the others let this manager go");
    }
}
