//! A manager keeps its keys on disk under the unlock key of its swarm, if that has one.

use std::sync::Arc;
use std::time::Duration;

use certs::lock::UnlockKey;
use tokio::task::spawn_blocking;

use super::Membership;
use crate::manager::Manager;
use crate::waiting::or_never;

/// After the disk refused.
const RETRY: Duration = Duration::from_secs(5);

impl Membership {
    /// Runs while this node is a manager.
    pub(super) async fn keep_locked(self: Arc<Self>, manager: Arc<Manager>) {
        // What the log says on the way to now is an older key, or that there is none yet.
        let mut caught_up = self.caught_up.subscribe();
        if caught_up.wait_for(|caught_up| *caught_up).await.is_err() {
            return;
        }
        let mut status = manager.raft.watch();
        // Not asked of the disk after each entry of the log.
        let mut kept = None;
        loop {
            status.mark_unchanged();
            let mut retry = None;
            let wanted = wanted(&manager);
            if wanted != kept
                && let Some(key) = &wanted
            {
                match self.set_lock(key.clone()).await {
                    Ok(()) => kept = wanted,
                    Err(error) => {
                        tracing::error!("the keys on this disk are locked as they were: {error:#}");
                        retry = Some(RETRY);
                    }
                }
            }
            tokio::select! {
                changed = status.changed() => if changed.is_err() { return },
                () = or_never(retry.map(tokio::time::sleep)) => {}
            }
        }
    }

    /// A worker holds nothing of the swarm's state, and starts without an operator.
    pub(super) async fn unlock_worker(&self) {
        if let Err(error) = self.set_lock(None).await {
            tracing::error!("this node is no manager, and still needs the unlock key: {error:#}");
        }
    }

    /// Has the keys on the disk under this key, or in the open.
    async fn set_lock(&self, wanted: Option<UnlockKey>) -> anyhow::Result<()> {
        let keys = Arc::clone(&self.keys);
        let identity = self.credentials.identity();
        let is_locked = wanted.is_some();
        let set = spawn_blocking(move || keys.set_lock(wanted, identity.key()));
        match (set.await??, is_locked) {
            (false, _) => {}
            (true, true) => tracing::info!(
                "after its next start this manager waits to be unlocked with the swarm's unlock key"
            ),
            (true, false) => tracing::info!("this node starts without an unlock key from now on"),
        }
        Ok(())
    }
}

/// What the swarm wants; `None` where this manager does not know of the swarm.
fn wanted(manager: &Manager) -> Option<Option<UnlockKey>> {
    manager.read_state(|state| {
        let key = &state.cluster()?.unlock_key;
        Some(key.as_ref().map(|key| UnlockKey::from_bytes(key.0)))
    })
}
