use std::fs;

use super::super::ipam::Pool;
use super::super::registry::Registry;
use super::super::state::Store;
use super::*;

fn filled() -> Registry {
    let mut registry = Registry::default();
    let Ok(Call::CreateNetwork(network)) = call("/NetworkDriver.CreateNetwork", CREATE_NETWORK)
    else {
        panic!("{CREATE_NETWORK}");
    };
    let Ok(Call::CreateEndpoint(endpoint)) = call("/NetworkDriver.CreateEndpoint", CREATE_ENDPOINT)
    else {
        panic!("{CREATE_ENDPOINT}");
    };
    registry.create_network(&network).unwrap();
    registry
        .create_endpoint(&endpoint, &expected(&["10.0.5.8", "fd00:5::3"]))
        .unwrap();
    registry.joined(ENDPOINT, SANDBOX, "swv0000abcdef");
    let wanted = Wanted {
        id: 300,
        network: SWARM_NETWORK,
        addrs: Vec::new(),
    };
    let grant = Grant {
        addrs: vec!["10.0.5.8/24".parse().unwrap()],
        ticket: vec![1, 255],
    };
    let pool = Pool {
        network: SWARM_NETWORK,
        net: "10.0.5.0/24".parse().unwrap(),
    };
    registry.granted(&wanted, grant, &pool).unwrap();
    registry
}

#[test]
fn what_was_saved_is_there_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plugin");
    Store::open(&path).unwrap().save(&filled()).unwrap();
    assert_eq!(Store::open(&path).unwrap().saved(), &filled());
}

/// Later releases read what this one writes.
#[test]
fn the_files_are_the_first_version() {
    let dir = tempfile::tempdir().unwrap();
    Store::open(dir.path()).unwrap().save(&filled()).unwrap();
    let text = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(
        text("networks.json"),
        r#"{"V1":{"375471f015d01c1581f95604fa8abb3c5abfb5f3acd8b537e9db29f9dbfea07e":{"id":"0000000000000000000000abc","subnets":[["10.0.5.0/24","10.0.5.1"],["fd00:5::/64","fd00:5::1"]]}}}"#
    );
    assert_eq!(
        text("endpoints.json"),
        r#"{"V1":{"bd8f235b9263a5c0adaa967b8ab536fa76deabe11cd11c583c1ce55f8609c223":{"network":"375471f015d01c1581f95604fa8abb3c5abfb5f3acd8b537e9db29f9dbfea07e","addresses":["10.0.5.8","fd00:5::3"],"ports":[],"joined":{"sandbox":"/var/run/docker/netns/444d59b8e6f8","veth":"swv0000abcdef"}}}}"#
    );
    assert_eq!(
        text("attachments.json"),
        r#"{"V1":{"300":{"network":"0000000000000000000000abc","addrs":["10.0.5.8/24"],"ticket":[1,255],"taken":["10.0.5.8"]}}}"#
    );
}

#[test]
fn nothing_is_written_while_nothing_changes() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store.save(&filled()).unwrap();
    fs::remove_file(dir.path().join("networks.json")).unwrap();
    fs::remove_file(dir.path().join("endpoints.json")).unwrap();
    fs::remove_file(dir.path().join("attachments.json")).unwrap();
    store.save(&filled()).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn damaged_networks_are_an_error_and_damaged_endpoints_are_none() {
    let dir = tempfile::tempdir().unwrap();
    Store::open(dir.path()).unwrap().save(&filled()).unwrap();
    let (networks, endpoints) = (
        dir.path().join("networks.json"),
        dir.path().join("endpoints.json"),
    );

    fs::write(&endpoints, "").unwrap();
    let saved = Store::open(dir.path()).unwrap();
    assert_eq!(saved.saved().networks(), filled().networks());
    assert!(saved.saved().locals().is_empty());

    fs::write(&networks, "{").unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("networks.json"), "{error}");
}

#[test]
fn a_purged_store_leaves_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plugin");
    let mut store = Store::open(&path).unwrap();
    store.save(&filled()).unwrap();
    store.purge().unwrap();
    assert!(!path.exists());
    store.purge().unwrap();
}
