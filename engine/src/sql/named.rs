//! PREPARE, EXECUTE and DEALLOCATE of SQL: prepared statements by name.
//!
//! Names in the warehouse are the session's own and never reused, so the judge puts a placeholder where a name stands and
//! [`rename`] puts the session's name there. One quoted name takes another's place: the tokens around it, and so the tree
//! that `verify` compared, stay what they were. It must never leave a name of the client's in place. Called by the walk in
//! `utility`, and by sessions.

use std::sync::Arc;

use pg_raw_parse::{Node, nodes};

use crate::record::{ObjectUse, Objects};
use crate::refusal::{Code, Refusal};
use crate::released::Enforced;

use super::edit::{self, Edit};
use super::judge::{Effect, Judged, completeness, disposition, not_spliced};
use super::plan::Change;
use super::resolve::quote;
use super::scan;
use super::statement::{Walk, offset};

/// Stands where a name stood until the session puts its own there.
pub(super) const PLACEHOLDER: &str = "lanyard_placeholder";

/// A prepared statement as a text names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The client's name.
    pub name: Arc<str>,
    /// The session's name in the warehouse; empty until [`rename`].
    pub upstream: Arc<str>,
    /// Where the name stands in the client's text.
    at: usize,
}

/// What a PREPARE prepares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    operation: &'static str,
    objects: Vec<ObjectUse>,
}

impl<'t> Walk<'t, '_> {
    /// `PREPARE name (types) AS query`: the query is judged like any other.
    pub(super) fn prepare(
        &mut self,
        raw: &'t nodes::RawStmt,
        prepare: &'t nodes::PrepareStmt,
    ) -> Result<&'static str, Refusal> {
        let operation = match prepare.query() {
            Node::SelectStmt(_) => "SELECT",
            Node::InsertStmt(_) => "INSERT",
            Node::UpdateStmt(_) => "UPDATE",
            Node::DeleteStmt(_) => "DELETE",
            Node::MergeStmt(_) => "MERGE",
            _ => return Err(Refusal::new(Code::Policy, "this kind of statement cannot be prepared")),
        };
        for parameter in prepare.argtypes().iter() {
            self.type_name(Some(parameter))?;
        }
        let at = self.keyword(raw, &["prepare"])?;
        let named = self.named(prepare.name(), at)?;
        let prepared = Prepared { operation, objects: Vec::new() };
        self.plan.effects.push((self.index, Effect::Prepare(named, Arc::new(prepared))));
        self.push(prepare.query(), 1, 0);
        Ok("PREPARE")
    }

    /// The statement is walked: what a PREPARE in it touches is known.
    pub(super) fn prepared(&mut self) {
        if let Some((index, Effect::Prepare(_, prepared))) = self.plan.effects.last_mut()
            && *index == self.index
            && let Some(prepared) = Arc::get_mut(prepared)
        {
            prepared.objects.clone_from(&self.plan.objects);
        }
    }

    /// `EXECUTE name (arguments)`. Not inside EXPLAIN: whether its plan may be shown is known of what it runs only.
    pub(super) fn execute(
        &mut self,
        raw: &'t nodes::RawStmt,
        execute: &'t nodes::ExecuteStmt,
    ) -> Result<&'static str, Refusal> {
        let at = self.keyword(raw, &["execute"])?;
        let named = self.named(execute.name(), at)?;
        self.plan.effects.push((self.index, Effect::Execute(named)));
        for argument in execute.params().iter() {
            self.push(argument, 1, 0);
        }
        Ok("EXECUTE")
    }

    /// `DEALLOCATE [PREPARE] name`.
    pub(super) fn deallocate(
        &mut self,
        raw: &'t nodes::RawStmt,
        statement: &'t nodes::DeallocateStmt,
    ) -> Result<&'static str, Refusal> {
        if statement.isall {
            self.plan.effects.push((self.index, Effect::DeallocateAll));
            return Ok("DEALLOCATE");
        }
        let bare = self.keyword(raw, &["deallocate"])?;
        // PREPARE is a word between, or the name itself.
        let between = self.keyword(raw, &["deallocate", "prepare"]).ok();
        let at = between.filter(|at| self.name_end(*at, 1).is_ok()).unwrap_or(bare);
        let named = self.named(statement.name(), at)?;
        self.plan.effects.push((self.index, Effect::Deallocate(named)));
        Ok("DEALLOCATE")
    }

    /// Plans the name's replacement.
    fn named(&mut self, name: Option<&str>, at: usize) -> Result<Named, Refusal> {
        let name = name.ok_or_else(not_spliced)?;
        let end = self.name_end(at, 1)?;
        self.plan.edits.push(Edit::new(at..end, quote(PLACEHOLDER)));
        self.plan.changes.push(Change::Name { index: self.index });
        Ok(Named { name: name.into(), upstream: "".into(), at })
    }

    /// Where the text goes on after these words at the start of a statement. A wrong guess fails the tree check.
    pub(super) fn keyword(&self, raw: &nodes::RawStmt, words: &[&str]) -> Result<usize, Refusal> {
        let bytes = self.text.as_bytes();
        let space = |at| scan::skip_space(bytes, at).ok_or_else(not_spliced);
        let mut at = space(offset(raw.stmt_location)?)?;
        for word in words {
            let end = self.name_end(at, 1)?;
            let found = self.text.get(at..end).ok_or_else(not_spliced)?;
            if !found.eq_ignore_ascii_case(word) {
                return Err(not_spliced());
            }
            at = space(end)?;
        }
        Ok(at)
    }
}

