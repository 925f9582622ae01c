mod attachments;
mod ipam;
mod protocol;
mod registry;
mod running;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::Refusal;
use super::attach::{Attach, AttachmentId, Grant, Wanted};
use super::protocol::Call;
use super::registry::Expected;
use crate::directory::NetworkId;

/// As the engine of Docker 20.10.24 asked, word by word.
const CREATE_NETWORK: &str = r#"{"NetworkID":"375471f015d01c1581f95604fa8abb3c5abfb5f3acd8b537e9db29f9dbfea07e","Options":{"com.docker.network.enable_ipv6":true,"com.docker.network.generic":{"swarmlet.network":"0000000000000000000000abc"}},"IPv4Data":[{"AddressSpace":"LocalDefault","Gateway":"10.0.5.1/24","Pool":"10.0.5.0/24"}],"IPv6Data":[{"AddressSpace":"LocalDefault","Gateway":"fd00:5::1/64","Pool":"fd00:5::/64"}]}
"#;
const CREATE_NETWORK_V4: &str = r#"{"NetworkID":"711647623fff6659a75f3e3b879a49c67ac14eeb1c5b3a40689df95bdeec1d26","Options":{"com.docker.network.enable_ipv6":false,"com.docker.network.generic":{"swarmlet.network":"0000000000000000000000xyz"}},"IPv4Data":[{"AddressSpace":"LocalDefault","Gateway":"10.0.6.1/24","Pool":"10.0.6.0/24"}],"IPv6Data":[]}
"#;
const CREATE_ENDPOINT: &str = r#"{"NetworkID":"375471f015d01c1581f95604fa8abb3c5abfb5f3acd8b537e9db29f9dbfea07e","EndpointID":"bd8f235b9263a5c0adaa967b8ab536fa76deabe11cd11c583c1ce55f8609c223","Interface":{"Address":"10.0.5.8/24","AddressIPv6":"fd00:5::3/64","MacAddress":""},"Options":{"com.docker.network.endpoint.exposedports":[],"com.docker.network.portmap":[]}}
"#;
const CREATE_ENDPOINT_V4: &str = r#"{"NetworkID":"711647623fff6659a75f3e3b879a49c67ac14eeb1c5b3a40689df95bdeec1d26","EndpointID":"fbcb286f887e1e2d63a3a5318667a2a82416237d4ad25fcb88f82900f643c774","Interface":{"Address":"10.0.6.2/24","AddressIPv6":"","MacAddress":""},"Options":{"com.docker.network.endpoint.exposedports":[],"com.docker.network.portmap":[]}}
"#;
const JOIN: &str = r#"{"NetworkID":"375471f015d01c1581f95604fa8abb3c5abfb5f3acd8b537e9db29f9dbfea07e","EndpointID":"bd8f235b9263a5c0adaa967b8ab536fa76deabe11cd11c583c1ce55f8609c223","SandboxKey":"/var/run/docker/netns/444d59b8e6f8","Options":{"com.docker.network.endpoint.exposedports":[],"com.docker.network.portmap":[]}}
"#;
const LEAVE: &str = r#"{"NetworkID":"375471f015d01c1581f95604fa8abb3c5abfb5f3acd8b537e9db29f9dbfea07e","EndpointID":"bd8f235b9263a5c0adaa967b8ab536fa76deabe11cd11c583c1ce55f8609c223"}
"#;

const NETWORK: &str = "375471f015d01c1581f95604fa8abb3c5abfb5f3acd8b537e9db29f9dbfea07e";
const ENDPOINT: &str = "bd8f235b9263a5c0adaa967b8ab536fa76deabe11cd11c583c1ce55f8609c223";
const SANDBOX: &str = "/var/run/docker/netns/444d59b8e6f8";
/// `0000000000000000000000abc` in base36.
const SWARM_NETWORK: NetworkId = (10 * 36 + 11) * 36 + 12;

fn call(path: &str, body: &str) -> Result<Call, Refusal> {
    Call::parse(path, body.as_bytes()).expect("a question that is known")
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn expected(addresses: &[&str]) -> Expected {
    addresses
        .iter()
        .map(|text| (SWARM_NETWORK, ip(text)))
        .collect()
}

/// Gives what it has for a network, once.
#[derive(Debug, Default)]
struct FakeManager {
    grants: Mutex<BTreeMap<NetworkId, Grant>>,
    held: Mutex<Vec<BTreeSet<AttachmentId>>>,
}

impl FakeManager {
    fn held(&self) -> Vec<usize> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().map(BTreeSet::len).collect()
    }
}

impl Attach for FakeManager {
    fn attach(&self, wanted: Wanted) -> BoxFuture<'_, Result<Grant, String>> {
        let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        let grant = grants.remove(&wanted.network);
        let grant = grant.ok_or_else(|| "no manager is in reach".to_owned());
        async { grant }.boxed()
    }

    fn hold(&self, held: BTreeSet<AttachmentId>) {
        let mut told = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        told.push(held);
    }
}
