//! Masks in policy text.
//!
//! Must never accept what the printer cannot print back. Called by the sentences in `parser`.

use std::collections::BTreeSet;

use super::diagnostic::{Problem, did_you_mean};
use super::lexer::Kind;
use super::parser::{Parsed, Parser};
use crate::limits;
use crate::policy::model::{Entity, Mask, Nulls, Unit};
use crate::policy::predicate::read::{Form, expression};
use crate::policy::predicate::{Formula, Literal};

/// Masks by word.
pub(super) const MASKS: [&str; 14] = [
    "null",
    "constant",
    "hash",
    "partial",
    "regex",
    "round",
    "reversible",
    "fpe",
    "randomized",
    "k_anonymous",
    "token",
    "redact",
    "custom",
    "deny",
];
/// Flags of PostgreSQL's regular expressions that `regexp_replace` takes.
const REGEX_FLAGS: &str = "gimnsxpwcq";
/// Alphabets by name.
const ALPHABETS: [(&str, &str); 4] = [
    ("digits", "0123456789"),
    ("hexadecimal", "0123456789abcdef"),
    ("letters", "abcdefghijklmnopqrstuvwxyz"),
    ("alphanumeric", "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"),
];

impl Parser<'_> {
    pub(crate) fn mask(&mut self) -> Parsed<Mask> {
        let word = match self.kind() {
            Kind::Word(word) => word.to_ascii_lowercase(),
            _ => return self.expected(&MASKS),
        };
        if !MASKS.contains(&word.as_str()) {
            return self.expected(&MASKS);
        }
        self.advance();
        match word.as_str() {
            "null" => Ok(Mask::Null),
            "deny" => Ok(Mask::Deny),
            "hash" => self.hash(),
            "constant" => self.constant(),
            "partial" => self.partial(),
            "regex" => self.regex(),
            "round" => self.round(),
            "reversible" => self.reversible(),
            "fpe" => self.fpe(),
            "randomized" => self.randomized(),
            "k_anonymous" => self.k_anonymous(),
            "token" => Ok(Mask::Token),
            "redact" => self.redact(),
            "custom" => self.custom(),
            _ => self.expected(&MASKS),
        }
    }

    fn hash(&mut self) -> Parsed<Mask> {
        let joinable = if self.accept("joinable") {
            self.expect("in")?;
            Some(self.name("a name for the group of columns that join")?)
        } else {
            None
        };
        Ok(Mask::Hash { joinable })
    }

    fn constant(&mut self) -> Parsed<Mask> {
        self.expect_symbol("(")?;
        let minus = self.accept_symbol("-");
        let value = match self.kind() {
            Kind::Number(number) if minus => Literal::Number(format!("-{number}")),
            Kind::Number(number) => Literal::Number(number.clone()),
            Kind::Text(text) if !minus => Literal::Text(text.clone()),
            Kind::Word(_) if self.sees("true") && !minus => Literal::Truth(true),
            Kind::Word(_) if self.sees("false") && !minus => Literal::Truth(false),
            _ => {
                let hint = match self.kind() {
                    Kind::Word(word) | Kind::Quoted(word) => format!("as in constant('{word}')"),
                    _ => "as in constant('REDACTED')".to_owned(),
                };
                return self.wanted("a string, a number, 'true' or 'false'", &hint);
            }
        };
        self.advance();
        self.expect_symbol(")")?;
        let nulls = if self.sees("with") && self.sees_at(1, "nulls") {
            self.advance();
            self.advance();
            Nulls::Hidden
        } else {
            Nulls::Kept
        };
        Ok(Mask::Constant { value, nulls })
    }

    fn partial(&mut self) -> Parsed<Mask> {
        let hint = "as in partial(first 1, last 4, '*')";
        let start = self.offset();
        let (mut first, mut last, mut fill) = (None, None, None);
        self.expect_symbol("(")?;
        loop {
            if first.is_none() && self.accept("first") {
                first = Some(self.count()?);
            } else if last.is_none() && self.accept("last") {
                last = Some(self.count()?);
            } else if let (None, Kind::Text(text)) = (fill, self.kind()) {
                let mut chars = text.chars();
                fill = match (chars.next(), chars.next()) {
                    (Some(c), None) => Some(c),
                    _ => return self.wanted("a string of one character", hint),
                };
                self.advance();
            } else {
                return self.wanted("'first', 'last' or a string of one character, each once", hint);
            }
            if !self.accept_symbol(",") {
                break;
            }
        }
        self.expect_symbol(")")?;
        if first.is_none() && last.is_none() {
            let problem = Problem::new("'partial' keeps the first or the last characters");
            return Err((start, problem.hint(hint)));
        }
        Ok(Mask::Partial { first: first.unwrap_or(0), last: last.unwrap_or(0), fill: fill.unwrap_or('*') })
    }

    fn count(&mut self) -> Parsed<u32> {
        let most = limits::MASK_ENDS_CHARS_MAX;
        if let Kind::Number(number) = self.kind()
            && let Ok(count) = number.parse::<u32>()
            && count <= most
        {
            self.advance();
            return Ok(count);
        }
        self.wanted(&format!("a whole number up to {most}"), "as in partial(last 4)")
    }

    fn regex(&mut self) -> Parsed<Mask> {
        self.expect_symbol("(")?;
        let start = self.offset();
        let pattern = self.string("a pattern")?;
        if pattern.is_empty() || pattern.len() > limits::MASK_PATTERN_BYTES_MAX {
            let most = limits::MASK_PATTERN_BYTES_MAX;
            return Err((start, Problem::new(format!("a pattern has 1 to {most} bytes"))));
        }
        if let Some(problem) = unbalanced(&pattern) {
            return Err((start, problem));
        }
        self.expect_symbol(",")?;
        let replacement = self.string("a replacement")?;
        let mut flags = String::new();
        if self.accept_symbol(",") {
            let start = self.offset();
            flags = self.string("flags")?;
            let known = flags.chars().all(|c| REGEX_FLAGS.contains(c));
            if !known || flags.len() > REGEX_FLAGS.len() {
                let problem = Problem::new(format!("the flags '{flags}' are not known"));
                return Err((start, problem.hint(format!("known are the letters of '{REGEX_FLAGS}'"))));
            }
        }
        self.expect_symbol(")")?;
        Ok(Mask::Regex { pattern, replacement, flags })
    }

    fn round(&mut self) -> Parsed<Mask> {
        self.expect_symbol("(")?;
        let hint = "as in round(100) or round('month')";
        let mask = match self.kind() {
            Kind::Number(number) if number.bytes().any(|b| matches!(b, b'1'..=b'9')) => {
                Mask::Bucket(number.clone())
            }
            Kind::Text(unit) => match Unit::ALL.into_iter().find(|u| u.word() == unit) {
                Some(unit) => Mask::Unit(unit),
                None => {
                    let units = Unit::ALL.map(Unit::word);
                    let hint = did_you_mean(unit, units)
                        .unwrap_or_else(|| format!("known are {}", units.join(", ")));
                    let problem = Problem::new(format!("'{unit}' is not a unit"));
                    return Err((self.offset(), problem.hint(hint)));
                }
            },
            _ => return self.wanted("a bucket above zero or a unit in quotes", hint),
        };
        self.advance();
        self.expect_symbol(")")?;
        Ok(mask)
    }
}

