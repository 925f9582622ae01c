//! A rotation of the CA goes on as nodes tell that they could do without the
//! present one, and ends with the last of them. It waits for nodes that are down:
//! they would come back and trust nobody. Removing such a node ends the wait.

use super::draft::Draft;
use crate::command::Change;
use crate::id::Id;

pub(super) fn go_on(draft: &mut Draft) {
    let Some(rotation) = draft.state().rotation() else {
        return;
    };
    let digest = rotation.digest;
    let trust = &draft.observed().trust;
    let suffices = |id: &Id| trust.get(id).is_some_and(|trust| trust.suffices(&digest));
    let waits = draft.state().not_renewed().map(|node| node.id);
    let nodes: Vec<Id> = waits.filter(suffices).collect();
    if !nodes.is_empty() {
        draft.emit(Change::NodesRenewed { digest, nodes });
    }
    if draft.state().not_renewed().next().is_none() {
        draft.emit(Change::EndRotation { digest });
    }
}

#[cfg(test)]
mod tests {
    use crate::command::{Change, Command};
    use crate::object::CaDigest;
    use crate::observed::NodeTrust;
    use crate::testing::{World, rotation};

    const OLD: CaDigest = [1; 32];
    const NEW: CaDigest = [2; 32];

    fn rotating(nodes: usize) -> World {
        let mut world = World::with_nodes(nodes);
        let cluster = world.state.cluster().unwrap();
        let command = Command::RotateRoot {
            version: cluster.meta.version,
            spec: cluster.spec.clone(),
            rotation: Some(Box::new(rotation(NEW))),
        };
        world.command(command).unwrap();
        world
    }

    fn tell(world: &mut World, node: usize, issuer: CaDigest, has_tickets: bool) {
        let id = world.state.nodes().nth(node).unwrap().id;
        let trust = NodeTrust {
            roots: vec![OLD, NEW],
            issuer: Some(issuer),
            has_tickets,
        };
        world.observed.trust.insert(id, trust);
    }

    #[test]
    fn it_ends_when_the_last_node_has_a_certificate_and_tickets_of_the_next_ca() {
        let mut world = rotating(2);
        tell(&mut world, 0, NEW, true);
        tell(&mut world, 1, OLD, true);
        world.settle();
        assert_eq!(world.state.not_renewed().count(), 1);
        tell(&mut world, 1, NEW, false);
        assert_eq!(world.decide().changes, []);
        tell(&mut world, 1, NEW, true);
        world.settle();
        assert_eq!(world.state.rotation(), None);
        assert_eq!(world.decide().changes, []);
    }

    #[test]
    fn what_one_leader_heard_the_next_one_need_not_hear_again() {
        let mut world = rotating(2);
        tell(&mut world, 0, NEW, true);
        world.settle();
        world.observed.trust.clear();
        tell(&mut world, 1, NEW, true);
        let last = world.decide().changes.pop();
        assert_eq!(last, Some(Change::EndRotation { digest: NEW }));
    }

    #[test]
    fn the_removal_of_the_last_node_that_is_missing_ends_it() {
        let mut world = rotating(2);
        tell(&mut world, 0, NEW, true);
        world.settle();
        let missing = world.state.not_renewed().next().unwrap().id;
        world.command(Command::RemoveNode { id: missing }).unwrap();
        world.settle();
        assert_eq!(world.state.rotation(), None);
    }
}
