use std::collections::BTreeSet;

use ipnet::IpNet;
use serde_json::json;

use super::super::attach::{Grant, Wanted};
use super::super::attachments::Lease;
use super::super::ipam::Pool;
use super::super::registry::Registry;
use super::registry::{PREFIX, create, endpoint_of, join, networked};
use super::*;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn pool(text: &str) -> Pool {
    Pool {
        network: SWARM_NETWORK,
        net: net(text),
    }
}

fn v4() -> Pool {
    pool("10.0.5.0/24")
}

fn v6() -> Pool {
    pool("fd00:5::/64")
}

fn grant(addrs: &[&str]) -> Grant {
    Grant {
        addrs: addrs.iter().map(|text| net(text)).collect(),
        ticket: vec![7],
    }
}

fn request(registry: &mut Registry, pool: &Pool, wanted: Option<&str>, fresh: u128) -> Lease {
    registry.request_address(pool, wanted.map(ip), &Expected::new(), fresh)
}

fn wanted(id: u128, addrs: &[&str]) -> Wanted {
    Wanted {
        id,
        network: SWARM_NETWORK,
        addrs: addrs.iter().map(|text| ip(text)).collect(),
    }
}

/// A container got 10.0.5.20 and fd00:5::20 as attachment 1, and has no
/// endpoint yet.
fn granted(registry: &mut Registry) {
    let lease = request(registry, &v4(), None, 1);
    assert_eq!(lease, Lease::Ask(wanted(1, &[])));
    let both = grant(&["10.0.5.20/24", "fd00:5::20/64"]);
    let addr = registry.granted(&wanted(1, &[]), both, &v4()).unwrap();
    assert_eq!(addr, ip("10.0.5.20"));
    let lease = request(registry, &v6(), None, 2);
    assert_eq!(lease, Lease::Given(ip("fd00:5::20")));
}

fn endpoint(id: &str) -> String {
    json!({"NetworkID": NETWORK, "EndpointID": id, "Interface": {
        "Address": "10.0.5.20/24", "AddressIPv6": "fd00:5::20/64"}})
    .to_string()
}

fn ended(registry: &Registry) -> bool {
    registry.held().is_empty() && registry.attached().is_empty()
}

#[test]
fn an_address_of_the_plan_needs_no_manager() {
    let mut registry = networked();
    let expected = expected(&["10.0.5.8"]);
    let lease = registry.request_address(&v4(), Some(ip("10.0.5.8")), &expected, 1);
    assert_eq!(lease, Lease::Given(ip("10.0.5.8")));
    let lease = registry.request_address(&v4(), Some(ip("10.0.5.9")), &expected, 1);
    assert_eq!(lease, Lease::Ask(wanted(1, &["10.0.5.9"])));
    assert!(ended(&registry));
}

#[test]
fn a_container_of_a_user_has_what_the_manager_gave_until_it_gives_it_back() {
    let mut registry = networked();
    granted(&mut registry);
    assert_eq!(registry.held(), [1].into());
    create(&mut registry, &endpoint("e"), &Expected::new()).unwrap();
    assert!(registry.attached().is_empty(), "it has no link yet");
    let link = join(&mut registry, "e");
    let attached = registry.attached().remove(&1).unwrap();
    assert_eq!(attached.addrs, [ip("10.0.5.20"), ip("fd00:5::20")]);
    assert_eq!(
        (attached.network, attached.ticket),
        (SWARM_NETWORK, vec![7])
    );
    assert_eq!(
        (attached.endpoint.as_str(), attached.engine_network.as_str()),
        ("e", NETWORK)
    );

    assert_eq!(registry.leave("e"), Some(link.host));
    assert!(registry.attached().is_empty());
    registry.delete_endpoint("e");
    registry.release_address(&v4(), ip("10.0.5.20"));
    assert_eq!(
        registry.held(),
        [1].into(),
        "the other family's is still taken"
    );
    registry.release_address(&v6(), ip("fd00:5::20"));
    assert!(ended(&registry));
}

