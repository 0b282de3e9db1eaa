//! Reads `views.sql` and writes the views it describes; rebinds the server's own view definitions.
//!
//! Pure text. It must never see anything an agent wrote: its inputs are our templates and the server's catalog. Called by
//! `install` alone.

use std::collections::BTreeSet;

use lanyard_engine::names::{CATALOG_SCHEMA, INFORMATION_SCHEMA};

/// Who may read a generated view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Sessions.
    Session,
    /// Only other views.
    Private,
}

/// Where the rows of a generated view come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// The relation, all of it.
    All,
    /// The relation, filtered: the view is a security barrier.
    Filtered,
    /// The section's own FROM clause, filtered.
    FilteredOwn,
    /// The section's own FROM clause.
    Own,
    /// None.
    None,
}

/// One relation of the template.
#[derive(Debug)]
pub(super) struct Section<'a> {
    pub(super) name: &'a str,
    pub(super) answer: Answer,
    alias: &'a str,
    rows: Rows,
    replaced: Vec<(&'a str, &'a str)>,
    rest: String,
}

/// The template's sections, in its order. The template is ours, so a line it does not understand is a bug that shows in
/// the first test: such a line ends up in a view definition the server refuses.
pub(super) fn parse(text: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("--! "), sections.last_mut()) {
            (Some(head), last) => match (head.split_once(" = "), last) {
                (Some((column, expression)), Some(section)) => section.replaced.push((column, expression)),
                _ => sections.push(open(head)),
            },
            // What stands before the first section explains the file.
            (None, None) => {}
            (None, Some(section)) => {
                section.rest.push_str(line);
                section.rest.push('\n');
            }
        }
    }
    sections
}

/// `name alias [flag ...]`
fn open(head: &str) -> Section<'_> {
    let mut words = head.split(' ');
    let name = words.next().unwrap_or_default();
    let alias = words.next().unwrap_or_default();
    let flags: BTreeSet<&str> = words.collect();
    let rows = if flags.contains("empty") {
        Rows::None
    } else if flags.contains("shape") {
        Rows::Own
    } else if flags.contains("own") {
        Rows::FilteredOwn
    } else if flags.contains("barrier") {
        Rows::Filtered
    } else {
        Rows::All
    };
    let answer = if flags.contains("private") { Answer::Private } else { Answer::Session };
    Section { name, answer, alias, rows, replaced: Vec::new(), rest: String::new() }
}

impl Section<'_> {
    /// `CREATE VIEW` for a server on which the relation has these columns (name, type).
    pub(super) fn create(&self, columns: &[(String, String)]) -> String {
        let name = self.name;
        if self.rows == Rows::None {
            return empty(CATALOG_SCHEMA, name, columns);
        }
        let list: Vec<String> = columns
            .iter()
            .map(|(column, kind)| format!("{} AS {}", self.column(column, kind), quoted(column)))
            .collect();
        let list = list.join(",\n    ");
        let from = match self.rows {
            Rows::Own | Rows::FilteredOwn => String::new(),
            Rows::All | Rows::Filtered | Rows::None => {
                format!("FROM pg_catalog.{name} {}", self.alias)
            }
        };
        let barrier = match self.rows {
            Rows::Filtered | Rows::FilteredOwn => " WITH (security_barrier)",
            Rows::All | Rows::Own | Rows::None => "",
        };
        format!("CREATE VIEW {CATALOG_SCHEMA}.{name}{barrier} AS\nSELECT {list}\n{from}\n{}", self.rest)
    }

    /// The expression for one column.
    fn column(&self, column: &str, kind: &str) -> String {
        if let Some((_, expression)) = self.replaced.iter().find(|(name, _)| *name == column) {
            let expression = expression.replace("{type}", kind);
            return match kind {
                // A user's view cannot have the pseudo-type; the template says what instead.
                "anyarray" => expression,
                _ => format!("({expression})::{kind}"),
            };
        }
        match kind {
            // A system column of tables; psql joins descriptions by it. Here it is one like others, the last.
            _ if column == "tableoid" => format!("'pg_catalog.{}'::regclass::oid", self.name),
            "aclitem[]" | "anyarray" => null(kind),
            "oid" if column.ends_with("owner") || column == "datdba" => {
                format!("(SELECT self.oid FROM {CATALOG_SCHEMA}._self self)")
            }
            _ if self.rows == Rows::Own => match kind {
                "smallint" | "integer" | "bigint" | "real" | "double precision" => {
                    format!("0::{kind}")
                }
                _ => null(kind),
            },
            _ => format!("{}.{}", self.alias, quoted(column)),
        }
    }
}

