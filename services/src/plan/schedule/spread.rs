//! The nodes that suit a group as a tree over the labels it is spread by; the
//! leaves are heaps with the best node on top. Without preferences the tree
//! is one leaf.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::filter::Needs;
use super::nodes::{NodeLoad, ServiceOnNodes};
use crate::constraint::spread_value;
use crate::generic::Generic;
use crate::id::Id;

/// The order between nodes; the last is the node's index.
type Rank = (bool, u32, u32, usize);

#[derive(Default)]
pub(super) struct Tree {
    /// Tasks of the service below here, also on nodes that take no more.
    tasks: u64,
    branches: BTreeMap<String, Tree>,
    nodes: BinaryHeap<Reverse<Rank>>,
}

fn rank(node: usize, load: &NodeLoad, service: &ServiceOnNodes) -> Rank {
    (service.failing[node], service.tasks[node], load.tasks, node)
}

impl Tree {
    pub(super) fn grow(nodes: &[NodeLoad], service: &ServiceOnNodes, needs: &Needs) -> Self {
        let mut root = Self::default();
        for (index, load) in nodes.iter().enumerate() {
            let tasks = u64::from(service.tasks[index]);
            let mut at = &mut root;
            at.tasks += tasks;
            let values = needs
                .spread
                .iter()
                .filter_map(|descriptor| spread_value(descriptor, &load.node));
            for value in values {
                at = at.branches.entry(value.to_owned()).or_default();
                at.tasks += tasks;
            }
            if needs.suits(load) && needs.fits(load, service.tasks[index]) {
                at.nodes.push(Reverse(rank(index, load, service)));
            }
        }
        root.prune();
        root
    }

    /// Drops the branches in which no node is left; whether any is.
    fn prune(&mut self) -> bool {
        self.branches.retain(|_, branch| branch.prune());
        !self.branches.is_empty() || !self.nodes.is_empty()
    }

    /// Takes room for one task on the best node, and what it is given there.
    /// `None`: there is no room.
    pub(super) fn place(
        &mut self,
        nodes: &mut [NodeLoad],
        service: &mut ServiceOnNodes,
        needs: &Needs,
    ) -> Option<(Id, Generic)> {
        let placed = match self.least_loaded() {
            Some(value) => {
                let branch = self.branches.get_mut(&value)?;
                let placed = branch.place(nodes, service, needs);
                if branch.branches.is_empty() && branch.nodes.is_empty() {
                    self.branches.remove(&value);
                }
                placed
            }
            None => self.place_here(nodes, service, needs),
        };
        self.tasks += u64::from(placed.is_some());
        placed
    }

    fn least_loaded(&self) -> Option<String> {
        let (value, _) = self
            .branches
            .iter()
            .min_by_key(|(_, branch)| branch.tasks)?;
        Some(value.clone())
    }

    fn place_here(
        &mut self,
        nodes: &mut [NodeLoad],
        service: &mut ServiceOnNodes,
        needs: &Needs,
    ) -> Option<(Id, Generic)> {
        let Reverse((.., index)) = self.nodes.pop()?;
        let load = nodes.get_mut(index)?;
        load.free_cpus = load.free_cpus.saturating_sub(needs.cpus);
        load.free_memory = load.free_memory.saturating_sub(needs.memory);
        let given = load.give(&needs.generic);
        load.take_ports(&needs.host_ports);
        load.tasks += 1;
        service.tasks[index] += 1;
        if needs.fits(load, service.tasks[index]) {
            self.nodes.push(Reverse(rank(index, load, service)));
        }
        Some((load.node.id, given))
    }
}
