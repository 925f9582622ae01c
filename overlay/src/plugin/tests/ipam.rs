use serde_json::json;

use super::super::ipam::{self, RequestAddress, RequestPool};
use super::*;

const REQUEST_POOL: &str = r#"{"AddressSpace":"swarmlet","Pool":"10.0.5.0/24","SubPool":"","Options":{"swarmlet.network":"0000000000000000000000abc"},"V6":false}"#;
const POOL: &str = "0000000000000000000000abc/10.0.5.0/24";

fn request_pool(body: &str) -> RequestPool {
    match call("/IpamDriver.RequestPool", body) {
        Ok(Call::RequestPool(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn request_address(body: serde_json::Value) -> RequestAddress {
    match call("/IpamDriver.RequestAddress", &body.to_string()) {
        Ok(Call::RequestAddress(request)) => request,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pool_says_by_its_id_what_it_is() {
    let pool = request_pool(REQUEST_POOL).pool().unwrap();
    assert_eq!(
        (pool.network, pool.net),
        (SWARM_NETWORK, "10.0.5.0/24".parse().unwrap())
    );
    assert_eq!(
        ipam::pool_given(&pool),
        json!({"PoolID": POOL, "Pool": "10.0.5.0/24", "Data": {}})
    );
    let request = request_address(json!({"PoolID": POOL, "Address": "", "Options": null}));
    assert_eq!(request.pool().unwrap(), pool);
    assert_eq!(request.wanted().unwrap(), None);
    assert!(!request.is_gateway());
    assert_eq!(
        ipam::address_given(ip("10.0.5.7"), &pool),
        json!({"Address": "10.0.5.7/24", "Data": {}})
    );
}

#[test]
fn a_pool_of_no_swarm_is_refused() {
    for body in [
        r#"{"Pool":"10.0.5.0/24","Options":{}}"#,
        r#"{"Pool":"10.0.5.0/24","Options":null}"#,
        r#"{"Pool":"","Options":{"swarmlet.network":"0000000000000000000000abc"}}"#,
        r#"{"Pool":"10.0.5.0","Options":{"swarmlet.network":"0000000000000000000000abc"}}"#,
    ] {
        let refusal = request_pool(body).pool();
        assert!(matches!(refusal, Err(Refusal::NotOfASwarm)), "{body}");
    }
    let body = r#"{"Pool":"10.0.5.0/24","Options":{"swarmlet.network":"abc"}}"#;
    assert!(matches!(request_pool(body).pool(), Err(Refusal::BadId(_))));
}

#[test]
fn the_gateway_is_asked_for_as_such() {
    let request = request_address(json!({"PoolID": POOL, "Address": "10.0.5.1",
        "Options": {"RequestAddressType": "com.docker.network.gateway"}}));
    assert!(request.is_gateway());
    assert_eq!(request.wanted().unwrap(), Some(ip("10.0.5.1")));
}

#[test]
fn what_is_no_pool_and_no_address_is_refused() {
    for pool in [
        "",
        "10.0.5.0/24",
        "0000000000000000000000abc",
        "0000000000000000000000abc/x",
        "abc/10.0.5.0/24",
    ] {
        let request = request_address(json!({"PoolID": pool, "Address": ""}));
        let refusal = request.pool();
        assert!(
            matches!(refusal, Err(Refusal::UnknownPool(_))),
            "{pool}: {refusal:?}"
        );
    }
    let request = request_address(json!({"PoolID": POOL, "Address": "10.0.5"}));
    assert!(matches!(request.wanted(), Err(Refusal::Malformed(_))));
}
