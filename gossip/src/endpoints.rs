//! Where the tasks of every network answer, by what the nodes say and the swarm
//! has signed.
//!
//! A node says which of its tasks are where; that counts only with a *ticket*, a
//! signature over (task, service, network, addresses, node) that only managers can
//! make. So a node can attract traffic only for what it was given, and no manager
//! need be asked. A bad ticket costs its node that endpoint and nothing else.
//!
//! The table is a pure fold over the members. [`Endpoints`] remembers which
//! endpoints have been verified, since that is a hundred times the cost of all the
//! rest, and keeps the table while nothing in it changes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use certs::NodeId;

use crate::facts::{Endpoint, Facts};
use crate::view::{Liveness, Member};

/// What is signed, apart from everything else that the key may sign.
const CONTEXT: &[u8] = b"swarmlet ticket 1\0";

/// What a ticket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant<'a> {
    pub task: u128,
    pub service: u128,
    pub network: u128,
    pub addrs: &'a [IpAddr],
    pub node: NodeId,
}

impl Grant<'_> {
    /// What the swarm's key signs.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = CONTEXT.to_vec();
        for part in [self.task, self.service, self.network, self.node.as_u128()] {
            bytes.extend_from_slice(&part.to_be_bytes());
        }
        for addr in self.addrs {
            // An address of either family is its IPv6 form, so that none is a
            // beginning of another.
            let addr = match addr {
                IpAddr::V4(addr) => addr.to_ipv6_mapped(),
                IpAddr::V6(addr) => *addr,
            };
            bytes.extend_from_slice(&addr.octets());
        }
        bytes
    }
}

/// A task that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    pub task: u128,
    pub node: NodeId,
    /// See [`Endpoint::addrs`].
    pub addrs: Vec<IpAddr>,
    /// See [`Endpoint::ready`].
    pub ready: bool,
    /// See [`Endpoint::names`].
    pub names: Vec<String>,
}

/// By network, then by service; backends by task, then by node.
pub type Table = BTreeMap<u128, BTreeMap<u128, Vec<Backend>>>;

/// The table as it was last asked for, and what it was made of.
#[derive(Debug, Default)]
pub struct Endpoints {
    nodes: BTreeMap<NodeId, Known>,
    table: Arc<Table>,
}

/// What a node said, and which of that counts.
#[derive(Debug)]
struct Known {
    facts: Arc<Facts>,
    /// By task and network: those whose ticket is good.
    granted: BTreeMap<(u128, u128), Endpoint>,
}

impl Endpoints {
    /// The table of all `members` that may live; the same one as before where
    /// nothing in it has changed. `verifies`: whether the swarm's key made this
    /// signature (second) of these bytes (first).
    pub fn update(
        &mut self,
        members: impl Iterator<Item = Member>,
        verifies: impl Fn(&[u8], &[u8]) -> bool,
    ) -> Arc<Table> {
        let mut changed = false;
        let mut nodes = BTreeMap::new();
        for member in members {
            let gone = matches!(member.liveness, Liveness::Dead { .. } | Liveness::Left);
            let Some(facts) = member.facts.filter(|_| !gone) else {
                continue;
            };
            let before = self.nodes.remove(&member.id);
            let known = match before {
                Some(known) if Arc::ptr_eq(&known.facts, &facts) => known,
                before => {
                    let before = before.map(|known| known.granted).unwrap_or_default();
                    let granted = granted(member.id, &facts, &before, &verifies);
                    changed |= granted != before;
                    Known { facts, granted }
                }
            };
            nodes.insert(member.id, known);
        }
        let mut lost = self.nodes.values();
        changed |= lost.any(|known| !known.granted.is_empty());
        self.nodes = nodes;
        if changed {
            self.table = Arc::new(self.fold());
        }
        Arc::clone(&self.table)
    }

    /// Verifies everything anew: the swarm's key may be another.
    pub fn forget(&mut self) {
        self.nodes.clear();
        self.table = Arc::default();
    }

    fn fold(&self) -> Table {
        let mut table = Table::new();
        for (node, known) in &self.nodes {
            for ((task, network), endpoint) in &known.granted {
                let services = table.entry(*network).or_default();
                services.entry(endpoint.service).or_default().push(Backend {
                    task: *task,
                    node: *node,
                    addrs: endpoint.addrs.clone(),
                    ready: endpoint.ready,
                    names: endpoint.names.clone(),
                });
            }
        }
        let backends = table.values_mut().flat_map(BTreeMap::values_mut);
        backends.for_each(|backends| backends.sort_by_key(|backend| (backend.task, backend.node)));
        table
    }
}

/// Those endpoints of a node that have a good ticket. `before`: those that are
/// known to have had one.
fn granted(
    node: NodeId,
    facts: &Facts,
    before: &BTreeMap<(u128, u128), Endpoint>,
    verifies: impl Fn(&[u8], &[u8]) -> bool,
) -> BTreeMap<(u128, u128), Endpoint> {
    let said = facts.endpoints.iter();
    said.filter(|((task, network), endpoint)| {
        let known = before.get(&(*task, *network));
        if known.is_some_and(|known| known.is_granted_as(endpoint)) {
            return true;
        }
        let grant = Grant {
            task: *task,
            service: endpoint.service,
            network: *network,
            addrs: &endpoint.addrs,
            node,
        };
        verifies(&grant.signed_bytes(), &endpoint.ticket.signature)
    })
    .map(|(key, endpoint)| (*key, endpoint.clone()))
    .collect()
}

