//! Tables of medians, spreads and ratios.

use std::fmt;

/// What one scenario has cost, for each proxy in each round.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The scenario.
    pub name: String,
    /// For each proxy, a value for each round.
    pub values: Vec<Vec<f64>>,
}

/// Rows that have the same columns: one for each proxy. The first proxy is the one that others are compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// What the values are.
    pub title: String,
    /// The proxies.
    pub names: Vec<&'static str>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// The middle of some values; NaN of none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The middle, the extremes if there are several values, and how many times the middle of the first column it is.
fn cell(values: &[f64], first: f64) -> String {
    let middle = median(values);
    let spread = match values.len() {
        0 | 1 => String::new(),
        _ => {
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            format!(" ({}-{})", number(low), number(high))
        }
    };
    let ratio = if first > 0.0 { format!(" x{:.2}", middle / first) } else { String::new() };
    format!("{}{spread}{ratio}", number(middle))
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = vec![
            std::iter::once(String::new())
                .chain(self.names.iter().map(|name| (*name).into()))
                .collect::<Vec<String>>(),
        ];
        for row in &self.rows {
            let first = row.values.first().map_or(f64::NAN, |values| median(values));
            let cells = row.values.iter().map(|values| cell(values, first));
            lines.push(std::iter::once(row.name.clone()).chain(cells).collect());
        }
        let width = |column: usize| {
            lines.iter().filter_map(|line| line.get(column)).map(String::len).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..=self.names.len()).map(width).collect();
        writeln!(out, "{}\n", self.title)?;
        for line in &lines {
            let cells = line.iter().zip(&widths).enumerate();
            let padded: Vec<String> = cells
                .map(
                    |(column, (cell, width))| {
                        if column == 0 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
                    },
                )
                .collect();
            writeln!(out, "  {}", padded.join("   ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_table_says_how_many_times_the_first_column_each_other_is() {
        let row = Row { name: "case".into(), values: vec![vec![10.0, 12.0, 11.0], vec![22.0, 20.0, 30.0]] };
        let table = Table { title: "Title".into(), names: vec!["us", "them"], rows: vec![row] };
        let text = table.to_string();
        assert!(text.contains("11.00 (10.00-12.00) x1.00"), "{text}");
        assert!(text.contains("22.00 (20.00-30.00) x2.00"), "{text}");
    }
}
