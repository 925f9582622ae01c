//! Packets as kernels make them.

use std::net::IpAddr;

use crate::tunnel::packet::{FlowKey, Fragment, ICMP, Malformed, Packet, Sender, TCP, Tag, UDP};
use crate::tunnel::too_big;
use crate::tunnel::wire::{checksum, put16};

/// A packet of any family with this payload behind its header.
pub fn ip(src: &str, dst: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes;
    match (src.parse().unwrap(), dst.parse().unwrap()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            bytes = vec![0x45, 0, 0, 0, 0, 7, 0x40, 0, 64, protocol, 0, 0];
            bytes.extend(src.octets());
            bytes.extend(dst.octets());
            put16(&mut bytes, 2, 20 + payload.len());
            let sum = !checksum(0, &bytes);
            put16(&mut bytes, 10, usize::from(sum));
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            bytes = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
            bytes.extend(src.octets());
            bytes.extend(dst.octets());
            put16(&mut bytes, 4, payload.len());
        }
        _ => panic!("two families"),
    }
    bytes.extend(payload);
    bytes
}

/// A TCP header with timestamps and `payload` behind it.
pub fn tcp(ports: (u16, u16), sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(ports.0.to_be_bytes());
    bytes.extend(ports.1.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(77u32.to_be_bytes());
    bytes.extend([0x80, flags, 0x20, 0, 0, 0, 0, 0]);
    bytes.extend([1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 9]);
    bytes.extend(payload);
    bytes
}

pub fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(ports.0.to_be_bytes());
    bytes.extend(ports.1.to_be_bytes());
    bytes.extend((8 + payload.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

fn parse(bytes: &[u8]) -> Packet {
    Packet::parse(bytes).unwrap()
}

const CLIENT: &str = "192.0.2.9";
const TASK: &str = "10.0.0.7";

fn flow_of(bytes: &[u8], sender: Sender) -> FlowKey {
    parse(bytes).flow(bytes, sender)
}

#[test]
fn a_packet_says_who_sends_to_whom() {
    let packet = parse(&ip("fd00::1", "fd00::2", UDP, &udp((5, 6), b"x")));
    assert_eq!(packet.src, "fd00::1".parse::<IpAddr>().unwrap());
    assert_eq!(packet.dst, "fd00::2".parse::<IpAddr>().unwrap());
    assert_eq!((packet.protocol, packet.payload), (UDP, 40));
}

#[test]
fn a_length_that_is_not_the_packets_is_malformed() {
    for (src, dst) in [(CLIENT, TASK), ("fd00::1", "fd00::2")] {
        let bytes = ip(src, dst, UDP, &udp((5, 6), b"hello"));
        assert!(Packet::parse(&bytes).is_ok());
        assert_eq!(Packet::parse(&bytes[..bytes.len() - 1]), Err(Malformed));
        let longer = [bytes.as_slice(), b"?"].concat();
        assert_eq!(Packet::parse(&longer), Err(Malformed));
    }
}

#[test]
fn an_answer_belongs_to_the_flow_of_its_question() {
    let there = ip(CLIENT, TASK, TCP, &tcp((999, 80), 0, 2, b""));
    let back = ip(TASK, CLIENT, TCP, &tcp((80, 999), 0, 18, b""));
    assert_eq!(
        flow_of(&there, Sender::Client),
        flow_of(&back, Sender::Container)
    );
    assert_eq!(flow_of(&there, Sender::Client).tag, Tag::Ports(999, 80));
}

#[test]
fn an_icmp_error_belongs_to_the_flow_that_it_speaks_of() {
    let there = ip(CLIENT, TASK, UDP, &udp((999, 53), b"what?"));
    let error = [&[3, 3, 0, 0, 0, 0, 0, 0], &there[..28]].concat();
    let back = ip(TASK, CLIENT, ICMP, &error);
    assert_eq!(
        flow_of(&there, Sender::Client),
        flow_of(&back, Sender::Container)
    );
}

#[test]
fn an_icmp_error_about_other_hosts_belongs_to_no_flow_of_theirs() {
    let others = ip("192.0.2.77", TASK, UDP, &udp((999, 53), b"what?"));
    let error = [&[3, 3, 0, 0, 0, 0, 0, 0], &others[..28]].concat();
    let back = ip(TASK, CLIENT, ICMP, &error);
    assert_eq!(flow_of(&back, Sender::Container).protocol, ICMP);
}

#[test]
fn later_fragments_are_known_by_their_id() {
    let mut first = ip(CLIENT, TASK, UDP, &udp((999, 53), b"12345678"));
    put16(&mut first, 6, 0x2000);
    let mut later = ip(CLIENT, TASK, UDP, b"the rest");
    put16(&mut later, 6, 2);
    let packet = parse(&first);
    assert_eq!(packet.fragment, Some(Fragment { id: 7, first: true }));
    let key = packet.flow(&first, Sender::Client);
    assert_eq!(key.tag, Tag::Ports(999, 53));
    assert_eq!(
        packet.later_fragments(key),
        Some(flow_of(&later, Sender::Client))
    );
}

#[test]
fn headers_before_the_payload_are_stepped_over_but_not_forever() {
    let options = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let payload = [options(UDP).as_slice(), &udp((5, 6), b"x")].concat();
    let bytes = ip("fd00::1", "fd00::2", 60, &payload);
    assert_eq!(parse(&bytes).payload, 48);
    assert_eq!(flow_of(&bytes, Sender::Client).tag, Tag::Ports(5, 6));

    let endless = ip("fd00::1", "fd00::2", 60, &options(60).repeat(20));
    assert_eq!(Packet::parse(&endless), Err(Malformed));
}

#[test]
fn a_sender_is_told_what_would_have_fitted() {
    for (src, dst, header, told) in [
        (CLIENT, TASK, 20, 26..28),
        ("fd00::1", "fd00::2", 40, 46..48),
    ] {
        let bytes = ip(src, dst, UDP, &udp((5, 6), &[1; 1300]));
        let answer = too_big::answer(&parse(&bytes), &bytes, 1290).unwrap();
        let packet = parse(&answer);
        assert_eq!(packet.src, dst.parse::<IpAddr>().unwrap());
        assert_eq!(packet.dst, src.parse::<IpAddr>().unwrap());
        assert_eq!(answer[told], 1290u16.to_be_bytes());
        assert_eq!(answer[header + 8..header + 200], bytes[..192]);
        // No answer is answered.
        assert_eq!(too_big::answer(&packet, &answer, 1290), None);
    }
}
