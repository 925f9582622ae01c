//! The worker's end of a session: finds a manager, keeps a session with it,
//! and begins anew elsewhere when that breaks, or when gossip has heard that
//! the manager is lost, which is long before its silence would tell.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use certs::{Credentials, NodeId, Role};
use gossip::{Gossip, Liveness};
use quinn::{Connection, RecvStream, SendStream};
use services::directory::Directory;
use services::object::TaskStatus;
use services::{Assignment, Id, NodeTrust};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::incoming::{Assignments, DirectoryChange};
use super::turns::{Round, in_turn};
use super::{BEAT, Farewell, PATIENCE, tickets};
use crate::clock;
use crate::control::message::{Down, EngineReport, Hello, Open, SwarmNews, Up};
use crate::control::{self, Control, frame, lock};
use crate::doctor::{Diagnose, ask};
use crate::identity::Keeper;
use crate::logs;
use crate::network::Network;
use crate::worker::{Agent, EngineState};

/// Between two rounds over all known managers.
const PAUSE: Duration = Duration::from_millis(500);
/// For another manager to hear that this one stops.
const SAID_WITHIN: Duration = Duration::from_millis(300);
/// Statuses in one frame.
const STATUSES_PER_FRAME: usize = 500;

pub struct SessionClient {
    pub me: NodeId,
    /// Where this node answers.
    pub addr: watch::Receiver<SocketAddr>,
    pub control: Arc<Control>,
    pub gossip: Gossip,
    pub agent: Agent,
    pub doctor: Arc<dyn Diagnose>,
    /// What the last manager said of the swarm; kept over sessions.
    pub news: watch::Sender<SwarmNews>,
    pub credentials: Credentials,
    pub identity: Arc<Keeper>,
    /// `None`: this node is without an overlay.
    pub network: Option<Arc<Network>>,
    /// What was assigned last, with the tickets that this node goes on using.
    pub held: Mutex<BTreeMap<Id, Assignment>>,
    /// What managers say of networks and services; kept over sessions.
    pub directory: watch::Sender<Arc<Directory>>,
    /// Set when a manager says that this node is not part of the swarm any more.
    pub removed: watch::Sender<bool>,
    /// Set when this node ends its sessions; dropped once that is told.
    pub farewell: watch::Receiver<Farewell>,
    /// Whether this node's own manager has caught up with the others.
    pub caught_up: watch::Receiver<bool>,
}

impl SessionClient {
    /// Runs until it is dropped.
    pub async fn run(self) {
        let mut round = Round::default();
        loop {
            let managers = self.managers();
            let next = round.next(&managers);
            let begun = OnceLock::new();
            if let Some((id, addr)) = next {
                match self.session(id, addr, &begun).await {
                    Ok(()) => tracing::debug!(manager = %id, "the session ended"),
                    Err(error) => tracing::debug!(manager = %id, %addr, %error, "no session"),
                }
            }
            let farewell = *self.farewell.borrow();
            if farewell == Farewell::Pause && next.is_some_and(|(id, _)| id == self.me) {
                self.say_elsewhere(&managers).await;
            }
            if farewell != Farewell::None {
                return;
            }
            let lasted = begun.get().map_or(Duration::ZERO, Instant::elapsed);
            if round.ends_with(next.map(|(id, _)| id), lasted, &managers) {
                let mut farewell = self.farewell.clone();
                // What is to be said is said now or never.
                let said = farewell.wait_for(|said| *said != Farewell::None);
                if matches!(timeout(PAUSE, said).await, Ok(Err(_))) {
                    return;
                }
            }
        }
    }

