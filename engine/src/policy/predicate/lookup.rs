//! `select COLUMN from SCHEMA.TABLE [where CONDITION]` after `in (`: the only sub-select of predicates.
//!
//! Must never accept any other. Called by `read`, before sqlparser sees the tokens.

use super::Expr;
use super::read::{Form, Read, expression};
use crate::catalog::RelationName;
use crate::policy::text::diagnostic::Problem;
use crate::policy::text::lexer::{Kind, Token};

/// A sub-select.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lookup {
    pub(super) table: RelationName,
    pub(super) column: String,
    pub(super) condition: Option<Expr>,
}

const HINT: &str = "as in: region in (select region from public.territories where manager = @user.id)";

fn sees(token: Option<&Token>, word: &str) -> bool {
    matches!(token.map(|t| &t.kind), Some(Kind::Word(w)) if w.eq_ignore_ascii_case(word))
}

fn is_symbol(token: Option<&Token>, symbol: &str) -> bool {
    matches!(token.map(|t| &t.kind), Some(Kind::Symbol(s)) if *s == symbol)
}

/// Does a sub-select after `in (` start at this token?
pub(super) fn starts(tokens: &[Token], at: usize) -> bool {
    let before = |places: usize| at.checked_sub(places).and_then(|n| tokens.get(n));
    sees(tokens.get(at), "select") && is_symbol(before(1), "(") && sees(before(2), "in")
}

/// Reads it; gives back the number of the parenthesis that closes it too.
pub(super) fn read(tokens: &[Token], at: usize, end: usize) -> Read<(Lookup, usize)> {
    let mut reader = Reader { tokens, at: at + 1, end };
    let column = reader.name("a column of the lookup table")?;
    if !sees(tokens.get(reader.at), "from") {
        return reader.wrong("'from' and one table: a lookup selects one column of one table");
    }
    reader.at += 1;
    let schema = reader.name("the lookup table's schema")?;
    if !is_symbol(tokens.get(reader.at), ".") {
        return reader.wrong("'.' and a table: lookup tables are named as schema.table");
    }
    reader.at += 1;
    let name = reader.name("the lookup table's name")?;
    let condition = if sees(tokens.get(reader.at), "where") {
        let from = reader.at + 1;
        let to = reader.close(from);
        reader.at = to;
        let after = tokens.get(to).map_or(end, |t| t.start);
        Some(expression(&tokens[from..to], after, Form::Predicate)?)
    } else {
        None
    };
    if !is_symbol(tokens.get(reader.at), ")") {
        return reader.wrong("'where' or ')': a lookup has no other part");
    }
    let table = RelationName { schema, name };
    Ok((Lookup { table, column, condition }, reader.at))
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    end: usize,
}

impl Reader<'_> {
    fn wrong<T>(&self, what: &str) -> Read<T> {
        let offset = self.tokens.get(self.at).map_or(self.end, |t| t.start);
        Err((offset, Problem::new(format!("expected {what}")).hint(HINT)))
    }

    /// Bare words are folded as SQL folds them.
    fn name(&mut self, what: &str) -> Read<String> {
        let name = match self.tokens.get(self.at).map(|t| &t.kind) {
            Some(Kind::Word(word)) if !super::vocabulary::is_reserved(&word.to_ascii_lowercase()) => {
                word.to_ascii_lowercase()
            }
            Some(Kind::Quoted(name)) => name.clone(),
            _ => return self.wrong(what),
        };
        self.at += 1;
        Ok(name)
    }

    /// The parenthesis that closes what is open, or the end.
    fn close(&self, from: usize) -> usize {
        let mut depth = 0usize;
        for (n, token) in self.tokens.iter().enumerate().skip(from) {
            match token.kind {
                Kind::Symbol("(") => depth += 1,
                Kind::Symbol(")") if depth == 0 => return n,
                Kind::Symbol(")") => depth -= 1,
                _ => {}
            }
        }
        self.tokens.len()
    }
}
