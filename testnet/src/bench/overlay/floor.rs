//! What a tunnel like ours costs at least: the system calls with all their
//! offloads, and for each packet the cipher and the header protection of QUIC.
//!
//! It has no handshake, acknowledgements, routes or checks of who sent what, and
//! fixed keys. It cuts and joins segments in the buffers that the kernel filled,
//! without the copies and counted references of ours, which QUIC's interface asks
//! for. The distance to it is what QUIC and the rest of our tunnel cost.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};

use anyhow::{Context, Result};
use aws_lc_rs::aead::quic::{self, HeaderProtectionKey};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use overlay::tunnel::packet::Packet;
use overlay::tunnel::wire::{MAX_PACKET, Segments, Transport, VIRTIO, VirtioHeader};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;
use swarmlet_testnet::Host;
use tun_rs::{DeviceBuilder, SyncDevice};

use super::ways::{Kind, Way};

const PORT: u16 = 4243;
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 203, 0, 1), Ipv4Addr::new(10, 203, 0, 2)];
const DEVICE: &str = "floor0";

/// With a packet number of four bytes.
const SHORT_HEADER: u8 = 0x43;
/// Behind the flags and the id of the connection.
const NUMBER_AT: usize = 1 + 8;
/// Behind the packet number: here the encrypted part begins.
const FRAME_AT: usize = NUMBER_AT + 4;
/// Behind the frame's type and the kind of a datagram of ours.
const PACKET_AT: usize = FRAME_AT + 1 + 1;
const TAG: usize = 16;

const SOCKET_BUFFER: usize = 8 << 20;
const MESSAGES: usize = 8;
const MESSAGE: usize = 1 << 16;
/// The largest UDP payload over IPv4.
const MAX_UDP: usize = 65_507;
/// Packets of the device in one turn, as far as there are some.
const TURN: usize = 8;
/// How soon a thread notices that its way is gone.
const LOOK: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// Runs both ends, each on a thread of its own, until the way is dropped.
pub fn lay(h1: &Host, h2: &Host, mtu: u16) -> Result<Way> {
    let alive = Arc::new(());
    let hosts = [h1, h2];
    for (host, address) in hosts.iter().zip(ADDRESSES) {
        let peer = hosts.iter().find(|other| other.name() != host.name());
        let peer = SocketAddr::new(peer.context("two hosts")?.ip().into(), PORT);
        let end = host.netns()?.enter(|| End::open(address, peer, mtu))?;
        let alive = Arc::downgrade(&alive);
        std::thread::Builder::new()
            .name("floor".into())
            .spawn(move || end.run(&alive))?;
    }
    Ok(Way {
        name: Kind::Floor.name(),
        client: h1.netns()?,
        server: h2.netns()?,
        address: IpAddr::V4(ADDRESSES[1]),
        _alive: Some(alive),
    })
}

struct End {
    device: SyncDevice,
    socket: UdpSocket,
    state: UdpSocketState,
    peer: SocketAddr,
    cipher: Cipher,
    /// Of the next packet.
    number: u64,
    out: Vec<u8>,
}

