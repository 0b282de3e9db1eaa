//! `tree(new) == expected(tree(old))`, on every rewrite.
//!
//! Shares no code with the splicing: it reads the planned changes, walks both trees side by side, and demands that they
//! differ in exactly those places and in exactly that way. Any surprise refuses the statement.

mod fields;

use std::collections::{BTreeMap, HashMap, HashSet};

use pg_raw_parse::{ConstValue, Node, nodes};

use crate::names::CATALOG_SCHEMA;
use crate::refusal::Refusal;

use super::judge::not_spliced;
use super::named::PLACEHOLDER;
use super::parse::{self, Tree};
use super::plan::{Change, Plan};
use fields::{Pairs, alike, equal};

/// Parses the spliced text and compares.
///
/// # Errors
/// 0A000 when the new tree is not what the plan says.
pub(super) fn check(old: &Tree, spliced: &str, plan: &Plan) -> Result<(), Refusal> {
    let new = parse::parse(spliced).map_err(|_| not_spliced())?;
    if new.len() != old.len() {
        return Err(not_spliced());
    }
    let mut planned = Planned::of(plan).ok_or_else(not_spliced)?;
    for (index, (before, after)) in old.iter().zip(new.iter()).enumerate() {
        let same = match planned.constants.remove(&index) {
            Some(text) => is_statement(after.stmt(), text),
            None => {
                planned.named = planned.names.remove(&index);
                planned.domain = planned.domains.remove(&index);
                planned.compare(before.stmt(), after.stmt()) && !planned.named && planned.domain.is_none()
            }
        };
        if !same {
            return Err(not_spliced());
        }
    }
    if planned.is_done() { Ok(()) } else { Err(not_spliced()) }
}

/// Changes that are to be found.
#[derive(Default)]
struct Planned<'p> {
    /// By the place in the old text.
    changes: BTreeMap<usize, Open<'p>>,
    /// By the index of the statement.
    constants: HashMap<usize, &'p str>,
    names: HashSet<usize>,
    domains: HashMap<usize, (&'p str, &'p str)>,
    /// The name of a prepared statement in the statement at hand is planned to change and has not been met yet.
    named: bool,
    /// The same of the name of a domain.
    domain: Option<(&'p str, &'p str)>,
}

struct Open<'p> {
    change: &'p Change,
    /// It was found.
    met: bool,
}

impl<'p> Planned<'p> {
    /// `None` where two changes are planned for one place.
    fn of(plan: &'p Plan) -> Option<Self> {
        let mut planned = Self::default();
        for change in &plan.changes {
            let is_first = match change {
                Change::Statement { index, text } => planned.constants.insert(*index, text).is_none(),
                Change::Domain { index, schema, name } => {
                    planned.domains.insert(*index, (schema, name)).is_none()
                }
                Change::Name { index } => planned.names.insert(*index),
                Change::Relation { at, .. }
                | Change::Function { at, .. }
                | Change::Column { at, .. }
                | Change::Literal { at, .. }
                | Change::Type { at, .. }
                | Change::Through { at, .. }
                | Change::Around { at, .. }
                | Change::Prefix { at, .. }
                | Change::Dependent { at, .. }
                | Change::Default { at, .. }
                | Change::Label { at, .. }
                | Change::CopyQuery { at, .. } => {
                    planned.changes.insert(*at, Open { change, met: false }).is_none()
                }
            };
            is_first.then_some(())?;
        }
        Some(planned)
    }

    fn is_done(&self) -> bool {
        self.changes.values().all(|open| open.met)
            && self.constants.is_empty()
            && self.names.is_empty()
            && self.domains.is_empty()
    }

