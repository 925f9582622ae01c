//! Two members compare what they believe, and fetch what they lack.
//!
//! A beat carries a hash over everything that its sender believes, and one over who
//! lives. A watcher that keeps seeing another hash than its own begins an exchange:
//! hashes by bucket, then entries of the buckets that differ, then the records
//! themselves. While all believe the same this costs nothing. In a large swarm
//! something of little weight is always on its way, so comparing is rarer there; but
//! to differ about who lives is looked into at once. So that the halves of a split
//! find each other, some member that is believed dead is called now and then; a hint
//! about a member that is not known yet is followed at once.

mod beliefs;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use certs::NodeId;

use super::rings::EVERYONE;
use super::{Effect, MAX_HINTS, Machine, RequestId, Standing};
use crate::facts::MAX_ADDRS;
use crate::record::base_of;
use crate::view::Moment;
use crate::wire::{MAX_ENTRIES, MAX_WANTED, Request, Response, Want};

/// Requests without an answer, at most.
const MAX_PENDING: usize = 16;
/// After which an answer is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two comparisons that this node begins, at least.
const COMPARE: Duration = Duration::from_millis(1_000);
/// Where there is always some news on its way, beats always differ a little; so if
/// comparing shows less than this, the pause grows.
const LITTLE: usize = 8;
/// One second of pause, at most, for so many members; and no more than the latter.
const MEMBERS_PER_SECOND: u32 = 32;
const MOST_SECONDS: u32 = 30;
/// Between two calls of members that are not in touch.
const CALL: Duration = Duration::from_secs(2);
/// Of the live members so many call one that is dead, at a time. Who does is drawn
/// by lot each time: taking turns, members that started together would all wait
/// for the same moment.
const CALLERS: usize = 200;
/// Between two comparisons with just anyone.
const ANYONE: Duration = Duration::from_secs(30);
/// Records that are wanted at a time.
const MAX_MISSING: usize = super::MAX_MEMBERS;
/// With so few members, entries are compared and not buckets.
const FEW: u32 = 200;
/// Between two looks for certificates that have expired.
const SWEEP: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Exchanges {
    next_id: u64,
    pending: BTreeMap<RequestId, Pending>,
    /// What is missing, by whom to ask.
    missing: BTreeMap<NodeId, BTreeSet<NodeId>>,
    wanted: BTreeSet<NodeId>,
    next_compare: Moment,
    next_pressing: Moment,
    pause: Duration,
    next_call: Moment,
    next_anyone: Moment,
}

#[derive(Debug)]
struct Pending {
    to: NodeId,
    until: Moment,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Sync,
    /// `more`: there were more differences than one list could hold.
    List {
        more: bool,
    },
    Records(Vec<NodeId>),
}

impl Exchanges {
    pub fn new(now: Moment) -> Self {
        Self {
            next_id: 0,
            pending: BTreeMap::new(),
            missing: BTreeMap::new(),
            wanted: BTreeSet::new(),
            next_compare: now,
            next_pressing: now,
            pause: COMPARE,
            next_call: now,
            next_anyone: now + ANYONE,
        }
    }

    fn is_busy_with(&self, peer: NodeId) -> bool {
        self.pending.values().any(|pending| pending.to == peer)
    }

    fn pulls_from(&self, peer: NodeId) -> bool {
        let mut pending = self.pending.values();
        pending.any(|p| p.to == peer && matches!(p.kind, Kind::Records(_)))
    }
}

impl Machine {
    pub(super) fn on_hint(&mut self, id: NodeId, mut addrs: Vec<std::net::SocketAddr>) {
        if id == self.me || self.revoked.contains(&id) {
            return;
        }
        addrs.truncate(MAX_ADDRS);
        if self.hints.len() >= MAX_HINTS && !self.hints.contains_key(&id) {
            let useless = self
                .hints
                .keys()
                .copied()
                .find(|id| self.roster.get(*id).is_some());
            let Some(useless) = useless else { return };
            self.hints.remove(&useless);
        }
        self.hints.insert(id, addrs);
        let in_touch = self
            .roster
            .get(id)
            .is_some_and(|peer| peer.standing == Standing::Alive);
        if !in_touch {
            self.greet(id);
        }
        self.next_beat = self.next_beat.min(self.now() + self.config.beat);
    }

