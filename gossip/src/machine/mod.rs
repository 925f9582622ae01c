//! The core: a state machine that is handed what was heard and what time it is,
//! and says what to send. It has no sockets, no clock and no tasks, so what the
//! simulator runs by the ten thousand is what runs on a device.
//!
//! - `watching`: beats, leases, doubts: is a member that this node watches alive?
//! - `learning`: news come in, change what is believed, and are passed on.
//! - `exchange`: two members compare what they believe and fetch what they lack.
//! - `own`: this node's own record: facts, refutations, leaving.
//!
//! Below them, each by itself: `clock`, `rings`, `watch`, `flood`, `roster`.

mod clock;
mod exchange;
mod flood;
mod keys;
mod learning;
mod own;
mod rings;
mod rng;
mod roster;
#[cfg(test)]
pub(crate) mod tests;
mod watch;
mod watching;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use certs::NodeId;

use crate::facts::Facts;
use crate::view::{Liveness, Member, Moment, Through};
use crate::wire;

use clock::Clock;
use exchange::Exchanges;
use flood::Outbox;
use learning::Accusation;
use own::Own;
use rings::Rings;
use rng::Rng;
use roster::{Peer, Roster, Standing};
use watch::{Verdict, Watch};

pub use keys::{Author, Keys, Refused};
pub use own::Known;
pub use roster::MAX_MEMBERS;

/// Of one exchange. Outgoing ones are numbered by the machine, incoming ones by
/// whoever hands them over; the two never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// How quick to believe what. The defaults find a dead device within 1.5 s.
#[derive(Debug, Clone)]
pub struct Config {
    /// Between two beats to those who watch this node.
    pub beat: Duration,
    /// Without a beat for so long, a watcher doubts. Less than three beats make
    /// a doubt of every lost packet.
    pub silence: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            beat: Duration::from_millis(250),
            silence: Duration::from_millis(700),
        }
    }
}

/// What happened. Every datagram that has been received goes in before the tick
/// that is due, or a late process takes its own pause for others' silence.
#[derive(Debug, Clone)]
pub enum Event {
    /// The time that [`Machine::next_wakeup`] asked for has come. `wall_ms`:
    /// Unix milliseconds.
    Tick {
        wall_ms: u64,
    },
    Datagram {
        from: NodeId,
        message: wire::Datagram,
    },
    /// To be answered with [`Effect::Respond`] of the same id.
    Request {
        from: NodeId,
        id: RequestId,
        message: wire::Request,
    },
    Response {
        from: NodeId,
        id: RequestId,
        message: wire::Response,
    },
    RequestFailed {
        to: NodeId,
        id: RequestId,
    },
    /// What this node says of itself from now on.
    Facts(Facts),
    /// This node's certificate was renewed: [`Keys::certificate`] is another.
    CertificateChanged,
    /// A member may be found there.
    Hint {
        id: NodeId,
        addrs: Vec<SocketAddr>,
    },
    /// All nodes that were ever removed from the swarm.
    Revoked(BTreeSet<NodeId>),
    /// This node goes; say so.
    Leave,
}

/// What to do. Whoever performs it dials [`Machine::addrs`] where there is no
/// connection.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Datagram {
        to: NodeId,
        message: wire::Datagram,
    },
    Request {
        to: NodeId,
        id: RequestId,
        message: wire::Request,
    },
    /// The answer to [`Event::Request`].
    Respond {
        to: NodeId,
        id: RequestId,
        message: wire::Response,
    },
    /// Close what connections there are: it is no member any more.
    Disconnect(NodeId),
    /// What [`Machine::member`] says of it has changed.
    Changed(NodeId),
}

/// Hints about where members are, at most.
const MAX_HINTS: usize = 256;
/// Members whose last word is remembered after they are not watched any more.
const MAX_LAST_WORDS: usize = 64;

/// A death changes whom this node watches, which may show another death; what
/// remains after so many rounds waits for the next event.
const MAX_ROUNDS: usize = 4;

