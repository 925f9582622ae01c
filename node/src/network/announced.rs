//! What this node tells everyone of where its containers answer.
//!
//! The agent says which tasks run; the engine takes a container's link down
//! before it tells anybody that the container died, and while the engine itself
//! restarts nobody is told at all. So a container is ready only with a link.

use std::collections::BTreeMap;

use gossip::Endpoint;
use overlay::plugin::Locals;
use tokio::sync::watch;

use crate::attach::announce::Endpoints;

/// By task and network, as in gossip's facts.
pub type Tickets = BTreeMap<(u128, u128), Vec<u8>>;

/// By who says it.
#[derive(Debug, Default)]
pub struct Announced {
    pub tasks: Endpoints,
    pub attached: Endpoints,
    /// For those that are `attached`, given since the swarm has another CA.
    pub tickets: Tickets,
    /// The addresses that have a link here; `None`: not known yet, so nothing is
    /// to be said.
    pub links: Option<watch::Receiver<Locals>>,
}

impl Announced {
    /// Takes those of `tickets` that more CAs have signed than what is there.
    /// `signers`: how many have signed this ticket for this endpoint.
    pub fn renew(&mut self, signers: impl Fn((u128, u128), &Endpoint, &[u8]) -> usize) {
        for (key, endpoint) in &mut self.attached {
            let Some(ticket) = self.tickets.get(key) else {
                continue;
            };
            let before = signers(*key, endpoint, &endpoint.ticket.signature);
            if signers(*key, endpoint, ticket) > before {
                endpoint.ticket.signature.clone_from(ticket);
            }
        }
    }

    pub fn endpoints(&self) -> Endpoints {
        let Some(links) = &self.links else {
            return Endpoints::new();
        };
        let links = links.borrow().clone();
        let mut endpoints = self.tasks.clone();
        endpoints.extend(self.attached.clone());
        for ((_, network), endpoint) in &mut endpoints {
            endpoint.ready &= endpoint.addrs.iter().all(|addr| {
                let link = links.get(addr);
                link.is_some_and(|link| link.network == *network)
            });
        }
        endpoints
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::IpAddr;
    use std::sync::Arc;

    use gossip::Ticket;
    use overlay::view::Local;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn endpoint(addrs: &[&str], ready: bool) -> Endpoint {
        Endpoint {
            service: 9,
            addrs: addrs.iter().map(|text| ip(text)).collect(),
            ready,
            names: Vec::new(),
            ticket: Ticket {
                signature: b"signed".to_vec(),
            },
        }
    }

    fn links(linked: &[(u128, &str)]) -> Locals {
        let links = linked.iter().map(|&(network, addr)| {
            let local = Local {
                network,
                veth: "swv0".into(),
                sandbox: "a".into(),
                ports: BTreeSet::new(),
            };
            (ip(addr), local)
        });
        Arc::new(links.collect())
    }

    #[test]
    fn who_has_lost_a_link_is_not_ready() {
        let dual = ["10.0.1.2", "fd00:1::2"];
        let (tell, hear) = watch::channel(links(&[]));
        let mut announced = Announced {
            tasks: [((1, 5), endpoint(&dual, true))].into(),
            attached: [((2, 5), endpoint(&["10.0.1.3"], true))].into(),
            ..Announced::default()
        };
        let ready = |announced: &Announced| {
            let endpoints = announced.endpoints();
            [(1, 5), (2, 5)].map(|key| endpoints[&key].ready)
        };
        assert!(announced.endpoints().is_empty(), "nothing is known");
        announced.links = Some(hear);
        assert_eq!(ready(&announced), [false, false]);
        tell.send_replace(links(&[(5, "10.0.1.2"), (5, "fd00:1::2"), (5, "10.0.1.3")]));
        assert_eq!(ready(&announced), [true, true]);
        tell.send_replace(links(&[(5, "10.0.1.2"), (6, "10.0.1.3")]));
        assert_eq!(ready(&announced), [false, false], "on its network");
    }

    #[test]
    fn a_ticket_that_more_have_signed_takes_the_place_of_another() {
        let mut announced = Announced {
            attached: [((2, 5), endpoint(&["10.0.1.3"], true))].into(),
            ..Announced::default()
        };
        // A signature of each, as it were.
        let signers = |_, _: &Endpoint, ticket: &[u8]| ticket.len();
        let before = announced.attached[&(2, 5)].ticket.signature.clone();
        for (given, wanted) in [
            (vec![9; before.len()], before.clone()),
            (vec![9; before.len() + 1], vec![9; before.len() + 1]),
            (Vec::new(), vec![9; before.len() + 1]),
        ] {
            announced.tickets = [((2, 5), given)].into();
            announced.renew(signers);
            assert_eq!(announced.attached[&(2, 5)].ticket.signature, wanted);
        }
    }

    #[test]
    fn a_link_makes_nobody_ready() {
        let announced = Announced {
            tasks: [((1, 5), endpoint(&["10.0.1.2"], false))].into(),
            links: Some(watch::channel(links(&[(5, "10.0.1.2")])).1),
            ..Announced::default()
        };
        assert!(!announced.endpoints()[&(1, 5)].ready);
    }
}
