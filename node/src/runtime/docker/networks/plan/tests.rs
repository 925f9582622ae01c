use serde_json::{Value, json};

use super::*;
use crate::worker::testing;

const PLUGIN: &str = "swarmlet";
const FRONT: Id = Id::from_u128(11);

fn assigned() -> AssignedNetwork {
    AssignedNetwork {
        name: "front".into(),
        ..testing::network(FRONT, &["10.0.1.2/24", "fd00:1::2/64"])
    }
}

fn plan() -> NetworkPlan {
    NetworkPlan::from(&assigned())
}

/// As dockerd 20.10.24 answers `GET /networks`.
fn listed(id: &str, name: &str, driver: &str, options: Value, subnets: &[&str]) -> Found {
    let configs = subnets.chunks(2).map(|pair| match pair {
        [subnet, gateway] => json!({"Subnet": subnet, "Gateway": gateway}),
        rest => json!({"Subnet": rest[0]}),
    });
    let network = json!({
        "Name": name, "Id": id, "Created": "2026-11-21T14:55:02.446913628Z", "Scope": "local",
        "Driver": driver, "EnableIPv6": false,
        "IPAM": {"Driver": "default", "Options": null, "Config": configs.collect::<Value>()},
        "Internal": false, "Attachable": false, "Ingress": false, "ConfigFrom": {"Network": ""},
        "ConfigOnly": false, "Containers": {}, "Options": options, "Labels": {},
    });
    Found::read(serde_json::from_value(network).unwrap(), PLUGIN).unwrap()
}

fn ours(id: &str, name: &str, network: Id, subnets: &[&str]) -> Found {
    let options = json!({NETWORK_OPTION: network.to_string()});
    listed(id, name, PLUGIN, options, subnets)
}

fn bridge() -> Found {
    listed("b", "bridge", "bridge", Value::Null, &["172.17.0.0/16"])
}

const SUBNETS: [&str; 4] = ["10.0.1.0/24", "10.0.1.1", "fd00:1::/64", "fd00:1::1"];

fn make<'a>(name: &str, stale: &[&'a Found]) -> Choice<'a> {
    Choice::Make {
        name: name.to_owned(),
        stale: stale.to_vec(),
    }
}

#[test]
fn a_network_is_known_by_its_option_whatever_it_is_called() {
    let found = [bridge(), ours("n", "renamed", FRONT, &SUBNETS)];
    assert_eq!(choose(&plan(), &found, PLUGIN), Choice::Adopt(&found[1]));
}

#[test]
fn a_name_that_is_taken_is_made_another() {
    assert_eq!(choose(&plan(), &[bridge()], PLUGIN), make("front", &[]));
    let users = listed("u", "front", "bridge", json!({}), &[]);
    let other = ours(
        "o",
        "front",
        Id::from_u128(12),
        &["10.0.2.0/24", "10.0.2.1"],
    );
    let found = [users, other];
    let name = format!("front-{FRONT}");
    assert_eq!(choose(&plan(), &found[..1], PLUGIN), make(&name, &[]));
    assert_eq!(choose(&plan(), &found[1..], PLUGIN), make(&name, &[]));
}

#[test]
fn a_network_of_another_driver_or_shape_is_not_taken_for_it() {
    let option = json!({NETWORK_OPTION: FRONT.to_string()});
    let of_another_node = [listed("x", "y", "swarmlet-1a2b", option, &SUBNETS)];
    let choice = choose(&plan(), &of_another_node, PLUGIN);
    assert_eq!(choice, make("front", &[]));
    let before = [ours("n", "front", FRONT, &["10.9.0.0/24", "10.9.0.1"])];
    let choice = choose(&plan(), &before, PLUGIN);
    assert_eq!(choice, make("front", &[&before[0]]));
    // Attachable, it would have asked us for its addresses.
    let attachable = NetworkPlan {
        attachable: true,
        ..plan()
    };
    let before = [ours("n", "front", FRONT, &SUBNETS)];
    let choice = choose(&attachable, &before, PLUGIN);
    assert_eq!(choice, make("front", &[&before[0]]));
}

