//! Real clients whose backends come and go.

use std::collections::BTreeSet;
use std::time::Instant;

use super::stage::{PATIENCE, on_host};
use super::traffic::{REFUSED, published, said, shop};
use crate::host::conntrack::{Stale, delete};
use crate::kit::{ip, tcp};

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
fn a_tcp_client_hears_at_once_that_its_container_left() {
    on_host(|stage| {
        shop(stage);
        let client = stage.container(5, "10.0.5.9");
        let a = stage.task(50, 5, "10.0.5.3");
        let b = stage.container(5, "10.0.5.4");
        stage.apply();
        a.serve("a", 80);
        b.serve("b", 80);
        let mut talk = client.connect("10.0.5.2:80");
        let ended = client.connect("10.0.5.2:80");
        let greetings = [&talk, &ended].map(|talk| &*talk.greeting);
        assert_eq!(greetings, ["a 10.0.5.9"; 2]);
        ended.abort();
        stage.site.gone("10.0.5.3");
        stage.site.view.locals.remove(&ip("10.0.5.3"));
        stage.site.task(50, 5, "10.0.5.4", 1);
        assert_eq!(stage.apply().flows, 1);
        let asked = Instant::now();
        assert!(!talk.goes_on());
        assert!(asked.elapsed() < PATIENCE, "it waited for an answer");
    });
}

/// The kernel finds the new one by what the old one was found by: address, port,
/// and an id that is made of its place in memory, which may be the same.
#[test]
fn a_tcp_client_from_the_port_of_an_earlier_one_is_not_taken_for_it() {
    on_host(|stage| {
        shop(stage);
        let client = stage.container(5, "10.0.5.9");
        let a = stage.task(50, 5, "10.0.5.3");
        let b = stage.container(5, "10.0.5.4");
        let c = stage.container(5, "10.0.5.5");
        stage.apply();
        a.serve("a", 80);
        b.serve("b", 80);
        c.serve("c", 80);
        let ended = client.connect_from(40000, "10.0.5.2:80");
        assert_eq!(ended.greeting, "a 10.0.5.9");
        ended.abort();
        stage.site.draining(50, 5, "10.0.5.3", 1);
        stage.site.task(50, 5, "10.0.5.4", 1);
        stage.apply();
        let before = stage.site.table();
        let mut now = before.clone();
        now.locals.remove(&ip("10.0.5.3"));
        let stale = Stale::between(&before, &now).flows().unwrap();
        let mut talk = client.connect_from(40000, "10.0.5.2:80");
        assert_eq!(talk.greeting, "b 10.0.5.9");
        stage.site.draining(50, 5, "10.0.5.4", 1);
        stage.site.task(50, 5, "10.0.5.5", 1);
        stage.apply();
        delete(&stale).unwrap();
        assert!(talk.goes_on());
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
