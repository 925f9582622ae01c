//! How a packet looks in a datagram, and how it looks at the TUN device.
//!
//! A datagram is one byte, which says the version and the state of the packet's
//! checksum, and the packet. The TUN device with offload puts a `virtio_net_hdr`
//! (linux/virtio_net.h) before a packet that may be a *super-packet*: one set of
//! headers and the payload of many segments.

use super::packet::{Malformed, Packet, TCP, UDP, be16, byte};

/// Bytes before the packet in a datagram.
pub const KIND: usize = 1;
/// Bytes before the packet at the TUN device.
pub const VIRTIO: usize = 10;
/// Most bytes of a packet or super-packet.
pub const MAX_PACKET: usize = 65_535;

/// The state of the checksum of the packet in a datagram. The datagram itself is
/// authenticated, so nobody between the two kernels has to compute one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// It is as its sender made it.
    Complete,
    /// That of TCP or UDP was left to the last kernel.
    Left,
}

const COMPLETE: u8 = 0x10;
const LEFT: u8 = 0x11;

impl Checksum {
    pub fn to_kind(self) -> u8 {
        match self {
            Self::Complete => COMPLETE,
            Self::Left => LEFT,
        }
    }

    /// # Errors
    /// It is of a version that this release does not know.
    pub fn of_kind(kind: u8) -> Result<Self, Malformed> {
        match kind {
            COMPLETE => Ok(Self::Complete),
            LEFT => Ok(Self::Left),
            _ => Err(Malformed),
        }
    }
}

/// What the payload of a super-packet is to be cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Segments {
    #[default]
    One,
    Tcp4,
    Tcp6,
    Udp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VirtioHeader {
    /// Where the checksum is to be computed from, and where it goes behind that.
    pub checksum: Option<(u16, u16)>,
    pub segments: Segments,
    /// Of IP and TCP or UDP together.
    pub header_len: u16,
    /// Bytes of payload per segment.
    pub segment_len: u16,
}

impl VirtioHeader {
    const NEEDS_CHECKSUM: u8 = 1;
    const ECN: u8 = 0x80;

    /// # Errors
    /// The kernel used an offload that it was not asked for.
    pub fn decode(bytes: &[u8; VIRTIO]) -> Result<Self, Malformed> {
        let number = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        Ok(Self {
            checksum: (bytes[0] & Self::NEEDS_CHECKSUM != 0).then(|| (number(6), number(8))),
            segments: match bytes[1] & !Self::ECN {
                0 => Segments::One,
                1 => Segments::Tcp4,
                4 => Segments::Tcp6,
                5 => Segments::Udp,
                _ => return Err(Malformed),
            },
            header_len: number(2),
            segment_len: number(4),
        })
    }

    pub fn encode(&self) -> [u8; VIRTIO] {
        let mut bytes = [0; VIRTIO];
        let (start, offset) = self.checksum.unwrap_or_default();
        bytes[0] = u8::from(self.checksum.is_some());
        bytes[1] = match self.segments {
            Segments::One => 0,
            Segments::Tcp4 => 1,
            Segments::Tcp6 => 4,
            Segments::Udp => 5,
        };
        bytes[2..4].copy_from_slice(&self.header_len.to_ne_bytes());
        bytes[4..6].copy_from_slice(&self.segment_len.to_ne_bytes());
        bytes[6..8].copy_from_slice(&start.to_ne_bytes());
        bytes[8..10].copy_from_slice(&offset.to_ne_bytes());
        bytes
    }
}

/// The TCP or UDP header of a whole packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transport {
    pub is_tcp: bool,
    pub is_ipv4: bool,
    /// Where it begins.
    pub at: usize,
    /// Where what it carries begins.
    pub payload: usize,
}

impl Transport {
    /// `None` for what is neither, or a fragment, or not as long as it says.
    pub fn of(packet: &Packet, bytes: &[u8]) -> Option<Self> {
        let at = packet.payload;
        let len = match (packet.protocol, packet.fragment) {
            (TCP, None) => usize::from(byte(bytes, at + 12).ok()? >> 4) * 4,
            (UDP, None) => 8,
            _ => return None,
        };
        let is_tcp = packet.protocol == TCP;
        let fits = at + len <= bytes.len() && (!is_tcp || len >= 20);
        fits.then_some(Self {
            is_tcp,
            is_ipv4: packet.src.is_ipv4(),
            at,
            payload: at + len,
        })
    }

    /// Where the checksum is, behind the beginning of the header.
    pub fn checksum_offset(&self) -> usize {
        match self.is_tcp {
            true => 16,
            false => 6,
        }
    }

    /// Writes the lengths of a packet with `payload` bytes behind its headers,
    /// and the checksum of an IPv4 header.
    pub fn set_lengths(&self, headers: &mut [u8], payload: usize) {
        let total = self.payload + payload;
        match self.is_ipv4 {
            true => {
                put16(headers, 2, total);
                put16(headers, 10, 0);
                let header = usize::from(headers[0] & 0xf) * 4;
                let sum = checksum(0, headers.get(..header).unwrap_or_default());
                put16(headers, 10, usize::from(!sum));
            }
            false => put16(headers, 4, total - 40),
        }
        if !self.is_tcp {
            put16(headers, self.at + 4, total - self.at);
        }
    }

    /// Writes what the kernel expects where it is to compute the checksum: the
    /// sum of the pseudo header.
    pub fn leave_checksum(&self, headers: &mut [u8], payload: usize) {
        let addresses = match self.is_ipv4 {
            true => 12..20,
            false => 8..40,
        };
        let len = self.payload + payload - self.at;
        let protocol = if self.is_tcp { TCP } else { UDP };
        let fixed = len as u64 + u64::from(protocol);
        let sum = checksum(fixed, headers.get(addresses).unwrap_or_default());
        put16(headers, self.at + self.checksum_offset(), usize::from(sum));
    }
}

/// The low 16 bits of `value`, if there is room for them.
pub fn put16(bytes: &mut [u8], at: usize, value: usize) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&(value as u16).to_be_bytes());
    }
}

/// The Internet checksum (RFC 1071), not complemented. `first` is summed too.
pub fn checksum(first: u64, bytes: &[u8]) -> u16 {
    let mut words = bytes.chunks_exact(2);
    let mut sum = first;
    for word in &mut words {
        sum += u64::from(u16::from_be_bytes([word[0], word[1]]));
    }
    if let [last] = words.remainder() {
        sum += u64::from(*last) << 8;
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Computes the checksum that a kernel left open.
///
/// # Errors
/// There is no room for it where it should go.
pub fn complete(bytes: &mut [u8], start: usize, offset: usize) -> Result<(), Malformed> {
    let covered = bytes.get_mut(start..).ok_or(Malformed)?;
    // The sum of the pseudo header is already in place.
    be16(covered, offset)?;
    let sum = !checksum(0, covered);
    // UDP writes a checksum of zero as all ones.
    put16(
        covered,
        offset,
        usize::from(if sum == 0 { 0xffff } else { sum }),
    );
    Ok(())
}