#[test]
fn a_network_whose_addresses_are_given_to_another_makes_way() {
    let gone = Id::from_u128(12);
    for (subnets, makes_way) in [
        (["10.0.0.0/16", "10.0.0.1"], true),
        (["10.0.1.128/25", "10.0.1.129"], true),
        (["10.0.2.0/24", "10.0.2.1"], false),
    ] {
        let found = [bridge(), ours("o", "before", gone, &subnets)];
        let stale = match makes_way {
            true => vec![&found[1]],
            false => Vec::new(),
        };
        assert_eq!(choose(&plan(), &found, PLUGIN), make("front", &stale));
    }
    // One of the user is in the way.
    let users = listed("u", "mine", "bridge", json!({}), &SUBNETS);
    assert_eq!(choose(&plan(), &[users], PLUGIN), make("front", &[]));
}

fn body(plan: &NetworkPlan) -> Value {
    serde_json::to_value(create_request(plan, "front".into(), PLUGIN)).unwrap()
}

#[test]
fn the_engine_is_told_of_subnets_gateways_and_whose_network_it_is() {
    let option = json!({NETWORK_OPTION: FRONT.to_string()});
    let mut expected = json!({
        "Name": "front", "Driver": "swarmlet", "EnableIPv6": true, "Options": option,
        "IPAM": {"Driver": "default", "Config": [
            {"Subnet": "10.0.1.0/24", "Gateway": "10.0.1.1"},
            {"Subnet": "fd00:1::/64", "Gateway": "fd00:1::1"},
        ]},
    });
    assert_eq!(body(&plan()), expected);
    let attachable = NetworkPlan {
        attachable: true,
        ..plan()
    };
    expected["IPAM"]["Driver"] = json!("swarmlet");
    expected["IPAM"]["Options"] = option;
    assert_eq!(body(&attachable), expected);
    let narrow = NetworkPlan {
        mtu: Some(1300),
        ..attachable
    };
    expected["Options"]["com.docker.network.driver.mtu"] = json!("1300");
    assert_eq!(body(&narrow), expected);
}

#[test]
fn only_networks_of_ours_that_nobody_wants_are_removed() {
    let other = Id::from_u128(12);
    let found = [
        bridge(),
        ours("f", "front", FRONT, &SUBNETS),
        ours("o", "other", other, &[]),
        listed("n", "none", PLUGIN, Value::Null, &[]),
    ];
    let unwanted = |wanted: Networks| {
        let unwanted = super::unwanted(&wanted, &found).into_iter();
        unwanted.map(|it| it.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(unwanted(Networks::default()), ["f", "o", "n"]);
    let wanted = Networks {
        make: [(FRONT, plan())].into(),
        keep: [other].into(),
        evict: false,
    };
    assert_eq!(unwanted(wanted), ["n"]);
}

fn connection(id: &str) -> Connection {
    Connection::new(id.into(), "front".into(), &assigned())
}

/// A container's network as the engine tells of it after a stop.
fn stopped(id: &str, v4: &str) -> EndpointSettings {
    serde_json::from_value(json!({
        "IPAMConfig": {"IPv4Address": v4, "IPv6Address": "fd00:1::2"}, "Links": null,
        "Aliases": ["0004e8ed77b1"], "NetworkID": id, "EndpointID": "", "IPAddress": "",
    }))
    .unwrap()
}

#[test]
fn an_endpoint_asks_for_the_tasks_addresses_and_has_no_aliases() {
    let endpoint = serde_json::to_value(connection("n").endpoint).unwrap();
    let addresses = json!({"IPv4Address": "10.0.1.2", "IPv6Address": "fd00:1::2"});
    assert_eq!(endpoint, json!({"IPAMConfig": addresses}));
}

#[test]
fn a_container_that_was_just_made_or_has_fallen_lacks_nothing() {
    let wanted = [connection("n")];
    for has in [connection("n").endpoint, stopped("n", "10.0.1.2")] {
        let has = HashMap::from([("front".to_owned(), has)]);
        assert_eq!(mending(&wanted, &has), []);
    }
}

#[test]
fn a_container_is_taken_off_what_is_not_its_network_any_more() {
    let wanted = [connection("n")];
    // Made anew since, with another address, and one of a user.
    for wrong in [stopped("old", "10.0.1.2"), stopped("n", "10.0.1.9")] {
        let has = HashMap::from([
            ("front".to_owned(), wrong),
            ("bridge".to_owned(), stopped("b", "172.17.0.2")),
        ]);
        let expected = [
            Mend::Disconnect("bridge"),
            Mend::Disconnect("front"),
            Mend::Connect(&wanted[0]),
        ];
        assert_eq!(mending(&wanted, &has), expected);
    }
    let has = HashMap::new();
    assert_eq!(mending(&wanted, &has), [Mend::Connect(&wanted[0])]);
}