impl End {
    fn open(address: Ipv4Addr, peer: SocketAddr, mtu: u16) -> io::Result<Self> {
        let device = DeviceBuilder::new()
            .name(DEVICE)
            .mtu(mtu - super::HEADERS)
            .ipv4(address, 24, None)
            .offload(true)
            .build_sync()?;
        device.set_nonblocking(true)?;
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
        let state = UdpSocketState::new((&socket).into())?;
        sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER)?;
        sockopt::set_socket_send_buffer_size_force(&socket, SOCKET_BUFFER)?;
        Ok(Self {
            device,
            socket,
            state,
            peer,
            cipher: Cipher::new().map_err(io::Error::other)?,
            number: 0,
            out: Vec::new(),
        })
    }

    /// Until the way is gone, or the device.
    fn run(mut self, alive: &Weak<()>) {
        let mut packet = vec![0; VIRTIO + MAX_PACKET];
        let mut messages = vec![vec![0; MESSAGE]; MESSAGES];
        while alive.strong_count() > 0 {
            let mut fds = [
                PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.device.as_fd(), PollFlags::IN),
            ];
            if poll(&mut fds, Some(&LOOK)).is_err() {
                continue;
            }
            let [socket, device] = fds.map(|fd| fd.revents());
            if socket.contains(PollFlags::IN) {
                self.receive(&mut messages);
            }
            if device.contains(PollFlags::ERR) {
                return;
            }
            if device.contains(PollFlags::IN) {
                for _ in 0..TURN {
                    let Ok(len) = self.device.recv(&mut packet) else {
                        break;
                    };
                    // What is no TCP or UDP over IPv4 is not measured.
                    let _ = self.send(&packet[..len]);
                }
            }
        }
    }

    /// One packet or super-packet, in as few calls as the kernel allows.
    fn send(&mut self, read: &[u8]) -> Option<()> {
        let (virtio, bytes) = read.split_first_chunk::<VIRTIO>()?;
        let virtio = VirtioHeader::decode(virtio).ok()?;
        let packet = Packet::parse(bytes).ok()?;
        let transport = Transport::of(&packet, bytes)?;
        let (headers, payload) = bytes.split_at(transport.payload);
        let segment = match virtio.segments {
            Segments::One => payload.len(),
            _ => usize::from(virtio.segment_len),
        };
        self.out.clear();
        let parts = payload.chunks(segment.max(1));
        // A packet without payload is one, too.
        let empty = payload.is_empty().then_some(payload);
        for (index, part) in parts.chain(empty).enumerate() {
            let from = self.out.len();
            self.out.push(SHORT_HEADER);
            self.out.resize(from + PACKET_AT, 0);
            self.out.extend_from_slice(headers);
            let copy = &mut self.out[from + PACKET_AT..];
            transport.set_lengths(copy, part.len());
            if transport.is_tcp {
                let sequence = sequence(&transport, copy).wrapping_add((index * segment) as u32);
                copy[transport.at + 4..transport.at + 8].copy_from_slice(&sequence.to_be_bytes());
            }
            self.out.extend_from_slice(part);
            let end = self.out.len();
            self.out.resize(end + TAG, 0);
            self.cipher.seal(self.number, &mut self.out[from..]).ok()?;
            self.number += 1;
        }
        let stride = PACKET_AT + headers.len() + segment.min(payload.len()) + TAG;
        let most = (MAX_UDP / stride).min(self.state.max_gso_segments()).max(1);
        for contents in self.out.chunks(most * stride) {
            let transmit = Transmit {
                destination: self.peer,
                ecn: None,
                contents,
                segment_size: (contents.len() > stride).then_some(stride),
                src_ip: None,
            };
            // TCP sends again what is lost.
            let _ = self.state.send((&self.socket).into(), &transmit);
        }
        Some(())
    }

    fn receive(&self, messages: &mut [Vec<u8>]) {
        let mut metas = [RecvMeta::default(); MESSAGES];
        let mut slices: Vec<IoSliceMut<'_>> = messages
            .iter_mut()
            .map(|message| IoSliceMut::new(message))
            .collect();
        let received = self
            .state
            .recv((&self.socket).into(), &mut slices, &mut metas);
        for (message, meta) in messages.iter_mut().zip(&metas).take(received.unwrap_or(0)) {
            let message = &mut message[..meta.len];
            let mut packets = Vec::with_capacity(MAX_UDP / meta.stride.max(1) + 1);
            let mut at = 0;
            for datagram in message.chunks_mut(meta.stride.max(1)) {
                if let Ok(packet) = self.cipher.open(datagram) {
                    packets.push(at + packet.start..at + packet.end);
                }
                at += datagram.len();
            }
            let mut rest = &packets[..];
            while !rest.is_empty() {
                rest = &rest[self.deliver(message, rest).unwrap_or(1)..];
            }
        }
    }

    /// Writes the first of these packets and all that continue it; how many.
    fn deliver(&self, message: &[u8], packets: &[Range<usize>]) -> Option<usize> {
        let first = &message[packets.first()?.clone()];
        let transport = Transport::of(&Packet::parse(first).ok()?, first)?;
        let ports = transport.at..transport.at + 4;
        let segment = first.len() - transport.payload;
        let (mut total, mut count) = (segment, 1);
        for next in &packets[1..] {
            let next = &message[next.clone()];
            let same = next.get(9) == first.get(9)
                && next.get(12..20) == first.get(12..20)
                && next.get(ports.clone()) == first.get(ports.clone());
            let payload = next.len().saturating_sub(transport.payload);
            let begins = sequence(&transport, first).wrapping_add(total as u32);
            if !transport.is_tcp
                || !same
                || !(1..=segment).contains(&payload)
                || sequence(&transport, next) != begins
                || transport.payload + total + payload > MAX_PACKET
            {
                break;
            }
            (total, count) = (total + payload, count + 1);
            if payload < segment {
                break;
            }
        }
        let is_train = count > 1;
        let virtio = VirtioHeader {
            checksum: Some((transport.at as u16, transport.checksum_offset() as u16)),
            segments: if is_train {
                Segments::Tcp4
            } else {
                Segments::One
            },
            header_len: transport.payload as u16,
            segment_len: if is_train { segment as u16 } else { 0 },
        };
        let mut headers = virtio.encode().to_vec();
        headers.extend_from_slice(&first[..transport.payload]);
        transport.set_lengths(&mut headers[VIRTIO..], total);
        transport.leave_checksum(&mut headers[VIRTIO..], total);
        let payloads = packets[..count].iter().map(|packet| {
            let packet = &message[packet.clone()];
            IoSlice::new(&packet[transport.payload..])
        });
        let pieces: Vec<_> = [IoSlice::new(&headers)]
            .into_iter()
            .chain(payloads)
            .collect();
        let _ = self.device.send_vectored(&pieces);
        Some(count)
    }
}

