//! Splicing: replacements at byte positions of the client's own text, and the way back for error positions.

use std::ops::Range;

/// One replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Bytes of the client's text that go.
    pub range: Range<usize>,
    /// What stands there instead.
    pub text: String,
}

impl Edit {
    pub(super) fn new(range: Range<usize>, text: impl Into<String>) -> Self {
        Self { range, text: text.into() }
    }
}

/// Sorts the edits, drops those inside a larger one, and applies them. What is put in front of a place comes before what
/// replaces it. `None` when two overlap otherwise.
pub(super) fn apply(text: &str, edits: &mut Vec<Edit>) -> Option<String> {
    edits.sort_by_key(|edit| (edit.range.start, !edit.range.is_empty(), std::cmp::Reverse(edit.range.end)));
    let mut covered = 0;
    edits.retain(|edit| {
        let inside = edit.range.end <= covered && edit.range.start < covered;
        covered = covered.max(edit.range.end);
        !inside
    });
    let grown: usize = edits.iter().map(|e| e.text.len()).sum();
    let mut out = String::with_capacity(text.len() + grown);
    let mut at = 0;
    for edit in edits.iter() {
        if edit.range.start < at {
            return None;
        }
        out.push_str(text.get(at..edit.range.start)?);
        out.push_str(&edit.text);
        at = edit.range.end;
    }
    out.push_str(text.get(at..)?);
    Some(out)
}

/// The byte of the client's text that a byte of the spliced text came from; the start of the replaced text for bytes
/// that are ours.
#[must_use]
pub fn original_offset(edits: &[Edit], spliced: usize) -> usize {
    let mut before = 0;
    let mut after = 0;
    for edit in edits {
        let untouched = edit.range.start - before;
        if spliced < after + untouched {
            break;
        }
        if spliced < after + untouched + edit.text.len() {
            return edit.range.start;
        }
        after += untouched + edit.text.len();
        before = edit.range.end;
    }
    before + (spliced - after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_apply_and_map_back() {
        let mut edits = vec![Edit::new(14..15, "long_name AS \"t\""), Edit::new(7..8, "x.a")];
        let text = "SELECT a FROM t WHERE q";
        let out = apply(text, &mut edits).expect("no overlap");
        assert_eq!(out, "SELECT x.a FROM long_name AS \"t\" WHERE q");
        let q = out.rfind('q').expect("there");
        assert_eq!(original_offset(&edits, q), text.rfind('q').expect("there"));
        assert_eq!(original_offset(&edits, 20), 14);
        assert_eq!(original_offset(&edits, 0), 0);
    }

    #[test]
    fn a_call_can_be_put_around_what_changes() {
        let mut edits = vec![Edit::new(7..8, "x.f"), Edit::new(7..7, "g("), Edit::new(11..11, ")")];
        assert_eq!(apply("SELECT f(1)::t", &mut edits).as_deref(), Some("SELECT g(x.f(1))::t"));
    }

    #[test]
    fn an_edit_inside_another_goes_and_an_overlap_is_refused() {
        let mut inside = vec![Edit::new(0..9, "all"), Edit::new(2..3, " ")];
        assert_eq!(apply("abcdefghi", &mut inside).as_deref(), Some("all"));
        let mut overlap = vec![Edit::new(0..3, "x"), Edit::new(2..5, "y")];
        assert_eq!(apply("abcdefghi", &mut overlap), None);
    }
}