/// One node's part in the gossip.
pub struct Machine {
    config: Config,
    keys: Box<dyn Keys>,
    me: NodeId,
    own: Own,
    clock: Clock,
    /// Unix milliseconds, and when that was.
    wall: (u64, Moment),
    rng: Rng,
    roster: Roster,
    rings: Rings,
    /// Live members came or went since `watches` was made.
    rings_changed: bool,
    watches: Vec<Watch>,
    /// Who gets beats, until when.
    subscribers: Vec<(NodeId, Moment)>,
    next_beat: Moment,
    last_beat: Moment,
    outbox: Outbox,
    accused: BTreeMap<NodeId, Accusation>,
    /// Until when some members are `Standing::Shaken`.
    shaken_until: Option<Moment>,
    exchanges: Exchanges,
    hints: BTreeMap<NodeId, Vec<SocketAddr>>,
    revoked: BTreeSet<NodeId>,
    last_words: BTreeMap<NodeId, Moment>,
    next_sweep: Moment,
    effects: VecDeque<Effect>,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (f.debug_struct("Machine").field("me", &self.me)).finish_non_exhaustive()
    }
}

impl Machine {
    /// `incarnation`: Unix milliseconds at the start of the process, which is also
    /// taken for the time of day until the first tick. `seed`: of everything random.
    pub fn new(
        config: Config,
        keys: Box<dyn Keys>,
        facts: Facts,
        incarnation: u64,
        seed: u64,
        now: Moment,
    ) -> Self {
        let mut rng = Rng::new(seed);
        let own = Own::new(&*keys, facts, incarnation, now);
        let me = keys.node_of(&own.head.public_key);
        let mut roster = Roster::new();
        roster.insert(own.peer(me, now));
        // Beats of members that start together are spread over the interval.
        let first = rng.below(config.beat.as_millis() as usize + 1) as u64;
        let next_beat = now + Duration::from_millis(first);
        Self {
            me,
            own,
            clock: Clock::new(now, next_beat),
            wall: (incarnation, now),
            roster,
            rings: Rings::default(),
            rings_changed: false,
            watches: Vec::new(),
            subscribers: Vec::new(),
            next_beat,
            last_beat: now,
            outbox: Outbox::default(),
            accused: BTreeMap::new(),
            shaken_until: None,
            exchanges: Exchanges::new(now),
            hints: BTreeMap::new(),
            revoked: BTreeSet::new(),
            last_words: BTreeMap::new(),
            next_sweep: now,
            effects: VecDeque::new(),
            config,
            keys,
            rng,
        }
    }

    /// Takes an event in. Never panics, whatever a peer has sent; then
    /// [`Self::poll_effect`] has what is to be done.
    pub fn handle(&mut self, event: Event, now: Moment) {
        self.clock.advance(now);
        match event {
            Event::Tick { wall_ms } => self.wall = (wall_ms, self.now()),
            Event::Datagram { from, message } => {
                if self.admits(from) {
                    self.on_datagram(from, message);
                }
            }
            Event::Request { from, id, message } => {
                if self.admits(from) {
                    self.on_request(from, id, message);
                }
            }
            Event::Response { from, id, message } => {
                if self.admits(from) {
                    self.on_response(from, id, message);
                }
            }
            Event::RequestFailed { to, id } => self.on_failure(to, id),
            Event::Facts(facts) => self.publish(facts),
            Event::CertificateChanged => self.republish(),
            Event::Hint { id, addrs } => self.on_hint(id, addrs),
            Event::Revoked(nodes) => self.revoke(nodes),
            Event::Leave => self.leave(),
        }
        if self.now() >= self.next_beat {
            self.beat();
        }
        self.settle();
    }

    /// To be drained after each [`Self::handle`].
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When the next [`Event::Tick`] is due; it may be earlier after any event.
    pub fn next_wakeup(&self) -> Moment {
        let silence = self.config.silence;
        let limit = self.clock.stretched(silence);
        let run = self.clock.run();
        let doubts = (self.watches.iter())
            .map(|watch| watch.next_change(run, limit, silence))
            .filter(|at| *at < Moment::MAX)
            .map(|at| self.clock.when(at));
        doubts
            .chain(self.outbox.due())
            .chain([self.next_beat])
            .min()
            .unwrap_or(self.next_beat)
    }

    /// This node.
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// A hash over all that is believed here; equal where beliefs are.
    pub fn root(&self) -> u64 {
        self.roster.root()
    }

    /// All members that this node knows, itself included, by id.
    pub fn members(&self) -> impl Iterator<Item = Member> {
        self.roster.iter().map(|peer| self.view(peer))
    }

    pub fn member(&self, id: NodeId) -> Option<Member> {
        self.roster.get(id).map(|peer| self.view(peer))
    }

