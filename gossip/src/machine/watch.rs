//! One watched member: when it was last heard and, while it is not, what its other
//! watchers say.
//!
//! A watcher that hears nothing for the limit *doubts*: it asks the member itself
//! and its other watchers. One of them that has heard the member vetoes, for as
//! long as its own limit would have lasted from then on; so a broken path between
//! two members is not a death. If enough are silent too, it is one. If nobody is
//! there to ask, the member is only presumed dead, which stays with this node.
//!
//! All times here are run time (see [`super::clock`]).

use std::collections::BTreeMap;
use std::time::Duration;

use certs::NodeId;

use super::rings::K;
use super::rng::mix_id;
use crate::view::Moment;
use crate::wire::Opinion;

/// So many watchers that hear nothing, this one included, are enough; fewer only
/// where a member has fewer.
const ENOUGH: usize = 3;
/// All who watch a member get so long to say that they hear it.
const HEARING: Duration = Duration::from_millis(300);
/// Doubting for so long with nobody to ask is enough to presume.
const ALONE: Duration = Duration::from_millis(1_000);
/// How far the limits of a member's watchers are apart.
const JITTER_MS: u64 = 50;
/// How long a watcher's word that it hears nothing counts.
const SILENT_COUNTS: Duration = Duration::from_millis(1_500);
/// How long it counts that a watcher cannot say.
const UNSURE_COUNTS: Duration = Duration::from_millis(600);
/// A word of a member that ends so soon is asked for again.
const RENEW: Duration = Duration::from_millis(400);
/// Between two leases that are asked for.
const RENEW_LEASE: Duration = Duration::from_secs(3);
/// Silence after which the member may have lost the lease.
const LEASE_LOST: Duration = Duration::from_millis(300);
/// Words about one member, from whomever.
const MAX_VOTES: usize = 2 * K;

#[derive(Debug)]
pub(super) struct Watch {
    pub subject: NodeId,
    /// The last word from it; at first, a moment that leaves it time to answer.
    heard: Moment,
    /// Whether it was ever heard.
    ever: bool,
    /// When its beats were last asked for.
    leased: Option<Moment>,
    votes: BTreeMap<NodeId, (Opinion, Moment)>,
    pub doubt: Option<Doubt>,
    /// Beats in a row that summed up something else than this node believes: of
    /// who lives, and of anything.
    pub differs_in_living: u8,
    pub differs: u8,
    jitter: Duration,
}

/// A member that is not heard.
#[derive(Debug)]
pub(super) struct Doubt {
    since: Moment,
    /// When it began, by the real time.
    pub at: Moment,
    /// The others who watch it.
    pub watchers: Vec<NodeId>,
    /// What was last told to the world.
    pub shown: Verdict,
}

/// What a watcher makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Heard by this node, or not silent for long enough.
    Fine,
    /// Nobody has said anything yet.
    Open,
    /// Another watcher hears it.
    Vouched {
        by: NodeId,
    },
    Dead {
        witnesses: u8,
    },
    Presumed,
}

impl Watch {
    /// It has until `silence` after the usual limit to be heard for the first time.
    pub fn new(me: NodeId, subject: NodeId, run: Moment, silence: Duration) -> Self {
        let jitter = mix_id(me.as_u128() ^ subject.as_u128().rotate_left(1)) % JITTER_MS;
        Self {
            subject,
            heard: run + silence,
            ever: false,
            leased: None,
            votes: BTreeMap::new(),
            doubt: None,
            differs_in_living: 0,
            differs: 0,
            jitter: Duration::from_millis(jitter),
        }
    }

    /// A word from the member itself. Says whether there was a doubt.
    pub fn hear(&mut self, run: Moment) -> bool {
        self.heard = run;
        self.ever = true;
        self.doubt.take().is_some()
    }

    /// How long ago it was heard, if it was and that is less than `limit`.
    pub fn heard_within(&self, run: Moment, limit: Duration) -> Option<Duration> {
        let age = run.saturating_sub(self.heard);
        (self.ever && age < limit).then_some(age)
    }

    /// When it was heard, unless never.
    pub fn last_heard(&self) -> Option<Moment> {
        self.ever.then_some(self.heard)
    }

    /// Whether its beats should be asked for now; notes that they are.
    pub fn lease_due(&mut self, run: Moment) -> bool {
        let lost = run.saturating_sub(self.heard) > LEASE_LOST || !self.ever;
        let due = lost || self.leased.is_none_or(|at| run >= at + RENEW_LEASE);
        if due {
            self.leased = Some(run);
        }
        due
    }

