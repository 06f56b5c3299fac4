//! Aligned columns.

/// Rows of text under a heading.
pub struct Table {
    rows: Vec<Vec<String>>,
    /// Columns of numbers, which end at the same place.
    right: &'static [usize],
}

impl Table {
    /// A table with this heading; the columns in `right` hold numbers.
    pub fn new(heading: &[&str], right: &'static [usize]) -> Self {
        Self { rows: vec![heading.iter().map(|&cell| cell.to_owned()).collect()], right }
    }

    /// Adds a row with as many cells as the heading.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// The lines, each with a line break and without blanks at its end.
    pub fn render(&self) -> String {
        let columns = self.rows[0].len();
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row.iter().enumerate().map(|(column, cell)| {
                let width = widths[column];
                if self.right.contains(&column) {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["LIST", "ENTRIES", "NOTE"], &[1]);
        table.row(["admins".into(), "7".into(), String::new()]);
        table.row(["a".into(), "12345678".into(), "ü".into()]);
        assert_eq!(
            table.render(),
            "LIST     ENTRIES  NOTE\nadmins         7\na       12345678  ü\n"
        );
    }
}
