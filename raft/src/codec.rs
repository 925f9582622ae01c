//! Everything that this crate writes to disk or to a peer, as bytes.
//!
//! Records are enums of versions in bincode: a release adds a variant, reads
//! the ones before it, and never changes one that has been released. They hold
//! plain numbers and our own types, so that neither openraft nor another
//! crate's serde layout decides what is on a disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use bincode::config;
use certs::{ClusterId, NodeId};
use openraft::vote::RaftLeaderId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::types::{
    Addr, Blob, Entry, Id, LeaderId, LogId, Membership, Payload, SnapshotMeta, StoredMembership,
    Vote, log_id, term_of,
};

/// The longest command, and so about the longest record and frame.
pub const MAX_COMMAND: usize = 2 << 20;
/// No record, and no frame on the wire, is longer than this many bytes.
pub(crate) const MAX_RECORD: usize = 4 << 20;

/// Bytes that are not a record of ours, or one that is too long.
#[derive(Debug, thiserror::Error)]
#[error("not a valid record: {0}")]
pub(crate) struct CodecError(String);

impl CodecError {
    pub fn new(problem: &str) -> Self {
        Self(problem.to_owned())
    }
}

impl From<CodecError> for std::io::Error {
    fn from(error: CodecError) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

pub(crate) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::new();
    encode_into(record, &mut bytes)?;
    Ok(bytes)
}

/// Appends the record to `bytes`.
pub(crate) fn encode_into<T: Serialize>(record: &T, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
    let len = bincode::serde::encode_into_std_write(record, bytes, config::standard())
        .map_err(|error| CodecError(error.to_string()))?;
    if len > MAX_RECORD {
        let problem = format!("{len} bytes, at most {MAX_RECORD} are allowed");
        return Err(CodecError(problem));
    }
    Ok(())
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let config = config::standard().with_limit::<MAX_RECORD>();
    let (record, used) = bincode::serde::decode_from_slice(bytes, config)
        .map_err(|error| CodecError(error.to_string()))?;
    if used != bytes.len() {
        return Err(CodecError(format!("{} bytes too many", bytes.len() - used)));
    }
    Ok(record)
}

/// A log entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum EntryRecord {
    V1(EntryV1),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EntryV1 {
    pub id: LogIdV1,
    payload: PayloadV1,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum PayloadV1 {
    Blank,
    Command(Blob),
    Membership(MembershipV1),
}

/// The position of an entry in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogIdV1 {
    pub term: u64,
    pub index: u64,
}

/// Who votes (two sets while the group passes from one to the other) and where
/// every member, voter or learner, is found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MembershipV1 {
    voters: Vec<BTreeSet<NodeId>>,
    members: BTreeMap<NodeId, SocketAddr>,
}

/// What this node promised: its term, whom it follows, whether a quorum did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VoteV1 {
    pub term: u64,
    pub node: NodeId,
    pub committed: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SnapshotMetaV1 {
    pub last: Option<LogIdV1>,
    membership_at: Option<LogIdV1>,
    membership: MembershipV1,
}

/// The head of a snapshot file, in front of the state machine's bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum SnapshotRecord {
    V1(SnapshotMetaV1),
}

/// A value of the metadata table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum MetaRecord {
    IdentityV1 { cluster: ClusterId, node: NodeId },
    VoteV1(VoteV1),
    LogIdV1(LogIdV1),
}

impl From<LogId> for LogIdV1 {
    fn from(id: LogId) -> Self {
        Self {
            term: term_of(&id),
            index: id.index,
        }
    }
}

impl From<LogIdV1> for LogId {
    fn from(id: LogIdV1) -> Self {
        log_id(id.term, id.index)
    }
}

impl From<&Vote> for VoteV1 {
    fn from(vote: &Vote) -> Self {
        Self {
            term: vote.leader_id.term,
            node: vote.leader_id.voted_for.0,
            committed: vote.committed,
        }
    }
}

impl From<VoteV1> for Vote {
    fn from(vote: VoteV1) -> Self {
        Self {
            leader_id: LeaderId::new(vote.term, Id(vote.node)),
            committed: vote.committed,
        }
    }
}

impl From<&Membership> for MembershipV1 {
    fn from(membership: &Membership) -> Self {
        let voters = membership.get_joint_config().iter();
        Self {
            voters: voters
                .map(|set| set.iter().map(|id| id.0).collect())
                .collect(),
            members: membership
                .nodes()
                .map(|(id, addr)| (id.0, addr.0))
                .collect(),
        }
    }
}

impl TryFrom<MembershipV1> for Membership {
    type Error = CodecError;

    fn try_from(record: MembershipV1) -> Result<Self, CodecError> {
        if record.voters.is_empty() && record.members.is_empty() {
            return Ok(Self::default());
        }
        let voters = record.voters.into_iter();
        let voters = voters
            .map(|set| set.into_iter().map(Id).collect())
            .collect();
        let members: BTreeMap<Id, Addr> = record
            .members
            .into_iter()
            .map(|(id, addr)| (Id(id), Addr(addr)))
            .collect();
        Self::new(voters, members).map_err(|error| CodecError(error.to_string()))
    }
}

