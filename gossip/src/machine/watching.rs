//! Beats out, beats in, and what becomes of a member that is not heard.

use std::time::Duration;

use certs::NodeId;

use super::flood::Topic;
use super::rings::{self, EVERYONE};
use super::{MAX_LAST_WORDS, Machine, Peer, Standing, Verdict, Watch};
use crate::wire::{self, Datagram, News, Opinion};

/// How long a watcher gets beats without asking again.
const LEASE: Duration = Duration::from_secs(10);
/// More is not given, whatever is asked for.
const MAX_LEASE: Duration = Duration::from_secs(30);
/// Who gets beats, at most.
const MAX_SUBSCRIBERS: usize = 64;
/// Beats in a row with another root before it is looked into; what is merely on its
/// way has arrived by then.
const DIFFERS: u8 = 3;
/// Between two looks around of a node that knows nobody.
const ALONE: Duration = Duration::from_secs(10);
/// How far a beat may be moved to fall together with those of others.
const LEAN: Duration = Duration::from_millis(50);
/// For the one that is waited for to be late.
const LAG: Duration = Duration::from_millis(20);
/// How long others may say that a member lives which was presumed dead.
const SHAKEN: Duration = Duration::from_secs(10);
/// A member that was heard so lately is not dead, whoever says so.
pub(super) const LATELY: Duration = Duration::from_millis(500);

impl Machine {
    pub(super) fn on_datagram(&mut self, from: NodeId, message: Datagram) {
        self.heard(from);
        match message {
            Datagram::Watch { lease_ms } => {
                self.enlighten(from);
                self.subscribe(from, Duration::from_millis(lease_ms.into()));
            }
            Datagram::Beat {
                incarnation,
                living,
                root,
            } => self.on_beat(from, incarnation, living, root),
            Datagram::Doubt {
                subject,
                incarnation,
            } => self.on_doubt(from, subject, incarnation),
            Datagram::Opinion {
                subject,
                incarnation,
                opinion,
            } => self.on_opinion(from, subject, incarnation, opinion),
            Datagram::News(news) => {
                for item in news.into_iter().take(wire::MAX_NEWS) {
                    self.on_news(from, item);
                }
            }
        }
    }

    /// Every `beat`: speak to those who watch, ask those who are watched.
    pub(super) fn beat(&mut self) {
        let now = self.now();
        self.last_beat = now;
        self.next_beat += self.config.beat;
        if self.next_beat <= now {
            self.next_beat = now + self.config.beat;
        }
        if self.roster.len() == 1 && self.hints.is_empty() {
            self.next_beat = now + ALONE;
        }
        self.subscribers.retain(|(_, until)| *until > now);
        let beat = self.own_beat();
        for index in 0..self.subscribers.len() {
            let (to, _) = self.subscribers[index];
            self.send(to, beat.clone());
        }
        self.ask_for_beats();
        self.ask_watchers();
        self.publish_waiting();
        self.stop_shaking();
        self.judge_accused();
        self.keep_up();
        self.sweep();
    }

    /// Any word from a member directly.
    pub(super) fn heard(&mut self, from: NodeId) {
        let run = self.clock.run();
        let watch = self.watches.iter_mut().find(|watch| watch.subject == from);
        if watch.is_some_and(|watch| watch.hear(run)) {
            self.changed(from);
        }
        match self.roster.get(from).map(|peer| peer.standing) {
            None => self.greet(from),
            Some(Standing::Presumed | Standing::Shaken) => self.reunite(from),
            Some(_) => {}
        }
    }

    /// A member that was presumed dead is not. So the others need not be either;
    /// it knows more, being from the other side.
    fn reunite(&mut self, with: NodeId) {
        self.update(with, |peer| peer.standing = Standing::Alive);
        self.restand(Standing::Presumed, Standing::Shaken);
        self.shaken_until = Some(self.now() + SHAKEN);
        self.greet(with);
    }

    /// Nobody knew better.
    fn stop_shaking(&mut self) {
        if self.shaken_until.is_some_and(|until| self.now() >= until) {
            self.shaken_until = None;
            self.restand(Standing::Shaken, Standing::Presumed);
        }
    }

    fn restand(&mut self, from: Standing, to: Standing) {
        let of_it = self.roster.iter().filter(|peer| peer.standing == from);
        for id in of_it.map(|peer| peer.id).collect::<Vec<_>>() {
            self.update(id, |peer| peer.standing = to);
        }
    }

    /// A member that is believed dead speaks; it may not know that it must refute.
    fn enlighten(&mut self, from: NodeId) {
        let Some(peer) = self.roster.get(from) else {
            return;
        };
        if peer.standing == Standing::Dead {
            let death = News::Dead {
                subject: from,
                incarnation: peer.head.incarnation,
                by: peer.by,
                witnesses: peer.witnesses,
            };
            self.send(from, Datagram::News(vec![death]));
        }
    }

