//! The API socket: Docker's Engine API, the swarm half answered by swarmlet
//! and the rest passed through to the local engine.

pub mod backend;
pub mod convert;
pub mod dto;
pub mod error;
pub mod json;
pub mod query;
pub mod route;

pub use route::is_swarm_route;
