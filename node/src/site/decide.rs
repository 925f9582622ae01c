//! Whether this device founds the swarm of its site, joins one, or waits.
//!
//! Devices that share a site key hear of each other in any order. Founding
//! needs the grant of every waiting device in reach, the smallest id goes
//! first, and a device grants one candidate at a time: so of devices that see
//! each other, one founds and the rest join it. A device that has seen a swarm
//! of its site never founds another, and between two it does not choose.
//!
//! A candidate that does not come back is waited for as long as it could take
//! to found ([`AWAY`]); a grant holds as long, so that nobody else is granted
//! while it may still be at it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use certs::NodeId;

use super::seen::Seen;
use super::view::{Says, SwarmDigest};

/// Time since the daemon's start.
pub type Moment = Duration;

/// Without another new device of the site, before anyone founds.
pub const SETTLE: Duration = Duration::from_secs(3);
/// The same before joining: there may be a second swarm.
pub const LOOK: Duration = Duration::from_secs(2);
/// As [`SETTLE`], for a device that has seen no other: switches and access points
/// boot more slowly than devices.
pub const ALONE: Duration = Duration::from_secs(10);
/// In which a candidate must have all grants of a round, and a next round.
pub const ROUND: Duration = Duration::from_secs(4);
/// For founding, at most; then it has failed.
pub const FOUND_WITHIN: Duration = Duration::from_secs(10);
/// Without a word, until a device is gone; a grant holds for as long. More
/// than a round and founding together, in which a candidate may be silent.
pub const AWAY: Duration = Duration::from_secs(16);
/// Without a word, until a swarm that was seen is forgotten.
pub const FORGET: Duration = Duration::from_secs(120);
/// How long devices that never prove that they know the site key can hold up
/// those that do.
pub const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Wait(Reason),
    /// Ask everyone in reach for the grant to found.
    Propose,
    Found,
    /// Of the only swarm in reach: where its managers answer.
    Join {
        swarm: SwarmDigest,
        at: Vec<SocketAddr>,
    },
    /// Several swarms of this site are in reach; a person has to choose.
    Refuse(Vec<SwarmDigest>),
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Without an address nobody can be seen.
    Offline,
    /// Others may turn up.
    Settling,
    /// A device that is listed has not answered yet.
    Silent(SocketAddr),
    /// Its turn is before this device's.
    Smaller(NodeId),
    /// It was granted to found.
    Granted(NodeId),
    /// The others' grants: so many of so many.
    Grants(usize, usize),
    /// A swarm of the site was seen and does not answer now.
    SwarmAway(SwarmDigest),
}

pub fn decide(seen: &Seen, now: Moment) -> Step {
    let swarms = seen.swarms(now, AWAY);
    match swarms.as_slice() {
        [] => {}
        [_] if now < seen.newest() + LOOK => return Step::Wait(Reason::Settling),
        [swarm] => {
            return Step::Join {
                swarm: *swarm,
                at: seen.managers_of(*swarm, now),
            };
        }
        several => return Step::Refuse(several.to_vec()),
    }
    if let Some(swarm) = seen.swarms(now, FORGET).first() {
        return Step::Wait(Reason::SwarmAway(*swarm));
    }
    if !seen.online() {
        return Step::Wait(Reason::Offline);
    }
    let others = seen.others(now);
    if let Some(reason) = unsettled(seen, others.is_empty(), now) {
        return Step::Wait(reason);
    }
    if let Some(smaller) = others.first().filter(|other| **other < seen.me()) {
        return Step::Wait(Reason::Smaller(*smaller));
    }
    if let Some(candidate) = seen.granted(now) {
        return Step::Wait(Reason::Granted(candidate));
    }
    let Some(proposal) = seen.proposal().filter(|made| now < made.at + ROUND) else {
        return Step::Propose;
    };
    let granted = seen.grants(proposal.round, now);
    if others.is_subset(&granted) {
        return Step::Found;
    }
    Step::Wait(Reason::Grants(granted.len(), others.len()))
}

fn unsettled(seen: &Seen, alone: bool, now: Moment) -> Option<Reason> {
    let settling = if alone { ALONE } else { SETTLE };
    if now < seen.newest() + settling {
        return Some(Reason::Settling);
    }
    let silent = seen.silent(now).filter(|_| now < seen.newest() + PATIENCE);
    silent.map(Reason::Silent)
}

/// Whether to let `candidate` found a swarm.
pub fn may_found(seen: &Seen, candidate: NodeId, now: Moment) -> bool {
    let smaller = |others: BTreeSet<NodeId>| others.first().is_some_and(|id| *id < candidate);
    !seen.founding()
        && seen.swarms(now, FORGET).is_empty()
        && candidate < seen.me()
        && seen.granted(now).is_none_or(|granted| granted == candidate)
        && !smaller(seen.others(now))
        && !seen.others_found(candidate, now)
}

/// Whether what is said makes its sender a device that waits, too.
pub fn waits(says: &Says) -> bool {
    !matches!(says, Says::Formed { .. })
}
