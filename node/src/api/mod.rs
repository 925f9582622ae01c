//! The API socket: Docker's Engine API, the swarm half answered by swarmlet
//! and the rest passed through to the local engine.

pub mod dto;
