//! Names for services that were created without one.

#[rustfmt::skip]
const ADJECTIVES: [&str; 32] = [
    "able", "amber", "brave", "brisk", "calm", "clever", "crisp", "eager", "fair", "fond",
    "gentle", "glad", "golden", "happy", "humble", "jolly", "keen", "kind", "lively", "lucid",
    "merry", "mild", "nimble", "noble", "proud", "quick", "quiet", "sharp", "silent", "sunny",
    "swift", "warm",
];
#[rustfmt::skip]
const NOUNS: [&str; 32] = [
    "badger", "beaver", "bison", "condor", "crane", "dolphin", "egret", "falcon", "ferret",
    "finch", "gecko", "heron", "hornet", "ibex", "jackdaw", "kestrel", "lemming", "lynx",
    "marmot", "marten", "newt", "osprey", "otter", "petrel", "plover", "raven", "salmon",
    "stoat", "swallow", "tapir", "vole", "wren",
];

/// A name such as `brisk_otter` that is not `taken`, from random bits. Some of
/// the 1024 names are tried, then digits follow.
pub(super) fn free(taken: impl Fn(&str) -> bool, random: u128) -> String {
    (0..8)
        .map(|attempt| of(random >> (10 * attempt)))
        .find(|name| !taken(name))
        .unwrap_or_else(|| format!("{}{:08}", of(random), (random >> 80) % 100_000_000))
}

fn of(bits: u128) -> String {
    let adjective = ADJECTIVES[(bits % 32) as usize];
    let noun = NOUNS[(bits / 32 % 32) as usize];
    format!("{adjective}_{noun}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_name_is_not_chosen() {
        assert_eq!(free(|_| false, 1 << 10), "able_badger");
        assert_eq!(free(|name| name == "able_badger", 1 << 10), "amber_badger");
    }

    #[test]
    fn a_name_is_found_where_all_are_taken() {
        assert_eq!(free(|_| true, 7 << 80), "able_badger00000007");
    }
}
