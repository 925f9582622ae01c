//! Who is where: the elements of sets and maps that are not about targets.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::chains::network_chain;
use super::ruleset::Ruleset;
use crate::table::Table;

pub fn add(rules: &mut Ruleset, table: &Table) {
    subnets(rules, table);
    containers(rules, table);
    homeward(rules, table);
    answers(rules, table);
    for addr in &table.guests {
        rules.insert(&of_family("guests", *addr), addr.to_string(), None);
    }
}

fn subnets(rules: &mut Ruleset, table: &Table) {
    for (net, id) in table.subnets.iter() {
        rules.insert(&of_family("overlay", net.addr()), net.to_string(), None);
        if table
            .networks
            .get(&id)
            .is_some_and(|network| network.ingress)
        {
            rules.insert(&of_family("ingress", net.addr()), net.to_string(), None);
        }
    }
}

/// A container may use each of its addresses on each of its interfaces: it
/// answers a client by its default route, whatever network the client came by,
/// and asks the world from there, whatever network lets it.
fn containers(rules: &mut Ruleset, table: &Table) {
    let mut veths: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for local in table.locals.values() {
        veths.entry(&local.sandbox).or_default().push(&local.veth);
    }
    let open = table.open_sandboxes();
    for (addr, local) in &table.locals {
        let is_open = open
            .get(local.sandbox.as_str())
            .copied()
            .unwrap_or_default();
        let network = table.networks.get(&local.network);
        let Some(chain) = network.and_then(|it| network_chain(it, is_open)) else {
            continue;
        };
        for veth in veths.get(local.sandbox.as_str()).into_iter().flatten() {
            let key = format!("\"{veth}\" . {addr}");
            let verdict = Some(format!("goto {chain}"));
            rules.insert(&of_family("containers", *addr), key, verdict);
        }
        let key = format!("{addr} . {addr}");
        rules.insert(&of_family("hairpin", *addr), key, None);
    }
}

/// The backends of published ports on other nodes, with these nodes' addresses.
fn homeward(rules: &mut Ruleset, table: &Table) {
    let backends = table
        .ports
        .values()
        .flat_map(|target| target.backends.keys());
    for backend in backends {
        let node = table.node_of(*backend);
        let peer = node.and_then(|node| table.peers.get(&node));
        for host in peer.into_iter().flatten().map(|at| at.ip().to_canonical()) {
            if host.is_ipv4() == backend.is_ipv4() {
                let key = format!("{host} . {backend}");
                rules.insert(&of_family("homeward", *backend), key, None);
            }
        }
    }
}

fn answers(rules: &mut Ruleset, table: &Table) {
    for (addr, protocol, port) in &table.ingress {
        let key = format!("{addr} . {protocol} . {port}");
        rules.insert(&of_family("answers", *addr), key, None);
    }
}

/// Names of sets and maps end in 4 or 6.
pub fn of_family(name: &str, addr: IpAddr) -> String {
    let family = if addr.is_ipv4() { 4 } else { 6 };
    format!("{name}{family}")
}
