//! What comes from nodes and engines may have any length. What is kept of it, and
//! sent, may not.

use crate::generic::Amount;
use crate::object::NodeDescription;

/// Of the error of one task, in bytes.
pub const MAX_ERROR: usize = 1024;

/// Cuts `text` to at most `limit` bytes, between two characters.
pub fn truncate(text: &mut String, limit: usize) {
    if text.len() > limit {
        let at = (0..=limit).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(at.unwrap_or(0));
    }
}

/// Of the lists in a node's description, and of a text in them, in bytes.
const MAX_LISTED: usize = 1000;
const MAX_KINDS: usize = 64;
const MAX_LISTED_TEXT: usize = 256;

/// Leaves out what no honest node says: managers keep it for each of them.
pub fn bound_description(description: &mut NodeDescription) {
    let fits = |text: &String| text.len() <= MAX_LISTED_TEXT;
    let devices = std::mem::take(&mut description.devices);
    description.devices = devices.into_iter().filter(fits).take(MAX_LISTED).collect();
    let generic = std::mem::take(&mut description.generic).into_iter();
    let generic = generic.filter(|(kind, _)| fits(kind)).take(MAX_KINDS);
    let generic = generic.map(|(kind, amount)| match amount {
        Amount::Discrete(number) => (kind, Amount::Discrete(number)),
        Amount::Named(names) => {
            let names = names.into_iter().filter(fits).take(MAX_LISTED);
            (kind, Amount::Named(names.collect()))
        }
    });
    description.generic = generic.collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_says_too_much_is_not_believed_all() {
        let numbered = |of: &str| (0..2000).map(|it| format!("{of}{it}")).collect();
        let mut description = NodeDescription {
            devices: numbered("/dev/x"),
            generic: [("gpu".to_owned(), Amount::Named(numbered("u")))].into(),
            ..NodeDescription::default()
        };
        description.devices.insert("x".repeat(10_000));
        bound_description(&mut description);
        assert_eq!(description.devices.len(), MAX_LISTED);
        assert!(description.devices.iter().all(|it| it.len() < 20));
        assert!(matches!(&description.generic["gpu"], Amount::Named(it) if it.len() == MAX_LISTED));
    }

    #[test]
    fn a_text_is_cut_between_two_characters() {
        let cut = |text: &str, limit| {
            let mut text = text.to_owned();
            truncate(&mut text, limit);
            text
        };
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abc", 2), "ab");
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("é", 1), "");
    }
}
