//! Joining the swarm that a token names, wherever on this LAN it is.

use std::collections::BTreeSet;
use std::time::Duration;

use certs::{Identity, NodeKey};
use tokio::time::{Instant, timeout_at};

use super::{JoinOptions, Phase, Swarm, SwarmError, follows};
use crate::disk::NodeFile;
use crate::join::{self, Applicant, Grant, JoinError};
use crate::membership::Group;
use crate::site::form::with_port;
use crate::site::progress::Through;

/// For the swarm of a token to be heard of on the LAN.
const LOOK_FOR: Duration = Duration::from_secs(3);

impl Swarm {
    /// Returns who let this node in, where it had to be looked for.
    pub async fn join(&self, options: JoinOptions) -> Result<Option<Through>, SwarmError> {
        let _changing = self.0.changing.lock().await;
        self.check_free()?;
        let (said, listen) = self.listen(options.listen);
        let key = NodeKey::generate().map_err(anyhow::Error::from)?;
        let applicant = Applicant {
            key: &key,
            token: &options.token,
            addr: with_port(options.advertise.unwrap_or(listen), listen.port()),
            availability: options.availability,
        };
        let (identity, grant, through) = match options.remotes.as_slice() {
            [] => self.look_for(&applicant).await?,
            remotes => {
                let (identity, grant) = join::join(&applicant, remotes).await?;
                (identity, grant, None)
            }
        };
        let node = NodeFile {
            listen: said,
            addr: grant.addr,
            follows: options.advertise.is_none() && follows(listen, grant.addr),
            data_addr: options.data_addr,
            managers: grant.managers,
        };
        self.take_part(&identity, node).await?;
        Ok(through)
    }

    /// Starts as the node that a manager made of this device. Leaves nothing
    /// on the disk where it fails.
    pub(super) async fn take_part(
        &self,
        identity: &Identity,
        node: NodeFile,
    ) -> anyhow::Result<()> {
        let joined = async {
            let keys = self.save(identity, &node, None)?;
            self.start(identity.clone(), node, keys, Group::Resume)
                .await
        };
        match joined.await {
            Ok(membership) => {
                self.enter(Phase::Active(membership));
                Ok(())
            }
            Err(error) => {
                self.undo();
                Err(error)
            }
        }
    }

    /// Knocks wherever the swarm of the token is announced.
    async fn look_for(
        &self,
        applicant: &Applicant<'_>,
    ) -> Result<(Identity, Grant, Option<Through>), SwarmError> {
        let lan = &self.0.lan;
        let swarm = Some(applicant.token.ca_digest());
        let deadline = Instant::now() + LOOK_FOR;
        let mut changes = lan.changes();
        let mut tried = BTreeSet::new();
        let mut errors = Vec::new();
        lan.refresh();
        loop {
            let found = lan.found();
            let at = found.iter().filter(|found| found.swarm == swarm);
            let untried = at.map(|found| found.addr).find(|addr| tried.insert(*addr));
            if let Some(addr) = untried {
                match join::join(applicant, &[addr]).await {
                    Ok((identity, grant)) => {
                        let hostname = join::about(addr).await.map(|about| about.hostname);
                        let hostname = hostname.unwrap_or_default();
                        return Ok((identity, grant, Some(Through { hostname, addr })));
                    }
                    Err(JoinError::Unreachable(why)) => errors.push(why),
                    Err(error) => return Err(error.into()),
                }
            } else if !matches!(timeout_at(deadline, changes.changed()).await, Ok(Ok(()))) {
                let others = found.iter().filter_map(|found| found.swarm);
                let others: BTreeSet<[u8; 32]> = others.filter(|s| Some(*s) != swarm).collect();
                return Err(SwarmError::NotFound(not_found(&errors, others.len())));
            }
        }
    }
}

/// What was seen instead, and what to check.
fn not_found(errors: &[String], other_swarms: usize) -> String {
    let seen = match (errors, other_swarms) {
        ([], 0) => "no device of this token's swarm answers on this network".to_owned(),
        ([], 1) => "no device of this token's swarm answers on this network, but one of another \
                    swarm does: is it the right token?"
            .to_owned(),
        ([], others) => format!(
            "no device of this token's swarm answers on this network, but those of {others} other \
             swarms do: is it the right token?"
        ),
        (errors, _) => format!(
            "no device of this token's swarm answers on this network as a manager: {}",
            errors.join("; ")
        ),
    };
    format!(
        "{seen}. Check that a manager is on the same LAN segment (discovery does not cross \
         routers), that multicast on UDP 5353 and UDP 2377 are let through (access points may \
         isolate clients), or give its address: swarmlet join --token TOKEN HOST"
    )
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn a_search_in_vain_says_what_was_there_and_what_to_check() {
        let nothing = not_found(&[], 0);
        assert!(nothing.contains("no device of this token's swarm answers on this network. "));
        assert!(nothing.contains("UDP 5353") && nothing.contains("UDP 2377"));
        assert!(not_found(&[], 1).contains("right token"));
        let addr: SocketAddr = "10.0.0.1:2377".parse().unwrap();
        let tried = not_found(&[format!("{addr}: no answer within 3 s")], 0);
        assert!(tried.contains("10.0.0.1:2377: no answer"), "{tried}");
    }
}
