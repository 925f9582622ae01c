//! What an IP packet says of itself, as far as the tunnel must know it: who
//! sends to whom, and which flow it belongs to.
//!
//! Everything here reads bytes that a container or a peer has chosen. A packet
//! is either understood exactly, with lengths that agree, or it is malformed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// More headers than this before the payload have no honest use.
const MAX_EXTENSIONS: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The headers of one packet, checked against its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    pub src: IpAddr,
    pub dst: IpAddr,
    /// Of the payload: an IP protocol number.
    pub protocol: u8,
    /// Where the payload begins, in bytes; at most the packet's length.
    pub payload: usize,
    pub fragment: Option<Fragment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    pub id: u32,
    /// It begins with the payload's own header.
    pub first: bool,
}

/// Of a flow between a client outside the overlay and a container, the same
/// in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowKey {
    pub protocol: u8,
    pub client: IpAddr,
    pub container: IpAddr,
    pub tag: Tag,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tag {
    /// Of the client and of the container; for ICMP twice its identifier.
    Ports(u16, u16),
    /// Later fragments have no ports; the first one was seen with this id.
    Fragment(u32),
    /// Of protocols without ports.
    None,
}

/// Who of a flow sent a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    Client,
    Container,
}

impl Packet {
    /// # Errors
    /// The bytes are not exactly one IPv4 or IPv6 packet.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        match bytes.first().ok_or(Malformed)? >> 4 {
            4 => ipv4(bytes, bytes.len()),
            6 => ipv6(bytes, bytes.len()),
            _ => Err(Malformed),
        }
    }

    /// The flow of a packet that a client sends to a container, or the other
    /// way round. An ICMP error belongs to the flow that it speaks of.
    pub fn flow(&self, bytes: &[u8], sender: Sender) -> FlowKey {
        let (client, container) = match sender {
            Sender::Client => (self.src, self.dst),
            Sender::Container => (self.dst, self.src),
        };
        let payload = bytes.get(self.payload..).unwrap_or_default();
        let about = match self.fragment {
            None if is_icmp_error(self.protocol, payload) => quoted(payload),
            _ => None,
        };
        if let Some((quoted, bytes)) = about
            && (quoted.src, quoted.dst) == (self.dst, self.src)
        {
            let sent_by = match sender {
                Sender::Client => Sender::Container,
                Sender::Container => Sender::Client,
            };
            let payload = bytes.get(quoted.payload..).unwrap_or_default();
            return FlowKey {
                protocol: quoted.protocol,
                client,
                container,
                tag: quoted.tag(payload, sent_by),
            };
        }
        FlowKey {
            protocol: self.protocol,
            client,
            container,
            tag: self.tag(payload, sender),
        }
    }

    /// The key under which the later fragments of this packet are found, if it
    /// is the first of several.
    pub fn later_fragments(&self, key: FlowKey) -> Option<FlowKey> {
        let fragment = self.fragment.filter(|fragment| fragment.first)?;
        Some(FlowKey {
            tag: Tag::Fragment(fragment.id),
            ..key
        })
    }

    fn tag(&self, payload: &[u8], sender: Sender) -> Tag {
        if let Some(Fragment { id, first: false }) = self.fragment {
            return Tag::Fragment(id);
        }
        match self.protocol {
            TCP | UDP | SCTP => match (be16(payload, 0), be16(payload, 2)) {
                (Ok(src), Ok(dst)) if sender == Sender::Client => Tag::Ports(src, dst),
                (Ok(src), Ok(dst)) => Tag::Ports(dst, src),
                _ => Tag::None,
            },
            ICMP | ICMPV6 => match be16(payload, 4) {
                Ok(id) => Tag::Ports(id, id),
                Err(Malformed) => Tag::None,
            },
            _ => Tag::None,
        }
    }
}

