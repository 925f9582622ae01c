//! Tunnels between real network namespaces: two hosts on one link, each with a
//! container. They need root, `unshare` and `ip`.

#![allow(clippy::disallowed_methods, reason = "tests of the shell, which acts")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml exempts test functions but not the helpers beside them"
)]

mod bed;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use bed::{Bed, Host, Members, wait_for};

/// Sends `len` bytes from a container to the other and back, and compares.
fn echo_tcp(bed: &Bed, from: usize, len: usize) {
    let to = 1 - from;
    let addr = SocketAddr::new(bed.hosts[to].container_addr, 0);
    let listener = bed.hosts[to]
        .container
        .run(move || TcpListener::bind(addr).unwrap());
    let addr = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = vec![0; len];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
    });
    let sent: Vec<u8> = (0..len).map(|index| (index / 7) as u8).collect();
    let mut stream = bed.hosts[from].container.run(move || {
        let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    });
    stream.write_all(&sent).unwrap();
    let mut received = vec![0; len];
    stream.read_exact(&mut received).unwrap();
    assert!(sent == received, "TCP brought other bytes");
    server.join().unwrap();
}

/// A socket of a container.
fn udp(host: &Host) -> UdpSocket {
    let addr = SocketAddr::new(host.container_addr, 0);
    let socket = host.container.run(move || UdpSocket::bind(addr).unwrap());
    socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    socket
}

/// Whether a datagram of this size gets from one container to the other within
/// the time, sent again and again.
fn udp_arrives(bed: &Bed, from: usize, len: usize, within: Duration) -> bool {
    let receiver = udp(&bed.hosts[1 - from]);
    let sender = udp(&bed.hosts[from]);
    let addr = receiver.local_addr().unwrap();
    let sent = vec![9; len];
    let mut buffer = vec![0; len + 1];
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        sender.send_to(&sent, addr).unwrap();
        if let Ok((received, from)) = receiver.recv_from(&mut buffer) {
            assert_eq!(from, sender.local_addr().unwrap());
            assert_eq!(buffer[..received], sent);
            return true;
        }
    }
    false
}

/// Takes the other host out of the table of this one.
fn forget_all(host: &Host, bed: &Bed) {
    host.route(bed, |routing| {
        routing.peers.clear();
        routing.remote.clear();
    });
}

fn everything_passes(bed: &Bed) {
    for from in [0, 1] {
        echo_tcp(bed, from, 4 << 20);
        // One that fits, and one that its kernel sends in pieces.
        for len in [1_000, 20_000] {
            assert!(udp_arrives(bed, from, len, Duration::from_secs(5)));
        }
    }
}

#[test]
fn tcp_and_udp_pass_both_ways() {
    let bed = Bed::new(1_500, 1_400);
    bed.connect();
    everything_passes(&bed);
    for host in &bed.hosts {
        let report = host.report();
        assert_eq!(report.drops.foreign_received, 0);
        assert_eq!(report.drops.malformed_received, 0);
        let path = report.peers[0].path.clone().unwrap();
        assert!(path.mtu >= 1_400, "{path:?}");
        assert!(path.rtt < Duration::from_secs(1));
        assert!(path.sent_datagrams > 0 && path.received_datagrams > 0);
    }
}

#[test]
fn large_packets_use_large_links() {
    let bed = Bed::new(9_000, 8_900);
    bed.connect();
    everything_passes(&bed);
    let path = bed.hosts[0].report().peers[0].path.clone().unwrap();
    assert!(path.mtu >= 8_900, "{path:?}");
}

#[test]
fn a_path_that_takes_less_is_found_out() {
    let bed = Bed::new(1_300, 1_400);
    bed.connect();
    echo_tcp(&bed, 0, 300_000);
    let path = bed.hosts[0].report().peers[0].path.clone().unwrap();
    assert!(path.mtu < 1_300, "{path:?}");
}

