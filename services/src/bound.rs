//! Texts that come from nodes and engines may have any length. What is kept of
//! them, and sent, may not.

/// Of the error of one task, in bytes.
pub const MAX_ERROR: usize = 1024;

/// Cuts `text` to at most `limit` bytes, between two characters.
pub fn truncate(text: &mut String, limit: usize) {
    if text.len() > limit {
        let at = (0..=limit).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(at.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
