//! Printing what others wrote: safely, and short enough to read.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use super::Style;

/// Escapes what could move a terminal's cursor, hide text or turn its direction: recorded statements are strangers' text.
pub(super) fn safe(text: &str) -> Cow<'_, str> {
    let dangerous = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    if !text.contains(dangerous) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| match dangerous(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    Cow::Owned(text.chars().map(escape).collect())
}

/// As [`safe`], cut after so many characters.
pub(super) fn short(text: &str, characters_max: usize) -> String {
    let mut cut = match text.char_indices().nth(characters_max) {
        Some((end, _)) => safe(&text[..end]).into_owned(),
        None => return safe(text).into_owned(),
    };
    cut.push('…');
    cut
}

/// One JSON value on one line.
pub(super) fn json(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}

/// What there is, one entry a line: as JSON for programs, under a head for people.
pub(super) fn list(
    out: &mut dyn Write,
    style: Style,
    head: &[&str],
    entries: impl Iterator<Item = (Value, Vec<String>)>,
) -> io::Result<()> {
    match style {
        Style::Json => {
            for (value, _) in entries {
                json(out, &value)?;
            }
            Ok(())
        }
        Style::People => {
            let mut rows = vec![head.iter().map(|&cell| cell.to_owned()).collect()];
            rows.extend(entries.map(|(_, row)| row));
            table(out, &rows)
        }
    }
}

/// A secret that was made here, to be seen this once.
pub(super) fn secret(out: &mut dyn Write, what: &str, secret: &str) -> io::Result<()> {
    writeln!(out, "{what}: {secret}")?;
    writeln!(out, "It is shown this once; only a verifier of it is kept.")
}

/// Rows with columns as wide as their widest cell; the last column is not padded.
fn table(out: &mut dyn Write, rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_statement_cannot_play_with_the_terminal() {
        assert_eq!(safe("select 'ä'"), "select 'ä'");
        assert_eq!(safe("a\u{1b}[2Jb\nc\u{9b}"), "a\\u{1b}[2Jb\\nc\\u{9b}");
        assert_eq!(safe("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(short("äöü", 2), "äö…");
        assert_eq!(short("äö", 2), "äö");
        assert_eq!(short("\n\n\n", 1), "\\n…");
    }
}
