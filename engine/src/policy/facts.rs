//! What policies come to on one relation, whoever asks: its guardrails, the SQL of its row rules and of every mask on its
//! columns, and how deeply each names them.
//!
//! Worked out once per relation and snapshot, by whoever needs it first. Must never hold anything of a principal, nor decide
//! whom a policy is for. Called by the judge.

use std::sync::{Arc, OnceLock};

use super::holders::named;
use super::judge::{NEW, Reason};
use super::kinds::{self, Part};
use super::mask::{self, Applied};
use super::matching::{column_depth, is_table};
use super::memo::Memo;
use super::model::{Mask, Masking, Rows, RowsShown, Rule};
use super::predicate::Holder;
use super::predicate::compile::{Ground, Values};
use super::rows::is_skipped;
use super::sqltext::ident;
use super::view::Piece;
use crate::catalog::{Column, Relation};
use crate::snapshot::Snapshot;

/// See the module's words.
pub(crate) struct Facts {
    /// Guardrails that mean it, oldest first.
    pub(crate) guardrails: Vec<u32>,
    /// Row policies that mean it, oldest first.
    pub(crate) rows: Vec<RowFacts>,
    /// Those of them that are not for somebody in particular.
    pub(crate) open_rows: Vec<u32>,
    /// Masks that could mean a column of it and are not for somebody in particular.
    pub(crate) open_masks: Vec<u32>,
    /// Its columns, in their order.
    pub(crate) columns: Vec<ColumnFacts>,
    /// Is it new and covered by no tag of its own (policy.md §2)?
    pub(crate) is_new: bool,
    /// Rulings made before.
    pub(crate) memo: Memo,
}

/// A row policy on one relation.
pub(crate) struct RowFacts {
    pub(crate) policy: u32,
    /// What each of its branches comes to, `otherwise` last; or why one does not compile, and the table is denied.
    pub(crate) shown: Result<Vec<Part>, Reason>,
}

/// What masks come to on one column.
pub(crate) struct ColumnFacts {
    /// Its name, quoted.
    pub(crate) name: String,
    /// The column as it is.
    pub(crate) clear: Piece,
    /// Targets that mean it, in order of number.
    meant: Vec<Meant>,
}

/// A target on a column.
struct Meant {
    target: u32,
    depth: usize,
    masks: Vec<OnceLock<Arc<Fitted>>>,
}

/// A mask on a column, ready to stand in a view.
pub(crate) struct Fitted {
    pub(crate) applied: Applied,
    /// Its expression; none for `deny`.
    pub(crate) piece: Option<Piece>,
}

impl Fitted {
    pub(crate) fn of(mask: &Mask, relation: &Relation, column: &Column) -> Self {
        let applied = mask::apply(mask, relation, column);
        let piece = applied.sql.as_deref().map(Piece::of);
        Self { applied, piece }
    }
}

impl Facts {
    pub(crate) fn of(snapshot: &Snapshot, relation: &Relation) -> Self {
        let (policies, lanes) = (&snapshot.policies, snapshot.policies.index());
        let mut guardrails = Vec::new();
        for number in lanes.guardrails.candidates(relation) {
            if let Some(Rule::Guardrail(guardrail)) = policies.get(number).map(|p| &p.rule)
                && is_table(&guardrail.on, relation)
            {
                guardrails.push(number);
            }
        }
        let rows = row_facts(snapshot, relation);
        let open = |row: &&RowFacts| policies.get(row.policy).is_some_and(|policy| named(policy).is_none());
        Self {
            guardrails,
            open_rows: rows.iter().filter(open).map(|row| row.policy).collect(),
            rows,
            open_masks: lanes.open_masks.candidates(relation).into_iter().collect(),
            columns: column_facts(snapshot, relation),
            is_new: is_new(snapshot, relation),
            memo: Memo::default(),
        }
    }

    /// What a row policy comes to here; none when it does not mean the relation.
    pub(crate) fn row(&self, policy: u32) -> Option<&RowFacts> {
        self.rows.binary_search_by_key(&policy, |row| row.policy).ok().and_then(|n| self.rows.get(n))
    }
}

