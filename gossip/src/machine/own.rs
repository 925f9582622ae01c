//! This node's own record: what it publishes, and how it answers to its own death.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use certs::NodeId;

use super::flood::{MAX_BYTES, Topic};
use super::roster::{Card, Peer, Standing};
use super::{Effect, Keys, Machine, Rings, Roster};
use crate::codec;
use crate::facts::Facts;
use crate::record::{Body, Delta, Head};
use crate::view::Moment;
use crate::wire::News;

/// Between two publications of the load alone.
const LOAD_AT_MOST: Duration = Duration::from_secs(10);
/// The same, for each member: a large swarm hears of each more rarely.
const LOAD_PER_MEMBER: Duration = Duration::from_millis(500);
/// Between two refutations: who is declared dead again will be told again.
const REFUTE_AT_MOST: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Own {
    pub head: Arc<Head>,
    pub card: Arc<Card>,
    /// When a change of the load may be told.
    load_due: Moment,
    /// What is to be told then.
    waiting: Option<Facts>,
    leaving: bool,
    /// When it last was.
    refuted: Option<Moment>,
}

/// A member's record that a machine has checked, for [`Machine::preload`].
#[derive(Debug, Clone)]
pub struct Known(Peer);

impl Own {
    pub fn new(keys: &dyn Keys, facts: Facts, incarnation: u64, now: Moment) -> Self {
        let card = own_card(keys, facts.bounded(), incarnation);
        Self {
            head: Arc::new(Head::sign(keys, incarnation, 1, card.digest, false)),
            card: Arc::new(card),
            load_due: now,
            waiting: None,
            leaving: false,
            refuted: None,
        }
    }

    pub fn peer(&self, id: NodeId, now: Moment) -> Peer {
        let since_ms = now.as_millis() as u64;
        Peer::new(id, self.head.clone(), self.card.clone(), since_ms)
    }
}

/// This node does not doubt its own certificate, which says what its role is.
fn own_card(keys: &dyn Keys, mut facts: Facts, wall_ms: u64) -> Card {
    let certificate = keys.certificate();
    if let Ok(author) = keys.admit(&certificate, wall_ms) {
        facts.role = author.role;
    }
    let body = Body {
        certificate: certificate.into(),
        facts: Arc::new(facts),
    };
    Card {
        digest: body.digest(keys),
        body: Arc::new(body),
        expires_ms: u64::MAX,
    }
}

impl Machine {
    /// Tells everyone what is new in the facts; if it is only the load, not at once.
    pub(super) fn publish(&mut self, facts: Facts) {
        self.own.waiting = None;
        let card = own_card(&*self.keys, facts.bounded(), self.wall_ms());
        let old = &self.own.card;
        if card.digest == old.digest {
            return;
        }
        let delta = old.body.delta(&old.digest, &card.body);
        let only_load = delta.as_ref().is_some_and(Delta::is_load_only);
        if only_load {
            if self.now() < self.own.load_due {
                self.own.waiting = Some(Facts::clone(&card.body.facts));
                return;
            }
            let members = u32::try_from(self.roster.len()).unwrap_or(u32::MAX);
            let pause = LOAD_AT_MOST.max(LOAD_PER_MEMBER.saturating_mul(members));
            self.own.load_due = self.now() + pause;
        }
        self.speak(self.own.head.incarnation, Arc::new(card));
        self.tell_body(delta, only_load);
    }

    /// The load that could not be told earlier.
    pub(super) fn publish_waiting(&mut self) {
        if self.now() >= self.own.load_due
            && let Some(facts) = self.own.waiting.take()
        {
            self.publish(facts);
        }
    }

    /// The certificate is another, and the facts are what they were.
    pub(super) fn republish(&mut self) {
        let facts = Facts::clone(&self.own.card.body.facts);
        let card = own_card(&*self.keys, facts, self.wall_ms());
        self.speak(self.own.head.incarnation, Arc::new(card));
        self.tell_body(None, false);
    }

