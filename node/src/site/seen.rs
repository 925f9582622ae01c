//! What a waiting device knows of the others of its site, and what it has
//! promised them.
//!
//! Places come from discovery, from other devices and from who knocks, and are
//! only addresses. A device is seen once it has proven, in either direction,
//! that it knows the site key, and said what it does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use certs::{ClusterId, NodeId};

use super::decide::{AWAY, FORGET, Moment, Step, decide, may_found, waits};
use super::view::{Grant, MAX_KNOWN, Says, SwarmDigest, View};

/// Places that are remembered.
pub const MAX_PLACES: usize = 512;
/// A device has no more addresses than this.
const MAX_OWN: usize = 64;

#[derive(Debug)]
pub struct Seen {
    me: NodeId,
    online: bool,
    /// When a device was seen for the first time, or a founding failed.
    newest: Moment,
    places: BTreeMap<SocketAddr, Place>,
    /// Where this device met itself: others tell it of its own addresses.
    own: BTreeSet<SocketAddr>,
    sequence: u64,
    rounds: u64,
    proposal: Option<Proposal>,
    lease: Option<Lease>,
    founding: bool,
}

#[derive(Debug)]
struct Place {
    since: Moment,
    said: Option<Word>,
}

#[derive(Debug)]
struct Word {
    id: NodeId,
    sequence: u64,
    says: Says,
    at: Moment,
}

#[derive(Debug, Clone, Copy)]
pub struct Proposal {
    pub round: u64,
    pub at: Moment,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    grant: Grant,
    until: Moment,
}

impl Seen {
    pub fn new(me: NodeId, now: Moment) -> Self {
        Self {
            me,
            online: true,
            newest: now,
            places: BTreeMap::new(),
            own: BTreeSet::new(),
            sequence: 0,
            rounds: 0,
            proposal: None,
            lease: None,
            founding: false,
        }
    }

    /// Whether this device has an address that others can reach.
    pub fn set_online(&mut self, online: bool, now: Moment) {
        if online && !self.online {
            self.newest = now;
        }
        self.online = online;
    }

    /// A device of the site may answer there.
    pub fn list(&mut self, addr: SocketAddr, now: Moment) {
        if self.places.len() < MAX_PLACES && !self.own.contains(&addr) {
            let place = || Place {
                since: now,
                said: None,
            };
            self.places.entry(addr).or_insert_with(place);
        }
    }

    /// Forgets the places that nobody names any more and where nobody is.
    pub fn keep_listed(&mut self, listed: &BTreeSet<SocketAddr>, now: Moment) {
        self.places.retain(|addr, place| {
            let heard = |word: &Word| now < word.at + FORGET;
            listed.contains(addr)
                || now < place.since + AWAY
                || place.said.as_ref().is_some_and(heard)
        });
    }

    /// A device that answers at `addr` has proven itself and said this.
    pub fn hear(&mut self, addr: SocketAddr, view: &View, now: Moment) {
        if view.id == self.me {
            self.places.remove(&addr);
            if self.own.len() < MAX_OWN {
                self.own.insert(addr);
            }
            return;
        }
        self.list(addr, now);
        for known in view.knows.iter().take(MAX_KNOWN) {
            self.list(*known, now);
        }
        let words = self.places.values().filter_map(|place| place.said.as_ref());
        let latest = words
            .filter(|word| word.id == view.id)
            .max_by_key(|word| (!waits(&word.says), word.sequence));
        match latest {
            None => self.newest = now,
            Some(word) if waits(&view.says) && !waits(&word.says) => return,
            Some(word) if waits(&view.says) && view.sequence <= word.sequence => return,
            Some(_) => {}
        }
        for place in self.places.values_mut() {
            let word = place.said.as_mut().filter(|word| word.id == view.id);
            if let Some(word) = word {
                (word.sequence, word.says) = (view.sequence, view.says);
            }
        }
        if let Some(place) = self.places.get_mut(&addr) {
            place.said = Some(Word {
                id: view.id,
                sequence: view.sequence,
                says: view.says,
                at: now,
            });
        }
        if let Says::Waiting { proposes, .. } = view.says {
            self.consider(view.id, proposes, now);
        }
    }

    fn consider(&mut self, candidate: NodeId, proposes: Option<u64>, now: Moment) {
        let held = self.lease.map(|lease| lease.grant);
        if held.is_some_and(|held| held.candidate == candidate && proposes != Some(held.round)) {
            // It will not found in that round any more.
            self.lease = None;
        }
        if let Some(round) = proposes
            && may_found(self, candidate, now)
        {
            self.proposal = None;
            let grant = Grant { candidate, round };
            if held != Some(grant) {
                let until = now + AWAY;
                self.lease = Some(Lease { grant, until });
            }
        }
    }

    /// What to do now; remembers what this device has thereby begun.
    pub fn step(&mut self, now: Moment) -> Step {
        let step = decide(self, now);
        match step {
            Step::Propose => {
                self.rounds += 1;
                let round = self.rounds;
                self.proposal = Some(Proposal { round, at: now });
            }
            Step::Found => self.founding = true,
            Step::Wait(super::decide::Reason::Grants(..)) => {}
            _ => self.proposal = None,
        }
        step
    }

