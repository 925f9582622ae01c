//! The connections to the other managers, one per peer, made when first used.
//!
//! A connection that ends is made again, after a pause that grows while it
//! fails. One on which nothing was heard for a while although answers were due
//! is given up at the first request that times out: after a partition heals, a
//! fresh handshake is faster than the back-off of the old connection.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use certs::NodeId;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::{
    frame,
    message::{Reply, Request},
};

/// Makes the connections of the log: mutually authenticated QUIC with the
/// protocol [`ALPN`](crate::ALPN).
pub trait Dial: Send + Sync + 'static {
    /// Connects to the manager `id`, last known at `addr_hint`. The connection
    /// must be to that very node, or fail.
    fn dial(
        &self,
        id: NodeId,
        addr_hint: SocketAddr,
    ) -> BoxFuture<'static, io::Result<quinn::Connection>>;
}

const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// A connection that was silent for this long when a request times out is dead.
const SILENCE: Duration = Duration::from_secs(1);
/// Unless something comes within this time.
const MOMENT: Duration = Duration::from_millis(50);

/// The connections to all peers.
pub(crate) struct Peers {
    dial: Arc<dyn Dial>,
    epoch: Instant,
    links: Mutex<BTreeMap<NodeId, Arc<Mutex<Link>>>>,
    /// Where each peer is by the latest list of members.
    addrs: Mutex<BTreeMap<NodeId, SocketAddr>>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").finish_non_exhaustive()
    }
}

#[derive(Default)]
enum Link {
    #[default]
    New,
    Dialing(Shared<BoxFuture<'static, Result<Connected, Arc<io::Error>>>>),
    Up(Connected),
    Down {
        until: Instant,
        pause: Duration,
        error: Arc<io::Error>,
    },
}

/// A connection, and when something was last heard on it.
#[derive(Debug, Clone)]
pub(crate) struct Connected {
    pub connection: quinn::Connection,
    epoch: Instant,
    heard: Arc<AtomicU64>,
}

impl Connected {
    /// Notes that the peer answered.
    pub fn heard(&self) {
        self.heard.store(millis(self.epoch), Ordering::Relaxed);
    }

    fn is_silent(&self) -> bool {
        let silence = millis(self.epoch).saturating_sub(self.heard.load(Ordering::Relaxed));
        silence > SILENCE.as_millis() as u64
    }
}

fn millis(epoch: Instant) -> u64 {
    epoch.elapsed().as_millis() as u64
}

impl Peers {
    pub fn new(dial: Arc<dyn Dial>) -> Self {
        Self {
            dial,
            epoch: Instant::now(),
            links: Mutex::default(),
            addrs: Mutex::default(),
        }
    }

    /// Notes where the members are. It takes the place of the addresses that
    /// clients were made with.
    pub fn set_addrs(&self, addrs: BTreeMap<NodeId, SocketAddr>) {
        *lock(&self.addrs) = addrs;
    }

    /// Sends a request on a stream of its own and waits for the reply. `sent`
    /// becomes true when the peer may have got the request.
    pub async fn call(
        &self,
        id: NodeId,
        addr: SocketAddr,
        request: &Request,
        deadline: Instant,
        sent: &AtomicBool,
    ) -> io::Result<Reply> {
        let connected = timeout_at(deadline, self.connect(id, addr))
            .await
            .map_err(|_| timed_out("connecting"))??;
        match timeout_at(deadline, exchange(&connected, request, sent)).await {
            Ok(reply) => reply,
            Err(_) => {
                self.timed_out(id, &connected);
                Err(timed_out("waiting for the answer"))
            }
        }
    }