    /// When doubt begins.
    pub fn deadline(&self, limit: Duration) -> Moment {
        self.heard + limit + self.jitter
    }

    /// `at`: the real time.
    pub fn begin_doubt(&mut self, run: Moment, at: Moment, watchers: Vec<NodeId>) {
        self.doubt = Some(Doubt {
            since: run,
            at,
            watchers,
            shown: Verdict::Open,
        });
    }

    /// Another watcher's word.
    pub fn vote(&mut self, from: NodeId, opinion: Opinion, run: Moment, limit: Duration) {
        self.votes.retain(|_, (_, until)| *until > run);
        if self.votes.len() >= MAX_VOTES && !self.votes.contains_key(&from) {
            return;
        }
        let counts = match opinion {
            Opinion::Heard { age_ms } => {
                let age = Duration::from_millis(age_ms.into());
                (limit + Duration::from_millis(JITTER_MS)).saturating_sub(age)
            }
            Opinion::Silent => SILENT_COUNTS,
            Opinion::Unsure | Opinion::Unwatched => UNSURE_COUNTS,
        };
        if !counts.is_zero() {
            self.votes.insert(from, (opinion, run + counts));
        }
    }

    /// What this node says to another watcher that asks.
    pub fn opinion(&self, run: Moment, limit: Duration) -> Opinion {
        let age = run.saturating_sub(self.heard);
        if self.doubt.is_some() {
            Opinion::Silent
        } else if !self.ever {
            Opinion::Unsure
        } else if age < limit + self.jitter {
            Opinion::Heard {
                age_ms: age.as_millis() as u32,
            }
        } else {
            Opinion::Silent
        }
    }

    /// Whose word is missing or about to end.
    pub fn unanswered(&self, run: Moment) -> Vec<NodeId> {
        let Some(doubt) = &self.doubt else {
            return Vec::new();
        };
        let wanting = |watcher: &&NodeId| {
            (self.votes.get(watcher)).is_none_or(|(_, until)| *until <= run + RENEW)
        };
        doubt.watchers.iter().filter(wanting).copied().collect()
    }

    /// Weighs what is known. `hears`: whether this node hears another member itself.
    pub fn verdict(
        &self,
        run: Moment,
        silence: Duration,
        hears: impl Fn(NodeId) -> bool,
    ) -> Verdict {
        let Some(doubt) = &self.doubt else {
            return Verdict::Fine;
        };
        let word = |watcher: &NodeId| match self.votes.get(watcher) {
            Some((opinion, until)) if *until > run => Some(*opinion),
            _ => None,
        };
        let (mut others, mut silent, mut mute, mut reachable) = (0usize, 0usize, 0usize, false);
        for watcher in &doubt.watchers {
            match word(watcher) {
                Some(Opinion::Heard { .. }) => return Verdict::Vouched { by: *watcher },
                Some(Opinion::Unwatched) => {}
                Some(Opinion::Silent) => {
                    others += 1;
                    silent += 1;
                }
                Some(Opinion::Unsure) => {
                    others += 1;
                    reachable = true;
                }
                None => {
                    others += 1;
                    mute += 1;
                    reachable |= hears(*watcher);
                }
            }
        }
        let enough = ENOUGH.min(others + 1);
        let heard_all = mute == 0 || run >= doubt.since + HEARING;
        if others > 0 && silent + 1 >= enough && heard_all {
            return Verdict::Dead {
                witnesses: silent as u8,
            };
        }
        let patience = if others == 0 { silence } else { ALONE };
        if !reachable && run >= doubt.since + patience {
            return Verdict::Presumed;
        }
        Verdict::Open
    }

    /// When the verdict may become another one with nothing being heard.
    pub fn next_change(&self, run: Moment, limit: Duration, silence: Duration) -> Moment {
        let Some(doubt) = &self.doubt else {
            return self.deadline(limit);
        };
        let ends = self.votes.values().map(|(_, until)| *until);
        (ends.chain([HEARING, silence, ALONE].map(|wait| doubt.since + wait)))
            .filter(|at| *at > run)
            .min()
            .unwrap_or(Moment::MAX)
    }

