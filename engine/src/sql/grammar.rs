//! Places where the grammar or PostgreSQL's rewriter reads something of its own into a text.
//!
//! Called by the walk in `statement`; nothing here decides what may be read or written.

use pg_raw_parse::{Node, nodes};

/// `FROM unnest(a, b)`, several arrays side by side: the grammar's own reading of the bare name, always pg_catalog's
/// function, and lost when the name is qualified. The conditions are those of PostgreSQL's transformRangeFunction: where
/// one fails, the name would be looked up like any other, and is spliced like any other.
pub(super) fn spread_unnest(entry: Node<'_>) -> Option<&nodes::FuncCall> {
    let Node::NodeList(pair) = entry else { return None };
    let mut parts = pair.iter();
    let (Some(Node::FuncCall(call)), None | Some(Node::None)) = (parts.next(), parts.next()) else {
        return None;
    };
    let mut names = call.funcname().iter();
    let bare = names.next().and_then(Node::as_str) == Some("unnest") && names.next().is_none();
    let plain = call.agg_order().is_empty()
        && matches!(call.agg_filter(), Node::None)
        && call.over().is_none()
        && !(call.agg_star || call.agg_distinct || call.func_variadic);
    (bare && plain && call.args().len() > 1).then_some(call)
}

/// `TABLE t` is a SELECT whose star has no place in the text.
pub(super) fn is_table_command(select: &nodes::SelectStmt) -> bool {
    let mut targets = select.target_list().iter();
    match (targets.next().map(nodes::ResTarget::val), targets.next()) {
        (Some(Node::ColumnRef(column)), None) => {
            column.location < 0 && matches!(column.fields().first(), Some(Node::A_Star(_)))
        }
        _ => false,
    }
}