    /// A manager that stops takes with it what its own session told: another
    /// one is told too.
    async fn say_elsewhere(&self, managers: &[(NodeId, SocketAddr)]) {
        for (id, addr) in managers.iter().filter(|(id, _)| *id != self.me) {
            let said = async {
                let connection = self.control.node(*id, *addr).await?;
                let hello = Hello {
                    addr: *self.addr.borrow(),
                };
                let (mut up, _down) = open(&connection, hello).await?;
                say(&mut up, &Up::Pauses).await
            };
            match timeout(SAID_WITHIN, said).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => tracing::debug!(manager = %id, %error, "not told"),
                Err(_) => tracing::debug!(manager = %id, "not told in time"),
            }
        }
    }

    fn managers(&self) -> Vec<(NodeId, SocketAddr)> {
        let mut managers = self.news.borrow().managers.clone();
        let caught_up = *self.caught_up.borrow();
        in_turn(&mut managers, self.me, caught_up, |id| self.is_lost(id));
        managers
    }

    fn is_lost(&self, manager: NodeId) -> bool {
        let liveness = self.gossip.member(manager).map(|member| member.liveness);
        matches!(liveness, Some(Liveness::Dead { .. } | Liveness::Left))
    }

    /// Ends when gossip gives up a manager that it held for alive.
    async fn until_lost(&self, manager: NodeId) {
        let mut changes = self.gossip.changes();
        let mut alive = !self.is_lost(manager);
        while changes.changed().await.is_ok() {
            let lost = self.is_lost(manager);
            if alive && lost {
                return;
            }
            alive = !lost;
        }
        std::future::pending().await
    }

    /// `begun` is set when the manager has said something first: until then there is
    /// no session, however long that takes.
    async fn session(
        &self,
        manager: NodeId,
        addr: SocketAddr,
        begun: &OnceLock<Instant>,
    ) -> io::Result<()> {
        let connection = self.control.node(manager, addr).await?;
        let ended = self.session_over(&connection, manager, addr, begun).await;
        // A session that ended badly may have ended with its connection.
        if ended.is_err() {
            let reason = connection.close_reason();
            if reason.as_ref().is_some_and(control::says_removed) {
                self.stand_down();
            }
            connection.close(0u32.into(), b"session ended");
        }
        ended
    }

    /// What a removed node ran is run elsewhere by now.
    fn stand_down(&self) {
        if !self.removed.send_replace(true) {
            tracing::error!(
                "this node was removed from the swarm; its tasks are stopped. \
                 `swarmlet leave --force` forgets the swarm"
            );
        }
        lock(&self.held).clear();
        self.agent.assign_all(BTreeMap::new());
        self.learn(Directory::default());
    }

    async fn session_over(
        &self,
        connection: &Connection,
        manager: NodeId,
        addr: SocketAddr,
        begun: &OnceLock<Instant>,
    ) -> io::Result<()> {
        let mut here = self.addr.clone();
        let hello = Hello {
            addr: *here.borrow_and_update(),
        };
        let (up, down) = open(connection, hello).await?;
        tracing::info!(%manager, %addr, "a session with a manager");
        tokio::select! {
            ended = self.tell(up) => ended,
            ended = self.listen(down, begun) => ended,
            ended = self.answer(connection) => ended,
            () = self.until_lost(manager) => Err(io::Error::other("gossip has lost the manager")),
            // The next session begins with the new one.
            Ok(()) = here.changed() => Ok(()),
        }
    }

    /// Serves what the manager asks over the connection that this node opened:
    /// there may be no way to open one from its side.
    async fn answer(&self, connection: &Connection) -> io::Result<()> {
        let is_manager = certs::peer_of(connection).is_some_and(|peer| peer.role == Role::Manager);
        let mut answers = JoinSet::new();
        loop {
            tokio::select! {
                streams = connection.accept_bi() => {
                    let (out, mut from) = streams?;
                    let (agent, me) = (self.agent.clone(), self.me);
                    let doctor = Arc::clone(&self.doctor);
                    answers.spawn(async move {
                        match frame::recv::<Open>(&mut from).await {
                            Ok(Some(Open::Logs(request))) if request.node == me && is_manager => {
                                logs::answer(&agent, request, false, out).await
                            }
                            Ok(Some(Open::DetailedLogs(request)))
                                if request.node == me && is_manager =>
                            {
                                logs::answer(&agent, request, true, out).await
                            }
                            Ok(Some(Open::Diagnose { node })) if node == me && is_manager => {
                                ask::answer(&*doctor, out).await
                            }
                            Ok(_) => Err(io::Error::other("asked for what a worker does not do")),
                            Err(error) => Err(error),
                        }
                    });
                }
                Some(answered) = answers.join_next() => {
                    if let Ok(Err(error)) = answered {
                        tracing::debug!(%error, "a manager's stream ended");
                    }
                }
            }
        }
    }

    async fn tell(&self, mut up: SendStream) -> io::Result<()> {
        let mut engine = self.agent.engine();
        engine.mark_changed();
        let mut changes = self.agent.statuses();
        send_statuses(&mut up, true, changes.snapshot()).await?;
        let mut farewell = self.farewell.clone();
        let mut identity = self.identity.changes();
        identity.mark_changed();
        let mut trust = None;
        let ends = async move {
            let said = farewell.wait_for(|said| *said != Farewell::None).await;
            said.map(|said| *said)
        };
        tokio::pin!(ends);
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                said = &mut ends => {
                    let last = match said.map_err(io::Error::other)? {
                        Farewell::None => continue,
                        Farewell::Pause => Up::Pauses,
                        Farewell::Leave => {
                            let reason = "it left the swarm".into();
                            Up::Engine(EngineReport::Unavailable { reason })
                        }
                    };
                    return say(&mut up, &last).await;
                }
                changed = engine.changed() => {
                    changed.map_err(io::Error::other)?;
                    let report = report(&engine.borrow_and_update())?;
                    if let Some(report) = report {
                        frame::send(&mut up, &Up::Engine(report)).await?;
                    }
                }
                changed = changes.changed() => {
                    send_statuses(&mut up, false, changed).await?;
                }
                changed = identity.changed() => {
                    changed.map_err(io::Error::other)?;
                    let now = self.trust();
                    if trust.as_ref() != Some(&now) {
                        frame::send(&mut up, &Up::Trust(now.clone())).await?;
                        trust = Some(now);
                    }
                }
                _ = beat.tick() => frame::send(&mut up, &Up::Beat).await?,
            }
        }
    }

    async fn listen(&self, mut down: RecvStream, begun: &OnceLock<Instant>) -> io::Result<()> {
        let mut assignments = Assignments::default();
        let mut directory = DirectoryChange::default();
        loop {
            let heard = timeout(PATIENCE, frame::recv::<Down>(&mut down)).await;
            let heard = heard.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
            let heard = heard?;
            begun.get_or_init(Instant::now);
            match heard {
                None => return Ok(()),
                Some(Down::Beat) => {}
                Some(Down::Assign(batch)) => {
                    if let Some(set) = assignments.take(batch)? {
                        self.assign(set);
                    }
                }
                Some(Down::File(file)) => assignments.take_file(file)?,
                Some(Down::Directory(batch)) => {
                    let known = || Directory::clone(&self.directory.borrow());
                    if let Some(now) = directory.take(batch, known)? {
                        self.learn(now);
                    }
                }
                Some(Down::Trust(news)) => {
                    if let Err(error) = self.identity.trust(&news) {
                        tracing::warn!(%error, "cannot trust the swarm's certificate authorities");
                    }
                }
                Some(Down::Tickets(tickets)) => {
                    let tickets = tickets.into_iter();
                    let tickets = tickets
                        .map(|(id, network, it)| ((id.as_u128(), network.as_u128()), it))
                        .collect();
                    if let Some(network) = &self.network {
                        network.renew(tickets);
                    }
                    self.identity.review();
                }
                Some(Down::Swarm(news)) => {
                    self.news.send_if_modified(|known| known.update(news));
                }
            }
        }
    }
}

