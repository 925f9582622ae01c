//! The CA becomes another one.
//!
//! As in swarmkit (`manager/controlapi/ca_rotation.go`, `ca/reconciler.go`): a
//! rotation that begins while another one is under way takes its place, and each
//! starts from the CA that all nodes trust, which is the present one until the end.

use std::sync::Arc;

use super::{Outcome, Write};
use crate::id::Id;
use crate::object::{CaDigest, RootRotation};
use crate::spec::ClusterSpec;

impl Write<'_> {
    pub(super) fn rotate_root(
        &mut self,
        version: u64,
        spec: &ClusterSpec,
        rotation: Option<&RootRotation>,
    ) -> Outcome {
        let written = self.update_cluster(version, spec)?;
        self.state.rotation = rotation.cloned().map(Arc::new);
        Ok(written)
    }

    pub(super) fn nodes_renewed(&mut self, digest: &CaDigest, nodes: &[Id]) {
        let Some(rotation) = self.state.rotation.as_mut() else {
            return;
        };
        if rotation.digest == *digest {
            Arc::make_mut(rotation).renewed.extend(nodes);
        }
    }

    pub(super) fn end_rotation(&mut self, digest: &CaDigest) {
        let is_done = self.state.not_renewed().next().is_none();
        let rotation = self
            .state
            .rotation
            .take_if(|it| it.digest == *digest && is_done);
        if let Some(rotation) = rotation {
            let ended = self.edit_cluster(None, |cluster| {
                cluster.ca = rotation.next.clone();
                cluster.join_tokens = rotation.join_tokens.clone();
            });
            debug_assert!(ended.is_ok(), "a CA without a swarm");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::command::{Change, Command};
    use crate::id::Id;
    use crate::object::CaDigest;
    use crate::testing::{World, rotation};

    fn begin(world: &mut World, digest: CaDigest) {
        let cluster = world.state.cluster().unwrap();
        let (version, spec) = (cluster.meta.version, cluster.spec.clone());
        let rotation = Some(Box::new(rotation(digest)));
        let command = Command::RotateRoot {
            version,
            spec,
            rotation,
        };
        world.command(command).unwrap();
    }

    fn nodes(world: &World) -> Vec<Id> {
        world.state.nodes().map(|node| node.id).collect()
    }

    fn change(world: &mut World, change: Change) {
        let changes = vec![change];
        world.command(Command::Plan { changes }).unwrap();
    }

    #[test]
    fn the_present_ca_stays_until_every_node_can_do_without_it() {
        let mut world = World::with_nodes(2);
        begin(&mut world, [1; 32]);
        let nodes = nodes(&world);
        let before = world.state.cluster().unwrap().clone();
        let digest = [1; 32];
        change(
            &mut world,
            Change::NodesRenewed {
                digest,
                nodes: nodes[..1].to_vec(),
            },
        );
        change(&mut world, Change::EndRotation { digest });
        assert_eq!(world.state.cluster(), Some(&before));
        assert!(world.state.not_renewed().map(|node| node.id).eq([nodes[1]]));

        change(
            &mut world,
            Change::NodesRenewed {
                digest,
                nodes: nodes[1..].to_vec(),
            },
        );
        change(&mut world, Change::EndRotation { digest });
        let cluster = world.state.cluster().unwrap();
        let wanted = rotation(digest);
        assert_eq!(
            (&cluster.ca, &cluster.join_tokens),
            (&wanted.next, &wanted.join_tokens)
        );
        assert!(cluster.meta.version > before.meta.version);
        assert_eq!(world.state.rotation(), None);
    }

    #[test]
    fn what_was_renewed_for_another_rotation_does_not_count() {
        let mut world = World::with_nodes(1);
        begin(&mut world, [1; 32]);
        let nodes = nodes(&world);
        change(
            &mut world,
            Change::NodesRenewed {
                digest: [1; 32],
                nodes: nodes.clone(),
            },
        );
        begin(&mut world, [2; 32]);
        change(
            &mut world,
            Change::NodesRenewed {
                digest: [1; 32],
                nodes,
            },
        );
        assert_eq!(world.state.not_renewed().count(), 1);
        change(&mut world, Change::EndRotation { digest: [1; 32] });
        change(&mut world, Change::EndRotation { digest: [2; 32] });
        assert_eq!(world.state.rotation().unwrap().digest, [2; 32]);
    }

    #[test]
    fn a_rotation_of_an_older_version_of_the_swarm_is_refused() {
        let mut world = World::with_nodes(1);
        let spec = world.state.cluster().unwrap().spec.clone();
        let rotation = Some(Box::new(rotation([1; 32])));
        let command = Command::RotateRoot {
            version: 0,
            spec,
            rotation,
        };
        assert_eq!(
            world.command(command).unwrap_err().message,
            "update out of sequence"
        );
        assert_eq!(world.state.rotation(), None);
    }
}
