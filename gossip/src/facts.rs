//! What a node says of itself. It is the only author of its facts, signs them,
//! and everyone can check that without asking anyone.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use certs::Role;
use serde::{Deserialize, Serialize};

/// Where a node can be dialled, the most likely first.
pub const MAX_ADDRS: usize = 8;
/// Tasks on overlay networks, one per task and network.
pub const MAX_ENDPOINTS: usize = 1_024;
/// Addresses of one task on one network.
pub const MAX_ENDPOINT_ADDRS: usize = 2;
/// What stands in place of a service for containers that users put on networks.
pub const NO_SERVICE: u128 = 0;
/// Of one container.
pub const MAX_NAMES: usize = 16;
/// Bytes of the names of all containers together, so that a node's record stays
/// one that others fetch.
pub const MAX_NAME_BYTES: usize = 64 << 10;
/// Bytes of a ticket's signatures: two, while the swarm's CA becomes another one, and
/// ours have at most 72 each.
pub const MAX_SIGNATURE: usize = 160;
/// Bytes of any text in the facts.
pub const MAX_TEXT: usize = 255;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Of the control port.
    pub addrs: Vec<SocketAddr>,
    pub hostname: String,
    pub role: Role,
    /// Of swarmlet.
    pub version: String,
    pub platform: Platform,
    pub resources: Resources,
    pub load: Load,
    /// By task and network.
    pub endpoints: BTreeMap<(u128, u128), Endpoint>,
}

impl Facts {
    /// With what is beyond the limits left out: containers of no service before
    /// tasks.
    pub fn bounded(mut self) -> Self {
        self.addrs.truncate(MAX_ADDRS);
        for text in self.texts_mut() {
            while text.len() > MAX_TEXT {
                text.pop();
            }
        }
        self.endpoints.retain(|_, endpoint| endpoint.is_bounded());
        self.bound_endpoints();
        self.bound_names();
        self
    }

    /// Whether all is within the limits.
    pub fn is_bounded(&self) -> bool {
        self.addrs.len() <= MAX_ADDRS
            && self.endpoints.len() <= MAX_ENDPOINTS
            && self.texts().iter().all(|text| text.len() <= MAX_TEXT)
            && self.endpoints.values().all(Endpoint::is_bounded)
            && self.name_bytes() <= MAX_NAME_BYTES
    }

    fn bound_endpoints(&mut self) {
        let beyond = self.endpoints.len().saturating_sub(MAX_ENDPOINTS);
        let is_task = |key: &(u128, u128)| self.endpoints[key].service != NO_SERVICE;
        let mut keys: Vec<_> = self.endpoints.keys().rev().copied().collect();
        keys.sort_by_key(is_task);
        for key in keys.into_iter().take(beyond) {
            self.endpoints.remove(&key);
        }
    }

    fn bound_names(&mut self) {
        let mut room = MAX_NAME_BYTES;
        for endpoint in self.endpoints.values_mut() {
            let fitting = endpoint.names.iter().take_while(|name| {
                let left = room.checked_sub(name.len());
                room = left.unwrap_or(0);
                left.is_some()
            });
            let fitting = fitting.count();
            endpoint.names.truncate(fitting);
        }
    }

    fn name_bytes(&self) -> usize {
        let names = self.endpoints.values().flat_map(|it| &it.names);
        names.map(String::len).sum()
    }

    fn texts(&self) -> [&String; 4] {
        let platform = &self.platform;
        [
            &self.hostname,
            &self.version,
            &platform.os,
            &platform.architecture,
        ]
    }

    fn texts_mut(&mut self) -> [&mut String; 4] {
        let platform = &mut self.platform;
        [
            &mut self.hostname,
            &mut self.version,
            &mut platform.os,
            &mut platform.architecture,
        ]
    }
}

/// As Docker and Go name them: `linux`, `amd64`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
}

/// What the device has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resources {
    /// Billionths of a processor.
    pub nano_cpus: u64,
    /// Bytes.
    pub memory: u64,
}

