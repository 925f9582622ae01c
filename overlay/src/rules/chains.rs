//! The chains that are always there, and one for each network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ruleset::{Ruleset, Set};
use super::targets::in_chain_name;
use crate::directory::Network;
use crate::names::Names;
use crate::table::Table;

/// Name, kind, specification.
const SETS: [(&str, &str, &str); 23] = [
    // From where and whom a container's packet may come; leads to its network's chain.
    ("containers4", "map", "type ifname . ipv4_addr : verdict;"),
    ("containers6", "map", "type ifname . ipv6_addr : verdict;"),
    // The subnets of all networks, and those of the ingress network.
    ("overlay4", "set", "type ipv4_addr; flags interval;"),
    ("overlay6", "set", "type ipv6_addr; flags interval;"),
    ("ingress4", "set", "type ipv4_addr; flags interval;"),
    ("ingress6", "set", "type ipv6_addr; flags interval;"),
    // All VIPs, and where those with backends lead.
    ("vips4", "set", "type ipv4_addr;"),
    ("vips6", "set", "type ipv6_addr;"),
    ("vip4", "map", "type ipv4_addr : verdict;"),
    ("vip6", "map", "type ipv6_addr : verdict;"),
    // Published ports on one address of the host, and on all.
    (
        "ports4",
        "map",
        "type ipv4_addr . inet_proto . inet_service : verdict;",
    ),
    (
        "ports6",
        "map",
        "type ipv6_addr . inet_proto . inet_service : verdict;",
    ),
    ("ports", "map", "type inet_proto . inet_service : verdict;"),
    // Containers that outside clients may reach from another node, and where.
    (
        "answers4",
        "set",
        "type ipv4_addr . inet_proto . inet_service;",
    ),
    (
        "answers6",
        "set",
        "type ipv6_addr . inet_proto . inet_service;",
    ),
    // Client and backend that are one container.
    ("hairpin4", "set", "type ipv4_addr . ipv4_addr;"),
    ("hairpin6", "set", "type ipv6_addr . ipv6_addr;"),
    // Containers that ask the host's name servers.
    ("guests4", "set", "type ipv4_addr;"),
    ("guests6", "set", "type ipv6_addr;"),
    // Who asks for names, and how fast.
    (
        "askers4",
        "set",
        "type ipv4_addr; size 65535; flags dynamic,timeout; timeout 1m;",
    ),
    (
        "askers6",
        "set",
        "type ipv6_addr; size 65535; flags dynamic,timeout; timeout 1m;",
    ),
    // Client and backend that are another node and a container on it: the
    // packet would come to that node from itself.
    ("homeward4", "set", "type ipv4_addr . ipv4_addr;"),
    ("homeward6", "set", "type ipv6_addr . ipv6_addr;"),
];

/// How a container and the host find each other's MAC.
const NEIGHBOURS: &str = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255";

/// What a container of no service asks for names, whomever outside.
const GUESTS_QUESTIONS: [(&str, &str); 2] = [
    (
        "ip",
        "ip saddr @guests4 ip daddr != @overlay4 meta l4proto { tcp, udp } th dport 53",
    ),
    (
        "ip6",
        "ip6 saddr @guests6 ip6 daddr != @overlay6 meta l4proto { tcp, udp } th dport 53",
    ),
];

/// Of one container: somewhat more than the name server answers.
const QUESTIONS: &str = "5000/second burst 1500 packets";

pub fn add(rules: &mut Ruleset, names: &Names, table: &Table) {
    for (name, kind, spec) in SETS {
        let elements = Default::default();
        rules.sets.insert(
            name,
            Set {
                kind,
                spec,
                elements,
            },
        );
    }
    prerouting(rules, names);
    dstnat(rules, names);
    published(rules, names);
    forward(rules, names);
    local(rules, names);
    srcnat(rules, names, table);
    for network in table.networks.values() {
        add_network(rules, names, network, !network.internal);
    }
    let open = table.open_sandboxes();
    for local in table.locals.values() {
        let is_open = open.get(local.sandbox.as_str()).copied();
        let network = table.networks.get(&local.network);
        if let (Some(network), Some(is_open)) = (network, is_open) {
            add_network(rules, names, network, is_open);
        }
    }
}