impl SessionClient {
    fn assign(&self, mut set: Assignments) {
        let mut held = lock(&self.held);
        set.provide(&held, &mut self.agent.files().left_out());
        tickets::keep(&mut set.changed, &held, self.me, |granted, ticket| {
            self.credentials.roots_verifying(granted, ticket)
        });
        if set.reset {
            held.clear();
        }
        held.retain(|task, _| !set.removed.contains(task));
        held.extend(set.changed.clone());
        drop(held);
        self.identity.review();
        match set.reset {
            true => self.agent.assign_all(set.changed),
            false => {
                let changed = set.changed.into_values().collect();
                self.agent.assign_delta(changed, set.removed);
            }
        }
    }

    /// What this node could do without, while the swarm's CA becomes another one.
    fn trust(&self) -> NodeTrust {
        let identity = self.identity.identity();
        let has_tickets = identity.issuer().is_some_and(|issuer| {
            let verifies = |granted: &[u8], ticket: &[u8]| issuer.verifies(granted, ticket);
            let held = lock(&self.held);
            let guests = self.network.as_ref();
            // With one CA, they are of that.
            identity.roots().len() == 1
                || (tickets::are_good(held.values(), self.me, verifies)
                    && guests.is_none_or(|network| network.is_vouched_for(issuer)))
        });
        NodeTrust {
            roots: identity.roots().iter().map(|root| root.digest()).collect(),
            issuer: identity.issuer().map(|root| root.digest()),
            has_tickets,
        }
    }

    fn learn(&self, now: Directory) {
        self.directory.send_if_modified(|known| {
            let changed = **known != now;
            if changed {
                *known = Arc::new(now);
            }
            changed
        });
    }
}

async fn open(connection: &Connection, hello: Hello) -> io::Result<(SendStream, RecvStream)> {
    let (mut up, down) = connection.open_bi().await?;
    frame::send(&mut up, &Open::Session(hello)).await?;
    Ok((up, down))
}

/// The last word of a session; returns when it was taken.
async fn say(up: &mut SendStream, word: &Up) -> io::Result<()> {
    frame::send(up, word).await?;
    up.finish().map_err(io::Error::other)?;
    let _ = up.stopped().await;
    Ok(())
}

fn report(engine: &EngineState) -> io::Result<Option<EngineReport>> {
    Ok(match engine {
        EngineState::Unasked => None,
        EngineState::Ready(description) => Some(EngineReport::Ready {
            description: serde_json::to_vec(description)?,
        }),
        EngineState::Unavailable { reason } => Some(EngineReport::Unavailable {
            reason: reason.clone(),
        }),
    })
}

/// All of the node's tasks (`reset`), or those that changed.
async fn send_statuses(
    up: &mut SendStream,
    reset: bool,
    statuses: impl IntoIterator<Item = (Id, TaskStatus)>,
) -> io::Result<()> {
    let statuses: Vec<_> = statuses.into_iter().collect();
    let frames = statuses
        .len()
        .div_ceil(STATUSES_PER_FRAME)
        .max(usize::from(reset));
    for part in 0..frames {
        let from = part * STATUSES_PER_FRAME;
        let to = statuses.len().min(from + STATUSES_PER_FRAME);
        let tasks = Up::Tasks {
            now: clock::now(),
            reset: reset && part == 0,
            complete: part + 1 == frames,
            statuses: statuses[from..to].to_vec(),
        };
        frame::send(up, &tasks).await?;
    }
    Ok(())
}
