//! Chance, from a seed: SplitMix64 (Steele et al., OOPSLA '14), eight bytes of
//! state, because a simulation has ten thousand of them. Nothing secret.

/// Mixes the bits of a number so that similar numbers become unrelated ones.
pub(super) const fn mix(number: u64) -> u64 {
    let z = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The halves of an id, mixed into one.
pub(super) const fn mix_id(id: u128) -> u64 {
    mix((id as u64) ^ mix((id >> 64) as u64))
}

#[derive(Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Less than `limit`, which is at least 1.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// Between three and five quarters of `duration`.
    pub fn around(&mut self, duration: std::time::Duration) -> std::time::Duration {
        let quarter = duration / 4;
        let millis = quarter.as_millis() as usize * 2;
        duration - quarter + std::time::Duration::from_millis(self.below(millis + 1) as u64)
    }
}
