//! A network cable that can be pulled out, or broken in one direction: packets
//! are lost then, and nobody is told.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use quinn::{
    AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller,
    udp::{RecvMeta, Transmit},
};

/// The plug of one host. Clones are the same plug.
#[derive(Debug, Clone, Default)]
pub struct Plug(Arc<Lost>);

/// Which packets of the host are lost.
#[derive(Debug, Default)]
struct Lost {
    sent: AtomicBool,
    received: AtomicBool,
}

impl Plug {
    pub fn pull(&self) {
        self.0.sent.store(true, Ordering::Relaxed);
        self.deafen();
    }

    /// The host hears nobody, and is still heard.
    pub fn deafen(&self) {
        self.0.received.store(true, Ordering::Relaxed);
    }

    pub fn put_back(&self) {
        self.0.sent.store(false, Ordering::Relaxed);
        self.0.received.store(false, Ordering::Relaxed);
    }
}

struct Wire {
    inner: Arc<dyn AsyncUdpSocket>,
    plug: Plug,
}

/// A QUIC endpoint on a free port behind the plug.
pub fn endpoint(server: quinn::ServerConfig, plug: Plug) -> io::Result<quinn::Endpoint> {
    let socket = std::net::UdpSocket::bind(("127.0.0.1", 0))?;
    let inner = TokioRuntime.wrap_udp_socket(socket)?;
    quinn::Endpoint::new_with_abstract_socket(
        quinn::EndpointConfig::default(),
        Some(server),
        Arc::new(Wire { inner, plug }),
        Arc::new(TokioRuntime),
    )
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl AsyncUdpSocket for Wire {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        match self.plug.0.sent.load(Ordering::Relaxed) {
            true => Ok(()),
            false => self.inner.try_send(transmit),
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [io::IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let received = self.inner.poll_recv(cx, bufs, meta);
            if received.is_pending() || !self.plug.0.received.load(Ordering::Relaxed) {
                return received;
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}