    /// The patience with those who do not answer begins again.
    pub fn vouched(&mut self, run: Moment) {
        if let Some(doubt) = &mut self.doubt {
            doubt.since = run;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(700);

    fn ms(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    fn id(n: u128) -> NodeId {
        NodeId::from(n)
    }

    /// Heard at 0, doubted at 750, with so many others who watch it.
    fn doubted(others: u128) -> Watch {
        let mut watch = Watch::new(id(1), id(2), ms(0), LIMIT);
        watch.hear(ms(0));
        watch.begin_doubt(ms(750), ms(750), (3..3 + others).map(id).collect());
        watch
    }

    fn verdict(watch: &Watch, run: u64) -> Verdict {
        watch.verdict(ms(run), LIMIT, |_| false)
    }

    #[test]
    fn three_of_many_are_enough() {
        let mut watch = doubted(7);
        watch.vote(id(3), Opinion::Silent, ms(760), LIMIT);
        assert_eq!(verdict(&watch, 761), Verdict::Open);
        watch.vote(id(4), Opinion::Silent, ms(770), LIMIT);
        assert_eq!(verdict(&watch, 771), Verdict::Open, "others may hear it");
        assert_eq!(verdict(&watch, 1_050), Verdict::Dead { witnesses: 2 });
        for other in 5..10 {
            watch.vote(id(other), Opinion::Silent, ms(770), LIMIT);
        }
        assert_eq!(verdict(&watch, 771), Verdict::Dead { witnesses: 7 });
    }

    #[test]
    fn with_three_hosts_both_watchers_must_agree() {
        let mut watch = doubted(1);
        assert_eq!(verdict(&watch, 751), Verdict::Open);
        watch.vote(id(3), Opinion::Silent, ms(760), LIMIT);
        assert_eq!(verdict(&watch, 761), Verdict::Dead { witnesses: 1 });
    }

    #[test]
    fn one_that_hears_it_outweighs_all_that_do_not() {
        let mut watch = doubted(7);
        for silent in 3..9 {
            watch.vote(id(silent), Opinion::Silent, ms(760), LIMIT);
        }
        watch.vote(id(9), Opinion::Heard { age_ms: 600 }, ms(760), LIMIT);
        assert_eq!(verdict(&watch, 800), Verdict::Vouched { by: id(9) });
        assert_eq!(watch.next_change(ms(800), LIMIT, LIMIT), ms(910));
        assert_eq!(verdict(&watch, 911), Verdict::Open, "it is asked again");
        assert_eq!(verdict(&watch, 1_050), Verdict::Dead { witnesses: 6 });
    }

    #[test]
    fn strangers_have_no_vote() {
        let mut watch = doubted(2);
        watch.vote(id(77), Opinion::Silent, ms(760), LIMIT);
        watch.vote(id(78), Opinion::Silent, ms(760), LIMIT);
        watch.vote(id(79), Opinion::Heard { age_ms: 0 }, ms(760), LIMIT);
        assert_eq!(verdict(&watch, 761), Verdict::Open);
    }

    #[test]
    fn with_nobody_to_ask_a_death_is_presumed() {
        assert_eq!(verdict(&doubted(0), 1_449), Verdict::Open);
        assert_eq!(verdict(&doubted(0), 1_450), Verdict::Presumed);
        assert_eq!(verdict(&doubted(7), 1_749), Verdict::Open);
        assert_eq!(verdict(&doubted(7), 1_750), Verdict::Presumed);
    }

    #[test]
    fn a_watcher_that_is_heard_is_waited_for() {
        let watch = doubted(7);
        let verdict = watch.verdict(ms(9_000), LIMIT, |other| other == id(5));
        assert_eq!(verdict, Verdict::Open);
    }

    #[test]
    fn a_watcher_that_does_not_watch_is_not_waited_for() {
        let mut watch = doubted(2);
        watch.vote(id(3), Opinion::Unwatched, ms(760), LIMIT);
        watch.vote(id(4), Opinion::Silent, ms(760), LIMIT);
        assert_eq!(verdict(&watch, 761), Verdict::Dead { witnesses: 1 });
    }

    #[test]
    fn words_are_bounded_and_end() {
        let mut watch = doubted(7);
        for n in 0..1_000 {
            watch.vote(id(1_000 + n), Opinion::Silent, ms(760), LIMIT);
        }
        assert_eq!(watch.votes.len(), MAX_VOTES);
        watch.vote(id(3), Opinion::Silent, ms(2_500), LIMIT);
        assert_eq!(watch.votes.len(), 1);
    }
}
