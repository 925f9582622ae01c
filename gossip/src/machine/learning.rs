//! News come in: what counts, what it changes, and what is passed on.
//!
//! Only what changes a belief is passed on, so a flood ends by itself, and what is
//! old, forged or from the future goes nowhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use certs::NodeId;

use super::flood::Topic;
use super::roster::{Card, Peer};
use super::{MAX_MEMBERS, Machine, Refused, Standing};
use crate::record::{Body, Delta, Head};
use crate::view::Moment;
use crate::wire::{Claim, Datagram, News, Parcel, Verdict};

/// An incarnation further ahead than this is a lie or a broken clock.
const FUTURE_MS: u64 = 24 * 60 * 60 * 1_000;
/// How long an accused member has to refute.
const TO_REFUTE: Duration = Duration::from_millis(2_500);
/// Members that may be accused at a time.
const MAX_ACCUSED: usize = 1_024;

/// A member that somebody in reach believes dead and this node does not.
#[derive(Debug)]
pub(super) struct Accusation {
    incarnation: u64,
    until: Moment,
    /// What this node believes then, unless it was refuted.
    verdict: Option<Verdict>,
}

impl Machine {
    pub(super) fn on_news(&mut self, from: NodeId, news: News) {
        match news {
            News::Head { head, delta } => {
                self.on_head(from, head, |machine, peer, head| {
                    let delta = delta.as_deref()?;
                    machine.apply(peer, head, delta)
                });
            }
            News::Record { head, body } => {
                if self
                    .id_of(&head)
                    .is_some_and(|id| self.roster.get(id).is_none())
                {
                    self.on_stranger(from, head, &body, Claim::Lives, true);
                } else {
                    self.on_head(from, head, |machine, _, head| {
                        machine.card(head, &body).ok()
                    });
                }
            }
            News::Dead {
                subject,
                incarnation,
                by,
                witnesses,
            } => self.on_death(from, subject, incarnation, Verdict { by, witnesses }),
            News::Accused {
                subject,
                incarnation,
            } => self.accuse(Some(from), subject, incarnation, None),
        }
    }

    /// The author of a head, if anyone but this node.
    fn id_of(&mut self, head: &Head) -> Option<NodeId> {
        let id = self.keys.node_of(&head.public_key);
        if id == self.me {
            // Only this node can have signed it, in an earlier life.
            let newer = head.order() > self.own.head.order();
            if newer && self.timely(head).is_ok() && head.verifies(&*self.keys) {
                self.refute(head.incarnation);
            }
            return None;
        }
        (!self.revoked.contains(&id)).then_some(id)
    }

    /// A head, of a member that is known or not; `body_of` makes the body that
    /// belongs to it, if that came along.
    pub(super) fn on_head(
        &mut self,
        from: NodeId,
        head: Arc<Head>,
        body_of: impl FnOnce(&Self, &Peer, &Head) -> Option<Card>,
    ) {
        let Some(id) = self.id_of(&head) else { return };
        let Some(peer) = self.roster.get(id) else {
            self.want(id, from);
            return;
        };
        let known = head.order() <= peer.head.order();
        if known && !(peer.is_stale() && head == peer.head) {
            if head.order() == peer.head.order() {
                self.outbox.known_to((id, Topic::Record), from);
            }
            return;
        }
        if !known && self.check(&head).is_err() {
            return;
        }
        let card = match head.digest == peer.card.digest {
            true => Some(peer.card.clone()),
            false => body_of(self, peer, &head).map(Arc::new),
        };
        let expired = card
            .as_ref()
            .is_some_and(|card| card.expires_ms < self.wall_ms());
        if expired || (known && card.is_none()) {
            return;
        }
        let delta =
            (card.as_ref()).and_then(|card| peer.card.body.delta(&peer.card.digest, &card.body));
        self.accept(from, id, head, card, delta);
    }

