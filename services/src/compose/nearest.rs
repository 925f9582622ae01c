//! The word that somebody meant who wrote another.

use strsim::levenshtein;

/// What is longer is no slip of a key.
const MAX_LENGTH: usize = 40;

/// The one of `known` that `word` is a slip away from.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > MAX_LENGTH {
        return None;
    }
    let word = word.to_ascii_lowercase().replace('-', "_");
    let slips = 1 + word.len() / 4;
    let similar = known.filter(|name| name.len().abs_diff(word.len()) <= slips);
    let near = similar.map(|name| (levenshtein(&word, name), name));
    let (distance, name) = near.min()?;
    (distance <= slips).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["image", "environment", "read_only", "ports"];
        for (word, meant) in [
            ("imgae", Some("image")),
            ("enviroment", Some("environment")),
            ("read-only", Some("read_only")),
            ("port", Some("ports")),
            ("Image", Some("image")),
            ("replicas", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, known.into_iter()), meant, "{word}");
        }
    }
}
