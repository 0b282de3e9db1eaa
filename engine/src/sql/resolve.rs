//! What a name in a statement stands for: a CTE, a governed relation, the virtual catalog, or nothing visible.
//!
//! Unknown and not visible are the same answer, so that existence does not leak. Called by `judge`.

use crate::entitlement::Access;
use crate::refusal::{Code, Refusal};

use super::judge::Context;
use super::paths::Temps;
use super::virtual_catalog;

/// What a relation name stands for.
pub(super) enum Target<'a> {
    /// A governed relation that this principal may use.
    Governed(&'a Access),
    /// A system catalog, answered by the relation of the same name in this schema.
    Virtual(&'static str),
    /// A relation in the session's own schema, or a temporary one: in this schema, if it is there at all.
    Own(&'a str),
}

/// The schema under which the warehouse finds a session's temporary relations.
pub(super) const TEMPORARY: &str = "pg_temp";

/// Is it the session's own temporary schema? The virtual catalog shows it under its number.
pub(super) fn is_temporary(schema: &str) -> bool {
    let number = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit());
    schema == TEMPORARY || schema.strip_prefix("pg_temp_").is_some_and(number)
}

/// The schema of the session's own that a schema's name means, where it means one.
pub(super) fn own_schema<'a>(context: &Context<'a>, schema: &str) -> Option<&'a str> {
    let workspace = context.workspace?;
    if is_temporary(schema) { Some(TEMPORARY) } else { (schema == workspace).then_some(workspace) }
}

/// What a bare name means, where no relation that policy grants has it: temporary, or in the session's own schema.
pub(super) fn own<'a>(context: &Context<'a>, temps: &Temps, name: &str) -> Option<&'a str> {
    let workspace = context.workspace?;
    Some(if temps.holds(name) { TEMPORARY } else { workspace })
}

/// Resolves a relation name of one, two or three parts as PostgreSQL would under the session's search path
/// (pg_catalog first, implicitly). Temporary relations come before granted ones, those of the session's own schema behind
/// them, so that nothing an earlier session left there takes a granted relation's place. Whether they exist the warehouse says.
///
/// # Errors
/// 42P01 for unknown and invisible alike, 0A000 for another database.
pub(super) fn relation<'a>(
    context: &Context<'a>,
    temps: &Temps,
    database: Option<&str>,
    schema: Option<&str>,
    name: &str,
) -> Result<Target<'a>, Refusal> {
    if let Some(other) = database.filter(|d| *d != context.database) {
        return Err(Refusal::new(
            Code::Unsupported,
            format!("cross-database references are not implemented: \"{other}\""),
        ));
    }
    let found = match schema {
        Some(schema) => {
            own_schema(context, schema).map(Target::Own).or_else(|| in_schema(context, schema, name))
        }
        None if temps.holds(name) => Some(Target::Own(TEMPORARY)),
        None => granted(context, name).or_else(|| context.workspace.map(Target::Own)),
    };
    found.ok_or_else(|| invisible(schema, name))
}

/// A bare name's relation in a schema of others.
pub(super) fn granted<'a>(context: &Context<'a>, name: &str) -> Option<Target<'a>> {
    // pg_catalog comes first unless it is named.
    let named = context.search_path.iter().any(|schema| schema == "pg_catalog");
    let first = if named { None } else { in_schema(context, "pg_catalog", name) };
    first.or_else(|| context.search_path.iter().find_map(|schema| in_schema(context, schema, name)))
}

fn in_schema<'a>(context: &Context<'a>, schema: &str, name: &str) -> Option<Target<'a>> {
    match schema {
        "pg_catalog" | "information_schema" => virtual_catalog::relation(schema, name).map(Target::Virtual),
        _ => context.entitlement.access(schema, name).map(Target::Governed),
    }
}

/// The same words whether the relation is missing or hidden.
fn invisible(schema: Option<&str>, name: &str) -> Refusal {
    let shown = schema.map_or_else(|| name.to_owned(), |schema| format!("{schema}.{name}"));
    Refusal::new(
        Code::UndefinedTable,
        format!("relation \"{shown}\" does not exist"),
    )
    .hint("only relations that a policy grants you exist here; ask the data owner for a grant, or list yours with \\d")
}

/// Quotes an identifier (always, so that no keyword list is needed).
pub(super) fn quote(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    push_quoted(&mut quoted, name);
    quoted
}

/// `"schema"."name"`.
pub(super) fn qualified(schema: &str, name: &str) -> String {
    let mut qualified = String::with_capacity(schema.len() + name.len() + 5);
    push_quoted(&mut qualified, schema);
    qualified.push('.');
    push_quoted(&mut qualified, name);
    qualified
}

fn push_quoted(text: &mut String, name: &str) {
    text.push('"');
    for (index, part) in name.split('"').enumerate() {
        if index > 0 {
            text.push_str("\"\"");
        }
        text.push_str(part);
    }
    text.push('"');
}
