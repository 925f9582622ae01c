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

/// A name such as `brisk_otter` that is not `taken`; `random` gives 128 fresh
/// bits at each call. Some of the 1024 names are tried, then digits follow.
pub(super) fn free(taken: impl Fn(&str) -> bool, mut random: impl FnMut() -> u128) -> String {
    for _ in 0..16 {
        let name = of(random());
        if !taken(&name) {
            return name;
        }
    }
    let bits = random();
    format!("{}{:08}", of(bits), (bits >> 64) % 100_000_000)
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
        let mut bits = 0;
        let name = free(
            |name| name == "able_badger",
            || {
                bits += 1;
                bits - 1
            },
        );
        assert_eq!(name, "amber_badger");
    }

    #[test]
    fn a_name_is_found_where_all_are_taken() {
        let name = free(|name| !name.ends_with("00000007"), || 7 << 64);
        assert_eq!(name, "able_badger00000007");
    }
}
