//! The tunnel on its own thread: one loop over the TUN device, the UDP socket and
//! QUIC's timers.
//!
//! `quinn-proto` is driven directly. It has no tasks, wakers or locks between a
//! datagram and the TUN device, and a batch from one side reaches the other in one
//! turn of the loop.

mod engine;
mod io;
mod link;
mod peers;
mod probes;
mod transport;

use std::io as stdio;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use certs::Credentials;
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::report::Report;
use super::routing::Routing;
use engine::Engine;

#[derive(Debug, Clone)]
pub struct Config {
    /// Of the TUN device. It is made in the network namespace of the caller, and
    /// vanishes with the tunnel.
    pub device: String,
    /// Of the TUN device and so of the containers: 1400 fits links with 1500. Every
    /// node's links must carry 60 bytes more in one piece, 80 over IPv6, for the
    /// best throughput; a path with less is found out and told to the senders.
    pub mtu: u16,
    /// UDP, the swarm's data port.
    pub listen: SocketAddr,
    pub credentials: Credentials,
}

/// A running tunnel. Dropping it closes it.
#[derive(Debug)]
pub struct Tunnel {
    commands: Sender<Command>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
    ended: CancellationToken,
    local: SocketAddr,
}

#[derive(Debug)]
enum Command {
    Update(Arc<Routing>),
    Report(oneshot::Sender<Report>),
    Probe(oneshot::Sender<Report>),
    Close,
}

impl Tunnel {
    /// Makes the device, takes the port and starts. Nothing passes before the
    /// first [`Self::update`].
    ///
    /// # Errors
    /// The device cannot be made (no `CAP_NET_ADMIN`, the name is taken) or the
    /// port is taken. Nothing is left behind.
    pub fn open(config: Config) -> stdio::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (commands, receiver) = channel();
        let inbox = Inbox {
            commands: receiver,
            wake: Arc::clone(&wake),
        };
        let mut engine = Engine::open(config)?;
        let local = engine.local_addr()?;
        let ended = CancellationToken::new();
        let end = ended.clone().drop_guard();
        let thread = std::thread::Builder::new()
            .name("overlay-tunnel".into())
            .spawn(move || {
                // Also where the thread panics.
                let _end = end;
                favour_this_thread();
                if let Err(error) = engine.run(&inbox) {
                    tracing::error!(%error, "the overlay's tunnel has ended");
                }
            })?;
        Ok(Self {
            commands,
            wake,
            thread: Some(thread),
            ended,
            local,
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Routes by this from now on.
    pub fn update(&self, routing: Arc<Routing>) {
        self.tell(Command::Update(routing));
    }

    /// How each peer is reached, and what was dropped. `None`: it has ended.
    pub async fn report(&self) -> Option<Report> {
        let (answer, report) = oneshot::channel();
        self.tell(Command::Report(answer));
        report.await.ok()
    }

    /// The same, after the peers were probed, which takes up to 1.5 s.
    pub async fn probe(&self) -> Option<Report> {
        let (answer, report) = oneshot::channel();
        self.tell(Command::Probe(answer));
        report.await.ok()
    }

    /// Is cancelled when the tunnel has ended by itself, because its device was
    /// deleted: what is left to do is to open another.
    pub fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Tells the peers, and returns when device and port are gone, which takes
    /// milliseconds.
    pub fn close(self) {
        drop(self);
    }

    fn tell(&self, command: Command) {
        // One that has ended hears nothing any more.
        let _ = self.commands.send(command);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.tell(Command::Close);
        if let Some(thread) = self.thread.take() {
            // If it panicked it has been logged.
            let _ = thread.join();
        }
    }
}

/// All containers wait for this thread, as they would for the kernel's network
/// stack: it is not to queue for the processor behind what they compute.
fn favour_this_thread() {
    const NICE: i32 = -10;
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICE) {
        tracing::debug!(%error, "the tunnel runs with the priority of all others");
    }
}

/// What the thread is told.
struct Inbox {
    commands: Receiver<Command>,
    wake: Arc<OwnedFd>,
}

impl Inbox {
    /// The next command, if there is one.
    fn next(&self) -> Option<Command> {
        self.commands.try_recv().ok()
    }

    fn clear(&self) {
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
    }
}
