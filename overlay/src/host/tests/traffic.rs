//! Real packets through the real kernel.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use super::stage::{PATIENCE, Stage, ask, on_host, serve, serve_udp, sh, veth};
use crate::kit::{hear, tcp};

pub(super) const DROPPED: Result<String, ErrorKind> = Err(ErrorKind::TimedOut);
pub(super) const REFUSED: Result<String, ErrorKind> = Err(ErrorKind::ConnectionRefused);

/// Network 5 with a service at 10.0.5.2.
pub(super) fn shop(stage: &mut Stage) {
    stage.site.network(5, &["10.0.5.0/24"]);
    stage.site.service(50, 5, &["10.0.5.2"]);
}

/// A service that publishes 8080, with a task here.
pub(super) fn published(stage: &mut Stage) {
    stage.site.network(1, &["10.0.0.0/24"]).ingress = true;
    stage.site.service(60, 1, &[]).ports = BTreeSet::from([tcp(8080, 80)]);
}

pub(super) fn said(name: &str, client: &str) -> Result<String, ErrorKind> {
    Ok(format!("{name} {client}"))
}

#[test]
fn a_vip_spreads_connections_and_hides_no_client() {
    on_host(|stage| {
        shop(stage);
        let client = stage.container(5, "10.0.5.9");
        let (a, b) = (stage.task(50, 5, "10.0.5.3"), stage.task(50, 5, "10.0.5.4"));
        stage.apply();
        a.serve("a", 80);
        b.serve("b", 80);
        let asked = (0..40).map(|_| client.ask("10.0.5.2:80").unwrap());
        let answers: BTreeSet<_> = asked.collect();
        let both = ["a 10.0.5.9", "b 10.0.5.9"].map(str::to_owned);
        assert_eq!(answers, BTreeSet::from(both));
    });
}

#[test]
fn a_draining_backend_keeps_its_connections_and_gets_no_new_one() {
    on_host(|stage| {
        shop(stage);
        let client = stage.container(5, "10.0.5.9");
        let (a, b) = (
            stage.task(50, 5, "10.0.5.3"),
            stage.container(5, "10.0.5.4"),
        );
        stage.apply();
        a.serve("a", 80);
        b.serve("b", 80);
        let mut old = client.connect("10.0.5.2:80");
        assert_eq!(old.greeting, "a 10.0.5.9");
        stage.site.draining(50, 5, "10.0.5.3", 1);
        stage.site.task(50, 5, "10.0.5.4", 1);
        stage.apply();
        for _ in 0..20 {
            assert_eq!(client.ask("10.0.5.2:80"), said("b", "10.0.5.9"));
        }
        assert!(old.goes_on());
    });
}

#[test]
fn a_vip_without_backends_refuses_at_once() {
    on_host(|stage| {
        shop(stage);
        let client = stage.container(5, "10.0.5.9");
        let _far = stage.tunnel(&[]);
        stage.apply();
        assert_eq!(client.ask("10.0.5.2:80"), REFUSED);
        assert_eq!(client.ask_udp("10.0.5.2:80"), REFUSED);
    });
}

#[test]
fn a_forged_source_goes_nowhere() {
    on_host(|stage| {
        shop(stage);
        let (liar, server) = (
            stage.container(5, "10.0.5.9"),
            stage.container(5, "10.0.5.3"),
        );
        stage.apply();
        server.serve_udp("server", 80);
        assert_eq!(liar.ask_udp("10.0.5.3:80"), said("server", "10.0.5.9"));
        let heard = server.run(|| {
            let socket = std::net::UdpSocket::bind("0.0.0.0:81").unwrap();
            socket
                .set_read_timeout(Some(std::time::Duration::from_secs(10)))
                .unwrap();
            std::thread::spawn(move || hear(&socket, &mut [0; 8]).unwrap().1.ip())
        });
        liar.sh("ip addr add 10.0.5.8/32 dev lo");
        liar.run(|| {
            for source in ["10.0.5.8:0", "10.0.5.9:0"] {
                let socket = std::net::UdpSocket::bind(source).unwrap();
                socket.send_to(b"?", "10.0.5.3:81").unwrap();
            }
        });
        let first = heard.join().unwrap().to_string();
        assert_eq!(first, "10.0.5.9", "the first that came through");
    });
}

#[test]
fn another_network_is_reached_neither_by_address_nor_by_vip() {
    on_host(|stage| {
        shop(stage);
        stage.site.network(6, &["10.0.6.0/24"]);
        let server = stage.task(50, 5, "10.0.5.3");
        let (inside, other) = (
            stage.container(5, "10.0.5.9"),
            stage.container(6, "10.0.6.9"),
        );
        let outside = stage.outside();
        stage.apply();
        server.serve("server", 80);
        for to in ["10.0.5.3:80", "10.0.5.2:80"] {
            assert_eq!(inside.ask(to), said("server", "10.0.5.9"));
            assert_eq!(other.ask(to), DROPPED);
        }
        outside.sh("ip route add 10.0.5.0/24 via 192.0.2.1");
        assert_eq!(outside.ask("10.0.5.3:80"), DROPPED);
        assert_eq!(outside.ask("10.0.5.2:80"), DROPPED);
    });
}

