//! How often a node may ask: what it is given or gives back is written to the
//! disks of all managers.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use certs::NodeId;
use tokio::time::Instant;

/// For one container three questions: once when it starts, twice when it ends.
const EVERY: Duration = Duration::from_millis(500);
/// A host that boots starts many at once.
const AT_ONCE: u32 = 100;

#[derive(Debug, Default)]
pub struct Pace {
    /// When all that a node has asked would have been asked at its pace. Only
    /// those to come.
    nodes: Mutex<BTreeMap<NodeId, Instant>>,
}

impl Pace {
    /// Whether the node may ask once more now.
    pub fn allows(&self, node: NodeId, now: Instant) -> bool {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|_, at| *at > now);
        let at = nodes.get(&node).copied().unwrap_or(now) + EVERY;
        let allowed = at <= now + EVERY * AT_ONCE;
        if allowed {
            nodes.insert(node, at);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_may_ask_often_but_not_for_long() {
        let pace = Pace::default();
        let (one, other) = (NodeId::from(1), NodeId::from(2));
        let start = Instant::now();
        let asked = (0..1_000).filter(|_| pace.allows(one, start)).count();
        assert_eq!(asked, AT_ONCE as usize);
        assert!(pace.allows(other, start));
        assert!(pace.allows(one, start + EVERY));
        assert!(!pace.allows(one, start + EVERY));
        let later = start + EVERY * (AT_ONCE + 1);
        let asked = (0..1_000).filter(|_| pace.allows(one, later)).count();
        assert_eq!(asked, AT_ONCE as usize);
        assert_eq!(
            pace.nodes.lock().unwrap().len(),
            1,
            "the other is forgotten"
        );
    }
}