    /// Where to dial a member, the most likely first; empty if nobody said.
    pub fn addrs(&self, id: NodeId) -> Vec<SocketAddr> {
        let mut addrs = self.hints.get(&id).cloned().unwrap_or_default();
        if let Some(peer) = self.roster.get(id) {
            for addr in &peer.facts().addrs {
                if !addrs.contains(addr) {
                    addrs.push(*addr);
                }
            }
        }
        addrs
    }

    fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Unix milliseconds.
    fn wall_ms(&self) -> u64 {
        let (wall, at) = self.wall;
        wall.saturating_add(self.now().saturating_sub(at).as_millis() as u64)
    }

    fn changed(&mut self, id: NodeId) {
        self.effects.push_back(Effect::Changed(id));
    }

    fn send(&mut self, to: NodeId, message: wire::Datagram) {
        self.effects.push_back(Effect::Datagram { to, message });
    }

    /// What follows from any event: whom to watch, whom to give up, whom to tell.
    fn settle(&mut self) {
        for _ in 0..MAX_ROUNDS {
            if std::mem::take(&mut self.rings_changed) {
                self.rewatch();
            }
            self.weigh();
            if !self.rings_changed {
                break;
            }
        }
        self.pull();
        if self.outbox.due().is_some_and(|due| self.now() >= due) {
            self.flush();
        }
        self.clock.expect(self.next_wakeup());
    }

    fn flush(&mut self) {
        let neighbours = self.neighbours();
        for (to, message) in self.outbox.flush(&neighbours, &mut self.rng) {
            self.send(to, message);
        }
    }

    /// Those this node watches and those who watch it.
    fn neighbours(&self) -> Vec<NodeId> {
        let watched = self.watches.iter().map(|watch| watch.subject);
        let watchers = self.subscribers.iter().map(|(id, _)| *id);
        let mut neighbours: Vec<NodeId> = watched.chain(watchers).collect();
        neighbours.sort_unstable();
        neighbours.dedup();
        neighbours
    }

    /// Changes what is believed of a member, and what follows from that.
    fn update(&mut self, id: NodeId, change: impl FnOnce(&mut Peer)) {
        let Some(before) = self.roster.get(id) else {
            return;
        };
        let (was_live, standing) = (before.is_live(), before.standing);
        let now_ms = self.now().as_millis() as u64;
        let mut is_live = was_live;
        self.roster.update(id, |peer| {
            change(peer);
            if peer.standing != standing {
                peer.since_ms = now_ms;
            }
            is_live = peer.is_live();
        });
        if was_live != is_live && id != self.me {
            self.turnout(id, is_live);
        }
        self.changed(id);
    }

    /// A member takes part from now on, or no longer does.
    fn turnout(&mut self, id: NodeId, takes_part: bool) {
        if takes_part {
            self.rings.insert(self.me, id);
        } else {
            self.rings.remove(self.me, id, self.roster.live());
        }
        self.rings_changed = true;
    }

    fn view(&self, peer: &Peer) -> Member {
        let watch = self.watches.iter().find(|watch| watch.subject == peer.id);
        let doubt = watch.and_then(|watch| watch.doubt.as_ref());
        let vouched = doubt.and_then(|doubt| match doubt.shown {
            Verdict::Vouched { by } => Some(by),
            _ => None,
        });
        let liveness = match peer.standing {
            Standing::Alive if doubt.is_some() && vouched.is_none() => Liveness::Suspect,
            Standing::Alive => Liveness::Alive,
            Standing::Left => Liveness::Left,
            Standing::Dead => Liveness::Dead {
                by: peer.by,
                witnesses: peer.witnesses,
            },
            Standing::Presumed | Standing::Shaken => Liveness::Dead {
                by: self.me,
                witnesses: 0,
            },
        };
        let through = if peer.id == self.me {
            Through::Me
        } else if let Some(by) = vouched {
            Through::Peer(by)
        } else if watch.is_some() && doubt.is_none() {
            Through::Direct
        } else {
            Through::Watchers
        };
        let heard = watch.and_then(Watch::last_heard);
        let heard = heard.map(|run| self.clock.was(run));
        Member {
            id: peer.id,
            liveness,
            incarnation: peer.head.incarnation,
            since: doubt.map_or(Moment::from_millis(peer.since_ms), |doubt| doubt.at),
            facts: Some(peer.facts().clone()),
            addr: peer.facts().addrs.first().copied(),
            round_trip: None,
            last_heard: heard.or_else(|| self.last_words.get(&peer.id).copied()),
            through,
        }
    }
}