/// A view of that shape without rows.
pub(super) fn empty(schema: &str, name: &str, columns: &[(String, String)]) -> String {
    let list: Vec<String> =
        columns.iter().map(|(column, kind)| format!("{} AS {}", null(kind), quoted(column))).collect();
    format!("CREATE VIEW {schema}.{name} AS\nSELECT {}\nWHERE false", list.join(",\n    "))
}

fn null(kind: &str) -> String {
    match kind {
        "anyarray" => "NULL::text[]".to_owned(),
        _ => format!("NULL::{kind}"),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Turns the server's definition of a view into one over ours. Relations of `information_schema` in `replaced` go to the
/// virtual one, as do the two helper functions that take rows of `pg_catalog`; the rest of that schema (domains, helper
/// functions) stays. A catalog named as a literal keeps meaning `pg_catalog`'s, whose OID is what rows carry.
pub(super) fn rebind(definition: &str, replaced: &BTreeSet<&str>) -> String {
    const SCHEMA: &str = "information_schema.";
    let mut out = String::with_capacity(definition.len() + 256);
    let mut rest = definition.trim().trim_end_matches(';');
    while let Some(at) = rest.find(SCHEMA) {
        out.push_str(&rest[..at]);
        rest = &rest[at + SCHEMA.len()..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let name = &rest[..end];
        if replaced.contains(name) || name.starts_with("_pg_truetyp") {
            out.push_str(INFORMATION_SCHEMA);
            out.push('.');
        } else {
            out.push_str(SCHEMA);
        }
    }
    out.push_str(rest);
    literals(&out)
}

/// `'pg_class'::regclass` -> `'pg_catalog.pg_class'::regclass`
fn literals(text: &str) -> String {
    let mut parts = text.split("'::regclass").peekable();
    let mut out = String::with_capacity(text.len() + 64);
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            out.push_str(part);
            break;
        }
        let (before, name) = part.rsplit_once('\'').unwrap_or(("", part));
        out.push_str(before);
        out.push_str("'pg_catalog.");
        out.push_str(name);
        out.push_str("'::regclass");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_becomes_a_view() {
        let sections =
            parse("-- why\n--! pg_x x barrier\n--! secret = NULL::text\nWHERE x.oid < 1\n--! pg_y y empty\n");
        let columns = [("oid", "oid"), ("xowner", "oid"), ("secret", "text"), ("acl", "aclitem[]")]
            .map(|(name, kind)| (name.to_owned(), kind.to_owned()));
        let sql = sections[0].create(&columns);
        assert!(sql.starts_with("CREATE VIEW lanyard_catalog.pg_x WITH (security_barrier) AS"), "{sql}");
        assert!(
            sql.contains("(NULL::text)::text AS \"secret\"") && sql.contains("NULL::aclitem[] AS \"acl\""),
            "{sql}"
        );
        assert!(sql.contains("_self self) AS \"xowner\"") && sql.contains("WHERE x.oid < 1"), "{sql}");
        assert!(sections[1].create(&columns).ends_with("WHERE false"));
    }

    #[test]
    fn definitions_are_rebound() {
        let replaced = BTreeSet::from(["columns"]);
        let text = " SELECT a::information_schema.sql_identifier FROM information_schema.columns, pg_depend d \
                    WHERE d.classid = 'pg_class'::regclass AND information_schema._pg_truetypid(a.*, t.*) = 1;";
        let bound = rebind(text, &replaced);
        assert!(bound.contains("::information_schema.sql_identifier"));
        assert!(bound.contains("FROM lanyard_information_schema.columns"));
        assert!(bound.contains("'pg_catalog.pg_class'::regclass"));
        assert!(bound.contains("lanyard_information_schema._pg_truetypid(") && !bound.ends_with(';'));
    }
}
