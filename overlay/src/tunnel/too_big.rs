//! Telling the sender of a packet that it does not fit the path.
//!
//! ICMP "fragmentation needed" (RFC 1191) and ICMPv6 "packet too big" (RFC 8201).
//! They come from the address that the packet was for: the node has none that a
//! host would take from this device.

use std::net::IpAddr;

use super::packet::{ICMP, ICMPV6, Packet};
use super::wire::{checksum, put16};

/// Of the packet that did not fit, as much as every sender understands.
const QUOTED: usize = 512;
/// The smallest MTU that each family may be told.
const MIN_MTU4: usize = 576;
const MIN_MTU6: usize = 1280;

/// The answer to a packet on a path that takes at most `mtu` bytes. Errors are
/// not answered, nor fragments behind the first.
pub fn answer(packet: &Packet, bytes: &[u8], mtu: usize) -> Option<Vec<u8>> {
    let is_error = match packet.protocol {
        ICMP => !matches!(bytes.get(packet.payload), Some(0 | 8)),
        ICMPV6 => bytes.get(packet.payload).is_none_or(|kind| *kind < 128),
        _ => false,
    };
    if is_error || packet.fragment.is_some_and(|fragment| !fragment.first) {
        return None;
    }
    let quoted = &bytes[..bytes.len().min(QUOTED)];
    match (packet.src, packet.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let mut answer = vec![0x45, 0xc0];
            answer.extend_from_slice(&((28 + quoted.len()) as u16).to_be_bytes());
            answer.extend_from_slice(&[0, 0, 0, 0, 64, ICMP, 0, 0]);
            answer.extend_from_slice(&dst.octets());
            answer.extend_from_slice(&src.octets());
            let sum = !checksum(0, &answer);
            put16(&mut answer, 10, usize::from(sum));
            answer.extend_from_slice(&[3, 4, 0, 0, 0, 0]);
            answer.extend_from_slice(&(mtu.max(MIN_MTU4) as u16).to_be_bytes());
            answer.extend_from_slice(quoted);
            let sum = !checksum(0, &answer[20..]);
            put16(&mut answer, 22, usize::from(sum));
            Some(answer)
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let len = 8 + quoted.len();
            let mut answer = vec![0x60, 0, 0, 0];
            answer.extend_from_slice(&(len as u16).to_be_bytes());
            answer.extend_from_slice(&[ICMPV6, 64]);
            answer.extend_from_slice(&dst.octets());
            answer.extend_from_slice(&src.octets());
            answer.extend_from_slice(&[2, 0, 0, 0]);
            answer.extend_from_slice(&(mtu.max(MIN_MTU6) as u32).to_be_bytes());
            answer.extend_from_slice(quoted);
            let sum = !checksum(len as u64 + u64::from(ICMPV6), &answer[8..]);
            put16(&mut answer, 42, usize::from(sum));
            Some(answer)
        }
        _ => None,
    }
}
