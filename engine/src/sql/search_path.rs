//! SET, RESET and SHOW of search_path, and set_config of it: what goes to the warehouse, and what follows for the names of
//! later statements.
//!
//! The warehouse's own search_path follows the client's, so that types and the virtual catalog do too, but it never holds a
//! schema that this principal cannot see, and ends in `pg_temp`: other names stand in it with a prefix, under which there is
//! nothing. SHOW takes prefix and end away again. Called by the walk in `utility`, and by `judge` before it.

use std::sync::Arc;

use pg_raw_parse::{ConstValue, Node, nodes};

use crate::entitlement::Entitlement;
use crate::names::OUTSIDE_PREFIX;
use crate::refusal::{Code, Refusal};

use super::edit::Edit;
use super::judge::{Context, Effect};
use super::parse::Tree;
use super::paths::{Paths, Schemas, Step};
use super::plan::Change;
use super::resolve::quote;
use super::statement::Walk;

/// Longest path, in schemas.
const SCHEMAS_MAX: usize = 64;
const VAR_SET_VALUE: u32 = 0;
const VAR_SET_DEFAULT: u32 = 1;
const VAR_RESET: u32 = 4;
const VAR_RESET_ALL: u32 = 5;

/// A statement that changes the path.
struct PathChange<'t> {
    local: bool,
    /// Absent for the default.
    value: Option<Value<'t>>,
}

enum Value<'t> {
    /// The list of a SET.
    Names(Vec<&'t str>),
    /// The text of a set_config, and what its column is called.
    Text(&'t str, &'t str),
}

/// What a statement does to the path, as far as the text says.
fn change(statement: Node<'_>) -> Result<Option<PathChange<'_>>, Refusal> {
    match statement {
        Node::VariableSetStmt(set) => {
            let value = match set.kind {
                VAR_RESET_ALL => None,
                _ if !set.name().is_some_and(is_it) => return Ok(None),
                VAR_SET_DEFAULT | VAR_RESET => None,
                VAR_SET_VALUE => Some(Value::Names(names(set)?)),
                _ => return Err(not_plain()),
            };
            Ok(Some(PathChange { local: set.is_local, value }))
        }
        Node::SelectStmt(select) => Ok(set_config(select)),
        _ => Ok(None),
    }
}

fn is_it(name: &str) -> bool {
    name.eq_ignore_ascii_case("search_path")
}

fn not_plain() -> Refusal {
    Refusal::new(Code::Unsupported, "search_path is set to a list of plain names only")
        .hint("SET search_path TO schema, other_schema")
}

fn names(set: &nodes::VariableSetStmt) -> Result<Vec<&str>, Refusal> {
    let name = |node| match node {
        Node::A_Const(constant) => match constant.val() {
            Some(ConstValue::String(text)) => Some(text),
            _ => None,
        },
        _ => None,
    };
    set.args().iter().map(name).collect::<Option<_>>().ok_or_else(not_plain)
}

/// `SELECT set_config('search_path', 'a, b', false)` and nothing else: evaluated once, for certain.
fn set_config(select: &nodes::SelectStmt) -> Option<PathChange<'_>> {
    let mut targets = select.target_list().iter();
    let (target, None) = (targets.next()?, targets.next()) else { return None };
    let Node::FuncCall(call) = target.val() else { return None };
    let names: Vec<&str> = call.funcname().iter().filter_map(Node::as_str).collect();
    let bare = matches!(names.as_slice(), ["set_config"] | ["pg_catalog", "set_config"])
        && select.from_clause().is_empty()
        && matches!(select.where_clause(), Node::None)
        && stands_alone(select, call);
    let constant = |node| match node {
        Node::A_Const(constant) => constant.val(),
        _ => None,
    };
    let mut arguments = call.args().iter().map(constant);
    let (
        Some(Some(ConstValue::String(name))),
        Some(Some(ConstValue::String(value))),
        Some(Some(ConstValue::Boolean(local))),
        None,
    ) = (arguments.next(), arguments.next(), arguments.next(), arguments.next())
    else {
        return None;
    };
    let column = target.name().unwrap_or("set_config");
    (bare && is_it(name)).then_some(PathChange { local, value: Some(Value::Text(value, column)) })
}

