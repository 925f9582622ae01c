//! Gossip as its users see it: real sockets and certificates, on loopback.

#![allow(clippy::disallowed_methods, reason = "tests of the shell, which acts")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml exempts test functions but not the helpers beside them"
)]

mod bytes;
mod common;
mod members;
mod strangers;
