//! Becoming part of a swarm, staying it over reboots, and leaving it.
//!
//! One of these happens at a time. Each either ends with the node where it
//! was asked to be, or leaves it where it was: what a failed attempt has
//! written is removed again.

use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use certs::{CertificateAuthority, ClusterId, Identity, JoinToken, NodeKey};
use services::object::{Cluster, ClusterCa, JoinTokens, Meta};
use services::spec::{Availability, ClusterSpec, Labels, NodeSpec, Role};
use services::{Command, Id};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::control::CONTROL_PORT;
use crate::control::message::SwarmNews;
use crate::disk::{DataDir, NodeFile};
use crate::join::{self, Applicant, JoinError};
use crate::manager::{Manager, node_key};
use crate::membership::{Membership, Start};
use crate::runtime::Runtime;
use crate::site::lan::Lan;

/// For the group of one manager to elect itself and agree on the first objects.
const FOUND_WITHIN: Duration = Duration::from_secs(10);
const LET_GO_WITHIN: Duration = Duration::from_secs(10);

/// Makes the runtime of a node, whose id is on all of its containers.
pub type Engine = Box<dyn Fn(Id) -> Arc<dyn Runtime> + Send + Sync>;

/// This node's relation to a swarm. Cheap to clone.
#[derive(Clone)]
pub struct Swarm(Arc<Inner>);

struct Inner {
    data: Arc<DataDir>,
    engine: Engine,
    lan: Arc<dyn Lan>,
    listen: SocketAddr,
    phase: RwLock<Phase>,
    /// Held through every change of `phase`.
    changing: Mutex<()>,
}

#[derive(Clone)]
pub enum Phase {
    /// The disk has not been asked yet.
    Resuming,
    Inactive,
    Active(Arc<Membership>),
    /// Part of a swarm on disk, but it could not be resumed.
    Failed(String),
}

#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Docker's default, `0.0.0.0:2377`, stands for what the daemon was told.
    pub listen: SocketAddr,
    /// `None`: guessed; a port of zero: the listening port.
    pub advertise: Option<SocketAddr>,
    pub availability: Availability,
    pub spec: ClusterSpec,
}

#[derive(Debug, Clone)]
pub struct JoinOptions {
    /// As in [`InitOptions`].
    pub listen: SocketAddr,
    pub remotes: Vec<SocketAddr>,
    pub token: String,
    /// `None`: the address from which the manager sees this node.
    pub advertise: Option<SocketAddr>,
    pub availability: Availability,
}

/// Why the node is still where it was.
#[derive(Debug, thiserror::Error)]
pub enum SwarmError {
    #[error(
        "This node is already part of a swarm. Use \"swarmlet leave\" to leave this swarm and \
         join another one."
    )]
    AlreadyMember,
    #[error("This node is not part of a swarm")]
    NotMember,
    #[error("{0}")]
    Invalid(String),
    /// The node would be missed; `leave` must be forced.
    #[error("{0}")]
    Needed(String),
    #[error("{} holds the state of another swarm; move it away, or use another --data-dir", .0.display())]
    Leftover(std::path::PathBuf),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

impl Swarm {
    pub fn new(data: DataDir, engine: Engine, lan: Arc<dyn Lan>, listen: SocketAddr) -> Self {
        Self(Arc::new(Inner {
            data: Arc::new(data),
            engine,
            lan,
            listen,
            phase: RwLock::new(Phase::Resuming),
            changing: Mutex::new(()),
        }))
    }

