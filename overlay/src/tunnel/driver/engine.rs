//! The loop: what is ready is read in one batch, judged, and passed on in one
//! batch.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::sync::oneshot;

use super::io::{Socket, Tun};
use super::peers::{Peers, Sent};
use super::{Command, Config, Inbox};
use crate::tunnel::busy_poll::BusyPoll;
use crate::tunnel::coalesce::Coalescer;
use crate::tunnel::packet::{Malformed, Packet};
use crate::tunnel::report::{Drops, Report};
use crate::tunnel::routing::{Memory, Refusal, Routing};
use crate::tunnel::segment::segment;
use crate::tunnel::too_big;
use crate::tunnel::wire::{Checksum, KIND, MAX_PACKET, VIRTIO, VirtioHeader};

/// Bytes that are read from the TUN device before they are sent.
const TUN_BATCH: usize = 256 << 10;
/// Room for such a batch, cut into datagrams.
const SEGMENTS: usize = TUN_BATCH + TUN_BATCH / 8 + MAX_PACKET;
/// And packets.
const TUN_PACKETS: usize = 128;
/// That wait for one round of probes; more are told what is known without it.
const MAX_ASKERS: usize = 64;

pub(super) struct Engine {
    tun: Tun,
    socket: Socket,
    peers: Peers,
    /// What is true of packets; apart from the rest so that both can be borrowed.
    gate: Gate,
    began: Instant,
    busy_poll: BusyPoll,
    from_tun: Vec<u8>,
    segments: BytesMut,
    /// Who waits for the round of probes that is under way.
    askers: Vec<oneshot::Sender<Report>>,
}

/// Judges what comes from peers, and collects what is admitted.
struct Gate {
    routing: Arc<Routing>,
    memory: Memory,
    admitted: Coalescer,
    drops: Drops,
}

impl Engine {
    pub(super) fn open(config: Config) -> std::io::Result<Self> {
        let socket = Socket::open(config.listen)?;
        let peers = Peers::new(config.credentials, config.mtu, socket.finds_mtu())?;
        let tun = Tun::open(&config.device, config.mtu)?;
        Ok(Self {
            gate: Gate {
                routing: Arc::default(),
                memory: Memory::default(),
                admitted: Coalescer::new(tun.takes_udp_trains),
                drops: Drops::default(),
            },
            tun,
            socket,
            peers,
            began: Instant::now(),
            busy_poll: BusyPoll::default(),
            from_tun: vec![0; VIRTIO + MAX_PACKET],
            segments: BytesMut::new(),
            askers: Vec::new(),
        })
    }

    pub(super) fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Until it is told to close.
    ///
    /// # Errors
    /// The TUN device is gone.
    pub(super) fn run(&mut self, inbox: &Inbox) -> std::io::Result<()> {
        loop {
            let ready = self.wait(inbox)?;
            let now = Instant::now();
            if ready.inbox {
                inbox.clear();
                while let Some(command) = inbox.next() {
                    if self.obey(command, now).is_break() {
                        self.peers.close(&mut self.socket, now);
                        return Ok(());
                    }
                }
            }
            if ready.room {
                self.socket.resume();
            }
            let mut carried = 0;
            if ready.socket {
                carried += self.receive(now)?;
            }
            if ready.tun {
                carried += self.send(now)?;
            }
            self.busy_poll.carried(self.since(now), carried);
            if self.peers.turn_probes(now) {
                let report = self.report(now);
                for answer in self.askers.drain(..) {
                    let _ = answer.send(report.clone());
                }
                self.peers.end_probes();
            }
            self.peers.turn(&mut self.socket, now);
        }
    }

    fn report(&mut self, now: Instant) -> Report {
        Report {
            peers: self.peers.report(now),
            drops: self.gate.drops,
        }
    }