fn base(rules: &mut Ruleset, name: &str, hook: &'static str, lines: Vec<String>) {
    let chain = rules.chain(name);
    chain.hook = Some(hook);
    chain.rules = lines;
}

fn lines<const N: usize>(lines: [&str; N]) -> Vec<String> {
    lines.map(str::to_owned).to_vec()
}

/// Who may send what, before any address is translated.
fn prerouting(rules: &mut Ruleset, names: &Names) {
    let Names {
        veth, tun, mark, ..
    } = names;
    let hook = "type filter hook prerouting priority mangle; policy accept;";
    let entries = vec![
        format!("iifname \"{veth}*\" goto from_container"),
        format!("iifname \"{tun}\" goto from_tunnel"),
    ];
    base(rules, "prerouting", hook, entries);
    rules.chain("from_container").rules = vec![
        // A reply to an outside client goes back by the node that it came by.
        format!("ct mark {mark:#x} meta mark set {mark:#x}"),
        "ip daddr 127.0.0.0/8 drop".to_owned(),
        format!("ip6 daddr {{ fe80::/10, ff02::/16 }} {NEIGHBOURS} accept"),
        "iifname . ip saddr vmap @containers4".to_owned(),
        "iifname . ip6 saddr vmap @containers6".to_owned(),
        "drop".to_owned(),
    ];
    rules.chain("from_tunnel").rules = vec![
        "ip saddr 127.0.0.0/8 drop".to_owned(),
        "ip daddr 127.0.0.0/8 drop".to_owned(),
        format!("ct state new ip saddr != @overlay4 ct mark set {mark:#x}"),
        format!("ct state new ip6 saddr != @overlay6 ct mark set {mark:#x}"),
    ];
}

/// Where a network's containers may go, by the address that they had before
/// translation. What falls off the end goes on to the host's own rules; of a
/// container that is not open, nothing does.
fn add_network(rules: &mut Ruleset, names: &Names, network: &Network, open: bool) {
    let Some(name) = network_chain(network, open) else {
        return;
    };
    let own = network.subnets.iter().map(|net| {
        let family = if net.addr().is_ipv4() { "ip" } else { "ip6" };
        format!("{family} daddr {} accept", net.trunc())
    });
    let mut lines = vec!["ct state established,related accept".to_owned()];
    if !open {
        let (gateway, gateway6) = (names.gateway, names.gateway6);
        lines.push(format!(
            "ip daddr {gateway} meta l4proto {{ tcp, udp }} th dport 53 accept"
        ));
        lines.push(format!(
            "ip6 daddr {gateway6} meta l4proto {{ tcp, udp }} th dport 53 accept"
        ));
        // They come to no other server than that: see `dstnat`.
        let led = GUESTS_QUESTIONS.iter();
        lines.extend(led.map(|(_, questions)| format!("{questions} accept")));
        lines.push(format!("{NEIGHBOURS} accept"));
        lines.push("fib daddr type local drop".to_owned());
    }
    // Nothing is reached on the ingress network for being on it too: that would
    // join all services that publish a port.
    if !network.ingress {
        lines.extend(own);
    }
    if !open {
        lines.push("drop".to_owned());
    } else {
        lines.push("ip daddr @overlay4 drop".to_owned());
        lines.push("ip6 daddr @overlay6 drop".to_owned());
    }
    rules.chain(name).rules = lines;
}

/// `None` for one that has no addresses yet. `open`: of containers that may
/// speak to the world.
pub fn network_chain(network: &Network, open: bool) -> Option<String> {
    let net = network.subnets.first()?.trunc();
    let addr = in_chain_name(net.network());
    let unlike = match open {
        _ if open != network.internal => "",
        true => "_open",
        false => "_closed",
    };
    Some(format!("net_{addr}_{}{unlike}", net.prefix_len()))
}

