//! The name of an output column that a splice would change.
//!
//! PostgreSQL calls `oid::regclass` after the column. With a call of the virtual catalog around it, it would be called after the
//! function; so the name is written out. What is written in a way we are not sure of keeps the function's name. Called by the
//! walk in `statement`; `verify` knows the edit.

use pg_raw_parse::{Node, nodes};

use super::cast::names_objects;
use super::edit::Edit;
use super::plan::Change;
use super::resolve::quote;
use super::scan;
use super::statement::{Walk, offset};

impl<'t> Walk<'t, '_> {
    /// Writes out the name of a column under casts, one of which makes an object's name of it.
    pub(super) fn label(&mut self, target: &'t nodes::ResTarget) {
        if target.name().is_some() {
            return;
        }
        let mut casts = Vec::new();
        let mut node = target.val();
        while let Node::TypeCast(cast) = node {
            casts.push(cast);
            node = cast.arg();
        }
        let (Node::ColumnRef(column), Some(innermost)) = (node, casts.last()) else { return };
        if !names_objects(innermost.type_name()) {
            return;
        }
        let Some(name) = last_field(column) else { return };
        let found = self.end_of_casts(column, casts.iter().rev().copied());
        if let (Some(end), Ok(at)) = (found, offset(target.location)) {
            self.plan.edits.push(Edit::new(end..end, format!(" AS {}", quote(name))));
            self.plan.changes.push(Change::Label { at, name: name.to_owned() });
        }
    }

    /// Where `column::type::type` ends, written so and outside of parentheses.
    fn end_of_casts(
        &self,
        column: &nodes::ColumnRef,
        casts: impl Iterator<Item = &'t nodes::TypeCast>,
    ) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let mut end = self.name_end(offset(column.location).ok()?, column.fields().len()).ok()?;
        for cast in casts {
            let at = offset(cast.location).ok()?;
            let written = cast.type_name()?;
            let plain = written.typmods().is_empty() && written.array_bounds().is_empty() && !written.setof;
            let is_next = scan::skip_space(bytes, end) == Some(at) && bytes.get(at..at + 2) == Some(b"::");
            if !(plain && is_next) {
                return None;
            }
            let from = offset(written.location).ok()?;
            // A keyword's type (`int`) has more parts than are written.
            end = scan::name_end(self.text, from, written.names().len())?;
        }
        (scan::skip_space(bytes, end).and_then(|next| bytes.get(next)) != Some(&b')')).then_some(end)
    }
}

/// The column's own name. One behind a schema loses that, and has a change of its own.
fn last_field(column: &nodes::ColumnRef) -> Option<&str> {
    let fields = column.fields();
    fields.iter().next_back().filter(|_| fields.len() <= 2).and_then(Node::as_str)
}