impl From<&Entry> for EntryV1 {
    fn from(entry: &Entry) -> Self {
        Self {
            id: entry.log_id.into(),
            payload: match &entry.payload {
                Payload::Blank => PayloadV1::Blank,
                Payload::Normal(command) => PayloadV1::Command(command.clone()),
                Payload::Membership(membership) => PayloadV1::Membership(membership.into()),
            },
        }
    }
}

impl TryFrom<EntryV1> for Entry {
    type Error = CodecError;

    fn try_from(record: EntryV1) -> Result<Self, CodecError> {
        Ok(Self {
            log_id: record.id.into(),
            payload: match record.payload {
                PayloadV1::Blank => Payload::Blank,
                PayloadV1::Command(command) => Payload::Normal(command),
                PayloadV1::Membership(membership) => Payload::Membership(membership.try_into()?),
            },
        })
    }
}

impl From<&SnapshotMeta> for SnapshotMetaV1 {
    fn from(meta: &SnapshotMeta) -> Self {
        Self {
            last: meta.last_log_id.map(Into::into),
            membership_at: meta.last_membership.log_id().map(Into::into),
            membership: meta.last_membership.membership().into(),
        }
    }
}

impl TryFrom<SnapshotMetaV1> for SnapshotMeta {
    type Error = CodecError;

    fn try_from(record: SnapshotMetaV1) -> Result<Self, CodecError> {
        Ok(Self {
            last_log_id: record.last.map(Into::into),
            last_membership: StoredMembership::new(
                record.membership_at.map(Into::into),
                record.membership.try_into()?,
            ),
        })
    }
}

pub(crate) fn encode_entry(entry: &Entry) -> Result<Vec<u8>, CodecError> {
    encode(&EntryRecord::V1(entry.into()))
}

pub(crate) fn decode_entry(bytes: &[u8]) -> Result<Entry, CodecError> {
    let EntryRecord::V1(record) = decode(bytes)?;
    record.try_into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn membership() -> Membership {
        let members = [(1, 1), (2, 2), (3, 3)]
            .map(|(id, port)| (Id::from(id), Addr(SocketAddr::from(([10, 0, 0, 1], port)))));
        Membership::new(
            vec![[Id::from(1), Id::from(2)].into()],
            BTreeMap::from(members),
        )
        .unwrap()
    }

    fn entries() -> [Entry; 3] {
        let payloads = [
            Payload::Blank,
            Payload::Normal(Blob::from(b"abc".to_vec())),
            Payload::Membership(membership()),
        ];
        let mut index = 6;
        payloads.map(|payload| {
            index += 1;
            Entry {
                log_id: log_id(2, index),
                payload,
            }
        })
    }

    #[test]
    fn log_entries_keep_their_bytes() {
        let golden = [
            "00020700",
            "0002080103616263",
            "00020902010201020301000a0000010102000a0000010203000a00000103",
        ];
        for (entry, golden) in entries().iter().zip(golden) {
            let bytes = encode_entry(entry).unwrap();
            assert_eq!(hex(&bytes), golden);
            assert_eq!(&decode_entry(&bytes).unwrap(), entry);
        }
    }

    #[test]
    fn metadata_keeps_its_bytes() {
        let records = [
            MetaRecord::IdentityV1 {
                cluster: ClusterId::from(5),
                node: NodeId::from(6),
            },
            MetaRecord::VoteV1(VoteV1 {
                term: 300,
                node: NodeId::from(u128::MAX),
                committed: true,
            }),
            MetaRecord::LogIdV1(LogIdV1 { term: 1, index: 2 }),
        ];
        let golden = [
            "000506",
            "01fb2c01feffffffffffffffffffffffffffffffff01",
            "020102",
        ];
        for (record, golden) in records.iter().zip(golden) {
            let bytes = encode(record).unwrap();
            assert_eq!(hex(&bytes), golden);
            assert_eq!(&decode::<MetaRecord>(&bytes).unwrap(), record);
        }
    }

    #[test]
    fn a_snapshot_head_keeps_its_bytes() {
        let meta = SnapshotMeta {
            last_log_id: Some(log_id(2, 9)),
            last_membership: StoredMembership::new(Some(log_id(2, 9)), membership()),
        };
        let bytes = encode(&SnapshotRecord::V1((&meta).into())).unwrap();
        assert_eq!(
            hex(&bytes),
            "00010209010209010201020301000a0000010102000a0000010203000a00000103"
        );
        let SnapshotRecord::V1(record) = decode(&bytes).unwrap();
        assert_eq!(SnapshotMeta::try_from(record).unwrap(), meta);
    }

    #[test]
    fn a_voter_without_an_address_is_refused() {
        let record = MembershipV1 {
            voters: vec![[NodeId::from(1)].into()],
            members: BTreeMap::new(),
        };
        assert!(Membership::try_from(record).is_err());
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = encode_entry(&entries()[1]).unwrap();
        bytes.push(0);
        assert!(decode_entry(&bytes).is_err());
    }

    #[test]
    fn a_record_beyond_the_limit_is_refused() {
        assert!(encode(&Blob::from(vec![0; MAX_RECORD])).is_err());
        // A length of 2^40 in front of nothing must not be allocated.
        assert!(decode::<Blob>(&[253, 0, 0, 0, 0, 0, 1, 0, 0]).is_err());
    }

    proptest! {
        #[test]
        fn random_bytes_are_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_entry(&bytes);
            let _ = decode::<MetaRecord>(&bytes);
            let _ = decode::<SnapshotRecord>(&bytes);
        }
    }
}
