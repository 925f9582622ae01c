//! One connection to another node.

use std::time::{Duration, Instant};

use certs::NodeId;
use quinn_proto::Connection;

use super::io::Socket;
use crate::ALPN;
use crate::tunnel::links::Candidate;
use crate::tunnel::probe::Answers;
use crate::tunnel::report::PathReport;
use crate::tunnel::wire::KIND;

const HANDSHAKE: Duration = Duration::from_secs(2);

pub(super) struct Link {
    pub(super) connection: Connection,
    /// Who it is with; not proved before it is established.
    pub(super) peer: Option<NodeId>,
    pub(super) dialled: bool,
    pub(super) established: Option<Instant>,
    /// When this side ends it.
    pub(super) ends: Ends,
    pub(super) timer: Option<Instant>,
    pub(super) touched: bool,
    /// To probes.
    pub(super) answers: Answers,
}

/// When a connection ends, for each of the reasons to end it.
#[derive(Default)]
pub(super) struct Ends {
    /// The handshake has taken too long; later, the certificate is over.
    pub(super) expires: Option<Instant>,
    /// This node knows nothing of the peer.
    pub(super) unknown: Option<Instant>,
    /// Another connection has taken over. Should that one be lost, this is void.
    pub(super) replaced: Option<Instant>,
}

impl Ends {
    pub(super) fn at(&self) -> Option<Instant> {
        [self.for_good(), self.replaced].into_iter().flatten().min()
    }

    /// The same, but for what could be taken back.
    pub(super) fn for_good(&self) -> Option<Instant> {
        [self.expires, self.unknown].into_iter().flatten().min()
    }
}

impl Link {
    /// `dialled`: to whom.
    pub(super) fn new(connection: Connection, dialled: Option<NodeId>, now: Instant) -> Self {
        Self {
            connection,
            peer: dialled,
            dialled: dialled.is_some(),
            established: None,
            ends: Ends {
                expires: Some(now + HANDSHAKE),
                ..Ends::default()
            },
            timer: None,
            touched: false,
            answers: Answers::default(),
        }
    }

    /// Sends all that it has to. `false`: the kernel has no room for more.
    pub(super) fn transmit(
        &mut self,
        socket: &mut Socket,
        scratch: &mut Vec<u8>,
        now: Instant,
    ) -> bool {
        loop {
            if socket.is_full() {
                return false;
            }
            scratch.clear();
            let segments = socket.max_segments(self.connection.current_mtu());
            match self.connection.poll_transmit(now, segments, scratch) {
                Some(transmit) => socket.send(transmit, scratch),
                None => return true,
            }
        }
    }

    pub(super) fn candidate(&self, me: NodeId, began: Instant) -> Option<Candidate> {
        Some(Candidate {
            dialler: if self.dialled { me } else { self.peer? },
            established: self.established?.saturating_duration_since(began),
        })
    }

    pub(super) fn speaks_alpn(&self) -> bool {
        let data = self.connection.crypto_session().handshake_data();
        data.and_then(|data| {
            data.downcast::<quinn_proto::crypto::rustls::HandshakeData>()
                .ok()
        })
        .is_some_and(|data| data.protocol.as_deref() == Some(ALPN))
    }

    /// Bytes of the largest packet that goes through in one datagram.
    pub(super) fn fitting(&mut self) -> usize {
        let max = self.connection.datagrams().max_size();
        max.unwrap_or_default().saturating_sub(KIND)
    }

    pub(super) fn report(&mut self, now: Instant) -> PathReport {
        let stats = self.connection.stats();
        let established = self.established.unwrap_or(now);
        PathReport {
            remote: self.connection.remote_address(),
            dialled: self.dialled,
            established: now.saturating_duration_since(established),
            rtt: stats.path.rtt,
            mtu: self.fitting(),
            sent: stats.path.sent_packets,
            lost: stats.path.lost_packets,
            sent_datagrams: stats.frame_tx.datagram,
            received_datagrams: stats.frame_rx.datagram,
            sent_bytes: stats.udp_tx.bytes,
            received_bytes: stats.udp_rx.bytes,
        }
    }
}
