//! The phrases sentences are made of: which tables, which columns, who, and the masks.
//!
//! Must never accept what the printer cannot print back. Called by the sentences in `parser`.

use super::diagnostic::Problem;
use super::lexer::Kind;
use super::parser::{Parsed, Parser};
use crate::catalog::{RelationName, TagPath};
use crate::limits;
use crate::policy::model::{
    ColumnMatch, ColumnName, Columns, Mask, Nulls, Party, PartyKind, Question, Sense, TableMatch, TableName,
    Tables, Tag, Test, Unit, Who,
};
use crate::policy::predicate::Literal;

/// Words that start another match after `or`.
const MATCHES: [&str; 4] = ["tagged", "named", "like", "with"];
/// Words that start another party after `or`.
const PARTIES: [&str; 3] = ["users", "agents", "everyone"];
/// Masks by word.
const MASKS: [&str; 7] = ["null", "constant", "hash", "partial", "regex", "round", "deny"];
/// Flags of PostgreSQL's regular expressions that `regexp_replace` takes.
const REGEX_FLAGS: &str = "gimnsxpwcq";

impl Parser<'_> {
    /// `,` or `or`, when another item of the same list follows.
    fn another(&mut self, stops: &[&str]) -> bool {
        let comma = matches!(self.kind(), Kind::Symbol(","));
        if !comma && !self.sees("or") || stops.iter().any(|w| self.sees_at(1, w)) {
            return false;
        }
        self.advance();
        true
    }

    fn list<T>(&mut self, stops: &[&str], mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut list = vec![item(self)?];
        while self.another(stops) {
            list.push(item(self)?);
        }
        Ok(list)
    }

    /// `,` or `or`, when it is there.
    fn or(&mut self) -> bool {
        self.accept("or") || self.accept_symbol(",")
    }

    pub(crate) fn tables(&mut self) -> Parsed<Tables> {
        self.expect("tables")?;
        let mut any = vec![self.table_match()?];
        while self.or() {
            any.push(self.table_match()?);
        }
        Ok(Tables { any })
    }

    fn table_match(&mut self) -> Parsed<TableMatch> {
        if self.accept("tagged") {
            Ok(TableMatch::Tagged(self.list(&MATCHES, Self::tag)?))
        } else if self.accept("named") {
            Ok(TableMatch::Named(self.list(&MATCHES, Self::table_name)?))
        } else if self.accept("like") {
            let pattern = |p: &mut Self| p.string("a pattern for 'schema.table'");
            Ok(TableMatch::Like(self.list(&MATCHES, pattern)?))
        } else if self.accept("with") {
            self.expect("columns")?;
            Ok(TableMatch::WithColumns(self.column_match()?))
        } else {
            self.expected(&MATCHES)
        }
    }

    pub(crate) fn columns(&mut self) -> Parsed<Columns> {
        self.expect("columns")?;
        let mut any = vec![self.column_match()?];
        while self.or() {
            any.push(self.column_match()?);
        }
        let of = if self.accept("of") { Some(self.tables()?) } else { None };
        Ok(Columns { any, of })
    }

    fn column_match(&mut self) -> Parsed<ColumnMatch> {
        if self.accept("tagged") {
            Ok(ColumnMatch::Tagged(self.list(&MATCHES, Self::tag)?))
        } else if self.accept("named") {
            Ok(ColumnMatch::Named(self.list(&MATCHES, Self::column_name)?))
        } else if self.accept("like") {
            let pattern = |p: &mut Self| p.string("a pattern for a column's name");
            Ok(ColumnMatch::Like(self.list(&MATCHES, pattern)?))
        } else {
            self.expected(&["tagged", "named", "like"])
        }
    }

    fn tag(&mut self) -> Parsed<Tag> {
        let place = self.place();
        if let Kind::Quoted(path) = self.kind() {
            self.advance();
            return Ok(Tag { path: TagPath(path.clone()), place });
        }
        let mut path = self.name("a tag")?;
        while self.accept_symbol(".") {
            let Kind::Word(part) = self.kind() else {
                return self.wanted("the next part of the tag", "as in PII.Email");
            };
            path.push('.');
            path.push_str(part);
            self.advance();
        }
        if path.len() > limits::POLICY_NAME_BYTES_MAX {
            let most = limits::POLICY_NAME_BYTES_MAX;
            let problem = Problem::new(format!("a tag has at most {most} bytes"));
            return Err((place.offset, problem));
        }
        Ok(Tag { path: TagPath(path), place })
    }

    /// A table's or column's word, folded as SQL folds it.
    fn identifier(&mut self, what: &str) -> Parsed<String> {
        let bare = matches!(self.kind(), Kind::Word(_));
        let name = self.name(what)?;
        Ok(if bare { name.to_ascii_lowercase() } else { name })
    }

    fn table_name(&mut self) -> Parsed<TableName> {
        let place = self.place();
        let schema = self.identifier("a schema")?;
        if !self.accept_symbol(".") {
            return self.wanted("'.' and a table", "tables are named as schema.table");
        }
        let name = self.identifier("a table")?;
        if matches!(self.kind(), Kind::Symbol(".")) {
            return self.wanted("the end of the table's name", "tables are named as schema.table");
        }
        Ok(TableName { relation: RelationName { schema, name }, place })
    }

    fn column_name(&mut self) -> Parsed<ColumnName> {
        let place = self.place();
        let first = self.identifier("a column")?;
        if !self.accept_symbol(".") {
            return Ok(ColumnName { relation: None, column: first, place });
        }
        let name = self.identifier("a table")?;
        if !self.accept_symbol(".") {
            return self.wanted("'.' and a column", "columns are named as column or as schema.table.column");
        }
        let column = self.identifier("a column")?;
        Ok(ColumnName { relation: Some(RelationName { schema: first, name }), column, place })
    }

    pub(crate) fn who(&mut self) -> Parsed<Who> {
        let mut any = vec![self.party()?];
        while self.or() {
            any.push(self.party()?);
        }
        Ok(Who { any })
    }

    /// After `who`: parties, or tests of everyone.
    pub(crate) fn who_described(&mut self) -> Parsed<Who> {
        if PARTIES.iter().any(|w| self.sees(w)) {
            return self.who();
        }
        self.accept("is");
        let all = self.tests()?;
        let kind = PartyKind::Everyone;
        Ok(Who { any: vec![Party { kind, all }] })
    }

    fn party(&mut self) -> Parsed<Party> {
        let kind = if self.accept("users") {
            PartyKind::Users
        } else if self.accept("agents") {
            PartyKind::Agents
        } else if self.accept("everyone") {
            PartyKind::Everyone
        } else {
            return self.expected(&PARTIES);
        };
        let all = if self.sees_test() { self.tests()? } else { Vec::new() };
        Ok(Party { kind, all })
    }

    fn sees_test(&self) -> bool {
        // `with hash` after a party would be a mask's; a test has an attribute and `=` or `in`.
        ["in", "not", "named", "has", "with"].iter().any(|w| self.sees(w))
    }

    fn tests(&mut self) -> Parsed<Vec<Test>> {
        let mut all = vec![self.test()?];
        while self.accept("and") {
            self.accept("is");
            all.push(self.test()?);
        }
        Ok(all)
    }

    fn test(&mut self) -> Parsed<Test> {
        let place = self.place();
        let sense = if self.accept("not") { Sense::Not } else { Sense::Is };
        let question = if self.accept("in") {
            self.expect("group")?;
            let group = |p: &mut Self| p.name("a group");
            Question::Group(self.list(&PARTIES, group)?)
        } else if self.accept("with") || self.accept("has") {
            let name = self.name("an attribute")?;
            Question::Attribute { name, values: self.attribute_values()? }
        } else if self.accept("named") {
            let id = |p: &mut Self| p.name("a user's or agent's id");
            Question::Id(self.list(&PARTIES, id)?)
        } else {
            return self.expected(&["in", "with", "named", "not"]);
        };
        Ok(Test { sense, question, place })
    }

    fn attribute_values(&mut self) -> Parsed<Vec<String>> {
        if self.accept_symbol("=") {
            return Ok(vec![self.string("the attribute's value")?]);
        }
        if !self.accept("in") {
            return self.expected(&["=", "in"]);
        }
        self.expect_symbol("(")?;
        let mut values = vec![self.string("the attribute's value")?];
        while self.accept_symbol(",") {
            values.push(self.string("the attribute's value")?);
        }
        self.expect_symbol(")")?;
        Ok(values)
    }

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
            _ => self.round(),
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
                return self.wanted("a string, a number, 'true' or 'false'", "as in constant('REDACTED')");
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
                    let hint = super::diagnostic::did_you_mean(unit, units)
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
