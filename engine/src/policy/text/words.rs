//! The words of the language, and when a name must be quoted.
//!
//! Must never differ between the parser and the printer: both ask here.

/// Words that cannot stand as a bare name.
pub(crate) const RESERVED: &[&str] = &[
    "agents",
    "all",
    "allow",
    "and",
    "any",
    "between",
    "columns",
    "everyone",
    "except",
    "floor",
    "for",
    "guardrail",
    "has",
    "ilike",
    "in",
    "is",
    "like",
    "mask",
    "matching",
    "named",
    "none",
    "not",
    "null",
    "of",
    "on",
    "or",
    "otherwise",
    "policy",
    "require",
    "rows",
    "show",
    "tables",
    "tagged",
    "to",
    "under",
    "users",
    "when",
    "where",
    "who",
    "with",
];

/// Is this a word of the language?
pub(crate) fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|r| r.eq_ignore_ascii_case(word))
}

/// May this character start a bare word?
pub(crate) fn starts_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

/// May this character stand inside a bare word (a hyphen only between two others)?
pub(crate) fn continues_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_word(name: &str) -> bool {
    let inner = |c: char| continues_word(c) || c == '-';
    name.starts_with(starts_word) && name.chars().all(inner) && !name.ends_with('-') && !name.contains("--")
}

fn is_bare(name: &str) -> bool {
    is_word(name) && !is_reserved(name)
}

/// A name as policy text spells it: bare where it can be, else in double quotes.
pub(crate) fn name(text: &str) -> String {
    if is_bare(text) { text.to_owned() } else { quoted(text) }
}

/// A table's or column's name: bare means lower case, as in SQL.
pub(crate) fn identifier(text: &str) -> String {
    if is_bare(text) && !text.contains('-') && !text.bytes().any(|b| b.is_ascii_uppercase()) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// A dotted path: bare when every part is a word and the first is not one of the language.
pub(crate) fn path(text: &str) -> String {
    if text.split('.').all(is_word) && !text.split('.').any(is_reserved) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// A string literal of policy text.
pub(crate) fn string(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_misread_are_quoted() {
        for (given, printed) in [
            ("hr", "hr"),
            ("marketing-agents", "marketing-agents"),
            ("or", "\"or\""),
            ("Users", "\"Users\""),
            ("a b", "\"a b\""),
            ("a--b", "\"a--b\""),
            ("a-", "\"a-\""),
            ("", "\"\""),
            ("1a", "\"1a\""),
            ("x\"y", "\"x\"\"y\""),
        ] {
            assert_eq!(name(given), printed);
        }
        assert_eq!(identifier("Orders"), "\"Orders\"");
        assert_eq!(path("PII.Email"), "PII.Email");
        assert_eq!(path("PII..Email"), "\"PII..Email\"");
    }
}