    fn own_beat(&self) -> Datagram {
        Datagram::Beat {
            incarnation: self.own.head.incarnation,
            living: self.roster.living() as u32,
            root: self.roster.root() as u32,
        }
    }

    fn subscribe(&mut self, from: NodeId, lease: Duration) {
        let now = self.now();
        let until = now + lease.min(MAX_LEASE);
        if let Some(known) = self.subscribers.iter_mut().find(|(id, _)| *id == from) {
            known.1 = until;
            return;
        }
        self.subscribers.retain(|(_, until)| *until > now);
        if !lease.is_zero() && self.subscribers.len() < MAX_SUBSCRIBERS {
            self.subscribers.push((from, until));
            let beat = self.own_beat();
            self.send(from, beat);
        }
    }

    /// Beats with the smallest of those that it watches, as nearly as that goes
    /// without a pause that is much longer or shorter. So the beats of a small
    /// swarm fall together, and a device that has nothing to do wakes up for all
    /// of them at once: idle devices should be idle.
    fn keep_time(&mut self, with: NodeId) {
        let smallest = self.watches.iter().map(|watch| watch.subject).min();
        if smallest != Some(with) || with > self.me {
            return;
        }
        let (now, beat) = (self.now(), self.config.beat);
        let since = now.saturating_sub(self.last_beat);
        if since + LEAN >= beat {
            self.next_beat = now;
        } else if since <= LEAN {
            self.next_beat = now + beat + LAG;
        } else {
            self.next_beat = self.next_beat.min(self.last_beat + beat - LEAN);
        }
    }

    fn on_beat(&mut self, from: NodeId, incarnation: u64, living: u32, root: u32) {
        self.keep_time(from);
        self.enlighten(from);
        let same_living = living == self.roster.living() as u32;
        let same = root == self.roster.root() as u32;
        let newer = (self.roster.get(from)).is_some_and(|peer| peer.head.incarnation < incarnation);
        let Some(watch) = self.watches.iter_mut().find(|watch| watch.subject == from) else {
            return;
        };
        let count = |differs: u8, same| match same {
            true => 0,
            false => differs.saturating_add(1),
        };
        watch.differs_in_living = count(watch.differs_in_living, same_living);
        watch.differs = count(watch.differs, same);
        let pressing = watch.differs_in_living >= DIFFERS || newer;
        if (pressing || watch.differs >= DIFFERS)
            && self.compare(from, pressing)
            && let Some(watch) = self.watches.iter_mut().find(|watch| watch.subject == from)
        {
            (watch.differs_in_living, watch.differs) = (0, 0);
        }
    }

    fn on_doubt(&mut self, from: NodeId, subject: NodeId, incarnation: u64) {
        if subject == self.me {
            if incarnation > self.own.head.incarnation {
                // Of an earlier life; the head itself shows whether it is true.
                self.want(subject, from);
            }
            self.enlighten(from);
            self.subscribe(from, LEASE);
            let beat = self.own_beat();
            self.send(from, beat);
            return;
        }
        let (run, limit) = (self.clock.run(), self.limit());
        let mut opinion = Opinion::Unwatched;
        if let Some(watch) = self
            .watches
            .iter_mut()
            .find(|watch| watch.subject == subject)
        {
            watch.vote(from, Opinion::Silent, run, limit);
            opinion = watch.opinion(run, limit);
        }
        if let Some(peer) = self.roster.get(subject) {
            match peer.standing {
                Standing::Presumed => opinion = Opinion::Silent,
                Standing::Dead if peer.head.incarnation >= incarnation => {
                    let death = News::Dead {
                        subject,
                        incarnation: peer.head.incarnation,
                        by: peer.by,
                        witnesses: peer.witnesses,
                    };
                    self.send(from, Datagram::News(vec![death]));
                    return;
                }
                _ => {}
            }
        }
        let answer = Datagram::Opinion {
            subject,
            incarnation,
            opinion,
        };
        self.send(from, answer);
    }

    fn on_opinion(&mut self, from: NodeId, subject: NodeId, incarnation: u64, opinion: Opinion) {
        let known = self.roster.get(subject).map(|peer| peer.head.incarnation);
        let (run, limit) = (self.clock.run(), self.limit());
        if known != Some(incarnation) {
            return;
        }
        if let Some(watch) = self
            .watches
            .iter_mut()
            .find(|watch| watch.subject == subject)
        {
            watch.vote(from, opinion, run, limit);
        }
    }

    /// The silence after which this node, being as it is, doubts.
    pub(super) fn limit(&self) -> Duration {
        self.clock.stretched(self.config.silence)
    }

    /// Whether this node heard a member itself, lately.
    pub(super) fn hears(&self, id: NodeId) -> bool {
        let run = self.clock.run();
        let mut watches = self.watches.iter();
        watches.any(|watch| watch.subject == id && watch.heard_within(run, LATELY).is_some())
    }

