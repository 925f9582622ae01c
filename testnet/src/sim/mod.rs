//! Whole gossip swarms in one process, in virtual time, from one seed.
//!
//! Each member is the very [`gossip::machine::Machine`] that runs on a device; the
//! network between them is a queue of letters with delays, losses and cuts
//! ([`swarm`]). Keys are fake ([`keys`]): who forges what is tested elsewhere. What
//! the members believe is compared with the truth at every change ([`beliefs`]),
//! and what they send is counted ([`traffic`]).

mod beliefs;
mod keys;
mod swarm;
#[cfg(test)]
mod tests;
mod traffic;

pub use beliefs::Beliefs;
pub use swarm::{Options, Swarm};
pub use traffic::{Sent, Traffic};
