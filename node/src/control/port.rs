//! A UDP port that speaks QUIC: opening it, letting go of it, and how patient
//! its connections are.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::{
    Endpoint, EndpointConfig, IdleTimeout, ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use tokio::time::Instant;

/// Bytes that a stranger may send before they are read, on all streams.
pub const STRANGER: VarInt = VarInt::from_u32(64 << 10);
/// The same for a member, whose streams have limits of their own.
pub const MEMBER: VarInt = VarInt::from_u32(u32::MAX);

/// An attempt to reach a peer that is gone takes 3 s to drain (RFC 9000 10.2:
/// three times the probe timeout, which is a second before the first answer).
const PORT_WITHIN: Duration = Duration::from_secs(4);
const CLOSED_WITHIN: Duration = Duration::from_millis(500);

/// # Errors
/// The port is taken, or why it cannot be had.
pub async fn listen(
    config: EndpointConfig,
    server: ServerConfig,
    addr: SocketAddr,
) -> io::Result<Endpoint> {
    // Whoever had it a moment ago may still be letting go of it: quinn closes
    // its socket in the background.
    let deadline = Instant::now() + PORT_WITHIN;
    let socket = loop {
        match UdpSocket::bind(addr) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            bound => break bound?,
        }
    };
    Endpoint::new(config, Some(server), socket, Arc::new(TokioRuntime))
}

/// Ends all connections and lets go of the port.
pub async fn close(endpoint: &Endpoint) {
    endpoint.close(0u32.into(), b"");
    // A peer that does not answer must not hold up the end.
    let _ = tokio::time::timeout(CLOSED_WITHIN, endpoint.wait_idle()).await;
}

/// For the side that accepts. A silent peer is noticed within 4 s; whoever needs
/// to know sooner beats.
pub fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(4_000))))
        .max_concurrent_bidi_streams(256u32.into())
        .max_concurrent_uni_streams(0u32.into());
    transport
}

/// For the side that dials, which keeps the connection alive for both: each does
/// it at the same moment otherwise, for twice the packets.
pub fn dialling() -> TransportConfig {
    let mut transport = transport();
    transport.keep_alive_interval(Some(Duration::from_millis(1_500)));
    transport
}
