//! Managers speaking to each other, over QUIC.
//!
//! Each manager keeps one connection to each other one for what it asks, so
//! between two there are two. Every request has a stream of its own, but for
//! appends, which follow each other on one without waiting.

mod client;
mod frame;
pub(crate) mod message;
mod peers;
mod server;

pub(crate) use client::Network;
pub use peers::Dial;
pub(crate) use peers::Peers;
pub(crate) use server::serve;
