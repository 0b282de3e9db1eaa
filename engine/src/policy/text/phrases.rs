//! The phrases sentences are made of: which tables and which columns.
//!
//! Must never accept what the printer cannot print back. Called by the sentences in `parser`.

use super::diagnostic::Problem;
use super::lexer::Kind;
use super::parser::{Parsed, Parser};
use crate::catalog::{RelationName, TagPath};
use crate::limits;
use crate::policy::model::{
    ColumnMatch, ColumnName, Columns, NamePattern, TableMatch, TableName, Tables, Tag,
};

/// Words that start another match after `or`.
const MATCHES: [&str; 7] = ["tagged", "named", "like", "matching", "with", "all", "any"];

impl Parser<'_> {
    /// `,` or `or`, when another item of the same list follows.
    pub(super) fn another(&mut self, stops: &[&str]) -> bool {
        let comma = matches!(self.kind(), Kind::Symbol(","));
        if !comma && !self.sees("or") || stops.iter().any(|w| self.sees_at(1, w)) {
            return false;
        }
        self.advance();
        true
    }

    pub(super) fn list<T>(
        &mut self,
        stops: &[&str],
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let mut list = vec![item(self)?];
        while self.another(stops) {
            list.push(item(self)?);
        }
        Ok(list)
    }

    /// `,` or `or`, when it is there.
    pub(super) fn or(&mut self) -> bool {
        self.accept("or") || self.accept_symbol(",")
    }

    pub(crate) fn tables(&mut self) -> Parsed<Tables> {
        self.expect("tables")?;
        let mut any = vec![self.table_match(0)?];
        while self.or() {
            any.push(self.table_match(0)?);
        }
        Ok(Tables { any })
    }

    fn table_match(&mut self, depth: usize) -> Parsed<TableMatch> {
        if self.accept("tagged") {
            Ok(TableMatch::Tagged(self.list(&MATCHES, Self::tag)?))
        } else if self.accept("named") {
            Ok(TableMatch::Named(self.list(&MATCHES, Self::table_name)?))
        } else if self.accept("like") {
            let pattern = |p: &mut Self| p.string("a pattern for 'schema.table'");
            Ok(TableMatch::Like(self.list(&MATCHES, pattern)?))
        } else if self.accept("matching") {
            Ok(TableMatch::Matching(self.list(&MATCHES, Self::name_pattern)?))
        } else if self.sees("all") || self.sees("any") {
            self.circumstances(depth)
        } else if self.accept("with") {
            if self.sees("all") || self.sees("any") {
                return self.circumstances(depth);
            }
            if !self.accept("columns") {
                return self.expected(&["columns", "all of", "any of"]);
            }
            Ok(TableMatch::WithColumns(self.column_match()?))
        } else {
            self.expected(&MATCHES)
        }
    }

    /// `all of (…, …)` or `any of (…, …)`.
    fn circumstances(&mut self, depth: usize) -> Parsed<TableMatch> {
        if depth >= limits::POLICY_DEPTH_MAX {
            return Err((self.offset(), Problem::new("these circumstances nest too deep")));
        }
        let all = self.accept("all");
        if !all {
            self.expect("any")?;
        }
        self.expect("of")?;
        if !self.accept_symbol("(") {
            return self.wanted("'('", "as in: with all of (tagged Sales and with columns tagged PII)");
        }
        let mut list = vec![self.table_match(depth + 1)?];
        while self.or() || (all && self.accept("and")) {
            list.push(self.table_match(depth + 1)?);
        }
        self.expect_symbol(")")?;
        Ok(if all { TableMatch::AllOf(list) } else { TableMatch::AnyOf(list) })
    }

    fn name_pattern(&mut self) -> Parsed<NamePattern> {
        let start = self.offset();
        let text = self.string("a regular expression")?;
        self.patterns += 1;
        if self.patterns > limits::POLICY_REGEXES_MAX {
            let most = limits::POLICY_REGEXES_MAX;
            let problem = Problem::new(format!("a file has at most {most} regular expressions"));
            return Err((start, problem.hint("join some with '|', or use tags")));
        }
        NamePattern::parse(&text).map_err(|what| {
            let hint = "it is searched for in the name; '^' and '$' tie it to the ends";
            (start, Problem::new(what.replace('\n', " ")).hint(hint))
        })
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
        } else if self.accept("matching") {
            Ok(ColumnMatch::Matching(self.list(&MATCHES, Self::name_pattern)?))
        } else {
            self.expected(&["tagged", "named", "like", "matching"])
        }
    }

    pub(super) fn tag(&mut self) -> Parsed<Tag> {
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
    pub(super) fn identifier(&mut self, what: &str) -> Parsed<String> {
        let bare = matches!(self.kind(), Kind::Word(_));
        let name = self.name(what)?;
        Ok(if bare { name.to_ascii_lowercase() } else { name })
    }

    /// A channel's name, folded as LISTEN folds it. A longer one would be cut by LISTEN and refused by `pg_notify`.
    pub(super) fn channel(&mut self) -> Parsed<String> {
        let at = self.offset();
        let name = self.identifier("a channel")?;
        if name.len() > limits::NAME_BYTES_MAX {
            let most = limits::NAME_BYTES_MAX;
            return Err((at, Problem::new(format!("a channel has at most {most} bytes"))));
        }
        Ok(name)
    }

    pub(super) fn table_name(&mut self) -> Parsed<TableName> {
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

    pub(super) fn column_name(&mut self) -> Parsed<ColumnName> {
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
}