/// VIPs for containers, published ports for all. Who was not told of our name
/// server is led to it, whichever he asks.
fn dstnat(rules: &mut Ruleset, names: &Names) {
    let Names { veth, tun, .. } = names;
    let hook = "type nat hook prerouting priority dstnat; policy accept;";
    let mut entries = vec![
        format!("iifname \"{veth}*\" ip daddr vmap @vip4"),
        format!("iifname \"{veth}*\" ip6 daddr vmap @vip6"),
    ];
    let gateways: [IpAddr; 2] = [names.gateway.into(), names.gateway6.into()];
    let led = GUESTS_QUESTIONS.iter().zip(gateways);
    entries.extend(led.map(|((ip, questions), gateway)| {
        format!("iifname \"{veth}*\" {questions} dnat {ip} to {gateway}")
    }));
    entries.push(format!(
        "iifname != \"{tun}\" fib daddr type local jump published"
    ));
    base(rules, "dstnat", hook, entries);
    let hook = "type nat hook output priority -100; policy accept;";
    let entries = lines(["fib daddr type local jump published"]);
    base(rules, "dstnat_local", hook, entries);
}

/// Where published ports lead. The name server's address is no door, and the
/// host's own resolver listens on another loopback address than `localhost`.
fn published(rules: &mut Ruleset, names: &Names) {
    let Names {
        gateway, gateway6, ..
    } = names;
    rules.chain("published").rules = vec![
        format!("ip daddr {gateway} return"),
        format!("ip6 daddr {gateway6} return"),
        "ip daddr 127.0.0.0/8 ip daddr != 127.0.0.1 return".to_owned(),
        "ip daddr . meta l4proto . th dport vmap @ports4".to_owned(),
        "ip6 daddr . meta l4proto . th dport vmap @ports6".to_owned(),
        "meta l4proto . th dport vmap @ports".to_owned(),
    ];
}

fn forward(rules: &mut Ruleset, names: &Names) {
    let Names { veth, tun, .. } = names;
    let hook = "type filter hook forward priority filter; policy accept;";
    let entries = vec![
        format!("iifname \"{veth}*\" goto forward_container"),
        format!("iifname \"{tun}\" goto forward_tunnel"),
        format!("oifname \"{veth}*\" goto forward_outside"),
        format!("oifname \"{tun}\" goto forward_outside"),
    ];
    base(rules, "forward", hook, entries);
    // Where a route of the host leads a network's packets elsewhere, they stay.
    let astray = format!("oifname != \"{veth}*\" oifname != \"{tun}\"");
    rules.chain("forward_container").rules = vec![
        format!("{astray} ip daddr @overlay4 goto refuse"),
        format!("{astray} ip6 daddr @overlay6 goto refuse"),
        "ct state established,related accept".to_owned(),
        "ct status dnat accept".to_owned(),
        "ip daddr @vips4 goto refuse".to_owned(),
        "ip6 daddr @vips6 goto refuse".to_owned(),
    ];
    // The tunnel has checked sender and receiver, but for outside clients no port.
    rules.chain("forward_tunnel").rules = vec![
        "ct state established,related accept".to_owned(),
        "ip saddr @overlay4 ip daddr @ingress4 drop".to_owned(),
        "ip6 saddr @overlay6 ip6 daddr @ingress6 drop".to_owned(),
        format!("oifname \"{veth}*\" ip saddr @overlay4 accept"),
        format!("oifname \"{veth}*\" ip6 saddr @overlay6 accept"),
        format!("oifname \"{veth}*\" ip daddr . meta l4proto . th dport @answers4 accept"),
        format!("oifname \"{veth}*\" ip6 daddr . meta l4proto . th dport @answers6 accept"),
        "drop".to_owned(),
    ];
    rules.chain("forward_outside").rules = lines([
        "ct state established,related accept",
        "ct status dnat accept",
        "drop",
    ]);
    rules.chain("refuse").rules = lines([
        "meta l4proto tcp reject with tcp reset",
        "reject with icmpx type port-unreachable",
    ]);
}

