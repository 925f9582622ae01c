//! A manager whose keys wait for its operator.

use std::sync::Arc;

use anyhow::Context;
use certs::Identity;
use certs::lock::UnlockKey;
use certs::seal::DataKey;
use services::directory::Directory;
use tokio::sync::watch;

use super::{Phase, Swarm, SwarmError};
use crate::manager::node_key;
use crate::membership::Group;
use crate::worker::{Agent, AgentConfig, Unlinked};

impl Swarm {
    /// Takes up the membership as after a restart.
    pub async fn unlock(&self, key: UnlockKey) -> Result<(), SwarmError> {
        let _changing = self.0.changing.lock().await;
        let Phase::Locked(locked) = self.phase() else {
            return Err(SwarmError::NotLocked);
        };
        let keys = locked.unlock(key);
        let keys = keys.map_err(|_| SwarmError::WrongUnlockKey)?;
        let membership = self
            .resumed_with(Arc::new(keys), Group::Resume)
            .await
            .context("swarm component could not be started")?;
        tracing::info!("unlocked");
        self.enter(Phase::Active(membership));
        Ok(())
    }

    /// Of a node that leaves without its keys: whatever its engine has of it is known by
    /// the node's id.
    pub(super) async fn remove_containers(&self) {
        if let Err(error) = self.removed_containers().await {
            tracing::warn!("leaving all the same: {error:#}");
        }
    }

    async fn removed_containers(&self) -> anyhow::Result<()> {
        let certificate = Identity::load_certificate(&self.0.data.identity())?;
        let me = node_key(certificate.context("the certificate is gone")?.node_id());
        let nothing = tempfile::tempdir()?;
        let (_, directory) = watch::channel(Arc::new(Directory::default()));
        let config = AgentConfig {
            node: me,
            dir: nothing.path().to_owned(),
            data_key: DataKey::generate()?,
            links: Arc::new(Unlinked),
            files: self.0.files.clone(),
            directory,
            data_addr: None,
        };
        let agent = Agent::start(config, (self.0.engine)(me)).await?;
        let removed = agent.remove_all().await;
        agent.shutdown().await;
        Ok(removed?)
    }
}
