//! The two ends of the tunnel: a TUN device and a UDP socket, neither of which
//! ever blocks.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use bytes::BytesMut;
use quinn_udp::{EcnCodepoint, RecvMeta, UdpSocketState};
use rustix::net::sockopt;
use tun_rs::{DeviceBuilder, SyncDevice};

/// A burst that arrives while this thread is at something else waits here.
const SOCKET_BUFFER: usize = 8 << 20;
/// Messages per system call; with GRO each is up to 64 KiB of datagrams.
const MESSAGES: usize = 8;
const MESSAGE: usize = 1 << 16;
/// Room for messages. Twice that of one, so that small messages do not cost the
/// filling of a whole one each.
const ROOM: usize = 2 * MESSAGE;
/// The largest UDP payload over IPv4.
const MAX_UDP: usize = 65_507;

pub(super) struct Tun {
    device: SyncDevice,
    pub(super) takes_udp_trains: bool,
}

impl Tun {
    /// Makes the device and brings it up, without any address or route.
    pub(super) fn open(name: &str, mtu: u16) -> io::Result<Self> {
        let device = DeviceBuilder::new()
            .name(name)
            .mtu(mtu)
            .offload(true)
            .build_sync()?;
        device.set_nonblocking(true)?;
        Ok(Self {
            takes_udp_trains: device.udp_gso(),
            device,
        })
    }

    /// One packet or super-packet behind its virtio header; `None`: there is no
    /// more.
    pub(super) fn recv(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.device.recv(buffer) {
            Ok(len) => Ok(Some(len)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn send(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.device.send_vectored(pieces)
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

pub(super) struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
    is_ipv6: bool,
    /// What the kernel had no room for; nothing else is sent before it.
    held: Option<(quinn_proto::Transmit, Vec<u8>)>,
    messages: Vec<BytesMut>,
    metas: [RecvMeta; MESSAGES],
}

impl Socket {
    pub(super) fn open(addr: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(addr)?;
        let state = UdpSocketState::new((&socket).into())?;
        // With CAP_NET_ADMIN the limit of the host does not count.
        if sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER).is_err() {
            let _ = sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER);
        }
        if sockopt::set_socket_send_buffer_size_force(&socket, SOCKET_BUFFER).is_err() {
            let _ = sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER);
        }
        Ok(Self {
            is_ipv6: socket.local_addr()?.is_ipv6(),
            socket,
            state,
            held: None,
            messages: vec![BytesMut::new(); MESSAGES],
            metas: [RecvMeta::default(); MESSAGES],
        })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Whether packets are never fragmented on their way, so that QUIC can look
    /// for the path's MTU.
    pub(super) fn finds_mtu(&self) -> bool {
        !self.state.may_fragment()
    }

    /// The address as this socket sends to it, if it can.
    pub(super) fn reach(&self, addr: SocketAddr) -> Option<SocketAddr> {
        match (addr.ip(), self.is_ipv6) {
            (IpAddr::V4(ip), true) => Some((ip.to_ipv6_mapped(), addr.port()).into()),
            (IpAddr::V6(_), false) => None,
            _ => Some(addr),
        }
    }

    /// How many datagrams of this size the kernel takes at once. More than fit an
    /// IP packet would all be lost, without an error.
    pub(super) fn max_segments(&self, mtu: u16) -> usize {
        self.state
            .max_gso_segments()
            .min(MAX_UDP / usize::from(mtu.max(1)))
            .max(1)
    }

    /// Whether something waits for room.
    pub(super) fn is_full(&self) -> bool {
        self.held.is_some()
    }

    /// Sends, or keeps what is to be sent until there is room. Must not be called
    /// while [`Self::is_full`].
    pub(super) fn send(&mut self, transmit: quinn_proto::Transmit, contents: &[u8]) {
        let contents = contents.get(..transmit.size).unwrap_or(contents);
        if self.try_send(&transmit, contents).is_err() {
            self.held = Some((transmit, contents.to_vec()));
        }
    }

    /// Tries again to send what is held.
    pub(super) fn resume(&mut self) {
        if let Some((transmit, contents)) = self.held.take()
            && self.try_send(&transmit, &contents).is_err()
        {
            self.held = Some((transmit, contents));
        }
    }

    /// Only fails if there is no room; all other errors are as if the network had
    /// lost the packet.
    fn try_send(&self, transmit: &quinn_proto::Transmit, contents: &[u8]) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination: transmit.destination,
            ecn: transmit
                .ecn
                .and_then(|ecn| EcnCodepoint::from_bits(ecn as u8)),
            contents,
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        };
        self.state.send((&self.socket).into(), &transmit)
    }

    /// What has arrived, up to one batch: datagrams of one sender per message.
    pub(super) fn recv(&mut self) -> io::Result<Vec<(RecvMeta, BytesMut)>> {
        for message in &mut self.messages {
            if message.len() < MESSAGE {
                // Takes back the room of a message that nobody refers to any more.
                message.clear();
                message.reserve(ROOM);
                message.resize(ROOM, 0);
            }
        }
        let mut slices = self
            .messages
            .iter_mut()
            .map(|message| IoSliceMut::new(message));
        let mut slices: [IoSliceMut<'_>; MESSAGES] =
            std::array::from_fn(|_| slices.next().unwrap_or(IoSliceMut::new(&mut [])));
        let received = self
            .state
            .recv((&self.socket).into(), &mut slices, &mut self.metas);
        let count = match received {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        let messages = self.messages.iter_mut().zip(&self.metas).take(count);
        Ok(messages
            .map(|(message, meta)| (*meta, message.split_to(meta.len.min(message.len()))))
            .collect())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