    /// What is planned for the node that stands at this place.
    fn at(&self, location: i32) -> Option<&'p Change> {
        let place = usize::try_from(location).ok()?;
        self.changes.get(&place).map(|open| open.change)
    }

    fn met(&mut self, location: i32) {
        if let Ok(place) = usize::try_from(location)
            && let Some(open) = self.changes.get_mut(&place)
        {
            open.met = true;
        }
    }

    /// Do these two differ as planned, and not otherwise?
    fn compare(&mut self, old: Node<'_>, new: Node<'_>) -> bool {
        let mut pairs = vec![(old, new)];
        while let Some((old, new)) = pairs.pop() {
            if !self.pair(old, new, &mut pairs) {
                return false;
            }
        }
        true
    }

    /// One node with the change planned for it, if any; what is below it is put off.
    fn pair<'t>(&mut self, old: Node<'t>, new: Node<'t>, pairs: &mut Pairs<'t>) -> bool {
        let Some(location) = location(old) else { return self.unplaced(old, new, pairs) };
        let same = match (old, new, self.at(location)) {
            (
                Node::RangeVar(old),
                Node::RangeVar(new),
                Some(Change::Relation { schema, name, alias, .. }),
            ) => relation(old, new, schema, name, alias.as_deref(), pairs),
            (Node::FuncCall(was), Node::FuncCall(is), Some(Change::Function { schema, name, .. })) => {
                is_name(is.funcname().iter(), schema, name)
                    && was.funcname().iter().next_back().and_then(Node::as_str) == Some(name)
                    && alike(old, new, &["funcname"], pairs)
            }
            (Node::ColumnRef(old), Node::ColumnRef(new), Some(Change::Column { dropped, .. })) => {
                column(old, new, *dropped, pairs)
            }
            (Node::ResTarget(was), Node::ResTarget(is), Some(Change::Label { name, .. })) => {
                was.name().is_none() && is.name() == Some(name) && alike(old, new, &["name"], pairs)
            }
            (Node::A_Const(was), Node::A_Const(is), Some(Change::Literal { text, .. })) => {
                matches!(was.val(), Some(ConstValue::String(_)))
                    && matches!(is.val(), Some(ConstValue::String(is)) if is == text)
                    && alike(old, new, &["val"], pairs)
            }
            (Node::TypeName(_), Node::TypeName(is), Some(Change::Type { schema, name, .. })) => {
                is_name(is.names().iter().map(Node::from), schema, name) && alike(old, new, &["names"], pairs)
            }
            (Node::CopyStmt(_), Node::CopyStmt(is), Some(Change::CopyQuery { query, .. })) => {
                is.relation().is_none()
                    && is_statement(is.query(), query)
                    && is.attlist().is_empty()
                    && alike(old, new, &["relation", "query", "attlist"], pairs)
            }
            (
                Node::TypeCast(was),
                Node::TypeCast(is),
                Some(Change::Through { function, argument, becomes, .. }),
            ) => {
                is_expression(was.arg(), argument)
                    && is_expression(is.arg(), &format!("{CATALOG_SCHEMA}.{function}({becomes})"))
                    && alike(old, new, &["arg"], pairs)
            }
            (Node::TypeCast(was), Node::TypeCast(is), Some(Change::Around { function, .. })) => {
                around(was.arg(), is.arg(), function, pairs) && alike(old, new, &["arg"], pairs)
            }
            (Node::A_Expr(_), _, Some(Change::Prefix { column, pattern, prefix, .. })) => {
                let implied = implied(column, prefix);
                let like = like(column, pattern);
                is_expression(old, &like) && is_expression(new, &format!("{implied} AND {like}"))
            }
            (Node::SetToDefault(_), _, Some(Change::Default { expression, .. })) => {
                is_expression(old, "DEFAULT") && is_expression(new, expression)
            }
            _ => return alike(old, new, &[], pairs),
        };
        self.met(location);
        same
    }

    /// A node whose change, if any, has no place of its own in the text.
    fn unplaced<'t>(&mut self, old: Node<'t>, new: Node<'t>, pairs: &mut Pairs<'t>) -> bool {
        match (old, new) {
            (Node::PrepareStmt(was), Node::PrepareStmt(is)) => {
                self.renamed(was.name(), is.name()).is_some_and(|except| alike(old, new, except, pairs))
            }
            (Node::ExecuteStmt(was), Node::ExecuteStmt(is)) => {
                self.renamed(was.name(), is.name()).is_some_and(|except| alike(old, new, except, pairs))
            }
            (Node::DeallocateStmt(was), Node::DeallocateStmt(is)) => {
                self.renamed(was.name(), is.name()).is_some_and(|except| alike(old, new, except, pairs))
            }
            (Node::CreateDomainStmt(was), Node::CreateDomainStmt(is)) => match self.domain.take() {
                None => alike(old, new, &[], pairs),
                Some((schema, name)) => {
                    is_name(is.domainname().iter().map(Node::from), schema, name)
                        && was.domainname().iter().next_back().and_then(nodes::String::sval) == Some(name)
                        && alike(old, new, &["domainname"], pairs)
                }
            },
            // The grammar gives every column of `SET (a, b) = (…)` the same source; it is compared with the first.
            (Node::MultiAssignRef(was), Node::MultiAssignRef(_)) if was.colno > 1 => {
                alike(old, new, &["source"], pairs)
            }
            (Node::BoolExpr(was), Node::BoolExpr(is)) if is.args().len() == was.args().len() + 1 => {
                self.implied_first(was, is, pairs) && alike(old, new, &["args"], pairs)
            }
            (Node::SelectStmt(was), Node::SelectStmt(is))
                if is.group_clause().len() > was.group_clause().len() =>
            {
                self.dependents(was, is, pairs) && alike(old, new, &["group_clause"], pairs)
            }
            _ => alike(old, new, &[], pairs),
        }
    }

    /// Which field of a prepared statement's need not be the same. `None` where its name is not the planned one.
    fn renamed(&mut self, old: Option<&str>, new: Option<&str>) -> Option<&'static [&'static str]> {
        if !std::mem::take(&mut self.named) {
            return Some(&[]);
        }
        (old.is_some() && new == Some(PLACEHOLDER)).then_some(&["name"])
    }

    /// A LIKE that an AND begins with, and what it implies, are two members of it in the new tree: so the grammar reads
    /// `(a AND b) AND c`.
    fn implied_first<'t>(
        &mut self,
        old: &'t nodes::BoolExpr,
        new: &'t nodes::BoolExpr,
        pairs: &mut Pairs<'t>,
    ) -> bool {
        const AND_EXPR: u32 = 0;
        let (mut was, mut is) = (old.args().iter(), new.args().iter());
        let (Some(first @ Node::A_Expr(expression)), Some(new_first), Some(new_second)) =
            (was.next(), is.next(), is.next())
        else {
            return false;
        };
        let Some(Change::Prefix { column, pattern, prefix, .. }) = self.at(expression.location) else {
            return false;
        };
        let like = like(column, pattern);
        self.met(expression.location);
        pairs.extend(was.zip(is));
        old.boolop == AND_EXPR
            && is_expression(first, &like)
            && is_expression(new_first, &implied(column, prefix))
            && is_expression(new_second, &like)
    }

    /// In front of columns of a GROUP BY stand those that the plan says, each behind its table's name.
    fn dependents<'t>(
        &mut self,
        old: &'t nodes::SelectStmt,
        new: &'t nodes::SelectStmt,
        pairs: &mut Pairs<'t>,
    ) -> bool {
        let mut is = new.group_clause().iter();
        for was in old.group_clause().iter() {
            if let Node::ColumnRef(key) = was
                && let Some(Change::Dependent { columns, .. }) = self.at(key.location)
            {
                let are_there = columns.iter().all(|column| {
                    is.next()
                        .is_some_and(|node| matches!(node, Node::ColumnRef(_)) && is_expression(node, column))
                });
                if !are_there {
                    return false;
                }
                self.met(key.location);
            }
            let Some(is) = is.next() else { return false };
            pairs.push((was, is));
        }
        is.next().is_none()
    }
}