#[test]
fn an_internal_network_has_no_egress_but_names() {
    on_host(|stage| {
        shop(stage);
        stage.site.network(6, &["10.0.6.0/24"]).internal = true;
        let (open, closed) = (
            stage.container(5, "10.0.5.9"),
            stage.container(6, "10.0.6.9"),
        );
        let neighbour = stage.container(6, "10.0.6.3");
        // Its default route is that of the internal network.
        let both = stage.container(6, "10.0.6.8");
        stage.site.local(5, "10.0.5.8", &veth("10.0.6.8"));
        let outside = stage.outside();
        stage.apply();
        outside.serve("world", 80);
        assert_eq!(both.ask("192.0.2.9:80"), said("world", "192.0.2.1"));
        neighbour.serve("neighbour", 80);
        serve("host", 22);
        serve_udp("names", 53);
        assert_eq!(open.ask("192.0.2.9:80"), said("world", "192.0.2.1"));
        assert_eq!(open.ask("192.0.2.1:22"), said("host", "10.0.5.9"));
        assert_eq!(closed.ask("10.0.6.3:80"), said("neighbour", "10.0.6.9"));
        assert_eq!(closed.ask_udp("169.254.1.1:53"), said("names", "10.0.6.9"));
        for to in [
            "192.0.2.9:80",
            "192.0.2.1:22",
            "169.254.1.1:22",
            "10.0.6.1:22",
        ] {
            assert_eq!(closed.ask(to), DROPPED, "{to}");
        }
    });
}

#[test]
fn a_container_reaches_itself_through_its_own_vip() {
    on_host(|stage| {
        shop(stage);
        let own = stage.task(50, 5, "10.0.5.3");
        stage.apply();
        own.serve("own", 80);
        assert_eq!(own.ask("10.0.5.2:80"), said("own", "169.254.1.1"));
    });
}

#[test]
fn a_host_without_ipv6_serves_the_ipv4_of_dual_stack_networks() {
    on_host(|stage| {
        sh("echo 1 > /proc/sys/net/ipv6/conf/lo/disable_ipv6");
        stage.site.network(5, &["10.0.5.0/24", "fd00:5::/64"]);
        stage.site.service(50, 5, &["10.0.5.2", "fd00:5::2"]);
        let server = stage.task(50, 5, "10.0.5.3");
        let client = stage.container(5, "10.0.5.9");
        let _far = stage.tunnel(&["10.0.5.4"]);
        stage.apply();
        server.serve("server", 80);
        assert_eq!(client.ask("10.0.5.2:80"), said("server", "10.0.5.9"));
        assert_eq!(stage.diagnose(), []);
    });
}

#[test]
fn the_tunnel_reaches_containers_and_nothing_else_of_the_host() {
    on_host(|stage| {
        shop(stage);
        let server = stage.task(50, 5, "10.0.5.3");
        let outside = stage.outside();
        let far = stage.tunnel(&["10.0.5.4"]);
        stage.apply();
        server.serve("task", 80);
        outside.serve("world", 80);
        serve("host", 22);
        assert_eq!(far.ask("10.0.5.3:80"), said("task", "10.0.5.4"));
        for to in ["192.0.2.9:80", "192.0.2.1:22", "10.0.5.1:22", "10.0.5.2:80"] {
            assert_eq!(far.ask(to), DROPPED, "{to}");
        }
    });
}

#[test]
fn the_host_reaches_its_own_containers_and_no_others() {
    on_host(|stage| {
        shop(stage);
        let near = stage.task(50, 5, "10.0.5.3");
        let far = stage.tunnel(&["10.0.5.4"]);
        stage.apply();
        near.serve("near", 80);
        far.serve("far", 80);
        assert_eq!(ask("10.0.5.3:80"), said("near", "169.254.1.1"));
        assert_eq!(ask("10.0.5.4:80"), DROPPED);
        assert_eq!(ask("10.0.5.2:80"), DROPPED);
    });
}

/// Such a container answers clients of one network by the veth of another.
#[test]
fn a_container_on_two_networks_may_use_its_addresses_on_either_veth() {
    on_host(|stage| {
        shop(stage);
        published(stage);
        let both = stage.task(60, 1, "10.0.0.3");
        let own = veth("10.0.0.3");
        stage.site.local(5, "10.0.5.3", "swv0000none").sandbox = own.clone();
        stage.site.local(5, "10.0.5.4", &own).sandbox = own.clone();
        let client = stage.container(5, "10.0.5.9");
        stage.apply();
        both.sh("ip addr add 10.0.5.3/32 dev lo && ip addr add 10.0.5.4/32 dev lo");
        both.serve("both", 80);
        sh("ip route add 10.0.5.3 dev swv00000x3");
        assert_eq!(client.ask("10.0.5.4:80"), said("both", "10.0.5.9"));
        assert_eq!(client.ask("10.0.5.3:80"), said("both", "10.0.5.9"));
    });
}

