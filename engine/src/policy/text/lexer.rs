//! Policy text to tokens, in one bounded pass.
//!
//! Must never accept a character it has no rule for: predicates are handed to sqlparser as these tokens, so no second
//! lexer can read the text differently. Called by the parser.

use super::diagnostic::{Located, Problem, did_you_mean};
use super::words::{continues_word, starts_word};
use crate::catalog::TagPath;
use crate::limits;
use crate::policy::predicate::{Attribute, Holder, Named};

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A bare word.
    Word(String),
    /// A name in double quotes, unquoted.
    Quoted(String),
    /// A string in single quotes, unquoted.
    Text(String),
    /// An unsigned number as written.
    Number(String),
    /// `@user.region`, `@agent.id`, …
    Attribute(Attribute),
    /// `@tagged(Region)`.
    Tagged(TagPath),
    /// `@column`.
    Masked,
    /// Punctuation; `<=`, `>=`, `<>`, `!=` and `::` are one each.
    Symbol(&'static str),
    /// The end of the file.
    End,
}

/// A token and where it starts, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
}

/// Longest first.
const SYMBOLS: &[&str] = &[
    "<=", ">=", "<>", "!=", "::", "||", "(", ")", ",", ".", "=", "<", ">", "+", "-", "*", "/", "%", ":", ";",
    "[", "]", "~", "^", "|", "!",
];

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