#[test]
fn a_node_behind_nat_is_reached_over_the_connection_that_it_opened() {
    let bed = Bed::new(1_500, 1_400);
    // Only the first knows where the other is, and it has the larger id or not.
    bed.hosts[0].route(&bed, |_| {});
    bed.hosts[1].route(&bed, |routing| {
        routing.peers.values_mut().for_each(Vec::clear);
    });
    wait_for("a connection", || bed.hosts[1].path().is_some());
    everything_passes(&bed);
    assert!(!bed.hosts[1].path().unwrap().dialled);
}

#[test]
fn one_connection_is_left_where_both_dialled() {
    let bed = Bed::new(1_500, 1_400);
    bed.connect();
    let smaller = usize::from(bed.hosts[1].me < bed.hosts[0].me);
    wait_for("agreement on one connection", || {
        let dialled = |host: &Host| host.path().is_some_and(|path| path.dialled);
        dialled(&bed.hosts[smaller]) != dialled(&bed.hosts[1 - smaller])
    });
    everything_passes(&bed);
}

#[test]
fn a_peer_that_is_back_is_reached_within_two_seconds() {
    let mut bed = Bed::new(1_500, 1_400);
    bed.connect();
    assert!(udp_arrives(&bed, 0, 100, Duration::from_secs(5)));
    for _ in 0..2 {
        bed.hosts[1].restart();
        let back = Instant::now();
        bed.hosts[1].route(&bed, |_| {});
        assert!(udp_arrives(&bed, 0, 100, Duration::from_secs(2)));
        assert!(udp_arrives(&bed, 1, 100, Duration::from_secs(2)));
        assert!(back.elapsed() < Duration::from_secs(2));
    }
}

