//! Names: what a container is told when it asks for another.
//!
//! Containers ask Docker's embedded resolver, which asks the gateway address from
//! within the container's namespace; so whoever asks is known by the source
//! address, and is told only of networks that it is on. [`zone`] is what there is
//! to know, [`answer`] decides, `wire` speaks RFC 1035, `limits` keeps one asker
//! from using up what is there for all. [`server`] has the sockets, and `upstream`
//! asks the world for what is not of the overlay. No manager is needed.

pub mod answer;
mod limits;
pub mod resolv;
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the shell acts; see clippy.toml"
)]
pub mod server;
#[cfg(test)]
mod tests;
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the shell acts; see clippy.toml"
)]
mod upstream;
mod wire;
pub mod zone;

pub use resolv::Upstream;
pub use server::{Config, Counters, NameServer};
pub use zone::Zone;
