//! The word that somebody meant who wrote another.

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
    let near = similar.map(|name| (distance(&word, name), name));
    let (distance, name) = near.min()?;
    (distance <= slips).then_some(name)
}

/// How many letters must be put in, left out or changed (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, letter) in one.chars().enumerate() {
        let mut diagonal = above;
        let mut left = above + 1;
        for (at, wanted) in other.iter().enumerate() {
            let up = row[at + 1];
            let changed = diagonal + usize::from(letter != *wanted);
            diagonal = up;
            row[at] = left;
            left = changed.min(up + 1).min(left + 1);
        }
        row[other.len()] = left;
    }
    row[other.len()]
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

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (one, other, wanted) in [
            ("", "", 0),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
        ] {
            assert_eq!(distance(one, other), wanted, "{one} {other}");
        }
    }
}
