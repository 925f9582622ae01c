//! What should run: specs, the replicated state and its commands, the plan
//! that turns wishes into tasks on nodes, and the worker's reconciler.
//!
//! Everything here is a pure function of its arguments: no tokio, no sockets,
//! no clock, no randomness. Time is a [`Timestamp`] and ids an [`IdSource`]
//! that the caller brings, so that a thousand failures a second can be played
//! through.

mod address;
mod apply;
pub mod assignment;
pub mod bound;
pub mod codec;
pub mod command;
pub mod compose;
pub mod constraint;
pub mod device;
pub mod directory;
mod endpoint;
pub mod expand;
pub mod file;
pub mod generic;
pub mod happened;
pub mod id;
pub mod managing;
pub mod object;
pub mod observed;
pub mod plan;
pub mod reconcile;
pub mod registry;
pub mod spec;
mod state;
mod subnets;
mod template;
#[cfg(test)]
mod testing;
pub mod text;
pub mod time;
mod validate;

pub use assignment::Assignment;
pub use command::{Answer, Change, Command, Proposal, Refusal, RefusalKind};
pub use directory::{Directory, DirectoryDelta};
pub use id::{Id, IdSource};
pub use observed::{NodeHealth, NodeObserved, NodeTrust, Observed};
pub use plan::{Plan, is_task_dirty, plan};
pub use reconcile::reconcile;
pub use state::State;
pub use subnets::{Taken, overlaps};
pub use time::Timestamp;
pub use validate::{validate_file, validate_network, validate_service};