    /// Begins a comparison, unless one is on its way or there was one just now;
    /// one that is `pressing` does not wait for its turn among the others.
    pub(super) fn compare(&mut self, with: NodeId, pressing: bool) -> bool {
        let now = self.now();
        let exchanges = &self.exchanges;
        let next = match pressing {
            true => exchanges.next_pressing,
            false => exchanges.next_compare,
        };
        let due = now >= next && exchanges.wanted.len() < MAX_WANTED;
        if due {
            self.exchanges.next_compare = now + self.rng.around(self.exchanges.pause);
            self.exchanges.next_pressing = now + self.rng.around(COMPARE);
            self.greet(with);
        }
        due
    }

    /// What other members are known to know better.
    fn lacking(&self) -> usize {
        self.exchanges.wanted.len() + self.accused.len()
    }

    /// The next comparison is soon if this one has shown much.
    fn pace(&mut self, found: usize) {
        let members = u32::try_from(self.roster.len()).unwrap_or(u32::MAX);
        let most = COMPARE * (members / MEMBERS_PER_SECOND).clamp(1, MOST_SECONDS);
        self.exchanges.pause = match found > LITTLE {
            true => COMPARE,
            false => (2 * self.exchanges.pause).min(most),
        };
    }

    /// Begins a comparison, unless one is on its way.
    pub(super) fn greet(&mut self, with: NodeId) {
        if !self.exchanges.is_busy_with(with) {
            let summary = self.summary(with);
            self.request(with, Request::Sync(summary), Kind::Sync);
        }
    }

    /// What is done now and then.
    pub(super) fn keep_up(&mut self) {
        let now = self.now();
        let pending = std::mem::take(&mut self.exchanges.pending);
        let (late, pending) = pending.into_iter().partition(|(_, p)| p.until <= now);
        self.exchanges.pending = pending;
        for pending in BTreeMap::into_values(late) {
            self.give_up(pending);
        }
        if now >= self.exchanges.next_call {
            self.call();
        }
        if now >= self.exchanges.next_anyone {
            self.exchanges.next_anyone = now + self.rng.around(ANYONE);
            let index = self.rng.below(self.roster.len());
            let anyone = self.roster.at(index).filter(|peer| peer.is_live());
            if let Some(id) = anyone.map(|peer| peer.id)
                && self.roster.live_count() > EVERYONE
                && id != self.me
            {
                self.greet(id);
            }
        }
    }

    /// Calls someone who is not in touch: a hint, someone presumed dead, or dead.
    fn call(&mut self) {
        self.exchanges.next_call = self.now() + self.rng.around(CALL);
        if self.hints.is_empty() && self.roster.live_count() == self.roster.len() {
            return;
        }
        let strangers = self
            .hints
            .keys()
            .filter(|id| self.roster.get(**id).is_none());
        let mut urgent: Vec<NodeId> = strangers.copied().collect();
        let mut dead = Vec::new();
        for peer in self.roster.iter().filter(|peer| peer.id != self.me) {
            match peer.standing {
                Standing::Presumed => urgent.push(peer.id),
                Standing::Dead => dead.push(peer.id),
                Standing::Alive | Standing::Shaken | Standing::Left => {}
            }
        }
        // The dead may be who brings the halves of a split together.
        let live = self.roster.live_count();
        if !urgent.is_empty() || self.rng.below(live) < CALLERS {
            urgent.extend(dead);
        }
        if !urgent.is_empty() {
            let chosen = urgent[self.rng.below(urgent.len())];
            self.greet(chosen);
        }
    }

    /// Forgets who is gone and could not come back with the certificate it had.
    pub(super) fn sweep(&mut self) {
        if self.now() < self.next_sweep {
            return;
        }
        self.next_sweep = self.now() + SWEEP;
        let wall = self.wall_ms();
        let expired: Vec<NodeId> = (self.roster.iter())
            .filter(|peer| !peer.is_live() && peer.card.expires_ms < wall)
            .map(|peer| peer.id)
            .collect();
        for id in expired {
            self.forget(id);
        }
    }

    pub(super) fn on_request(&mut self, from: NodeId, id: RequestId, message: Request) {
        let answer = match message {
            Request::Sync(summary) => {
                let differs = self.on_summary(from, summary);
                let few = self.roster.len() <= FEW as usize;
                let hashes = self.roster.bucket_hashes();
                Response::Sync {
                    summary: self.summary(from),
                    buckets: match differs && !few {
                        true => hashes.to_vec(),
                        false => Vec::new(),
                    },
                }
            }
            Request::List { buckets, entries } => {
                let mine = self.roster.entries(&buckets, MAX_ENTRIES);
                for entry in entries.into_iter().take(MAX_ENTRIES) {
                    self.consider(from, entry);
                }
                Response::List { entries: mine }
            }
            Request::Records { wanted } => Response::Records {
                parcels: self.parcels(&wanted),
            },
        };
        self.effects.push_back(Effect::Respond {
            to: from,
            id,
            message: answer,
        });
        self.heard(from);
    }