#[test]
fn the_first_connection_of_a_peer_that_crashed_stays() {
    let mut bed = Bed::new(1_500, 1_400);
    bed.connect();
    // The other has dialled the one that there is, and would prefer it. A packet
    // under way would tell it at once.
    let crashing = usize::from(bed.hosts[0].me < bed.hosts[1].me);
    let mut sent = 0;
    wait_for("silence", || {
        let before = sent;
        sent = bed.hosts[1 - crashing].path().map_or(0, |path| path.sent);
        thread::sleep(Duration::from_millis(200));
        sent == before
    });
    bed.hosts[crashing].crash();
    bed.hosts[crashing].route(&bed, |_| {});
    wait_for("a connection", || bed.hosts[crashing].path().is_some());
    let mut age = Duration::ZERO;
    // One that is replaced ends after a second.
    while age < Duration::from_millis(1_500) {
        let path = bed.hosts[crashing].path().expect("it was replaced");
        assert!(path.established >= age, "it was replaced");
        age = path.established;
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_peer_that_is_gone_from_the_table_is_cut_off() {
    let bed = Bed::new(1_500, 1_400);
    bed.connect();
    assert!(udp_arrives(&bed, 0, 100, Duration::from_secs(5)));
    for host in &bed.hosts {
        forget_all(host, &bed);
    }
    wait_for("the end of the connection", || {
        bed.hosts.iter().all(|host| host.path().is_none())
    });
}

#[test]
fn a_peer_that_is_gone_is_cut_off_whenever_each_side_hears_of_it() {
    let bed = Bed::new(1_500, 1_400);
    for step in 0..30 {
        bed.connect();
        // The second dials again, and is told while it does.
        forget_all(&bed.hosts[0], &bed);
        thread::sleep(Duration::from_micros(100) * step);
        forget_all(&bed.hosts[1], &bed);
        wait_for("the end of the connection", || {
            bed.hosts.iter().all(|host| host.path().is_none())
        });
    }
}

#[test]
fn a_peer_that_is_gone_is_cut_off_though_both_had_dialled() {
    let bed = Bed::new(1_500, 1_400);
    let sockets = [udp(&bed.hosts[0]), udp(&bed.hosts[1])];
    let addrs = sockets
        .each_ref()
        .map(|socket| socket.local_addr().unwrap());
    for forgetful in [0, 1] {
        for host in &bed.hosts {
            host.route(&bed, |_| {});
        }
        // With a packet for the other, neither leaves it to the other to dial.
        for (from, to) in [(0, 1), (1, 0)] {
            sockets[from].send_to(&[1], addrs[to]).unwrap();
        }
        wait_for("a connection", || {
            bed.hosts.iter().all(|host| host.path().is_some())
        });
        // The other would dial again.
        bed.hosts[1 - forgetful].route(&bed, |routing| {
            routing.peers.values_mut().for_each(Vec::clear);
        });
        forget_all(&bed.hosts[forgetful], &bed);
        wait_for("the end of all connections", || {
            bed.hosts.iter().all(|host| host.path().is_none())
        });
    }
}

#[test]
fn what_a_peer_may_not_send_does_not_arrive() {
    let bed = Bed::new(1_500, 1_400);
    bed.connect();
    assert!(udp_arrives(&bed, 1, 100, Duration::from_secs(5)));
    // As the first sees it, the container of the second is on a third node.
    bed.hosts[0].route(&bed, |routing| {
        for remote in routing.remote.values_mut() {
            remote.node = certs::NodeId::from(7);
        }
    });
    assert!(!udp_arrives(&bed, 1, 100, Duration::from_secs(1)));
    assert!(bed.hosts[0].report().drops.foreign_received > 0);
}

#[test]
fn a_node_of_another_swarm_gets_no_connection() {
    let bed = Bed::with(1_500, 1_400, Members::OfTwoSwarms);
    bed.hosts[0].route(&bed, |_| {});
    bed.hosts[1].route(&bed, |_| {});
    assert!(!udp_arrives(&bed, 0, 100, Duration::from_secs(2)));
    assert!(bed.hosts.iter().all(|host| host.path().is_none()));
    let peer = bed.hosts[0].report().peers.remove(0);
    assert!(peer.is_wanted && peer.failure.is_some(), "{peer:?}");
}

#[test]
fn probes_tell_how_long_the_way_takes_and_what_is_lost() {
    let bed = Bed::new(1_500, 1_400);
    bed.connect();
    let report = bed.hosts[0].probe();
    let peer = &report.peers[0];
    let probed = peer.probed.unwrap();
    for echoes in [probed.small, probed.large] {
        assert_eq!((echoes.sent, echoes.answered), (10, 10), "{peer:?}");
        assert!(echoes.fastest > Duration::ZERO && echoes.fastest <= echoes.mean);
        assert!(echoes.mean <= echoes.slowest && echoes.slowest < Duration::from_secs(1));
    }
    assert_eq!(bed.hosts[0].report().peers[0].probed, None);
    bed.hosts[1].ns.ip("link set uplink down");
    let report = bed.hosts[0].probe();
    let probed = report.peers[0].probed.unwrap();
    assert_eq!((probed.small.sent, probed.small.answered), (10, 0));
    assert_eq!((probed.large.sent, probed.large.answered), (10, 0));
}

#[test]
fn probes_are_no_packets() {
    let bed = Bed::new(1_500, 1_400);
    bed.connect();
    bed.hosts[0].probe();
    for host in &bed.hosts {
        let drops = host.report().drops;
        assert_eq!((drops.malformed_received, drops.unknown_received), (0, 0));
    }
}

#[test]
fn a_tunnel_without_its_device_says_that_it_has_ended() {
    let bed = Bed::new(1_500, 1_400);
    assert!(!bed.hosts[0].tunnel().ended().is_cancelled());
    bed.hosts[0].ns.ip("link del swl0");
    wait_for("the end of the tunnel", || {
        bed.hosts[0].tunnel().ended().is_cancelled()
    });
}

#[test]
fn closing_leaves_no_device() {
    let mut bed = Bed::new(1_500, 1_400);
    bed.connect();
    bed.hosts[0].close();
    assert!(bed.hosts[0].ns.try_ip("link show swl0").is_err());
    wait_for("the other to hear of it", || bed.hosts[1].path().is_none());
}
