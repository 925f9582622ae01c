//! What the worker's tests are made of.

use services::Id;
use services::assignment::AssignedNetwork;
use services::object::Subnet;

/// A network on which a task has these addresses, each in a subnet of its own
/// with a gateway that ends in 1, and a ticket.
pub(crate) fn network(id: Id, addrs: &[&str]) -> AssignedNetwork {
    let addrs: Vec<ipnet::IpNet> = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
    let subnets = addrs.iter().map(|addr| Subnet {
        net: addr.trunc(),
        gateway: addr
            .hosts()
            .find(|host| host.to_string().ends_with("1"))
            .unwrap(),
        range: None,
    });
    AssignedNetwork {
        id,
        name: format!("net{}", id.as_u128()),
        subnets: subnets.collect(),
        internal: false,
        ingress: false,
        attachable: false,
        addrs,
        aliases: Vec::new(),
        driver_opts: Default::default(),
        ticket: b"signed".to_vec(),
    }
}
