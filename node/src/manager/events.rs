//! What happened in the swarm lately, for people: nodes that went and came,
//! managers that were made and unmade, and why. The leader notes it in memory;
//! what it decided is in the log of the swarm, and its own log has it too.

use std::collections::VecDeque;
use std::sync::Mutex;

use services::{Id, Timestamp};
use tokio::sync::watch;

use crate::control::lock;

/// Older events are forgotten.
const KEPT: usize = 256;

#[derive(Debug)]
pub struct Events {
    kept: Mutex<VecDeque<Event>>,
    /// How many there were, ever.
    count: watch::Sender<u64>,
}

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

impl Default for Events {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            count: watch::Sender::new(0),
        }
    }
}

impl Events {
    pub fn add(&self, event: Event) {
        tracing::info!(kind = event.kind.as_str(), node = %event.name, "{}", event.text);
        let mut kept = lock(&self.kept);
        kept.push_back(event);
        if kept.len() > KEPT {
            kept.pop_front();
        }
        self.count.send_modify(|count| *count += 1);
    }

    /// Those that are kept of the ones after the first `seen`, and how many
    /// there were in all.
    pub fn after(&self, seen: u64) -> (Vec<Event>, u64) {
        let kept = lock(&self.kept);
        let count = *self.count.borrow();
        let new = count.saturating_sub(seen).min(kept.len() as u64) as usize;
        (kept.iter().skip(kept.len() - new).cloned().collect(), count)
    }

    /// How many there were, now and whenever that changes.
    pub fn count(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: usize) -> Event {
        Event {
            at: Timestamp(number as u64),
            kind: Kind::Node,
            node: Id::from_u128(1),
            name: "h1".into(),
            text: number.to_string(),
        }
    }

    #[test]
    fn the_last_ones_are_kept_and_each_is_told_once() {
        let events = Events::default();
        (0..10).for_each(|number| events.add(event(number)));
        let (seen, count) = events.after(0);
        assert_eq!((seen.len(), count), (10, 10));
        (10..KEPT * 2).for_each(|number| events.add(event(number)));
        let (seen, count) = events.after(0);
        assert_eq!((seen.len(), count), (KEPT, KEPT as u64 * 2));
        assert_eq!(seen[0], event(KEPT));
        let (seen, _) = events.after(count - 1);
        assert_eq!(seen, [event(KEPT * 2 - 1)]);
        assert_eq!(events.after(count).0, []);
    }
}
