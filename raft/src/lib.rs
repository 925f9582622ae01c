//! What was agreed: a replicated log of commands, and the state they make.
//!
//! Managers agree on an order of commands with Raft, and each applies them to
//! its own [`StateMachine`]. [`Raft`] is a member of such a group: it proposes
//! commands, waits until the local state is current, tells who leads, and
//! changes the members.
//!
//! The crate knows bytes, members and disks, not what the commands mean. The
//! consensus is openraft's; its types stop at this door, because they still
//! change. Inside, `log` and `snapshot` are the files, `net` is what managers
//! say to each other, `engine` joins them to openraft, `supervisor` keeps it
//! running, `pace` keeps it quiet, `forward` finds the leader, `leader` is what it
//! does when asked, and `takeover` goes on with one member of those there were.

mod codec;
mod config;
mod engine;
mod error;
mod forward;
mod leader;
mod log;
mod machine;
mod meta;
mod net;
mod pace;
mod raft;
mod snapshot;
mod status;
mod supervisor;
mod takeover;
#[cfg(test)]
mod tests;
mod types;

pub use codec::MAX_COMMAND;
pub use config::{Config, Member};
pub use error::{MemberError, OpenError, ProposeError, ReadError};
pub use machine::{Freeze, StateMachine};
pub use net::Dial;
pub use raft::{Applied, Raft};
pub use status::{MemberStatus, Progress, Role, Status};

/// The protocol name of the log's connections.
pub const ALPN: &[u8] = b"swl-raft/1";
