//! `SELECT set_config(name, 'x', false) FROM pg_settings WHERE name = 'y'`: how pg_dump changes a setting that a server may not have.
//!
//! The settings that may not be shown are not there for a client, so this finds no row, and nothing is set. The statement becomes one
//! that says so: whether `set_config` would be called is not left to the warehouse. Called by the walk in `utility`.

use pg_raw_parse::{ConstValue, Node, nodes};

use super::search_path::stands_alone;
use super::settings;

/// What is sent instead.
pub(super) const NO_ROW: &str = "SELECT NULL::pg_catalog.text AS set_config LIMIT 0";

/// Does the statement set what is not there?
pub(super) fn is_set(select: &nodes::SelectStmt) -> bool {
    of(select).is_some_and(|name| !settings::may_show(name))
}

/// The setting it looks for.
fn of(select: &nodes::SelectStmt) -> Option<&str> {
    let mut targets = select.target_list().iter();
    let (target, None) = (targets.next()?, targets.next()) else { return None };
    let Node::FuncCall(call) = target.val() else { return None };
    let names: Vec<&str> = call.funcname().iter().filter_map(Node::as_str).collect();
    let arguments: Vec<Node<'_>> = call.args().iter().collect();
    let called = matches!(names.as_slice(), ["set_config"] | ["pg_catalog", "set_config"])
        && matches!(arguments.as_slice(), [Node::ColumnRef(_), Node::A_Const(_), Node::A_Const(_)])
        && target.name().is_none()
        && stands_alone(select, call);
    let mut sources = select.from_clause().iter();
    let (Node::RangeVar(settings), None) = (sources.next()?, sources.next()) else { return None };
    let from = settings.relname() == Some("pg_settings")
        && settings.schemaname().is_none_or(|schema| schema == "pg_catalog")
        && settings.catalogname().is_none()
        && settings.alias().is_none();
    let Node::A_Expr(comparison) = select.where_clause() else { return None };
    let equal = comparison.kind == 0 && comparison.name().iter().filter_map(Node::as_str).eq(["="]);
    match (comparison.lexpr(), comparison.rexpr()) {
        (Node::ColumnRef(_), Node::A_Const(name)) if called && from && equal => match name.val()? {
            ConstValue::String(name) => Some(name),
            _ => None,
        },
        _ => None,
    }
}