/// Where a node stands for which a change can be planned.
fn location(node: Node<'_>) -> Option<i32> {
    match node {
        Node::RangeVar(node) => Some(node.location),
        Node::FuncCall(node) => Some(node.location),
        Node::ColumnRef(node) => Some(node.location),
        Node::ResTarget(node) => Some(node.location),
        Node::A_Const(node) => Some(node.location),
        Node::TypeName(node) => Some(node.location),
        Node::TypeCast(node) => Some(node.location),
        Node::A_Expr(node) => Some(node.location),
        Node::SetToDefault(node) => Some(node.location),
        // It has none itself.
        Node::CopyStmt(node) => node.relation().map(|relation| relation.location),
        _ => None,
    }
}

fn relation<'t>(
    old: &'t nodes::RangeVar,
    new: &'t nodes::RangeVar,
    schema: &str,
    name: &str,
    alias: Option<&str>,
    pairs: &mut Pairs<'t>,
) -> bool {
    let named =
        new.catalogname().is_none() && new.schemaname() == Some(schema) && new.relname() == Some(name);
    let (old_node, new_node) = (Node::from(old), Node::from(new));
    let names = &["catalogname", "schemaname", "relname", "alias"];
    named
        && match (alias, new.alias()) {
            (None, _) => alike(old_node, new_node, &names[..3], pairs),
            (Some(alias), Some(is)) => {
                old.alias().is_none()
                    && is.aliasname() == Some(alias)
                    && is.colnames().is_empty()
                    && alike(old_node, new_node, names, pairs)
            }
            (Some(_), None) => false,
        }
}

