//! `GROUP BY` a primary key, with other columns of its table selected.
//!
//! PostgreSQL takes that for a table, because the other columns follow from the key; through a view it answers 42803. So we put
//! those columns into the GROUP BY, in front of the key. Where no two rows of a relation have the same key, rows of one group
//! are of one row of it, and equal in all its columns (or without a partner in an outer join, and NULL in all); so groups,
//! and what comes out of them, stay the same whichever columns are added.
//!
//! That holds for unmasked columns, because a mask may give one row several values, and only where the warehouse itself sees to the key
//! ([`Beneath::key`](crate::entitlement::Beneath)). Nobody sees more for it: the columns are the view's. What is written in a way we
//! are not sure of goes as it is, and PostgreSQL answers 42803. Called by the walk in `statement`; `verify` knows the edit.

use pg_raw_parse::{Node, nodes};

use crate::entitlement::{Access, ViewColumn};

use super::edit::Edit;
use super::plan::Change;
use super::resolve::qualified;
use super::statement::{Verdict, Walk, offset};

/// Most relations of one FROM looked at.
const RELATIONS_MAX: usize = 64;

/// Types by whose values PostgreSQL can group, as a catalog spells them, without length and brackets.
const GROUPED: [&str; 23] = [
    "bigint",
    "bit",
    "bit varying",
    "boolean",
    "bytea",
    "character",
    "character varying",
    "cidr",
    "date",
    "double precision",
    "inet",
    "integer",
    "interval",
    "jsonb",
    "money",
    "name",
    "numeric",
    "real",
    "smallint",
    "text",
    "time",
    "timestamp",
    "uuid",
];

/// A column as a text names it: behind a table's name, or bare.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Named<'t> {
    table: Option<&'t str>,
    /// A star where there is none.
    column: Option<&'t str>,
}

impl Named<'_> {
    /// Could it be this column of what goes by that name?
    fn may_be(&self, table: &str, column: &str) -> bool {
        self.table.is_none_or(|named| named == table) && self.column.is_none_or(|named| named == column)
    }
}

impl<'t, 'c> Walk<'t, 'c> {
    /// Adds what follows from the keys that a SELECT groups by.
    pub(super) fn dependents(&mut self, select: &'t nodes::SelectStmt, scope: usize) -> Verdict {
        if select.group_clause().is_empty() {
            return Ok(());
        }
        let Some(grouped) = grouped(select) else { return Ok(()) };
        let Some(from) = self.keyed(select, scope) else { return Ok(()) };
        if from.relations.is_empty() {
            return Ok(());
        }
        let used = used(select);
        for (table, access) in &from.relations {
            let of_key = |(named, _): &&(Named<'t>, usize)| {
                let bare = named.table.is_none();
                !(bare && from.merges) && access.beneath.key.iter().any(|key| named.may_be(table, key))
            };
            let found: Vec<_> = grouped.iter().filter(of_key).collect();
            let whole = access.beneath.key.iter().all(|key| found.iter().any(|(n, _)| n.may_be(table, key)));
            let Some((_, at)) = found.first().filter(|_| whole) else { continue };
            let missing = access.view.columns.iter().filter(|column| {
                is_grouped(column)
                    && used.iter().any(|named| named.may_be(table, &column.name))
                    && !grouped.iter().any(|(named, _)| named.may_be(table, &column.name))
            });
            let columns: Vec<String> = missing.map(|column| qualified(table, &column.name)).collect();
            // Inside parentheses it would become a row.
            let before = self.text.get(..*at).unwrap_or_default().trim_end();
            if columns.is_empty() || before.ends_with('(') {
                continue;
            }
            self.plan.edits.push(Edit::new(*at..*at, format!("{}, ", columns.join(", "))));
            self.plan.changes.push(Change::Dependent { at: *at, columns });
        }
        Ok(())
    }

    /// Relations of a FROM that have a key, by the names they go by. `None` where there are too many to look at.
    fn keyed(&self, select: &'t nodes::SelectStmt, scope: usize) -> Option<From<'t, 'c>> {
        let mut from = From { relations: Vec::new(), merges: false };
        let mut open: Vec<Node<'t>> = select.from_clause().iter().collect();
        let mut seen = 0;
        while let Some(node) = open.pop() {
            seen += 1;
            if seen > RELATIONS_MAX {
                return None;
            }
            match node {
                Node::RangeVar(relation) => {
                    let governed = self.governed_in_from(relation, scope);
                    from.relations.extend(governed.filter(|(_, access)| !access.beneath.key.is_empty()));
                }
                // An alias hides the names of what is joined.
                Node::JoinExpr(join) if join.alias().is_none() => {
                    from.merges |= join.is_natural || !join.using_clause().is_empty();
                    open.extend([join.larg(), join.rarg()]);
                }
                _ => {}
            }
        }
        Some(from)
    }
}