    fn obey(&mut self, command: Command, now: Instant) -> std::ops::ControlFlow<()> {
        match command {
            Command::Update(routing) => {
                self.peers.update(&routing, &self.socket, now);
                self.gate.routing = routing;
            }
            Command::Report(answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.report(now));
            }
            Command::Probe(answer) if self.askers.len() >= MAX_ASKERS => {
                let _ = answer.send(self.report(now));
            }
            Command::Probe(answer) => {
                self.askers.push(answer);
                self.peers.probe(now);
            }
            Command::Close => return std::ops::ControlFlow::Break(()),
        }
        std::ops::ControlFlow::Continue(())
    }

    fn wait(&mut self, inbox: &Inbox) -> std::io::Result<Ready> {
        let full = self.socket.is_full();
        let (socket, tun) = match full {
            true => (PollFlags::IN | PollFlags::OUT, PollFlags::empty()),
            false => (PollFlags::IN, PollFlags::IN),
        };
        let mut fds = [
            PollFd::from_borrowed_fd(self.socket.as_fd(), socket),
            PollFd::from_borrowed_fd(self.tun.as_fd(), tun),
            PollFd::new(&inbox.wake, PollFlags::IN),
        ];
        let began = Instant::now();
        let left = match self.peers.next_timer() {
            Some(at) => at.saturating_duration_since(began),
            None => Duration::MAX,
        };
        let window = self.busy_poll.window().min(left);
        let (mut elapsed, mut displaced) = (Duration::ZERO, Duration::ZERO);
        loop {
            let awake = elapsed < window;
            let timeout = match awake {
                true => Duration::ZERO,
                false => left.saturating_sub(elapsed),
            };
            // Without an end, if the time is too long for the kernel.
            match poll(&mut fds, Timespec::try_from(timeout).ok().as_ref()) {
                Ok(0) if awake => {}
                Ok(_) | Err(Errno::INTR) => break,
                Err(error) => return Err(error.into()),
            }
            let yielded = Instant::now();
            rustix::thread::sched_yield();
            elapsed = began.elapsed();
            displaced = displaced.max(yielded.elapsed());
        }
        let now = Instant::now();
        self.busy_poll
            .waited(self.since(now), now - began, displaced);
        let [socket, tun, wake] = fds.map(|fd| fd.revents());
        Ok(Ready {
            socket: socket.intersects(PollFlags::IN | PollFlags::ERR),
            room: socket.contains(PollFlags::OUT),
            // A device that is gone is in error: reading says so.
            tun: !tun.is_empty(),
            inbox: !wake.is_empty(),
        })
    }

    /// How long after the beginning.
    fn since(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// From the peers to the TUN device. Returns how many bytes.
    fn receive(&mut self, now: Instant) -> std::io::Result<usize> {
        let since = self.since(now);
        let mut bytes = 0;
        let gate = &mut self.gate;
        for (meta, message) in self.socket.recv()? {
            bytes += message.len();
            self.peers
                .handle(meta, message, &mut self.socket, now, |peer, datagram| {
                    gate.admit(peer, datagram, since);
                });
        }
        let drops = &mut self.gate.drops;
        self.gate.admitted.drain(|pieces| {
            if self.tun.send(pieces).is_err() {
                drops.refused_by_kernel += 1;
            }
        });
        Ok(bytes)
    }

    /// From the TUN device to the peers. Returns how many bytes.
    fn send(&mut self, now: Instant) -> std::io::Result<usize> {
        // All datagrams of the last batch are sent, and so this is the same memory.
        self.segments.reserve(SEGMENTS);
        let mut bytes = 0;
        for _ in 0..TUN_PACKETS {
            let Some(len) = self.tun.recv(&mut self.from_tun)? else {
                break;
            };
            if self.forward(len, now).is_err() {
                self.gate.drops.malformed_sent += 1;
            }
            bytes += len;
            if bytes >= TUN_BATCH {
                break;
            }
        }
        Ok(bytes)
    }

    /// One packet of `len` bytes that was read from the TUN device.
    fn forward(&mut self, len: usize, now: Instant) -> Result<(), Malformed> {
        let since = self.since(now);
        let read = self.from_tun.get_mut(..len).ok_or(Malformed)?;
        let (virtio, bytes) = read.split_first_chunk_mut::<VIRTIO>().ok_or(Malformed)?;
        let virtio = VirtioHeader::decode(virtio)?;
        let packet = Packet::parse(bytes)?;
        let gate = &mut self.gate;
        let node = match gate.memory.choose(&gate.routing, &packet, bytes, since) {
            Ok(node) => node,
            Err(Refusal::Unknown) => {
                gate.drops.unknown_sent += 1;
                return Ok(());
            }
            Err(Refusal::Foreign) => {
                gate.drops.foreign_sent += 1;
                return Ok(());
            }
        };
        let mut way = self.peers.way(node, now);
        let mut too_big = None;
        segment(
            &virtio,
            &packet,
            bytes,
            &mut self.segments,
            |datagram| match way.send(datagram) {
                Sent::Yes => {}
                Sent::Unreachable => gate.drops.unreachable += 1,
                Sent::Congested => gate.drops.congested += 1,
                Sent::TooBig { max } => {
                    gate.drops.too_big += 1;
                    too_big = Some(max);
                }
            },
        )?;
        if let Some(max) = too_big
            && let Some(answer) = too_big::answer(&packet, bytes, max)
        {
            let header = VirtioHeader::default().encode();
            let pieces = [header.as_slice(), &answer].map(std::io::IoSlice::new);
            if self.tun.send(&pieces).is_err() {
                gate.drops.refused_by_kernel += 1;
            }
        }
        Ok(())
    }
}

impl Gate {
    fn admit(&mut self, peer: certs::NodeId, datagram: Bytes, since: std::time::Duration) {
        let Some((checksum, packet)) = parse(&datagram) else {
            self.drops.malformed_received += 1;
            return;
        };
        let bytes = &datagram[KIND..];
        let verdict = self
            .memory
            .admit(&self.routing, peer, &packet, bytes, since);
        match verdict {
            Ok(()) => self.admitted.push(checksum, &packet, datagram),
            Err(Refusal::Unknown) => self.drops.unknown_received += 1,
            Err(Refusal::Foreign) => self.drops.foreign_received += 1,
        }
    }
}

fn parse(datagram: &[u8]) -> Option<(Checksum, Packet)> {
    let (kind, bytes) = datagram.split_first()?;
    Some((Checksum::of_kind(*kind).ok()?, Packet::parse(bytes).ok()?))
}

/// What can be done without waiting.
struct Ready {
    socket: bool,
    room: bool,
    tun: bool,
    inbox: bool,
}