    /// Somebody believes that this incarnation of this node is dead, or knows a later
    /// one: the next one is alive.
    pub(super) fn refute(&mut self, incarnation: u64) {
        let refuted = self.own.refuted;
        let soon = refuted.is_some_and(|at| self.now() < at + REFUTE_AT_MOST);
        if self.own.leaving || soon || incarnation < self.own.head.incarnation {
            return;
        }
        self.own.refuted = Some(self.now());
        self.clock.trouble();
        self.speak(incarnation.saturating_add(1), self.own.card.clone());
        self.tell_head();
    }

    /// Says good-bye, now.
    pub(super) fn leave(&mut self) {
        self.own.leaving = true;
        self.speak(self.own.head.incarnation, self.own.card.clone());
        self.tell_head();
        self.flush();
    }

    /// Signs the next head.
    fn speak(&mut self, incarnation: u64, card: Arc<Card>) {
        let version = self.own.head.version.saturating_add(1);
        let leaving = self.own.leaving;
        let head = Head::sign(&*self.keys, incarnation, version, card.digest, leaving);
        let head = Arc::new(head);
        self.own.head = head.clone();
        self.own.card = card.clone();
        self.update(self.me, |me| {
            me.head = head;
            me.card = card;
            if leaving {
                me.standing = Standing::Left;
            }
        });
    }

    /// The body is what everyone has.
    fn tell_head(&mut self) {
        let head = self.own.head.clone();
        self.tell(News::Head { head, delta: None }, false);
    }

    /// The delta, or else the whole record, or else, where neither fits into a
    /// datagram, only the head: whoever hears of it comes for the rest.
    fn tell_body(&mut self, delta: Option<Delta>, lazy: bool) {
        let head = self.own.head.clone();
        let small = delta.map(|delta| News::Head {
            head: head.clone(),
            delta: Some(Arc::new(delta)),
        });
        let whole = News::Record {
            head: head.clone(),
            body: self.own.card.body.clone(),
        };
        let news = (small.into_iter().chain([whole]))
            .find(|news| codec::encoded_len(news) <= MAX_BYTES)
            .unwrap_or(News::Head { head, delta: None });
        self.tell(news, lazy);
    }

    fn tell(&mut self, news: News, lazy: bool) {
        let now = self.now();
        (self.outbox).push((self.me, Topic::Record), news, None, lazy, now);
    }

    /// Removed nodes are strangers, from now on and for good.
    pub(super) fn revoke(&mut self, nodes: BTreeSet<NodeId>) {
        for id in nodes.difference(&self.revoked.clone()) {
            if *id != self.me {
                self.forget(*id);
                self.effects.push_back(Effect::Disconnect(*id));
            }
        }
        self.revoked = nodes;
        self.revoked.remove(&self.me);
    }

    /// Whether to listen to a peer; if not, it is hung up on.
    pub(super) fn admits(&mut self, from: NodeId) -> bool {
        let revoked = self.revoked.contains(&from);
        if revoked {
            self.effects.push_back(Effect::Disconnect(from));
        }
        !revoked && from != self.me
    }

    pub(super) fn forget(&mut self, id: NodeId) {
        self.hints.remove(&id);
        self.accused.remove(&id);
        self.last_words.remove(&id);
        self.subscribers.retain(|(subscriber, _)| *subscriber != id);
        if let Some(peer) = self.roster.remove(id) {
            if peer.is_live() {
                self.turnout(id, false);
            }
            self.changed(id);
        }
    }

    /// This node's own record, for others to start with.
    pub fn record(&self) -> Known {
        Known(self.own.peer(self.me, self.now()))
    }

    /// Starts with members whose records were checked in this process, by id, this
    /// node included, instead of meeting them one by one.
    pub fn preload(&mut self, known: &[Known]) {
        let me = self.own.peer(self.me, self.now());
        let others = known.iter().map(|Known(peer)| match peer.id == self.me {
            true => me.clone(),
            false => peer.clone(),
        });
        self.roster = Roster::formed(others.collect());
        self.roster.insert(me);
        self.rings = Rings::of(self.me, self.roster.live());
        self.rings_changed = true;
    }
}
