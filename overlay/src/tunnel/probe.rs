//! Asking peers for echoes: how long the way there and back takes now, and what is
//! lost of it.
//!
//! A probe is a datagram of a kind of its own; whoever gets one sends it back with
//! another kind. Half of them are as small as can be and half as large as a
//! container's largest packet, because a path may well carry the one and not the
//! other. Nothing is sent unless somebody asks for a [`Round`], and a peer is
//! answered only so often ([`Answers`]).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use certs::NodeId;
use serde::{Deserialize, Serialize};

const ASK: u8 = 0x20;
const ECHO: u8 = 0x21;
/// The kind and the number; what follows only fills.
const HEADER: usize = 9;
/// Bytes of a small probe.
const SMALL: usize = 64;

/// Of each size, to each peer.
const PROBES: usize = 10;
const EVERY: Duration = Duration::from_millis(50);
/// For the last answers.
const PATIENCE: Duration = Duration::from_secs(1);
/// Peers that one round asks; it bounds what a round costs to 2 MB.
const MAX_PEERS: usize = 64;

/// Echoes a second that a peer gets, and at once: enough for two rounds of it.
const ANSWERS_PER_SECOND: u32 = 100;
const ANSWERS_AT_ONCE: u32 = 40;

/// What a datagram of these kinds is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    Ask,
    Echo { number: u64 },
}

impl Probe {
    /// `None`: it is a packet, or nothing that this release knows.
    pub fn of(datagram: &[u8]) -> Option<Self> {
        let (header, _) = datagram.split_first_chunk::<HEADER>()?;
        let [kind, number @ ..] = *header;
        match kind {
            ASK => Some(Self::Ask),
            ECHO => Some(Self::Echo {
                number: u64::from_be_bytes(number),
            }),
            _ => None,
        }
    }
}

/// A probe of `len` bytes, or of as many as it needs.
fn ask(number: u64, len: usize) -> Bytes {
    let mut datagram = BytesMut::zeroed(len.max(HEADER));
    let mut header = &mut datagram[..HEADER];
    header.put_u8(ASK);
    header.put_u64(number);
    datagram.freeze()
}

/// What is sent back.
pub fn echo(asked: &[u8]) -> Bytes {
    let mut datagram = BytesMut::from(asked);
    if let Some(kind) = datagram.first_mut() {
        *kind = ECHO;
    }
    datagram.freeze()
}

/// How often one peer is answered.
#[derive(Debug, Default)]
pub struct Answers {
    /// That were given and are not forgotten yet.
    given: u32,
    /// Up to when they are forgotten.
    at: Duration,
}

impl Answers {
    /// Whether one more is given at `now`, of which this takes note.
    pub fn allow(&mut self, now: Duration) -> bool {
        let each = Duration::from_secs(1) / ANSWERS_PER_SECOND;
        let passed = now.saturating_sub(self.at).as_nanos() / each.as_nanos();
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        self.given = self.given.saturating_sub(passed);
        self.at = match self.given {
            0 => now,
            _ => self.at + each * passed,
        };
        let allowed = self.given < ANSWERS_AT_ONCE;
        self.given += u32::from(allowed);
        allowed
    }
}

/// What became of the probes of one size to one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Echoes {
    pub sent: u32,
    pub answered: u32,
    /// Zero where none was answered.
    pub fastest: Duration,
    pub mean: Duration,
    pub slowest: Duration,
}

impl Echoes {
    fn of(sent: impl Iterator<Item = Option<Duration>>) -> Self {
        let mut echoes = Self::default();
        let mut sum = Duration::ZERO;
        for took in sent {
            echoes.sent += 1;
            let Some(took) = took else {
                continue;
            };
            echoes.fastest = match echoes.answered {
                0 => took,
                _ => echoes.fastest.min(took),
            };
            echoes.slowest = echoes.slowest.max(took);
            echoes.answered += 1;
            sum += took;
        }
        echoes.mean = sum / echoes.answered.max(1);
        echoes
    }
}

/// Of one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Probed {
    pub small: Echoes,
    /// As large as a datagram to the peer may be.
    pub large: Echoes,
}

/// One round of probes to some peers. All times are since the tunnel began.
#[derive(Debug)]
pub struct Round {
    peers: BTreeMap<NodeId, Vec<Sent>>,
    began: Duration,
    /// Pairs of probes that each peer was sent.
    sent: usize,
}

#[derive(Debug)]
struct Sent {
    number: u64,
    at: Duration,
    took: Option<Duration>,
    is_large: bool,
}

impl Round {
    /// Asks the first of `peers`, beginning now.
    pub fn new(peers: impl IntoIterator<Item = NodeId>, now: Duration) -> Self {
        let peers = peers.into_iter().take(MAX_PEERS);
        Self {
            peers: peers.map(|peer| (peer, Vec::new())).collect(),
            began: now,
            sent: 0,
        }
    }

    /// When [`Self::due`] or [`Self::is_over`] says something new at the latest.
    pub fn next(&self) -> Duration {
        let sent = u32::try_from(self.sent).unwrap_or(u32::MAX);
        match self.sent < PROBES {
            true => self.began + EVERY.saturating_mul(sent),
            false => self.last_sent() + PATIENCE,
        }
    }

    fn last_sent(&self) -> Duration {
        let sent = self.peers.values().filter_map(|sent| sent.last());
        sent.map(|sent| sent.at).max().unwrap_or(self.began)
    }

    /// The peers to be sent a pair of probes at `now`, by [`Self::pair`].
    pub fn due(&mut self, now: Duration) -> Vec<NodeId> {
        if self.sent >= PROBES || now < self.next() {
            return Vec::new();
        }
        self.sent += 1;
        self.peers.keys().copied().collect()
    }

