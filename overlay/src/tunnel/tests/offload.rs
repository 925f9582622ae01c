//! Super-packets, cut and joined again.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::packets::{ip, tcp, udp};
use crate::tunnel::coalesce::Coalescer;
use crate::tunnel::packet::{Malformed, Packet, TCP, UDP};
use crate::tunnel::segment::segment;
use crate::tunnel::wire::{Checksum, KIND, Segments, Transport, VIRTIO, VirtioHeader, checksum};

const ACK: u8 = 0x10;
const PSH_ACK: u8 = 0x18;

fn cut(virtio: &VirtioHeader, bytes: &[u8]) -> Result<Vec<Bytes>, Malformed> {
    let mut bytes = bytes.to_vec();
    let packet = Packet::parse(&bytes)?;
    let mut datagrams = Vec::new();
    let mut out = BytesMut::new();
    segment(virtio, &packet, &mut bytes, &mut out, |datagram| {
        datagrams.push(datagram);
    })?;
    Ok(datagrams)
}

/// What is written to the TUN device for these datagrams.
fn join(datagrams: &[Bytes], udp: bool) -> Vec<Vec<u8>> {
    let mut coalescer = Coalescer::new(udp);
    for datagram in datagrams {
        let kind = Checksum::of_kind(datagram[0]).unwrap();
        let packet = Packet::parse(&datagram[KIND..]).unwrap();
        coalescer.push(kind, &packet, datagram.clone());
    }
    let mut written = Vec::new();
    coalescer.drain(|pieces| {
        written.push(pieces.iter().flat_map(|piece| piece.to_vec()).collect());
    });
    written
}

fn virtio(written: &[u8]) -> VirtioHeader {
    VirtioHeader::decode(written[..VIRTIO].first_chunk().unwrap()).unwrap()
}

fn super_tcp(v4: bool, payload: &[u8], len: u16, flags: u8) -> (VirtioHeader, Vec<u8>) {
    let (src, dst) = match v4 {
        true => ("10.0.5.1", "10.0.5.2"),
        false => ("fd00::1", "fd00::2"),
    };
    let bytes = ip(
        src,
        dst,
        TCP,
        &tcp((999, 80), u32::MAX - 2_000, flags, payload),
    );
    let header = bytes.len() - payload.len();
    let virtio = VirtioHeader {
        checksum: Some((header as u16 - 32, 16)),
        segments: if v4 { Segments::Tcp4 } else { Segments::Tcp6 },
        header_len: header as u16,
        segment_len: len,
    };
    (virtio, bytes)
}

/// As the last kernel would: with the checksum filled in, nothing is left over.
fn is_valid(written: &[u8]) -> bool {
    let Some((start, offset)) = virtio(written).checksum else {
        return true;
    };
    let mut packet = written[VIRTIO..].to_vec();
    let (start, at) = (usize::from(start), usize::from(start + offset));
    let sum = !checksum(0, &packet[start..]);
    packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    let parsed = Packet::parse(&packet).unwrap();
    let addresses = if parsed.src.is_ipv4() { 12..20 } else { 8..40 };
    let pseudo = (packet.len() - start) as u64 + u64::from(parsed.protocol);
    let with_pseudo = u64::from(checksum(pseudo, &packet[addresses]));
    let header_is_valid = !parsed.src.is_ipv4() || checksum(0, &packet[..20]) == 0xffff;
    header_is_valid && checksum(with_pseudo, &packet[start..]) == 0xffff
}

#[test]
fn each_segment_is_a_packet_of_its_own() {
    let (virtio, bytes) = super_tcp(true, &[7; 2_500], 1_000, PSH_ACK);
    let datagrams = cut(&virtio, &bytes).unwrap();
    let seen: Vec<_> = datagrams
        .iter()
        .map(|datagram| {
            let bytes = &datagram[KIND..];
            let packet = Packet::parse(bytes).unwrap();
            assert_eq!(checksum(0, &bytes[..20]), 0xffff);
            let id = u16::from_be_bytes([bytes[4], bytes[5]]);
            let header = &bytes[packet.payload..];
            let sequence = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
            (id, sequence, header[13], header.len() - 32)
        })
        .collect();
    let first = u32::MAX - 2_000;
    assert_eq!(
        seen,
        [
            (7, first, ACK, 1_000),
            (8, first.wrapping_add(1_000), ACK, 1_000),
            (9, first.wrapping_add(2_000), PSH_ACK, 500),
        ]
    );
}

#[test]
fn a_checksum_that_no_kernel_can_fill_in_is_computed() {
    // The transport header of a packet in a packet.
    let inner = ip("10.9.0.1", "10.9.0.2", UDP, &udp((5, 6), b"odd"));
    let bytes = ip("10.0.5.1", "10.0.5.2", 4, &inner);
    let virtio = VirtioHeader {
        checksum: Some((40, 6)),
        ..VirtioHeader::default()
    };
    let datagrams = cut(&virtio, &bytes).unwrap();
    assert_eq!(datagrams[0][0], Checksum::Complete.to_kind());
    assert_eq!(checksum(0, &datagrams[0][KIND + 40..]), 0xffff);
}

