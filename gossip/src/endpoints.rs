//! Where the tasks of every network answer, by what the nodes say and managers
//! have signed.
//!
//! A node says which of its tasks are where; that counts only with a *ticket*, a
//! manager's signature over (task, service, network, address, node). So a node can
//! attract traffic only for what it was given, and no manager need be asked. The
//! table is a pure fold over the members: it can be made anew at any change.

use std::collections::BTreeMap;
use std::net::IpAddr;

use certs::NodeId;

use crate::facts::{Endpoint, EndpointState, Ticket};
use crate::machine::Keys;
use crate::view::{Liveness, Member};

/// What is signed, apart from everything else that a manager's key may sign.
const CONTEXT: &[u8] = b"swarmlet gossip ticket 1\0";

/// What a ticket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    pub task: u128,
    pub service: u128,
    pub network: u128,
    pub addr: IpAddr,
    pub node: NodeId,
}

impl Grant {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = CONTEXT.to_vec();
        for part in [self.task, self.service, self.network, self.node.as_u128()] {
            bytes.extend_from_slice(&part.to_be_bytes());
        }
        // An address of either family is its IPv6 form, so that none is a
        // beginning of another.
        let addr = match self.addr {
            IpAddr::V4(addr) => addr.to_ipv6_mapped(),
            IpAddr::V6(addr) => addr,
        };
        bytes.extend_from_slice(&addr.octets());
        bytes
    }
}

impl Ticket {
    /// Signs a grant with the key of this node, which is to be a manager.
    pub fn issue(keys: &dyn Keys, grant: &Grant) -> Self {
        Self {
            manager: keys.node_of(&keys.public_key()),
            signature: keys.sign(&grant.bytes()).to_vec(),
        }
    }

    /// Whether `manager`, with this public key, signed this grant.
    pub fn verifies(&self, keys: &dyn Keys, public_key: &[u8; 32], grant: &Grant) -> bool {
        let Ok(signature) = <&[u8; 64]>::try_from(self.signature.as_slice()) else {
            return false;
        };
        keys.node_of(public_key) == self.manager
            && keys.verify(public_key, &grant.bytes(), signature)
    }
}

/// A task that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    pub task: u128,
    pub node: NodeId,
    pub addr: IpAddr,
    pub state: EndpointState,
}

/// By network, then by service; backends by task.
pub type Table = BTreeMap<u128, BTreeMap<u128, Vec<Backend>>>;

/// Everything that answers somewhere. `manager_key`: the public key of a node that
/// is known to be a manager.
pub fn table(
    members: impl Iterator<Item = Member>,
    keys: &dyn Keys,
    manager_key: impl Fn(NodeId) -> Option<[u8; 32]>,
) -> Table {
    let mut table = Table::new();
    for member in members {
        if matches!(member.liveness, Liveness::Dead { .. } | Liveness::Left) {
            continue;
        }
        let Some(facts) = &member.facts else { continue };
        for ((task, network), endpoint) in &facts.endpoints {
            let grant = grant_of(member.id, *task, *network, endpoint);
            let ticket = &endpoint.ticket;
            let granted =
                manager_key(ticket.manager).is_some_and(|key| ticket.verifies(keys, &key, &grant));
            if granted {
                let services = table.entry(*network).or_default();
                services.entry(endpoint.service).or_default().push(Backend {
                    task: *task,
                    node: member.id,
                    addr: endpoint.addr,
                    state: endpoint.state,
                });
            }
        }
    }
    let backends = table.values_mut().flat_map(BTreeMap::values_mut);
    backends.for_each(|backends| backends.sort_by_key(|backend| (backend.task, backend.node)));
    table
}

fn grant_of(node: NodeId, task: u128, network: u128, endpoint: &Endpoint) -> Grant {
    Grant {
        task,
        service: endpoint.service,
        network,
        addr: endpoint.addr,
        node,
    }
}

#[cfg(test)]
mod tests {
    use certs::Role;

    use super::*;
    use crate::machine::tests::kit::{FakeKeys, facts, id_of};
    use crate::view::{Moment, Through};

    const MANAGER: u8 = 9;

    fn grant(node: u8) -> Grant {
        Grant {
            task: 1,
            service: 2,
            network: 3,
            addr: IpAddr::from([10, 0, 3, 7]),
            node: id_of(node),
        }
    }

    fn endpoint(grant: &Grant, signer: u8) -> Endpoint {
        Endpoint {
            service: grant.service,
            addr: grant.addr,
            state: EndpointState::Ready,
            ticket: Ticket::issue(&FakeKeys(signer), grant),
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
        let key = |id| (id == id_of(MANAGER)).then(|| FakeKeys(MANAGER).public_key());
        let table = table([member].into_iter(), &FakeKeys(1), key);
        table
            .get(&3)
            .and_then(|services| services.get(&2))
            .cloned()
            .unwrap_or_default()
    }

    #[test]
    fn an_endpoint_with_a_manager_s_ticket_is_in_the_table() {
        let found = backends(member(4, endpoint(&grant(4), MANAGER), Liveness::Alive));
        let backend = Backend {
            task: 1,
            node: id_of(4),
            addr: grant(4).addr,
            state: EndpointState::Ready,
        };
        assert_eq!(found, [backend]);
    }

    #[test]
    fn a_worker_s_signature_is_no_ticket() {
        assert_eq!(facts(4).role, Role::Worker);
        assert!(backends(member(4, endpoint(&grant(4), 4), Liveness::Alive)).is_empty());
        let mut forged = endpoint(&grant(4), 4);
        forged.ticket.manager = id_of(MANAGER);
        assert!(backends(member(4, forged, Liveness::Alive)).is_empty());
    }

    #[test]
    fn a_ticket_is_for_one_task_service_network_address_and_node() {
        let stolen = endpoint(&grant(5), MANAGER);
        assert!(backends(member(4, stolen, Liveness::Alive)).is_empty());
        for change in [
            |grant: &mut Grant| grant.task = 9,
            |grant: &mut Grant| grant.service = 9,
            |grant: &mut Grant| grant.network = 9,
            |grant: &mut Grant| grant.addr = IpAddr::from([10, 0, 3, 8]),
        ] {
            let mut other = grant(4);
            change(&mut other);
            let mut endpoint = endpoint(&grant(4), MANAGER);
            endpoint.ticket = Ticket::issue(&FakeKeys(MANAGER), &other);
            assert!(backends(member(4, endpoint, Liveness::Alive)).is_empty());
        }
    }

    #[test]
    fn a_signature_of_another_length_is_refused() {
        let mut endpoint = endpoint(&grant(4), MANAGER);
        endpoint.ticket.signature.push(0);
        assert!(backends(member(4, endpoint, Liveness::Alive)).is_empty());
    }

    #[test]
    fn a_lost_node_takes_its_endpoints_with_it_and_a_suspect_does_not() {
        let endpoint = endpoint(&grant(4), MANAGER);
        let dead = Liveness::Dead {
            by: id_of(1),
            witnesses: 2,
        };
        assert!(backends(member(4, endpoint.clone(), dead)).is_empty());
        assert!(backends(member(4, endpoint.clone(), Liveness::Left)).is_empty());
        assert_eq!(backends(member(4, endpoint, Liveness::Suspect)).len(), 1);
    }
}