fn sequence(transport: &Transport, packet: &[u8]) -> u32 {
    let field = packet.get(transport.at + 4..).and_then(<[u8]>::first_chunk);
    u32::from_be_bytes(field.copied().unwrap_or_default())
}

/// As QUIC does it for each packet (RFC 9001, 5).
struct Cipher {
    key: LessSafeKey,
    mask: HeaderProtectionKey,
}

impl Cipher {
    fn new() -> Result<Self, Unspecified> {
        Ok(Self {
            key: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[1; 16])?),
            mask: HeaderProtectionKey::new(&quic::AES_128, &[2; 16])?,
        })
    }

    fn nonce(number: u64) -> Nonce {
        let mut nonce = [3; 12];
        nonce[4..].copy_from_slice(&number.to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    }

    /// `datagram`: with room for the packet number and, at its end, the tag.
    fn seal(&self, number: u64, datagram: &mut [u8]) -> Result<(), Unspecified> {
        let (header, rest) = datagram.split_at_mut(FRAME_AT);
        let (body, tag) = rest.split_at_mut(rest.len() - TAG);
        header[NUMBER_AT..].copy_from_slice(&(number as u32).to_be_bytes());
        let sealed =
            self.key
                .seal_in_place_separate_tag(Self::nonce(number), Aad::from(&*header), body)?;
        tag.copy_from_slice(sealed.as_ref());
        self.protect(header, rest)
    }

    /// Where the packet is in the datagram, which is decrypted in its place.
    fn open(&self, datagram: &mut [u8]) -> Result<Range<usize>, Unspecified> {
        let len = datagram.len();
        let (header, body) = datagram.split_at_mut_checked(FRAME_AT).ok_or(Unspecified)?;
        self.protect(header, body)?;
        let number = header[NUMBER_AT..].first_chunk().ok_or(Unspecified)?;
        let number = u64::from(u32::from_be_bytes(*number));
        self.key
            .open_in_place(Self::nonce(number), Aad::from(&*header), body)?;
        Ok(PACKET_AT..len - TAG)
    }

    /// Hides the flags and the packet number, and shows them again.
    fn protect(&self, header: &mut [u8], body: &[u8]) -> Result<(), Unspecified> {
        let mask = self.mask.new_mask(body.get(..TAG).ok_or(Unspecified)?)?;
        header[0] ^= mask[0] & 0x1f;
        for (byte, mask) in header[NUMBER_AT..].iter_mut().zip(&mask[1..]) {
            *byte ^= mask;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_opened_unless_it_was_changed() {
        let cipher = Cipher::new().unwrap();
        let mut datagram = vec![7; PACKET_AT + 100 + TAG];
        cipher.seal(70_000, &mut datagram).unwrap();
        assert_ne!(datagram[PACKET_AT..][..100], [7; 100]);
        let mut changed = datagram.clone();
        changed[PACKET_AT] ^= 1;
        assert!(cipher.open(&mut changed).is_err());
        let packet = cipher.open(&mut datagram).unwrap();
        assert_eq!(datagram[packet], [7; 100]);
    }
}
