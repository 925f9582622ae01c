//! What is measured, round by round, and what it is held to.

use anyhow::Result;
use serde::Serialize;

use super::ways::Kind;
use super::{spread, transaction};
use crate::bench::figures::{median, table};

/// Of VXLAN's throughput, at least.
const OF_VXLAN: f64 = 0.4;
/// Of nebula's throughput, at least.
const OF_NEBULA: f64 = 8.0;
/// Microseconds above VXLAN's round trip at the 99th percentile, at most.
const ABOVE_VXLAN: f64 = 100.0;
/// Seconds until a change is known everywhere, at most.
const KNOWN: [(&str, f64); 3] = [
    (spread::KILLED, 1.0),
    (spread::ADDED, 1.0),
    (spread::POWER, 2.5),
];
/// Milliseconds for one endpoint's change, less than.
const CHANGE: f64 = 20.0;

/// One figure of everything that is compared by it.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    pub what: &'static str,
    pub ways: Vec<&'static str>,
    /// A row per round, a column per way or case.
    pub rounds: Vec<Vec<f64>>,
}

/// Measures every way once a round, in turn from the first and from the last,
/// and tells the figures. What is measured comes in the order of `names`.
pub fn alternate<const N: usize>(
    names: [&'static str; N],
    ways: &[&'static str],
    rounds: u64,
    mut measure: impl FnMut(usize) -> Result<[f64; N]>,
) -> Result<Vec<Figure>> {
    let mut figures = names.map(|what| Figure::new(what, ways));
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..ways.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        let mut row = vec![[0.0; N]; ways.len()];
        for way in order {
            row[way] = measure(way)?;
        }
        for (number, figure) in figures.iter_mut().enumerate() {
            figure
                .rounds
                .push(row.iter().map(|way| way[number]).collect());
        }
    }
    for figure in &figures {
        print!("\n{}", figure.table());
    }
    Ok(figures.to_vec())
}

impl Figure {
    pub fn new(what: &'static str, ways: &[&'static str]) -> Self {
        Self {
            what,
            ways: ways.to_vec(),
            rounds: Vec::new(),
        }
    }

    pub fn table(&self) -> String {
        let mut head = vec![self.what.to_owned()];
        head.extend(self.ways.iter().map(|way| (*way).to_owned()));
        let mut rows = vec![head];
        let row = |name: String, values: &[f64]| {
            let mut row = vec![name];
            row.extend(values.iter().map(|value| format!("{value:.2}")));
            row
        };
        for (number, values) in self.rounds.iter().enumerate() {
            rows.push(row((number + 1).to_string(), values));
        }
        let medians: Vec<f64> = (0..self.ways.len()).map(|way| self.middle(way)).collect();
        rows.push(row("median".into(), &medians));
        table(&rows)
    }

    /// The median of the way in column `way`.
    fn middle(&self, way: usize) -> f64 {
        let column = self.rounds.iter().filter_map(|round| round.get(way));
        median(&column.copied().collect::<Vec<_>>())
    }

    /// The median of what is called `name`.
    fn of(&self, name: &str) -> Option<f64> {
        let way = self.ways.iter().position(|way| *way == name)?;
        Some(self.middle(way))
    }
}

/// Where ours is beyond a limit; what was not measured sets none.
pub fn missed(figures: &[Figure]) -> Vec<String> {
    figures.iter().flat_map(Figure::missed).collect()
}

impl Figure {
    fn missed(&self) -> Vec<String> {
        let own = self.of(Kind::Swarmlet.name());
        let shares = [(OF_VXLAN, Kind::Vxlan), (OF_NEBULA, Kind::Nebula)];
        let mut bounds: Vec<(Option<f64>, bool, Option<f64>, String)> = Vec::new();
        if self.what.ends_with("Gb/s") {
            for (share, rival) in shares {
                let least = self.of(rival.name()).map(|theirs| share * theirs);
                bounds.push((own, true, least, format!("{share} of {}'s", rival.name())));
            }
        }
        if self.what.ends_with("p99 us") {
            let most = self
                .of(Kind::Vxlan.name())
                .map(|theirs| theirs + ABOVE_VXLAN);
            bounds.push((own, false, most, format!("{ABOVE_VXLAN} us above vxlan's")));
        }
        for (case, limit) in KNOWN {
            bounds.push((
                self.of(case),
                false,
                Some(limit),
                format!("the limit for {case}"),
            ));
        }
        let change = self.of(transaction::CHANGE);
        bounds.push((change, false, Some(CHANGE), "the limit".into()));
        let broken = bounds.into_iter().filter_map(|(value, least, bound, of)| {
            let (value, bound) = (value?, bound?);
            let kept = if least {
                value >= bound
            } else {
                value <= bound
            };
            (!kept).then(|| format!("{}: {value:.2} for {bound:.2}, {of}", self.what))
        });
        broken.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(what: &'static str, values: [f64; 3]) -> Figure {
        Figure {
            what,
            ways: vec!["vxlan", "nebula", "swarmlet"],
            rounds: vec![values.to_vec(), values.to_vec()],
        }
    }

    #[test]
    fn throughput_is_held_to_a_share_of_each_rivals() {
        let keeps = figure("Gb/s", [10.0, 0.5, 4.0]);
        assert_eq!(missed(&[keeps]), Vec::<String>::new());
        let both = missed(&[figure("Gb/s", [10.0, 0.5, 3.9])]);
        assert_eq!(both.len(), 2, "{both:?}");
    }

    #[test]
    fn the_round_trip_is_held_to_vxlans_at_the_99th_percentile_only() {
        let middle = figure("p50 us", [10.0, 1.0, 500.0]);
        assert_eq!(missed(&[middle]), Vec::<String>::new());
        let tail = missed(&[figure("p99 us", [10.0, 1.0, 111.0])]);
        assert_eq!(tail.len(), 1, "{tail:?}");
    }

    #[test]
    fn a_table_has_every_round_and_the_median() {
        let text = figure("x", [1.0, 2.0, 3.0]).table();
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(
            text.ends_with("median   1.00    2.00      3.00\n"),
            "{text}"
        );
    }
}
