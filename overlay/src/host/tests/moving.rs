//! Real clients whose backends come and go.

use std::collections::BTreeSet;

use super::stage::on_host;
use super::traffic::{REFUSED, published, said, shop};
use crate::kit::tcp;

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
