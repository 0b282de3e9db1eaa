//! One ruling for statements that differ in whole numbers only: `… WHERE id = 7`, `… WHERE id = 8`.
//!
//! Two texts with the same [`Pattern`] are the same bytes but for the digits of literals that stand alone between
//! delimiters. PostgreSQL's scanner makes one ICONST token of each, below 10^9 and therefore always an integer, and the same
//! tokens of everything else; its grammar does not look at their values where a statement reads or writes rows. So their
//! trees differ in those values only, and the judge looks at no number in such statements (`Judged::numbers_are_data`): the
//! ruling and the splices of one are those of the other.
//!
//! It must never take a number whose neighbours could make it part of another token, nor a text whose tokens it cannot tell
//! apart: then there is no pattern, and the statement is judged by itself. The differential test below holds it to that.
//! Called by the proxy between its memory of exact texts and the judge.

use std::ops::Range;
use std::sync::Arc;

use crate::released::{Enforced, RawSql};

use super::edit::Edit;
use super::judge::Judged;

/// Longest literal, in digits: all of them fit PostgreSQL's 32-bit integer.
const DIGITS_MAX: usize = 9;
/// Most literals of a pattern: each costs memory in a template.
const LITERALS_MAX: usize = 256;
/// What stands for a literal in a pattern. No statement may contain it.
const HOLE: char = '\0';

/// A statement's text without its whole numbers.
#[derive(Debug)]
pub struct Pattern {
    key: String,
    literals: Vec<Range<usize>>,
}

impl Pattern {
    /// Reads a text; `None` when it has no whole numbers, or anything in it whose extent is not plain to see: comments,
    /// dollar quotes, strings with a prefix.
    #[must_use]
    pub fn of(raw: RawSql<'_>) -> Option<Self> {
        let text = raw.text();
        let bytes = text.as_bytes();
        let mut pattern = Self { key: String::with_capacity(text.len()), literals: Vec::new() };
        let (mut at, mut kept) = (0, 0);
        while let Some(&byte) = bytes.get(at) {
            at = match byte {
                0 | b'\\' => return None,
                b'-' if bytes.get(at + 1) == Some(&b'-') => return None,
                b'/' if bytes.get(at + 1) == Some(&b'*') => return None,
                b'&' if matches!(bytes.get(at + 1), Some(b'\'' | b'"')) => return None,
                b'\'' | b'"' => quoted(bytes, at + 1, byte)?,
                _ if is_word(byte) => {
                    let end = word_end(bytes, at);
                    if is_literal(bytes, at..end) {
                        if pattern.literals.len() == LITERALS_MAX {
                            return None;
                        }
                        pattern.key.push_str(text.get(kept..at)?);
                        pattern.key.push(HOLE);
                        pattern.literals.push(at..end);
                        kept = end;
                    } else if matches!(bytes.get(end), Some(b'\''))
                        || bytes.get(at..end)?.contains(&b'$') && !is_parameter(bytes, at..end)
                    {
                        return None;
                    }
                    end
                }
                _ => at + 1,
            };
        }
        pattern.key.push_str(text.get(kept..)?);
        (!pattern.literals.is_empty()).then_some(pattern)
    }

