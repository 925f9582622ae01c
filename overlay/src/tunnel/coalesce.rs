//! Joining what arrived in one burst into super-packets for the TUN device.
//!
//! A *train* is a run of segments of one flow that differ only in what the
//! kernel can restore when it cuts them again. Writing a train costs the kernel as
//! much as writing one packet. The order within a flow is kept; a packet that
//! does not continue the train of its flow begins a new one behind it.

use std::io::IoSlice;

use bytes::{Buf, Bytes};

use super::packet::Packet;
use super::wire::{Checksum, KIND, MAX_PACKET, Segments, Transport, VIRTIO, VirtioHeader};

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
/// UDP_MAX_SEGMENTS of kernels before 6.9; also fewer than IOV_MAX.
const MAX_SEGMENTS: usize = 64;
/// Trains that are looked through for the one that a packet continues.
const OPEN: usize = 16;

/// What is to be written when the burst is over.
#[derive(Debug)]
pub struct Coalescer {
    trains: Vec<Train>,
    /// Whether the device takes super-packets of UDP.
    udp: bool,
}

#[derive(Debug)]
struct Train {
    /// The first packet, whole.
    first: Bytes,
    /// What follows its payload.
    more: Vec<Bytes>,
    transport: Option<Transport>,
    /// Bytes behind the headers, in all.
    len: usize,
    /// Of every segment but the last.
    segment_len: usize,
    /// TCP flags of the last one, and where the next one has to begin.
    flags: u8,
    next_sequence: u32,
    open: bool,
}

impl Coalescer {
    pub fn new(udp: bool) -> Self {
        Self {
            trains: Vec::new(),
            udp,
        }
    }

