//! What a testnet looks like, as a value: names, addresses and texts, derived
//! from a name, a subnet number and a number of hosts.
//!
//! Hosts are called h1..hN and sit at 10.99.x.1 to .N on one switch. Nothing
//! here touches the machine, so every rule can be tested without root.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The most hosts of one testnet: what two cores and a few GB carry.
pub const MAX_HOSTS: usize = 8;

/// How many of the first hosts become managers when the swarm is formed.
pub const MANAGERS: usize = 3;

/// What cables carry unless they are asked to carry more.
pub const ETHERNET_MTU: u16 = 1500;

/// How far a host's second address is above its first.
const OTHER_LEASE: u8 = 100;

/// A whole testnet; stored as `testnet.json`, never changed while it is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub name: String,
    /// The x of 10.99.x.0/24.
    pub subnet: u8,
    pub host_count: usize,
    /// Arguments after `swarmlet daemon`, the same on every host.
    pub daemon_args: Vec<String>,
    /// The longest packet that the cables carry, in bytes.
    pub mtu: u16,
}

/// One host of a [`Plan`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPlan {
    pub name: String,
    pub ip: Ipv4Addr,
    /// Of its cable.
    pub mtu: u16,
}

impl Plan {
    /// Checks the name and the count; the subnet is the caller's choice.
    pub fn new(name: &str, subnet: u8, host_count: usize) -> Result<Self> {
        check_name(name)?;
        if host_count == 0 || host_count > MAX_HOSTS {
            return Err(Error::BadHostCount(host_count));
        }
        Ok(Self {
            name: name.to_owned(),
            subnet,
            host_count,
            daemon_args: Vec::new(),
            mtu: ETHERNET_MTU,
        })
    }

    /// The hosts in order, h1 first.
    pub fn hosts(&self) -> impl Iterator<Item = HostPlan> + '_ {
        (1..=self.host_count).map(|n| HostPlan {
            name: format!("h{n}"),
            ip: Ipv4Addr::new(10, 99, self.subnet, n.to_le_bytes()[0]),
            mtu: self.mtu,
        })
    }

    /// The host called `name`.
    pub fn host(&self, name: &str) -> Result<HostPlan> {
        self.hosts()
            .find(|host| host.name == name)
            .ok_or_else(|| Error::NoSuchHost {
                testnet: self.name.clone(),
                host: name.to_owned(),
                known: self
                    .hosts()
                    .map(|host| host.name)
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }

    /// `/etc/hosts` of every host.
    pub fn etc_hosts(&self) -> String {
        let mut text = String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n");
        for host in self.hosts() {
            text += &format!("{}\t{}\n", host.ip, host.name);
        }
        text
    }
}

impl HostPlan {
    /// The same hardware address at every boot, so that peers' ARP caches stay true.
    pub fn mac(&self) -> String {
        let [a, b, c, d] = self.ip.octets();
        format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
    }

    /// The addresses that it may be given: its first one, and another for
    /// tests of a changed lease.
    pub fn leases(&self) -> [Ipv4Addr; 2] {
        let [a, b, c, d] = self.ip.octets();
        [self.ip, Ipv4Addr::new(a, b, c, d + OTHER_LEASE)]
    }
}

/// Is `name` usable as a folder, a cgroup and part of a table?
pub fn check_name(name: &str) -> Result<()> {
    let fits = (1..=32).contains(&name.len())
        && !name.starts_with('-')
        && name
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if fits {
        Ok(())
    } else {
        Err(Error::BadName(name.to_owned()))
    }
}

/// The lowest subnet number from 1 to 254 that nobody uses.
pub fn free_subnet(taken: &BTreeSet<u8>) -> Result<u8> {
    (1..=254)
        .find(|subnet| !taken.contains(subnet))
        .ok_or(Error::NoSubnet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_numbered_from_one_in_the_subnet() {
        let plan = Plan::new("default", 7, 3).unwrap();
        let hosts: Vec<_> = plan.hosts().map(|h| (h.name, h.ip.to_string())).collect();
        assert_eq!(
            hosts,
            [
                ("h1".to_owned(), "10.99.7.1".to_owned()),
                ("h2".to_owned(), "10.99.7.2".to_owned()),
                ("h3".to_owned(), "10.99.7.3".to_owned()),
            ]
        );
    }

    #[test]
    fn every_host_is_in_the_hosts_file() {
        let text = Plan::new("x", 1, 2).unwrap().etc_hosts();
        assert!(text.contains("10.99.1.1\th1\n"), "{text}");
        assert!(text.contains("10.99.1.2\th2\n"), "{text}");
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"), "{text}");
    }

    #[test]
    fn an_unknown_host_is_refused_with_the_known_ones() {
        let error = Plan::new("x", 1, 2).unwrap().host("h3").unwrap_err();
        assert_eq!(
            error.to_string(),
            "testnet `x` has no host `h3`, only h1, h2"
        );
    }

    #[test]
    fn counts_outside_one_to_eight_are_refused() {
        for count in [0, 9] {
            assert!(matches!(
                Plan::new("x", 1, count),
                Err(Error::BadHostCount(_))
            ));
        }
        assert!(Plan::new("x", 1, 8).is_ok());
    }

    #[test]
    fn names_that_could_escape_their_folder_are_refused() {
        for name in ["", "..", "a/b", "A", "-x", "a b", &"a".repeat(33)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["default", "test-1", "0"] {
            assert!(check_name(name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn the_lowest_free_subnet_is_taken() {
        assert_eq!(free_subnet(&BTreeSet::new()).unwrap(), 1);
        assert_eq!(free_subnet(&BTreeSet::from([1, 2, 4])).unwrap(), 3);
        assert!(free_subnet(&(0..=255).collect()).is_err());
    }

    #[test]
    fn no_two_hosts_are_ever_given_the_same_address() {
        let plan = Plan::new("x", 1, MAX_HOSTS).unwrap();
        let leases: BTreeSet<_> = plan.hosts().flat_map(|host| host.leases()).collect();
        assert_eq!(leases.len(), 2 * MAX_HOSTS);
    }

    #[test]
    fn hardware_addresses_follow_the_address() {
        let plan = Plan::new("x", 255, 2).unwrap();
        assert_eq!(plan.host("h2").unwrap().mac(), "02:00:0a:63:ff:02");
    }
}
