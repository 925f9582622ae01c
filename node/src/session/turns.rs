//! Which manager a worker asks next for a session. Pure.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use certs::NodeId;

use super::PATIENCE;

/// Each manager has its turn before any has a second one.
#[derive(Debug, Default)]
pub struct Round {
    tried: BTreeSet<NodeId>,
}

impl Round {
    pub fn next(&self, managers: &[(NodeId, SocketAddr)]) -> Option<(NodeId, SocketAddr)> {
        let mut untried = managers.iter().filter(|(id, _)| !self.tried.contains(id));
        untried.next().copied()
    }

    /// Whether that was the last of the round: the next one begins.
    pub fn ends_with(
        &mut self,
        last: Option<NodeId>,
        lasted: Duration,
        managers: &[(NodeId, SocketAddr)],
    ) -> bool {
        if lasted > PATIENCE {
            // The others may be back meanwhile.
            self.tried.clear();
        }
        self.tried.extend(last);
        let ends = self.next(managers).is_none();
        if ends {
            self.tried.clear();
        }
        ends
    }
}

/// This node first, where it is a manager that has caught up; the others in an
/// order of this node's own, so that the sessions spread. Those that are lost
/// come last, not never: gossip may be wrong.
pub fn in_turn(
    managers: &mut [(NodeId, SocketAddr)],
    me: NodeId,
    caught_up: bool,
    is_lost: impl Fn(NodeId) -> bool,
) {
    managers.sort_by_cached_key(|(id, _)| match id.as_u128() ^ me.as_u128() {
        0 if caught_up => (false, 0),
        0 => (true, u128::MAX),
        mixed => {
            let spread = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) | 1;
            (is_lost(*id), spread)
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn managers() -> Vec<(NodeId, SocketAddr)> {
        let addr = SocketAddr::from(([10, 0, 0, 1], 1));
        [1, 2, 3].map(|id| (NodeId::from(id), addr)).to_vec()
    }

    fn turns(me: u128, caught_up: bool, lost: &[u128]) -> Vec<u128> {
        let mut managers = managers();
        let is_lost = |id: NodeId| lost.contains(&id.as_u128());
        in_turn(&mut managers, NodeId::from(me), caught_up, is_lost);
        managers.iter().map(|(id, _)| id.as_u128()).collect()
    }

    #[test]
    fn a_manager_that_has_caught_up_asks_itself_first_and_else_last() {
        assert_eq!(turns(2, true, &[])[0], 2);
        assert_eq!(turns(2, false, &[1, 3])[2], 2);
    }

    #[test]
    fn lost_managers_are_asked_last_and_still_asked() {
        for lost in 1..=3 {
            let turns = turns(9, false, &[lost]);
            assert_eq!((turns.len(), turns[2]), (3, lost));
        }
    }

    #[test]
    fn nodes_begin_with_different_managers() {
        let first: BTreeSet<u128> = (10..40).map(|me| turns(me, false, &[])[0]).collect();
        assert_eq!(first.len(), 3);
    }

    #[test]
    fn managers_that_do_not_answer_keep_no_other_from_its_turn() {
        let mut round = Round::default();
        let mut turn = |lasted: u64| {
            let next = round.next(&managers()).map(|(id, _)| id);
            let ended = round.ends_with(next, Duration::from_secs(lasted), &managers());
            (next.unwrap().as_u128(), ended)
        };
        let silent = [turn(0), turn(0), turn(0)];
        assert_eq!(silent, [(1, false), (2, false), (3, true)]);
        // After a session all the others have a turn again.
        let after = [turn(0), turn(60), turn(0), turn(0)];
        assert_eq!(after, [(1, false), (2, false), (1, false), (3, true)]);
        assert!(Round::default().ends_with(None, Duration::ZERO, &[]));
    }
}
