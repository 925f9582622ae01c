//! The directory on disk: so names and VIPs work after a reboot with no manager
//! in reach. Sealed, in the pieces in which managers send it.

use std::sync::Arc;

use certs::seal::{DataKey, SealError};
use services::codec::{CodecError, decode_directory, encode_directory};
use services::directory::{Directory, DirectoryDelta};

use super::kept::Kept;

const CONTEXT: &[u8] = b"agent directory";
const MAX_BYTES: usize = 128 << 20;

/// Why the file is not a directory. Nothing of it is used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Piece(#[from] CodecError),
    #[error("its pieces cannot be read: {0}")]
    Decode(#[from] bincode::error::DecodeError),
    #[error("its pieces cannot be written: {0}")]
    Encode(#[from] bincode::error::EncodeError),
}

impl Kept for Arc<Directory> {
    const FILE: &'static str = "directory";
    const LOSS: &'static str = "the file of networks and services is damaged and was set aside; \
         names and virtual addresses work when a manager is reached";
    const MAX_BYTES: u64 = MAX_BYTES as u64;
    type Error = DirectoryError;

    fn seal(&self, key: &DataKey) -> Result<Vec<u8>, DirectoryError> {
        let pieces = encode_directory(&self.since(&Directory::default()))?;
        let config = bincode::config::standard();
        let bytes = bincode::serde::encode_to_vec(&pieces, config)?;
        Ok(key.seal(CONTEXT, &bytes)?)
    }

    fn open(bytes: &[u8], key: &DataKey) -> Result<Self, DirectoryError> {
        let bytes = key.open(CONTEXT, bytes)?;
        let config = bincode::config::standard().with_limit::<MAX_BYTES>();
        let (pieces, _): (Vec<Vec<u8>>, _) = bincode::serde::decode_from_slice(&bytes, config)?;
        let mut whole = DirectoryDelta::default();
        for piece in pieces {
            whole.extend(decode_directory(&piece)?);
        }
        let mut directory = Directory::default();
        directory.apply(whole);
        Ok(Arc::new(directory))
    }
}
