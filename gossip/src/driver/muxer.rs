//! A QUIC connection as libp2p sees it: something that streams come from.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::future::BoxFuture;
use futures::{AsyncRead, AsyncWrite, FutureExt};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use quinn::{Connection, ConnectionError, RecvStream, SendStream};

type Opening = BoxFuture<'static, Result<(SendStream, RecvStream), ConnectionError>>;

/// The connection lives no longer than this, whoever else has a handle to it:
/// what libp2p does not admit, or drops, is closed.
pub struct Muxer {
    connection: Connection,
    inbound: Option<Opening>,
    outbound: Option<Opening>,
}

impl Muxer {
    pub fn new(connection: Connection) -> Self {
        Self {
            connection,
            inbound: None,
            outbound: None,
        }
    }
}

impl Drop for Muxer {
    fn drop(&mut self) {
        self.connection.close(0u32.into(), b"");
    }
}

impl StreamMuxer for Muxer {
    type Substream = Substream;
    type Error = ConnectionError;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Substream, ConnectionError>> {
        let connection = self.connection.clone();
        let opening = self
            .inbound
            .get_or_insert_with(|| async move { connection.accept_bi().await }.boxed());
        let opened = ready!(opening.poll_unpin(cx));
        self.inbound = None;
        Poll::Ready(opened.map(Substream::from))
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Substream, ConnectionError>> {
        let connection = self.connection.clone();
        let opening = self
            .outbound
            .get_or_insert_with(|| async move { connection.open_bi().await }.boxed());
        let opened = ready!(opening.poll_unpin(cx));
        self.outbound = None;
        Poll::Ready(opened.map(Substream::from))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        self.connection.close(0u32.into(), b"");
        Poll::Ready(Ok(()))
    }

    fn poll(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, ConnectionError>> {
        // Nothing happens to a connection but streams, and its end shows there.
        Poll::Pending
    }
}

/// Both directions of a QUIC stream.
pub struct Substream {
    send: SendStream,
    recv: RecvStream,
}

impl From<(SendStream, RecvStream)> for Substream {
    fn from((send, recv): (SendStream, RecvStream)) -> Self {
        Self { send, recv }
    }
}

impl AsyncRead for Substream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.recv.poll_read(cx, buf).map_err(io::Error::from)
    }
}

impl AsyncWrite for Substream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.send)
            .poll_write(cx, buf)
            .map_err(io::Error::from)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Closed already, by either side: there is nothing more to say.
        let _ = self.send.finish();
        Poll::Ready(Ok(()))
    }
}