/// The ruling with the session's names: one for each prepared statement that the text names, in the effects' order.
/// `None` when there are more or fewer.
#[must_use]
pub fn rename(text: &str, judged: &Judged, names: &[Arc<str>]) -> Option<Judged> {
    let mut renamed = judged.clone();
    let mut names = names.iter();
    for (_, effect) in &mut renamed.effects {
        let named = match effect {
            Effect::Prepare(named, _) | Effect::Execute(named) | Effect::Deallocate(named) => named,
            Effect::Move(..) | Effect::DeallocateAll | Effect::CopyIn | Effect::Path(_) | Effect::Show => {
                continue;
            }
        };
        let upstream = names.next()?;
        let edit = renamed.edits.iter_mut().find(|edit| edit.range.start == named.at)?;
        (edit.text == quote(PLACEHOLDER)).then(|| edit.text = quote(upstream))?;
        named.upstream = Arc::clone(upstream);
    }
    names.next().is_none().then_some(())?;
    renamed.enforced = Enforced::new(edit::apply(text, &mut renamed.edits)?.into());
    Some(renamed)
}

impl Judged {
    /// What was prepared by this text under that effect, as it runs later: the text is that of the whole message.
    #[must_use]
    pub fn prepared(&self, prepared: &Prepared) -> Self {
        Self {
            operation: prepared.operation.into(),
            statements: 1,
            disposition: disposition(&prepared.objects),
            notice: completeness(&prepared.objects),
            objects: Objects::new(prepared.objects.clone()),
            effects: Vec::new(),
            leaves_nothing: false,
            ..self.clone()
        }
    }

    /// May SQL's EXECUTE run this? Only statements that read or write rows: what others do to the session would go unseen.
    #[must_use]
    pub fn may_be_executed(&self) -> bool {
        self.statements == 1
            && self.effects.is_empty()
            && matches!(&*self.operation, "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "MERGE")
    }

    /// Was the same text spliced in the same way, but for names of prepared statements?
    #[must_use]
    pub fn splices_like(&self, other: &Self) -> bool {
        let placeholder = quote(PLACEHOLDER);
        self.edits.len() == other.edits.len()
            && self
                .edits
                .iter()
                .zip(&other.edits)
                .all(|(a, b)| a.range == b.range && (a.text == b.text || a.text == placeholder))
    }

    /// The same ruling where the text also runs these, which other texts prepared.
    #[must_use]
    pub fn running(self, others: &[&[ObjectUse]]) -> Self {
        let mut objects: Vec<ObjectUse> = self.objects.to_vec();
        for object in others.iter().copied().flatten() {
            if !objects.contains(object) {
                objects.push(object.clone());
            }
        }
        Self {
            disposition: disposition(&objects),
            notice: completeness(&objects),
            objects: Objects::new(objects),
            ..self
        }
    }
}
