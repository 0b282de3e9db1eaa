//! Sequences as `nextval` and its like name them: in text.
//!
//! A bare name in such a literal is one of the session's own unless it is what PostgreSQL calls the sequence of a column that the
//! session may write. Called by the walk, through `reference`.

use pg_raw_parse::{Node, nodes};

use crate::catalog::RelationName;
use crate::refusal::{Code, Refusal};

use super::super::cast::{literal_text, split_name};
use super::super::resolve::{self, qualified};
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
            Some(Node::FuncCall(inner)) => asks_for_own(inner),
            _ => false,
        }
    }

    /// The literal gets the schema where the sequence is the session's own. Else it must be one that a column draws from which
    /// this principal may write: any other is not there, whether it is or not, and what is not a literal cannot be looked at.
    pub(in super::super) fn sequence(&mut self, call: &'t nodes::FuncCall) -> Verdict {
        let Some(Node::A_Const(constant)) = call.args().iter().next() else {
            return match call.args().iter().next() {
                Some(Node::FuncCall(inner)) if asks_for_own(inner) => Ok(()),
                _ => Err(Refusal::new(Code::Policy, "a sequence is named by a literal here")
                    .hint("write its name, as in nextval('orders_id_seq')")
                    .at(offset(call.location)?)),
            };
        };
        let text = literal_text(constant).unwrap_or_default();
        match self.own_sequence(text) {
            Some(name) => self.literal(offset(constant.location)?, name),
            None if self.is_granted_sequence(text) => Ok(()),
            None => Err(Refusal::new(Code::UndefinedTable, format!("relation \"{text}\" does not exist"))
                .hint("only sequences exist here that a column draws from which you may write")
                .at(offset(constant.location)?)),
        }
    }

    /// Is it a sequence that a writable column draws from, along the search path?
    fn is_granted_sequence(&self, text: &str) -> bool {
        let known = |schema: &str, name: &str| {
            let is = |sequence: &RelationName| sequence.schema == schema && sequence.name == name;
            self.context.entitlement.iter().any(|access| access.sequences.iter().any(is))
        };
        match split_name(text).unwrap_or_default().as_slice() {
            [name] => self.context.search_path.iter().any(|schema| known(schema, name)),
            [schema, name] => known(schema, name),
            _ => false,
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
        Some(qualified(schema, name))
    }

    /// Does a column that the session may write draw from a sequence of that name?
    fn is_drawn_from(&self, name: &str) -> bool {
        self.context.entitlement.iter().any(|access| access.sequences.iter().any(|s| s.name == name))
    }
}

/// `pg_get_serial_sequence(…)`: the stand-in knows the session's own only.
fn asks_for_own(call: &nodes::FuncCall) -> bool {
    let mut names = call.funcname().iter().filter_map(Node::as_str);
    (names.next(), names.next()) == (Some("pg_get_serial_sequence"), None)
}
