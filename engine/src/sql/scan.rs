//! One pass over raw text before the parser sees it: where comments are, and the caps PostgreSQL's own scanner
//! needs (comment nesting and operator runs cost it quadratic time, comments in a row the stack).
//!
//! It follows the lexical rules of PostgreSQL ("Lexical Structure") with `standard_conforming_strings` on. It decides
//! nothing: a wrong guess here makes the tree check fail and the statement refused, never released.

use std::ops::Range;

use crate::limits;
use crate::refusal::{Code, Refusal};

/// Byte ranges of the comments in `text`, in order.
///
/// # Errors
/// 54001 for comments nested deeper than [`limits::COMMENT_DEPTH_MAX`], 54000 for longer operator runs than
/// [`limits::OPERATOR_RUN_BYTES_MAX`] or more comments in a row than [`limits::COMMENTS_RUN_MAX`], 22021 for NUL.
pub(super) fn comments(text: &str) -> Result<Vec<Range<usize>>, Refusal> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    let mut run = 0;
    while let Some(&byte) = bytes.get(at) {
        let before = found.len();
        at = match byte {
            b' ' => {
                at += 1;
                continue;
            }
            0 => {
                return Err(Refusal::new(Code::BadBytes, "a statement cannot contain a NUL byte").at(at));
            }
            b'\'' => quoted(bytes, at + 1, b'\''),
            b'"' => quoted(bytes, at + 1, b'"'),
            b'$' => dollar(bytes, at),
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                let end = line_end(bytes, at);
                found.push(at..end);
                end
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                let end = block_end(bytes, at)?;
                found.push(at..end);
                end
            }
            _ if is_operator(byte) => operator_end(bytes, at)?,
            _ if is_identifier_start(byte) || byte.is_ascii_digit() => word(bytes, at),
            _ => at + 1,
        };
        if found.len() > before {
            run += 1;
        } else if !is_space(byte) {
            run = 0;
        }
        if run > limits::COMMENTS_RUN_MAX {
            return Err(Refusal::new(
                Code::TooLarge,
                format!("more than {} comments in a row", limits::COMMENTS_RUN_MAX),
            ));
        }
    }
    Ok(found)
}

/// PostgreSQL's: a vertical tab is one, unlike in `is_ascii_whitespace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn is_operator(byte: u8) -> bool {
    matches!(
        byte,
        b'+' | b'-'
            | b'*'
            | b'/'
            | b'<'
            | b'>'
            | b'='
            | b'~'
            | b'!'
            | b'@'
            | b'#'
            | b'%'
            | b'^'
            | b'&'
            | b'|'
            | b'`'
            | b'?'
    )
}

const fn is_identifier_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

/// Looked up, because most of every text is made of them.
const IDENTIFIER_PARTS: [bool; 256] = {
    let mut parts = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let of = byte as u8;
        parts[byte] = is_identifier_start(of) || of.is_ascii_digit() || of == b'$';
        byte += 1;
    }
    parts
};

fn is_identifier_part(byte: u8) -> bool {
    IDENTIFIER_PARTS[usize::from(byte)]
}

/// End of a string or quoted identifier whose inside starts at `at`; doubled quotes stay inside.
fn quoted(bytes: &[u8], mut at: usize, quote: u8) -> usize {
    while let Some(&byte) = bytes.get(at) {
        if byte == quote {
            if bytes.get(at + 1) != Some(&quote) {
                return at + 1;
            }
            at += 1;
        }
        at += 1;
    }
    at
}

/// End of an `E'…'` string, with its continuations on later lines, which keep the backslash rules.
fn escaped(bytes: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => match continuation(bytes, at + 1) {
                Some(inside) => at = inside,
                None => return at + 1,
            },
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Where a string goes on after white space with a newline in it, if it does.
fn continuation(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut newline = false;
    loop {
        match bytes.get(at)? {
            b'\n' | b'\r' => {
                newline = true;
                at += 1;
            }
            b' ' | b'\t' | 0x0b | 0x0c => at += 1,
            b'-' if bytes.get(at + 1) == Some(&b'-') => at = line_end(bytes, at),
            b'\'' if newline => return Some(at + 1),
            _ => return None,
        }
    }
}

fn line_end(bytes: &[u8], from: usize) -> usize {
    bytes.iter().skip(from).position(|b| matches!(b, b'\n' | b'\r')).map_or(bytes.len(), |n| from + n)
}

fn block_end(bytes: &[u8], from: usize) -> Result<usize, Refusal> {
    let mut at = from + 2;
    let mut depth = 1usize;
    while at < bytes.len() {
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(b'/'), Some(b'*')) => {
                depth += 1;
                at += 2;
                if depth > limits::COMMENT_DEPTH_MAX {
                    return Err(Refusal::new(
                        Code::TooDeep,
                        format!("comments nest deeper than {}", limits::COMMENT_DEPTH_MAX),
                    )
                    .at(from));
                }
            }
            (Some(b'*'), Some(b'/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return Ok(at);
                }
            }
            _ => at += 1,
        }
    }
    Ok(bytes.len())
}

fn operator_end(bytes: &[u8], from: usize) -> Result<usize, Refusal> {
    let mut at = from;
    while let Some(&byte) = bytes.get(at) {
        let comment = matches!((byte, bytes.get(at + 1)), (b'-', Some(b'-')) | (b'/', Some(b'*')));
        if !is_operator(byte) || comment {
            break;
        }
        at += 1;
    }
    if at - from > limits::OPERATOR_RUN_BYTES_MAX {
        return Err(Refusal::new(
            Code::TooLarge,
            format!("an operator longer than {} bytes", limits::OPERATOR_RUN_BYTES_MAX),
        )
        .at(from));
    }
    Ok(at)
}

