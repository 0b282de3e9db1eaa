//! Which types a statement may name: PostgreSQL's own by allow-list, the types of visible columns, those a permit opens, and
//! visible relations' rows.
//!
//! A type's name tells that a relation is there, and its row type lists the columns; so what is hidden and what is missing
//! get the same 42704. What is not PostgreSQL's own is spliced qualified. Called by the walk, through `reference`.

use std::collections::{BTreeSet, HashSet};
use std::sync::LazyLock;

use pg_raw_parse::{Node, nodes};

use crate::catalog::RelationName;
use crate::entitlement::{Access, Entitlement, Operation};
use crate::names::SECURED_SCHEMA;
use crate::refusal::{Code, Refusal};

use super::edit::Edit;
use super::judge::Context;
use super::paths::Temps;
use super::plan::Change;
use super::resolve::{self, qualified};
use super::statement::{Verdict, Walk, offset};

/// Scalar types of `pg_catalog` in PostgreSQL 15 to 18 and their arrays, under their catalog names and with their OIDs, which
/// are pinned; neither row types of system catalogs, nor `unknown`, whose values become anything.
const ALLOWED: &str = include_str!("types_allowed.txt");

static BUILT_IN: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| ALLOWED.lines().filter_map(|line| Some(line.split_once(' ')?.0)).collect());

/// OIDs of those whose text is not the name of an object.
static PARAMETERS: LazyLock<HashSet<u32>> = LazyLock::new(|| {
    let line = |line: &'static str| {
        line.split_once(' ').filter(|(name, _)| !name.trim_start_matches('_').starts_with("reg"))
    };
    ALLOWED.lines().filter_map(|text| line(text)?.1.parse().ok()).collect()
});

/// First OID that initdb does not use (PostgreSQL's FirstNormalObjectId).
pub(super) const FIRST_NORMAL_OID: u32 = 16_384;
/// PostgreSQL's `unknown`, which says of a parameter as little as 0 does.
const UNKNOWN: u32 = 705;

/// What becomes of a parameter's type that a client names by its OID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterType {
    /// It stays.
    Named,
    /// It is not PostgreSQL's own: it stays where the virtual catalog says that the session may name it. Else the warehouse finds
    /// the type where the parameter stands, which was judged. The OID could be that of any row or enum type, and PostgreSQL shows
    /// their columns and labels to everybody who names them.
    Asked,
    /// Refused: it reads or prints what policy may hide.
    Refused,
}

/// Judges the OID of a parameter's type.
#[must_use]
pub fn parameter_type(oid: u32) -> ParameterType {
    if oid == 0 || oid == UNKNOWN || PARAMETERS.contains(&oid) {
        ParameterType::Named
    } else if oid >= FIRST_NORMAL_OID {
        ParameterType::Asked
    } else {
        ParameterType::Refused
    }
}

/// Domains of the standard's schema.
const INFORMATION_TYPES: [&str; 5] =
    ["cardinal_number", "character_data", "sql_identifier", "time_stamp", "yes_or_no"];

