//! The sessions that this manager holds, and what their nodes reported.
//!
//! The hub keeps the latest of everything per node, and notes what the leader
//! has not been told yet. So nothing queues up: a slow leader gets the newest
//! state later, and a new leader gets all of it once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use certs::{MAX_ROOTS, NodeId};
use quinn::Connection;
use services::object::TaskStatus;
use services::{Id, NodeTrust};
use tokio::sync::Notify;

use crate::clock;
use crate::control::message::{EngineReport, Relayed, Up};
use crate::control::{REMOVED, lock};

/// Statuses in one frame to the leader.
const STATUSES_PER_FRAME: usize = 1_000;
/// Tasks that a node may tell of, dead ones included.
const MAX_STATUSES: usize = 20_000;

#[derive(Debug, Default)]
pub struct Hub {
    sessions: Mutex<BTreeMap<NodeId, Session>>,
    /// Sessions that have begun, all together: no two have the same number.
    begun: AtomicU64,
    /// Told by nodes whose sessions ended with it; the leader is to be told.
    pausing: Mutex<BTreeSet<NodeId>>,
    /// Woken when there is something to tell the leader at once.
    pub news: Notify,
}

#[derive(Debug)]
struct Session {
    number: u64,
    addr: SocketAddr,
    connection: Connection,
    engine: Option<EngineReport>,
    /// All of the node's tasks have been told at least once.
    complete: bool,
    statuses: BTreeMap<Id, TaskStatus>,
    trust: Option<NodeTrust>,
    untold: Untold,
}

#[derive(Debug, Default)]
struct Untold {
    alive: bool,
    engine: bool,
    complete: bool,
    tasks: BTreeSet<Id>,
    trust: bool,
}

impl Hub {
    /// A session begins; an older one of the same node is superseded. Returns
    /// its number, by which it reports and ends.
    pub fn begin(&self, node: NodeId, addr: SocketAddr, connection: Connection) -> u64 {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let session = Session {
            number,
            addr,
            connection,
            engine: None,
            complete: false,
            statuses: BTreeMap::new(),
            trust: None,
            untold: Untold {
                alive: true,
                ..Untold::default()
            },
        };
        let id = session.connection.stable_id();
        let mut sessions = lock(&self.sessions);
        if let Some(old) = sessions.insert(node, session)
            && old.connection.stable_id() != id
        {
            old.connection.close(0u32.into(), b"superseded");
        }
        drop(sessions);
        self.news.notify_one();
        number
    }

    /// Takes what a node says. `false` where the session must end: it was
    /// superseded, or tells of more than a node can have.
    pub fn report(&self, node: NodeId, number: u64, up: Up) -> bool {
        let mut sessions = lock(&self.sessions);
        let Some(session) = sessions
            .get_mut(&node)
            .filter(|session| session.number == number)
        else {
            return false;
        };
        session.untold.alive = true;
        let urgent = !matches!(up, Up::Beat);
        match up {
            Up::Beat => {}
            Up::Pauses => {
                lock(&self.pausing).insert(node);
            }
            Up::Trust(trust) if trust.roots.len() > MAX_ROOTS => return false,
            Up::Trust(trust) => {
                session.trust = Some(trust);
                session.untold.trust = true;
            }
            Up::Engine(report) => {
                session.engine = Some(report);
                session.untold.engine = true;
            }
            Up::Tasks {
                now,
                reset,
                complete,
                statuses,
            } => {
                if reset {
                    session.statuses.clear();
                    session.untold.tasks.clear();
                }
                let ours = clock::now();
                for (id, mut status) in statuses {
                    clock::to_ours(&mut status, now, ours);
                    session.untold.tasks.insert(id);
                    session.statuses.insert(id, status);
                }
                session.complete |= complete;
                session.untold.complete |= complete;
            }
        }
        let sane = session.statuses.len() <= MAX_STATUSES;
        drop(sessions);
        if urgent {
            self.news.notify_one();
        }
        sane
    }

    pub fn end(&self, node: NodeId, number: u64) {
        let mut sessions = lock(&self.sessions);
        if sessions
            .get(&node)
            .is_some_and(|session| session.number == number)
        {
            sessions.remove(&node);
        }
    }

    /// The tasks that the node no longer has; their statuses are forgotten.
    pub fn forget_tasks(&self, node: NodeId, number: u64, removed: &[Id]) {
        let mut sessions = lock(&self.sessions);
        if let Some(session) = sessions
            .get_mut(&node)
            .filter(|session| session.number == number)
        {
            for task in removed {
                session.statuses.remove(task);
            }
        }
    }

    pub fn connection(&self, node: NodeId) -> Option<Connection> {
        lock(&self.sessions)
            .get(&node)
            .map(|session| session.connection.clone())
    }

    /// Ends the sessions of nodes that are not part of the swarm any more.
    pub fn close_removed(&self, is_removed: impl Fn(NodeId) -> bool) {
        lock(&self.sessions).retain(|node, session| {
            if is_removed(*node) {
                session.connection.close(REMOVED, b"removed from the swarm");
            }
            !is_removed(*node)
        });
    }

    /// Ends every session: the nodes find another manager.
    pub fn close(&self) {
        for session in std::mem::take(&mut *lock(&self.sessions)).into_values() {
            session
                .connection
                .close(0u32.into(), b"no longer a manager");
        }
    }

    /// A new leader, or the old one reached anew: it must be told everything.
    pub fn tell_all(&self) {
        for session in lock(&self.sessions).values_mut() {
            session.untold.engine = session.engine.is_some();
            session.untold.complete = session.complete;
            session.untold.trust = session.trust.is_some();
            session.untold.tasks = session.statuses.keys().copied().collect();
        }
    }

    /// What the leader has not been told yet.
    pub fn take_untold(&self) -> Vec<Relayed> {
        let mut sessions = lock(&self.sessions);
        let mut frames = Vec::new();
        let alive: Vec<NodeId> = sessions
            .iter_mut()
            .filter_map(|(node, session)| {
                std::mem::take(&mut session.untold.alive).then_some(*node)
            })
            .collect();
        if !alive.is_empty() {
            frames.push(Relayed::Alive(alive));
        }
        // After its last sign of life.
        let pausing = std::mem::take(&mut *lock(&self.pausing));
        frames.extend(pausing.into_iter().map(Relayed::Pauses));
        for (node, session) in sessions.iter_mut() {
            let untold = std::mem::take(&mut session.untold);
            if untold.engine
                && let Some(report) = session.engine.clone()
            {
                frames.push(Relayed::Engine {
                    node: *node,
                    addr: session.addr,
                    report,
                });
            }
            if untold.trust
                && let Some(trust) = session.trust.clone()
            {
                frames.push(Relayed::Trust { node: *node, trust });
            }
            let statuses: Vec<_> = untold
                .tasks
                .iter()
                .filter_map(|id| Some((*id, session.statuses.get(id)?.clone())))
                .collect();
            let count = statuses.len().div_ceil(STATUSES_PER_FRAME);
            for part in 0..count.max(usize::from(untold.complete)) {
                let from = part * STATUSES_PER_FRAME;
                let to = statuses.len().min(from + STATUSES_PER_FRAME);
                frames.push(Relayed::Tasks {
                    node: *node,
                    now: clock::now(),
                    complete: session.complete && part + 1 >= count,
                    statuses: statuses[from..to].to_vec(),
                });
            }
        }
        frames
    }
}