/// Is the call all that a SELECT says, beside FROM and WHERE?
pub(super) fn stands_alone(select: &nodes::SelectStmt, call: &nodes::FuncCall) -> bool {
    matches!(select.having_clause(), Node::None)
        && matches!(select.limit_offset(), Node::None)
        && matches!(select.limit_count(), Node::None)
        && select.distinct_clause().is_empty()
        && select.group_clause().is_empty()
        && select.window_clause().is_empty()
        && select.sort_clause().is_empty()
        && select.locking_clause().is_empty()
        && select.values_lists().is_empty()
        && select.with_clause().is_none()
        && select.into_clause().is_none()
        && select.larg().is_none()
        && call.agg_order().is_empty()
        && matches!(call.agg_filter(), Node::None)
        && call.over().is_none()
        && !(call.agg_star || call.agg_distinct || call.func_variadic)
}

impl<'t> PathChange<'t> {
    /// The path it gives, and what the warehouse gets for it where that is not the client's text.
    fn read(self, context: &Context<'_>) -> Result<(Step, Option<String>), Refusal> {
        let (schemas, text) = match self.value {
            None => return Ok((Step::Set { local: self.local, to: None }, None)),
            Some(Value::Names(names)) => {
                let parts = names.iter().map(|name| {
                    let prefix = if is_seen(name, context) { "" } else { OUTSIDE_PREFIX };
                    format!("'{prefix}{}', ", name.replace('\'', "''"))
                });
                let word = if self.local { "LOCAL " } else { "" };
                let text = format!("SET {word}search_path TO {}'pg_temp'", parts.collect::<String>());
                (names.into_iter().map(str::to_owned).collect::<Vec<_>>(), text)
            }
            Some(Value::Text(value, column)) => {
                let (schemas, upstream) = split(value, context).ok_or_else(|| not_a_path(value))?;
                let set = format!(
                    "pg_catalog.set_config('search_path', '{}', {})",
                    upstream.replace('\'', "''"),
                    self.local
                );
                (schemas, format!("SELECT {} AS {}", shown(&set), quote(column)))
            }
        };
        may_be_looked_in(&schemas)?;
        Ok((Step::Set { local: self.local, to: Some(schemas.into()) }, Some(text)))
    }
}

fn not_a_path(value: &str) -> Refusal {
    Refusal::new(Code::BadValue, format!("invalid value for parameter \"search_path\": \"{value}\""))
}

fn may_be_looked_in(schemas: &[String]) -> Result<(), Refusal> {
    if schemas.len() > SCHEMAS_MAX {
        return Err(Refusal::new(Code::TooLarge, format!("more than {SCHEMAS_MAX} schemas in search_path")));
    }
    let last = schemas.len().saturating_sub(1);
    if schemas.iter().enumerate().any(|(at, name)| name.starts_with("pg_temp") && at != last) {
        return Err(Refusal::new(Code::Policy, "temporary objects come last in search_path")
            .hint("leave pg_temp out, or name it last"));
    }
    Ok(())
}

/// The path of a startup packet: its schemas, and what the warehouse's startup packet gets for it. `home` is the path of sessions
/// that come without one.
///
/// # Errors
/// 22023 for what is no list of names, 42501 and 54000 as for SET.
pub fn startup_path(
    text: &str,
    entitlement: &Entitlement,
    home: &[String],
) -> Result<(Schemas, String), Refusal> {
    let context = Context { entitlement, search_path: home, paths: None, workspace: None, database: "" };
    let (schemas, upstream) = split(text, &context).ok_or_else(|| not_a_path(text))?;
    may_be_looked_in(&schemas)?;
    Ok((Some(schemas.into()), upstream))
}

/// May the warehouse look into it for this principal?
fn is_seen(schema: &str, context: &Context<'_>) -> bool {
    // There is nothing under these two names.
    schema.is_empty()
        || schema == "$user"
        || context.search_path.iter().any(|home| home == schema)
        || context.entitlement.relations.contains_key(schema)
}

/// Splits as PostgreSQL splits the setting's text, and puts the prefix and the end into that text.
fn split(text: &str, context: &Context<'_>) -> Option<(Vec<String>, String)> {
    let (mut schemas, mut upstream) = (Vec::new(), String::new());
    let mut rest = text.trim_start();
    upstream.push_str(text.strip_suffix(rest)?);
    while !rest.is_empty() {
        let (name, end, quoted) = if let Some(inside) = rest.strip_prefix('"') {
            let end = closing(inside)?;
            (inside.get(..end)?.replace("\"\"", "\""), end + 2, true)
        } else {
            let end = rest.find(|c: char| c == ',' || c.is_ascii_whitespace()).unwrap_or(rest.len());
            (rest.get(..end).filter(|n| !n.is_empty())?.to_ascii_lowercase(), end, false)
        };
        let written = rest.get(..end)?;
        if quoted {
            upstream.push('"');
        }
        if !is_seen(&name, context) {
            upstream.push_str(OUTSIDE_PREFIX);
        }
        upstream.push_str(written.get(usize::from(quoted)..)?);
        schemas.push(name);
        let after = rest.get(end..)?;
        rest = after.trim_start();
        if let Some(next) = rest.strip_prefix(',') {
            rest = next.trim_start();
            // A comma must be followed by a name.
            (!rest.is_empty()).then_some(())?;
        } else {
            rest.is_empty().then_some(())?;
        }
        upstream.push_str(after.strip_suffix(rest)?);
    }
    if !schemas.is_empty() {
        upstream.push_str(", ");
    }
    upstream.push_str("pg_temp");
    Some((schemas, upstream))
}

