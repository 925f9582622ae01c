//! Arithmetic and layout of measured figures.

/// The middle value; the mean of the two middle ones of an even number, and 0
/// of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.len() % 2, sorted.get(middle)) {
        (_, None) => 0.0,
        (1, Some(value)) => *value,
        (_, Some(upper)) => f64::midpoint(sorted[middle - 1], *upper),
    }
}

/// The smallest value that at least `percent` of 100 values do not exceed, and
/// 0 of none.
pub fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// Lines of right-aligned columns below a first, left-aligned one.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if column == 0 {
                line += &format!("{cell:width$}");
            } else {
                line += &format!("  {cell:>width$}");
            }
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(value: f64, expected: f64) -> bool {
        (value - expected).abs() < 1e-9
    }

    #[test]
    fn the_median_is_the_middle() {
        assert!(is(median(&[3.0, 1.0, 2.0]), 2.0));
        assert!(is(median(&[4.0, 1.0, 2.0, 3.0]), 2.5));
        assert!(is(median(&[7.0]), 7.0));
        assert!(is(median(&[]), 0.0));
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert!(is(percentile(&values, 50), 2.0));
        assert!(is(percentile(&values, 99), 4.0));
        assert!(is(percentile(&values, 100), 4.0));
        assert!(is(percentile(&[], 99), 0.0));
    }

    #[test]
    fn columns_line_up() {
        let row = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
        let rows = [row(&["round", "s"]), row(&["1", "10.5"]), row(&["median"])];
        assert_eq!(table(&rows), "round      s\n1       10.5\nmedian\n");
    }
}