/// `len`: of the packet, which a quoted one shows only the beginning of.
fn ipv4(bytes: &[u8], len: usize) -> Result<Packet, Malformed> {
    let header: &[u8; IPV4_HEADER] = bytes.first_chunk().ok_or(Malformed)?;
    let payload = usize::from(header[0] & 0xf) * 4;
    let total = usize::from(be16(header, 2)?);
    if payload < IPV4_HEADER || payload > bytes.len() || total != len {
        return Err(Malformed);
    }
    let position = be16(header, 6)?;
    let (more, offset) = (position & 0x2000 != 0, position & 0x1fff);
    Ok(Packet {
        src: Ipv4Addr::new(header[12], header[13], header[14], header[15]).into(),
        dst: Ipv4Addr::new(header[16], header[17], header[18], header[19]).into(),
        protocol: header[9],
        payload,
        fragment: (more || offset != 0).then_some(Fragment {
            id: u32::from(be16(header, 4)?),
            first: offset == 0,
        }),
    })
}

fn ipv6(bytes: &[u8], len: usize) -> Result<Packet, Malformed> {
    const HOP_BY_HOP: u8 = 0;
    const FRAGMENT: u8 = 44;
    const AUTHENTICATION: u8 = 51;
    const DESTINATION: u8 = 60;

    let header: &[u8; IPV6_HEADER] = bytes.first_chunk().ok_or(Malformed)?;
    if IPV6_HEADER + usize::from(be16(header, 4)?) != len {
        return Err(Malformed);
    }
    let mut packet = Packet {
        src: address6(header, 8)?,
        dst: address6(header, 24)?,
        protocol: header[6],
        payload: IPV6_HEADER,
        fragment: None,
    };
    // A routing header (43) is left as the payload: nothing here follows it.
    for _ in 0..MAX_EXTENSIONS {
        let at = packet.payload;
        let extension = match packet.protocol {
            HOP_BY_HOP | DESTINATION => 8 + usize::from(byte(bytes, at + 1)?) * 8,
            AUTHENTICATION => 8 + usize::from(byte(bytes, at + 1)?) * 4,
            FRAGMENT => {
                let position = be16(bytes, at + 2)?;
                // An "atomic" fragment (RFC 6946) is a whole packet.
                if position & 0xfff9 != 0 {
                    packet.fragment = Some(Fragment {
                        id: u32::from(be16(bytes, at + 4)?) << 16 | u32::from(be16(bytes, at + 6)?),
                        first: position & 0xfff8 == 0,
                    });
                }
                8
            }
            _ => return Ok(packet),
        };
        packet.protocol = byte(bytes, at)?;
        packet.payload = at + extension;
        if packet.payload > bytes.len() {
            return Err(Malformed);
        }
        if packet.fragment.is_some_and(|fragment| !fragment.first) {
            return Ok(packet);
        }
    }
    Err(Malformed)
}

fn is_icmp_error(protocol: u8, payload: &[u8]) -> bool {
    match (protocol, payload.first()) {
        (ICMP, Some(kind)) => matches!(kind, 3 | 11 | 12),
        (ICMPV6, Some(kind)) => matches!(kind, 1..=4),
        _ => false,
    }
}

/// The packet that an ICMP error is about, of which it shows the beginning.
fn quoted(payload: &[u8]) -> Option<(Packet, &[u8])> {
    let bytes = payload.get(8..)?;
    let packet = match bytes.first()? >> 4 {
        4 => ipv4(bytes, usize::from(be16(bytes, 2).ok()?)),
        6 => ipv6(bytes, IPV6_HEADER + usize::from(be16(bytes, 4).ok()?)),
        _ => Err(Malformed),
    };
    Some((packet.ok()?, bytes))
}

pub(super) fn byte(bytes: &[u8], at: usize) -> Result<u8, Malformed> {
    bytes.get(at).copied().ok_or(Malformed)
}

pub(super) fn be16(bytes: &[u8], at: usize) -> Result<u16, Malformed> {
    let bytes = bytes.get(at..at + 2).ok_or(Malformed)?;
    Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
}

fn address6(header: &[u8], at: usize) -> Result<IpAddr, Malformed> {
    let bytes: &[u8; 16] = header
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .ok_or(Malformed)?;
    Ok(Ipv6Addr::from(*bytes).into())
}
