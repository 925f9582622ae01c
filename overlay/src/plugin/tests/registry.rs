use std::collections::BTreeSet;

use serde_json::json;

use super::super::protocol::PortRange;
use super::super::registry::{Link, Registry};
use super::*;
use crate::directory::Port;
use crate::kit::tcp;

pub(super) const PREFIX: &str = "swv0000";

pub(super) fn networked() -> Registry {
    let mut registry = Registry::default();
    for body in [CREATE_NETWORK, CREATE_NETWORK_V4] {
        let Ok(Call::CreateNetwork(network)) = call("/NetworkDriver.CreateNetwork", body) else {
            panic!("{body}");
        };
        registry.create_network(&network).unwrap();
    }
    registry
}

pub(super) fn create(
    registry: &mut Registry,
    body: &str,
    expected: &Expected,
) -> Result<Vec<String>, Refusal> {
    let Ok(Call::CreateEndpoint(endpoint)) = call("/NetworkDriver.CreateEndpoint", body) else {
        panic!("{body}");
    };
    registry
        .create_endpoint(&endpoint, expected)
        .map(|(_, dead)| dead)
}

pub(super) fn join(registry: &mut Registry, endpoint: &str) -> Link {
    let (link, _) = registry.plan_join(endpoint, PREFIX).unwrap();
    registry.joined(endpoint, SANDBOX, &link.host);
    link
}

/// One container on the dual-stack network.
fn inhabited() -> (Registry, Link) {
    let mut registry = networked();
    create(
        &mut registry,
        CREATE_ENDPOINT,
        &expected(&["10.0.5.8", "fd00:5::3"]),
    )
    .unwrap();
    let link = join(&mut registry, ENDPOINT);
    (registry, link)
}

pub(super) fn endpoint_of(id: &str, address: &str) -> String {
    json!({"NetworkID": NETWORK, "EndpointID": id, "Interface": {"Address": address}}).to_string()
}

#[test]
fn an_address_that_the_plan_has_not_given_is_refused() {
    let mut registry = networked();
    for given in [&[] as &[&str], &["10.0.5.8"], &["10.0.5.9", "fd00:5::3"]] {
        let refusal = create(&mut registry, CREATE_ENDPOINT, &expected(given));
        assert!(
            matches!(refusal, Err(Refusal::Unexpected(_))),
            "{given:?}: {refusal:?}"
        );
    }
    // Given, but on another network.
    let elsewhere = [(7, ip("10.0.5.8")), (7, ip("fd00:5::3"))].into();
    let refusal = create(&mut registry, CREATE_ENDPOINT, &elsewhere);
    assert!(
        matches!(refusal, Err(Refusal::Unexpected(_))),
        "{refusal:?}"
    );
    assert!(registry.plan_join(ENDPOINT, PREFIX).is_err());
}

#[test]
fn a_network_that_is_not_known_takes_no_endpoint() {
    let refusal = create(
        &mut Registry::default(),
        CREATE_ENDPOINT,
        &expected(&["10.0.5.8", "fd00:5::3"]),
    );
    assert!(
        matches!(refusal, Err(Refusal::UnknownNetwork(_))),
        "{refusal:?}"
    );
}

#[test]
fn a_container_reaches_everything_through_its_networks_gateway() {
    let (registry, _) = inhabited();
    let (link, answer) = registry.plan_join(ENDPOINT, PREFIX).unwrap();
    assert_eq!(
        serde_json::to_value(answer).unwrap(),
        json!({
            "InterfaceName": {"SrcName": format!("{}c", link.host), "DstPrefix": "eth"},
            "Gateway": "10.0.5.1",
            "GatewayIPv6": "fd00:5::1",
            "StaticRoutes": [
                {"Destination": "10.0.5.1/32", "RouteType": 1},
                {"Destination": "10.0.5.0/25", "RouteType": 0, "NextHop": "10.0.5.1"},
                {"Destination": "10.0.5.128/25", "RouteType": 0, "NextHop": "10.0.5.1"},
                {"Destination": "fd00:5::1/128", "RouteType": 1},
                {"Destination": "fd00:5::/65", "RouteType": 0, "NextHop": "fd00:5::1"},
                {"Destination": "fd00:5:0:0:8000::/65", "RouteType": 0, "NextHop": "fd00:5::1"},
            ],
        })
    );
    assert_eq!(link.gateways, [ip("10.0.5.1"), ip("fd00:5::1")]);
    assert_eq!(link.addresses, [ip("10.0.5.8"), ip("fd00:5::3")]);
}

