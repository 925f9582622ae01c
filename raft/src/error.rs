//! What can go wrong, and what it leaves behind.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use certs::{ClusterId, NodeId};

/// Why a node's part of the log could not be opened. Nothing was loaded, and
/// nothing on disk was changed that had been acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// [`Raft::create`](crate::Raft::create) found a log.
    #[error("{} already holds the log of a cluster", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// [`Raft::take_over`](crate::Raft::take_over) found nothing to go on with.
    #[error("{} holds nothing of the cluster yet", path.display())]
    NoLog {
        /// The directory.
        path: PathBuf,
    },
    /// The directory belongs to another cluster.
    #[error("{} belongs to cluster {found}, not to {expected}", path.display())]
    OtherCluster {
        /// The file that says so.
        path: PathBuf,
        /// The cluster named there.
        found: ClusterId,
        /// The cluster of this node.
        expected: ClusterId,
    },
    /// The directory belongs to another node.
    #[error("{} belongs to node {found}, not to {expected}", path.display())]
    OtherNode {
        /// The file that says so.
        path: PathBuf,
        /// The node named there.
        found: NodeId,
        /// This node.
        expected: NodeId,
    },
    /// A file is not as it was written.
    #[error(
        "{} is damaged at byte {offset} ({problem}): if the other managers are well, run \
         `swarmlet leave --force` here and join again; otherwise restore a backup",
        path.display()
    )]
    Damaged {
        /// The file, or the directory in which one is missing.
        path: PathBuf,
        /// Where the first damaged part begins.
        offset: u64,
        /// What is wrong there.
        problem: String,
    },
    /// The disk failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The disk's answer.
        source: io::Error,
    },
    /// The settings contradict each other.
    #[error("invalid setting: {0}")]
    Config(String),
    /// The consensus engine did not start.
    #[error("cannot start: {0}")]
    Start(String),
}

impl OpenError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

pub(crate) fn damaged(path: &Path, offset: usize, problem: &str) -> OpenError {
    OpenError::Damaged {
        path: path.to_owned(),
        offset: offset as u64,
        problem: problem.to_owned(),
    }
}

/// Why a command was not seen to be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// No leader was found within the bound. The command was not and will not
    /// be applied.
    #[error("no leader could be reached within {0:?}: are more than half of the managers up?")]
    NoLeader(Duration),
    /// The command is too long. It was not and will not be applied.
    #[error("the command has {len} bytes, at most {max} are allowed")]
    TooLarge {
        /// Bytes of the command.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The leader was lost, or did not answer in time, after it got the
    /// command. It may have been applied, may still be, or never will.
    #[error("the leader did not confirm the command, which may be applied or not: {0}")]
    Unknown(String),
    /// The disk of the leader failed. The command may be applied or not, as
    /// with [`Unknown`](Self::Unknown).
    #[error("{0}")]
    Storage(String),
    /// This node was shut down. The command may be applied or not if it had
    /// been proposed before.
    #[error("this node is shutting down")]
    ShutDown,
}

impl ProposeError {
    /// Whether it is certain that the command is not applied, now or later, so
    /// that it may be proposed again.
    pub fn surely_not_applied(&self) -> bool {
        matches!(self, Self::NoLeader(_) | Self::TooLarge { .. })
    }
}

/// Why this node cannot say that its state is current. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader that a majority follows was found within the bound.
    #[error("no leader could be reached within {0:?}: are more than half of the managers up?")]
    NoLeader(Duration),
    /// The disk of this node failed.
    #[error("{0}")]
    Storage(String),
    /// This node was shut down.
    #[error("this node is shutting down")]
    ShutDown,
}

/// Why the members were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// The change makes no sense for the members there are. Nothing changed.
    #[error("{0}")]
    Refused(String),
    /// No leader was found within the bound. Nothing changed.
    #[error("no leader could be reached within {0:?}: are more than half of the managers up?")]
    NoLeader(Duration),
    /// The leader was lost, or did not answer in time, after it got the
    /// request. The change may be made or not; ask for it again.
    #[error("the leader did not confirm the change of members, which may be made or not: {0}")]
    Unknown(String),
    /// The disk of the leader failed. The change may be made or not.
    #[error("{0}")]
    Storage(String),
    /// This node was shut down.
    #[error("this node is shutting down")]
    ShutDown,
}
