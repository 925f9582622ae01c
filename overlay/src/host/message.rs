//! The bytes of netlink messages (`netlink(7)`), for the families that
//! `rtnetlink` does not speak.

/// The attribute's payload is attributes again.
pub const NLA_F_NESTED: u16 = 0x8000;
/// That, and network byte order.
const NLA_FLAGS: u16 = 0xc000;

/// Kind, body and what follows.
pub fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let len = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let body = bytes.get(16..len)?;
    let next = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, body, next))
}

/// The port of the socket that the message tells of: the process's id, of a
/// process with one netlink socket.
pub fn port(message: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(*message.get(12..)?.first_chunk()?))
}

/// The payload of the first attribute of that type.
pub fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let len = usize::from(u16::from_ne_bytes(*attributes.first_chunk()?));
        let kind = u16::from_ne_bytes(*attributes.get(2..)?.first_chunk()?);
        let payload = attributes.get(4..len)?;
        if kind & !NLA_FLAGS == wanted {
            return Some(payload);
        }
        attributes = attributes.get(len.next_multiple_of(4)..)?;
    }
}

pub fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let len = 4 + payload.len();
    let mut bytes = Vec::with_capacity(len.next_multiple_of(4));
    bytes.extend((len as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(payload);
    bytes.resize(len.next_multiple_of(4), 0);
    bytes
}
