//! A node's part in a swarm while it lasts: its control port, its agent, its
//! session with a manager, and, where its certificate says so, the manager.
//!
//! All tasks of the membership hang on one token; `stop` ends them and leaves
//! the containers running, so that the daemon can be replaced under them.

mod lock;
mod moving;
mod protocols;
mod roles;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use anyhow::Context;
use certs::{Credentials, Identity, NodeId, Role};
use futures::future::BoxFuture;
use gossip::Gossip;
use raft::{Member, Raft};
use services::directory::Directory;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api;
use crate::attach;
use crate::clock;
use crate::control::Control;
use crate::control::message::SwarmNews;
use crate::disk::kept::{self, Writer};
use crate::disk::keys::Keys;
use crate::disk::{DataDir, NodeFile};
use crate::doctor::{self, Diagnose};
use crate::identity::Keeper;
use crate::manager::machine::Machine;
use crate::manager::{
    Manager, events::Events, hub::Hub, leader, node_key, observer::Observer, relay,
};
use crate::network::{self, Network};
use crate::presence::{self, GossipDial};
use crate::runtime::Runtime;
use crate::session::Farewell;
use crate::session::client::SessionClient;
use crate::site::lan::Lan;
use crate::worker::{Agent, AgentConfig, Links, TaskFiles, Unlinked};
use protocols::RaftDial;

/// For a manager to hear that this node leaves.
const FAREWELL: Duration = Duration::from_secs(1);
const CATCH_UP_RETRY: Duration = Duration::from_millis(200);

pub struct Membership {
    pub me: NodeId,
    /// Where this node answers.
    addr: watch::Sender<SocketAddr>,
    /// See [`NodeFile::follows`].
    follows: bool,
    pub credentials: Credentials,
    pub identity: Arc<Keeper>,
    pub control: Arc<Control>,
    pub gossip: Gossip,
    pub agent: Agent,
    pub doctor: Arc<dyn Diagnose>,
    /// `None`: this node is without an overlay.
    pub network: Option<Arc<Network>>,
    pub news: watch::Sender<SwarmNews>,
    /// What managers said last of networks and services, as far as it concerns
    /// this node; only ever complete.
    pub directory: watch::Sender<Arc<Directory>>,
    /// A manager said that this node was removed from the swarm.
    pub removed: watch::Sender<bool>,
    farewell: watch::Sender<Farewell>,
    /// This node's manager, where it is one, has caught up with the others.
    caught_up: watch::Sender<bool>,
    /// Of the node file.
    listen: Option<SocketAddr>,
    data_addr: Option<IpAddr>,
    pub data: Arc<DataDir>,
    pub keys: Arc<Keys>,
    manager: RwLock<Option<Arc<Manager>>>,
    /// Ends the manager's tasks alone.
    manager_stop: RwLock<CancellationToken>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What is known before the membership runs.
pub struct Start {
    pub identity: Identity,
    pub listen: SocketAddr,
    pub node: NodeFile,
    pub data: Arc<DataDir>,
    pub keys: Arc<Keys>,
    pub runtime: Arc<dyn Runtime>,
    pub files: TaskFiles,
    pub lan: Arc<dyn Lan>,
    /// `None`: without an overlay, which needs the rights of root.
    pub network: Option<network::Config>,
    pub group: Group,
}

/// How a manager begins its part in the Raft group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Of a new swarm, and alone.
    Found,
    /// As the disk says, or waiting to be added.
    Resume,
    /// Alone with what the disk holds: the others are lost.
    TakeOver,
}

