//! How the story looks: headings, labelled lines, small tables.
//!
//! Must never be given a key or a password but in the lines that hand out connections. Written to by every act.

use std::io::{self, Write};
use std::time::Instant;

use super::client::{Answer, Refused};

/// Rows of an answer that are printed.
const ROWS_MAX: usize = 6;
/// Characters of a statement that are printed; what follows is counted.
const STATEMENT_CHARACTERS_MAX: usize = 420;
/// Width of the labels in front of lines.
const LABEL: usize = 9;

/// Where the story goes.
pub(super) struct Tell<'a> {
    out: &'a mut dyn Write,
    start: Instant,
}

impl<'a> Tell<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, start: Instant::now() }
    }

    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// A step of the setting up, with the time it came.
    pub(super) fn step(&mut self, text: &str) -> io::Result<()> {
        let seconds = self.start.elapsed().as_secs_f64();
        self.line(&format!("{seconds:5.1} s  {text}"))
    }

    pub(super) fn heading(&mut self, title: &str) -> io::Result<()> {
        self.line(&format!("\n── {title} {}", "─".repeat(96_usize.saturating_sub(title.chars().count()))))
    }

    /// `label    text`, the text's further lines below its first.
    pub(super) fn label(&mut self, label: &str, text: &str) -> io::Result<()> {
        for (number, line) in text.lines().enumerate() {
            let label = if number == 0 { label } else { "" };
            self.line(format!("  {label:<LABEL$}{line}").trim_end())?;
        }
        Ok(())
    }

    /// A statement on one line, cut when it is very long.
    pub(super) fn statement(&mut self, label: &str, text: &str) -> io::Result<()> {
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let cut = flat.char_indices().nth(STATEMENT_CHARACTERS_MAX).map(|(at, _)| at);
        match cut {
            None => self.label(label, &flat),
            Some(at) => {
                let (shown, rest) = flat.split_at(at);
                self.label(label, &format!("{shown} … ({} characters more)", rest.chars().count()))
            }
        }
    }

    pub(super) fn answer(&mut self, answer: &Answer) -> io::Result<()> {
        for line in table(answer) {
            self.line(&format!("  {:LABEL$}{line}", ""))?;
        }
        Ok(())
    }

    pub(super) fn refused(&mut self, refused: &Refused) -> io::Result<()> {
        self.label(
            "refused",
            &format!("{}: {} (SQLSTATE {})", refused.severity, refused.message, refused.code),
        )?;
        match &refused.hint {
            Some(hint) => self.label("", &format!("HINT: {hint}")),
            None => Ok(()),
        }
    }
}

/// The answer as psql would draw it, its first rows only.
fn table(answer: &Answer) -> Vec<String> {
    let shown = &answer.rows[..answer.rows.len().min(ROWS_MAX)];
    let cell = |row: &[Option<String>], at: usize| match row.get(at) {
        Some(Some(text)) => text.clone(),
        Some(None) | None => "NULL".to_owned(),
    };
    let widths: Vec<usize> = (0..answer.columns.len())
        .map(|at| {
            let cells = shown.iter().map(|row| cell(row, at).chars().count());
            cells.chain([answer.columns[at].chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let number =
        |at: usize| shown.iter().all(|row| cell(row, at).parse::<f64>().is_ok()) && !shown.is_empty();
    let pad = |text: &str, at: usize| match number(at) {
        true => format!("{text:>width$}", width = widths[at]),
        false => format!("{text:<width$}", width = widths[at]),
    };
    let join = |cells: Vec<String>| cells.join(" │ ").trim_end().to_owned();
    let mut lines = vec![join((0..widths.len()).map(|at| pad(&answer.columns[at], at)).collect())];
    lines.push(widths.iter().map(|width| "─".repeat(*width)).collect::<Vec<_>>().join("─┼─"));
    lines.extend(shown.iter().map(|row| join((0..widths.len()).map(|at| pad(&cell(row, at), at)).collect())));
    lines.push(match answer.rows.len() {
        1 => "(1 row)".to_owned(),
        all if all > shown.len() => format!("({all} rows, the first {} shown)", shown.len()),
        all => format!("({all} rows)"),
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(columns: &[&str], rows: &[&[Option<&str>]]) -> Answer {
        Answer {
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
            rows: rows.iter().map(|row| row.iter().map(|cell| cell.map(str::to_owned)).collect()).collect(),
        }
    }

    #[test]
    fn tables_are_aligned_by_characters_and_cut_after_some_rows() {
        let small = answer(&["näme", "n"], &[&[Some("ü"), Some("1.50")], &[None, Some("20")]]);
        assert_eq!(table(&small), ["näme │    n", "─────┼─────", "ü    │ 1.50", "NULL │   20", "(2 rows)"]);
        assert_eq!(table(&answer(&["a"], &[])), ["a", "─", "(0 rows)"]);
        assert_eq!(table(&answer(&["a"], &[&[Some("x")]])), ["a", "─", "x", "(1 row)"]);
        let row: &[Option<&str>] = &[Some("x")];
        let long = table(&answer(&["a"], &[row; ROWS_MAX + 3]));
        assert_eq!(long.len(), ROWS_MAX + 3);
        assert_eq!(long.last().map(String::as_str), Some("(9 rows, the first 6 shown)"));
        // Rows shorter than the heading are no reason to stop.
        assert_eq!(table(&answer(&["a", "b"], &[&[Some("x")]]))[2], "x │ NULL");
    }
}
