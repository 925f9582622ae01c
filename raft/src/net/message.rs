//! What managers say to each other, and its translation to openraft's terms.
//!
//! A stream begins with a [`Request`]. Appends follow each other on one stream,
//! answered in order; a snapshot is followed by its chunks; everything else is
//! one request and one [`Reply`]. What makes no sense (entries with a hole, a
//! term above the sender's) is refused here, before openraft sees it.

use std::net::SocketAddr;

use certs::NodeId;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};

use crate::{
    codec::{CodecError, EntryV1, LogIdV1, SnapshotMetaV1, VoteV1},
    types::{Blob, Entry, Id, LogId, Types, Vote, term_of},
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Request {
    AppendV1(AppendV1),
    PreVoteV1(BallotV1),
    VoteV1(BallotV1),
    TransferLeaderV1 {
        from: VoteV1,
        to: NodeId,
        last: Option<LogIdV1>,
    },
    /// Followed by [`Chunk`]s.
    SnapshotV1 {
        vote: VoteV1,
        meta: SnapshotMetaV1,
    },
    ProposeV1(Blob),
    ReadIndexV1,
    ChangeV1(ChangeV1),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AppendV1 {
    vote: VoteV1,
    prev: Option<LogIdV1>,
    entries: Vec<EntryV1>,
    commit: Option<LogIdV1>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct BallotV1 {
    vote: VoteV1,
    last: Option<LogIdV1>,
    /// The leader itself asked for this election.
    transfer: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Chunk {
    Data(Blob),
    End,
}

/// A change of the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ChangeV1 {
    /// Adds a learner, or notes the new address of a member.
    AddLearner {
        id: NodeId,
        addr: SocketAddr,
    },
    Promote(NodeId),
    Remove(NodeId),
    TransferLeader(Option<NodeId>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Reply {
    AppendV1(AppendReplyV1),
    VoteV1 {
        vote: VoteV1,
        last: Option<LogIdV1>,
        granted: bool,
    },
    /// Why the leadership is not taken, if it is not.
    TransferLeaderV1(Option<String>),
    SnapshotV1(VoteV1),
    ProposeV1(Result<AppliedV1, RefusalV1>),
    ReadIndexV1(Result<u64, RefusalV1>),
    ChangeV1(Result<(), RefusalV1>),
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum AppendReplyV1 {
    /// The log agrees with the leader's up to here.
    Matching(Option<LogIdV1>),
    /// It does not hold this entry.
    Conflict(LogIdV1),
    HigherVote(VoteV1),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AppliedV1 {
    pub index: u64,
    pub answer: Blob,
}

/// Why a leader, or who was taken for one, did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RefusalV1 {
    /// Nothing was done; another may lead.
    NotLeader,
    /// Nothing was done; it may be possible soon.
    Busy(String),
    /// Nothing was done, and will not be.
    Refused(String),
    /// It is not known whether it was, or will be, done.
    Unknown(String),
    /// Likewise, since a disk failed.
    Storage(String),
}

impl Request {
    /// The node that must have sent this; `None` if any manager may.
    pub fn sender(&self) -> Option<NodeId> {
        match self {
            Self::AppendV1(AppendV1 { vote, .. })
            | Self::PreVoteV1(BallotV1 { vote, .. })
            | Self::VoteV1(BallotV1 { vote, .. })
            | Self::TransferLeaderV1 { from: vote, .. }
            | Self::SnapshotV1 { vote, .. } => Some(vote.node),
            Self::ProposeV1(_) | Self::ReadIndexV1 | Self::ChangeV1(_) => None,
        }
    }
}

impl From<&AppendEntriesRequest<Types>> for AppendV1 {
    fn from(request: &AppendEntriesRequest<Types>) -> Self {
        Self {
            vote: (&request.vote).into(),
            prev: request.prev_log_id.map(Into::into),
            entries: request.entries.iter().map(Into::into).collect(),
            commit: request.leader_commit.map(Into::into),
        }
    }
}

impl TryFrom<AppendV1> for AppendEntriesRequest<Types> {
    type Error = CodecError;

    fn try_from(message: AppendV1) -> Result<Self, CodecError> {
        let mut last = message.prev;
        for entry in &message.entries {
            let follows = last.map_or(entry.id.index == 0, |last| {
                Some(entry.id.index) == last.index.checked_add(1) && entry.id.term >= last.term
            });
            if !follows || entry.id.term > message.vote.term {
                return Err(CodecError::new("entries that do not follow each other"));
            }
            last = Some(entry.id);
        }
        let entries = message.entries.into_iter().map(Entry::try_from);
        Ok(Self {
            vote: message.vote.into(),
            prev_log_id: message.prev.map(Into::into),
            entries: entries.collect::<Result<_, _>>()?,
            leader_commit: message.commit.map(Into::into),
        })
    }
}

impl From<StreamAppendResult<Types>> for AppendReplyV1 {
    fn from(result: StreamAppendResult<Types>) -> Self {
        match result {
            Ok(matching) => Self::Matching(matching.map(Into::into)),
            Err(StreamAppendError::Conflict(id)) => Self::Conflict(id.into()),
            Err(StreamAppendError::HigherVote(vote)) => Self::HigherVote((&vote).into()),
        }
    }
}

impl From<AppendReplyV1> for StreamAppendResult<Types> {
    fn from(reply: AppendReplyV1) -> Self {
        match reply {
            AppendReplyV1::Matching(id) => Ok(id.map(Into::into)),
            AppendReplyV1::Conflict(id) => Err(StreamAppendError::Conflict(id.into())),
            AppendReplyV1::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote.into())),
        }
    }
}

impl From<&VoteRequest<Types>> for BallotV1 {
    fn from(request: &VoteRequest<Types>) -> Self {
        Self {
            vote: (&request.vote).into(),
            last: request.last_log_id.map(Into::into),
            transfer: request.leadership_transfer,
        }
    }
}

impl From<BallotV1> for VoteRequest<Types> {
    fn from(ballot: BallotV1) -> Self {
        let last = ballot.last.map(Into::into);
        let mut request = Self::new(ballot.vote.into(), last);
        request.leadership_transfer = ballot.transfer;
        request
    }
}

impl From<VoteResponse<Types>> for Reply {
    fn from(response: VoteResponse<Types>) -> Self {
        Self::VoteV1 {
            vote: (&response.vote).into(),
            last: response.last_log_id.map(Into::into),
            granted: response.vote_granted,
        }
    }
}

impl From<&TransferLeaderRequest<Types>> for Request {
    fn from(request: &TransferLeaderRequest<Types>) -> Self {
        Self::TransferLeaderV1 {
            from: request.from_leader().into(),
            to: request.to_node_id().0,
            last: request.last_log_id().map(|id| (*id).into()),
        }
    }
}

pub(crate) fn vote_response(
    vote: VoteV1,
    last: Option<LogIdV1>,
    granted: bool,
) -> VoteResponse<Types> {
    VoteResponse::new(Vote::from(vote), last.map(Into::into), granted)
}

pub(crate) fn transfer_request(
    from: VoteV1,
    to: NodeId,
    last: Option<LogIdV1>,
) -> TransferLeaderRequest<Types> {
    TransferLeaderRequest::new(from.into(), Id(to), last.map(Into::into))
}

/// Whether this snapshot can come from the leader of `vote`, for a node that
/// knows the log to be committed up to `committed`.
pub(crate) fn is_plausible(last: Option<LogId>, vote: &Vote, committed: Option<LogId>) -> bool {
    let Some(last) = last else { return false };
    let known = committed.is_none_or(|committed| {
        last <= committed || last.index > committed.index && term_of(&last) >= term_of(&committed)
    });
    known && term_of(&last) <= vote.leader_id.term
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        codec::{decode, encode},
        types::{Payload, log_id},
    };

    fn append(prev: Option<(u64, u64)>, entries: &[(u64, u64)]) -> AppendV1 {
        (&AppendEntriesRequest {
            vote: Vote::new_committed(3, Id::from(1)),
            prev_log_id: prev.map(|(term, index)| log_id(term, index)),
            entries: entries
                .iter()
                .map(|(term, index)| Entry {
                    log_id: log_id(*term, *index),
                    payload: Payload::Normal(Blob::from(vec![1, 2])),
                })
                .collect(),
            leader_commit: Some(log_id(1, 4)),
        })
            .into()
    }

    #[test]
    fn messages_keep_their_bytes() {
        let vote = VoteV1 {
            term: 3,
            node: NodeId::from(1),
            committed: true,
        };
        let last = Some(LogIdV1 { term: 2, index: 7 });
        let requests = [
            (
                Request::AppendV1(append(Some((2, 7)), &[(3, 8)])),
                "00030101010207010308010201020101 04",
            ),
            (
                Request::VoteV1(BallotV1 {
                    vote,
                    last,
                    transfer: false,
                }),
                "0203010101020700",
            ),
            (Request::ProposeV1(Blob::from(vec![9])), "050109"),
            (Request::ReadIndexV1, "06"),
            (
                Request::ChangeV1(ChangeV1::Remove(NodeId::from(4))),
                "070204",
            ),
        ];
        for (request, golden) in requests {
            let bytes = encode(&request).unwrap();
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, golden.replace(' ', ""), "{request:?}");
            assert_eq!(decode::<Request>(&bytes).unwrap(), request);
        }
    }

    #[test]
    fn only_entries_that_follow_each_other_are_accepted() {
        let accepted = |message: AppendV1| AppendEntriesRequest::try_from(message).is_ok();
        assert!(accepted(append(None, &[])));
        assert!(accepted(append(None, &[(0, 0), (1, 1)])));
        assert!(accepted(append(Some((2, 7)), &[(2, 8), (3, 9)])));
        assert!(!accepted(append(Some((2, 7)), &[(2, 9)])), "a hole");
        assert!(!accepted(append(Some((2, 7)), &[(1, 8)])), "an older term");
        assert!(!accepted(append(None, &[(4, 0)])), "a term above the vote");
        assert!(!accepted(append(Some((2, u64::MAX)), &[(2, 0)])));
    }

    #[test]
    fn a_snapshot_that_contradicts_the_log_is_implausible() {
        let vote = Vote::new_committed(3, Id::from(1));
        let plausible = |last: Option<LogId>| is_plausible(last, &vote, Some(log_id(2, 10)));
        assert!(plausible(Some(log_id(2, 9))));
        assert!(plausible(Some(log_id(3, 11))));
        assert!(!plausible(Some(log_id(3, 10))));
        assert!(!plausible(Some(log_id(4, 20))));
        assert!(!plausible(None));
    }

    proptest! {
        #[test]
        fn random_bytes_are_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(Request::AppendV1(message)) = decode::<Request>(&bytes) {
                let _ = AppendEntriesRequest::try_from(message);
            }
            let _ = decode::<Reply>(&bytes);
            let _ = decode::<Chunk>(&bytes);
        }
    }
}
