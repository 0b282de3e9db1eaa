//! What a name in a statement stands for: a CTE, a governed relation, the virtual catalog, or nothing visible.
//!
//! Unknown and not visible are the same answer, so that existence does not leak. Called by `judge`.

use crate::entitlement::Access;
use crate::refusal::{Code, Refusal};

use super::judge::Context;
use super::virtual_catalog;

/// What a relation name stands for.
pub(super) enum Target<'a> {
    /// A governed relation that this principal may use.
    Governed(&'a Access),
    /// A system catalog, answered by the relation of the same name in this schema.
    Virtual(&'static str),
}

/// Resolves a relation name of one, two or three parts as PostgreSQL would under the session's search path
/// (pg_catalog first, implicitly).
///
/// # Errors
/// 42P01 for unknown and invisible alike, 0A000 for another database.
pub(super) fn relation<'a>(
    context: &Context<'a>,
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
        Some(schema) => in_schema(context, schema, name),
        None => {
            // pg_catalog comes first unless it is named.
            let named = context.search_path.iter().any(|schema| schema == "pg_catalog");
            let first = if named { None } else { in_schema(context, "pg_catalog", name) };
            first.or_else(|| context.search_path.iter().find_map(|schema| in_schema(context, schema, name)))
        }
    };
    found.ok_or_else(|| invisible(schema, name))
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
    format!("\"{}\"", name.replace('"', "\"\""))
}