#[test]
fn nothing_of_the_overlay_leaves_by_the_uplink_while_the_tunnel_is_away() {
    on_host(|stage| {
        shop(stage);
        let client = stage.container(5, "10.0.5.9");
        let outside = stage.outside();
        outside.sh("ip addr add 192.0.2.254/24 dev eth0 && ip addr add 10.0.5.4/32 dev lo");
        stage.apply();
        outside.serve_udp("leak", 80);
        outside.serve("leak", 80);
        assert!(client.ask("10.0.5.4:80").is_err());
        assert!(client.ask_udp("10.0.5.4:80").is_err());
    });
}

#[test]
fn both_families_work_alike() {
    on_host(|stage| {
        stage.site.network(5, &["fd00:5::/64"]);
        stage.site.service(50, 5, &["fd00:5::2"]);
        stage.site.network(6, &["fd00:6::/64"]);
        stage.site.network(1, &["fd00:1::/64"]).ingress = true;
        stage.site.service(60, 1, &[]).ports = BTreeSet::from([tcp(8080, 80)]);
        stage.site.host("2001:db8::1");
        let outside = stage.outside();
        let server = stage.task(50, 5, "fd00:5::3");
        let task = stage.task(60, 1, "fd00:1::3");
        let client = stage.container(5, "fd00:5::9");
        let other = stage.container(6, "fd00:6::9");
        stage.apply();
        for (space, name) in [(&server, "server"), (&task, "task"), (&outside, "world")] {
            space.serve(name, 80);
        }
        assert_eq!(client.ask("[fd00:5::2]:80"), said("server", "fd00:5::9"));
        assert_eq!(
            server.ask("[fd00:5::2]:80"),
            said("server", "fd53:7761:726d:6c65::1:0")
        );
        assert_eq!(other.ask("[fd00:5::2]:80"), DROPPED);
        assert_eq!(other.ask("[fd00:5::3]:80"), DROPPED);
        assert_eq!(client.ask("[2001:db8::9]:80"), said("world", "2001:db8::1"));
        assert_eq!(
            outside.ask("[2001:db8::1]:8080"),
            said("task", "2001:db8::9")
        );
        assert_eq!(ask("[2001:db8::1]:8080"), said("task", "2001:db8::1"));
    });
}

#[test]
fn a_storm_of_questions_is_cut_off_before_the_name_server() {
    on_host(|stage| {
        shop(stage);
        let (loud, calm) = (
            stage.container(5, "10.0.5.9"),
            stage.container(5, "10.0.5.3"),
        );
        stage.apply();
        serve_udp("names", 53);
        let took = loud.run(|| {
            let begun = std::time::Instant::now();
            let socket = std::net::UdpSocket::bind("10.0.5.9:0").unwrap();
            for _ in 0..100_000 {
                // A full queue is no matter here.
                let _ = socket.send_to(b"?", "169.254.1.1:53");
            }
            begun.elapsed()
        });
        let arrived = arrived_datagrams();
        let allowed = 4_000.0 + 20_000.0 * (took.as_secs_f64() + 0.2);
        assert!(f64::from(arrived) < allowed, "{arrived} in {took:?}");
        wait_until_read(53);
        assert_eq!(calm.ask_udp("169.254.1.1:53"), said("names", "10.0.5.3"));
    });
}

/// What waits at a UDP port of this thread's namespace has no room beside it.
fn wait_until_read(port: u16) {
    let is_read = || {
        let files = ["udp", "udp6"].map(|file| format!("/proc/thread-self/net/{file}"));
        let text = files.map(|file| std::fs::read_to_string(file).unwrap());
        let mut sockets = text.iter().flat_map(|text| text.lines());
        sockets.all(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let (local, queues) = (fields[1], fields[4]);
            !local.ends_with(&format!(":{port:04X}")) || queues.ends_with(":00000000")
        })
    };
    let deadline = std::time::Instant::now() + PATIENCE;
    while !is_read() {
        assert!(std::time::Instant::now() < deadline, "nobody reads");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// By UDP, read or not, in this thread's namespace.
fn arrived_datagrams() -> u32 {
    let text = std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let lines: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("Udp: "))
        .collect();
    let (names, values) = (lines[0].split(' '), lines[1].split(' '));
    let counted = names.zip(values);
    let arrived = counted.filter(|(name, _)| ["InDatagrams", "RcvbufErrors"].contains(name));
    arrived
        .map(|(_, value)| value.parse::<u32>().unwrap())
        .sum()
}
