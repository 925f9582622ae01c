//! Packets between nodes: one TUN device, one UDP port, one QUIC connection per
//! pair of nodes.
//!
//! What comes out of the TUN is a packet of a container here (or of a client that
//! asks for a published port); its destination says the node, and it goes there
//! as one datagram. What comes from a peer is judged again, by what that peer may
//! send, and written to the TUN. Which is decided in [`routing`]; the rest is about
//! doing it in large portions ([`segment`], [`coalesce`]), because at 1,400 bytes
//! apiece it is the number of packets that costs.

pub mod busy_poll;
pub mod coalesce;
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the shell acts; see clippy.toml"
)]
mod driver;
pub mod flows;
pub mod links;
pub mod packet;
pub mod probe;
pub mod report;
pub mod routing;
pub mod segment;
pub mod too_big;
pub mod wire;

pub use driver::{Config, Tunnel};
pub use probe::{Echoes, Probed};
pub use report::{Drops, PathReport, PeerReport, Report};
pub use routing::{Local, Remote, Routing};

#[cfg(test)]
mod tests;