    /// The connection to a peer. If the caller goes away meanwhile, the attempt
    /// goes on for the next one.
    pub async fn connect(&self, id: NodeId, addr: SocketAddr) -> io::Result<Connected> {
        let link = self.link(id);
        let attempt = {
            let mut state = lock(&link);
            match &*state {
                Link::Up(connected) if connected.connection.close_reason().is_none() => {
                    return Ok(connected.clone());
                }
                Link::Dialing(attempt) => attempt.clone(),
                Link::Down { until, error, .. } if Instant::now() < *until => {
                    return Err(copy(error));
                }
                _ => {
                    let pause = match &*state {
                        Link::Down { pause, .. } => (*pause * 2).min(LONGEST_PAUSE),
                        _ => FIRST_PAUSE,
                    };
                    let addr = lock(&self.addrs).get(&id).copied().unwrap_or(addr);
                    let attempt = self.attempt(id, addr, pause, Arc::clone(&link));
                    *state = Link::Dialing(attempt.clone());
                    tokio::spawn(attempt.clone());
                    attempt
                }
            }
        };
        attempt.await.map_err(|error| copy(&error))
    }

    /// The same for whoever asks again at once: waits for the end of the pause after
    /// an attempt that failed.
    pub async fn connect_when_due(&self, id: NodeId, addr: SocketAddr) -> io::Result<Connected> {
        let due = match &*lock(&self.link(id)) {
            Link::Down { until, .. } => Some(*until),
            Link::New | Link::Dialing(_) | Link::Up(_) => None,
        };
        if let Some(due) = due {
            sleep_until(due).await;
        }
        self.connect(id, addr).await
    }

    fn attempt(
        &self,
        id: NodeId,
        addr: SocketAddr,
        pause: Duration,
        link: Arc<Mutex<Link>>,
    ) -> Shared<BoxFuture<'static, Result<Connected, Arc<io::Error>>>> {
        let (dial, epoch) = (self.dial.dial(id, addr), self.epoch);
        async move {
            let dialed = match timeout(DIAL_TIMEOUT, dial).await {
                Ok(dialed) => dialed,
                Err(_) => Err(timed_out("connecting")),
            };
            let result = dialed.map_err(Arc::new).map(|connection| Connected {
                connection,
                epoch,
                heard: Arc::new(AtomicU64::new(millis(epoch))),
            });
            *lock(&link) = match &result {
                Ok(connected) => Link::Up(connected.clone()),
                Err(error) => Link::Down {
                    until: Instant::now() + pause,
                    pause,
                    error: Arc::clone(error),
                },
            };
            result
        }
        .boxed()
        .shared()
    }

    /// To be told when an answer did not come in time.
    pub fn timed_out(&self, id: NodeId, connected: &Connected) {
        if !connected.is_silent() {
            return;
        }
        let (link, connection) = (self.link(id), connected.connection.clone());
        tokio::spawn(async move {
            // After a pause of this device the answer may wait to be read.
            let received = connection.stats().udp_rx.datagrams;
            sleep(MOMENT).await;
            if connection.stats().udp_rx.datagrams != received {
                return;
            }
            let mut state = lock(&link);
            if let Link::Up(current) = &*state
                && current.connection.stable_id() == connection.stable_id()
            {
                *state = Link::New;
                connection.close(0_u32.into(), b"silent");
            }
        });
    }

    /// Closes every connection.
    pub fn close(&self) {
        for link in std::mem::take(&mut *lock(&self.links)).into_values() {
            if let Link::Up(connected) = &*lock(&link) {
                connected.connection.close(0_u32.into(), b"shutting down");
            }
        }
    }

    fn link(&self, id: NodeId) -> Arc<Mutex<Link>> {
        Arc::clone(lock(&self.links).entry(id).or_default())
    }
}

async fn exchange(
    connected: &Connected,
    request: &Request,
    sent: &AtomicBool,
) -> io::Result<Reply> {
    let (mut sending, mut receiving) = connected.connection.open_bi().await?;
    sent.store(true, Ordering::Relaxed);
    frame::send(&mut sending, request).await?;
    // The peer may have stopped reading after the request; the reply tells.
    let _ = sending.finish();
    let reply = frame::receive(&mut receiving).await?;
    connected.heard();
    reply.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the peer did not answer"))
}

pub(crate) fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("timed out {what}"))
}

fn copy(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