    /// Looks at every watched member, and draws the consequences.
    pub(super) fn weigh(&mut self) {
        let (run, now) = (self.clock.run(), self.now());
        let (limit, silence) = (self.limit(), self.config.silence);
        for index in 0..self.watches.len() {
            let watch = &self.watches[index];
            let subject = watch.subject;
            if watch.doubt.is_none() && run >= watch.deadline(limit) {
                self.doubt(index);
            }
            let watch = &self.watches[index];
            let Some(doubt) = &watch.doubt else { continue };
            let shown = doubt.shown;
            let verdict = watch.verdict(run, silence, |other| self.hears(other));
            if verdict == shown {
                continue;
            }
            let watch = &mut self.watches[index];
            if matches!(shown, Verdict::Vouched { .. }) {
                watch.vouched(run);
            }
            if let Some(doubt) = &mut watch.doubt {
                doubt.shown = verdict;
                doubt.at = now;
            }
            match verdict {
                Verdict::Dead { witnesses } => self.declare_dead(subject, witnesses),
                Verdict::Presumed => {
                    self.update(subject, |peer| peer.standing = Standing::Presumed);
                }
                Verdict::Vouched { .. } => {
                    self.update(subject, |peer| peer.standing = Standing::Alive);
                }
                Verdict::Fine | Verdict::Open => self.changed(subject),
            }
        }
    }

    /// Asks the member itself and all who watch it.
    fn doubt(&mut self, index: usize) {
        let subject = self.watches[index].subject;
        let live = self.roster.live_count();
        let mut watchers = rings::watchers_of(subject, self.roster.live(), live);
        watchers.retain(|watcher| *watcher != self.me);
        let (run, now) = (self.clock.run(), self.now());
        self.watches[index].begin_doubt(run, now, watchers);
        self.changed(subject);
        self.ask(index);
    }

    fn ask(&mut self, index: usize) {
        let watch = &self.watches[index];
        let subject = watch.subject;
        let Some(peer) = self.roster.get(subject) else {
            return;
        };
        let doubt = Datagram::Doubt {
            subject,
            incarnation: peer.head.incarnation,
        };
        let asked = watch.unanswered(self.clock.run());
        for to in asked.into_iter().chain([subject]) {
            self.send(to, doubt.clone());
        }
    }

    /// Again, of all who are doubted; by those who watch them by now.
    fn ask_watchers(&mut self) {
        for index in 0..self.watches.len() {
            let subject = self.watches[index].subject;
            if self.watches[index].doubt.is_none() {
                continue;
            }
            let live = self.roster.live_count();
            let mut watchers = rings::watchers_of(subject, self.roster.live(), live);
            watchers.retain(|watcher| *watcher != self.me);
            if let Some(doubt) = &mut self.watches[index].doubt {
                doubt.watchers = watchers;
            }
            self.ask(index);
        }
    }

    fn ask_for_beats(&mut self) {
        let run = self.clock.run();
        for index in 0..self.watches.len() {
            let watch = &mut self.watches[index];
            let subject = watch.subject;
            if watch.doubt.is_none() && watch.lease_due(run) {
                let lease_ms = LEASE.as_millis() as u32;
                self.send(subject, Datagram::Watch { lease_ms });
            }
        }
    }

    /// Live members came or went: watch those who are next on the rings now.
    pub(super) fn rewatch(&mut self) {
        let wanted: Vec<NodeId> = if self.roster.live_count() <= EVERYONE {
            let live = self.roster.live();
            live.filter(|id| *id != self.me).collect()
        } else {
            self.rings.successors().collect()
        };
        let dropped: Vec<Watch> = (self.watches)
            .extract_if(.., |watch| !wanted.contains(&watch.subject))
            .collect();
        for watch in dropped {
            if let Some(heard) = watch.last_heard() {
                self.last_words.insert(watch.subject, self.clock.was(heard));
            }
            if self.roster.get(watch.subject).is_some_and(Peer::is_live) {
                self.send(watch.subject, Datagram::Watch { lease_ms: 0 });
            }
        }
        while self.last_words.len() > MAX_LAST_WORDS {
            self.last_words.pop_first();
        }
        let (run, silence) = (self.clock.run(), self.config.silence);
        for subject in wanted {
            if !self.watches.iter().any(|watch| watch.subject == subject) {
                self.watches
                    .push(Watch::new(self.me, subject, run, silence));
                self.last_words.remove(&subject);
            }
        }
        self.ask_for_beats();
        self.next_beat = self.next_beat.min(self.now() + self.config.beat);
    }

    fn declare_dead(&mut self, subject: NodeId, witnesses: u8) {
        let by = self.me;
        self.update(subject, |peer| {
            peer.standing = Standing::Dead;
            peer.by = by;
            peer.witnesses = witnesses;
        });
        if let Some(peer) = self.roster.get(subject) {
            let death = News::Dead {
                subject,
                incarnation: peer.head.incarnation,
                by,
                witnesses,
            };
            let now = self.now();
            (self.outbox).push((subject, Topic::Death), death, None, false, now);
        }
    }
}
