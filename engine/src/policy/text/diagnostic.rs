//! Findings about policy text: where, what, and what to do next.
//!
//! Pure values; must never carry anything but policy text and names. Made by the parser and by `check`.

use std::fmt;

use serde::Serialize;

use crate::limits;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The policies must not be published.
    Error,
    /// Works, but perhaps not as meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad.
    pub severity: Severity,
    /// File as the caller named it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong: lower case, no full stop, names quoted.
    pub message: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The line and a caret under the column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
}

impl Diagnostic {
    /// A finding at a byte offset of a file's text.
    pub(crate) fn at(severity: Severity, file: &str, text: &str, offset: usize, problem: Problem) -> Self {
        let spot = Spot::of(text, offset);
        Self {
            severity,
            file: file.to_owned(),
            line: spot.line,
            column: spot.column,
            message: problem.message,
            hint: problem.hint,
            excerpt: Some(spot.excerpt),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}: {}", self.file, self.line, self.column, self.severity, self.message)?;
        if let Some(excerpt) = &self.excerpt {
            write!(f, "\n{excerpt}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

/// What is wrong, before it is known where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A problem at a byte offset.
pub(crate) type Located = (usize, Problem);

/// Longest part of a line shown, in characters.
const EXCERPT_CHARS_MAX: usize = 120;

struct Spot {
    line: u32,
    column: u32,
    excerpt: String,
}

impl Spot {
    fn of(text: &str, offset: usize) -> Self {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let (before, after) = text.split_at(offset);
        let line_start = before.rfind('\n').map_or(0, |n| n + 1);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let left: Vec<char> = before[line_start..].chars().collect();
        let column = left.len() + 1;
        // A long line is shown around the caret only.
        let skipped = left.len().saturating_sub(EXCERPT_CHARS_MAX / 2);
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let shown: String = left[skipped..]
            .iter()
            .copied()
            .chain(after.chars().take_while(|c| *c != '\n'))
            .take(EXCERPT_CHARS_MAX)
            .map(plain)
            .collect();
        let number = line.to_string();
        let caret = left.len() - skipped;
        let excerpt = format!(
            "  {number} | {}\n  {:width$} | {:caret$}^",
            shown.trim_end(),
            "",
            "",
            width = number.len()
        );
        Self {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            excerpt,
        }
    }
}

/// The candidate nearest to a word, when it is near enough to be meant (Levenshtein distance with two neighbours swapped counted
/// as one, at most a third of the word).
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > limits::POLICY_NAME_BYTES_MAX / 4 {
        return None;
    }
    let word = word.to_lowercase();
    let most = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|c| c.len().abs_diff(word.len()) <= most * 2)
        .map(|c| (distance(&word, &c.to_lowercase()), c))
        .filter(|(d, _)| *d <= most)
        .min_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.cmp(b.1)))
        .map(|(_, c)| c)
}

fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1; b.len() + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = row[j] + usize::from(x != y);
            next[j + 1] = replaced.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                next[j + 1] = next[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

/// `did you mean 'x'?`, when something is near.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(|near| format!("did you mean '{near}'?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_column_in_characters() {
        let text = "policy a\n  maß colums x\n";
        let offset = text.find("colums").expect("in the text");
        let found = Diagnostic::at(Severity::Error, "a.policy", text, offset, Problem::new("x"));
        assert_eq!((found.line, found.column), (2, 7));
        assert_eq!(found.to_string(), "a.policy:2:7: error: x\n  2 |   maß colums x\n    |       ^");
    }

    #[test]
    fn an_offset_past_the_end_or_inside_a_character_is_survived() {
        for offset in 0..10 {
            let found = Diagnostic::at(Severity::Error, "f", "äöü", offset, Problem::new("x"));
            assert_eq!(found.line, 1);
        }
    }

    #[test]
    fn the_nearest_word_is_near() {
        assert_eq!(nearest("colums", ["columns", "tables"]), Some("columns"));
        assert_eq!(nearest("alow", ["allow", "mask"]), Some("allow"));
        assert_eq!(nearest("zebra", ["columns", "tables"]), None);
        assert_eq!(nearest("", ["a"]), None);
        assert_eq!(nearest("emial", ["email", "phone"]), Some("email"));
        assert_eq!((distance("kitten", "sitting"), distance("ab", "ba"), distance("", "abc")), (3, 1, 3));
    }
}