/// What a type's name stands for.
enum Meaning<'a> {
    /// PostgreSQL's own.
    BuiltIn,
    /// This type of a visible column.
    Of { schema: String, name: String },
    /// The row of this relation: that of its secured view, with the columns that exist for this principal and no other.
    Row(&'a Access),
    /// A type of the session's own, if it is there at all.
    Own(&'a str),
}

impl Walk<'_, '_> {
    /// Any type but those that name objects, which `reference` judges first.
    pub(super) fn known_type(&mut self, name: Option<&nodes::TypeName>) -> Verdict {
        let Some(name) = name else { return Ok(()) };
        let parts: Vec<&str> = name.names().iter().filter_map(|s| s.sval()).collect();
        if name.pct_type {
            return Err(unknown(&parts));
        }
        // The grammar takes any expression for a modifier, sub-selects included; PostgreSQL itself takes these two only.
        let plain = |modifier: Node<'_>| match modifier {
            Node::A_Const(_) => true,
            Node::ColumnRef(word) => word.fields().len() == 1,
            _ => false,
        };
        if !name.typmods().iter().all(plain) {
            return Err(Refusal::new(Code::Syntax, "type modifiers must be simple constants or identifiers"));
        }
        let (schema, name_of) = match meaning(&self.context, self.names.temps(), &parts)
            .ok_or_else(|| unknown(&parts))?
        {
            Meaning::BuiltIn => return Ok(()),
            Meaning::Of { schema, name } => (schema, name),
            Meaning::Own(schema) => (schema.to_owned(), parts.last().copied().unwrap_or_default().to_owned()),
            Meaning::Row(access) if access.view.columns.iter().any(|c| c.type_sql.starts_with("reg")) => {
                return Err(Refusal::new(
                    Code::Policy,
                    format!(
                        "the row of \"{}\" may not be named as a type: it has names of objects in it",
                        access.relation
                    ),
                )
                .hint("name its columns one by one"));
            }
            Meaning::Row(access) => {
                self.own.reads_governed = true;
                self.note_use(access, Operation::Read);
                (SECURED_SCHEMA.to_owned(), access.view.name.clone())
            }
        };
        let at = offset(name.location)?;
        let end = self.name_end(at, parts.len())?;
        self.plan.edits.push(Edit::new(at..end, qualified(&schema, &name_of)));
        self.plan.changes.push(Change::Type { at, schema, name: name_of });
        Ok(())
    }
}

fn unknown(parts: &[&str]) -> Refusal {
    Refusal::new(Code::UndefinedObject, format!("type \"{}\" does not exist", parts.join(".")))
        .hint("PostgreSQL's own types, those of columns you see, and rows of relations you see can be named")
}

fn meaning<'a>(context: &Context<'a>, temps: &Temps, parts: &[&str]) -> Option<Meaning<'a>> {
    match parts {
        [name] if BUILT_IN.contains(name) => Some(Meaning::BuiltIn),
        [name] => {
            let visible = || context.search_path.iter().find_map(|schema| visible(context, schema, name));
            let own = || resolve::own(context, temps, name).map(Meaning::Own);
            if temps.holds(name) { own() } else { visible().or_else(own) }
        }
        ["pg_catalog", name] => BUILT_IN.contains(name).then_some(Meaning::BuiltIn),
        ["information_schema", name] => INFORMATION_TYPES.contains(name).then_some(Meaning::BuiltIn),
        [schema, name] => match resolve::own_schema(context, schema) {
            Some(own) => Some(Meaning::Own(own)),
            None => visible(context, schema, name),
        },
        _ => None,
    }
}

fn visible<'a>(context: &Context<'a>, schema: &str, name: &str) -> Option<Meaning<'a>> {
    if let Some(access) = context.entitlement.access(schema, name) {
        return access.operations.contains(&Operation::Read).then_some(Meaning::Row(access));
    }
    let mut columns = context.entitlement.iter().flat_map(|access| &access.view.columns);
    let mut of_column =
        || columns.any(|column| user_type(&column.type_sql).is_some_and(|(s, n)| s == schema && n == name));
    let opened = context.entitlement.extras.has_type(&RelationName::new(schema, name));
    (opened || of_column()).then(|| Meaning::Of { schema: schema.to_owned(), name: name.to_owned() })
}

/// A collation or operator class: by its bare name, or PostgreSQL's own. Another schema's name would tell whether that is there.
pub(super) fn plain_name(name: &pg_raw_parse::list::NodeList) -> Verdict {
    let parts: Vec<&str> = name.iter().filter_map(Node::as_str).collect();
    match parts.as_slice() {
        [] | [_] | ["pg_catalog", _] => Ok(()),
        _ => Err(Refusal::new(Code::UndefinedObject, format!("\"{}\" does not exist", parts.join(".")))
            .hint("a collation or operator class is named without a schema here")),
    }
}

/// May the type's name stand before one argument in parentheses, as `tsquery('a & b')`? PostgreSQL reads that as a cast where
/// no function has the name. Types that name objects are judged as casts alone.
pub(super) fn casts_as_a_function(name: &str) -> bool {
    BUILT_IN.contains(name) && !name.starts_with("reg") && !name.starts_with('_')
}

