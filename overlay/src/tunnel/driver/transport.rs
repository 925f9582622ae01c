//! How QUIC behaves between two nodes: a way for datagrams that does not hold
//! them back.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn_proto::congestion::{Controller, ControllerFactory};
use quinn_proto::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use crate::tunnel::wire::KIND;

/// A QUIC packet with one datagram: short header, packet number, tag, and the
/// frame's type and length, at their longest.
const OVERHEAD: usize = 1 + 20 + 4 + 16 + 9;
/// What every path carries (RFC 9000, 14).
const MIN_MTU: u16 = 1200;
const SEND_BUFFER: usize = 2 << 20;
const RECEIVE_BUFFER: usize = 4 << 20;
/// Sent and not yet acknowledged: what 5 Gb/s have under way in 100 ms. It bounds
/// the memory that a path without an answer costs.
const UNANSWERED: u64 = 64 << 20;
const IDLE: u32 = 10_000;
const KEEP_ALIVE: Duration = Duration::from_secs(3);

/// For packets of up to `mtu` bytes, of the containers.
pub(super) fn config(mtu: u16) -> TransportConfig {
    let needed = usize::from(mtu) + KIND + OVERHEAD;
    let needed = u16::try_from(needed).unwrap_or(u16::MAX).max(MIN_MTU);
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(needed);
    let mut config = TransportConfig::default();
    config
        // Starting below what containers send would tell their kernels a path MTU
        // that they keep for ten minutes. A path that carries less is found out.
        .initial_mtu(needed)
        .min_mtu(MIN_MTU)
        .mtu_discovery_config(Some(discovery))
        .datagram_send_buffer_size(SEND_BUFFER)
        .datagram_receive_buffer_size(Some(RECEIVE_BUFFER))
        .congestion_controller_factory(Arc::new(Unhindered::default()))
        .initial_rtt(Duration::from_millis(100))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE))))
        .max_concurrent_bidi_streams(0u32.into())
        .max_concurrent_uni_streams(0u32.into());
    config
}

/// Congestion control that leaves it to the flows inside, which do their own: a
/// second one around them would only queue and then drop what they paced.
#[derive(Debug, Clone, Default)]
struct Unhindered {
    unanswered: u64,
}

impl ControllerFactory for Unhindered {
    fn build(self: Arc<Self>, _now: Instant, _mtu: u16) -> Box<dyn Controller> {
        Box::new(Self::default())
    }
}

impl Controller for Unhindered {
    fn on_sent(&mut self, _now: Instant, bytes: u64, _last_packet_number: u64) {
        self.unanswered += bytes;
    }

    fn on_end_acks(
        &mut self,
        _now: Instant,
        in_flight: u64,
        _app_limited: bool,
        _largest_packet_num_acked: Option<u64>,
    ) {
        self.unanswered = in_flight;
    }

    fn on_congestion_event(
        &mut self,
        _now: Instant,
        _sent: Instant,
        _is_persistent_congestion: bool,
        _lost_bytes: u64,
    ) {
    }

    fn on_mtu_update(&mut self, _new_mtu: u16) {}

    /// Above 4 GiB quinn does not pace.
    fn window(&self) -> u64 {
        match self.unanswered < UNANSWERED {
            true => u64::MAX / 2,
            false => u64::from(MIN_MTU),
        }
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        u64::MAX / 2
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
