//! Bytes for the log, the snapshot, the wire and the worker's disk.
//!
//! Each record is a versioned enum in bincode, so that a release can read
//! what the one before wrote. bincode cannot grow a struct: what grows with
//! every release (specs, a node's description) travels inside as JSON. The
//! golden tests hold the bytes still.
//!
//! Decoders take bytes from anywhere: each has a limit, fails with an error,
//! and never makes more of its input than a small multiple of its length.

mod directory;
mod file;
mod record;
mod snapshot;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bincode::config;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::assignment::Assignment;
use crate::command::{Answer, Proposal, Refusal};
use record::{AnswerRecord, AssignmentsRecord, ProposalRecord};

pub use directory::{MAX_DIRECTORY_PIECE, decode_directory, encode_directory};
pub use file::{MAX_FILE, decode_file, encode_file};
pub use snapshot::{MAX_SNAPSHOT_RECORD, read_snapshot, write_snapshot};

/// Limit of one proposal in bytes; a larger plan is proposed in pieces.
pub const MAX_PROPOSAL: usize = 2 << 20;
pub const MAX_ANSWER: usize = 64 << 10;
/// Limit of one list of assignments in bytes.
pub const MAX_ASSIGNMENTS: usize = 16 << 20;

/// Nothing was decoded, or not all of it was written.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error("{size} bytes, at most {limit} are allowed")]
    TooLarge { size: usize, limit: usize },
    #[error("not a record of this release: {0}")]
    Malformed(String),
    #[error("this value has no bytes: {0}")]
    Unwritable(String),
    #[error("the snapshot's stream failed: {0}")]
    Io(#[from] std::io::Error),
}

impl CodecError {
    fn malformed(error: impl ToString) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// # Errors
/// `TooLarge` beyond [`MAX_PROPOSAL`].
pub fn encode_proposal(proposal: &Proposal) -> Result<Vec<u8>, CodecError> {
    encode::<MAX_PROPOSAL>(&ProposalRecord::of(proposal)?)
}

/// # Errors
/// `TooLarge` and `Malformed`.
pub fn decode_proposal(bytes: &[u8]) -> Result<Proposal, CodecError> {
    decode::<ProposalRecord, MAX_PROPOSAL>(bytes)?.proposal()
}

/// # Errors
/// `TooLarge` beyond [`MAX_ANSWER`].
pub fn encode_answer(answer: &Result<Answer, Refusal>) -> Result<Vec<u8>, CodecError> {
    encode::<MAX_ANSWER>(&AnswerRecord::V1(answer.clone()))
}

/// # Errors
/// `TooLarge` and `Malformed`.
pub fn decode_answer(bytes: &[u8]) -> Result<Result<Answer, Refusal>, CodecError> {
    let AnswerRecord::V1(answer) = decode::<_, MAX_ANSWER>(bytes)?;
    Ok(answer)
}

/// The assignments of one node, for its session and its disk. Tasks that
/// share a spec share its bytes, and share it again when decoded.
///
/// # Errors
/// `TooLarge` beyond [`MAX_ASSIGNMENTS`].
pub fn encode_assignments<'a>(
    assignments: impl IntoIterator<Item = &'a Assignment>,
) -> Result<Vec<u8>, CodecError> {
    encode::<MAX_ASSIGNMENTS>(&AssignmentsRecord::of(assignments)?)
}

/// # Errors
/// `TooLarge` and `Malformed`.
pub fn decode_assignments(bytes: &[u8]) -> Result<Vec<Assignment>, CodecError> {
    decode::<AssignmentsRecord, MAX_ASSIGNMENTS>(bytes)?.assignments()
}

fn encode<const LIMIT: usize>(record: &impl Serialize) -> Result<Vec<u8>, CodecError> {
    let bytes = bincode::serde::encode_to_vec(record, config::standard())
        .map_err(|error| CodecError::Unwritable(error.to_string()))?;
    check_size(bytes.len(), LIMIT)?;
    Ok(bytes)
}

fn decode<T: DeserializeOwned, const LIMIT: usize>(bytes: &[u8]) -> Result<T, CodecError> {
    check_size(bytes.len(), LIMIT)?;
    let config = config::standard().with_limit::<LIMIT>();
    let (record, read) =
        bincode::serde::decode_from_slice(bytes, config).map_err(CodecError::malformed)?;
    if read < bytes.len() {
        let more = bytes.len() - read;
        return Err(CodecError::Malformed(format!("{more} bytes follow it")));
    }
    Ok(record)
}

fn check_size(size: usize, limit: usize) -> Result<(), CodecError> {
    if size > limit {
        return Err(CodecError::TooLarge { size, limit });
    }
    Ok(())
}

fn to_json(value: &impl Serialize) -> Result<String, CodecError> {
    serde_json::to_string(value).map_err(|error| CodecError::Unwritable(error.to_string()))
}

fn from_json<T: DeserializeOwned>(json: &str) -> Result<T, CodecError> {
    serde_json::from_str(json).map_err(CodecError::malformed)
}

fn arc_from_json<T: DeserializeOwned>(json: &str) -> Result<Arc<T>, CodecError> {
    from_json(json).map(Arc::new)
}
