//! COPY … FROM STDIN: which tables take one, with which options.
//!
//! COPY fills a view only where a trigger takes each row, so it names the view made for that beside the secured one
//! (`names::COPY_SUFFIX`). It must never name anything else. Called by the walk in `utility`.

use pg_raw_parse::{Node, nodes};

use crate::entitlement::Operation;
use crate::names;
use crate::refusal::{Code, Refusal};

use super::edit::Edit;
use super::judge::{Effect, not_spliced};
use super::plan::Change;
use super::resolve::{self, Target, qualified};
use super::settings;
use super::statement::{Verdict, Walk, offset, parts};

/// Options of both directions.
const OPTIONS: [&str; 7] = ["format", "delimiter", "null", "header", "quote", "escape", "force_quote"];
/// FREEZE is not among them: it needs a table.
const OPTIONS_FROM: [&str; 6] =
    ["force_not_null", "force_null", "default", "on_error", "reject_limit", "log_verbosity"];

/// Options by allow-list.
pub(super) fn options(copy: &nodes::CopyStmt, own: bool) -> Verdict {
    for option in copy.options().iter() {
        let name = option.defname().unwrap_or_default();
        let known = OPTIONS.contains(&name)
            || copy.is_from && (OPTIONS_FROM.contains(&name) || own && name == "freeze");
        let utf8 = name == "encoding"
            && option.arg().as_str().is_some_and(|v| settings::says(v, &["utf8", "utf-8"]));
        if !known && !utf8 {
            return Err(Refusal::new(Code::Policy, format!("COPY option \"{name}\" is not allowed")));
        }
    }
    Ok(())
}

impl<'t> Walk<'t, '_> {
    /// `COPY t (a, b) FROM STDIN` -> `COPY view (a, b) FROM STDIN`.
    pub(super) fn copy_from(&mut self, copy: &'t nodes::CopyStmt) -> Result<&'static str, Refusal> {
        let relation = copy.relation().ok_or_else(not_spliced)?;
        let at = offset(relation.location)?;
        let (schema, mut name) = self.target(relation, Operation::Write)?;
        if !self.is_own(relation) {
            self.takes_copies(relation).map_err(|refusal| refusal.at(at))?;
            name.push_str(names::COPY_SUFFIX);
        }
        let end = self.name_end(at, parts(relation))?;
        self.plan.edits.push(Edit::new(at..end, qualified(&schema, &name)));
        self.plan.changes.push(Change::Relation { at, schema, name, alias: None });
        self.plan.effects.push((self.index, Effect::CopyIn));
        if !matches!(copy.where_clause(), Node::None) {
            self.push(copy.where_clause(), 1, 0);
        }
        Ok("COPY FROM")
    }

    fn takes_copies(&self, relation: &nodes::RangeVar) -> Verdict {
        let name = relation.relname().unwrap_or_default();
        let (database, schema) = (relation.catalogname(), relation.schemaname());
        let target = resolve::relation(&self.context, self.names.temps(), database, schema, name)?;
        let Target::Governed(access) = target else {
            return Err(Refusal::new(Code::Policy, format!("permission denied for table {name}")));
        };
        if access.takes_copies() {
            return Ok(());
        }
        Err(Refusal::new(
            Code::Unsupported,
            format!("COPY FROM into \"{}\" is not supported: policy masks columns of it", access.relation),
        )
        .hint("use INSERT with the columns you may write: each row is checked then"))
    }
}
