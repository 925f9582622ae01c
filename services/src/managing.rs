//! The labels with which users steer how many managers there are.
//!
//! Docker's API has no field for it, so it travels in labels of the swarm and
//! of nodes, which every client can set. They are checked when they are set.

use crate::command::{Refusal, RefusalKind};
use crate::spec::Labels;

/// Of the swarm: how many managers there should be, 1, 3, 5 or 7.
pub const MANAGERS: &str = "swarmlet.managers";
/// Of the swarm: `on` or `off`.
pub const AUTOPILOT: &str = "swarmlet.autopilot";
/// Of a node: `true` where the autopilot may make it a manager.
pub const CANDIDATE: &str = "swarmlet.manager-candidate";
/// Of a node: managers are spread over its values.
pub const ZONE: &str = "zone";

/// How many managers there should be where nobody said so.
pub const DEFAULT_MANAGERS: usize = 3;

/// How many managers are wanted; `None` where nobody said so.
///
/// # Errors
/// What the label must be, if it is something else.
pub fn managers(cluster: &Labels) -> Result<Option<usize>, Refusal> {
    match cluster.get(MANAGERS).map(String::as_str) {
        None => Ok(None),
        Some("1") => Ok(Some(1)),
        Some("3") => Ok(Some(3)),
        Some("5") => Ok(Some(5)),
        Some("7") => Ok(Some(7)),
        Some(other) => Err(invalid(format!(
            "label {MANAGERS} must be 1, 3, 5 or 7, not {other:?}: an even number of managers \
             bears no more failures than one less, and more than 7 are slow to agree"
        ))),
    }
}

/// Whether managers are made and unmade without a command.
///
/// # Errors
/// What the label must be, if it is something else.
pub fn autopilot(cluster: &Labels) -> Result<bool, Refusal> {
    match cluster.get(AUTOPILOT).map(String::as_str) {
        None | Some("on") => Ok(true),
        Some("off") => Ok(false),
        Some(other) => Err(invalid(format!(
            "label {AUTOPILOT} must be on or off, not {other:?}"
        ))),
    }
}

/// Whether a node may be made a manager without a command.
///
/// # Errors
/// What the label must be, if it is something else.
pub fn candidate(node: &Labels) -> Result<bool, Refusal> {
    match node.get(CANDIDATE).map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(invalid(format!(
            "label {CANDIDATE} must be true or false, not {other:?}"
        ))),
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    RefusalKind::InvalidArgument.because(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(key: &str, value: &str) -> Labels {
        Labels::from([(key.to_owned(), value.to_owned())])
    }

    #[test]
    fn only_an_odd_number_of_managers_is_accepted() {
        assert_eq!(managers(&Labels::new()), Ok(None));
        for (text, wanted) in [("1", 1), ("3", 3), ("5", 5), ("7", 7)] {
            assert_eq!(managers(&label(MANAGERS, text)), Ok(Some(wanted)));
        }
        for text in ["", "0", "2", "4", "9", "-3", "three", "03"] {
            let refused = managers(&label(MANAGERS, text)).unwrap_err();
            assert!(refused.message.contains("must be 1, 3, 5 or 7"), "{text}");
        }
    }

    #[test]
    fn switches_are_spelt_out() {
        assert_eq!(autopilot(&Labels::new()), Ok(true));
        assert_eq!(autopilot(&label(AUTOPILOT, "off")), Ok(false));
        assert!(autopilot(&label(AUTOPILOT, "no")).is_err());
        assert_eq!(candidate(&Labels::new()), Ok(false));
        assert_eq!(candidate(&label(CANDIDATE, "true")), Ok(true));
        assert!(candidate(&label(CANDIDATE, "yes")).is_err());
    }
}
