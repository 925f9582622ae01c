//! Which of two connections between the same nodes stays, and when to dial again.
//!
//! Both nodes decide alike without asking each other.

use std::time::Duration;

use certs::NodeId;

/// Connections made within this are taken for two nodes dialling each other at
/// once. A later one means that its dialler has lost the earlier.
const AT_ONCE: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// That the node with the smaller id has to dial first.
const COURTESY: Duration = Duration::from_millis(300);

/// One of the established connections to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    pub dialler: NodeId,
    /// Since the beginning of this process.
    pub established: Duration,
}

/// Whether `newer` replaces `older`: of two dialled at once the one of the smaller
/// id stays, else the newer one.
pub fn replaces(newer: Candidate, older: Candidate) -> bool {
    newer.dialler <= older.dialler || newer.established >= older.established + AT_ONCE
}

/// How long to wait after the `failed`-th failure in a row to reach a peer.
pub fn pause(failed: u32) -> Duration {
    FIRST_PAUSE
        .saturating_mul(1 << failed.saturating_sub(1).min(8))
        .min(LONGEST_PAUSE)
}

/// How long this node waits before it dials a peer for which it has no packet.
pub fn courtesy(me: NodeId, peer: NodeId) -> Duration {
    match me < peer {
        true => Duration::ZERO,
        false => COURTESY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(dialler: u128, millis: u64) -> Candidate {
        Candidate {
            dialler: NodeId::from(dialler),
            established: Duration::from_millis(millis),
        }
    }

    #[test]
    fn of_two_dialled_at_once_that_of_the_smaller_id_stays() {
        assert!(replaces(candidate(1, 10), candidate(2, 0)));
        assert!(!replaces(candidate(2, 10), candidate(1, 0)));
        // In the other order of arrival the same one stays.
        assert!(replaces(candidate(1, 0), candidate(2, 10)));
    }

    #[test]
    fn a_peer_that_dials_again_has_lost_the_earlier_connection() {
        assert!(replaces(candidate(2, 3_000), candidate(1, 0)));
        assert!(replaces(candidate(1, 1), candidate(1, 0)));
    }

    #[test]
    fn pauses_grow_up_to_five_seconds() {
        assert_eq!(pause(1), Duration::from_millis(200));
        assert_eq!(pause(2), Duration::from_millis(400));
        assert_eq!(pause(6), Duration::from_secs(5));
        assert_eq!(pause(u32::MAX), Duration::from_secs(5));
    }
}
