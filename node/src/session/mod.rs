//! Sessions: how a worker learns what to run and tells how it goes.
//!
//! A worker keeps one session with one manager, any manager: each holds the
//! whole state. Down go the assignments (all of them once, then what changed)
//! and what the node should know of the swarm; up go the state of the engine
//! and of the tasks (all once, then what changed). Both sides beat, and both
//! give up on silence. A session that breaks is begun anew with another
//! manager; the containers do not notice.

pub mod client;
mod incoming;
pub mod server;
mod tickets;
mod turns;

use std::time::Duration;

/// How a worker takes its leave of its manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Farewell {
    /// It does not.
    #[default]
    None,
    /// Its daemon stops; the containers run on, and the next daemon adopts them.
    Pause,
    /// It leaves the swarm.
    Leave,
}

/// Each side says something at least so often.
pub const BEAT: Duration = Duration::from_millis(500);
/// Silence after which a side gives the session up.
pub const PATIENCE: Duration = Duration::from_secs(2);