/// What is in use, in coarse steps: a change of it is news for the whole swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Load {
    /// Percent of all processors, in steps of ten.
    pub cpu: u8,
    /// Percent of the memory, in steps of ten.
    pub memory: u8,
    /// Containers of tasks that run.
    pub tasks: u32,
}

/// Where a task answers on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub service: u128,
    /// One of each family that the network has, IPv4 first.
    pub addrs: Vec<IpAddr>,
    /// Takes new connections. One that does not is starting, unhealthy or
    /// draining; what it has goes on.
    pub ready: bool,
    /// By which a container that no service has made is asked for; the ticket
    /// does not vouch for them. None of a task.
    pub names: Vec<String>,
    pub ticket: Ticket,
}

impl Endpoint {
    fn is_bounded(&self) -> bool {
        (1..=MAX_ENDPOINT_ADDRS).contains(&self.addrs.len())
            && self.names.len() <= MAX_NAMES
            && self.names.iter().all(|name| name.len() <= MAX_TEXT)
            && self.ticket.signature.len() <= MAX_SIGNATURE
    }
}

/// The swarm's word that a task of a service belongs at these addresses, on this
/// network, on this node; an endpoint counts only with it. It is of the key of the
/// swarm's certificate authority, which every manager holds: so it outlives the
/// manager that gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// ECDSA P-256, ASN.1, by `certs::CertificateAuthority::sign` over
    /// [`Grant::signed_bytes`](crate::endpoints::Grant::signed_bytes); that of each CA,
    /// one after the other.
    pub signature: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(endpoints: impl Iterator<Item = ((u128, u128), Endpoint)>) -> Facts {
        Facts {
            addrs: Vec::new(),
            hostname: "h1".to_owned(),
            role: Role::Worker,
            version: "1".to_owned(),
            platform: Platform::default(),
            resources: Resources::default(),
            load: Load::default(),
            endpoints: endpoints.collect(),
        }
    }

    fn endpoint(service: u128, names: Vec<String>) -> Endpoint {
        Endpoint {
            service,
            addrs: vec!["10.0.1.2".parse().unwrap()],
            ready: true,
            names,
            ticket: Ticket {
                signature: Vec::new(),
            },
        }
    }

    #[test]
    fn containers_of_users_give_way_to_tasks() {
        let attached = (0..1_000).map(|n| ((n, 5), endpoint(NO_SERVICE, Vec::new())));
        let tasks = (5_000..5_100).map(|n| ((n, 5), endpoint(7, Vec::new())));
        let facts = facts(attached.chain(tasks));
        assert!(!facts.is_bounded());
        let facts = facts.bounded();
        assert!(facts.is_bounded());
        let kept = facts.endpoints.values();
        assert_eq!(kept.filter(|it| it.service == 7).count(), 100);
        assert_eq!(facts.endpoints.len(), MAX_ENDPOINTS);
        assert!(facts.endpoints.contains_key(&(0, 5)));
    }

    #[test]
    fn what_is_left_by_tasks_is_for_containers_of_users() {
        let endpoints = (0..2_000).map(|n| ((n, 5), endpoint(n % 2, Vec::new())));
        let facts = facts(endpoints);
        let facts = facts.bounded();
        let attached = facts
            .endpoints
            .values()
            .filter(|it| it.service == NO_SERVICE);
        assert_eq!(
            (facts.endpoints.len(), attached.count()),
            (MAX_ENDPOINTS, 24)
        );
    }

    #[test]
    fn names_are_bounded_in_sum() {
        let names = vec!["n".repeat(MAX_TEXT); MAX_NAMES];
        let endpoints = (0..150).map(|n| ((n, 5), endpoint(NO_SERVICE, names.clone())));
        let facts = facts(endpoints);
        assert!(!facts.is_bounded());
        let facts = facts.bounded();
        assert!(facts.is_bounded());
        assert_eq!(facts.endpoints.len(), 150);
        let left = facts.name_bytes();
        assert!(
            (MAX_NAME_BYTES - MAX_TEXT..=MAX_NAME_BYTES).contains(&left),
            "{left}"
        );
    }
}