    /// Founding came to nothing: this device waits as before.
    pub fn founding_failed(&mut self, now: Moment) {
        self.founding = false;
        self.proposal = None;
        self.newest = now;
    }

    /// What to tell another device.
    pub fn view(&mut self, now: Moment) -> View {
        self.sequence += 1;
        let says = match self.founding {
            true => Says::Founding,
            false => Says::Waiting {
                proposes: self.proposal.map(|proposal| proposal.round),
                grants: self.lease_at(now).map(|lease| lease.grant),
            },
        };
        let heard = |place: &Place| place.said.as_ref().is_some_and(|word| now < word.at + AWAY);
        let known = self.places.iter().filter(|(_, place)| heard(place));
        View {
            id: self.me,
            sequence: self.sequence,
            says,
            knows: known.map(|(addr, _)| *addr).take(MAX_KNOWN).collect(),
        }
    }

    pub fn me(&self) -> NodeId {
        self.me
    }

    pub fn online(&self) -> bool {
        self.online
    }

    pub fn newest(&self) -> Moment {
        self.newest
    }

    pub fn founding(&self) -> bool {
        self.founding
    }

    pub fn proposal(&self) -> Option<Proposal> {
        self.proposal
    }

    pub fn places(&self) -> impl Iterator<Item = SocketAddr> {
        self.places.keys().copied()
    }

    /// The other devices that wait.
    pub fn others(&self, now: Moment) -> BTreeSet<NodeId> {
        self.words(now, AWAY)
            .filter(|word| waits(&word.says))
            .map(|word| word.id)
            .collect()
    }

    /// Whether another than `candidate` is founding.
    pub fn others_found(&self, candidate: NodeId, now: Moment) -> bool {
        self.words(now, AWAY)
            .any(|word| word.says == Says::Founding && word.id != candidate)
    }

    /// The swarms of this site that said a word within `within`.
    pub fn swarms(&self, now: Moment, within: Duration) -> Vec<SwarmDigest> {
        let swarms: BTreeSet<SwarmDigest> = self
            .words(now, within)
            .filter_map(|word| match word.says {
                Says::Formed { swarm, .. } => Some(swarm),
                _ => None,
            })
            .collect();
        swarms.into_iter().collect()
    }

    /// Where managers of `of` answer, the one heard last first.
    pub fn managers_of(&self, of: SwarmDigest, now: Moment) -> Vec<SocketAddr> {
        let mut at: Vec<(Moment, SocketAddr)> = self
            .places
            .iter()
            .filter_map(|(addr, place)| Some((addr, place.said.as_ref()?)))
            .filter(|(_, word)| now < word.at + AWAY)
            .filter(|(_, word)| matches!(word.says, Says::Formed { swarm, .. } if swarm == of))
            .map(|(addr, word)| (word.at, *addr))
            .collect();
        at.sort_by(|a, b| b.cmp(a));
        at.into_iter().map(|(_, addr)| addr).collect()
    }

    /// The swarms of this site in reach, each with one place of it.
    pub fn clusters(&self, now: Moment) -> Vec<(ClusterId, SocketAddr)> {
        let mut clusters = BTreeMap::new();
        for (addr, place) in &self.places {
            if let Some(word) = place.said.as_ref().filter(|word| now < word.at + AWAY)
                && let Says::Formed { cluster, .. } = word.says
            {
                clusters.entry(cluster).or_insert(*addr);
            }
        }
        clusters.into_iter().collect()
    }

    /// Whom this device has granted to found, if that still holds.
    pub fn granted(&self, now: Moment) -> Option<NodeId> {
        self.lease_at(now).map(|lease| lease.grant.candidate)
    }

    /// Who has granted this device to found in `round`.
    pub fn grants(&self, round: u64, now: Moment) -> BTreeSet<NodeId> {
        let ours = Grant {
            candidate: self.me,
            round,
        };
        let grants =
            |says: &Says| matches!(says, Says::Waiting { grants, .. } if *grants == Some(ours));
        self.words(now, AWAY)
            .filter(|word| grants(&word.says))
            .map(|word| word.id)
            .collect()
    }

    /// Where something is listed that has not said a word yet.
    pub fn silent(&self, now: Moment) -> Option<SocketAddr> {
        let silent = |place: &Place| place.said.is_none() && now < place.since + AWAY;
        let mut places = self.places.iter();
        places
            .find(|(_, place)| silent(place))
            .map(|(addr, _)| *addr)
    }

    fn words(&self, now: Moment, within: Duration) -> impl Iterator<Item = &Word> {
        let words = self.places.values().filter_map(|place| place.said.as_ref());
        words.filter(move |word| now < word.at + within)
    }

    fn lease_at(&self, now: Moment) -> Option<Lease> {
        self.lease.filter(|lease| now < lease.until)
    }
}
