//! Becoming part of a swarm, staying it over reboots, and leaving it.
//!
//! One of these happens at a time. Each either ends with the node where it
//! was asked to be, or leaves it where it was: what a failed attempt has
//! written is removed again.

mod found;
mod join;
mod leave;
mod lock;
mod take_over;
mod up;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use certs::{Identity, JoinToken};
use services::Id;
use services::object::UnlockKey;
use services::spec::{Availability, ClusterSpec};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::control::CONTROL_PORT;
use crate::disk::keys::{self, Found, Keys, Locked};
use crate::disk::{DataDir, NodeFile};
use crate::join::JoinError;
use crate::manager::node_key;
use crate::membership::{Group, Membership, Start};
use crate::network;
use crate::runtime::Runtime;
use crate::site::Progress;
use crate::site::form::{Forming, with_port};
use crate::site::lan::Lan;
use crate::worker::TaskFiles;

/// Makes the runtime of a node, whose id is on all of its containers.
pub type Engine = Box<dyn Fn(Id) -> Arc<dyn Runtime> + Send + Sync>;

/// This node's relation to a swarm. Cheap to clone.
#[derive(Clone)]
pub struct Swarm(Arc<Inner>);

struct Inner {
    data: Arc<DataDir>,
    engine: Engine,
    files: TaskFiles,
    lan: Arc<dyn Lan>,
    /// `None`: without an overlay.
    network: Option<network::Config>,
    listen: SocketAddr,
    phase: watch::Sender<Phase>,
    /// Held through every change of `phase`.
    changing: Mutex<()>,
    /// Of the way into the swarm of a site.
    progress: watch::Sender<Progress>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Clone)]
pub enum Phase {
    /// The disk has not been asked yet.
    Resuming,
    Inactive,
    /// For the others of its site.
    Waiting(Arc<Forming>),
    Active(Arc<Membership>),
    /// A manager of a swarm on disk, whose keys wait for the unlock key.
    Locked(Arc<Locked>),
    /// Part of a swarm on disk, but it could not be resumed.
    Failed(String),
}

#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Docker's default, `0.0.0.0:2377`, stands for what the daemon was told.
    pub listen: SocketAddr,
    /// `None`: guessed; a port of zero: the listening port.
    pub advertise: Option<SocketAddr>,
    /// See [`NodeFile::data_addr`].
    pub data_addr: Option<IpAddr>,
    pub availability: Availability,
    pub spec: ClusterSpec,
    /// What managers are locked with from the first moment; `None`: they are not.
    pub unlock_key: Option<UnlockKey>,
}