/// Cuts a whole file. The last token is always [`Kind::End`].
///
/// # Errors
/// Everything that is no token, each once.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, Vec<Located>> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    let mut problems = Vec::new();
    loop {
        lexer.skip_blanks();
        let start = lexer.at;
        match lexer.next() {
            Ok(kind) => {
                let end = kind == Kind::End;
                tokens.push(Token { kind, start });
                if end {
                    break;
                }
            }
            Err(problem) => {
                problems.push(problem);
                if problems.len() >= limits::POLICY_DIAGNOSTICS_MAX {
                    break;
                }
                // At least one character is passed, so that the pass ends.
                if lexer.at == start {
                    lexer.bump();
                }
            }
        }
    }
    if problems.is_empty() { Ok(tokens) } else { Err(problems) }
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            if rest.starts_with([' ', '\t', '\r', '\n']) {
                self.at += 1;
            } else if rest.starts_with('#') || rest.starts_with("--") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else {
                return;
            }
        }
    }

    fn next(&mut self) -> Result<Kind, Located> {
        let start = self.at;
        let Some(c) = self.peek() else {
            return Ok(Kind::End);
        };
        if starts_word(c) {
            return self.word().map(Kind::Word);
        }
        if c.is_ascii_digit() {
            return self.number();
        }
        match c {
            '\'' => self.enclosed('\'', "string").map(Kind::Text),
            '"' => self.quoted_name().map(Kind::Quoted),
            '@' => self.reference(),
            _ => self.symbol().ok_or_else(|| {
                let problem = Problem::new(format!("unexpected character {c:?}"));
                let hint = if c == '/' {
                    "comments start with '#' or '--' and end with the line"
                } else if c.is_alphabetic() {
                    "names with such characters stand in double quotes"
                } else {
                    "strings stand in single quotes, names in double quotes"
                };
                (start, problem.hint(hint))
            }),
        }
    }

    fn symbol(&mut self) -> Option<Kind> {
        let rest = self.rest();
        if rest.starts_with("/*") {
            return None;
        }
        let symbol = SYMBOLS.iter().find(|s| rest.starts_with(**s))?;
        self.at += symbol.len();
        Some(Kind::Symbol(symbol))
    }

    /// Letters, digits and `_`, with single hyphens between.
    fn bare(&mut self) -> &'a str {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let mut end = 0;
        while let Some(b) = bytes.get(end) {
            let inner = continues_word(char::from(*b));
            let hyphen =
                *b == b'-' && end > 0 && bytes.get(end + 1).is_some_and(|n| continues_word(char::from(*n)));
            if !inner && !hyphen {
                break;
            }
            end += 1;
        }
        self.at += end;
        &rest[..end]
    }

    fn word(&mut self) -> Result<String, Located> {
        let start = self.at;
        let word = self.bare();
        if self.rest().starts_with('\'') {
            let problem = Problem::new(format!("strings with the prefix '{word}' are not read"));
            return Err((start, problem.hint("write a plain string in single quotes")));
        }
        checked_length(word, start).map(str::to_owned)
    }

    fn number(&mut self) -> Result<Kind, Located> {
        let start = self.at;
        let digits = |lexer: &mut Self| {
            while lexer.peek().is_some_and(|c| c.is_ascii_digit()) {
                lexer.at += 1;
            }
        };
        digits(self);
        let mut after = self.rest().chars();
        if after.next() == Some('.') && after.next().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
            digits(self);
        }
        if self.peek().is_some_and(|c| continues_word(c) || c == '.') {
            let problem = Problem::new("a number has digits and at most one '.'");
            self.bare();
            return Err((start, problem));
        }
        checked_length(&self.text[start..self.at], start).map(|n| Kind::Number(n.to_owned()))
    }

    /// A run between two quotes, with the quote itself doubled.
    fn enclosed(&mut self, quote: char, what: &str) -> Result<String, Located> {
        let start = self.at;
        let mut value = String::new();
        self.at += 1;
        loop {
            let rest = self.rest();
            let Some(end) = rest.find(quote) else {
                self.at = self.text.len();
                return Err((start, Problem::new(format!("this {what} does not end"))));
            };
            value.push_str(&rest[..end]);
            self.at += end + 1;
            if self.peek() != Some(quote) {
                break;
            }
            value.push(quote);
            self.at += 1;
        }
        if value.contains('\0') {
            return Err((start, Problem::new(format!("a {what} cannot hold NUL"))));
        }
        Ok(value)
    }

    fn quoted_name(&mut self) -> Result<String, Located> {
        let start = self.at;
        let name = self.enclosed('"', "quoted name")?;
        if name.is_empty() {
            return Err((start, Problem::new("a name cannot be empty")));
        }
        if name.chars().any(char::is_control) {
            return Err((start, Problem::new("a name cannot hold control characters")));
        }
        checked_length(&name, start)?;
        Ok(name)
    }

    fn reference(&mut self) -> Result<Kind, Located> {
        let start = self.at;
        self.at += 1;
        let word = self.bare();
        match word {
            "user" => self.attribute(Holder::User, start),
            "agent" => self.attribute(Holder::Agent, start),
            "tagged" => self.tagged(start),
            "purpose" => Ok(Kind::Attribute(Attribute { holder: Holder::Session, name: Named::Purpose })),
            "column" => Ok(Kind::Masked),
            _ => {
                let known = ["user", "agent", "tagged", "purpose", "column"];
                let problem = Problem::new(format!("'@{word}' is not known"));
                let hint = did_you_mean(word, known).map(|h| h.replace('\'', "").replace("mean ", "mean @")).unwrap_or_else(|| {
                    "an attribute belongs to someone, as in @user.region; known are @user.<attribute>, @user.id, @user.groups, the same for @agent, @purpose, @tagged(<tag>), and @column in a mask".to_owned()
                });
                Err((start, problem.hint(hint)))
            }
        }
    }

    fn attribute(&mut self, holder: Holder, start: usize) -> Result<Kind, Located> {
        let wrong = || {
            let problem = Problem::new("an attribute's name was expected after '.'");
            (start, problem.hint("as in @user.region, @user.id or @user.groups"))
        };
        if !self.rest().starts_with('.') {
            return Err(wrong());
        }
        self.at += 1;
        let name = match self.peek() {
            Some('"') => {
                let name = self.quoted_name()?;
                // These would share a key with another reference.
                if matches!(name.as_str(), "id" | "groups") || name.contains("::") {
                    let problem = Problem::new(format!("'{name}' cannot be an attribute's name"));
                    return Err((start, problem));
                }
                Named::Attribute(name)
            }
            Some(c) if starts_word(c) => match self.bare() {
                "id" => Named::Id,
                "groups" => Named::Groups,
                name => Named::Attribute(checked_length(name, start)?.to_owned()),
            },
            Some(_) | None => return Err(wrong()),
        };
        Ok(Kind::Attribute(Attribute { holder, name }))
    }

    fn tagged(&mut self, start: usize) -> Result<Kind, Located> {
        let wrong = || {
            let problem = Problem::new("a tag in parentheses was expected after '@tagged'");
            (start, problem.hint("as in @tagged(Region)"))
        };
        let rest = self.rest();
        let inner = rest.strip_prefix('(').ok_or_else(wrong)?;
        self.at += 1 + (inner.len() - inner.trim_start_matches(' ').len());
        let path = if self.peek() == Some('"') {
            self.quoted_name()?
        } else {
            let from = self.at;
            loop {
                if self.peek().is_none_or(|c| !starts_word(c)) {
                    return Err(wrong());
                }
                self.bare();
                if !self.rest().starts_with('.') {
                    break;
                }
                self.at += 1;
            }
            checked_length(&self.text[from..self.at], start)?.to_owned()
        };
        let rest = self.rest();
        let close = rest.trim_start_matches(' ');
        if !close.starts_with(')') {
            return Err(wrong());
        }
        self.at += rest.len() - close.len() + 1;
        Ok(Kind::Tagged(TagPath(path)))
    }
}

