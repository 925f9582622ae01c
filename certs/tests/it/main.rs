//! The crate as its users see it, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml exempts test functions but not the helpers beside them"
)]

mod authority;
mod common;
mod handshake;
mod identity;
mod rotation;