#[test]
fn what_the_virtio_header_says_must_be_true_of_the_packet() {
    let (virtio, bytes) = super_tcp(true, &[7; 2_500], 1_000, ACK);
    let as_udp = VirtioHeader {
        segments: Segments::Udp,
        ..virtio
    };
    assert_eq!(cut(&as_udp, &bytes), Err(Malformed));
    let too_small = VirtioHeader {
        segment_len: 0,
        ..virtio
    };
    assert_eq!(cut(&too_small, &bytes), Err(Malformed));
    let outside = VirtioHeader {
        checksum: Some((u16::MAX, 0)),
        ..VirtioHeader::default()
    };
    assert_eq!(cut(&outside, &bytes), Err(Malformed));
}

#[test]
fn interleaved_flows_are_joined_each_for_itself() {
    let packet = |port: u16, sequence: u32| {
        let bytes = ip(
            "10.0.5.1",
            "10.0.5.2",
            TCP,
            &tcp((port, 80), sequence, ACK, &[1; 100]),
        );
        Bytes::from([&[Checksum::Left.to_kind()], bytes.as_slice()].concat())
    };
    let burst: Vec<_> = (0..6u32)
        .map(|index| packet(1 + index as u16 % 2, index / 2 * 100))
        .collect();
    let written = join(&burst, true);
    assert_eq!(written.len(), 2);
    for train in &written {
        assert_eq!(virtio(train).segment_len, 100);
        assert_eq!(train.len(), VIRTIO + 52 + 300);
        assert!(is_valid(train));
    }
}

#[test]
fn what_does_not_continue_a_train_is_written_behind_it() {
    let packet = |sequence: u32, flags: u8, payload: &[u8]| {
        let bytes = ip(
            "10.0.5.1",
            "10.0.5.2",
            TCP,
            &tcp((1, 80), sequence, flags, payload),
        );
        Bytes::from([&[Checksum::Left.to_kind()], bytes.as_slice()].concat())
    };
    let burst = [
        packet(0, ACK, &[1; 100]),
        packet(100, ACK, &[2; 100]),
        // A gap, a shorter one that ends its train, and a bare acknowledgement.
        packet(300, ACK, &[4; 100]),
        packet(400, PSH_ACK, &[5; 40]),
        packet(440, ACK, &[6; 100]),
        packet(440, ACK, &[]),
    ];
    let payloads: Vec<_> = join(&burst, true)
        .iter()
        .map(|written| written[VIRTIO + 52..].to_vec())
        .collect();
    assert_eq!(
        payloads,
        [
            [[1; 100], [2; 100]].concat(),
            [vec![4; 100], vec![5; 40]].concat(),
            vec![6; 100],
            vec![],
        ]
    );
}

#[test]
fn udp_is_joined_only_where_the_device_can_cut_it() {
    let packet = |payload: &[u8]| {
        let bytes = ip("fd00::1", "fd00::2", UDP, &udp((1, 53), payload));
        Bytes::from([&[Checksum::Left.to_kind()], bytes.as_slice()].concat())
    };
    let burst = [packet(&[1; 50]), packet(&[2; 50]), packet(&[3; 20])];
    assert_eq!(join(&burst, false).len(), 3);
    let written = join(&burst, true);
    assert_eq!(written.len(), 1);
    assert_eq!(virtio(&written[0]).segments, Segments::Udp);
    assert!(is_valid(&written[0]));
}

proptest! {
    /// Through both kernels' eyes nothing has happened.
    #[test]
    fn a_super_packet_arrives_as_it_left(
        payload in prop::collection::vec(any::<u8>(), 1..9_000),
        len in 100u16..1_400,
        v4 in any::<bool>(),
        push in any::<bool>(),
    ) {
        let flags = if push { PSH_ACK } else { ACK };
        let (header, bytes) = super_tcp(v4, &payload, len, flags);
        let datagrams = cut(&header, &bytes).unwrap();
        for datagram in &datagrams {
            prop_assert!(datagram.len() <= KIND + bytes.len() - payload.len() + usize::from(len));
        }
        let written = join(&datagrams, true);
        let arrived: Vec<u8> = written
            .iter()
            .flat_map(|written| {
                let packet = Packet::parse(&written[VIRTIO..]).unwrap();
                let transport = Transport::of(&packet, &written[VIRTIO..]).unwrap();
                written[VIRTIO + transport.payload..].to_vec()
            })
            .collect();
        prop_assert_eq!(&arrived, &payload);
        prop_assert!(written.iter().all(|written| is_valid(written)));
        if datagrams.len() <= 64 {
            prop_assert_eq!(written.len(), 1);
            let transport = Transport::of(
                &Packet::parse(&bytes).unwrap(),
                &bytes,
            ).unwrap();
            // Apart from both checksums.
            let differs = |at: &usize| written[0][VIRTIO + at] != bytes[*at];
            let allowed = |at: usize| {
                let sum = transport.at + transport.checksum_offset();
                (sum..sum + 2).contains(&at)
            };
            prop_assert!((0..bytes.len()).filter(differs).all(allowed));
        }
    }
}