impl Parser<'_> {
    fn reversible(&mut self) -> Parsed<Mask> {
        self.expect_symbol("(")?;
        let key = self.name("the name of a key")?;
        self.expect_symbol(")")?;
        Ok(Mask::Reversible { key })
    }

    fn fpe(&mut self) -> Parsed<Mask> {
        let hint = "as in fpe(digits) or fpe('0123456789')";
        self.expect_symbol("(")?;
        let start = self.offset();
        let alphabet = match self.kind() {
            Kind::Text(text) => text.clone(),
            Kind::Word(word) => match ALPHABETS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
                Some((_, alphabet)) => (*alphabet).to_owned(),
                None => return self.expected(&ALPHABETS.map(|(name, _)| name)),
            },
            _ => return self.wanted("an alphabet", hint),
        };
        let characters: BTreeSet<char> = alphabet.chars().collect();
        let count = alphabet.chars().count();
        let most = limits::MASK_ALPHABET_CHARS_MAX;
        if characters.len() != count || !(2..=most).contains(&count) {
            let problem = Problem::new(format!("an alphabet has 2 to {most} characters, each once"));
            return Err((start, problem.hint(hint)));
        }
        self.advance();
        self.expect_symbol(")")?;
        Ok(Mask::Fpe { alphabet })
    }

    fn randomized(&mut self) -> Parsed<Mask> {
        self.expect_symbol("(")?;
        let keep = match self.kind() {
            Kind::Number(number) if is_probability(number) => number.clone(),
            _ => {
                return self
                    .wanted("a probability from 0 to 1", "as in randomized(0.9): nine of ten are kept");
            }
        };
        self.advance();
        self.expect_symbol(")")?;
        Ok(Mask::Randomized { keep })
    }

    fn k_anonymous(&mut self) -> Parsed<Mask> {
        let hint = "as in k_anonymous(birth_date, zip, 5): at least five rows for every combination";
        self.expect_symbol("(")?;
        let mut columns = Vec::new();
        while !matches!(self.kind(), Kind::Number(_)) {
            let start = self.offset();
            let column = self.identifier("a column, or at the end the number of rows")?;
            if columns.contains(&column) || columns.len() >= limits::MASK_QUASI_COLUMNS_MAX {
                let most = limits::MASK_QUASI_COLUMNS_MAX;
                let problem = Problem::new(format!("'k_anonymous' takes 1 to {most} columns, each once"));
                return Err((start, problem.hint(hint)));
            }
            columns.push(column);
            self.expect_symbol(",")?;
        }
        if columns.is_empty() {
            return self.wanted("a column", hint);
        }
        let k = match self.kind() {
            Kind::Number(number) => {
                number.parse::<u32>().ok().filter(|k| (2..=limits::MASK_K_MAX).contains(k))
            }
            _ => None,
        };
        let Some(k) = k else {
            return self.wanted(&format!("a whole number from 2 to {}", limits::MASK_K_MAX), hint);
        };
        self.advance();
        self.expect_symbol(")")?;
        Ok(Mask::KAnonymous { columns, k })
    }

    fn redact(&mut self) -> Parsed<Mask> {
        let mut entities = BTreeSet::new();
        if !self.accept_symbol("(") {
            return Ok(Mask::Redact { entities: Entity::ALL.into_iter().collect() });
        }
        loop {
            let Some(entity) = Entity::ALL.into_iter().find(|e| self.sees(e.word())) else {
                return self.expected(&Entity::ALL.map(Entity::word));
            };
            self.advance();
            entities.insert(entity);
            if !self.accept_symbol(",") {
                break;
            }
        }
        self.expect_symbol(")")?;
        Ok(Mask::Redact { entities })
    }

    /// Everything up to the parenthesis that closes it.
    fn custom(&mut self) -> Parsed<Mask> {
        self.expect_symbol("(")?;
        let place = self.place();
        let tokens = self.until(|p, depth| depth == 0 && matches!(p.kind(), Kind::Symbol(")")));
        let expr = expression(tokens, self.offset(), Form::Formula)?;
        self.expect_symbol(")")?;
        Ok(Mask::Custom { value: Formula { expr, place } })
    }
}