    /// A small and a large probe for a peer that takes datagrams of up to
    /// `fitting` bytes. `number`: of the last probe ever sent, counted on.
    pub fn pair(
        &mut self,
        peer: NodeId,
        fitting: usize,
        number: &mut u64,
        now: Duration,
    ) -> Option<[Bytes; 2]> {
        let sent = self.peers.get_mut(&peer)?;
        Some([SMALL.min(fitting), fitting].map(|len| {
            *number += 1;
            sent.push(Sent {
                number: *number,
                at: now,
                took: None,
                is_large: len == fitting,
            });
            ask(*number, len)
        }))
    }

    /// An echo has come. Only the first of each counts.
    pub fn heard(&mut self, peer: NodeId, number: u64, now: Duration) {
        let sent = self.peers.get_mut(&peer).into_iter().flatten();
        let asked = { sent }.find(|sent| sent.number == number && sent.took.is_none());
        if let Some(asked) = asked {
            asked.took = Some(now.saturating_sub(asked.at));
        }
    }

    /// Whether all answers have come, or the rest will not.
    pub fn is_over(&self, now: Duration) -> bool {
        let all = || {
            self.peers
                .values()
                .flatten()
                .all(|sent| sent.took.is_some())
        };
        self.sent >= PROBES && (all() || now >= self.next())
    }

    /// `None`: the peer was not asked.
    pub fn of(&self, peer: NodeId) -> Option<Probed> {
        let sent = self.peers.get(&peer).filter(|sent| !sent.is_empty())?;
        let of = |large| {
            let of_size = sent.iter().filter(move |sent| sent.is_large == large);
            Echoes::of(of_size.map(|sent| sent.took))
        };
        Some(Probed {
            small: of(false),
            large: of(true),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn peer() -> NodeId {
        NodeId::from(7)
    }

    /// Runs a round to one peer whose echoes take `answer` of the number.
    fn run(fitting: usize, answer: impl Fn(u64) -> Option<Duration>) -> (Round, Duration) {
        let mut round = Round::new([peer()], Duration::ZERO);
        let mut number = 0;
        let mut under_way = BTreeMap::new();
        let mut now = Duration::ZERO;
        while !round.is_over(now) {
            for peer in round.due(now) {
                let pair = round.pair(peer, fitting, &mut number, now).unwrap();
                for asked in pair {
                    assert_eq!(Probe::of(&asked), Some(Probe::Ask));
                    let Some(Probe::Echo { number }) = Probe::of(&echo(&asked)) else {
                        panic!("an echo is not one");
                    };
                    if let Some(took) = answer(number) {
                        under_way.insert((now + took, number), ());
                    }
                }
            }
            let arrival = under_way.keys().next().map(|(at, _)| *at);
            now = arrival.map_or(round.next(), |at| at.min(round.next()));
            while let Some(((at, number), ())) = under_way.pop_first() {
                if at > now {
                    under_way.insert((at, number), ());
                    break;
                }
                round.heard(peer(), number, now);
            }
        }
        (round, now)
    }

    #[test]
    fn a_round_ends_with_the_last_answer() {
        let (round, ended) = run(1_400, |number| Some(MS * (1 + number as u32 % 2)));
        let probed = round.of(peer()).unwrap();
        assert_eq!(probed.small.sent, 10);
        assert_eq!(probed.small.mean, 2 * MS);
        assert_eq!((probed.large.answered, probed.large.slowest), (10, MS));
        assert_eq!(ended, 452 * MS);
    }

    #[test]
    fn what_is_lost_is_waited_for_a_second() {
        let (round, ended) = run(1_400, |number| (number % 2 == 1).then_some(MS));
        let probed = round.of(peer()).unwrap();
        assert_eq!((probed.small.answered, probed.large.answered), (10, 0));
        assert_eq!(probed.large.mean, Duration::ZERO);
        assert_eq!(ended, 1_450 * MS);
    }

    #[test]
    fn an_answer_counts_once_and_only_from_who_was_asked() {
        let mut round = Round::new([peer()], Duration::ZERO);
        let mut number = 41;
        assert_eq!(round.due(Duration::ZERO), [peer()]);
        round.pair(peer(), 1_000, &mut number, Duration::ZERO);
        assert_eq!(number, 43);
        round.heard(NodeId::from(8), 42, MS);
        assert_eq!(round.of(peer()).unwrap().small.answered, 0);
        round.heard(peer(), 42, MS);
        round.heard(peer(), 42, 9 * MS);
        round.heard(peer(), 44, MS);
        let probed = round.of(peer()).unwrap();
        assert_eq!((probed.small.answered, probed.small.slowest), (1, MS));
        assert_eq!(probed.large.answered, 0);
    }

    #[test]
    fn a_round_to_nobody_is_over_when_its_time_is() {
        let mut round = Round::new([], Duration::ZERO);
        for step in 0..10 {
            assert!(!round.is_over(EVERY * step));
            assert!(round.due(EVERY * step).is_empty());
        }
        assert!(round.is_over(EVERY * 9));
    }

    #[test]
    fn a_peer_that_asks_without_end_is_answered_at_a_limited_rate() {
        let mut answers = Answers::default();
        let asked = 0..10_000u32;
        let given = asked.filter(|asked| answers.allow(MS * *asked)).count();
        // Ten seconds of it, and what is given at once.
        assert!((1_000..=1_040).contains(&given), "{given}");
        assert!(answers.allow(Duration::from_secs(60)));
    }

    #[test]
    fn packets_are_no_probes() {
        for datagram in [&[][..], &[ASK], &[0x10; 60], &[0x22; 60]] {
            assert_eq!(Probe::of(datagram), None);
        }
    }
}