    /// Adds an admitted packet; `datagram` has its kind byte still before it.
    pub fn push(&mut self, checksum: Checksum, packet: &Packet, mut datagram: Bytes) {
        datagram.advance(KIND.min(datagram.len()));
        let transport = match checksum {
            Checksum::Complete => None,
            Checksum::Left => Transport::of(packet, &datagram),
        };
        let fresh = Train::new(datagram, transport, self.udp);
        let from = self.trains.len().saturating_sub(OPEN);
        let same = self.trains[from..]
            .iter_mut()
            .rev()
            .find(|train| train.is_same_flow(&fresh));
        match same {
            Some(train) if train.takes(&fresh) => train.append(fresh),
            Some(train) => {
                train.open = false;
                self.trains.push(fresh);
            }
            None => self.trains.push(fresh),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.trains.is_empty()
    }

    /// Hands over each train, behind its virtio header, as the pieces of one
    /// write, and forgets it.
    pub fn drain(&mut self, mut write: impl FnMut(&[IoSlice<'_>])) {
        for train in self.trains.drain(..) {
            let headers = train.headers();
            let payload = match train.transport {
                Some(transport) => &train.first[transport.payload..],
                None => &train.first[..],
            };
            if train.more.is_empty() {
                write(&[IoSlice::new(&headers), IoSlice::new(payload)]);
                continue;
            }
            let mut pieces = Vec::with_capacity(2 + train.more.len());
            pieces.push(IoSlice::new(&headers));
            pieces.push(IoSlice::new(payload));
            pieces.extend(train.more.iter().map(|part| IoSlice::new(part)));
            write(&pieces);
        }
    }
}

impl Train {
    fn new(first: Bytes, transport: Option<Transport>, udp: bool) -> Self {
        let mut train = Self {
            len: transport.map_or(0, |transport| first.len() - transport.payload),
            more: Vec::new(),
            transport,
            segment_len: 0,
            flags: 0,
            next_sequence: 0,
            open: false,
            first,
        };
        train.segment_len = train.len;
        let Some(transport) = transport else {
            return train;
        };
        // Headers of another length than these are options and extensions, which
        // need not be the same in every segment.
        let plain = transport.at == if transport.is_ipv4 { 20 } else { 40 };
        if transport.is_tcp {
            let header = &train.first[transport.at..];
            train.flags = header[13];
            train.next_sequence = u32::from_be_bytes([header[4], header[5], header[6], header[7]])
                .wrapping_add(train.len as u32);
            train.open = plain && train.len > 0 && train.flags == ACK;
        } else {
            train.open = plain && train.len > 0 && udp;
        }
        train
    }

    /// Addresses, protocol and ports.
    fn is_same_flow(&self, other: &Self) -> bool {
        let (Some(mine), Some(theirs)) = (self.transport, other.transport) else {
            return false;
        };
        let addresses = match mine.is_ipv4 {
            true => 12..20,
            false => 8..40,
        };
        (mine.is_tcp, mine.is_ipv4) == (theirs.is_tcp, theirs.is_ipv4)
            && self.first[addresses.clone()] == other.first[addresses]
            && self.first[mine.at..mine.at + 4] == other.first[theirs.at..theirs.at + 4]
    }

    /// Whether `next`, of the same flow, is the segment after the last one.
    fn takes(&self, next: &Self) -> bool {
        let (Some(mine), Some(theirs)) = (self.transport, next.transport) else {
            return false;
        };
        self.open
            && self.more.len() + 1 < MAX_SEGMENTS
            && next.len > 0
            && next.len <= self.segment_len
            && mine == theirs
            && mine.payload + self.len + next.len <= MAX_PACKET
            && (!mine.is_tcp || self.continues(next, mine))
            && self.first[1] == next.first[1]
            && match mine.is_ipv4 {
                // Don't-fragment, time to live, protocol.
                true => self.first[6..10] == next.first[6..10],
                // Traffic class, flow label; next header, hop limit.
                false => self.first[..4] == next.first[..4] && self.first[6..8] == next.first[6..8],
            }
    }

    fn continues(&self, next: &Self, transport: Transport) -> bool {
        let header = transport.at..transport.payload;
        let (mine, theirs) = (&self.first[header.clone()], &next.first[header]);
        let sequence = u32::from_be_bytes([theirs[4], theirs[5], theirs[6], theirs[7]]);
        sequence == self.next_sequence
            && next.flags & !(FIN | PSH) == ACK
            // What is acknowledged; length, flags; window; options.
            && mine[8..13] == theirs[8..13]
            && mine[14..16] == theirs[14..16]
            && mine[18..] == theirs[18..]
    }

    fn append(&mut self, mut next: Self) {
        let Some(transport) = self.transport else {
            return;
        };
        self.len += next.len;
        self.next_sequence = next.next_sequence;
        self.flags = next.flags;
        self.open = next.len == self.segment_len && (!transport.is_tcp || next.flags == ACK);
        next.first.advance(transport.payload);
        self.more.push(next.first);
    }

    /// The virtio header, and that of the packet for all its segments.
    fn headers(&self) -> Vec<u8> {
        let Some(transport) = self.transport else {
            return VirtioHeader::default().encode().to_vec();
        };
        let is_train = !self.more.is_empty();
        let virtio = VirtioHeader {
            checksum: Some((transport.at as u16, transport.checksum_offset() as u16)),
            segments: match (is_train, transport.is_tcp, transport.is_ipv4) {
                (false, ..) => Segments::One,
                (true, true, true) => Segments::Tcp4,
                (true, true, false) => Segments::Tcp6,
                (true, false, _) => Segments::Udp,
            },
            header_len: transport.payload as u16,
            segment_len: if is_train { self.segment_len as u16 } else { 0 },
        };
        let mut bytes = Vec::with_capacity(VIRTIO + transport.payload);
        bytes.extend_from_slice(&virtio.encode());
        bytes.extend_from_slice(&self.first[..transport.payload]);
        let headers = &mut bytes[VIRTIO..];
        transport.set_lengths(headers, self.len);
        if transport.is_tcp {
            headers[transport.at + 13] = self.flags;
        }
        transport.leave_checksum(headers, self.len);
        bytes
    }
}