fn checked_length(word: &str, start: usize) -> Result<&str, Located> {
    if word.len() <= limits::POLICY_NAME_BYTES_MAX {
        return Ok(word);
    }
    let most = limits::POLICY_NAME_BYTES_MAX;
    Err((start, Problem::new(format!("a word has at most {most} bytes"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Result<Vec<Kind>, Vec<Located>> {
        tokens(text).map(|t| t.into_iter().map(|t| t.kind).collect())
    }

    #[test]
    fn words_numbers_and_references() -> Result<(), Vec<Located>> {
        let word = |w: &str| Kind::Word(w.into());
        assert_eq!(
            kinds("a-b 1.5 'it''s' \"x\"\"y\" # note\n<= @user.id @tagged( PII.Email )--x")?,
            [
                word("a-b"),
                Kind::Number("1.5".into()),
                Kind::Text("it's".into()),
                Kind::Quoted("x\"y".into()),
                Kind::Symbol("<="),
                Kind::Attribute(Attribute { holder: Holder::User, name: Named::Id }),
                Kind::Tagged(TagPath("PII.Email".into())),
                Kind::End,
            ]
        );
        assert_eq!(kinds("a--b")?, [word("a"), Kind::End]);
        Ok(())
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let long = "x".repeat(limits::POLICY_NAME_BYTES_MAX + 1);
        for bad in [
            "'open",
            "\"open",
            "\"\"",
            "\"a\nb\"",
            "'a\0b'",
            "E'x'",
            "U&'x'",
            "$$x$$",
            "/* x */",
            "a ; \\ b",
            "0x1F",
            "1.2.3",
            "1e5",
            "@",
            "@usr.x",
            "@user",
            "@user.",
            "@user.1",
            "@tagged",
            "@tagged()",
            "@tagged(a.)",
            "@tagged(a\n)",
            "größe",
            "{",
            "`",
            &long,
        ] {
            assert!(tokens(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_megabyte_of_rubbish_ends_soon() {
        let found = tokens(&"$".repeat(1 << 20)).expect_err("no token");
        assert_eq!(found.len(), limits::POLICY_DIAGNOSTICS_MAX);
    }
}
