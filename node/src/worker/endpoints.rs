//! What the overlay hears of this node's tasks. Pure.
//!
//! An address is expected as long as its task may be started here. An endpoint
//! is announced while there is a container, so that what it sends is known to
//! be its; it is ready while the task runs well and is to go on doing so.

use std::net::IpAddr;

use gossip::{Endpoint, Ticket};
use overlay::dns::resolv::Wanted;
use services::{Assignment, Id};

use super::links::{Endpoints, Expected, Resolvers};
use crate::runtime::dns;

/// A task as far as the overlay is concerned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Linked<'a> {
    pub assignment: &'a Assignment,
    pub stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has no container yet.
    Bare,
    /// It has one that takes no new connections: it does not run, is not well
    /// or is to stop.
    Closed,
    /// It runs well and is to go on.
    Open,
    /// It has ended.
    Over,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Links {
    pub expected: Expected,
    pub endpoints: Endpoints,
    pub resolvers: Resolvers,
}

impl<'a> FromIterator<Linked<'a>> for Links {
    fn from_iter<I: IntoIterator<Item = Linked<'a>>>(tasks: I) -> Self {
        let mut links = Self::default();
        let tasks = tasks.into_iter().filter(|it| it.stage != Stage::Over);
        for Linked { assignment, stage } in tasks {
            for network in &assignment.networks {
                let addrs = network.addrs.iter().map(|net| net.addr());
                links.expected.extend(addrs.map(|addr| (network.id, addr)));
            }
            if stage != Stage::Bare {
                let open = stage == Stage::Open;
                links.endpoints.extend(endpoints(assignment, open));
                links.resolvers.extend(resolver(assignment));
            }
        }
        links
    }
}

/// None on a network for which no manager has given a ticket yet: nobody would
/// believe it.
fn endpoints(
    assignment: &Assignment,
    ready: bool,
) -> impl Iterator<Item = ((Id, Id), Endpoint)> + '_ {
    let networks = assignment.networks.iter();
    let networks = networks.filter(|network| !network.ticket.is_empty());
    networks.map(move |network| {
        let endpoint = Endpoint {
            service: assignment.service.as_u128(),
            addrs: network.addrs.iter().map(|net| net.addr()).collect(),
            ready,
            names: Vec::new(),
            ticket: Ticket {
                signature: network.ticket.clone(),
            },
        };
        ((assignment.task, network.id), endpoint)
    })
}

fn resolver(assignment: &Assignment) -> Option<(IpAddr, Wanted)> {
    let wanted = dns::wanted(assignment);
    let mut addrs = assignment.networks.iter().flat_map(|it| &it.addrs);
    let addr = addrs.next()?.addr();
    (!wanted.servers.is_empty()).then_some((addr, wanted))
}

#[cfg(test)]
mod tests {
    use services::assignment::AssignedNetwork;
    use services::spec::{DnsConfig, ServiceSpec};

    use super::*;
    use crate::worker::testing::{self, network};

    const TASK: Id = Id::from_u128(1);
    const FRONT: Id = Id::from_u128(11);
    const BACK: Id = Id::from_u128(12);

    fn assignment(servers: &[&str]) -> Assignment {
        let mut spec = ServiceSpec::default();
        spec.task.container.dns = Some(DnsConfig {
            nameservers: servers.iter().map(|&text| text.to_owned()).collect(),
            ..DnsConfig::default()
        });
        Assignment {
            networks: vec![
                network(FRONT, &["10.0.1.7/24", "fd00:1::7/64"]),
                AssignedNetwork {
                    ticket: Vec::new(),
                    ..network(BACK, &["10.0.2.7/24"])
                },
            ],
            ..testing::assignment(TASK, spec)
        }
    }

    fn links(assignment: &Assignment, stage: Stage) -> Links {
        [Linked { assignment, stage }].into_iter().collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_are_expected_from_before_the_container_until_the_end() {
        let task = assignment(&[]);
        let expected = [
            (FRONT, ip("10.0.1.7")),
            (FRONT, ip("fd00:1::7")),
            (BACK, ip("10.0.2.7")),
        ];
        for stage in [Stage::Bare, Stage::Closed, Stage::Open] {
            assert_eq!(links(&task, stage).expected, expected.into());
        }
        assert_eq!(links(&task, Stage::Over), Links::default());
    }

    #[test]
    fn a_container_is_announced_with_its_ticket_and_ready_only_while_it_serves() {
        let task = assignment(&[]);
        assert!(links(&task, Stage::Bare).endpoints.is_empty());
        for (stage, ready) in [(Stage::Closed, false), (Stage::Open, true)] {
            // On the network without a ticket it is not.
            let endpoint = Endpoint {
                service: 2,
                addrs: vec![ip("10.0.1.7"), ip("fd00:1::7")],
                ready,
                names: Vec::new(),
                ticket: Ticket {
                    signature: b"signed".to_vec(),
                },
            };
            let expected = [((TASK, FRONT), endpoint)].into();
            assert_eq!(links(&task, stage).endpoints, expected);
        }
    }

    #[test]
    fn only_a_container_with_servers_of_its_own_is_asked_for_elsewhere() {
        assert!(links(&assignment(&[]), Stage::Closed).resolvers.is_empty());
        let told = links(&assignment(&["9.9.9.9"]), Stage::Closed).resolvers;
        assert_eq!(told[&ip("10.0.1.7")].servers, [ip("9.9.9.9")]);
        assert_eq!(told.len(), 1);
        // On no network, the engine asks by itself.
        let mut alone = assignment(&["9.9.9.9"]);
        alone.networks.clear();
        assert!(links(&alone, Stage::Open).resolvers.is_empty());
    }
}
