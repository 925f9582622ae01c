//! How containers reach each other: addresses, routes, VIPs, names, and the
//! QUIC data plane.
//!
//! What is to be is computed from what managers say, what gossip says and what
//! runs here ([`view::View`]), and rendered to text and tables; thin drivers make
//! the kernel, the engine and the peers agree with it. All of a packet's way is
//! layer 3: a container's host routes it, to a veth of its own or through one TUN
//! device to the node where the address lives.

pub mod directory;
pub mod dns;
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the shell acts; see clippy.toml"
)]
pub mod host;
#[cfg(test)]
mod kit;
pub mod names;
#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "the shell's tests act; see clippy.toml"
)]
mod netns;
pub mod plugin;
pub mod rules;
pub mod table;
pub mod tunnel;
pub mod view;

/// The protocol of the overlay's connections on the data port.
pub const ALPN: &[u8] = b"swl-data/1";
/// UDP, one for the whole swarm; `--data-path-port` may say another.
pub const DATA_PORT: u16 = 4789;