    pub(super) fn on_response(&mut self, from: NodeId, id: RequestId, message: Response) {
        match self.exchanges.pending.get(&id) {
            Some(pending) if pending.to == from => {}
            _ => return,
        }
        let Some(pending) = self.exchanges.pending.remove(&id) else {
            return;
        };
        match (pending.kind, message) {
            (Kind::Sync, Response::Sync { summary, buckets }) => {
                let members = summary.members;
                if self.on_summary(from, summary) {
                    self.list(from, members, &buckets);
                }
            }
            (Kind::List { more }, Response::List { entries }) => {
                let before = self.lacking();
                for entry in entries.into_iter().take(MAX_ENTRIES) {
                    self.consider(from, entry);
                }
                self.pace(self.lacking().saturating_sub(before));
                // Else it goes on when what this list has shown is here.
                if more && self.exchanges.wanted.len() < MAX_WANTED {
                    self.greet(from);
                }
            }
            (Kind::Records(ids), Response::Records { parcels }) => {
                let (asked, arrived) = (ids.len(), !parcels.is_empty());
                let mut missing: BTreeSet<NodeId> = ids.into_iter().collect();
                for parcel in parcels.into_iter().take(MAX_WANTED) {
                    let id = self.keys.node_of(&parcel.head.public_key);
                    if missing.remove(&id) {
                        self.exchanges.wanted.remove(&id);
                    }
                    self.on_parcel(from, parcel);
                }
                for id in missing {
                    self.exchanges.wanted.remove(&id);
                    if arrived {
                        self.want(id, from);
                    }
                }
                if asked >= MAX_WANTED && !self.exchanges.missing.contains_key(&from) {
                    self.greet(from);
                }
            }
            _ => {}
        }
        self.heard(from);
    }

    pub(super) fn on_failure(&mut self, to: NodeId, id: RequestId) {
        if self
            .exchanges
            .pending
            .get(&id)
            .is_some_and(|pending| pending.to == to)
            && let Some(pending) = self.exchanges.pending.remove(&id)
        {
            self.give_up(pending);
        }
    }

    fn give_up(&mut self, pending: Pending) {
        if let Kind::Records(ids) = pending.kind {
            for id in ids {
                self.exchanges.wanted.remove(&id);
            }
            let rest = self.exchanges.missing.remove(&pending.to);
            for id in rest.into_iter().flatten() {
                self.exchanges.wanted.remove(&id);
            }
        }
    }

    /// A member's record, or a newer one, is to be had there.
    pub(super) fn want(&mut self, id: NodeId, from: NodeId) {
        let exchanges = &mut self.exchanges;
        if exchanges.wanted.len() >= MAX_MISSING || exchanges.wanted.contains(&id) {
            return;
        }
        let missing = exchanges.missing.entry(from).or_default();
        if missing.len() < MAX_ENTRIES {
            missing.insert(id);
            exchanges.wanted.insert(id);
        }
    }

    /// Fetches what is missing, a page from each who has it.
    pub(super) fn pull(&mut self) {
        if self.exchanges.missing.is_empty() {
            return;
        }
        let sources: Vec<NodeId> = self.exchanges.missing.keys().copied().collect();
        for source in sources {
            if self.exchanges.pulls_from(source) || self.exchanges.pending.len() >= MAX_PENDING {
                continue;
            }
            let Some(mut ids) = self.exchanges.missing.remove(&source) else {
                continue;
            };
            let asked: Vec<NodeId> = ids.iter().take(MAX_WANTED).copied().collect();
            for id in &asked {
                ids.remove(id);
            }
            if !ids.is_empty() {
                self.exchanges.missing.insert(source, ids);
            }
            let wanted = (asked.iter())
                .map(|id| Want {
                    id: *id,
                    have: self.roster.get(*id).map(|peer| base_of(&peer.card.digest)),
                })
                .collect();
            self.request(source, Request::Records { wanted }, Kind::Records(asked));
        }
    }

    fn request(&mut self, to: NodeId, message: Request, kind: Kind) {
        if self.exchanges.pending.len() >= MAX_PENDING || self.revoked.contains(&to) {
            let until = self.now();
            self.give_up(Pending { to, until, kind });
            return;
        }
        let id = RequestId(self.exchanges.next_id);
        self.exchanges.next_id += 1;
        let until = self.now() + PATIENCE;
        (self.exchanges.pending).insert(id, Pending { to, until, kind });
        self.effects.push_back(Effect::Request { to, id, message });
    }
}
