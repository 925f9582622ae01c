//! The command line: a client of the node's API socket.
//!
//! [`args`] says what can be typed, [`values`] reads the small languages of its
//! values, [`spec`] turns them into a service's spec, [`view`] and
//! [`progress`] turn answers into text. All of these are pure. [`commands`]
//! carries requests and answers between them and the socket ([`client`]), and
//! [`daemon`] starts a daemon where `init` and `join` find none.

pub mod args;
mod values;
