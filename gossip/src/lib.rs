//! Who is here: LAN discovery, membership, failure detection, and the facts
//! that each node publishes about itself.
//!
//! The core decides ([`machine`]): a state machine without sockets or clock
//! that is handed what was heard and says what to send. Around it, `driver`
//! performs that over libp2p, on connections of the control endpoint that TLS
//! has already admitted. [`discovery`] is the only part that strangers hear.
//!
//! What gossip says is a hint: managers act early on it and the data plane
//! routes by it, but it overrides nothing that the swarm has agreed on.

mod codec;
pub mod connections;
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the shell acts; see clippy.toml"
)]
pub mod discovery;
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the shell acts; see clippy.toml"
)]
pub mod driver;
pub mod endpoints;
pub mod facts;
pub mod machine;
pub mod record;
pub mod view;
pub mod wire;

pub use discovery::{Announcement, Discovery, Found};
pub use driver::{Config, Dial, Gossip};
pub use facts::{Endpoint, Facts, Load, Platform, Resources, Ticket};
pub use view::{Liveness, Member, Through};

/// The protocol of gossip connections on the control endpoint.
pub const ALPN: &[u8] = b"swl-gossip/1";
