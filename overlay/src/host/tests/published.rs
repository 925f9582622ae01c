//! Real packets to published ports.

use std::collections::BTreeSet;

use super::stage::{ask, ask_udp, on_host, serve_udp_on, sh};
use super::traffic::{DROPPED, REFUSED, published, said, shop};
use crate::directory::{OutdatedPorts, Port, Protocol};
use crate::kit::{ip, tcp};

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
