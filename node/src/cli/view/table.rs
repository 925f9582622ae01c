//! Columns, as Docker's tables align them.

use serde::Serialize;

/// The least width of a column, and the space behind its widest cell.
const MIN_WIDTH: usize = 10;
const PADDING: usize = 3;

/// Lines of `header` and `rows`, each column as wide as its widest cell.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    aligned(header, rows, MIN_WIDTH, PADDING)
}

/// The same for many columns: narrower than Docker's.
pub fn narrow_table(header: &[&str], rows: &[Vec<String>]) -> String {
    aligned(header, rows, 0, 2)
}

fn aligned(header: &[&str], rows: &[Vec<String>], min_width: usize, padding: usize) -> String {
    let header: Vec<String> = header.iter().map(|cell| (*cell).to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(&header)
        .chain(rows)
        .map(|row| row.iter().map(|cell| one_line(cell)).collect())
        .collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        (widest + padding).max(min_width)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        for (column, cell) in line.iter().enumerate() {
            out.push_str(cell);
            if column + 1 < line.len() {
                let space = widths[column].saturating_sub(cell.chars().count());
                out.extend(std::iter::repeat_n(' ', space));
            }
        }
        out.push('\n');
    }
    out
}

/// A cell must not break its line, nor speak to the terminal.
fn one_line(cell: &str) -> String {
    cell.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// A JSON object a line.
pub fn json_lines<T: Serialize>(rows: &[T]) -> Result<String, serde_json::Error> {
    let mut out = String::new();
    for row in rows {
        out.push_str(&serde_json::to_string(row)?);
        out.push('\n');
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_as_wide_as_its_widest_cell_and_never_narrow() {
        let rows = [vec!["a".into(), "long enough".into(), "x\ny".into()]];
        let out = table(&["ID", "NAME", "ERROR"], &rows);
        assert_eq!(
            out,
            "ID        NAME          ERROR\n\
             a         long enough   x y\n"
        );
    }
}
