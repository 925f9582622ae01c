//! The worker: what is assigned to this node, made true on its engine.
//!
//! [`Agent`] is the handle that the session holds. Behind it one task owns all
//! that is known (`tasks`, pure), asks `services::reconcile` what to do next,
//! and performs it as steps, at most one per task at a time. The engine
//! is watched by another task (`engine`); the disk is written by a third
//! (`disk::kept`). Whatever happens to a container is only ever learnt by inspecting
//! it: events, listings and restarts are reasons to look, never the answer.
//!
//! # What a dead container means
//!
//! A container that is found exited has either ended by itself, which is the
//! task's outcome, or was taken down with its engine (power cut, reboot,
//! `systemctl restart docker`), and is then started again. The exit code does
//! not tell: dockerd 20.10.24 reports 255, finished when the *next* engine
//! starts, if everything was killed at once, and the process's own code (0,
//! 137, 143…) if the engine was stopped or if it alone was killed. The rule:
//!
//! - An outcome that was seen is written down, so it is never mistaken later.
//! - A container without a recorded outcome that was last known to run (or,
//!   after a restart of the daemon, was found on the engine) has fallen with
//!   its engine if the engine's instance (`Runtime::instance`) has changed
//!   since; otherwise it ended by itself. The last instance is on disk, and
//!   is replaced there only when nothing that fell with it is still down.
//! - An engine that is shutting down refuses new connections before it stops its
//!   containers. So the deaths that it causes cannot be inspected, and are
//!   judged after its return by the rule above.
//!
//! # How a task ends that others talk to
//!
//! The overlay is told where tasks answer (`endpoints`), and nodes hear of it
//! through gossip. A task that runs and is to stop is first told to be no place
//! for new connections, and is sent its stop signal [`DRAIN`] later: it then has
//! its grace period for the connections that it has. A task that does not
//! answer anyway (ill, fallen, on no network) is not made to wait.

use std::time::Duration;

mod agent;
mod codec;
mod devices;
mod driver;
mod endpoints;
mod engine;
mod files;
mod hold;
mod links;
mod networks;
mod outcome;
mod statuses;
mod step;
mod tasks;
#[cfg(test)]
pub(crate) mod testing;

/// From telling that a task takes no new connections to its stop signal: news
/// floods a swarm within a few hundred milliseconds, and each node's rules change
/// some ten milliseconds later. A node that hears later than this refuses, at
/// worst, what a crash would have refused as well.
pub const DRAIN: Duration = Duration::from_secs(1);

pub use agent::{Agent, AgentConfig, AgentError};
pub use engine::EngineState;
pub use files::{MAX_FILES, TaskFiles};
pub use links::{Endpoints, Expected, Links, Resolvers, Unlinked};
pub use statuses::Statuses;