fn column<'t>(
    old: &'t nodes::ColumnRef,
    new: &'t nodes::ColumnRef,
    dropped: usize,
    pairs: &mut Pairs<'t>,
) -> bool {
    pairs.extend(old.fields().iter().skip(dropped).zip(new.fields().iter()));
    old.fields().len() == new.fields().len() + dropped
        && old.fields().iter().take(dropped).all(|part| matches!(part, Node::String(_)))
        && alike(old.into(), new.into(), &["fields"], pairs)
}

/// The new argument is a call of the function, with the old argument as its only one.
fn around<'t>(old: Node<'t>, new: Node<'t>, function: &str, pairs: &mut Pairs<'t>) -> bool {
    let Node::FuncCall(call) = new else { return false };
    let mut arguments = call.args().iter();
    let (Some(argument), None) = (arguments.next(), arguments.next()) else { return false };
    pairs.push((old, argument));
    is_expression_but(new, &format!("{CATALOG_SCHEMA}.{function}(NULL)"), &["args"])
}

fn like(column: &str, pattern: &str) -> String {
    format!("{column} LIKE {pattern}")
}

fn implied(column: &str, prefix: &str) -> String {
    format!("{column} OPERATOR(pg_catalog.^@) {prefix}")
}

fn is_name<'t>(mut parts: impl Iterator<Item = Node<'t>>, schema: &str, name: &str) -> bool {
    let mut part = || parts.next().map(Node::as_str);
    part() == Some(Some(schema)) && part() == Some(Some(name)) && part().is_none()
}

/// Is this node what the grammar makes of that statement?
fn is_statement(node: Node<'_>, text: &str) -> bool {
    let Ok(tree) = parse::parse(text) else { return false };
    let mut statements = tree.iter();
    match (statements.next(), statements.next()) {
        (Some(wanted), None) => equal(wanted.stmt(), node),
        _ => false,
    }
}

/// Is this node what the grammar makes of that expression?
fn is_expression(node: Node<'_>, text: &str) -> bool {
    is_expression_but(node, text, &[])
}

/// The same, but for some fields of the node itself.
fn is_expression_but(node: Node<'_>, text: &str, except: &[&str]) -> bool {
    let Ok(tree) = parse::parse(&format!("SELECT {text}")) else { return false };
    let mut statements = tree.iter();
    let (Some(Node::SelectStmt(select)), None) =
        (statements.next().map(nodes::RawStmt::stmt), statements.next())
    else {
        return false;
    };
    let Some(target) = select.target_list().iter().next() else { return false };
    let mut pairs = Pairs::new();
    alike(target.val(), node, except, &mut pairs)
        && pairs.into_iter().all(|(wanted, node)| equal(wanted, node))
}

#[cfg(test)]
mod tests;
