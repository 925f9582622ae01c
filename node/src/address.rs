//! Which of a device's addresses the others should use.

use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Interfaces that no other device can be reached through.
const VIRTUAL: [&str; 7] = ["docker", "br-", "veth", "virbr", "swl", "swv", "cni"];

/// The address from which this device reaches `remote`: what it should be
/// called by those on that side.
pub fn towards(remote: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = match remote {
        SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // Connecting a datagram socket sends nothing; it only asks the routes.
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(remote).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

/// The address to advertise where nobody said one.
pub fn guess() -> Result<IpAddr, String> {
    // The address of the default route; 192.0.2.0/24 is for documentation.
    if let Some(ip) = towards(SocketAddr::from(([192, 0, 2, 1], 9))) {
        return Ok(ip);
    }
    let interfaces = if_addrs::get_if_addrs().map_err(|error| error.to_string())?;
    choose(
        interfaces
            .into_iter()
            .map(|interface| (interface.name.clone(), interface.ip())),
    )
}

/// Whether an address is one of this device's.
pub fn is_own(ip: IpAddr) -> bool {
    own().is_some_and(|own| own.contains(&ip))
}

/// This device's addresses on interfaces that lead to others.
pub fn outward() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let outward = interfaces.iter().filter(|it| !is_virtual(&it.name));
    outward.map(if_addrs::Interface::ip).collect()
}

fn is_virtual(name: &str) -> bool {
    VIRTUAL.iter().any(|start| name.starts_with(start))
}

/// The address that takes the place of `before`, once this device does not have
/// that any more: the one from which it reaches the others, or the only one
/// that there is. `None` where it has it still, or has no other yet.
pub fn successor(before: IpAddr, others: impl Iterator<Item = SocketAddr>) -> Option<IpAddr> {
    // Asked every second, and nearly always answered by this.
    if UdpSocket::bind((before, 0)).is_ok() {
        return None;
    }
    succeed(before, &own()?, || {
        let mut seen_from_others = others.filter_map(towards);
        seen_from_others.next().or_else(|| guess().ok())
    })
}

fn succeed(
    before: IpAddr,
    own: &[IpAddr],
    choose: impl FnOnce() -> Option<IpAddr>,
) -> Option<IpAddr> {
    if own.contains(&before) {
        return None;
    }
    choose().filter(|ip| own.contains(ip) && !ip.is_loopback())
}

fn own() -> Option<Vec<IpAddr>> {
    let interfaces = if_addrs::get_if_addrs().ok()?;
    Some(interfaces.iter().map(if_addrs::Interface::ip).collect())
}

/// An address to advertise as users write it: an IP address or an interface,
/// with a port or without (then it is zero).
pub fn parse(text: &str) -> Result<SocketAddr, String> {
    if let Ok(addr) = text.parse() {
        return Ok(addr);
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse() {
        return Ok(SocketAddr::new(ip, 0));
    }
    let (name, port) = match text.split_once(':') {
        None => (text, 0),
        Some((name, port)) => match port.parse() {
            Ok(port) => (name, port),
            Err(_) => {
                return Err(format!(
                    "{text:?} is not ADDRESS[:PORT] or INTERFACE[:PORT]"
                ));
            }
        },
    };
    Ok(SocketAddr::new(of_interface(name)?, port))
}

/// Whether [`parse`] understands `text`, be the interface there or not.
pub fn check(text: &str) -> Result<(), String> {
    let port = text.split_once(':').map(|(_, port)| port);
    match parse(text) {
        Err(why) if text.is_empty() || port.is_some_and(|port| port.parse::<u16>().is_err()) => {
            Err(why)
        }
        _ => Ok(()),
    }
}

/// The IPv4 address of an interface, or its first IPv6 address.
pub fn of_interface(name: &str) -> Result<IpAddr, String> {
    let interfaces = if_addrs::get_if_addrs().map_err(|error| error.to_string())?;
    let mut addrs: Vec<IpAddr> = interfaces
        .iter()
        .filter(|interface| interface.name == name)
        .map(if_addrs::Interface::ip)
        .collect();
    addrs.sort();
    addrs.first().copied().ok_or_else(|| {
        format!("there is no interface {name}, or it has no address; see `ip address`")
    })
}

/// Where containers' traffic goes, as users write it: an address of this device
/// or an interface, without a port.
///
/// # Errors
/// In Docker's words; but that an address is another device's, Docker only
/// finds out later.
pub fn data_path(text: &str) -> Result<IpAddr, String> {
    let interfaces = if_addrs::get_if_addrs().map_err(|error| error.to_string())?;
    let of_interfaces = interfaces.into_iter();
    let ip = data_path_of(text, of_interfaces.map(|it| (it.name.clone(), it.ip())))?;
    match UdpSocket::bind((ip, 0)) {
        Ok(_) => Ok(ip),
        Err(error) => Err(format!(
            "data path address {ip} cannot be used on this device ({error}); see `ip address`"
        )),
    }
}

fn data_path_of(
    text: &str,
    interfaces: impl Iterator<Item = (String, IpAddr)>,
) -> Result<IpAddr, String> {
    // Which interface a link-local address is of, it does not say.
    let usable = |ip: &IpAddr| !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let of_it = interfaces.filter(|(name, _)| name == text);
    let of_it = of_it.map(|(_, ip)| ip).filter(usable);
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = of_it.partition(IpAddr::is_ipv4);
    let (family, found) = match v4.is_empty() {
        true => ("IPv6", v6),
        false => ("IPv4", v4),
    };
    match found.as_slice() {
        [ip] => Ok(*ip),
        [first, second, ..] => Err(format!(
            "interface {text} has more than one {family} address ({first} and {second})"
        )),
        [] => match text.parse::<IpAddr>() {
            Ok(ip) if !ip.is_unspecified() => Ok(ip),
            _ => Err(
                "data path address must be a non-zero IP address or network interface (without a \
                 port number)"
                    .to_owned(),
            ),
        },
    }
}

fn choose(interfaces: impl Iterator<Item = (String, IpAddr)>) -> Result<IpAddr, String> {
    let candidates: Vec<(String, IpAddr)> = interfaces
        .filter(|(name, ip)| ip.is_ipv4() && !ip.is_loopback() && !is_virtual(name))
        .collect();
    match candidates.as_slice() {
        [(_, ip)] => Ok(*ip),
        [] => {
            Err("could not find the system's IP address - specify one with --advertise-addr".into())
        }
        several => {
            let list: Vec<_> = several
                .iter()
                .map(|(name, ip)| format!("{ip} on {name}"))
                .collect();
            Err(format!(
                "could not choose an IP address to advertise since this system has multiple \
                 addresses ({}) - specify one with --advertise-addr",
                list.join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(interfaces: &[(&str, &str)]) -> Result<IpAddr, String> {
        choose(
            interfaces
                .iter()
                .map(|(name, ip)| ((*name).to_string(), ip.parse().unwrap())),
        )
    }

    #[test]
    fn bridges_of_containers_are_not_advertised() {
        let ip = chosen(&[
            ("lo", "127.0.0.1"),
            ("docker0", "172.17.0.1"),
            ("eth0", "10.0.0.7"),
        ]);
        assert_eq!(ip, Ok("10.0.0.7".parse().unwrap()));
    }

    #[test]
    fn an_address_is_given_up_only_for_another_one_of_this_device() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (old, new, loopback) = (ip("10.0.0.7"), ip("10.0.0.9"), ip("127.0.0.1"));
        let chosen = |own: &[IpAddr], choice| succeed(old, own, || Some(choice));
        assert_eq!(chosen(&[loopback, old, new], new), None);
        assert_eq!(chosen(&[loopback, new], new), Some(new));
        assert_eq!(chosen(&[loopback], new), None);
        assert_eq!(chosen(&[loopback], loopback), None);
        assert_eq!(succeed(old, &[new], || None), None);
    }

    #[test]
    fn the_data_path_is_an_address_or_an_interface_that_has_one() {
        let interfaces = [
            ("eth0", "10.0.0.7"),
            ("eth0", "2001:db8::7"),
            ("eth1", "fe80::1"),
            ("eth1", "2001:db8::8"),
            ("eth2", "10.1.0.1"),
            ("eth2", "10.1.0.2"),
            ("eth3", "fe80::2"),
        ];
        let found = |text| {
            let all = interfaces.iter();
            data_path_of(
                text,
                all.map(|(name, ip)| ((*name).to_owned(), ip.parse().unwrap())),
            )
            .map(|ip| ip.to_string())
        };
        for (text, ip) in [
            ("eth0", "10.0.0.7"),
            ("eth1", "2001:db8::8"),
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8::9", "2001:db8::9"),
        ] {
            assert_eq!(found(text).as_deref(), Ok(ip), "{text}");
        }
        assert_eq!(
            found("eth2").unwrap_err(),
            "interface eth2 has more than one IPv4 address (10.1.0.1 and 10.1.0.2)"
        );
        for text in [
            "0.0.0.0",
            "::",
            "0.0.0.0:2000",
            "10.0.0.7:4789",
            "eth3",
            "eth9",
            "",
        ] {
            assert_eq!(
                found(text).unwrap_err(),
                "data path address must be a non-zero IP address or network interface (without a \
                 port number)",
                "{text}"
            );
        }
    }

    #[test]
    fn the_data_path_is_an_address_of_this_device() {
        assert_eq!(data_path("127.0.0.1"), Ok("127.0.0.1".parse().unwrap()));
        let refused = data_path("192.0.2.1").unwrap_err();
        assert!(refused.contains("192.0.2.1 cannot be used"), "{refused}");
    }

    #[test]
    fn a_choice_between_two_addresses_is_left_to_the_user() {
        let error = chosen(&[("eth0", "10.0.0.7"), ("wlan0", "192.168.1.2")]).unwrap_err();
        assert!(
            error.contains("10.0.0.7 on eth0, 192.168.1.2 on wlan0"),
            "{error}"
        );
        assert!(error.contains("--advertise-addr"), "{error}");
    }
}
