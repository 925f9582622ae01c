//! The handle on the worker: what sessions, the API and the daemon hold.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use certs::seal::DataKey;
use futures::stream::BoxStream;
use services::directory::Directory;
use services::reconcile::Assigned;
use services::{Assignment, Id};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::codec::Record;
use super::driver::{Driver, Inbox, Steps, Told};
use super::engine::{EngineState, Watcher};
use super::files::TaskFiles;
use super::links::Links;
use super::networks::Upkeep;
use super::statuses::{Board, Statuses};
use super::step::Tools;
use super::tasks::Tasks;
use crate::control::lock;
use crate::disk::kept::{self, KeptError, Writer};
use crate::runtime::{LogFrame, LogOptions, Runtime, RuntimeError};

/// News of the engine that the agent has not looked at yet; beyond it the event
/// stream waits.
const NEWS: usize = 256;

#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// This node.
    pub node: Id,
    /// Where the assignments are kept; `<data directory>/agent`.
    pub dir: PathBuf,
    /// Seals them.
    pub data_key: DataKey,
    /// How containers reach each other.
    pub links: Arc<dyn Links>,
    /// Where the files of tasks are made.
    pub files: TaskFiles,
    /// What managers say of networks.
    pub directory: watch::Receiver<Arc<Directory>>,
    /// See [`NodeDescription::data_addr`](services::object::NodeDescription::data_addr).
    pub data_addr: Option<IpAddr>,
}

#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The agent did not start; no container was touched.
    #[error("cannot read the assignments: {0}")]
    Store(#[from] KeptError),
    /// Containers of this node are left on the engine.
    #[error("the engine does not answer, so its containers stay: {0}")]
    EngineUnavailable(String),
    /// The agent was shut down before it was done.
    #[error("the agent has ended")]
    Ended,
}

/// Runs this node's tasks. Clones are handles on the same agent.
#[derive(Debug, Clone)]
pub struct Agent {
    runtime: Arc<dyn Runtime>,
    inbox: Arc<Inbox>,
    board: Board,
    inherited: Arc<Mutex<Assigned>>,
    files: TaskFiles,
    engine: watch::Receiver<EngineState>,
    leave: mpsc::Sender<oneshot::Sender<()>>,
    stop: CancellationToken,
    running: TaskTracker,
}

impl Agent {
    /// Reads what was assigned before, and begins to make it true as soon as
    /// the engine is there: with or without a manager, after a reboot or an
    /// update of the daemon.
    pub async fn start(config: AgentConfig, runtime: Arc<dyn Runtime>) -> Result<Self, AgentError> {
        let (dir, key) = (config.dir.clone(), config.data_key.clone());
        let record: Option<Record> = tokio::task::spawn_blocking(move || kept::load(&dir, &key))
            .await
            .map_err(|_| AgentError::Ended)??;
        let (state, engine) = watch::channel(EngineState::Unasked);
        let (seen, news) = mpsc::channel(NEWS);
        let (leave, leaving) = mpsc::channel(1);
        let doubt = Arc::new(Notify::new());
        let inherited = record.as_ref().map(|record| record.assigned.clone());
        let agent = Self {
            runtime: Arc::clone(&runtime),
            inbox: Arc::default(),
            board: Board::default(),
            inherited: Arc::new(Mutex::new(inherited.unwrap_or_default())),
            files: config.files.clone(),
            engine,
            leave,
            stop: CancellationToken::new(),
            running: TaskTracker::new(),
        };
        let watcher = Watcher {
            runtime: Arc::clone(&runtime),
            seen,
            state,
            doubt: Arc::clone(&doubt),
            look_every: super::devices::LOOK_EVERY,
            overlay: config.links.has_overlay(),
            data_addr: config.data_addr,
        };
        let driver = Driver {
            tasks: record.map_or_else(Tasks::default, Tasks::restore),
            tools: Tools {
                runtime,
                links: config.links,
                files: config.files,
                node: config.node,
            },
            inbox: Arc::clone(&agent.inbox),
            board: agent.board.clone(),
            writer: Writer::spawn(config.dir, config.data_key, kept::RETRY),
            doubt,
            with_files: None,
            told: Told::default(),
            directory: config.directory,
            upkeep: Upkeep::default(),
            steps: Steps::default(),
            settling: JoinSet::new(),
            leaving: Vec::new(),
            leaves: false,
        };
        agent
            .running
            .spawn(driver.run(news, leaving, agent.stop.clone()));
        let stop = agent.stop.clone();
        agent.running.spawn(async move {
            stop.run_until_cancelled(watcher.run()).await;
        });
        agent.running.close();
        Ok(agent)
    }

    /// The whole of what this node shall run; all else of it is removed.
    pub fn assign_all(&self, assigned: BTreeMap<Id, Assignment>) {
        self.inbox.assign_all(assigned);
    }

    /// What changed since. Before the first [`assign_all`](Self::assign_all)
    /// (of this or an earlier run) it is ignored.
    pub fn assign_delta(&self, changed: Vec<Assignment>, removed: Vec<Id>) {
        self.inbox.assign_delta(changed, removed);
    }

    /// What was assigned when it started, as an earlier run has left it. Given
    /// once: it has secrets, which may be withdrawn later.
    pub fn take_inherited(&self) -> Assigned {
        std::mem::take(&mut *lock(&self.inherited))
    }

    /// Where the files of tasks are made.
    pub fn files(&self) -> &TaskFiles {
        &self.files
    }

    /// A reader of statuses of its own.
    pub fn statuses(&self) -> Statuses {
        self.board.subscribe()
    }

    pub fn engine(&self) -> watch::Receiver<EngineState> {
        self.engine.clone()
    }

    /// What the task's container wrote.
    pub async fn logs(
        &self,
        task: Id,
        options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<LogFrame, RuntimeError>>, RuntimeError> {
        let container = self.board.get(task).and_then(|status| status.container);
        let container = container.ok_or_else(|| {
            RuntimeError::ContainerMissing(format!("task {task} has no container on this node"))
        })?;
        self.runtime.logs(&container.id, options).await
    }

    /// Ends the agent. Containers run on and are adopted by the next one.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.running.wait().await;
    }

    /// Stops and removes every container of this node, for one that leaves its
    /// swarm. Each has its grace period. Then its networks, which users'
    /// containers are taken off. The assignments are forgotten.
    pub async fn remove_all(&self) -> Result<(), AgentError> {
        let (done, wait) = oneshot::channel();
        let mut engine = self.engine.clone();
        self.leave.send(done).await.map_err(|_| AgentError::Ended)?;
        let lost = engine.wait_for(|state| matches!(state, EngineState::Unavailable { .. }));
        tokio::select! {
            biased;
            done = wait => done.map_err(|_| AgentError::Ended),
            lost = lost => match lost.as_deref() {
                Ok(EngineState::Unavailable { reason }) => {
                    Err(AgentError::EngineUnavailable(reason.clone()))
                }
                _ => Err(AgentError::Ended),
            },
        }
    }
}

#[cfg(test)]
mod tests;