impl ColumnFacts {
    fn meant(&self, target: u32) -> Option<&Meant> {
        self.meant.binary_search_by_key(&target, |m| m.target).ok().and_then(|n| self.meant.get(n))
    }

    /// How deeply a target means the column, if at all.
    pub(crate) fn depth(&self, target: u32) -> Option<usize> {
        self.meant(target).map(|m| m.depth)
    }

    /// What the mask at that place of a target comes to here.
    pub(crate) fn fitted(
        &self,
        target: u32,
        place: usize,
        snapshot: &Snapshot,
        relation: &Relation,
        column: &Column,
    ) -> Option<Arc<Fitted>> {
        self.meant(target)?.fitted(place, snapshot, relation, column)
    }
}

impl Meant {
    fn fitted(
        &self,
        place: usize,
        snapshot: &Snapshot,
        relation: &Relation,
        column: &Column,
    ) -> Option<Arc<Fitted>> {
        let kept = self.masks.get(place)?;
        if let Some(known) = kept.get() {
            return Some(Arc::clone(known));
        }
        let policies = &snapshot.policies;
        let (policy, masking) = *policies.targets().get(self.target)?.masks.get(place)?;
        let Rule::Mask(rule) = &policies.get(policy)?.rule else {
            return None;
        };
        let Masking::With { mask, .. } = rule.maskings().nth(masking)? else {
            return None;
        };
        Some(Arc::clone(kept.get_or_init(|| Arc::new(Fitted::of(mask, relation, column)))))
    }
}

fn column_facts(snapshot: &Snapshot, relation: &Relation) -> Vec<ColumnFacts> {
    let (policies, targets) = (&snapshot.policies, snapshot.policies.targets());
    let candidates = targets.lane.candidates(relation);
    let of = |column: &Column| {
        let meant = candidates.iter().filter_map(|number| {
            let target = targets.get(*number)?;
            let Rule::Mask(rule) = &policies.get(target.policy)?.rule else {
                return None;
            };
            let depth = column_depth(&rule.columns, relation, column)?;
            let masks = target.masks.iter().map(|_| OnceLock::new()).collect();
            Some(Meant { target: *number, depth, masks })
        });
        let name = ident(&column.name);
        ColumnFacts { clear: Piece::of(&format!("t.{name}")), name, meant: meant.collect() }
    };
    relation.columns.iter().map(of).collect()
}

fn row_facts(snapshot: &Snapshot, relation: &Relation) -> Vec<RowFacts> {
    let policies = &snapshot.policies;
    let ground = Ground::of(&snapshot.catalog, relation);
    let means = |number: u32| {
        let policy = policies.get(number)?;
        let Rule::Rows(rows) = &policy.rule else {
            return None;
        };
        let means = is_table(&rows.of, relation) && !is_skipped(rows, relation);
        means.then(|| RowFacts { policy: number, shown: compiled(&policy.name, rows, &ground) })
    };
    policies.index().rows.candidates(relation).into_iter().filter_map(means).collect()
}

/// Every branch must compile, also those for others: a table is right or denied.
fn compiled(policy: &str, rows: &Rows, ground: &Ground<'_>) -> Result<Vec<Part>, Reason> {
    let one = |shown: &RowsShown| kinds::compile(shown, ground, Holder::User, &Values::Open);
    rows.all_shown()
        .map(one)
        .collect::<Result<_, _>>()
        .map_err(|problem| Reason::DoesNotCompile { policy: policy.to_owned(), problem: problem.message })
}

/// New and covered by no tag of its own (policy.md §2). A schema's tag does not count: it was there before.
fn is_new(snapshot: &Snapshot, relation: &Relation) -> bool {
    let is = |name: &str| relation.tags.iter().any(|t| t.0 == name);
    let own = || snapshot.tags.tables.get(&relation.name.to_string());
    is(NEW) && !own().is_some_and(|tags| tags.iter().any(|t| t.0 != NEW))
}