    /// A later head, found good, and its body, if that is known.
    fn accept(
        &mut self,
        from: NodeId,
        id: NodeId,
        head: Arc<Head>,
        card: Option<Arc<Card>>,
        delta: Option<Delta>,
    ) {
        let Some(peer) = self.roster.get(id) else {
            return;
        };
        let raised = head.incarnation > peer.head.incarnation;
        let (standing, same_body) = (peer.standing, head.digest == peer.card.digest);
        if raised && standing == Standing::Dead && peer.by == self.me {
            self.clock.trouble();
        }
        let complete = card.is_some();
        let card = card.unwrap_or_else(|| peer.card.clone());
        let body = card.body.clone();
        self.update(id, |peer| {
            peer.head = head.clone();
            peer.card = card;
            peer.standing = match standing {
                _ if head.left => Standing::Left,
                Standing::Dead | Standing::Left if !raised => standing,
                _ => Standing::Alive,
            };
        });
        if raised {
            self.accused.remove(&id);
        }
        if !complete {
            self.want(id, from);
        }
        // A body that is not here cannot be asked for here.
        if !complete && !raised && !head.left {
            return;
        }
        let lazy = !raised && !head.left && delta.as_ref().is_some_and(Delta::is_load_only);
        let news = match (same_body || !complete, delta) {
            (false, Some(delta)) => News::Head {
                head,
                delta: Some(Arc::new(delta)),
            },
            (false, None) => News::Record { head, body },
            (true, _) => News::Head { head, delta: None },
        };
        let now = self.now();
        (self.outbox).push((id, Topic::Record), news, Some(from), lazy, now);
    }

    /// A record of someone who is not known yet. `tell`: it is new to all.
    pub(super) fn on_stranger(
        &mut self,
        from: NodeId,
        head: Arc<Head>,
        body: &Arc<Body>,
        claim: Claim,
        tell: bool,
    ) {
        let Some(id) = self.id_of(&head) else { return };
        if self.roster.get(id).is_some() || self.check(&head).is_err() {
            return;
        }
        let Ok(card) = self.card(&head, body) else {
            return;
        };
        if self.roster.len() >= MAX_MEMBERS && !self.make_room() {
            return;
        }
        let now_ms = self.now().as_millis() as u64;
        let mut peer = Peer::new(id, head.clone(), Arc::new(card), now_ms);
        if let (Claim::Dead(verdict), Standing::Alive) = (claim, peer.standing) {
            peer.standing = Standing::Dead;
            peer.by = verdict.by;
            peer.witnesses = verdict.witnesses;
        }
        let live = peer.is_live();
        self.roster.insert(peer);
        if live {
            self.turnout(id, true);
        }
        self.changed(id);
        if tell && live {
            let record = News::Record {
                head,
                body: body.clone(),
            };
            let now = self.now();
            (self.outbox).push((id, Topic::Record), record, Some(from), false, now);
        }
    }

    /// A record that was asked for.
    pub(super) fn on_parcel(&mut self, from: NodeId, parcel: Parcel) {
        let Parcel { head, body, claim } = parcel;
        let Some(id) = self.id_of(&head) else { return };
        match (self.roster.get(id), body) {
            (Some(_), body) => self.on_head(from, head, |machine, _, head| {
                body.and_then(|body| machine.card(head, &body).ok())
            }),
            // It came by itself, from itself: it is new here.
            (None, Some(body)) => self.on_stranger(from, head, &body, claim, id == from),
            (None, None) => {}
        }
    }

    fn on_death(&mut self, from: NodeId, subject: NodeId, incarnation: u64, verdict: Verdict) {
        if subject == self.me {
            self.refute_if_current(incarnation);
            return;
        }
        let Some(peer) = self.roster.get(subject) else {
            return;
        };
        let (known, standing) = (peer.head.incarnation, peer.standing);
        if incarnation > known {
            self.want(subject, from);
        }
        if incarnation != known || standing == Standing::Left {
            return;
        }
        if standing == Standing::Dead {
            self.outbox.known_to((subject, Topic::Death), from);
            return;
        }
        let death = News::Dead {
            subject,
            incarnation,
            by: verdict.by,
            witnesses: verdict.witnesses,
        };
        if self.hears(subject) {
            // This node knows better; let the member say so.
            self.send(subject, Datagram::News(vec![death]));
            self.accuse(None, subject, incarnation, Some(verdict));
            return;
        }
        self.bury(subject, verdict);
        let now = self.now();
        (self.outbox).push((subject, Topic::Death), death, Some(from), false, now);
    }

