//! Probes, sent and answered over the connections.

use std::time::{Duration, Instant};

use bytes::Bytes;
use certs::NodeId;
use quinn_proto::ConnectionHandle;

use super::peers::Peers;
use crate::tunnel::probe::{Answers, Probe, Probed, Round, echo};
use crate::tunnel::wire::KIND;

/// What a tunnel's probes are at.
#[derive(Debug)]
pub(super) struct Probes {
    began: Instant,
    round: Option<Round>,
    /// Of the last probe that was sent: no two have the same.
    number: u64,
}

impl Probes {
    pub(super) fn new(began: Instant) -> Self {
        Self {
            began,
            round: None,
            number: 0,
        }
    }

    fn since(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// An echo has come.
    pub(super) fn heard(&mut self, peer: NodeId, number: u64, now: Instant) {
        let since = self.since(now);
        if let Some(round) = &mut self.round {
            round.heard(peer, number, since);
        }
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        Some(self.began + self.round.as_ref()?.next())
    }

    pub(super) fn of(&self, peer: NodeId) -> Option<Probed> {
        self.round.as_ref()?.of(peer)
    }
}

/// Takes a datagram that is a probe; hands back any other, a packet.
pub(super) fn take(
    datagram: Bytes,
    peer: NodeId,
    (connection, answers): (&mut quinn_proto::Connection, &mut Answers),
    probes: &mut Probes,
    now: Instant,
) -> Option<Bytes> {
    match Probe::of(&datagram) {
        None => return Some(datagram),
        Some(Probe::Echo { number }) => probes.heard(peer, number, now),
        Some(Probe::Ask) => {
            if answers.allow(probes.since(now)) {
                // One that does not fit the way back is lost, as it should be.
                let _ = connection.datagrams().send(echo(&datagram), false);
            }
        }
    }
    None
}

impl Peers {
    /// Begins to probe all peers that there are connections to, unless that is
    /// under way.
    pub(super) fn probe(&mut self, now: Instant) {
        if self.probes.round.is_none() {
            let peers = self.connected_peers().map(|(peer, _)| peer);
            self.probes.round = Some(Round::new(peers, self.probes.since(now)));
        }
    }

    /// Sends the probes that are due. `true`: the round is over, and its results
    /// are gone with the next call.
    pub(super) fn turn_probes(&mut self, now: Instant) -> bool {
        let since = self.probes.since(now);
        let Some(round) = &mut self.probes.round else {
            return false;
        };
        let due = round.due(since);
        let ways = self
            .connected_peers()
            .filter(|(peer, _)| due.contains(peer));
        let ways: Vec<(NodeId, ConnectionHandle)> = ways.collect();
        for (peer, handle) in ways {
            let Some(link) = self.links.get_mut(&handle) else {
                continue;
            };
            let fitting = link.fitting() + KIND;
            let Probes { round, number, .. } = &mut self.probes;
            let round = round.as_mut();
            let pair = round.and_then(|round| round.pair(peer, fitting, number, since));
            for probe in pair.into_iter().flatten() {
                let _ = link.connection.datagrams().send(probe, false);
            }
            self.touch(handle);
        }
        let round = self.probes.round.as_ref();
        round.is_some_and(|round| round.is_over(since))
    }

    /// Forgets the round that is over.
    pub(super) fn end_probes(&mut self) {
        self.probes.round = None;
    }
}
