//! What the swarm says of itself, and of this node: a promotion or a demotion.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use certs::{NodeId, Role};

use super::{Group, Membership};
use crate::disk::NodeFile;
use crate::join;
use crate::waiting::or_never;

/// Until the manager that is asked knows of the new role.
const ROLE_RETRY: Duration = Duration::from_millis(500);

impl Membership {
    /// Acts on what managers say of the swarm: who was removed, what this node
    /// should be, where the managers are.
    pub(super) async fn follow_news(self: Arc<Self>) {
        let mut news = self.news.subscribe();
        let mut addr = self.addr.subscribe();
        loop {
            let now = news.borrow_and_update().clone();
            addr.mark_unchanged();
            let removed: BTreeSet<NodeId> = now.removed.iter().copied().collect();
            self.credentials.set_revoked(removed.clone());
            self.control.forget(|id| removed.contains(&id));
            for (id, addr) in &now.managers {
                self.gossip.hint(*id, vec![*addr]);
            }
            if let Some(manager) = self.manager() {
                manager.hub.close_removed(|id| removed.contains(&id));
            }
            self.gossip.set_revoked(removed);
            let file = NodeFile {
                listen: self.listen,
                addr: self.addr(),
                follows: self.follows,
                data_addr: self.data_addr,
                managers: now.managers.clone(),
            };
            if let Err(error) = self.data.save_node_file(&file) {
                tracing::warn!(%error, "the managers' addresses are not saved");
            }
            let wanted = join::certificate_role(now.role);
            // A manager that is to be none stays until the others have let it
            // go: its vote may be needed for just that.
            let held = wanted == Role::Worker && now.managers.iter().any(|(id, _)| *id == self.me);
            let mut retry = None;
            if wanted != self.credentials.identity().role()
                && !held
                && let Err(error) = self.take_role(wanted).await
            {
                tracing::warn!(%error, role = %wanted, "cannot take the role yet");
                retry = Some(ROLE_RETRY);
            }
            tokio::select! {
                changed = news.changed() => if changed.is_err() { return },
                Ok(()) = addr.changed() => {}
                () = or_never(retry.map(tokio::time::sleep)) => {}
            }
        }
    }

    /// A promotion or demotion is a new certificate.
    async fn take_role(self: &Arc<Self>, role: Role) -> anyhow::Result<()> {
        let certificate = self.renewed().await?;
        anyhow::ensure!(
            certificate.role() == role,
            "the manager that was asked does not know of the new role yet"
        );
        self.identity.install(certificate)?;
        match role {
            Role::Manager => self.open_manager(Group::Resume).await?,
            Role::Worker => {
                self.close_manager().await;
                std::fs::remove_dir_all(self.data.raft())
                    .or_else(|error| match error.kind() {
                        io::ErrorKind::NotFound => Ok(()),
                        _ => Err(error),
                    })
                    .context("cannot remove the state of the manager that this node was")?;
                self.unlock_worker().await;
            }
        }
        tracing::info!(%role, "this node's role changed");
        Ok(())
    }
}