/// The byte of the quote that ends a quoted name.
fn closing(inside: &str) -> Option<usize> {
    let bytes = inside.as_bytes();
    let mut at = 0;
    loop {
        at += bytes.get(at..)?.iter().position(|b| *b == b'"')?;
        if bytes.get(at + 1) != Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

/// SQL for the client's own text of the path from the warehouse's.
fn shown(setting: &str) -> String {
    format!(
        "pg_catalog.replace(pg_catalog.regexp_replace({setting}, '(, )?pg_temp$', ''), '{OUTSIDE_PREFIX}', '')"
    )
}

/// The same of a value.
#[must_use]
pub fn shown_path(upstream: &str) -> String {
    let own = upstream.strip_suffix("pg_temp").unwrap_or(upstream);
    own.strip_suffix(", ").unwrap_or(own).replace(OUTSIDE_PREFIX, "")
}

fn transaction(statement: &nodes::TransactionStmt) -> Option<Step> {
    let name = || Arc::from(statement.savepoint_name().unwrap_or_default());
    Some(match statement.kind {
        0 | 1 => Step::Begin,
        2 => Step::Commit(statement.chain),
        3 => Step::Rollback(statement.chain),
        4 => Step::Savepoint(name()),
        5 => Step::Release(name()),
        6 => Step::RollbackTo(name()),
        _ => return None,
    })
}

/// The path that each statement of a message finds, if those before it succeed. Empty where all find the same.
pub(super) fn ahead(tree: &Tree, context: &Context<'_>, paths: &Paths) -> Result<Vec<Schemas>, Refusal> {
    if tree.len() < 2 {
        return Ok(Vec::new());
    }
    let mut paths = paths.clone();
    let mut found = Vec::with_capacity(tree.len());
    let mut moved = false;
    for statement in tree.iter() {
        found.push(paths.current().clone());
        let step = match statement.stmt() {
            Node::TransactionStmt(statement) => transaction(statement),
            Node::DiscardStmt(discard) => {
                // DISCARD PLANS, SEQUENCES and TEMP leave settings.
                const DISCARD_ALL: u32 = 0;
                (discard.target == DISCARD_ALL).then_some(Step::Set { local: false, to: None })
            }
            other => match change(other)? {
                Some(change) => Some(change.read(context)?.0),
                None => None,
            },
        };
        if let Some(step) = step {
            paths.apply(&step);
            moved |= !paths.is_plain();
        }
    }
    Ok(if moved { found } else { Vec::new() })
}

impl<'t> Walk<'t, '_> {
    /// SET, RESET and set_config of the path; `None` when the statement is none of these.
    pub(super) fn path_change(&mut self, raw: &'t nodes::RawStmt) -> Result<Option<&'static str>, Refusal> {
        let Some(change) = change(raw.stmt())? else { return Ok(None) };
        let kind = match (&change.value, raw.stmt()) {
            (Some(Value::Text(..)), _) => "SELECT",
            (_, Node::VariableSetStmt(set)) if matches!(set.kind, VAR_RESET | VAR_RESET_ALL) => "RESET",
            _ => "SET",
        };
        let (step, text) = change.read(&Context { search_path: self.home, ..self.context })?;
        if let Some(text) = text {
            self.replace(raw, text)?;
        }
        self.plan.effects.push((self.index, Effect::Path(step)));
        Ok(Some(kind))
    }

    /// A transaction's step, for the session to follow.
    pub(super) fn transaction_step(&mut self, statement: &nodes::TransactionStmt) {
        if let Some(step) = transaction(statement) {
            self.plan.effects.push((self.index, Effect::Path(step)));
        }
    }

    /// The whole statement becomes this one.
    pub(super) fn replace(&mut self, raw: &nodes::RawStmt, text: String) -> Result<(), Refusal> {
        let (start, end) = self.statement_range(raw)?;
        self.plan.edits.push(Edit::new(start..end, format!(" {text} ")));
        self.plan.changes.push(Change::Statement { index: self.index, text });
        Ok(())
    }
}
