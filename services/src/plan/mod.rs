//! From what is wanted and what is seen to what must change.
//!
//! `plan` looks at everything and remembers nothing: whatever it needs to go
//! on with an update or a restart delay is in the state or in what the nodes
//! report, so a new leader continues where the last one stopped. Its stages
//! each own one question, and see what the earlier ones decided on a draft of
//! the state; they run until none of them has anything to add. So applying
//! the result and planning again, with nothing new seen, gives nothing.
//!
//! The stages' rules are swarmkit's (`manager/orchestrator`,
//! `manager/scheduler`), except that a task lost with its node is replaced
//! without its restart delay, that failures in a row back off, and that a
//! global job runs on nodes that come later, too.

mod allocate;
mod criteria;
mod dirt;
mod draft;
mod enforce;
mod jobs;
mod orchestrate;
mod outcome;
mod per_node;
mod reap;
mod replicas;
mod restart;
mod rotation;
mod schedule;
mod slot;
mod start;
#[cfg(test)]
mod tests;
mod update;

use crate::command::Change;
use crate::id::IdSource;
use crate::observed::Observed;
use crate::state::State;
use crate::time::Timestamp;
pub use dirt::is_task_dirty;
use draft::Draft;

/// Three are the most that any test has seen; the rest is for the unforeseen.
const MAX_PASSES: usize = 8;

/// So many changes, whatever they are, fit into one proposal
/// ([`crate::codec::MAX_PROPOSAL`]).
pub const CHANGES_PER_PROPOSAL: usize = 500;

/// What one run decided.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// In order. Each is checked when it is applied, so a long list is
    /// proposed in pieces of [`CHANGES_PER_PROPOSAL`], the first ones first.
    pub changes: Vec<Change>,
    /// When to run again even if nothing is heard.
    pub next: Option<Timestamp>,
}

/// What has to change so that what runs becomes what is wanted. `observed` is
/// by the caller's clock, as is `now`.
pub fn plan(state: &State, observed: &Observed, now: Timestamp, ids: &mut dyn IdSource) -> Plan {
    let mut draft = Draft::new(state, observed, now, ids);
    for _ in 0..MAX_PASSES {
        if !pass(&mut draft) {
            break;
        }
    }
    draft.into_plan()
}

/// Whether any stage had something to add.
fn pass(draft: &mut Draft) -> bool {
    draft.begin_pass();
    outcome::record(draft);
    enforce::reject_misplaced(draft);
    orchestrate::fill(draft);
    restart::replace_ended(draft);
    update::roll_out(draft);
    allocate::give(draft);
    start::release(draft);
    schedule::place(draft);
    reap::forget(draft);
    rotation::go_on(draft);
    draft.pass_changed()
}
