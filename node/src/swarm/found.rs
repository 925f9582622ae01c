//! Founding a swarm: a CA, and a Raft group of this node alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use certs::{CertificateAuthority, ClusterId, Identity, JoinToken, NodeKey};
use services::object::{Cluster, ClusterCa, JoinTokens, Meta, SiteSecret, UnlockKey};
use services::spec::{ClusterSpec, Labels, NodeSpec, Role};
use services::{Command, Id};
use tokio::time::timeout;

use super::{InitOptions, Phase, Swarm, SwarmError, advertised, follows};
use crate::disk::NodeFile;
use crate::manager::node_key;
use crate::membership::{Group, Membership};
use crate::site::decide::FOUND_WITHIN;

/// What there is to found a swarm with.
pub(super) struct Founder {
    pub key: NodeKey,
    pub spec: ClusterSpec,
    pub site: Option<SiteSecret>,
    pub unlock_key: Option<UnlockKey>,
    /// Of this node.
    pub node: NodeSpec,
    pub file: NodeFile,
}

impl Swarm {
    /// Founds a swarm of this node alone.
    pub async fn init(&self, options: InitOptions) -> Result<Id, SwarmError> {
        let _changing = self.0.changing.lock().await;
        self.check_free()?;
        let (said, listen) = self.listen(options.listen);
        let addr = advertised(options.advertise, listen)?;
        let key = NodeKey::generate().map_err(anyhow::Error::from)?;
        let me = key.node_id();
        let founder = Founder {
            key,
            spec: options.spec,
            site: None,
            unlock_key: options.unlock_key,
            node: NodeSpec {
                name: None,
                labels: Labels::new(),
                role: Role::Manager,
                availability: options.availability,
            },
            file: NodeFile {
                listen: said,
                addr,
                follows: options.advertise.is_none() && follows(listen, addr),
                data_addr: options.data_addr,
                managers: vec![(me, addr)],
            },
        };
        let membership = self.found(founder).await?;
        self.enter(Phase::Active(membership));
        Ok(node_key(me))
    }

    /// Leaves nothing on the disk where it fails.
    pub(super) async fn found(&self, founder: Founder) -> anyhow::Result<Arc<Membership>> {
        let founded = self.founded(founder).await;
        if founded.is_err() {
            self.undo();
        }
        founded
    }

    async fn founded(&self, founder: Founder) -> anyhow::Result<Arc<Membership>> {
        let addr = founder.file.addr;
        let (mut cluster, identity) = new_cluster(founder.key, founder.spec)?;
        cluster.site = founder.site;
        cluster.unlock_key = founder.unlock_key;
        let keys = self.save(&identity, &founder.file, cluster.unlock_key.as_ref())?;
        let membership = self
            .start(identity, founder.file, keys, Group::Found)
            .await?;
        let agreed = timeout(
            FOUND_WITHIN,
            first_objects(&membership, cluster, founder.node, addr),
        );
        let failed = match agreed.await {
            Ok(Ok(())) => return Ok(membership),
            Ok(Err(error)) => error,
            Err(_) => anyhow::anyhow!("no agreement within {} s", FOUND_WITHIN.as_secs()),
        };
        membership.stop().await;
        Err(failed)
    }
}

fn new_cluster(key: NodeKey, spec: ClusterSpec) -> Result<(Cluster, Identity), certs::Error> {
    let now = SystemTime::now();
    let authority = CertificateAuthority::create(now)?;
    let id = ClusterId::generate()?;
    let lifetime = spec.certificate_lifetime;
    let certificate = authority.issue(&key.csr()?, certs::Role::Manager, &id, lifetime, now)?;
    let digest = authority.root().digest();
    let cluster = Cluster {
        id: Id::from_u128(id.as_u128()),
        meta: Meta::default(),
        spec,
        ca: ClusterCa {
            certificate: authority.cert_pem(),
            key: authority.key_pem().to_string(),
        },
        join_tokens: JoinTokens {
            worker: JoinToken::generate(digest)?.to_string(),
            manager: JoinToken::generate(digest)?.to_string(),
        },
        site: None,
        unlock_key: None,
    };
    let root = authority.root().clone();
    Ok((cluster, Identity::new(key, certificate, root)?))
}

async fn first_objects(
    membership: &Membership,
    cluster: Cluster,
    spec: NodeSpec,
    addr: SocketAddr,
) -> anyhow::Result<()> {
    let manager = membership
        .manager()
        .ok_or_else(|| anyhow::anyhow!("the founder must be a manager"))?;
    let mut status = manager.raft.watch();
    let me = manager.me;
    status.wait_for(|status| status.leader == Some(me)).await?;
    let cluster = Box::new(cluster);
    manager.propose(Command::CreateCluster { cluster }).await?;
    let id = node_key(me);
    manager.propose(Command::AddNode { id, spec, addr }).await?;
    Ok(())
}
