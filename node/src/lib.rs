//! The `swarmlet` node: one daemon that joins what the other crates know.
//!
//! `daemon` wires everything; read it first.

pub mod address;
pub mod api;
mod attach;
mod backend;
mod backoff;
pub mod cli;
mod clock;
pub mod control;
pub mod daemon;
mod disk;
mod doctor;
mod forward;
mod identity;
mod join;
mod logs;
mod manager;
mod membership;
mod network;
mod presence;
mod renewal;
mod routes;
pub mod runtime;
mod session;
mod site;
mod streams;
mod swarm;
mod waiting;
pub mod worker;