#[derive(Debug, Clone)]
pub struct JoinOptions {
    /// As in [`InitOptions`].
    pub listen: SocketAddr,
    /// None: wherever the swarm of the token is on this LAN.
    pub remotes: Vec<SocketAddr>,
    pub token: JoinToken,
    /// `None`: the address from which the manager sees this node.
    pub advertise: Option<SocketAddr>,
    /// See [`NodeFile::data_addr`].
    pub data_addr: Option<IpAddr>,
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
    #[error(
        "This node is waiting for the devices of its site (swarmlet up). Use `swarmlet leave` to \
         end that first."
    )]
    Waiting,
    #[error("This node is not part of a swarm")]
    NotMember,
    #[error(
        "This node is not a swarm manager: only a manager holds what a new cluster could begin \
         with."
    )]
    NotManager,
    /// Of another manager, by name.
    #[error(
        "The managers of this swarm agree, and {leader} leads them: --force-new-cluster is for a \
         swarm that has lost most of its managers. Use \"swarmlet node demote\" for those that \
         are to be none."
    )]
    Agreed { leader: String },
    /// Other managers, by name.
    #[error(
        "The other managers must be gone before one goes on alone, and these are in reach: \
         {names}. Use \"swarmlet leave --force\" on them, and join them again afterwards."
    )]
    InReach { names: String },
    #[error("{}", crate::api::error::texts::LOCKED)]
    Locked,
    #[error("swarm is not locked")]
    NotLocked,
    #[error("swarm could not be unlocked: invalid key provided")]
    WrongUnlockKey,
    #[error("{0}")]
    Invalid(String),
    /// The swarm of a token is not on this LAN.
    #[error("{0}")]
    NotFound(String),
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
    /// `network`: of this node's overlay, where it is to have one.
    pub fn new(
        data: DataDir,
        engine: Engine,
        files: TaskFiles,
        lan: Arc<dyn Lan>,
        network: Option<network::Config>,
        listen: SocketAddr,
    ) -> Self {
        Self(Arc::new(Inner {
            data: Arc::new(data),
            engine,
            files,
            lan,
            network,
            listen,
            phase: watch::Sender::new(Phase::Resuming),
            changing: Mutex::new(()),
            progress: watch::Sender::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }

    pub fn lan(&self) -> &dyn Lan {
        &*self.0.lan
    }

    pub fn phase(&self) -> Phase {
        self.0.phase.borrow().clone()
    }

    /// Takes up the membership that the disk holds, if it holds one, or goes
    /// on waiting for the others of a site.
    pub async fn resume(&self) {
        let _changing = self.0.changing.lock().await;
        self.announce();
        let pending = self.pending();
        match self.resumed(Group::Resume).await {
            Ok(Phase::Inactive) => {
                self.enter(Phase::Inactive);
                if let Some(options) = pending {
                    self.wait_again(options).await;
                }
            }
            Ok(phase) => self.enter(phase),
            Err(error) => {
                tracing::error!("cannot take part in the swarm: {error:#}");
                self.enter(Phase::Failed(format!("{error:#}")));
            }
        }
    }

    /// What the disk makes of this node.
    async fn resumed(&self, group: Group) -> anyhow::Result<Phase> {
        let dir = self.0.data.identity();
        if Identity::load_certificate(&dir)?.is_none() {
            return Ok(Phase::Inactive);
        }
        match keys::load(&dir)? {
            Found::Open(keys) => Ok(Phase::Active(self.resumed_with(keys.into(), group).await?)),
            Found::Locked(locked) => {
                tracing::warn!(
                    "the keys of this manager are locked: it takes no part in the swarm and starts \
                     no tasks until `swarmlet unlock`"
                );
                Ok(Phase::Locked(locked.into()))
            }
        }
    }

    async fn resumed_with(&self, keys: Arc<Keys>, group: Group) -> anyhow::Result<Arc<Membership>> {
        let data = &self.0.data;
        let identity = keys.identity()?.context("the identity is gone")?;
        let node = data.node_file()?.unwrap_or(NodeFile {
            listen: None,
            addr: self.0.listen,
            follows: false,
            data_addr: None,
            managers: Vec::new(),
        });
        self.start(identity, node, keys, group).await
    }

    /// Ends the daemon's part; the containers go on.
    pub async fn stop(&self) {
        let _changing = self.0.changing.lock().await;
        self.0.stop.cancel();
        match self.phase() {
            Phase::Active(membership) => membership.pause().await,
            Phase::Waiting(forming) => forming.cancelled.cancel(),
            _ => {}
        }
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    async fn start(
        &self,
        identity: Identity,
        node: NodeFile,
        keys: Arc<Keys>,
        group: Group,
    ) -> anyhow::Result<Arc<Membership>> {
        let runtime = (self.0.engine)(node_key(identity.node_id()));
        Membership::start(Start {
            identity,
            listen: node.listen.unwrap_or(self.0.listen),
            node,
            data: Arc::clone(&self.0.data),
            keys,
            runtime,
            files: self.0.files.clone(),
            lan: Arc::clone(&self.0.lan),
            network: self.0.network.clone(),
            group,
        })
        .await
    }

    /// Of a new member, whose keys are made with it.
    fn save(
        &self,
        identity: &Identity,
        node: &NodeFile,
        lock: Option<&UnlockKey>,
    ) -> anyhow::Result<Arc<Keys>> {
        self.0.data.save_node_file(node)?;
        let lock = lock.map(|key| certs::lock::UnlockKey::from_bytes(key.0));
        let keys = Keys::create(&self.0.data.identity(), lock)?;
        keys.save(identity)?;
        Ok(keys.into())
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
            Phase::Waiting(_) => Err(SwarmError::Waiting),
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
        self.0.phase.send_replace(phase);
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

#[cfg(test)]
mod tests;
