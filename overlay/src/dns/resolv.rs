//! Whom a container asks for names, and whom we ask on its behalf.
//!
//! A container on an overlay network asks us, through the engine; the servers
//! that its user named become those that we ask for what is not of the overlay.
//! Other containers get what their user wrote, and the engine does the rest.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where name servers listen.
pub const PORT: u16 = 53;
/// As many servers as the C libraries use (`MAXNS` of `resolv.h`).
const MAX_SERVERS: usize = 3;

/// The `DNSConfig` of a task or the `HostConfig.Dns*` of a container, as its user wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    pub servers: Vec<IpAddr>,
    pub search: Vec<String>,
    pub options: Vec<String>,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolv {
    /// `HostConfig.Dns`; where it is empty, the engine takes the host's.
    pub servers: Vec<IpAddr>,
    /// `HostConfig.DnsSearch`; where it is empty, the engine takes the host's.
    pub search: Vec<String>,
    /// `HostConfig.DnsOptions`.
    pub options: Vec<String>,
    /// Whom our name server asks for this container.
    pub upstream: Upstream,
}

/// Whom to ask for names that are not of the overlay.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Upstream {
    /// The servers of the host's `resolv.conf`.
    #[default]
    Host,
    /// These, in this order.
    Servers(Vec<SocketAddr>),
    /// Nobody: the container reaches nothing but its own networks, by name neither.
    Nobody,
}

impl Resolv {
    /// `gateway` is the address of our name server as the container sees it
    /// (`Names::gateway`); `None` if the container is on no overlay network.
    pub fn of(wanted: &Wanted, gateway: Option<Ipv4Addr>) -> Self {
        let Some(gateway) = gateway.map(IpAddr::V4) else {
            return Self {
                servers: wanted.servers.clone(),
                search: wanted.search.clone(),
                options: wanted.options.clone(),
                upstream: Upstream::Host,
            };
        };
        // The engine passes no name without a dot on to us once `ndots` is above 0, and
        // most names of ours have none. What the container sees is `ndots:0` either way.
        let kept = |option: &&String| !option.trim().starts_with("ndots:");
        // We ask from the host, where the container's own loopback is somebody else's.
        let reachable = |server: &&IpAddr| {
            !(server.is_loopback() || server.is_unspecified() || **server == gateway)
        };
        let servers = wanted.servers.iter().filter(reachable);
        let servers: Vec<_> = servers
            .take(MAX_SERVERS)
            .map(|ip| SocketAddr::new(*ip, PORT))
            .collect();
        Self {
            servers: vec![gateway],
            search: wanted.search.clone(),
            options: wanted.options.iter().filter(kept).cloned().collect(),
            upstream: match servers.is_empty() {
                true => Upstream::Host,
                false => Upstream::Servers(servers),
            },
        }
    }
}

/// One `nameserver` line of a `resolv.conf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nameserver {
    pub addr: IpAddr,
    /// The interface that a link-local address is on (`fe80::1%eth0`), by name or number.
    pub interface: Option<String>,
}

/// The servers that the text of a `resolv.conf` (resolv.conf(5)) names, at most three.
/// Lines that make no sense are passed over, as the C libraries do.
pub fn nameservers(text: &str) -> Vec<Nameserver> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let value = (words.next()? == "nameserver").then(|| words.next())??;
        let (addr, interface) = match value.split_once('%') {
            Some((addr, interface)) => (addr, Some(interface.to_owned())),
            None => (value, None),
        };
        let addr = addr.parse().ok()?;
        Some(Nameserver { addr, interface })
    });
    lines.take(MAX_SERVERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

    fn wanted(servers: &[&str], options: &[&str]) -> Wanted {
        Wanted {
            servers: servers.iter().map(|text| text.parse().unwrap()).collect(),
            search: vec!["example.org".to_owned()],
            options: options.iter().map(|&text| text.to_owned()).collect(),
        }
    }

    #[test]
    fn a_container_without_overlay_keeps_what_its_user_wrote() {
        let wanted = wanted(&["127.0.0.1", "9.9.9.9"], &["ndots:5"]);
        let resolv = Resolv::of(&wanted, None);
        assert_eq!(resolv.servers, wanted.servers);
        assert_eq!(resolv.search, wanted.search);
        assert_eq!(resolv.options, wanted.options);
    }

    #[test]
    fn a_container_on_an_overlay_asks_us_and_we_ask_its_servers() {
        let resolv = Resolv::of(&wanted(&["9.9.9.9", "2620:fe::9"], &[]), Some(GATEWAY));
        assert_eq!(resolv.servers, [IpAddr::V4(GATEWAY)]);
        assert_eq!(resolv.search, ["example.org"]);
        assert_eq!(
            resolv.upstream,
            Upstream::Servers(vec![
                "9.9.9.9:53".parse().unwrap(),
                "[2620:fe::9]:53".parse().unwrap()
            ])
        );
    }

    #[test]
    fn without_servers_of_its_own_we_ask_those_of_the_host() {
        let resolv = Resolv::of(&Wanted::default(), Some(GATEWAY));
        assert_eq!(resolv.upstream, Upstream::Host);
    }

    #[test]
    fn servers_that_only_the_container_could_reach_are_not_asked() {
        let own = ["127.0.0.1", "::1", "0.0.0.0", "169.254.1.1"];
        let resolv = Resolv::of(&wanted(&own, &[]), Some(GATEWAY));
        assert_eq!(resolv.upstream, Upstream::Host);
    }

    #[test]
    fn ndots_does_not_keep_short_names_from_us() {
        let resolv = Resolv::of(&wanted(&[], &["ndots:2", "timeout:1"]), Some(GATEWAY));
        assert_eq!(resolv.options, ["timeout:1"]);
    }

    #[test]
    fn a_resolv_conf_names_its_servers() {
        let text = "# made by hand\nsearch lan\nnameserver 192.0.2.1\n  nameserver\tfe80::1%eth0 # router\n\
                    nameserver\nnameserver nonsense\nnameservers 1.1.1.1\noptions ndots:1\n";
        let found = nameservers(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].addr, "192.0.2.1".parse::<IpAddr>().unwrap());
        assert_eq!(found[1].interface.as_deref(), Some("eth0"));
    }

    #[test]
    fn no_more_than_three_servers_are_used() {
        let text = "nameserver 192.0.2.1\n".repeat(9);
        assert_eq!(nameservers(&text).len(), 3);
    }
}