impl Membership {
    pub async fn start(start: Start) -> anyhow::Result<Arc<Self>> {
        let Start {
            identity,
            listen,
            node,
            data,
            keys,
            runtime,
            files,
            lan,
            network,
            group,
        } = start;
        let me = identity.node_id();
        let role = identity.role();
        let credentials = Credentials::new(identity)?;
        let directory = kept::load(&data.agent(), keys.data())?;
        let control = Control::bind(listen, credentials.clone())
            .await
            .with_context(|| format!("cannot listen on udp {listen}"))?;
        let gossip = Gossip::start(
            gossip::Config {
                credentials: credentials.clone(),
                facts: presence::facts(&node, role),
                hints: node.managers.clone(),
            },
            Arc::new(GossipDial(Arc::clone(&control))),
        )?;
        let network =
            network.map(|config| Network::new(config, gossip.clone(), credentials.clone()));
        let links = network.clone().map(|network| network as Arc<dyn Links>);
        let examined = network.clone().map(|network| network as Arc<dyn Diagnose>);
        let directory = watch::Sender::new(directory.unwrap_or_default());
        let agent = AgentConfig {
            node: node_key(me),
            dir: data.agent(),
            data_key: keys.data().clone(),
            links: links.unwrap_or_else(|| Arc::new(Unlinked)),
            files,
            directory: directory.subscribe(),
            data_addr: node.data_addr,
        };
        let agent = match Agent::start(agent, Arc::clone(&runtime)).await {
            Ok(agent) => agent,
            Err(error) => {
                gossip.shutdown().await;
                return Err(error.into());
            }
        };
        control.book.consult_gossip(gossip.clone());
        control
            .book
            .consult_lan(Arc::clone(&lan), credentials.clone());
        let news = watch::Sender::new(SwarmNews {
            at: 0,
            managers: node.managers,
            role: services_role(role),
            removed: Vec::new(),
        });
        let membership = Arc::new(Self {
            me,
            addr: watch::Sender::new(node.addr),
            follows: node.follows,
            identity: Arc::new(Keeper::new(
                credentials.clone(),
                gossip.clone(),
                data.identity(),
            )),
            credentials,
            control,
            gossip,
            agent,
            doctor: examined.unwrap_or_else(|| Arc::new(doctor::Absent)),
            network,
            news,
            directory,
            listen: node.listen,
            data_addr: node.data_addr,
            removed: watch::Sender::new(false),
            farewell: watch::Sender::default(),
            caught_up: watch::Sender::new(false),
            data,
            keys,
            manager: RwLock::default(),
            manager_stop: RwLock::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        match role {
            Role::Manager => {
                if let Err(error) = membership.open_manager(group).await {
                    membership.stop().await;
                    return Err(error);
                }
            }
            // Where its demotion was cut off.
            Role::Worker => membership.unlock_worker().await,
        }
        if let Some(network) = &membership.network {
            let attach = Arc::new(attach::Client::new(
                me,
                Arc::clone(&membership.control),
                membership.gossip.clone(),
                membership.news.subscribe(),
            ));
            membership.spawn(Arc::clone(&attach).run());
            network.start(network::Inputs {
                attach,
                runtime,
                credentials: membership.credentials.clone(),
                listen,
                data_addr: membership.data_addr,
                addr: membership.addr.subscribe(),
                directory: membership.directory.subscribe(),
                engine: membership.agent.engine(),
            });
        }
        let key = membership.keys.data().clone();
        let writer = Writer::spawn(membership.data.agent(), key, kept::RETRY);
        membership.keep_directory(writer);
        membership.spawn_tasks(lan);
        Ok(membership)
    }

    /// Where this node answers, as it tells the others.
    pub fn addr(&self) -> SocketAddr {
        *self.addr.borrow()
    }

    /// Whether this node's manager knows what the others have agreed on.
    pub fn has_caught_up(&self) -> bool {
        *self.caught_up.borrow()
    }

    /// The manager of this node, where it is one.
    pub fn manager(&self) -> Option<Arc<Manager>> {
        read(&self.manager).clone()
    }

    /// Ends everything but the containers.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.close_manager().await;
        self.gossip.shutdown().await;
        let rest = async {
            self.tasks.close();
            self.tasks.wait().await;
            self.agent.shutdown().await;
            if let Some(network) = &self.network {
                network.close().await;
            }
        };
        // Connections take a while to be closed on both sides.
        tokio::join!(self.control.close(), rest);
    }

    /// Ends everything but the containers, and says that it is for a moment.
    pub async fn pause(&self) {
        if let Some(manager) = self.manager() {
            // The next leader is to hear it.
            manager.hand_over().await;
        }
        self.say(Farewell::Pause).await;
        self.stop().await;
    }

    async fn say(&self, farewell: Farewell) {
        self.farewell.send_replace(farewell);
        // Nobody may be there to hear it.
        let _ = tokio::time::timeout(FAREWELL, self.farewell.closed()).await;
    }

    /// Stops this node's tasks, says so, and ends.
    pub async fn leave(&self) {
        if let Err(error) = self.agent.remove_all().await {
            tracing::warn!(%error, "leaving all the same");
        }
        self.gossip.leave().await;
        // This node's own manager ends with it.
        let has_other = |news: &SwarmNews| news.managers.iter().any(|(id, _)| *id != self.me);
        let is_heard = has_other(&self.news.borrow());
        if is_heard {
            self.say(Farewell::Leave).await;
        }
        self.stop().await;
    }

    /// Keeps what managers say of networks and services on disk.
    fn keep_directory(&self, writer: Writer<Arc<Directory>>) {
        let mut directory = self.directory.subscribe();
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let keep = async {
                while directory.changed().await.is_ok() {
                    writer.write(Arc::clone(&directory.borrow_and_update()));
                }
            };
            stop.run_until_cancelled(keep).await;
            writer.finish().await;
        });
    }

    fn spawn_tasks(self: &Arc<Self>, lan: Arc<dyn Lan>) {
        let serving = Arc::clone(self);
        self.spawn(async move {
            let control = Arc::clone(&serving.control);
            control.serve(serving).await;
        });
        let session = SessionClient {
            me: self.me,
            addr: self.addr.subscribe(),
            control: Arc::clone(&self.control),
            gossip: self.gossip.clone(),
            agent: self.agent.clone(),
            doctor: Arc::clone(&self.doctor),
            news: self.news.clone(),
            credentials: self.credentials.clone(),
            identity: Arc::clone(&self.identity),
            network: self.network.clone(),
            held: Mutex::new(self.agent.take_inherited()),
            directory: self.directory.clone(),
            removed: self.removed.clone(),
            farewell: self.farewell.subscribe(),
            caught_up: self.caught_up.subscribe(),
        };
        self.spawn(session.run());
        let following = Arc::clone(self);
        self.spawn(async move { following.follow_news().await });
        if self.follows {
            let following = Arc::clone(self);
            self.spawn(async move { following.follow_address().await });
        }
        let renewing = Arc::clone(self);
        self.spawn(async move { renewing.renew_in_time().await });
        self.spawn(Arc::clone(self).publish_description());
        self.spawn(Arc::clone(self).publish_load());
        self.spawn(Arc::clone(self).follow_lan(lan));
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }

    async fn open_manager(self: &Arc<Self>, group: Group) -> anyhow::Result<()> {
        let config = raft::Config::new(
            self.data.raft(),
            Member {
                id: self.me,
                addr: self.addr(),
            },
            self.credentials.cluster_id(),
            self.keys.data().clone(),
        );
        let dial = Arc::new(RaftDial {
            control: Arc::clone(&self.control),
            news: self.news.clone(),
        });
        let raft = match group {
            Group::Found => Raft::create(config, dial, Machine::default()).await?,
            Group::Resume => Raft::open(config, dial, Machine::default()).await?,
            Group::TakeOver => Raft::take_over(config, dial, Machine::default()).await?,
        };
        let manager = Arc::new(Manager {
            me: self.me,
            cluster: self.credentials.cluster_id(),
            raft,
            hub: Hub::default(),
            observer: Observer::new(clock::moment()),
            events: Events::default(),
            gossip: self.gossip.clone(),
            control: Arc::clone(&self.control),
            doctor: Arc::clone(&self.doctor),
            attach_pace: attach::Pace::default(),
            kept: api::kept::Kept::default(),
        });
        let stop = self.stop.child_token();
        for task in [
            Box::pin(leader::run(Arc::clone(&manager))) as BoxFuture<'static, ()>,
            Box::pin(relay::run(Arc::clone(&manager))),
            Box::pin(follow_members(
                Arc::clone(&manager),
                self.news.clone(),
                self.caught_up.clone(),
            )),
            Box::pin(Arc::clone(self).keep_locked(Arc::clone(&manager))),
        ] {
            let stop = stop.clone();
            self.tasks.spawn(async move {
                stop.run_until_cancelled(task).await;
            });
        }
        *write(&self.manager_stop) = stop;
        *write(&self.manager) = Some(manager);
        Ok(())
    }

    async fn close_manager(&self) {
        read(&self.manager_stop).cancel();
        self.caught_up.send_replace(false);
        let manager = write(&self.manager).take();
        if let Some(manager) = manager {
            manager.hub.close();
            manager.hand_over().await;
            manager.raft.shutdown().await;
        }
    }
}

/// A manager hears of the swarm from its own log, without a session; but only
/// once that has caught up, since on its way it says what was so long ago.
async fn follow_members(
    manager: Arc<Manager>,
    news: watch::Sender<SwarmNews>,
    caught_up: watch::Sender<bool>,
) {
    while let Err(error) = manager.raft.read_barrier().await {
        tracing::debug!(%error, "this manager is not up to date yet");
        tokio::time::sleep(CATCH_UP_RETRY).await;
    }
    caught_up.send_replace(true);
    let mut status = manager.raft.watch();
    loop {
        let led = status.borrow_and_update().leader.is_some();
        // Without a leader this manager may have missed its own removal.
        if led && let Some(now) = manager.news_for(manager.me) {
            news.send_if_modified(|known| known.update(now));
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

pub fn services_role(role: Role) -> services::spec::Role {
    match role {
        Role::Manager => services::spec::Role::Manager,
        Role::Worker => services::spec::Role::Worker,
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