/// A word or number, and the string that follows an `E` prefix directly.
fn word(bytes: &[u8], from: usize) -> usize {
    let at = word_only(bytes, from);
    let escape = at - from == 1 && matches!(bytes.get(from), Some(b'e' | b'E'));
    if escape && bytes.get(at) == Some(&b'\'') {
        return escaped(bytes, at + 1);
    }
    at
}

/// `$tag$ … $tag$`, or a parameter `$1`, or a lone `$`.
fn dollar(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    if bytes.get(at).copied().is_some_and(is_identifier_start) {
        while bytes.get(at).copied().is_some_and(|b| is_identifier_start(b) || b.is_ascii_digit()) {
            at += 1;
        }
    }
    if bytes.get(at) != Some(&b'$') {
        return from + 1;
    }
    let Some(tag) = bytes.get(from..=at) else {
        return from + 1;
    };
    let body = at + 1;
    bytes
        .get(body..)
        .and_then(|rest| rest.windows(tag.len()).position(|w| w == tag))
        .map_or(bytes.len(), |n| body + n + tag.len())
}

/// End of a name of `parts` dotted parts that starts at `from`: quoted or not, with white space and comments around the
/// dots as PostgreSQL allows. `None` when the text there is not such a name (`U&"…"` is not followed here).
pub(super) fn name_end(text: &str, from: usize, parts: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from;
    for part in 0..parts {
        if part > 0 {
            at = skip_space(bytes, at)?;
            (bytes.get(at) == Some(&b'.')).then_some(())?;
            at = skip_space(bytes, at + 1)?;
        }
        at = match bytes.get(at)? {
            b'"' => quoted(bytes, at + 1, b'"'),
            b if is_identifier_start(*b) => {
                let end = word_only(bytes, at);
                let unicode = end - at == 1 && matches!(bytes.get(at), Some(b'u' | b'U'));
                if unicode && bytes.get(end) == Some(&b'&') && bytes.get(end + 1) == Some(&b'"') {
                    return None;
                }
                end
            }
            _ => return None,
        };
    }
    Some(at)
}

fn word_only(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| is_identifier_part(**byte)).count()
}

/// The next byte that is neither white space nor comment.
pub(super) fn skip_space(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match (bytes.get(at)?, bytes.get(at + 1)) {
            (byte, _) if is_space(*byte) => at += 1,
            (b'-', Some(b'-')) => at = line_end(bytes, at),
            (b'/', Some(b'*')) => at = block_end(bytes, at).ok()?,
            _ => return Some(at),
        }
    }
}

/// End of a string literal that starts at `from` (`'…'` only).
pub(super) fn string_end(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    (bytes.get(from) == Some(&b'\'')).then(|| quoted(bytes, from + 1, b'\''))
}

/// End of a parenthesised list of names that starts at or after `from`.
pub(super) fn parenthesis_end(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = skip_space(bytes, from)?;
    (bytes.get(at) == Some(&b'(')).then_some(())?;
    at += 1;
    loop {
        at = skip_space(bytes, at)?;
        match bytes.get(at)? {
            b')' => return Some(at + 1),
            b'"' => at = quoted(bytes, at + 1, b'"'),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        comments(text).expect("within the caps").into_iter().map(|r| &text[r]).collect()
    }

    #[test]
    fn comments_are_found_and_only_they() {
        assert_eq!(found("SELECT 1 -- a\n+ /* b /* c */ */ 2"), ["-- a", "/* b /* c */ */"]);
        for none in [
            "SELECT '--', '/*', \"--\", $$ -- $$, $a$ /* $$ */ $a$",
            r"SELECT E'\'--'",
            "SELECT E'a'\n'b\\'--'",
            "SELECT a$b$c, $1",
            "SELECT 'it''s --'",
        ] {
            assert!(found(none).is_empty(), "{none}");
        }
        assert_eq!(found(r"SELECT '\'--'"), ["--'"]);
        assert_eq!(found("SELECT 1+--x"), ["--x"]);
    }

    #[test]
    fn the_caps_hold() {
        let deep = "/*".repeat(50_000);
        assert_eq!(comments(&deep).map_err(|r| r.code), Err(Code::TooDeep));
        let run = "+".repeat(100_000);
        assert_eq!(comments(&run).map_err(|r| r.code), Err(Code::TooLarge));
        assert_eq!(comments("a\0b").map_err(|r| r.code), Err(Code::BadBytes));
        for between in ["/**/", "/**/\x0b", "/**/ \t\r\n\x0c", "--\n"] {
            let many = |times| comments(&between.repeat(times)).map(|found| found.len()).map_err(|r| r.code);
            assert_eq!(many(limits::COMMENTS_RUN_MAX), Ok(limits::COMMENTS_RUN_MAX));
            assert_eq!(many(limits::COMMENTS_RUN_MAX + 1), Err(Code::TooLarge), "{between:?}");
        }
        let apart = "1/**/+".repeat(50_000);
        assert_eq!(comments(&apart).map(|found| found.len()).map_err(|r| r.code), Ok(50_000));
    }

    #[test]
    fn names_end_where_they_end() {
        assert_eq!(name_end("app . /*x*/ \"a.b\" c", 0, 2), Some(17));
        assert_eq!(name_end("customers,", 0, 1), Some(9));
        assert_eq!(name_end("U&\"c!0075\" UESCAPE '!'", 0, 1), None);
        assert_eq!(name_end("a b", 0, 2), None);
    }
}
