//! The core: a state machine that is handed what was heard and what time it is,
//! and says what to send. It has no sockets, no clock and no tasks, so what the
//! simulator runs by the ten thousand is what runs on a device.

mod keys;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use certs::NodeId;

use crate::facts::Facts;
use crate::view::{Member, Moment};
use crate::wire;

pub use keys::{Author, Keys, Refused};

/// Of one exchange. Outgoing ones are numbered by the machine, incoming ones by
/// whoever hands them over; the two never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// How quick to believe what. The defaults find a dead device within 1.5 s.
#[derive(Debug, Clone)]
pub struct Config {
    /// Between two beats to those who watch this node.
    pub beat: Duration,
    /// Without a beat for so long, a watcher doubts. At least three beats less
    /// some jitter, or one lost packet is a doubt.
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

/// One node's part in the gossip.
pub struct Machine {
    config: Config,
    keys: Box<dyn Keys>,
    me: NodeId,
    facts: Facts,
    incarnation: u64,
    next_beat: Moment,
    effects: VecDeque<Effect>,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("me", &self.me)
            .finish_non_exhaustive()
    }
}

impl Machine {
    /// `incarnation`: Unix milliseconds at the start of the process. `seed`: of
    /// everything random.
    pub fn new(
        config: Config,
        keys: Box<dyn Keys>,
        facts: Facts,
        incarnation: u64,
        seed: u64,
        now: Moment,
    ) -> Self {
        let _ = seed;
        let me = keys.node_of(&keys.public_key());
        Self {
            config,
            keys,
            me,
            facts,
            incarnation,
            next_beat: now,
            effects: VecDeque::new(),
        }
    }

    /// Takes an event in. Never panics, whatever a peer has sent; then
    /// [`Self::poll_effect`] has what is to be done.
    pub fn handle(&mut self, event: Event, now: Moment) {
        match event {
            Event::Tick { .. } => self.next_beat = now + self.config.beat,
            Event::Facts(facts) => self.facts = facts,
            _ => {}
        }
    }

    /// To be drained after each [`Self::handle`].
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When the next [`Event::Tick`] is due; it may be earlier after any event.
    pub fn next_wakeup(&self) -> Moment {
        self.next_beat
    }

    /// This node.
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// All members that this node knows, itself included, by id.
    pub fn members(&self) -> impl Iterator<Item = Member> {
        let _ = (&self.facts, self.incarnation, &self.keys);
        std::iter::empty()
    }

    pub fn member(&self, id: NodeId) -> Option<Member> {
        let _ = id;
        None
    }

    /// Where to dial a member, the most likely first; empty if nobody said.
    pub fn addrs(&self, id: NodeId) -> Vec<SocketAddr> {
        let _ = id;
        Vec::new()
    }
}
