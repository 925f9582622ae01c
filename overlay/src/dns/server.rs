//! The name server: UDP and TCP on the gateway addresses.
//!
//! What the [`Zone`] knows is answered where the question is read. What others
//! know is asked in a task of its own, of which one asker can have only so many
//! at a time, and so can all. A TCP connection is served one question after the
//! other, and closed when it is idle.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rustix::net::{SocketAddrAny, SocketFlags, SocketType, sockopt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::{Reaction, Transport, react};
use super::limits::{Places, Rates};
use super::resolv::{PORT, Upstream};
use super::upstream::{HostFile, Resolver, framed};
use super::wire::Request;
use super::zone::Zone;

/// Questions that wait for other servers; each has a socket.
pub const MAX_WAITING: usize = 256;
/// TCP connections.
pub const MAX_CONNECTIONS: usize = 128;
/// A question is hardly longer than a name.
const MAX_QUESTION: usize = 4096;
/// Questions read at a stretch before other tasks have their turn.
const BATCH: usize = 64;
/// What the kernel keeps of questions while we are busy.
const BACKLOG_BYTES: usize = 1 << 20;
const BACKLOG: u32 = 128;

/// Where to listen, and whom to ask for the rest of the world.
#[derive(Debug, Clone)]
pub struct Config {
    /// The gateway addresses. They need not exist yet.
    pub listen: Vec<SocketAddr>,
    pub resolv_conf: PathBuf,
    /// Where the servers that it names listen.
    pub upstream_port: u16,
    /// How long a TCP connection may take for its next question, or to take a reply.
    pub idle: Duration,
}

impl Config {
    /// On port 53 of these addresses, for the host's own `/etc/resolv.conf`.
    pub fn on(gateways: impl IntoIterator<Item = IpAddr>) -> Self {
        let listen = gateways.into_iter().map(|ip| SocketAddr::new(ip, PORT));
        Self {
            listen: listen.collect(),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            upstream_port: PORT,
            idle: Duration::from_secs(10),
        }
    }
}

/// Nothing is listened on, and no task runs.
#[derive(Debug, thiserror::Error)]
#[error("cannot answer names on {addr}: {source}")]
pub struct StartError {
    pub addr: SocketAddr,
    pub source: io::Error,
}

/// What became of questions since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Answered or refused at once.
    pub replied: u64,
    /// Put to other servers.
    pub forwarded: u64,
    /// Too many from one asker.
    pub limited: u64,
    /// Not questions at all.
    pub dropped: u64,
}

/// Answers until it is shut down or dropped.
#[derive(Debug)]
pub struct NameServer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    zone: RwLock<Arc<Zone>>,
    /// The zero of the rates' time.
    start: Instant,
    rates: Mutex<Rates>,
    waiting: Arc<Mutex<Places>>,
    connections: Arc<Mutex<Places>>,
    resolver: Resolver,
    idle: Duration,
    counts: Counts,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Counts {
    replied: AtomicU64,
    forwarded: AtomicU64,
    limited: AtomicU64,
    dropped: AtomicU64,
}

