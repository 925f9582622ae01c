//! What VIPs and published ports lead to: a chain each, of one rule for each
//! family, which picks a backend at random. Those without backends have none:
//! a VIP is then refused in `forward`, a port by the host itself.

use std::fmt::Display;
use std::net::IpAddr;

use super::elements::of_family;
use super::ruleset::Ruleset;
use crate::table::{PublishedPort, Table, Target, Vip};

pub fn add(rules: &mut Ruleset, table: &Table) {
    for (addr, vip) in &table.vips {
        add_vip(rules, *addr, vip);
    }
    for (port, target) in &table.ports {
        add_port(rules, port, target);
    }
}

fn add_vip(rules: &mut Ruleset, addr: IpAddr, vip: &Vip) {
    rules.insert(&of_family("vips", addr), addr.to_string(), None);
    let backends: Vec<_> = vip.backends.iter().copied().collect();
    let Some(pick) = pick(&backends) else {
        return;
    };
    let chain = format!("vip_{}", in_chain_name(addr));
    let ip = family(addr);
    rules.chain(&chain).rules = vec![format!("dnat {ip} to {pick}")];
    let verdict = Some(format!("goto {chain}"));
    rules.insert(&of_family("vip", addr), addr.to_string(), verdict);
}

fn add_port(rules: &mut Ruleset, published: &PublishedPort, target: &Target) {
    let PublishedPort {
        number, host_ip, ..
    } = published;
    let protocol = published.protocol;
    let at = |ipv4: bool| -> Option<String> {
        let backends = target.backends.iter().map(|(addr, port)| (*addr, *port));
        let backends: Vec<_> = backends
            .filter(|(addr, _)| addr.is_ipv4() == ipv4)
            .collect();
        let to_one = to_one_with_port(&backends)?;
        let ip = family(backends.first()?.0);
        Some(format!("meta l4proto {protocol} dnat {ip} {to_one}"))
    };
    let lines: Vec<_> = [at(true), at(false)].into_iter().flatten().collect();
    if lines.is_empty() {
        return;
    }
    let mut chain = format!("port_{protocol}_{number}");
    let (map, key) = match host_ip {
        Some(addr) => {
            chain = format!("{chain}_{}", in_chain_name(*addr));
            let key = format!("{addr} . {protocol} . {number}");
            (of_family("ports", *addr), key)
        }
        None => ("ports".to_owned(), format!("{protocol} . {number}")),
    };
    rules.chain(&chain).rules = lines;
    rules.insert(&map, key, Some(format!("goto {chain}")));
}

/// An expression that is one of the addresses; `None` of none.
fn pick(backends: &[IpAddr]) -> Option<String> {
    match backends {
        [] => None,
        [only] => Some(only.to_string()),
        several => Some(random(several)),
    }
}

/// `to …`: one of the addresses, with its port.
fn to_one_with_port(backends: &[(IpAddr, u16)]) -> Option<String> {
    let (first, port) = *backends.first()?;
    let addrs = backends.iter().map(|(addr, _)| addr);
    Some(match backends {
        [_] if first.is_ipv6() => format!("to [{first}]:{port}"),
        [_] => format!("to {first}:{port}"),
        // An update is about to change the port. From version 1.0 on, nft
        // would do without being told what is in the map.
        several if several.iter().any(|(_, other)| *other != port) => {
            let both = several
                .iter()
                .map(|(addr, port)| format!("{addr} . {port}"));
            format!("addr . port to {}", random(both))
        }
        _ => format!("to {}:{port}", random(addrs)),
    })
}

fn random<T: Display>(backends: impl IntoIterator<Item = T>) -> String {
    let numbered = backends.into_iter().enumerate();
    let choices: Vec<_> = numbered.map(|(n, it)| format!("{n} : {it}")).collect();
    let (count, choices) = (choices.len(), choices.join(", "));
    format!("numgen random mod {count} map {{ {choices} }}")
}

fn family(addr: IpAddr) -> &'static str {
    if addr.is_ipv4() { "ip" } else { "ip6" }
}

/// `nft` takes no colon in a name.
pub fn in_chain_name(addr: IpAddr) -> String {
    addr.to_string().replace(':', "_")
}