    /// The text with a NUL for each number: equal for statements that share a ruling.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

fn word_end(bytes: &[u8], from: usize) -> usize {
    bytes.iter().skip(from).position(|b| !is_word(*b)).map_or(bytes.len(), |n| from + n)
}

/// `$1`
fn is_parameter(bytes: &[u8], word: Range<usize>) -> bool {
    bytes
        .get(word)
        .and_then(|w| w.strip_prefix(b"$"))
        .is_some_and(|n| !n.is_empty() && n.iter().all(u8::is_ascii_digit))
}

/// End of a string or quoted name; `None` when it does not end.
fn quoted(bytes: &[u8], mut at: usize, quote: u8) -> Option<usize> {
    loop {
        at += bytes.get(at..)?.iter().position(|b| *b == quote)? + 1;
        if bytes.get(at) != Some(&quote) {
            return Some(at);
        }
        at += 1;
    }
}

/// A whole number that is a token by itself whatever its digits are.
fn is_literal(bytes: &[u8], word: Range<usize>) -> bool {
    let before = word.start.checked_sub(1).and_then(|at| bytes.get(at));
    let after = bytes.get(word.end);
    let digits = bytes.get(word).unwrap_or_default();
    let plain = digits.iter().all(u8::is_ascii_digit)
        && digits.len() <= DIGITS_MAX
        && (digits.len() == 1 || digits.first() != Some(&b'0'));
    plain
        && matches!(before, Some(b' ' | b'\t' | b'\n' | b'\r' | b'(' | b',' | b'=' | b'<' | b'>' | b'['))
        && matches!(after, None | Some(b' ' | b'\t' | b'\n' | b'\r' | b')' | b',' | b';' | b']'))
}

/// A ruling with holes for the numbers.
#[derive(Debug)]
pub struct Template {
    judged: Judged,
    /// The enforced text around the numbers: one piece more than there are numbers.
    pieces: Vec<Box<str>>,
    /// Lengths of the numbers in the text that was judged.
    lengths: Vec<usize>,
    /// How many numbers stand before each edit.
    before: Vec<usize>,
}

impl Template {
    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let pieces: usize = self.pieces.iter().map(|piece| size_of::<Box<str>>() + piece.len()).sum();
        self.judged.bytes() + pieces + size_of_val(&*self.lengths) + size_of_val(&*self.before)
    }

    /// Makes a template of a ruling. `None` when its numbers were looked at, or went with what was spliced out.
    #[must_use]
    pub fn of(pattern: &Pattern, raw: RawSql<'_>, judged: &Judged) -> Option<Self> {
        if !judged.numbers_are_data {
            return None;
        }
        let enforced = judged.enforced.for_record();
        let mut pieces = Vec::with_capacity(pattern.literals.len() + 1);
        let mut edits = judged.edits.iter().peekable();
        // Where the enforced text is ahead of the client's by now: grown and shrunk bytes.
        let (mut grown, mut shrunk, mut kept) = (0, 0, 0);
        for literal in &pattern.literals {
            while let Some(edit) = edits.next_if(|edit| edit.range.end <= literal.start) {
                grown += edit.text.len();
                shrunk += edit.range.len();
            }
            if edits.peek().is_some_and(|edit| edit.range.start < literal.end) {
                return None;
            }
            let start = (literal.start + grown).checked_sub(shrunk)?;
            let end = start + literal.len();
            (enforced.get(start..end)? == raw.text().get(literal.clone())?).then_some(())?;
            pieces.push(enforced.get(kept..start)?.into());
            kept = end;
        }
        pieces.push(enforced.get(kept..)?.into());
        let before = |edit: &Edit| pattern.literals.iter().take_while(|l| l.end <= edit.range.start).count();
        Some(Self {
            judged: judged.clone(),
            pieces,
            lengths: pattern.literals.iter().map(Range::len).collect(),
            before: judged.edits.iter().map(before).collect(),
        })
    }

    /// The ruling of another text with the same key; `None` when it has not.
    #[must_use]
    pub fn apply(&self, pattern: &Pattern, raw: RawSql<'_>) -> Option<Judged> {
        let text = raw.text();
        if pattern.literals.len() != self.lengths.len() {
            return None;
        }
        let mut enforced = String::with_capacity(self.judged.enforced.for_record().len() + 2 * DIGITS_MAX);
        let mut pieces = self.pieces.iter();
        // How much longer the numbers have become, after each of them.
        let mut moved = Vec::with_capacity(self.lengths.len() + 1);
        let mut by = 0isize;
        moved.push(by);
        for (literal, length) in pattern.literals.iter().zip(&self.lengths) {
            enforced.push_str(pieces.next()?);
            enforced.push_str(text.get(literal.clone())?);
            by += literal.len().cast_signed() - length.cast_signed();
            moved.push(by);
        }
        enforced.push_str(pieces.next()?);
        let mut judged = self.judged.clone();
        for (edit, before) in judged.edits.iter_mut().zip(&self.before) {
            let by = *moved.get(*before)?;
            edit.range = edit.range.start.checked_add_signed(by)?..edit.range.end.checked_add_signed(by)?;
        }
        judged.enforced = Enforced::new(Arc::from(enforced));
        Some(judged)
    }
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