#[test]
fn a_container_without_ipv6_hears_of_none() {
    let mut registry = networked();
    create(
        &mut registry,
        &endpoint_of("e", "10.0.5.8/24"),
        &expected(&["10.0.5.8"]),
    )
    .unwrap();
    let (link, answer) = registry.plan_join("e", PREFIX).unwrap();
    assert_eq!(answer.gateway6, None);
    assert_eq!(answer.routes.len(), 3);
    assert_eq!(link.gateways, [ip("10.0.5.1")]);
}

#[test]
fn no_two_networks_of_a_container_share_a_route() {
    let mut registry = networked();
    create(
        &mut registry,
        CREATE_ENDPOINT,
        &expected(&["10.0.5.8", "fd00:5::3"]),
    )
    .unwrap();
    let network =
        registry.networks()["711647623fff6659a75f3e3b879a49c67ac14eeb1c5b3a40689df95bdeec1d26"];
    create(
        &mut registry,
        CREATE_ENDPOINT_V4,
        &[(network, ip("10.0.6.2"))].into(),
    )
    .unwrap();
    let destinations = |endpoint| {
        let (_, answer) = registry.plan_join(endpoint, PREFIX).unwrap();
        answer
            .routes
            .into_iter()
            .map(|route| route.destination)
            .collect::<BTreeSet<_>>()
    };
    let second = "fbcb286f887e1e2d63a3a5318667a2a82416237d4ad25fcb88f82900f643c774";
    assert!(destinations(ENDPOINT).is_disjoint(&destinations(second)));
}

#[test]
fn names_of_links_fit_the_kernel_and_differ() {
    let mut registry = networked();
    let mut names = BTreeSet::new();
    for n in 2..=254 {
        let (id, address) = (format!("{n:064x}"), format!("10.0.5.{n}"));
        create(
            &mut registry,
            &endpoint_of(&id, &format!("{address}/24")),
            &expected(&[&address]),
        )
        .unwrap();
        let (link, _) = registry.plan_join(&id, PREFIX).unwrap();
        assert!(
            link.host.starts_with(PREFIX) && link.container.len() <= 15,
            "{link:?}"
        );
        assert!(
            names.insert(link.host.clone()) && names.insert(link.container),
            "{}",
            link.host
        );
    }
}

#[test]
fn addresses_are_local_from_joining_to_leaving() {
    let mut registry = networked();
    create(
        &mut registry,
        CREATE_ENDPOINT,
        &expected(&["10.0.5.8", "fd00:5::3"]),
    )
    .unwrap();
    assert!(registry.locals().is_empty());

    let link = join(&mut registry, ENDPOINT);
    let locals = registry.locals();
    assert_eq!(
        locals.keys().copied().collect::<Vec<_>>(),
        [ip("10.0.5.8"), ip("fd00:5::3")]
    );
    let local = &locals[&ip("fd00:5::3")];
    assert_eq!(
        (local.network, local.veth.as_str(), local.sandbox.as_str()),
        (SWARM_NETWORK, link.host.as_str(), SANDBOX)
    );

    assert_eq!(registry.leave(ENDPOINT), Some(link.host));
    assert!(registry.locals().is_empty());
    assert_eq!(registry.leave(ENDPOINT), None);
    assert_eq!(registry.delete_endpoint(ENDPOINT), None);
}

#[test]
fn an_endpoint_can_join_again_after_it_has_left() {
    let (mut registry, link) = inhabited();
    registry.leave(ENDPOINT);
    assert_eq!(join(&mut registry, ENDPOINT), link);
    assert_eq!(registry.locals().len(), 2);
}

#[test]
fn an_endpoint_that_the_engine_forgot_gives_way_to_the_next_with_its_address() {
    let (mut registry, link) = inhabited();
    let dead = create(
        &mut registry,
        &endpoint_of("next", "10.0.5.8/24"),
        &expected(&["10.0.5.8"]),
    )
    .unwrap();
    assert_eq!(dead, [link.host]);
    assert!(registry.plan_join(ENDPOINT, PREFIX).is_err());
}

#[test]
fn a_network_takes_its_endpoints_with_it() {
    let (mut registry, link) = inhabited();
    assert_eq!(registry.delete_network(NETWORK), [link.host]);
    assert!(registry.locals().is_empty());
    assert_eq!(registry.delete_network(NETWORK), [] as [String; 0]);
}

