//! Bytes from the TUN device and from the wire: any at all.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use certs::NodeId;

use crate::tunnel::coalesce::Coalescer;
use crate::tunnel::packet::Packet;
use crate::tunnel::probe::{Probe, echo};
use crate::tunnel::routing::{Local, Memory, Remote, Routing, Subnets};
use crate::tunnel::segment::segment;
use crate::tunnel::too_big;
use crate::tunnel::wire::{Checksum, KIND, MAX_PACKET, VIRTIO, VirtioHeader};

/// With the addresses that the seeds of the fuzzers are full of.
fn routing() -> Routing {
    Routing {
        me: NodeId::from(1),
        remote: BTreeMap::from([(
            [0; 4].into(),
            Remote {
                node: NodeId::from(2),
                network: 1,
            },
        )]),
        local: BTreeMap::from([(
            [0x45; 4].into(),
            Local {
                network: 1,
                ingress: true,
            },
        )]),
        subnets: Subnets::default(),
        peers: BTreeMap::from([(NodeId::from(2), Vec::new())]),
    }
}

#[test]
fn no_bytes_from_the_tun_device_do_harm() {
    let routing = routing();
    bolero::check!().for_each(|input: &[u8]| {
        let mut input = input.to_vec();
        let Some((header, bytes)) = input.split_first_chunk_mut::<VIRTIO>() else {
            return;
        };
        let (Ok(virtio), Ok(packet)) = (VirtioHeader::decode(header), Packet::parse(bytes)) else {
            return;
        };
        let mut memory = Memory::default();
        let _ = memory.choose(&routing, &packet, bytes, Duration::ZERO);
        if let Some(answer) = too_big::answer(&packet, bytes, 0) {
            assert!(Packet::parse(&answer).is_ok());
        }
        let len = bytes.len();
        let mut out = BytesMut::new();
        let _ = segment(&virtio, &packet, bytes, &mut out, |datagram| {
            assert!(datagram.len() <= KIND + len);
            assert!(Packet::parse(&datagram[KIND..]).is_ok());
        });
    });
}

#[test]
fn no_bytes_from_a_peer_do_harm() {
    let routing = routing();
    bolero::check!().for_each(|input: &[u8]| {
        // Several datagrams, each after its length.
        let mut memory = Memory::default();
        let mut coalescer = Coalescer::new(true);
        let mut rest = input;
        let (mut admitted, mut written) = (0, 0);
        while let Some((len, more)) = rest.split_first() {
            let (datagram, more) = more.split_at(usize::from(*len).min(more.len()));
            rest = more;
            if Probe::of(datagram) == Some(Probe::Ask) {
                let echo = echo(datagram);
                assert_eq!(echo.len(), datagram.len());
                assert!(matches!(Probe::of(&echo), Some(Probe::Echo { .. })));
            }
            let Some((kind, bytes)) = datagram.split_first() else {
                continue;
            };
            let (Ok(checksum), Ok(packet)) = (Checksum::of_kind(*kind), Packet::parse(bytes))
            else {
                continue;
            };
            let peer = NodeId::from(2);
            let _ = memory.admit(&routing, peer, &packet, bytes, Duration::ZERO);
            coalescer.push(checksum, &packet, Bytes::copy_from_slice(datagram));
            admitted += 1;
        }
        coalescer.drain(|pieces| {
            let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_vec()).collect();
            assert!(bytes.len() <= VIRTIO + MAX_PACKET);
            assert!(Packet::parse(&bytes[VIRTIO..]).is_ok());
            written += 1;
        });
        assert!(written <= admitted);
    });
}
