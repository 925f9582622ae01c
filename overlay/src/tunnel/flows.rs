//! Which node a flow from outside came through, so that the answers go back by
//! it: soft state, learnt from every packet of the client.
//!
//! A bounded number of flows is kept, and the one that was used longest ago makes
//! room. A flow that was forgotten is learnt again from its client's next packet.

use std::collections::BTreeMap;
use std::time::Duration;

use certs::NodeId;

use super::packet::FlowKey;

/// Uses closer together than this count as one, which keeps busy flows cheap.
const GRAIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Flows {
    capacity: usize,
    flows: BTreeMap<FlowKey, Flow>,
    /// The same flows, the one that was used longest ago first.
    by_use: BTreeMap<Use, FlowKey>,
    uses: u64,
}

#[derive(Debug)]
struct Flow {
    node: NodeId,
    used: Use,
}

/// When (since the beginning), and a number that no two uses share.
type Use = (Duration, u64);

impl Flows {
    /// Keeps at most `capacity` flows, some 200 bytes each.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            flows: BTreeMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
        }
    }

    /// The flow goes through `node`, as its packet at this moment says.
    pub fn remember(&mut self, key: FlowKey, node: NodeId, now: Duration) {
        if let Some(flow) = self.touch(&key, now) {
            flow.node = node;
            return;
        }
        while self.flows.len() >= self.capacity {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                return;
            };
            self.flows.remove(&oldest);
        }
        self.uses += 1;
        let used = (now, self.uses);
        self.flows.insert(key, Flow { node, used });
        self.by_use.insert(used, key);
    }

    /// The node that the flow goes through, if it is remembered.
    pub fn recall(&mut self, key: &FlowKey, now: Duration) -> Option<NodeId> {
        self.touch(key, now).map(|flow| flow.node)
    }

    pub fn len(&self) -> usize {
        self.flows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    fn touch(&mut self, key: &FlowKey, now: Duration) -> Option<&mut Flow> {
        let flow = self.flows.get_mut(key)?;
        if now >= flow.used.0 + GRAIN {
            self.uses += 1;
            self.by_use.remove(&flow.used);
            flow.used = (now, self.uses);
            self.by_use.insert(flow.used, *key);
        }
        Some(flow)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::tunnel::packet::Tag;

    fn key(port: u16) -> FlowKey {
        FlowKey {
            protocol: 6,
            client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            container: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)),
            tag: Tag::Ports(port, 80),
        }
    }

    fn node(number: u128) -> NodeId {
        NodeId::from(number)
    }

    #[test]
    fn the_flow_that_was_used_longest_ago_makes_room() {
        let mut flows = Flows::new(2);
        flows.remember(key(1), node(1), Duration::from_secs(0));
        flows.remember(key(2), node(1), Duration::from_secs(1));
        assert_eq!(flows.recall(&key(1), Duration::from_secs(5)), Some(node(1)));
        flows.remember(key(3), node(1), Duration::from_secs(6));
        assert_eq!(flows.recall(&key(2), Duration::from_secs(7)), None);
        assert_eq!(flows.recall(&key(1), Duration::from_secs(7)), Some(node(1)));
    }

    #[test]
    fn a_flow_follows_its_client_to_another_node() {
        let mut flows = Flows::new(2);
        flows.remember(key(1), node(1), Duration::ZERO);
        flows.remember(key(1), node(2), Duration::ZERO);
        assert_eq!(flows.recall(&key(1), Duration::ZERO), Some(node(2)));
        assert_eq!(flows.len(), 1);
    }

    proptest! {
        /// Against a queue that is searched from end to end.
        #[test]
        fn it_is_a_least_recently_used_memory(
            steps in prop::collection::vec((0u16..12, any::<bool>(), 1u128..4), 1..200),
        ) {
            let mut flows = Flows::new(5);
            let mut model: VecDeque<(u16, NodeId)> = VecDeque::new();
            for (second, (port, write, number)) in steps.into_iter().enumerate() {
                let now = GRAIN * second as u32;
                let known = model.iter().position(|(known, _)| *known == port);
                if write {
                    flows.remember(key(port), node(number), now);
                    if let Some(known) = known {
                        model.remove(known);
                    }
                    model.push_back((port, node(number)));
                    if model.len() > 5 {
                        model.pop_front();
                    }
                } else {
                    let expected = known.and_then(|known| model.remove(known));
                    if let Some(entry) = expected {
                        model.push_back(entry);
                    }
                    prop_assert_eq!(
                        flows.recall(&key(port), now),
                        expected.map(|(_, node)| node)
                    );
                }
                prop_assert_eq!(flows.len(), model.len());
                prop_assert_eq!(flows.by_use.len(), model.len());
            }
        }
    }
}