/// `0`, `1`, `0.9`: not above one.
fn is_probability(number: &str) -> bool {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let none = fraction.bytes().all(|b| b == b'0');
    number.len() <= 12 && (whole == "0" || (whole == "1" && none))
}

/// Catches the usual slips; PostgreSQL's own reading of a pattern is stricter.
fn unbalanced(pattern: &str) -> Option<Problem> {
    let mut depth = 0u32;
    let mut in_set = false;
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.next().is_none() => {
                return Some(Problem::new("the pattern ends in '\\'"));
            }
            '[' if !in_set => {
                in_set = true;
                // A bracket directly after the opening one is an ordinary character.
                if chars.peek() == Some(&'^') {
                    chars.next();
                }
                if chars.peek() == Some(&']') {
                    chars.next();
                }
            }
            // `[:alpha:]` and the like.
            '[' if matches!(chars.peek(), Some(':' | '.' | '=')) => {
                for inner in chars.by_ref() {
                    if inner == ']' {
                        break;
                    }
                }
            }
            ']' if in_set => in_set = false,
            '(' if !in_set => depth += 1,
            ')' if !in_set => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return Some(Problem::new("the pattern closes a ')' that is not open")),
            },
            _ => {}
        }
    }
    if in_set {
        Some(Problem::new("the pattern's '[' is not closed"))
    } else if depth > 0 {
        Some(Problem::new("the pattern's '(' is not closed"))
    } else {
        None
    }
}