struct From<'t, 'c> {
    relations: Vec<(&'t str, &'c Access)>,
    /// Does a join merge columns, so that a bare name may be of none of its sides?
    merges: bool,
}

/// Columns that a plain GROUP BY names, and where. `None` for grouping sets, whose members differ.
fn grouped(select: &nodes::SelectStmt) -> Option<Vec<(Named<'_>, usize)>> {
    let mut found = Vec::new();
    for item in select.group_clause().iter() {
        match item {
            Node::GroupingSet(_) => return None,
            Node::ColumnRef(column) => {
                let at = offset(column.location).ok()?;
                found.extend(named(column).filter(|named| named.column.is_some()).map(|named| (named, at)));
            }
            _ => {}
        }
    }
    Some(found)
}

fn named(column: &nodes::ColumnRef) -> Option<Named<'_>> {
    let fields: Vec<Node<'_>> = column.fields().iter().collect();
    let star = |node: &Node<'_>| matches!(node, Node::A_Star(_));
    match fields.as_slice() {
        [one] if star(one) => Some(Named { table: None, column: None }),
        [one] => Some(Named { table: None, column: Some(one.as_str()?) }),
        [table, one] if star(one) => Some(Named { table: Some(table.as_str()?), column: None }),
        [table, one] => Some(Named { table: Some(table.as_str()?), column: Some(one.as_str()?) }),
        _ => None,
    }
}

/// Columns named where a group's rows are looked at, sub-selects left out. What this does not find stays 42803.
fn used(select: &nodes::SelectStmt) -> Vec<Named<'_>> {
    let mut found = Vec::new();
    let mut open: Vec<Node<'_>> = vec![select.having_clause()];
    open.extend(select.target_list().iter().map(Node::from));
    open.extend(select.distinct_clause().iter());
    open.extend(select.sort_clause().iter().map(Node::from));
    open.extend(select.window_clause().iter());
    while let Some(node) = open.pop() {
        match node {
            Node::ColumnRef(column) => {
                let one = named(column);
                found.extend(one.filter(|one| !found.contains(one)));
            }
            Node::ResTarget(target) => open.push(target.val()),
            Node::NodeList(list) => open.extend(list.iter()),
            Node::SortBy(sort) => open.push(sort.node()),
            Node::TypeCast(cast) => open.push(cast.arg()),
            Node::CollateClause(collate) => open.push(collate.arg()),
            Node::A_Indirection(indirection) => open.push(indirection.arg()),
            Node::A_Expr(expression) => open.extend([expression.lexpr(), expression.rexpr()]),
            Node::A_ArrayExpr(array) => open.extend(array.elements().iter()),
            Node::BoolExpr(bool) => open.extend(bool.args().iter()),
            Node::RowExpr(row) => open.extend(row.args().iter()),
            Node::CoalesceExpr(call) => open.extend(call.args().iter()),
            Node::MinMaxExpr(call) => open.extend(call.args().iter()),
            Node::NullTest(test) => open.push(test.arg()),
            Node::BooleanTest(test) => open.push(test.arg()),
            Node::NamedArgExpr(argument) => open.push(argument.arg()),
            Node::CaseWhen(when) => open.extend([when.expr(), when.result()]),
            Node::CaseExpr(case) => {
                open.extend([case.arg(), case.defresult()]);
                open.extend(case.args().iter());
            }
            Node::FuncCall(call) => {
                open.extend(call.args().iter());
                open.extend(call.agg_order().iter().map(Node::from));
                open.push(call.agg_filter());
                open.extend(call.over().map(Node::from));
            }
            Node::WindowDef(window) => {
                open.extend(window.partition_clause().iter());
                open.extend(window.order_clause().iter().map(Node::from));
            }
            _ => {}
        }
    }
    found
}

/// Is it as it stands in the table, and of a type that has an equality?
fn is_grouped(column: &ViewColumn) -> bool {
    let plain = column.type_sql.split(['(', '[']).next().unwrap_or_default().trim_end();
    let known = |name: &str| {
        let rest = plain.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || matches!(rest, " with time zone" | " without time zone"))
    };
    column.writable && GROUPED.iter().any(|name| known(name))
}
