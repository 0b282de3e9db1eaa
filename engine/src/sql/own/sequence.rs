//! Sequences as `nextval` and its like name them: in text.
//!
//! A bare name in such a literal is one of the session's own unless it is what PostgreSQL calls the sequence of a column that the
//! session may write. Called by the walk, through `reference`.

use pg_raw_parse::{Node, nodes};

use crate::entitlement::Operation;

use super::super::reference::{literal_text, split_name};
use super::super::resolve::{self, quote};
use super::super::statement::{Verdict, Walk, offset};

impl<'t> Walk<'t, '_> {
    /// `setval` of a sequence that is surely the session's own. Bundles hold no such right on any other.
    pub(in super::super) fn sets_own_sequence(&self, name: &str, call: &nodes::FuncCall) -> bool {
        if name != "setval" || self.context.workspace.is_none() {
            return false;
        }
        match call.args().iter().next() {
            Some(Node::A_Const(constant)) => {
                literal_text(constant).is_some_and(|text| self.own_sequence(text).is_some())
            }
            // The stand-in knows the session's own only.
            Some(Node::FuncCall(inner)) => {
                let mut names = inner.funcname().iter().filter_map(Node::as_str);
                (names.next(), names.next()) == (Some("pg_get_serial_sequence"), None)
            }
            _ => false,
        }
    }

    /// The literal gets the schema.
    pub(in super::super) fn sequence(&mut self, call: &'t nodes::FuncCall) -> Verdict {
        let Some(Node::A_Const(constant)) = call.args().iter().next() else { return Ok(()) };
        let own = literal_text(constant).and_then(|text| self.own_sequence(text));
        match own {
            Some(name) => self.literal(offset(constant.location)?, name),
            None => Ok(()),
        }
    }

    /// The sequence's name with its schema, quoted, where it is the session's own.
    fn own_sequence(&self, text: &str) -> Option<String> {
        let parts = split_name(text)?;
        let (schema, name) = match parts.as_slice() {
            [name] if self.is_drawn_from(name) => return None,
            [name] => (resolve::own(&self.context, self.names.temps(), name)?, name),
            [schema, name] => (resolve::own_schema(&self.context, schema)?, name),
            _ => return None,
        };
        Some(format!("{}.{}", quote(schema), quote(name)))
    }

    /// Does a column that the session may write draw from a sequence of that name?
    fn is_drawn_from(&self, name: &str) -> bool {
        let writable = |access: &&crate::entitlement::Access| access.operations.contains(&Operation::Write);
        self.context.entitlement.iter().filter(writable).any(|access| {
            name.strip_prefix(&access.relation.name).and_then(|rest| rest.strip_prefix('_')).is_some_and(
                |rest| {
                    rest.strip_suffix("_seq")
                        .is_some_and(|column| access.view.columns.iter().any(|shown| shown.name == column))
                },
            )
        })
    }
}
