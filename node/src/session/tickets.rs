//! Tickets, by which a node may tell the others where its tasks answer: a
//! manager adds them to the assignments that it sends, the node keeps them.

use std::collections::BTreeMap;

use certs::NodeId;
use gossip::endpoints::Grant;
use services::assignment::AssignedNetwork;
use services::{Assignment, Id};

/// Signs what the assignments of `node` grant it.
pub fn issue<E>(
    assignments: &mut [Assignment],
    node: NodeId,
    sign: impl Fn(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<(), E> {
    for assignment in assignments {
        let (task, service) = (assignment.task, assignment.service);
        for network in &mut assignment.networks {
            network.ticket = sign(&signed_bytes(task, service, network, node))?;
        }
    }
    Ok(())
}

/// Keeps the tickets that this node has already: no two signatures of one grant
/// are the same, and another one is news for its disk and for everyone. One that
/// no CA of the swarm has signed is replaced, and one by another that more have.
/// `signers`: how many CAs have made this signature (second) of these bytes (first).
pub fn keep(
    changed: &mut BTreeMap<Id, Assignment>,
    held: &BTreeMap<Id, Assignment>,
    me: NodeId,
    signers: impl Fn(&[u8], &[u8]) -> usize,
) {
    for (task, assignment) in changed {
        let Some(held) = held.get(task) else { continue };
        for network in &mut assignment.networks {
            let known = held.networks.iter().find(|it| it.id == network.id);
            let Some(known) = known.filter(|it| it.ticket != network.ticket) else {
                continue;
            };
            let granted = signed_bytes(*task, assignment.service, network, me);
            let before = signers(&granted, &known.ticket);
            if before > 0 && before >= signers(&granted, &network.ticket) {
                network.ticket.clone_from(&known.ticket);
            }
        }
    }
}

/// Whether all tickets of these assignments are good. `verifies`: whether one is, as
/// in [`keep`].
pub fn are_good<'a>(
    assignments: impl IntoIterator<Item = &'a Assignment>,
    me: NodeId,
    verifies: impl Fn(&[u8], &[u8]) -> bool,
) -> bool {
    assignments.into_iter().all(|assignment| {
        let mut networks = assignment.networks.iter();
        networks.all(|network| {
            let granted = signed_bytes(assignment.task, assignment.service, network, me);
            verifies(&granted, &network.ticket)
        })
    })
}

fn signed_bytes(task: Id, service: Id, network: &AssignedNetwork, node: NodeId) -> Vec<u8> {
    let addrs: Vec<_> = network.addrs.iter().map(|addr| addr.addr()).collect();
    let grant = Grant {
        task: task.as_u128(),
        service: service.as_u128(),
        network: network.id.as_u128(),
        addrs: &addrs,
        node,
    };
    grant.signed_bytes()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use super::*;
    use crate::worker::testing;

    const ME: u128 = 7;

    fn assigned(addr: &str) -> BTreeMap<Id, Assignment> {
        let network = AssignedNetwork {
            ticket: Vec::new(),
            ..testing::network(Id::from_u128(3), &[addr])
        };
        let assignment = Assignment {
            networks: vec![network],
            ..testing::assignment(Id::from_u128(1), Default::default())
        };
        BTreeMap::from([(assignment.task, assignment)])
    }

    /// A signature that is another one each time, as those of ECDSA are.
    fn issued(addr: &str, nonce: &Cell<u8>) -> BTreeMap<Id, Assignment> {
        let sign = |bytes: &[u8]| {
            nonce.set(nonce.get() + 1);
            Ok::<_, Infallible>([&[nonce.get()], bytes].concat())
        };
        let mut assignments: Vec<_> = assigned(addr).into_values().collect();
        issue(&mut assignments, NodeId::from(ME), sign).unwrap();
        let by_task = assignments.into_iter().map(|it| (it.task, it));
        by_task.collect()
    }

    fn verifies(bytes: &[u8], signature: &[u8]) -> bool {
        signature.get(1..) == Some(bytes)
    }

    fn signers(bytes: &[u8], signature: &[u8]) -> usize {
        verifies(bytes, signature).into()
    }

    #[test]
    fn a_ticket_of_another_session_changes_nothing() {
        let nonce = Cell::new(0);
        let held = issued("10.0.1.2/24", &nonce);
        let mut again = issued("10.0.1.2/24", &nonce);
        assert_ne!(again, held);
        keep(&mut again, &held, NodeId::from(ME), signers);
        assert_eq!(again, held);
    }

    #[test]
    fn a_ticket_for_other_addresses_or_of_another_key_is_replaced() {
        let nonce = Cell::new(0);
        let held = issued("10.0.1.2/24", &nonce);
        let moved = issued("10.0.1.3/24", &nonce);
        let mut kept = moved.clone();
        keep(&mut kept, &held, NodeId::from(ME), signers);
        assert_eq!(kept, moved);

        let again = issued("10.0.1.2/24", &nonce);
        let mut kept = again.clone();
        keep(&mut kept, &held, NodeId::from(ME), |_, _| 0);
        assert_eq!(kept, again);
    }

    #[test]
    fn a_ticket_that_another_ca_has_signed_too_is_taken_once() {
        let nonce = Cell::new(0);
        let held = issued("10.0.1.2/24", &nonce);
        let both = issued("10.0.1.2/24", &nonce);
        // Those after the first are of two.
        let signers = |_: &[u8], ticket: &[u8]| 1 + usize::from(ticket[0] > 1);
        let mut kept = both.clone();
        keep(&mut kept, &held, NodeId::from(ME), signers);
        assert_eq!(kept, both);
        let mut again = issued("10.0.1.2/24", &nonce);
        keep(&mut again, &both, NodeId::from(ME), signers);
        assert_eq!(again, both);
    }

    #[test]
    fn one_bad_ticket_is_one_too_many() {
        let nonce = Cell::new(0);
        let mut held = issued("10.0.1.2/24", &nonce);
        let me = NodeId::from(ME);
        assert!(are_good(held.values(), me, verifies));
        let assignment = held.values_mut().next().unwrap();
        assignment.networks[0].ticket.clear();
        assert!(!are_good(held.values(), me, verifies));
        assert!(are_good(held.values().take(0), me, verifies));
    }

    #[test]
    fn a_first_ticket_is_taken() {
        let nonce = Cell::new(0);
        let first = issued("10.0.1.2/24", &nonce);
        let mut kept = first.clone();
        keep(
            &mut kept,
            &assigned("10.0.1.2/24"),
            NodeId::from(ME),
            signers,
        );
        assert_eq!(kept, first);
    }
}
