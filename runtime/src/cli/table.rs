//! Aligned columns.

use super::terminal::{Color, Paint, escaped};

/// One cell; its text is escaped when it is printed.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    color: Option<Color>,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), color: None }
    }
}

impl Cell {
    /// A status word in its color.
    pub(super) fn status(text: &str) -> Self {
        Self { text: text.to_owned(), color: Color::of_status(text) }
    }

    /// What may not be there.
    pub(super) fn or_dash(text: Option<&str>) -> Self {
        text.filter(|text| !text.is_empty()).unwrap_or("-").into()
    }
}

/// Rows under a heading.
#[derive(Debug)]
pub(super) struct Table<const COLUMNS: usize> {
    head: [&'static str; COLUMNS],
    rows: Vec<[Cell; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(super) const fn new(head: [&'static str; COLUMNS]) -> Self {
        Self { head, rows: Vec::new() }
    }

    pub(super) fn row(&mut self, row: [Cell; COLUMNS]) {
        self.rows.push(row);
    }

    /// The table with two spaces between columns and `indent` before each line; a column that is `-` in every row is
    /// left out.
    pub(super) fn render(&self, paint: Paint, indent: usize) -> String {
        let texts: Vec<[String; COLUMNS]> =
            self.rows.iter().map(|row| std::array::from_fn(|column| escaped(&row[column].text))).collect();
        let shown: Vec<usize> =
            (0..COLUMNS).filter(|column| texts.is_empty() || texts.iter().any(|row| row[*column] != "-")).collect();
        let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
            let cells = texts.iter().map(|row| row[column].chars().count());
            cells.chain([self.head[column].len()]).max().unwrap_or(0)
        });
        let line = |cell: &dyn Fn(usize) -> (String, usize)| {
            let mut line = " ".repeat(indent);
            for (place, column) in shown.iter().enumerate() {
                let (text, width) = cell(*column);
                line.push_str(&text);
                if place + 1 < shown.len() {
                    line.push_str(&" ".repeat(widths[*column] - width + 2));
                }
            }
            line.push('\n');
            line
        };
        let mut text = line(&|column| (paint.dim(self.head[column]), self.head[column].len()));
        for (row, plain) in self.rows.iter().zip(&texts) {
            let cell = |column: usize| (paint.color(row[column].color, &plain[column]), plain[column].chars().count());
            text.push_str(&line(&cell));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn columns_are_aligned_by_what_is_seen_and_empty_ones_left_out() {
        let mut table = Table::new(["NAME", "REASON", "STATE"]);
        table.row(["bücher".into(), Cell::or_dash(None), Cell::status("sent")]);
        table.row(["x\n".into(), "-".into(), Cell::status("failed")]);
        assert_snapshot!(table.render(Paint::Off, 2), @r#"
        NAME    STATE
        bücher  sent
        x\n     failed
        "#);
        assert!(table.render(Paint::On, 0).contains("\u{1b}[31mfailed\u{1b}[0m"));
    }
}
