//! FOR UPDATE, FOR SHARE and the like: rows are locked only where they may be written, as in PostgreSQL itself. LOCK TABLE: what is the
//! session's own in any mode, what is governed as every SELECT locks it.
//!
//! The role's own rights refuse it too; here it is refused in words, and not taken for a table that is being changed.

use pg_raw_parse::{Node, nodes};

use crate::entitlement::Operation;
use crate::refusal::{Code, Refusal};

use super::judge::not_spliced;
use super::resolve::{self, Target};
use super::statement::{Verdict, Walk};

/// `LOCK TABLE … IN ACCESS SHARE MODE` (`AccessShareLock` in PostgreSQL's lockdefs.h).
const ACCESS_SHARE: i32 = 1;

impl<'t> Walk<'t, '_> {
    /// LOCK TABLE, as pg_dump says it before it reads. PostgreSQL locks what stands under a view as well.
    pub(super) fn lock(&mut self, lock: &'t nodes::LockStmt) -> Result<&'static str, Refusal> {
        for node in lock.relations().iter() {
            let Node::RangeVar(relation) = node else { return Err(not_spliced()) };
            if self.is_own(relation) {
                self.existing_node(node, "read")?;
            } else if lock.mode == ACCESS_SHARE {
                self.relation(relation, Operation::Read, true)?;
            } else {
                // What is hidden and what is not there are told alike, first.
                self.target(relation, Operation::Read)?;
                return Err(Refusal::new(Code::Policy, "only ACCESS SHARE MODE may be locked here").hint(
                    "other modes hold up everybody who uses the table; SELECT ... FOR UPDATE locks rows",
                ));
            }
        }
        if self.plan.catalogs {
            return Err(Refusal::new(Code::Policy, "system catalogs may not be locked"));
        }
        Ok("LOCK TABLE")
    }

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
