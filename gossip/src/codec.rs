//! The one place that knows how records become bytes: bincode, with limits.
//!
//! What is decoded came from a peer, so every decoder is told how many bytes it
//! may read *and* allocate, and trailing bytes are an error: two peers that see
//! the same bytes see the same message.

use bincode::config;
use serde::{Serialize, de::DeserializeOwned};

/// Bytes that are not a message of this protocol. Nothing was changed by them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a gossip message: {0}")]
pub struct WireError(pub(crate) String);

/// Serialises a value of ours; it is complete, however long it becomes.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // Writing to a Vec cannot fail, and no type here has an unserialisable value.
    bincode::serde::encode_to_vec(value, config::standard()).unwrap_or_default()
}

/// How many bytes [`encode`] would return.
pub(crate) fn encoded_len<T: Serialize>(value: &T) -> usize {
    let mut count = Count(0);
    bincode::serde::encode_into_std_write(value, &mut count, config::standard()).unwrap_or(0)
}

/// Reads a value of at most `BYTES` bytes, all of which must belong to it.
/// `CLAIMED` is bincode's own limit: what it reads and what it reserves for
/// elements, which are larger in memory than on the wire.
pub(crate) fn decode<const BYTES: usize, const CLAIMED: usize, T: DeserializeOwned>(
    bytes: &[u8],
) -> Result<T, WireError> {
    if bytes.len() > BYTES {
        return Err(WireError(format!("{} bytes, at most {BYTES}", bytes.len())));
    }
    let config = config::standard().with_limit::<CLAIMED>();
    let (value, used) = bincode::serde::decode_from_slice(bytes, config)
        .map_err(|error| WireError(error.to_string()))?;
    if used != bytes.len() {
        return Err(WireError(format!("{} bytes too many", bytes.len() - used)));
    }
    Ok(value)
}

struct Count(usize);

impl std::io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
