//! FOR UPDATE, FOR SHARE and the like: rows are locked only where they may be written, as in PostgreSQL itself.
//!
//! The role's own rights refuse it too; here it is refused in words, and not taken for a table that is being changed.

use pg_raw_parse::{Node, nodes};

use crate::entitlement::Operation;
use crate::refusal::{Code, Refusal};

use super::resolve::{self, Target};
use super::statement::{Verdict, Walk};

impl<'t> Walk<'t, '_> {
    /// Judges the locking clauses of one SELECT.
    pub(super) fn locking(&self, select: &'t nodes::SelectStmt, scope: usize) -> Verdict {
        if select.locking_clause().is_empty() {
            return Ok(());
        }
        let mut named: Vec<&str> = Vec::new();
        let mut all = false;
        for clause in select.locking_clause().iter() {
            all |= clause.locked_rels().is_empty();
            named.extend(clause.locked_rels().iter().filter_map(|relation| match relation {
                Node::RangeVar(relation) => relation.relname(),
                _ => None,
            }));
        }
        let mut open: Vec<Node<'t>> = select.from_clause().iter().collect();
        while let Some(node) = open.pop() {
            match node {
                Node::JoinExpr(join) => open.extend([join.larg(), join.rarg()]),
                Node::RangeVar(relation) => {
                    let goes_by = relation.alias().and_then(|alias| alias.aliasname()).or(relation.relname());
                    if all || goes_by.is_some_and(|name| named.contains(&name)) {
                        self.lockable(relation, scope)?;
                    }
                }
                // What stands in sub-selects is the warehouse's to refuse.
                _ => {}
            }
        }
        Ok(())
    }

    fn lockable(&self, relation: &'t nodes::RangeVar, scope: usize) -> Verdict {
        let Some(name) = relation.relname() else { return Ok(()) };
        let (catalog, schema) = (relation.catalogname(), relation.schemaname());
        if schema.is_none() && self.is_cte(name, scope) {
            return Ok(());
        }
        match resolve::relation(&self.context, self.names.temps(), catalog, schema, name) {
            Ok(Target::Governed(access)) if !access.operations.contains(&Operation::Write) => {
                Err(Refusal::new(Code::Policy, format!("rows of \"{}\" may not be locked", access.relation))
                    .hint("only who may write a table may lock its rows; leave out FOR UPDATE or FOR SHARE"))
            }
            _ => Ok(()),
        }
    }
}
