//! From what is wanted and what is seen to what must change.

use crate::command::Change;
use crate::id::IdSource;
use crate::observed::Observed;
use crate::state::State;
use crate::time::Timestamp;

/// What one run decided.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// In order; each is guarded, so that they may be proposed in several
    /// pieces, the first ones first.
    pub changes: Vec<Change>,
    /// When to run again even if nothing is heard.
    pub next: Option<Timestamp>,
}

/// What has to change so that what runs becomes what is wanted.
pub fn plan(_: &State, _: &Observed, _: Timestamp, _: &mut dyn IdSource) -> Plan {
    Plan::default()
}