/// Has a visible column a type that is not PostgreSQL's own?
pub(super) fn has_user_types(context: &Context<'_>) -> bool {
    let mut columns = context.entitlement.iter().flat_map(|access| &access.view.columns);
    !context.entitlement.extras.types.is_empty()
        || columns.any(|column| user_type(&column.type_sql).is_some())
}

/// Schemas of the types, functions and sequences, other than PostgreSQL's own, that a principal may name: those of columns it
/// sees or draws for, and those that policy lets through. Its role has to have USAGE on them.
#[must_use]
pub fn schemas_beyond(entitlement: &Entitlement) -> BTreeSet<String> {
    let columns = entitlement.iter().flat_map(|access| &access.view.columns);
    let of_columns = columns.filter_map(|column| Some(user_type(&column.type_sql)?.0));
    let extras = &entitlement.extras;
    let members =
        extras.members.iter().flat_map(|one| one.functions.iter().chain(&one.types).chain(&one.operators));
    let drawn = entitlement.iter().flat_map(|access| &access.sequences);
    let named = extras.types.iter().chain(&extras.functions).chain(members).chain(drawn);
    of_columns.chain(named.map(|name| name.schema.clone())).collect()
}

/// Schema and name in what `format_type` prints under an empty search path; `None` for PostgreSQL's own types.
fn user_type(type_sql: &str) -> Option<(String, String)> {
    let (schema, rest) = identifier(type_sql)?;
    let (name, _) = identifier(rest.strip_prefix('.')?)?;
    Some((schema, name))
}

/// One identifier as PostgreSQL quotes it, and what follows.
fn identifier(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        return (!name.is_empty()).then(|| (name.to_owned(), rest));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (piece, after) = rest.split_once('"')?;
        name.push_str(piece);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_users_are_told_from_built_in_ones() {
        let named = |s: &str, n: &str| Some((s.to_owned(), n.to_owned()));
        assert_eq!(user_type("public.mood"), named("public", "mood"));
        assert_eq!(user_type("public.mood[]"), named("public", "mood"));
        assert_eq!(user_type("gis.geometry(Point,4326)"), named("gis", "geometry"));
        assert_eq!(user_type("\"Odd \"\"one\".\"T.x\"[]"), named("Odd \"one", "T.x"));
        for built_in in [
            "integer",
            "numeric(12,2)",
            "character varying(40)",
            "timestamp with time zone",
            "\"char\"",
            "text[]",
            "",
            "\"unended",
        ] {
            assert_eq!(user_type(built_in), None, "{built_in}");
        }
    }

    #[test]
    fn a_parameter_says_no_type_that_is_hidden() {
        use ParameterType::{Asked, Named, Refused};
        for (oid, expected) in [
            (0, Named),
            (UNKNOWN, Named),
            (25, Named),
            (1009, Named),
            (2249, Named),
            // regclass and its array, aclitem and its array, cstring, the row of pg_authid, anyarray, nothing there.
            (2205, Refused),
            (2210, Refused),
            (1033, Refused),
            (1034, Refused),
            (2275, Refused),
            (2842, Refused),
            (2277, Refused),
            (9_999, Refused),
            (FIRST_NORMAL_OID, Asked),
            (u32::MAX, Asked),
        ] {
            assert_eq!(parameter_type(oid), expected, "{oid}");
        }
    }

    #[test]
    fn what_becomes_anything_or_prints_catalogs_is_not_on_the_list() {
        for name in [
            "unknown",
            "cstring",
            "pg_class",
            "pg_authid",
            "internal",
            "pg_node_tree",
            "aclitem",
            "anyelement",
        ] {
            assert!(!BUILT_IN.contains(name), "{name}");
        }
        for name in ["int4", "text", "_text", "jsonb", "char", "timestamptz", "record"] {
            assert!(BUILT_IN.contains(name), "{name}");
        }
        let names_objects = BUILT_IN.iter().filter(|name| name.contains("reg"));
        for name in names_objects.chain(&["unknown", "cstring", "pg_class", "_text"]) {
            assert!(!casts_as_a_function(name), "{name}");
        }
        assert!(casts_as_a_function("tsquery") && casts_as_a_function("jsonb"));
    }
}
