//! Histograms for openraft's internal statistics, in 0.5 KB each.
//!
//! A value is counted under its number of significant bits, so 65 counters span
//! all of `u64` and nothing has to be computed in advance. Only what openraft
//! calls is here; README.md says why this replaces the package of the same name.

use std::fmt;
use std::marker::PhantomData;

/// One bucket for zero and one for each possible highest bit.
const BUCKETS: usize = u64::BITS as usize + 1;

/// Counts of `u64` values by order of magnitude.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    counts: [u64; BUCKETS],
    slot: PhantomData<T>,
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Histogram<T> {
    /// A histogram without samples.
    pub fn new() -> Self {
        Self {
            counts: [0; BUCKETS],
            slot: PhantomData,
        }
    }

    /// Counts one sample.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts `count` samples of the same value.
    pub fn record_n(&mut self, value: u64, count: u64) {
        let bucket = (u64::BITS - value.leading_zeros()) as usize;
        self.counts[bucket] = self.counts[bucket].saturating_add(count);
    }

    /// How many samples were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// An upper bound, less than twice the sample, of the sample that `permille`
    /// of all samples do not exceed; 0 without samples.
    fn upper_bound(&self, permille: u64) -> u64 {
        let total = u128::from(self.total());
        let rank = (total * u128::from(permille)).div_ceil(1000).max(1);
        let mut seen = 0;
        for (bits, count) in self.counts.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= rank {
                return u64::MAX.checked_shr(u64::BITS - bits as u32).unwrap_or(0);
            }
        }
        0
    }

    /// The percentiles that openraft prints.
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats {
            samples: self.total(),
            p0_1: self.upper_bound(1),
            p1: self.upper_bound(10),
            p5: self.upper_bound(50),
            p10: self.upper_bound(100),
            p50: self.upper_bound(500),
            p90: self.upper_bound(900),
            p99: self.upper_bound(990),
            p99_9: self.upper_bound(999),
        }
    }
}

/// Upper bounds of a histogram's percentiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PercentileStats {
    /// Number of samples.
    pub samples: u64,
    /// 0.1th percentile.
    pub p0_1: u64,
    /// 1st percentile.
    pub p1: u64,
    /// 5th percentile.
    pub p5: u64,
    /// 10th percentile.
    pub p10: u64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            samples,
            p0_1,
            p1,
            p5,
            p10,
            p50,
            p90,
            p99,
            p99_9,
        } = self;
        write!(
            f,
            "[samples: {samples}, P0.1: {p0_1}, P1: {p1}, P5: {p5}, P10: {p10}, P50: {p50}, P90: {p90}, P99: {p99}, P99.9: {p99_9}]"
        )
    }
}

/// Several histograms under their names, one line each when displayed.
#[derive(Debug, Clone, Default)]
pub struct AsciiChart {
    series: Vec<(String, PercentileStats)>,
}

impl AsciiChart {
    /// A chart without lines.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line.
    #[must_use]
    pub fn add<T>(mut self, name: impl Into<String>, histogram: Histogram<T>) -> Self {
        self.series
            .push((name.into(), histogram.percentile_stats()));
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, stats) in &self.series {
            writeln!(f, "{name}: {stats}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_histogram_has_zero_percentiles() {
        let stats = Histogram::<()>::new().percentile_stats();
        assert_eq!(
            (stats.samples, stats.p0_1, stats.p50, stats.p99_9),
            (0, 0, 0, 0)
        );
    }

    #[test]
    fn a_percentile_is_at_most_twice_the_sample_it_stands_for() {
        let mut histogram = Histogram::<()>::new();
        for value in 1..=1000 {
            histogram.record(value);
        }
        let stats = histogram.percentile_stats();
        assert_eq!(stats.samples, 1000);
        for (bound, sample) in [(stats.p10, 100), (stats.p50, 500), (stats.p99, 990)] {
            assert!(
                sample <= bound && bound < 2 * sample,
                "{bound} for {sample}"
            );
        }
    }

    #[test]
    fn the_extremes_of_u64_are_counted() {
        let mut histogram = Histogram::<()>::new();
        histogram.record(0);
        assert_eq!(histogram.percentile_stats().p99_9, 0);
        histogram.record_n(u64::MAX, u64::MAX);
        assert_eq!(histogram.percentile_stats().p50, u64::MAX);
    }
}
