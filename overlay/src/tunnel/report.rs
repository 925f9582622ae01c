//! What a tunnel tells of itself.

use std::net::SocketAddr;
use std::time::Duration;

use certs::NodeId;
use serde::{Deserialize, Serialize};

use super::probe::Probed;

/// One moment of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    pub peers: Vec<PeerReport>,
    pub drops: Drops,
}

/// A peer as this node reaches it. Counters begin with the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerReport {
    pub node: NodeId,
    /// Where it may answer.
    pub addrs: Vec<SocketAddr>,
    /// Whether there should be a connection with or without packets for it.
    pub is_wanted: bool,
    /// `None`: there is no connection.
    pub path: Option<PathReport>,
    /// Why the last one ended, or the last attempt failed.
    pub failure: Option<String>,
    /// `None`: it was not asked for, or there was no connection.
    pub probed: Option<Probed>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathReport {
    pub remote: SocketAddr,
    /// Whether this node dialled.
    pub dialled: bool,
    pub established: Duration,
    pub rtt: Duration,
    /// Bytes of a packet of a container that go through in one piece.
    pub mtu: usize,
    /// QUIC packets, which carry a packet of a container each.
    pub sent: u64,
    pub lost: u64,
    /// Packets of containers, without their containers' own retransmissions told
    /// apart.
    pub sent_datagrams: u64,
    pub received_datagrams: u64,
    /// Of UDP payload.
    pub sent_bytes: u64,
    pub received_bytes: u64,
}

/// Packets that went nowhere, by the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Drops {
    /// Not a packet: from the TUN, or from a peer.
    pub malformed_sent: u64,
    pub malformed_received: u64,
    /// For an address that no node has, or an answer to a flow that is not known.
    pub unknown_sent: u64,
    pub unknown_received: u64,
    /// Of a sender that may not send them.
    pub foreign_sent: u64,
    pub foreign_received: u64,
    /// There was no connection to the node, and too many were waiting for it.
    pub unreachable: u64,
    /// The connection had too much to send already.
    pub congested: u64,
    /// Larger than the path to the node takes; the sender was told.
    pub too_big: u64,
    /// The TUN device did not take them.
    pub refused_by_kernel: u64,
}
