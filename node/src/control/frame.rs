//! Frames on a stream: a length (u32, little endian), then one bincode value.
//!
//! A frame has a limit that its reader sets, and a value must use all of its
//! frame. The protocol's version is in the ALPN, so frames carry none.

use std::io;

use quinn::{RecvStream, SendStream};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Enough for a batch of assignments or reports; larger sets are cut up.
pub const MAX_FRAME: usize = 4 << 20;

const CODEC: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<MAX_FRAME>,
> = bincode::config::standard().with_limit::<MAX_FRAME>();

pub fn encode<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let body = bincode::serde::encode_to_vec(value, CODEC).map_err(io::Error::other)?;
    if body.len() > MAX_FRAME {
        return Err(too_long(body.len(), MAX_FRAME));
    }
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend_from_slice(&(body.len() as u32).to_le_bytes());
    frame.extend_from_slice(&body);
    Ok(frame)
}

pub fn decode<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    let (value, used) = bincode::serde::decode_from_slice(body, CODEC).map_err(invalid)?;
    if used != body.len() {
        return Err(invalid("bytes after the end of a value"));
    }
    Ok(value)
}

pub async fn send<T: Serialize>(stream: &mut SendStream, value: &T) -> io::Result<()> {
    stream.write_all(&encode(value)?).await?;
    Ok(())
}

/// The next value, or `None` where the peer finished its side between frames.
pub async fn recv<T: DeserializeOwned>(stream: &mut RecvStream) -> io::Result<Option<T>> {
    recv_at_most(stream, MAX_FRAME).await
}

/// [`recv`], from somebody who has no business with long frames.
pub async fn recv_at_most<T: DeserializeOwned>(
    stream: &mut RecvStream,
    limit: usize,
) -> io::Result<Option<T>> {
    let mut length = [0u8; 4];
    match stream.read_exact(&mut length).await {
        Ok(()) => {}
        Err(quinn::ReadExactError::FinishedEarly(0)) => return Ok(None),
        Err(error) => return Err(io::Error::other(error)),
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > limit {
        return Err(too_long(length, limit));
    }
    let mut body = vec![0; length];
    stream
        .read_exact(&mut body)
        .await
        .map_err(io::Error::other)?;
    decode(&body).map(Some)
}

fn too_long(length: usize, limit: usize) -> io::Error {
    invalid(format!("a frame of {length} bytes, the limit is {limit}"))
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_bytes_behind_it_is_refused() {
        let mut frame = encode(&7u32).unwrap();
        frame.push(0);
        assert!(decode::<u32>(&frame[4..]).is_err());
    }

    #[test]
    fn a_length_that_lies_allocates_nothing() {
        let hostile = [0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert!(decode::<Vec<u8>>(&hostile).is_err());
    }
}
