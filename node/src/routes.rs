//! Where this host sends packets already: subnets that a new network must not
//! take.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use services::Taken;

/// Interfaces of the overlay, whose subnets the state knows better.
const OURS: [&str; 2] = ["swl", "swv"];
/// Of `linux/route.h`: goes nowhere; goes by another host.
const REJECT: u32 = 0x200;
const GATEWAY: u32 = 0x2;
/// More than that many links have no part in the choice of subnets.
const MAX_LINKED: usize = 64;

/// Of the main tables. What cannot be read is taken to be free.
pub fn of_host() -> Vec<Taken> {
    let routes = all().into_iter();
    routes
        .map(|it| (it.net, format!("the route via {}", it.interface)))
        .collect()
}

/// The subnets that this host has an interface in.
pub fn linked() -> Vec<IpNet> {
    let routes = all().into_iter().filter(|route| !route.by_gateway);
    let nets: BTreeSet<IpNet> = routes.map(|route| route.net).collect();
    nets.into_iter().take(MAX_LINKED).collect()
}

struct Route {
    net: IpNet,
    interface: String,
    by_gateway: bool,
}

fn all() -> Vec<Route> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let v4 = read("/proc/net/route");
    let v6 = read("/proc/net/ipv6_route");
    let routes = v4.lines().filter_map(v4_route);
    routes.chain(v6.lines().filter_map(v6_route)).collect()
}

/// `iface destination gateway flags refcnt use metric mask …`, numbers in hex
/// and in the host's byte order.
fn v4_route(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [interface, destination, _, flags, _, _, _, mask, ..] = fields[..] else {
        return None;
    };
    let addr = |hex: &str| {
        let bits = u32::from_str_radix(hex, 16).ok()?;
        Some(Ipv4Addr::from(bits.to_ne_bytes()))
    };
    let net = Ipv4Net::with_netmask(addr(destination)?, addr(mask)?).ok()?;
    route(net.into(), flags, interface)
}

/// `destination length source length next-hop metric refcnt use flags iface`,
/// all in hex.
fn v6_route(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [destination, length, _, _, _, _, _, _, flags, interface] = fields[..] else {
        return None;
    };
    let addr = Ipv6Addr::from_bits(u128::from_str_radix(destination, 16).ok()?);
    let length = u8::from_str_radix(length, 16).ok()?;
    let local = addr.is_unicast_link_local() || addr.is_multicast() || addr.is_loopback();
    let net = Ipv6Net::new(addr, length).ok()?;
    route(net.into(), flags, interface).filter(|_| !local)
}

/// `None`: it leaves its subnet free, as default routes do.
fn route(net: IpNet, flags: &str, interface: &str) -> Option<Route> {
    let flags = u32::from_str_radix(flags, 16).ok()?;
    let ours = OURS.iter().any(|prefix| interface.starts_with(prefix));
    let taken = net.prefix_len() > 0 && flags & REJECT == 0 && !ours;
    taken.then(|| Route {
        net,
        interface: interface.to_owned(),
        by_gateway: flags & GATEWAY != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(route: Option<Route>) -> Option<String> {
        route.map(|it| match it.by_gateway {
            true => format!("{} by a gateway on {}", it.net, it.interface),
            false => format!("{} {}", it.net, it.interface),
        })
    }

    #[test]
    fn routes_but_the_default_take_their_subnets() {
        let hex = |addr: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(addr));
        let line = |interface: &str, addr, flags: &str, mask| {
            let (addr, mask) = (hex(addr), hex(mask));
            format!("{interface}\t{addr}\t00000000\t{flags}\t0\t0\t0\t{mask}\t0\t0\t0")
        };
        let (zero, full) = ([0; 4], [255, 255, 255, 0]);
        for (line, wanted) in [
            (line("eth0", zero, "0003", zero), None),
            (
                line("docker0", [172, 17, 0, 0], "0001", [255, 255, 0, 0]),
                Some("172.17.0.0/16 docker0"),
            ),
            (
                line("eth0", [10, 5, 0, 0], "0003", [255, 255, 0, 0]),
                Some("10.5.0.0/16 by a gateway on eth0"),
            ),
            (line("swl0", [10, 0, 1, 0], "0001", full), None),
            (line("lo", [10, 9, 0, 0], "0201", full), None),
            ("Iface Destination Gateway Flags".into(), None),
        ] {
            assert_eq!(shown(v4_route(&line)).as_deref(), wanted, "{line}");
        }
    }

    #[test]
    fn local_prefixes_of_ipv6_are_everybodys() {
        let zero = "0".repeat(32);
        let line = |addr: &str, length: &str, interface: &str| {
            format!(
                "{addr:0<32} {length} {zero} 00 {zero} 00000100 00000001 00000000 00000001 {interface}"
            )
        };
        for (line, wanted) in [
            (
                line("fd00000100000000", "40", "eth0"),
                Some("fd00:1::/64 eth0"),
            ),
            (line("fe80", "40", "eth0"), None),
            (line("ff00", "08", "eth0"), None),
            (line("", "00", "eth0"), None),
        ] {
            assert_eq!(shown(v6_route(&line)).as_deref(), wanted, "{line}");
        }
    }
}