impl NameServer {
    /// Refuses everybody until the first [`NameServer::publish`]. Must be called
    /// within a Tokio runtime.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let mut sockets = Vec::new();
        for addr in config.listen.iter().copied() {
            let opened = udp(addr).and_then(|udp| Ok((udp, tcp(addr)?)));
            sockets.push(opened.map_err(|source| StartError { addr, source })?);
        }
        let own = config.listen.iter().map(SocketAddr::ip).collect();
        let host = HostFile::new(config.resolv_conf, config.upstream_port, own);
        let shared = Arc::new(Shared {
            zone: RwLock::default(),
            start: Instant::now(),
            rates: Mutex::default(),
            waiting: Arc::new(Mutex::new(Places::new(MAX_WAITING))),
            connections: Arc::new(Mutex::new(Places::new(MAX_CONNECTIONS))),
            resolver: Resolver::new(host),
            idle: config.idle,
            counts: Counts::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        for (udp, tcp) in sockets {
            shared.spawn(Arc::clone(&shared).serve_datagrams(Arc::new(udp)));
            shared.spawn(Arc::clone(&shared).serve_connections(tcp));
        }
        Ok(Self(shared))
    }

    /// Answers from this zone from now on.
    pub fn publish(&self, zone: Zone) {
        lock(&self.0.rates).retain(|asker| zone.knows(asker));
        let mut current = self.0.zone.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(zone);
    }

    pub fn counters(&self) -> Counters {
        let counts = &self.0.counts;
        Counters {
            replied: counts.replied.load(Ordering::Relaxed),
            forwarded: counts.forwarded.load(Ordering::Relaxed),
            limited: counts.limited.load(Ordering::Relaxed),
            dropped: counts.dropped.load(Ordering::Relaxed),
        }
    }

    /// Stops, and returns once every socket is closed.
    pub async fn shutdown(self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.0.stop.cancel();
    }
}

impl Shared {
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(work).await;
        });
    }

    fn zone(&self) -> Arc<Zone> {
        let zone = self.zone.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&zone)
    }

    async fn serve_datagrams(self: Arc<Self>, socket: Arc<UdpSocket>) {
        let mut buffer = vec![0; MAX_QUESTION];
        loop {
            let read = match socket.readable().await {
                Ok(()) => self.read_batch(&socket, &mut buffer),
                Err(error) => Err(error),
            };
            match read {
                Ok(()) => tokio::task::yield_now().await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => pause_after(&error).await,
            }
        }
    }

    fn read_batch(self: &Arc<Self>, socket: &Arc<UdpSocket>, buffer: &mut [u8]) -> io::Result<()> {
        let zone = self.zone();
        for _ in 0..BATCH {
            let (len, from) = socket.try_recv_from(buffer)?;
            let ip = from.ip().to_canonical();
            if !self.admits(&zone, ip) {
                continue;
            }
            match self.react(&zone, ip, &buffer[..len], Transport::Udp) {
                Reaction::Drop => {}
                Reaction::Reply(reply) => send(socket, &reply, from),
                Reaction::Ask(request, upstream) => {
                    self.ask_later(Arc::clone(socket), from, *request, upstream);
                }
            }
        }
        Ok(())
    }

    /// Asks others for one that came by UDP.
    fn ask_later(
        self: &Arc<Self>,
        socket: Arc<UdpSocket>,
        from: SocketAddr,
        request: Request,
        upstream: Upstream,
    ) {
        let Some(place) = Place::take(&self.waiting, from.ip().to_canonical()) else {
            self.counts.limited.fetch_add(1, Ordering::Relaxed);
            return send(&socket, &request.overloaded(), from);
        };
        self.counts.forwarded.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(self);
        self.spawn(async move {
            let reply = shared.resolver.resolve(&request, &upstream).await;
            send(&socket, &reply, from);
            drop(place);
        });
    }

    async fn serve_connections(self: Arc<Self>, listener: TcpListener) {
        loop {
            let (stream, from) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            };
            let asker = from.ip().to_canonical();
            // Strangers are one holder.
            let holder = match self.zone().knows(asker) {
                true => asker,
                false => Ipv4Addr::UNSPECIFIED.into(),
            };
            let Some(place) = Place::take(&self.connections, holder) else {
                self.counts.limited.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let shared = Arc::clone(&self);
            self.spawn(async move {
                // An error is the other side's going, or its being slow.
                let _ = shared.serve_stream(stream, asker).await;
                drop(place);
            });
        }
    }

    async fn serve_stream(&self, mut stream: TcpStream, asker: IpAddr) -> io::Result<()> {
        loop {
            let question = timeout(self.idle, read_question(&mut stream)).await??;
            let zone = self.zone();
            if !self.admits(&zone, asker) {
                return Ok(());
            }
            let reply = match self.react(&zone, asker, &question, Transport::Tcp) {
                Reaction::Drop => return Ok(()),
                Reaction::Reply(reply) => reply,
                Reaction::Ask(request, upstream) => self.ask(asker, &request, &upstream).await,
            };
            timeout(self.idle, stream.write_all(&framed(&reply))).await??;
        }
    }

    /// Asks others for one that came by TCP.
    async fn ask(&self, asker: IpAddr, request: &Request, upstream: &Upstream) -> Vec<u8> {
        let Some(_place) = Place::take(&self.waiting, asker) else {
            self.counts.limited.fetch_add(1, Ordering::Relaxed);
            return request.overloaded();
        };
        self.counts.forwarded.fetch_add(1, Ordering::Relaxed);
        self.resolver.resolve(request, upstream).await
    }

    fn admits(&self, zone: &Zone, asker: IpAddr) -> bool {
        let known = zone.knows(asker).then_some(asker);
        let admitted = lock(&self.rates).admit(known, self.start.elapsed());
        if !admitted {
            self.counts.limited.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    fn react(&self, zone: &Zone, asker: IpAddr, message: &[u8], transport: Transport) -> Reaction {
        let reaction = react(zone, asker, message, transport, rand::random());
        match &reaction {
            Reaction::Drop => self.counts.dropped.fetch_add(1, Ordering::Relaxed),
            Reaction::Reply(_) => self.counts.replied.fetch_add(1, Ordering::Relaxed),
            Reaction::Ask(..) => 0,
        };
        reaction
    }
}

async fn read_question(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let len = usize::from(stream.read_u16().await?);
    if len > MAX_QUESTION {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut question = vec![0; len];
    stream.read_exact(&mut question).await?;
    Ok(question)
}

/// A reply that finds no room is lost, as the network may lose it: the asker asks again.
fn send(socket: &UdpSocket, reply: &[u8], to: SocketAddr) {
    if let Err(error) = socket.try_send_to(reply, to) {
        tracing::trace!(%to, %error, "a reply was not sent");
    }
}

/// Out of descriptors, say: it does not get better by trying at once.
async fn pause_after(error: &io::Error) {
    tracing::warn!(%error, "the name server cannot read");
    sleep(Duration::from_millis(100)).await;
}

/// A place among [`Places`], given back when dropped.
#[derive(Debug)]
struct Place {
    places: Arc<Mutex<Places>>,
    holder: IpAddr,
}

impl Place {
    fn take(places: &Arc<Mutex<Places>>, holder: IpAddr) -> Option<Self> {
        lock(places).take(holder).then(|| Self {
            places: Arc::clone(places),
            holder,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.places).give_back(self.holder);
    }
}

/// Bound whether or not the address is there: it comes and goes with the TUN device.
fn udp(addr: SocketAddr) -> io::Result<UdpSocket> {
    let family = SocketAddrAny::from(addr).address_family();
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
    free_bind(&socket, addr)?;
    // Root may have more than the system's limit; anyone else has what it gives.
    if sockopt::set_socket_recv_buffer_size_force(&socket, BACKLOG_BYTES).is_err() {
        sockopt::set_socket_recv_buffer_size(&socket, BACKLOG_BYTES)?;
    }
    rustix::net::bind(&socket, &addr)?;
    UdpSocket::from_std(std::net::UdpSocket::from(socket))
}

fn tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    free_bind(&socket, addr)?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

fn free_bind(socket: &impl AsFd, addr: SocketAddr) -> io::Result<()> {
    match addr {
        SocketAddr::V4(_) => sockopt::set_ip_freebind(socket, true)?,
        SocketAddr::V6(_) => sockopt::set_ipv6_freebind(socket, true)?,
    }
    Ok(())
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
