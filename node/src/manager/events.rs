//! What happened in the swarm lately, for people: nodes that went and came,
//! managers that were made and unmade, and why. The leader notes it in memory;
//! what it decided is in the log of the swarm, and its own log has it too.

use services::{Id, Timestamp};

use super::recent::Recent;

pub type Events = Recent<Event>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub at: Timestamp,
    pub kind: Kind,
    pub node: Id,
    /// What people call the node.
    pub name: String,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A node joined, went or came back.
    Node,
    /// A change of who leads and who votes.
    Manager,
    /// A decision of the autopilot.
    Autopilot,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Manager => "manager",
            Self::Autopilot => "autopilot",
        }
    }
}

impl Event {
    pub fn log(&self) {
        tracing::info!(kind = self.kind.as_str(), node = %self.name, "{}", self.text);
    }
}
