//! Messages on a QUIC stream: a length, then that many bytes.

use std::io;

use serde::{Serialize, de::DeserializeOwned};

use crate::codec::{self, MAX_RECORD};

pub(crate) async fn send<T: Serialize>(
    stream: &mut quinn::SendStream,
    message: &T,
) -> io::Result<()> {
    let mut frame = vec![0; 4];
    codec::encode_into(message, &mut frame)?;
    let len = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&len.to_le_bytes());
    stream.write_all(&frame).await.map_err(io::Error::from)
}

/// The next message; `None` where the sender ended the stream between two.
pub(crate) async fn receive<T: DeserializeOwned>(
    stream: &mut quinn::RecvStream,
) -> io::Result<Option<T>> {
    let mut len = [0; 4];
    match stream.read_exact(&mut len).await {
        Ok(()) => {}
        Err(quinn::ReadExactError::FinishedEarly(0)) => return Ok(None),
        Err(error) => return Err(into_io(error)),
    }
    let len = u32::from_le_bytes(len) as usize;
    if len > MAX_RECORD {
        let problem = format!("a frame of {len} bytes, at most {MAX_RECORD} are allowed");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await.map_err(into_io)?;
    Ok(Some(codec::decode(&bytes)?))
}

fn into_io(error: quinn::ReadExactError) -> io::Error {
    match error {
        quinn::ReadExactError::FinishedEarly(_) => io::ErrorKind::UnexpectedEof.into(),
        quinn::ReadExactError::ReadError(error) => error.into(),
    }
}