impl Endpoint {
    /// Whether the other has the same ticket for the same thing.
    fn is_granted_as(&self, other: &Self) -> bool {
        self.service == other.service && self.addrs == other.addrs && self.ticket == other.ticket
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::facts::Ticket;
    use crate::machine::tests::kit::{facts, id_of};
    use crate::view::{Moment, Through};

    const ADDR: [IpAddr; 1] = [IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 3, 7))];

    fn grant(node: u8) -> Grant<'static> {
        Grant {
            task: 1,
            service: 2,
            network: 3,
            addrs: &ADDR,
            node: id_of(node),
        }
    }

    /// The signature of a key that only this test has.
    fn sign(bytes: &[u8]) -> Vec<u8> {
        certs::sha256(&[b"key", bytes].concat()).to_vec()
    }

    fn verifies(bytes: &[u8], signature: &[u8]) -> bool {
        sign(bytes) == signature
    }

    fn endpoint(grant: &Grant<'_>) -> Endpoint {
        Endpoint {
            service: grant.service,
            addrs: grant.addrs.to_vec(),
            ready: true,
            names: Vec::new(),
            ticket: Ticket {
                signature: sign(&grant.signed_bytes()),
            },
        }
    }

    fn member(node: u8, endpoint: Endpoint, liveness: Liveness) -> Member {
        let mut facts = facts(node);
        facts.endpoints.insert((1, 3), endpoint);
        Member {
            id: id_of(node),
            liveness,
            incarnation: 1,
            since: Moment::ZERO,
            facts: Some(facts.into()),
            addr: None,
            round_trip: None,
            last_heard: None,
            through: Through::Direct,
        }
    }

    fn backends(member: Member) -> Vec<Backend> {
        let table = Endpoints::default().update([member].into_iter(), verifies);
        let services = table.get(&3);
        services
            .and_then(|services| services.get(&2))
            .cloned()
            .unwrap_or_default()
    }

    #[test]
    fn an_endpoint_with_a_ticket_is_in_the_table() {
        let found = backends(member(4, endpoint(&grant(4)), Liveness::Alive));
        let backend = Backend {
            task: 1,
            node: id_of(4),
            addrs: ADDR.to_vec(),
            ready: true,
            names: Vec::new(),
        };
        assert_eq!(found, [backend]);
    }

    #[test]
    fn a_ticket_is_for_one_task_service_network_node_and_set_of_addresses() {
        let stolen = endpoint(&grant(5));
        assert!(backends(member(4, stolen, Liveness::Alive)).is_empty());
        let more = [ADDR[0], IpAddr::from([10, 0, 3, 8])];
        for other in [
            Grant {
                task: 9,
                ..grant(4)
            },
            Grant {
                service: 9,
                ..grant(4)
            },
            Grant {
                network: 9,
                ..grant(4)
            },
            Grant {
                addrs: &more[1..],
                ..grant(4)
            },
            Grant {
                addrs: &more,
                ..grant(4)
            },
            Grant {
                addrs: &[],
                ..grant(4)
            },
        ] {
            let mut endpoint = endpoint(&grant(4));
            endpoint.ticket.signature = sign(&other.signed_bytes());
            assert!(backends(member(4, endpoint, Liveness::Alive)).is_empty());
        }
    }

    #[test]
    fn a_bad_ticket_costs_one_endpoint_alone() {
        let mut node = facts(4);
        let mut bad = endpoint(&grant(4));
        bad.ticket.signature[0] ^= 1;
        node.endpoints.insert((1, 3), bad);
        let other = Grant {
            task: 7,
            ..grant(4)
        };
        node.endpoints.insert((7, 3), endpoint(&other));
        let mut member = member(4, endpoint(&grant(4)), Liveness::Alive);
        member.facts = Some(node.into());
        let found: Vec<u128> = backends(member).iter().map(|it| it.task).collect();
        assert_eq!(found, [7]);
    }

    #[test]
    fn a_lost_node_takes_its_endpoints_with_it_and_a_suspect_does_not() {
        let endpoint = endpoint(&grant(4));
        let dead = Liveness::Dead {
            by: id_of(1),
            witnesses: 2,
        };
        assert!(backends(member(4, endpoint.clone(), dead)).is_empty());
        assert!(backends(member(4, endpoint.clone(), Liveness::Left)).is_empty());
        assert_eq!(backends(member(4, endpoint, Liveness::Suspect)).len(), 1);
    }

    #[test]
    fn a_ticket_is_verified_once_and_an_unchanged_table_stays_the_same() {
        let asked = Cell::new(0);
        let count = |bytes: &[u8], signature: &[u8]| {
            asked.set(asked.get() + 1);
            verifies(bytes, signature)
        };
        let mut endpoints = Endpoints::default();
        let first = member(4, endpoint(&grant(4)), Liveness::Alive);
        let before = endpoints.update([first.clone()].into_iter(), count);
        let again = endpoints.update([first.clone()].into_iter(), count);
        assert!(Arc::ptr_eq(&before, &again));

        // What else its facts say matters neither to the ticket nor to the table.
        let mut busy = first.clone();
        let mut facts = Facts::clone(first.facts.as_ref().unwrap());
        facts.load.cpu = 90;
        busy.facts = Some(facts.clone().into());
        let again = endpoints.update([busy].into_iter(), count);
        assert!(Arc::ptr_eq(&before, &again));

        let mut draining = first.clone();
        facts.endpoints.values_mut().for_each(|it| it.ready = false);
        draining.facts = Some(facts.into());
        let drained = endpoints.update([draining].into_iter(), count);
        assert!(!drained[&3][&2][0].ready);
        assert_eq!(asked.get(), 1);

        assert!(endpoints.update([].into_iter(), count).is_empty());
        endpoints.update([first].into_iter(), count);
        assert_eq!(asked.get(), 2, "a node that was gone is looked at anew");
    }
}
