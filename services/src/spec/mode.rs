//! How many tasks a service has, and where.

use serde::{Deserialize, Serialize};

use super::defaults;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// `None` is Docker's default of one replica.
    Replicated { replicas: Option<u64> },
    /// One task on each node that suits.
    Global,
    /// So many tasks end well, at most so many of them at a time.
    ReplicatedJob {
        max_concurrent: u64,
        total_completions: u64,
    },
    /// One task ends well on each node that suits.
    GlobalJob,
}

impl Default for Mode {
    fn default() -> Self {
        Self::Replicated { replicas: None }
    }
}

impl Mode {
    /// How many slots it has. `None`: one per node.
    pub fn slots(&self) -> Option<u64> {
        match self {
            Self::Replicated { replicas } => Some(replicas.unwrap_or(defaults::REPLICAS)),
            Self::ReplicatedJob {
                total_completions, ..
            } => Some(*total_completions),
            Self::Global | Self::GlobalJob => None,
        }
    }

    /// Whether its slots are the nodes.
    pub fn is_per_node(&self) -> bool {
        matches!(self, Self::Global | Self::GlobalJob)
    }

    /// Whether its tasks are there to come to an end.
    pub fn is_job(&self) -> bool {
        matches!(self, Self::ReplicatedJob { .. } | Self::GlobalJob)
    }

    /// Docker's name, as in `--mode` and in filters.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Replicated { .. } => "replicated",
            Self::Global => "global",
            Self::ReplicatedJob { .. } => "replicated-job",
            Self::GlobalJob => "global-job",
        }
    }
}
