//! What members say to each other: datagrams that may be lost, and exchanges of
//! a request and its response.
//!
//! Each is one versioned frame; a release adds versions and never changes one.
//! Decoders are bounded and total: any bytes give a message or a [`WireError`].

use std::sync::Arc;

use certs::NodeId;
use serde::{Deserialize, Serialize};

use crate::codec;
pub use crate::codec::WireError;
use crate::record::{Body, Delta, Head};

/// A datagram fits into one packet of the smallest path that QUIC allows.
pub const MAX_DATAGRAM: usize = 1_200;
/// A request or a response.
pub const MAX_EXCHANGE: usize = 512 << 10;
/// Items of news in a datagram.
pub const MAX_NEWS: usize = 64;
/// Entries in a list.
pub const MAX_ENTRIES: usize = 8_192;
/// Records that are asked for at once.
pub const MAX_WANTED: usize = 256;
/// Groups of members that are compared by one hash each.
pub const BUCKETS: usize = 256;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Datagram {
    /// Send me your beats for so long; zero ends it.
    Watch {
        lease_ms: u32,
    },
    /// I live. What I believe of all members is summed up twice: who lives, and
    /// all of it.
    Beat {
        incarnation: u64,
        living: u32,
        root: u32,
    },
    /// I watch this member and hear nothing of it; do you? To the member
    /// itself: speak.
    Doubt {
        subject: NodeId,
        incarnation: u64,
    },
    /// The answer to a doubt.
    Opinion {
        subject: NodeId,
        incarnation: u64,
        opinion: Opinion,
    },
    News(Vec<News>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Opinion {
    /// I heard it myself, so long ago.
    Heard { age_ms: u32 },
    /// I do not hear it either.
    Silent,
    /// I watch it, but not for long enough to say.
    Unsure,
    /// I do not watch it.
    Unwatched,
}

/// What spreads to everyone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum News {
    /// Of a known member: it lives, or leaves; perhaps with a changed body.
    Head {
        head: Arc<Head>,
        delta: Option<Arc<Delta>>,
    },
    /// Of a new member, or where only the whole body says what changed.
    Record { head: Arc<Head>, body: Arc<Body> },
    /// Its watchers agree.
    Dead {
        subject: NodeId,
        incarnation: u64,
        by: NodeId,
        witnesses: u8,
    },
    /// Somebody in reach believes it dead; it may want to refute that.
    Accused { subject: NodeId, incarnation: u64 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Let us compare what we believe.
    Sync(Summary),
    /// My entries of these buckets; what are yours?
    List {
        buckets: Buckets,
        entries: Vec<Entry>,
    },
    /// Send me these.
    Records { wanted: Vec<Want> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Response {
    /// The answerer's own; `buckets` has a hash each if the roots differ.
    Sync {
        summary: Summary,
        buckets: Vec<u64>,
    },
    List {
        entries: Vec<Entry>,
    },
    /// In any order; those that would not fit are missing.
    Records {
        parcels: Vec<Parcel>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The sender's own.
    pub head: Arc<Head>,
    /// What the sender believes of the receiver.
    pub you: Option<Entry>,
    /// Over all that the sender believes.
    pub root: u64,
    /// Members that the sender knows, the dead included.
    pub members: u32,
}

/// A set of buckets, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buckets(pub [u8; BUCKETS / 8]);

/// A member in brief.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub id: NodeId,
    pub incarnation: u64,
    pub version: u64,
    pub claim: Claim,
}

/// What a list says of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Claim {
    /// Nobody has said that this incarnation is dead.
    Lives,
    Dead(Verdict),
    /// The sender hears nothing of it and found nobody to ask.
    Unheard,
}

/// Who declared a member dead, and how many other watchers agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub by: NodeId,
    pub witnesses: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    pub id: NodeId,
    /// The beginning of the digest of the body that the asker has.
    pub have: Option<[u8; 8]>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parcel {
    pub head: Arc<Head>,
    /// Absent where the asker has it.
    pub body: Option<Arc<Body>>,
    pub claim: Claim,
}

/// The versions of the protocol.
#[derive(Debug, Serialize, Deserialize)]
enum Frame<T> {
    V1(T),
}

/// Anything that goes over the wire as one frame.
pub trait Message: Serialize {}
impl Message for Datagram {}
impl Message for Request {}
impl Message for Response {}

impl Buckets {
    pub const NONE: Self = Self([0; BUCKETS / 8]);
    pub const ALL: Self = Self([0xff; BUCKETS / 8]);

    pub fn insert(&mut self, bucket: u8) {
        self.0[usize::from(bucket / 8)] |= 1 << (bucket % 8);
    }

    pub fn contains(&self, bucket: u8) -> bool {
        self.0[usize::from(bucket / 8)] & (1 << (bucket % 8)) != 0
    }
}

/// The bytes of a frame.
pub fn encode<M: Message>(message: &M) -> Vec<u8> {
    codec::encode(&Frame::V1(message))
}

/// How many bytes [`encode`] returns.
pub fn encoded_len<M: Message>(message: &M) -> usize {
    codec::encoded_len(&Frame::V1(message))
}

/// At most [`MAX_DATAGRAM`] bytes and [`MAX_NEWS`] items.
pub fn decode_datagram(bytes: &[u8]) -> Result<Datagram, WireError> {
    let Frame::V1(datagram) = codec::decode::<MAX_DATAGRAM, { 8 * MAX_DATAGRAM }, _>(bytes)?;
    if let Datagram::News(news) = &datagram {
        bounded(news.len(), MAX_NEWS)?;
    }
    Ok(datagram)
}

/// At most [`MAX_EXCHANGE`] bytes, [`MAX_ENTRIES`] entries, [`MAX_WANTED`] wants.
pub fn decode_request(bytes: &[u8]) -> Result<Request, WireError> {
    let Frame::V1(request) = codec::decode::<MAX_EXCHANGE, { 8 * MAX_EXCHANGE }, _>(bytes)?;
    match &request {
        Request::Sync(_) => {}
        Request::List { entries, .. } => bounded(entries.len(), MAX_ENTRIES)?,
        Request::Records { wanted } => bounded(wanted.len(), MAX_WANTED)?,
    }
    Ok(request)
}

/// At most [`MAX_EXCHANGE`] bytes and as many items as one may ask for.
pub fn decode_response(bytes: &[u8]) -> Result<Response, WireError> {
    let Frame::V1(response) = codec::decode::<MAX_EXCHANGE, { 8 * MAX_EXCHANGE }, _>(bytes)?;
    match &response {
        Response::Sync { buckets, .. } => bounded(buckets.len(), BUCKETS)?,
        Response::List { entries } => bounded(entries.len(), MAX_ENTRIES)?,
        Response::Records { parcels } => bounded(parcels.len(), MAX_WANTED)?,
    }
    Ok(response)
}

fn bounded(len: usize, most: usize) -> Result<(), WireError> {
    if len > most {
        return Err(WireError(format!("{len} items, at most {most}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
