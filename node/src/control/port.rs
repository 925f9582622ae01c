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

/// For a socket that was let go of to be closed, which quinn does in the background.
const PORT_WITHIN: Duration = Duration::from_secs(4);
/// For peers to answer the farewell. One that is gone never does, and an attempt to reach it takes
/// 3 s to drain (RFC 9000 10.2: three times the probe timeout, a second before the first answer).
const CLOSED_WITHIN: Duration = Duration::from_millis(500);

/// # Errors
/// The port is taken, or why it cannot be had.
pub async fn listen(
    config: EndpointConfig,
    server: ServerConfig,
    addr: SocketAddr,
) -> io::Result<Endpoint> {
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
    let idle = tokio::time::timeout(CLOSED_WITHIN, endpoint.wait_idle()).await;
    if idle.is_err()
        && let Err(error) = move_away(endpoint)
    {
        tracing::debug!(%error, "the port is free when all connections have drained");
    }
}

/// Goes on by another port, and lets go of this one.
pub fn move_away(endpoint: &Endpoint) -> io::Result<()> {
    let elsewhere = SocketAddr::new(endpoint.local_addr()?.ip(), 0);
    // Twice, since quinn keeps the last socket for what may still come.
    for _ in 0..2 {
        endpoint.rebind(UdpSocket::bind(elsewhere)?)?;
    }
    Ok(())
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
