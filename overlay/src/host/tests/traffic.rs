//! Real packets through the real kernel.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use super::stage::{
    PATIENCE, Stage, ask, ask_udp, on_host, serve, serve_udp, serve_udp_on, sh, veth,
};
use crate::directory::{OutdatedPorts, Port, Protocol};
use crate::kit::{hear, ip, tcp};

const DROPPED: Result<String, ErrorKind> = Err(ErrorKind::TimedOut);
const REFUSED: Result<String, ErrorKind> = Err(ErrorKind::ConnectionRefused);

/// Network 5 with a service at 10.0.5.2.
fn shop(stage: &mut Stage) {
    stage.site.network(5, &["10.0.5.0/24"]);
    stage.site.service(50, 5, &["10.0.5.2"]);
}

/// A service that publishes 8080, with a task here.
fn published(stage: &mut Stage) {
    stage.site.network(1, &["10.0.0.0/24"]).ingress = true;
    stage.site.service(60, 1, &[]).ports = BTreeSet::from([tcp(8080, 80)]);
}

fn said(name: &str, client: &str) -> Result<String, ErrorKind> {
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
fn a_published_port_shows_the_task_its_client() {
    on_host(|stage| {
        published(stage);
        let server = stage.task(60, 1, "10.0.0.3");
        let outside = stage.outside();
        stage.apply();
        server.serve("task", 80);
        assert_eq!(outside.ask("192.0.2.1:8080"), said("task", "192.0.2.9"));
    });
}

#[test]
fn a_published_port_leads_to_each_task_at_its_own_port() {
    on_host(|stage| {
        published(stage);
        let (old, new) = (stage.task(60, 1, "10.0.0.3"), stage.task(60, 1, "10.0.0.4"));
        let tasks = stage.site.view.endpoints.iter();
        let tasks = tasks.filter(|it| it.addr == ip("10.0.0.4"));
        let outdated = OutdatedPorts {
            tasks: tasks.map(|it| it.task).collect(),
            ports: BTreeSet::from([tcp(8080, 79)]),
        };
        stage.site.service(60, 1, &[]).outdated = vec![outdated];
        let outside = stage.outside();
        stage.apply();
        old.serve("at 80", 80);
        new.serve("at 79", 79);
        let answers: BTreeSet<_> = (0..40)
            .map(|_| outside.ask("192.0.2.1:8080").unwrap())
            .collect();
        let wanted = ["at 79 192.0.2.9", "at 80 192.0.2.9"].map(str::to_owned);
        assert_eq!(answers, wanted.into());
    });
}

#[test]
fn a_published_port_answers_on_localhost() {
    on_host(|stage| {
        published(stage);
        let server = stage.task(60, 1, "10.0.0.3");
        let _outside = stage.outside();
        stage.apply();
        server.serve("task", 80);
        assert_eq!(ask("127.0.0.1:8080"), said("task", "192.0.2.1"));
        assert_eq!(ask("192.0.2.1:8080"), said("task", "192.0.2.1"));
    });
}

#[test]
fn a_port_published_on_one_address_answers_there_only() {
    on_host(|stage| {
        published(stage);
        let mut port = tcp(8080, 80);
        port.host_ip = Some(crate::kit::ip("127.0.0.1"));
        stage.site.service(60, 1, &[]).ports = BTreeSet::from([port]);
        let server = stage.task(60, 1, "10.0.0.3");
        let outside = stage.outside();
        stage.apply();
        server.serve("task", 80);
        assert_eq!(ask("127.0.0.1:8080"), said("task", "192.0.2.1"));
        assert_eq!(outside.ask("192.0.2.1:8080"), REFUSED);
    });
}

#[test]
fn containers_use_published_ports_as_any_client() {
    on_host(|stage| {
        shop(stage);
        published(stage);
        let server = stage.task(60, 1, "10.0.0.3");
        let client = stage.container(5, "10.0.5.9");
        let _outside = stage.outside();
        stage.apply();
        server.serve("task", 80);
        assert_eq!(client.ask("192.0.2.1:8080"), said("task", "192.0.2.1"));
        assert_eq!(server.ask("192.0.2.1:8080"), said("task", "169.254.1.1"));
        assert_eq!(client.ask("10.0.0.3:80"), DROPPED);
    });
}

#[test]
fn the_ingress_network_joins_nobody() {
    on_host(|stage| {
        published(stage);
        let (a, b) = (stage.task(60, 1, "10.0.0.3"), stage.task(60, 1, "10.0.0.4"));
        let _outside = stage.outside();
        let peer = stage.tunnel(&["10.0.0.9"]);
        stage.apply();
        a.serve("a", 80);
        assert_eq!(b.ask("10.0.0.3:80"), DROPPED);
        assert_eq!(peer.ask("10.0.0.3:80"), DROPPED);
    });
}

#[test]
fn a_published_port_leads_through_the_tunnel_with_the_clients_address() {
    on_host(|stage| {
        published(stage);
        stage.site.task(60, 1, "10.0.0.4", 2);
        let outside = stage.outside();
        let far = stage.tunnel(&["10.0.0.4"]);
        stage.apply();
        far.serve("far", 80);
        assert_eq!(outside.ask("192.0.2.1:8080"), said("far", "192.0.2.9"));
        assert_eq!(ask("127.0.0.1:8080"), said("far", "192.0.2.1"));
        // As the engine does for clients on its bridges.
        sh("nft add table ip other &&
            nft add chain ip other post '{ type nat hook postrouting priority srcnat; }' &&
            nft add rule ip other post masquerade");
        assert_eq!(outside.ask("192.0.2.1:8080"), said("far", "192.0.2.9"));
    });
}

/// Otherwise the packet would come to that node with a source of its own.
#[test]
fn a_client_on_the_node_of_the_backend_gets_another_source() {
    on_host(|stage| {
        published(stage);
        stage.site.task(60, 1, "10.0.0.4", 2);
        stage.site.peer(2, "192.0.2.9");
        let node2 = stage.outside();
        let far = stage.tunnel(&["10.0.0.4"]);
        stage.apply();
        far.serve("far", 80);
        assert_eq!(node2.ask("192.0.2.1:8080"), said("far", "192.0.2.1"));
    });
}

#[test]
fn a_reply_to_an_outside_client_goes_back_through_the_tunnel() {
    on_host(|stage| {
        published(stage);
        let server = stage.task(60, 1, "10.0.0.3");
        let _outside = stage.outside();
        let ingress = stage.tunnel(&["198.51.100.7"]);
        stage.apply();
        server.serve("task", 80);
        server.serve("private", 81);
        assert_eq!(ingress.ask("10.0.0.3:80"), said("task", "198.51.100.7"));
        assert_eq!(ingress.ask("10.0.0.3:81"), DROPPED);
    });
}

/// A name server that runs as a service, and the swarm's own.
#[test]
fn a_service_that_publishes_port_53_answers_outside_clients_only() {
    on_host(|stage| {
        shop(stage);
        stage.site.network(1, &["10.0.0.0/24"]).ingress = true;
        let port = Port {
            protocol: Protocol::Udp,
            ..tcp(53, 53)
        };
        stage.site.service(60, 1, &[]).ports = BTreeSet::from([port]);
        let task = stage.task(60, 1, "10.0.0.3");
        let client = stage.container(5, "10.0.5.9");
        let outside = stage.outside();
        stage.apply();
        serve_udp_on("names", "169.254.1.1:53");
        serve_udp_on("stub", "127.0.0.53:53");
        task.serve_udp("task", 53);
        assert_eq!(outside.ask_udp("192.0.2.1:53"), said("task", "192.0.2.9"));
        assert_eq!(client.ask_udp("169.254.1.1:53"), said("names", "10.0.5.9"));
        assert_eq!(ask_udp("127.0.0.53:53"), said("stub", "127.0.0.1"));
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
fn clients_to_whom_the_host_has_no_route_are_answered() {
    on_host(|stage| {
        published(stage);
        let server = stage.task(60, 1, "10.0.0.3");
        let ingress = stage.tunnel(&["198.51.100.7"]);
        stage.apply();
        server.serve("task", 80);
        assert_eq!(ingress.ask("10.0.0.3:80"), said("task", "198.51.100.7"));
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
fn a_port_in_host_mode_is_the_containers() {
    on_host(|stage| {
        shop(stage);
        let server = stage.container(5, "10.0.5.3");
        stage.site.local(5, "10.0.5.3", "").ports = BTreeSet::from([tcp(9000, 80)]);
        let (outside, other) = (stage.outside(), stage.container(5, "10.0.5.9"));
        stage.apply();
        server.serve("server", 80);
        assert_eq!(outside.ask("192.0.2.1:9000"), said("server", "192.0.2.9"));
        assert_eq!(other.ask("192.0.2.1:9000"), said("server", "10.0.5.9"));
        assert_eq!(ask("127.0.0.1:9000"), said("server", "192.0.2.1"));
        assert_eq!(server.ask("192.0.2.1:9000"), said("server", "169.254.1.1"));
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
fn a_udp_client_moves_on_when_its_backend_is_gone() {
    on_host(|stage| {
        shop(stage);
        let client = stage.container(5, "10.0.5.9");
        let b = stage.container(5, "10.0.5.3");
        let far = stage.tunnel(&["10.0.5.4"]);
        stage.site.task(50, 5, "10.0.5.4", 2);
        stage.apply();
        b.serve_udp("near", 80);
        far.serve_udp("far", 80);
        let talk = client.udp_client("10.0.5.2:80");
        assert_eq!(talk.ask(), said("far", "10.0.5.9"));
        stage.site.task(50, 5, "10.0.5.3", 1);
        stage.site.draining(50, 5, "10.0.5.4", 2);
        assert_eq!(stage.apply().flows, 0);
        assert_eq!(talk.ask(), said("far", "10.0.5.9"), "draining");
        stage.site.gone("10.0.5.4");
        assert_eq!(stage.apply().flows, 1);
        assert_eq!(talk.ask(), said("near", "10.0.5.9"));
    });
}

#[test]
fn a_udp_client_moves_on_from_a_backend_that_went_while_nobody_looked() {
    on_host(|stage| {
        shop(stage);
        let client = stage.container(5, "10.0.5.9");
        let near = stage.container(5, "10.0.5.3");
        let far = stage.tunnel(&["10.0.5.4"]);
        stage.site.task(50, 5, "10.0.5.4", 2);
        stage.apply();
        near.serve_udp("near", 80);
        far.serve_udp("far", 80);
        let talk = client.udp_client("10.0.5.2:80");
        assert_eq!(talk.ask(), said("far", "10.0.5.9"));
        stage.start_anew();
        assert_eq!(stage.apply().flows, 0);
        stage.start_anew();
        stage.site.task(50, 5, "10.0.5.3", 1);
        stage.site.gone("10.0.5.4");
        assert_eq!(stage.apply().flows, 1);
        assert_eq!(talk.ask(), said("near", "10.0.5.9"));
    });
}

#[test]
fn a_tcp_client_whom_nobody_has_answered_moves_on() {
    on_host(|stage| {
        shop(stage);
        let client = stage.container(5, "10.0.5.9");
        let b = stage.container(5, "10.0.5.3");
        // It drops what is for 10.0.5.4.
        let _far = stage.tunnel(&[]);
        stage.site.task(50, 5, "10.0.5.4", 2);
        stage.apply();
        b.serve("near", 80);
        let asked = client.ask_patiently("10.0.5.2:80");
        while client.sh("ss -Htn state syn-sent").is_empty() {}
        stage.site.task(50, 5, "10.0.5.3", 1);
        stage.site.gone("10.0.5.4");
        assert_eq!(stage.apply().flows, 1);
        assert_eq!(asked.join().unwrap(), said("near", "10.0.5.9"));
    });
}

#[test]
fn a_udp_client_of_a_port_that_nobody_answered_is_answered_later() {
    on_host(|stage| {
        published(stage);
        let mut port = tcp(8053, 53);
        port.protocol = crate::directory::Protocol::Udp;
        stage.site.service(60, 1, &[]).ports = BTreeSet::from([port]);
        let server = stage.container(1, "10.0.0.3");
        let outside = stage.outside();
        stage.apply();
        server.serve_udp("names", 53);
        let talk = outside.udp_client("192.0.2.1:8053");
        assert_eq!(talk.ask(), REFUSED);
        stage.site.task(60, 1, "10.0.0.3", 1);
        stage.apply();
        assert_eq!(talk.ask(), said("names", "192.0.2.9"));
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
