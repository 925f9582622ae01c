//! Cutting what comes from the TUN device into datagrams.
//!
//! A container's kernel hands over super-packets of up to 64 KiB, because the
//! device says that it can cut them. All segments of one are written into a single
//! allocation, one behind the other, each with the kind byte before it.

use bytes::{BufMut, Bytes, BytesMut};

use super::packet::{Malformed, Packet};
use super::wire::{Checksum, KIND, Segments, Transport, VirtioHeader, complete, put16};

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;
/// The kernel sends none smaller (TCP_MIN_SND_MSS less its options).
const MIN_SEGMENT: usize = 8;

/// Hands each segment of a packet to `each` as a datagram. `out` is scratch.
///
/// # Errors
/// The packet is not what its virtio header says. Some segments may have been
/// handed over.
pub fn segment(
    virtio: &VirtioHeader,
    packet: &Packet,
    bytes: &mut [u8],
    out: &mut BytesMut,
    mut each: impl FnMut(Bytes),
) -> Result<(), Malformed> {
    let transport = Transport::of(packet, bytes);
    if virtio.segments == Segments::One {
        let checksum = settle(virtio, transport, bytes)?;
        out.reserve(KIND + bytes.len());
        out.put_u8(checksum.to_kind());
        out.put_slice(bytes);
        each(out.split().freeze());
        return Ok(());
    }
    let transport = transport.ok_or(Malformed)?;
    let len = usize::from(virtio.segment_len);
    let is_tcp = virtio.segments != Segments::Udp;
    if is_tcp != transport.is_tcp || len < MIN_SEGMENT {
        return Err(Malformed);
    }
    let (headers, payload) = bytes.split_at(transport.payload);
    let segments = payload.len().div_ceil(len);
    out.reserve(segments * (KIND + headers.len()) + payload.len());
    for (index, part) in payload.chunks(len).enumerate() {
        out.put_u8(Checksum::Left.to_kind());
        out.put_slice(headers);
        let written = out.get_mut(KIND..).ok_or(Malformed)?;
        transport.set_lengths(number(&transport, written, index), part.len());
        if transport.is_tcp {
            sequence(
                &transport,
                written,
                index * len,
                index == 0,
                index + 1 == segments,
            );
        }
        out.put_slice(part);
        each(out.split().freeze());
    }
    Ok(())
}

/// Computes the checksum that the kernel left open, unless the receiver's kernel
/// can do it.
fn settle(
    virtio: &VirtioHeader,
    transport: Option<Transport>,
    bytes: &mut [u8],
) -> Result<Checksum, Malformed> {
    let Some((start, offset)) = virtio.checksum else {
        return Ok(Checksum::Complete);
    };
    let (start, offset) = (usize::from(start), usize::from(offset));
    match transport {
        Some(transport) if (start, offset) == (transport.at, transport.checksum_offset()) => {
            Ok(Checksum::Left)
        }
        _ => {
            complete(bytes, start, offset)?;
            Ok(Checksum::Complete)
        }
    }
}

/// Each IPv4 segment has an identification of its own.
fn number<'a>(transport: &Transport, headers: &'a mut [u8], index: usize) -> &'a mut [u8] {
    if transport.is_ipv4 {
        let first = usize::from(u16::from_be_bytes([headers[4], headers[5]]));
        put16(headers, 4, first + index);
    }
    headers
}

/// Flags that say something of the beginning or of the end belong there.
fn sequence(
    transport: &Transport,
    headers: &mut [u8],
    offset: usize,
    is_first: bool,
    is_last: bool,
) {
    let Some(header) = headers.get_mut(transport.at..transport.at + 20) else {
        return;
    };
    let sequence = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    header[4..8].copy_from_slice(&sequence.wrapping_add(offset as u32).to_be_bytes());
    if !is_first {
        header[13] &= !CWR;
    }
    if !is_last {
        header[13] &= !(FIN | PSH);
    }
}
