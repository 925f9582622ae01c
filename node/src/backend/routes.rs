//! Where this host sends packets already: subnets that a new network must not
//! take.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use services::Taken;

/// Interfaces of the overlay, whose subnets the state knows better.
const OURS: [&str; 2] = ["swl", "swv"];
/// `RTF_REJECT` of `linux/route.h`: goes nowhere.
const REJECT: u32 = 0x200;

/// Of the main tables. What cannot be read is taken to be free.
pub fn of_host() -> Vec<Taken> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let v4 = read("/proc/net/route");
    let v6 = read("/proc/net/ipv6_route");
    let nets = v4.lines().filter_map(v4_route);
    let nets = nets.chain(v6.lines().filter_map(v6_route));
    nets.map(|(net, interface)| (net, format!("the route via {interface}")))
        .collect()
}

/// `iface destination gateway flags refcnt use metric mask …`, numbers in hex
/// and in the host's byte order.
fn v4_route(line: &str) -> Option<(IpNet, &str)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [interface, destination, _, flags, _, _, _, mask, ..] = fields[..] else {
        return None;
    };
    let addr = |hex: &str| {
        let bits = u32::from_str_radix(hex, 16).ok()?;
        Some(Ipv4Addr::from(bits.to_ne_bytes()))
    };
    let net = Ipv4Net::with_netmask(addr(destination)?, addr(mask)?).ok()?;
    let net = IpNet::V4(net);
    is_taken(net, flags, interface).then_some((net, interface))
}

/// `destination length source length next-hop metric refcnt use flags iface`,
/// all in hex.
fn v6_route(line: &str) -> Option<(IpNet, &str)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [destination, length, _, _, _, _, _, _, flags, interface] = fields[..] else {
        return None;
    };
    let addr = Ipv6Addr::from_bits(u128::from_str_radix(destination, 16).ok()?);
    let length = u8::from_str_radix(length, 16).ok()?;
    let local = addr.is_unicast_link_local() || addr.is_multicast() || addr.is_loopback();
    let net = IpNet::V6(Ipv6Net::new(addr, length).ok()?);
    (!local && is_taken(net, flags, interface)).then_some((net, interface))
}

/// Default routes leave everything free.
fn is_taken(net: IpNet, flags: &str, interface: &str) -> bool {
    let rejects = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & REJECT != 0);
    let ours = OURS.iter().any(|prefix| interface.starts_with(prefix));
    net.prefix_len() > 0 && !rejects && !ours
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(route: Option<(IpNet, &str)>) -> Option<String> {
        route.map(|(net, interface)| format!("{net} {interface}"))
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
