//! The autopilot keeps the number of managers: it makes candidates managers
//! until there are as many as wanted, and puts one in the place of a manager
//! that is gone.
//!
//! It decides on one step at a time, from what is there now, and remembers
//! nothing. A voter is replaced by adding the new one first; the dead one goes
//! once that votes. So no step lessens the *margin*, the number of live voters
//! that the swarm could lose at once and still agree. (Fewer managers than
//! before, because a user wants fewer, is the one exception.)
//!
//! It touches nobody whom the users did not give to it: only nodes labelled as
//! candidates are promoted, and of live managers only those are demoted. See
//! docs/decisions/0009.

use std::collections::BTreeMap;
use std::time::Duration;

use services::Id;
use services::managing::DEFAULT_MANAGERS;
use services::spec::Role;

/// A manager that is not there for so long is replaced.
pub const REPLACED_AFTER: Duration = Duration::from_secs(10);

/// What there is, as the leader sees it.
#[derive(Debug, Clone, Default)]
pub struct Situation {
    pub nodes: BTreeMap<Id, Node>,
    /// How many managers there should be, odd; `None` where nobody said so.
    pub wanted: Option<usize>,
    pub leader: Id,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    /// What it should be.
    pub role: Role,
    /// What it is in the Raft group.
    pub vote: Vote,
    /// The autopilot may promote it, and demote it again.
    pub candidate: bool,
    pub zone: Option<String>,
    pub presence: Presence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vote {
    None,
    /// Not yet, or on its way out.
    Learner,
    Voter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is there and can run tasks.
    Ready,
    /// It is there and says that it cannot run tasks.
    Faulty,
    /// Not heard yet, or not heard for a moment.
    Unsure,
    /// For at least [`REPLACED_AFTER`].
    Gone(Duration),
}

/// A change of one node's role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub node: Id,
    pub role: Role,
    /// For people, who are told of which node it is.
    pub reason: String,
}

/// The next step; `None` where all is well, where nothing can be done, or
/// where the last step is still under way.
pub fn decide(situation: &Situation) -> Option<Step> {
    // A swarm that is being founded has no voter among its nodes yet.
    if situation.voters().next().is_none() || situation.under_way() {
        return None;
    }
    situation
        .give_up()
        .or_else(|| situation.replace())
        .or_else(|| situation.grow())
        .or_else(|| situation.shrink())
}

impl Situation {
    fn voters(&self) -> impl Iterator<Item = (Id, &Node)> {
        let votes = |node: &Node| node.role == Role::Manager && node.vote == Vote::Voter;
        self.all().filter(move |(_, node)| votes(node))
    }

    fn all(&self) -> impl Iterator<Item = (Id, &Node)> {
        self.nodes.iter().map(|(id, node)| (*id, node))
    }

    /// Users who have made more managers than the default meant it.
    fn target(&self) -> usize {
        let made = odd(self.voters().count());
        self.wanted.unwrap_or(made.max(DEFAULT_MANAGERS))
    }

    /// A new manager that does not vote yet, or an old one that still does.
    fn under_way(&self) -> bool {
        self.all().any(|(_, node)| match node.role {
            Role::Worker => node.vote != Vote::None,
            Role::Manager => node.vote != Vote::Voter && !node.is_gone(),
        })
    }

    /// A candidate that went away before it voted.
    fn give_up(&self) -> Option<Step> {
        let lost = |node: &Node| {
            let became = node.role == Role::Manager && node.vote != Vote::Voter;
            became && node.candidate && node.is_gone()
        };
        let (id, _) = self.all().find(|(_, node)| lost(node))?;
        Some(demote(id, "it went away before it took part"))
    }

    fn replace(&self) -> Option<Step> {
        let count = self.voters().count();
        let gone = self.voters().filter_map(|(id, node)| match node.presence {
            Presence::Gone(time) => Some((time, id, node)),
            _ => None,
        });
        let (time, id, dead) = gone.max_by_key(|(time, id, _)| (*time, *id))?;
        let since = format!("gone for {} s", time.as_secs());
        // Without it the others need no more votes than with it.
        if count.is_multiple_of(2) || count > self.target() {
            let reason = format!("{since}, and {} others vote", count - 1);
            return Some(demote(id, &reason));
        }
        let reason = format!("{} is {since}", dead.name);
        self.promote(&reason)
    }

    fn grow(&self) -> Option<Step> {
        let count = self.voters().count();
        let possible = count + self.candidates().count();
        let goal = odd(possible.min(self.target()));
        if self.voters().any(|(_, node)| node.is_gone()) || count >= goal {
            return None;
        }
        self.promote(&format!("{count} of {} managers", self.target()))
    }

    fn shrink(&self) -> Option<Step> {
        let (count, target) = (self.voters().count(), self.target());
        let all_there = |(_, node): (Id, &Node)| match node.presence {
            Presence::Ready | Presence::Faulty => true,
            Presence::Unsure | Presence::Gone(_) => false,
        };
        // One that may be there in a moment would make the number odd again.
        let comes = |(_, node): (Id, &Node)| {
            node.candidate && node.role == Role::Worker && node.presence == Presence::Unsure
        };
        let reason = match count {
            _ if count > target => format!("there are {count} managers, {target} are wanted"),
            _ if count.is_multiple_of(2) => {
                format!("{count} managers bear no more losses than {}", count - 1)
            }
            _ => return None,
        };
        if !self.voters().all(all_there) || self.all().any(comes) {
            return None;
        }
        let (id, _) = self
            .voters()
            .filter(|(_, node)| node.candidate)
            .max_by_key(|(id, node)| (*id != self.leader, self.voters_in(&node.zone), *id))?;
        Some(demote(id, &reason))
    }

    fn candidates(&self) -> impl Iterator<Item = (Id, &Node)> {
        self.all().filter(|(_, node)| {
            node.candidate && node.role == Role::Worker && node.presence == Presence::Ready
        })
    }

    /// The candidate of the zone with the fewest managers.
    fn promote(&self, reason: &str) -> Option<Step> {
        let mut candidates = self.candidates();
        let first = candidates.next()?;
        let (node, _) = candidates.fold(first, |best, other| {
            let managers = |of: &(Id, &Node)| self.voters_in(&of.1.zone);
            if managers(&other) < managers(&best) {
                other
            } else {
                best
            }
        });
        Some(Step {
            node,
            role: Role::Manager,
            reason: format!("is made a manager: {reason}"),
        })
    }

    /// Those that are there.
    fn voters_in(&self, zone: &Option<String>) -> usize {
        let counts = |node: &Node| node.zone == *zone && !node.is_gone();
        self.voters().filter(|(_, node)| counts(node)).count()
    }
}

impl Node {
    fn is_gone(&self) -> bool {
        matches!(self.presence, Presence::Gone(_))
    }
}

fn demote(node: Id, reason: &str) -> Step {
    Step {
        node,
        role: Role::Worker,
        reason: format!("is made a worker: {reason}"),
    }
}

/// The largest odd number that is not greater; an even number of managers
/// bears no more failures than one less.
fn odd(count: usize) -> usize {
    count.saturating_sub(1) / 2 * 2 + 1
}

#[cfg(test)]
mod tests;
