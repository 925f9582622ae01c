//! The `swarmlet` node: one daemon that joins what the other crates know.
//!
//! `daemon` wires everything; read it first.

pub mod api;
pub mod cli;
