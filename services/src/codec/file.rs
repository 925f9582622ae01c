//! The content of one secret or config, on its way to a node and on its disk.

use serde::{Deserialize, Serialize};

use super::{CodecError, decode, encode, from_json, to_json};
use crate::file::FileContent;

/// Limit in bytes: a config of the largest size, and what is said of it.
pub const MAX_FILE: usize = 2 << 20;

#[derive(Serialize, Deserialize)]
enum FileRecord {
    V1 { content_json: String, data: Vec<u8> },
}

/// # Errors
/// `TooLarge` beyond [`MAX_FILE`].
pub fn encode_file(content: &FileContent) -> Result<Vec<u8>, CodecError> {
    encode::<MAX_FILE>(&FileRecord::V1 {
        content_json: to_json(content)?,
        data: content.data.bytes().to_vec(),
    })
}

/// # Errors
/// `TooLarge` and `Malformed`.
pub fn decode_file(bytes: &[u8]) -> Result<FileContent, CodecError> {
    let FileRecord::V1 { content_json, data } = decode::<_, MAX_FILE>(bytes)?;
    let content: FileContent = from_json(&content_json)?;
    Ok(FileContent {
        data: data.into(),
        ..content
    })
}

#[cfg(test)]
mod tests;