/// The host itself: through the TUN it gets replies, and reaches published
/// ports. What one container asks for names too fast does not reach the server.
fn local(rules: &mut Ruleset, names: &Names) {
    let Names {
        tun,
        veth,
        gateway,
        gateway6,
        ..
    } = names;
    let asks = |ip: &str, n: u8, gateway: IpAddr| {
        format!(
            "iifname \"{veth}*\" {ip} daddr {gateway} udp dport 53 \
             update @askers{n} {{ {ip} saddr limit rate over {QUESTIONS} }} drop"
        )
    };
    let hook = "type filter hook input priority filter; policy accept;";
    let input = vec![
        format!("iifname \"{tun}\" ct state established,related accept"),
        format!("iifname \"{tun}\" drop"),
        asks("ip", 4, (*gateway).into()),
        asks("ip6", 6, (*gateway6).into()),
    ];
    base(rules, "input", hook, input);
    let hook = "type filter hook output priority filter; policy accept;";
    let output = vec![
        format!("oifname \"{tun}\" ct state established,related accept"),
        format!("oifname \"{tun}\" ct status dnat accept"),
        format!("oifname \"{tun}\" drop"),
    ];
    base(rules, "output", hook, output);
}

/// Sources are kept, but for clients whose replies would not pass here again.
fn srcnat(rules: &mut Ruleset, names: &Names, table: &Table) {
    let Names { veth, tun, .. } = names;
    let host4 = first_of_host(table, IpAddr::is_ipv4).unwrap_or(names.gateway.into());
    let host6 = first_of_host(table, IpAddr::is_ipv6).unwrap_or(names.gateway6.into());
    let families = [
        ("ip", 4, host4, IpAddr::from(names.gateway)),
        ("ip6", 6, host6, IpAddr::from(names.gateway6)),
    ];
    let mut lines = Vec::new();
    for (ip, n, host, gateway) in families {
        lines.extend([
            format!("{ip} saddr . {ip} daddr @hairpin{n} snat {ip} to {gateway}"),
            format!("{ip} saddr . {ip} daddr @homeward{n} snat {ip} to {host}"),
            format!(
                "fib saddr type local ct status dnat {ip} daddr @overlay{n} snat {ip} to {host}"
            ),
            format!(
                "ct status dnat {ip} saddr @overlay{n} {ip} daddr @ingress{n} snat {ip} to {host}"
            ),
            // Said, so that nobody after us masquerades, as the engine does for
            // clients on its own bridges.
            format!("ct status dnat {ip} daddr @ingress{n} snat {ip} to {ip} saddr"),
        ]);
    }
    lines.extend([
        format!("oifname \"{veth}*\" return"),
        format!("oifname \"{tun}\" return"),
        "ip saddr @overlay4 masquerade".to_owned(),
        "ip6 saddr @overlay6 masquerade".to_owned(),
    ]);
    let hook = "type nat hook postrouting priority srcnat - 1; policy accept;";
    base(rules, "srcnat", hook, lines);
}

/// An address that other nodes can answer to.
fn first_of_host(table: &Table, family: fn(&IpAddr) -> bool) -> Option<IpAddr> {
    let mut addrs = table.host.iter().filter(|addr| family(addr));
    addrs.find(|addr| is_routable(**addr)).copied()
}

fn is_routable(addr: IpAddr) -> bool {
    let unusable = match addr {
        IpAddr::V4(addr) => addr.is_link_local() || addr == Ipv4Addr::UNSPECIFIED,
        IpAddr::V6(addr) => addr.is_unicast_link_local() || addr == Ipv6Addr::UNSPECIFIED,
    };
    !unusable && !addr.is_loopback()
}