    /// Somebody believes a member dead that this node believes alive: the member is
    /// told, through all, and has some time to refute.
    pub(super) fn accuse(
        &mut self,
        from: Option<NodeId>,
        subject: NodeId,
        incarnation: u64,
        verdict: Option<Verdict>,
    ) {
        if subject == self.me {
            self.refute_if_current(incarnation);
            return;
        }
        let lives = (self.roster.get(subject))
            .is_some_and(|peer| peer.is_live() && peer.head.incarnation == incarnation);
        if !lives {
            return;
        }
        if let Some(known) = self.accused.get_mut(&subject)
            && known.incarnation == incarnation
        {
            known.verdict = known.verdict.or(verdict);
            return;
        }
        if self.accused.len() >= MAX_ACCUSED {
            return;
        }
        let now = self.now();
        let accusation = Accusation {
            incarnation,
            until: now + TO_REFUTE,
            verdict,
        };
        self.accused.insert(subject, accusation);
        let news = News::Accused {
            subject,
            incarnation,
        };
        (self.outbox).push((subject, Topic::Accusation), news, from, false, now);
    }

    /// Who has not refuted in time is dead, unless this node hears it.
    pub(super) fn judge_accused(&mut self) {
        let now = self.now();
        let accused = std::mem::take(&mut self.accused);
        let (judged, accused) = accused.into_iter().partition(|(_, a)| a.until <= now);
        self.accused = accused;
        for (id, accusation) in BTreeMap::into_iter(judged) {
            let Some(verdict) = accusation.verdict else {
                continue;
            };
            let lives = (self.roster.get(id)).is_some_and(|peer| {
                peer.is_live() && peer.head.incarnation == accusation.incarnation
            });
            if lives && !self.hears(id) {
                self.bury(id, verdict);
            }
        }
    }

    fn bury(&mut self, id: NodeId, verdict: Verdict) {
        self.update(id, |peer| {
            peer.standing = Standing::Dead;
            peer.by = verdict.by;
            peer.witnesses = verdict.witnesses;
        });
    }

    fn refute_if_current(&mut self, incarnation: u64) {
        // No one can have seen a later one: this node has signed none.
        if incarnation == self.own.head.incarnation {
            self.refute(incarnation);
        }
    }

    fn apply(&self, peer: &Peer, head: &Head, delta: &Delta) -> Option<Card> {
        if !delta.applies_to(&peer.card.digest) {
            return None;
        }
        let body = peer.card.body.with(delta);
        let fits = body.facts.is_bounded() && body.digest(&*self.keys) == head.digest;
        fits.then(|| Card {
            body: Arc::new(body),
            digest: head.digest,
            expires_ms: peer.card.expires_ms,
        })
    }

    /// The body, if it is what the head speaks of and a member's.
    fn card(&self, head: &Head, body: &Arc<Body>) -> Result<Card, Refused> {
        if body.digest(&*self.keys) != head.digest {
            return Err(Refused::Digest);
        }
        let author = self.keys.admit(&body.certificate, self.wall_ms())?;
        if author.public_key != head.public_key || author.id != self.keys.node_of(&head.public_key)
        {
            return Err(Refused::Signature);
        }
        if !body.facts.is_bounded() || body.facts.role != author.role {
            return Err(Refused::Facts);
        }
        Ok(Card {
            body: body.clone(),
            digest: head.digest,
            expires_ms: author.expires_ms,
        })
    }

    fn timely(&self, head: &Head) -> Result<(), Refused> {
        match head.incarnation > self.wall_ms().saturating_add(FUTURE_MS) {
            true => Err(Refused::Future),
            false => Ok(()),
        }
    }

    fn check(&self, head: &Head) -> Result<(), Refused> {
        self.timely(head)?;
        match head.verifies(&*self.keys) {
            true => Ok(()),
            false => Err(Refused::Signature),
        }
    }

    /// The roster is full: whoever is gone for the longest is forgotten.
    fn make_room(&mut self) -> bool {
        let gone = (self.roster.iter())
            .filter(|peer| matches!(peer.standing, Standing::Dead | Standing::Left))
            .min_by_key(|peer| peer.since_ms)
            .map(|peer| peer.id);
        if let Some(id) = gone {
            self.forget(id);
        }
        gone.is_some()
    }
}
