//! Forming a swarm without a command on each device: those that were given
//! the same *site key* find each other on the LAN, one founds, the rest join.
//!
//! [`decide`] says what this device does next, from what it has [`seen`]; both
//! are pure. Around them, `form` polls the other devices and performs the
//! step, `port` answers them while there is no control port yet, and `proof`
//! makes sure, over the very connection, that the other side knows the key.
//! `announce` announces this device, and `discover` asks around for anyone.

pub mod announce;
pub mod decide;
pub mod discover;
pub mod file;
pub mod form;
pub mod host;
pub mod lan;
pub mod port;
pub mod progress;
pub mod proof;
pub mod seen;
pub mod view;

pub use form::Options;
pub use progress::Progress;

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;
