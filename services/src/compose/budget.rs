//! How large a project may grow in memory, whatever its aliases, its variables
//! and its `extends` multiply.

use std::cell::Cell;

use super::node::{Node, Value};

/// In bytes, about.
const MAX_WEIGHT: usize = 64 << 20;
/// What a node costs beside its text.
pub(super) const NODE_WEIGHT: usize = 64;
/// What a mapping costs more: room for entries that it may not have.
pub(super) const MAP_WEIGHT: usize = 1024;

#[derive(Default)]
pub(super) struct Budget(Cell<usize>);

impl Budget {
    pub const SPENT: &str =
        "the project grows too large: look at its aliases, variables and `extends`";

    /// Whether there was so much left.
    #[must_use]
    pub fn spend(&self, weight: usize) -> bool {
        let spent = self.0.get().saturating_add(weight);
        self.0.set(spent);
        spent <= MAX_WEIGHT
    }
}

/// What a copy of it costs.
pub(super) fn weight(node: &Node) -> usize {
    let within: usize = match &node.value {
        Value::Scalar(scalar) => scalar.text.len(),
        Value::List(list) => list.iter().map(weight).sum(),
        Value::Map(map) => {
            let entry = |(name, entry): (&String, &super::node::Entry)| {
                NODE_WEIGHT + name.len() + weight(&entry.node)
            };
            MAP_WEIGHT + map.iter().map(entry).sum::<usize>()
        }
    };
    NODE_WEIGHT + within
}