#[test]
fn a_port_leads_to_one_container() {
    let (mut registry, _) = inhabited();
    create(
        &mut registry,
        &endpoint_of("other", "10.0.5.9/24"),
        &expected(&["10.0.5.9"]),
    )
    .unwrap();
    let publish = |registry: &mut Registry, endpoint: &str, host_ip: &str| {
        let body = json!({"EndpointID": endpoint, "Options": {"com.docker.network.portmap": [
            {"Proto": 6, "Port": 80, "HostIP": host_ip, "HostPort": 8080}]}});
        let Ok(Call::Publish(publish)) = call(
            "/NetworkDriver.ProgramExternalConnectivity",
            &body.to_string(),
        ) else {
            panic!("{body}");
        };
        registry.publish(endpoint, publish.ports().unwrap(), |_| None)
    };
    publish(&mut registry, ENDPOINT, "192.0.2.1").unwrap();
    publish(&mut registry, ENDPOINT, "192.0.2.1").unwrap();
    assert_eq!(registry.locals()[&ip("10.0.5.8")].ports.len(), 1);

    let refusal = publish(&mut registry, "other", "0.0.0.0").unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "port 8080 of this host already leads to the container at 10.0.5.8"
    );
    publish(&mut registry, "other", "192.0.2.2").unwrap();

    registry.unpublish(ENDPOINT);
    assert!(registry.locals()[&ip("10.0.5.8")].ports.is_empty());
}

#[test]
fn a_number_that_is_left_open_is_one_that_nobody_has() {
    let (mut registry, _) = inhabited();
    create(
        &mut registry,
        &endpoint_of("other", "10.0.5.9/24"),
        &expected(&["10.0.5.9"]),
    )
    .unwrap();
    let wanted = |first, last| PortRange {
        port: tcp(first, 80),
        last,
    };
    // A program of the host has 8001, and it offers 40000.
    let free = |port: &Port| match port.published {
        8001 => None,
        0 => Some(40_000),
        free => Some(free),
    };
    let mut publish = |endpoint: &str, wanted: &[PortRange]| -> Result<Vec<u16>, String> {
        let done = registry.publish(endpoint, wanted.to_vec(), free);
        done.map_err(|refusal| refusal.to_string())?;
        let addr = if endpoint == ENDPOINT {
            "10.0.5.8"
        } else {
            "10.0.5.9"
        };
        join(&mut registry, endpoint);
        let ports = registry.locals()[&ip(addr)].ports.clone();
        Ok(ports.iter().map(|port| port.published).collect())
    };
    let range = wanted(8000, 8002);
    let both = [range.clone(), range.clone()];
    assert_eq!(publish(ENDPOINT, &both), Ok(vec![8000, 8002]));
    assert_eq!(publish(ENDPOINT, &both), Ok(vec![8000, 8002]), "again");
    let none = "no port of this host is free for container port 80: name another";
    assert_eq!(publish("other", &[range]), Err(none.to_owned()));
    assert_eq!(publish("other", &[wanted(0, 0)]), Ok(vec![40_000]));
    let any = [0; 3].map(|_| wanted(0, 0));
    assert_eq!(publish(ENDPOINT, &any[1..]), Ok(vec![8000, 8002]), "still");
    assert_eq!(publish(ENDPOINT, &any), Err(none.to_owned()));
}

#[test]
fn links_that_are_gone_are_forgotten_and_those_of_nobody_are_named() {
    let present = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    let (mut registry, link) = inhabited();
    let stray = format!("{PREFIX}zzzzzz");
    let half = format!("{PREFIX}zzzzzzc");
    let others = [
        "lo",
        "eth0",
        "swv0001zzzzzz",
        "swl0",
        "swv0000",
        "swv0000long-one",
    ];
    let mut names = present(&others);
    // The engine has not yet taken the container's end.
    names.extend([
        link.host.clone(),
        link.container.clone(),
        stray.clone(),
        half.clone(),
    ]);

    let (kept, strays) = registry.reconcile(&names, PREFIX);
    assert_eq!(kept, [link]);
    assert_eq!(strays, [stray, half]);
    assert_eq!(registry.locals().len(), 2);

    let (kept, strays) = registry.reconcile(&present(&others), PREFIX);
    assert!(kept.is_empty() && strays.is_empty());
    assert!(registry.locals().is_empty());
    // The engine may still bring the container back.
    assert!(registry.plan_join(ENDPOINT, PREFIX).is_ok());
}
