//! Exchanges as libp2p's request-response carries them: a stream each, of one
//! frame there and one frame back, whose end is the end of the stream.

use std::io;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response::{Behaviour, Codec, Config, ProtocolSupport};

use crate::wire::MAX_EXCHANGE;

const PROTOCOL: StreamProtocol = StreamProtocol::new("/swl-gossip/1");
/// For one to be answered in, a new connection included.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Under way at once on one connection; each may hold [`MAX_EXCHANGE`] bytes.
const MAX_CONCURRENT: usize = 4;

/// Frames are decoded where a wrong one can be traced to its sender.
#[derive(Debug, Clone, Default)]
pub struct Frames;

pub type Exchanges = Behaviour<Frames>;

pub fn exchanges() -> Exchanges {
    let config = Config::default()
        .with_request_timeout(ANSWER_WITHIN)
        .with_max_concurrent_streams(MAX_CONCURRENT);
    Behaviour::with_codec(Frames, [(PROTOCOL, ProtocolSupport::Full)], config)
}

impl Codec for Frames {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io).await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        frame: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&frame).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        frame: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&frame).await
    }
}

async fn read(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut frame = Vec::new();
    let limit = MAX_EXCHANGE as u64;
    io.take(limit + 1).read_to_end(&mut frame).await?;
    if frame.len() > MAX_EXCHANGE {
        let error = format!("a frame of more than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_is_read_up_to_its_limit_and_no_further() {
        let mut fits = futures::io::repeat(7).take(MAX_EXCHANGE as u64);
        let frame = Frames.read_request(&PROTOCOL, &mut fits).await.unwrap();
        assert_eq!(frame.len(), MAX_EXCHANGE);
        let mut endless = futures::io::repeat(7);
        let error = Frames.read_response(&PROTOCOL, &mut endless).await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