    pub fn phase(&self) -> Phase {
        self.0
            .phase
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// Takes up the membership that the disk holds, if it holds one.
    pub async fn resume(&self) {
        let _changing = self.0.changing.lock().await;
        match self.resumed().await {
            Ok(Some(membership)) => self.enter(Phase::Active(membership)),
            Ok(None) => self.enter(Phase::Inactive),
            Err(error) => {
                tracing::error!("cannot take part in the swarm: {error:#}");
                self.enter(Phase::Failed(format!("{error:#}")));
            }
        }
    }

    async fn resumed(&self) -> anyhow::Result<Option<Arc<Membership>>> {
        let data = &self.0.data;
        let Some(identity) = Identity::load(&data.identity())? else {
            return Ok(None);
        };
        let node = data.node_file()?.unwrap_or(NodeFile {
            listen: None,
            addr: self.0.listen,
            follows: false,
            managers: Vec::new(),
        });
        self.start(identity, node, false).await.map(Some)
    }

    /// Founds a swarm of this node alone.
    pub async fn init(&self, options: InitOptions) -> Result<Id, SwarmError> {
        let _changing = self.0.changing.lock().await;
        self.check_free()?;
        let (said, listen) = self.listen(options.listen);
        let addr = advertised(options.advertise, listen)?;
        let key = NodeKey::generate().map_err(anyhow::Error::from)?;
        let me = key.node_id();
        let (cluster, identity) = new_cluster(key, options.spec).map_err(anyhow::Error::from)?;
        let node = NodeFile {
            listen: said,
            addr,
            follows: options.advertise.is_none() && follows(listen, addr),
            managers: vec![(me, addr)],
        };
        let founded = async {
            self.save(&identity, &node)?;
            let membership = self.start(identity, node, true).await?;
            let node = NodeSpec {
                name: None,
                labels: Labels::new(),
                role: Role::Manager,
                availability: options.availability,
            };
            match timeout(FOUND_WITHIN, found(&membership, cluster, node, addr)).await {
                Ok(Ok(())) => Ok(membership),
                Ok(Err(error)) => {
                    membership.stop().await;
                    Err(error)
                }
                Err(_) => {
                    membership.stop().await;
                    anyhow::bail!("no agreement within {} s", FOUND_WITHIN.as_secs())
                }
            }
        };
        match founded.await {
            Ok(membership) => {
                self.enter(Phase::Active(membership));
                Ok(node_key(me))
            }
            Err(error) => {
                self.undo();
                Err(error.into())
            }
        }
    }

    pub async fn join(&self, options: JoinOptions) -> Result<(), SwarmError> {
        let _changing = self.0.changing.lock().await;
        self.check_free()?;
        let token: JoinToken = options
            .token
            .parse()
            .map_err(|_| SwarmError::Invalid("invalid join token".into()))?;
        let (said, listen) = self.listen(options.listen);
        let addr = with_port(options.advertise.unwrap_or(listen), listen.port());
        let key = NodeKey::generate().map_err(anyhow::Error::from)?;
        let applicant = Applicant {
            key: &key,
            token: &token,
            addr,
            availability: options.availability,
        };
        let (identity, grant) = join::join(&applicant, &options.remotes).await?;
        let node = NodeFile {
            listen: said,
            addr: grant.addr,
            follows: options.advertise.is_none() && follows(listen, grant.addr),
            managers: grant.managers,
        };
        let joined = async {
            self.save(&identity, &node)?;
            self.start(identity, node, false).await
        };
        match joined.await {
            Ok(membership) => {
                self.enter(Phase::Active(membership));
                Ok(())
            }
            Err(error) => {
                self.undo();
                Err(error.into())
            }
        }
    }

    /// Stops the node's tasks and forgets the swarm. A manager is let go by
    /// the others first, where they are there.
    pub async fn leave(&self, force: bool) -> Result<(), SwarmError> {
        let _changing = self.0.changing.lock().await;
        let membership = match self.phase() {
            Phase::Resuming | Phase::Inactive => return Err(SwarmError::NotMember),
            Phase::Failed(_) if force => None,
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
        self.0.data.clear()?;
        self.enter(Phase::Inactive);
        Ok(())
    }

    /// Ends the daemon's part; the containers go on.
    pub async fn stop(&self) {
        let _changing = self.0.changing.lock().await;
        if let Phase::Active(membership) = self.phase() {
            membership.stop().await;
        }
    }

    async fn start(
        &self,
        identity: Identity,
        node: NodeFile,
        found: bool,
    ) -> anyhow::Result<Arc<Membership>> {
        let runtime = (self.0.engine)(node_key(identity.node_id()));
        Membership::start(Start {
            identity,
            listen: node.listen.unwrap_or(self.0.listen),
            node,
            data: Arc::clone(&self.0.data),
            runtime,
            lan: Arc::clone(&self.0.lan),
            found,
        })
        .await
    }

    fn save(&self, identity: &Identity, node: &NodeFile) -> anyhow::Result<()> {
        self.0.data.save_node_file(node)?;
        identity.save(&self.0.data.identity())?;
        Ok(())
    }

    fn undo(&self) {
        if let Err(error) = self.0.data.clear() {
            tracing::error!("what a failed attempt left is not removed: {error:#}");
        }
    }

    fn check_free(&self) -> Result<(), SwarmError> {
        match self.phase() {
            Phase::Inactive => match self.0.data.leftover() {
                Some(path) => Err(SwarmError::Leftover(path)),
                None => Ok(()),
            },
            _ => Err(SwarmError::AlreadyMember),
        }
    }

    /// What is to be remembered, and where to listen.
    fn listen(&self, asked: SocketAddr) -> (Option<SocketAddr>, SocketAddr) {
        let default = SocketAddr::from(([0, 0, 0, 0], CONTROL_PORT));
        let said = (asked != default && asked != self.0.listen).then_some(asked);
        (said, said.unwrap_or(self.0.listen))
    }

    fn enter(&self, phase: Phase) {
        *self
            .0
            .phase
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = phase;
    }
}

fn advertised(said: Option<SocketAddr>, listen: SocketAddr) -> Result<SocketAddr, SwarmError> {
    let addr = match said {
        Some(addr) => addr,
        None if !listen.ip().is_unspecified() => listen,
        None => SocketAddr::new(crate::address::guess().map_err(SwarmError::Invalid)?, 0),
    };
    Ok(with_port(addr, listen.port()))
}

/// Whether an address that nobody chose is this device's own: one that others
/// see instead (of a router in between) says nothing when it is not here.
fn follows(listen: SocketAddr, addr: SocketAddr) -> bool {
    listen.ip().is_unspecified() && crate::address::is_own(addr.ip())
}

fn with_port(mut addr: SocketAddr, port: u16) -> SocketAddr {
    if addr.port() == 0 {
        addr.set_port(port);
    }
    addr
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
    };
    let root = authority.root().clone();
    Ok((cluster, Identity::new(key, certificate, root)?))
}

async fn found(
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

#[cfg(test)]
mod tests;