#[test]
fn what_no_manager_gave_is_let_in_by_nobody() {
    let mut registry = networked();
    granted(&mut registry);
    registry.release_address(&v6(), ip("fd00:5::20"));
    let refusal = create(&mut registry, &endpoint("e"), &Expected::new());
    assert!(matches!(refusal, Err(Refusal::Unexpected(addr)) if addr == ip("fd00:5::20")));
}

#[test]
fn an_address_that_an_endpoint_still_uses_stays_held() {
    let mut registry = networked();
    granted(&mut registry);
    create(&mut registry, &endpoint("e"), &Expected::new()).unwrap();
    join(&mut registry, "e");
    registry.release_address(&v4(), ip("10.0.5.20"));
    registry.release_address(&v6(), ip("fd00:5::20"));
    assert_eq!(registry.held(), [1].into());
    registry.delete_endpoint("e");
    assert!(ended(&registry));
}

#[test]
fn the_next_container_is_another_attachment() {
    let mut registry = networked();
    granted(&mut registry);
    create(&mut registry, &endpoint("e"), &Expected::new()).unwrap();
    for pool in [v4(), v6()] {
        let lease = request(&mut registry, &pool, None, 2);
        assert_eq!(lease, Lease::Ask(wanted(2, &[])));
    }
    let elsewhere = Pool { network: 7, ..v4() };
    let lease = registry.request_address(&elsewhere, None, &Expected::new(), 3);
    assert!(matches!(lease, Lease::Ask(wanted) if wanted.network == 7));
}

#[test]
fn a_user_can_name_the_address_of_each_family() {
    let mut registry = networked();
    let lease = request(&mut registry, &v4(), Some("10.0.5.44"), 1);
    let first = wanted(1, &["10.0.5.44"]);
    assert_eq!(lease, Lease::Ask(first.clone()));
    let both = grant(&["10.0.5.44/24", "fd00:5::2/64"]);
    registry.granted(&first, both, &v4()).unwrap();
    // The same attachment is asked for once more.
    let lease = request(&mut registry, &v6(), Some("fd00:5::44"), 2);
    let second = wanted(1, &["10.0.5.44", "fd00:5::44"]);
    assert_eq!(lease, Lease::Ask(second.clone()));
    let both = grant(&["10.0.5.44/24", "fd00:5::44/64"]);
    let addr = registry.granted(&second, both, &v6()).unwrap();
    assert_eq!(addr, ip("fd00:5::44"));
    assert_eq!(registry.held(), [1].into());
}

#[test]
fn other_addresses_than_were_asked_for_are_refused() {
    let mut registry = networked();
    let asked = wanted(1, &["10.0.5.44"]);
    for addrs in [&["10.0.5.45/24"] as &[&str], &["fd00:5::44/64"], &[]] {
        let refusal = registry.granted(&asked, grant(addrs), &v4());
        assert!(matches!(refusal, Err(Refusal::NotAttached(_))), "{addrs:?}");
    }
    assert!(ended(&registry));
}

#[test]
fn a_network_that_goes_takes_its_attachments_with_it() {
    let mut registry = networked();
    granted(&mut registry);
    create(&mut registry, &endpoint("e"), &Expected::new()).unwrap();
    join(&mut registry, "e");
    registry.release_address(&v4(), ip("10.0.5.20"));
    registry.release_address(&v6(), ip("fd00:5::20"));
    registry.delete_network(NETWORK);
    assert!(ended(&registry));
}

#[test]
fn containers_that_ended_while_nobody_listened_give_their_addresses_back() {
    let mut registry = networked();
    granted(&mut registry);
    create(&mut registry, &endpoint("e"), &Expected::new()).unwrap();
    let link = join(&mut registry, "e");
    let task = endpoint_of("task", "10.0.5.8/24");
    create(&mut registry, &task, &expected(&["10.0.5.8"])).unwrap();

    let mut adopted = registry.clone();
    adopted.reconcile(&BTreeSet::from([link.host]), PREFIX);
    assert_eq!(adopted.held(), [1].into());
    assert_eq!(adopted.attached().len(), 1);

    registry.reconcile(&BTreeSet::new(), PREFIX);
    assert!(ended(&registry));
    assert!(
        registry.plan_join("e", PREFIX).is_err(),
        "its address is not its own any more"
    );
    assert!(registry.plan_join("task", PREFIX).is_ok());
}
