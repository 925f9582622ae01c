//! Real hosts on one machine, for testing swarmlet as it will be run.
//!
//! A *testnet* is a switch and up to eight hosts plugged into it. A host is a
//! set of namespaces with an init of ours as PID 1, a disk, a Docker Engine
//! and a swarmlet daemon. Hosts can lose their cable and their power, and each
//! service in them can be killed, paused and started, so that what happens to
//! devices in the field happens here in seconds; what happens to networks is in
//! `faults`. Start reading at [`Testnet`] and [`Host`]; `plan` says what a
//! testnet looks like, `init` what a host is.

mod artifacts;
mod cable;
pub mod cgroups;
mod command;
mod control;
mod error;
mod faults;
mod host;
mod http;
mod images;
mod init;
mod netns;
mod packages;
pub mod plan;
pub mod procs;
mod service;
pub mod sim;
mod starve;
mod store;
mod swarm;
mod testnet;
mod wait;

pub use artifacts::{Artifacts, cargo, target_dir, workspace_dir};
pub use command::Output;
pub use control::{ServiceName, ServiceReport, ServiceState};
pub use error::{Error, Result};
pub use host::{Host, Power, tail};
pub use http::{Response, get as http_get, get_within as http_get_within, over_unix};
pub use images::Images;
pub use init::run as run_init;
pub use netns::Netns;
pub use packages::{ensure_packages, ensure_programs};
pub use procs::Usage;
pub use service::Service;
pub use starve::Starving;
pub use testnet::{Options, Testnet, run_switch};
pub use wait::wait_for;
