//! openraft, told what our commands, nodes and ids are.
//!
//! This and the modules that implement openraft's traits are the only ones that
//! see its types; everything public speaks of bytes, members and indexes.

use std::{fmt, net::SocketAddr};

use bytes::Bytes;
use certs::NodeId;
use openraft::{
    EntryPayload,
    alias::CommittedLeaderIdOf,
    impls::{InlineBatch, ProgressResponder, leader_id_std},
    vote::RaftLeaderId,
};
use openraft_rt_tokio::TokioRuntime;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The type configuration of the replicated log.
#[derive(Debug, Clone, Copy, Default, Eq, PartialEq, Ord, PartialOrd)]
pub(crate) struct Types;

impl openraft::RaftTypeConfig for Types {
    type D = Blob;
    type R = Blob;
    type NodeId = Id;
    type Node = Addr;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = Payload;
    type Entry = Entry;
    type AsyncRuntime = TokioRuntime;
    type Responder<T>
        = ProgressResponder<Self, T>
    where
        T: Send + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: Send + 'static;
    type ErrorSource = openraft::AnyError;
}

/// At most one leader per term, as in the Raft paper: a log id is (term, index).
pub(crate) type LeaderId = leader_id_std::LeaderId<u64, Id>;
pub(crate) type CommittedLeaderId = CommittedLeaderIdOf<Types>;
pub(crate) type Vote = openraft::Vote<LeaderId>;
pub(crate) type LogId = openraft::LogId<CommittedLeaderId>;
pub(crate) type Payload = EntryPayload<Blob, Id, Addr>;
pub(crate) type Entry = openraft::Entry<CommittedLeaderId, Payload>;
pub(crate) type Membership = openraft::Membership<Id, Addr>;
pub(crate) type StoredMembership = openraft::StoredMembership<CommittedLeaderId, Id, Addr>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<CommittedLeaderId, Id, Addr>;

pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    // A committed leader is its term alone; the node given here is dropped.
    let leader = LeaderId::new(term, Id(NodeId::default()));
    LogId::new(leader.to_committed(), index)
}

pub(crate) fn term_of(id: &LogId) -> u64 {
    id.leader_id.term
}

/// A node id that openraft's own test suite can make from a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Id(pub NodeId);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
impl From<u64> for Id {
    fn from(number: u64) -> Self {
        Self(NodeId::from(u128::from(number)))
    }
}

/// Whether the list gives the member a vote that counts. While one list takes the
/// place of another, both decide, and who is in one of them may be the vote that
/// the other lacks.
pub(crate) fn is_voter(membership: &Membership, id: Id) -> bool {
    let lists = membership.get_joint_config();
    !lists.is_empty() && lists.iter().all(|voters| voters.contains(&id))
}

/// Where a member was last known to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Addr(pub SocketAddr);

#[cfg(test)]
impl Default for Addr {
    fn default() -> Self {
        Self(SocketAddr::from(([127, 0, 0, 1], 2377)))
    }
}

/// Bytes that this crate carries and does not read: commands and their answers.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Blob(pub Bytes);

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(Bytes::copy_from_slice(bytes)))
            }

            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Blob, E> {
                Ok(Blob(bytes.into()))
            }
        }

        deserializer.deserialize_byte_buf(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn who_is_in_one_list_of_two_has_no_vote_that_counts() {
        let list = |ids: &[u64]| ids.iter().map(|id| Id::from(*id)).collect::<BTreeSet<_>>();
        let nodes: BTreeMap<Id, Addr> = (1..=4).map(|id| (Id::from(id), Addr::default())).collect();
        let votes = |lists: Vec<BTreeSet<Id>>| -> Vec<bool> {
            let membership = Membership::new(lists, nodes.clone()).unwrap();
            let ids = (1..=4).map(Id::from);
            ids.map(|id| is_voter(&membership, id)).collect()
        };
        assert_eq!(votes(vec![list(&[1, 2])]), [true, true, false, false]);
        let growing = vec![list(&[1, 2]), list(&[1, 2, 3])];
        assert_eq!(votes(growing), [true, true, false, false]);
        let shrinking = vec![list(&[1, 2, 3]), list(&[1, 2])];
        assert_eq!(votes(shrinking), [true, true, false, false]);
    }
}
