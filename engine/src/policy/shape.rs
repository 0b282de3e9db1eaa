//! The columns of one relation for one subject (policy.md §5).
//!
//! Must never lift what a floor or an actor policy asks for, nor bake a principal's values into SQL. Called by the judge.

use std::collections::{BTreeMap, BTreeSet};

use super::held::merged;
use super::judge::{NEW, Session};
use super::mask::{self, Applied, Stricter};
use super::matching::{Person, column_depth};
use super::model::{Mask, MaskRule, Masking, Policy, Rule, Scope, Strength, Watches};
use super::predicate::Predicate;
use super::predicate::compile::{Ground, Read, Values, compile_cells};
use super::rows::in_scope;
use super::sqltext::ident;
use crate::approval::Approved;
use crate::catalog::{Column, Relation};
use crate::entitlement::ColumnRule;

/// What stands between a reader and a column.
pub(crate) struct Worn {
    /// The value's expression; absent for `deny`.
    pub(crate) sql: Option<String>,
    /// Ids in `mask_key`.
    pub(crate) keys: BTreeSet<String>,
    /// Key of `session_attribute` -> what it holds.
    pub(crate) reads: BTreeMap<String, Read>,
    /// Does it read whose session it is?
    pub(crate) subject: bool,
    /// Why it is not what the policy says, or when it is in force.
    pub(crate) note: Option<String>,
    /// Is the rule's mask in force in every row?
    pub(crate) whole: bool,
}

/// What would be in force on a column, and by which policy.
struct Chosen<'a> {
    policy: &'a str,
    applied: Applied,
    /// The rows it is in force in; all without.
    cells: Option<&'a Predicate>,
}

/// Columns that a reveal policy or an approved request opens to one subject.
pub(crate) struct Reveals(BTreeSet<String>);

impl Reveals {
    pub(crate) fn opens(&self, column: &Column) -> bool {
        self.0.contains(&column.name)
    }
}

/// How a rule masks one person; `None` when it does not.
pub(crate) fn masking<'a>(
    rule: &'a MaskRule,
    person: &Person<'_>,
) -> Option<(&'a Mask, Option<&'a Predicate>)> {
    let branch = rule.branches.iter().find(|b| person.is(&b.who));
    match branch.map_or(&rule.otherwise, |b| &b.masking) {
        Masking::Clear => None,
        Masking::With { mask, cells } => Some((mask, cells.as_deref())),
    }
}

impl<'a> Session<'a> {
    /// Whom a policy looks at; nobody when it looks at an acting agent and none acts.
    pub(crate) fn watched(
        &self,
        policy: &Policy,
        subject: &Person<'a>,
    ) -> impl Iterator<Item = Person<'a>> + use<'a> {
        // An agent that is the subject as well is looked at once.
        let actor = self.agent.filter(|agent| agent.kind != subject.kind);
        let both = match policy.watches {
            Watches::Subject => [Some(*subject), None],
            Watches::Actor => [self.agent, None],
            Watches::Both => [Some(*subject), actor],
        };
        both.into_iter().flatten()
    }

    /// What is revealed of a relation, judged as the subject: an agent's exception never lifts a user's mask.
    pub(crate) fn reveals(&self, relation: &'a Relation, subject: &Person<'a>) -> Reveals {
        let mut open = BTreeSet::new();
        let number = self.resolved.number(&relation.name);
        let candidates = number.map_or([&[][..]; 2], |number| self.scoped(number, subject));
        for policy in merged(candidates).iter().filter_map(|n| self.policies.get(*n)) {
            let Rule::Reveal(reveal) = &policy.rule else {
                continue;
            };
            if !self.watched(policy, subject).all(|p| p.is(&reveal.to)) {
                continue;
            }
            let means = |c: &&Column| column_depth(&reveal.columns, relation, c).is_some();
            open.extend(relation.columns.iter().filter(means).map(|c| c.name.clone()));
        }
        for approval in self.approvals(subject) {
            if let Approved::Unmask { relation: named, column } = &approval.what
                && *named == relation.name
            {
                open.insert(column.clone());
            }
        }
        Reveals(open)
    }

    /// The rule of one column, and what stands before it.
    pub(crate) fn column(
        &self,
        relation: &'a Relation,
        column: &'a Column,
        subject: &Person<'a>,
        candidates: &BTreeSet<u32>,
        reveals: &Reveals,
    ) -> (ColumnRule, Option<Worn>) {
        if column.tags.iter().any(|t| t.0 == NEW) && column.tags.len() == 1 {
            let policy = format!("tag {NEW}");
            return (ColumnRule::Denied { policy }, None);
        }
        let mut winner: Option<(usize, &'a Policy, &'a MaskRule)> = None;
        let mut floors: Vec<(&'a Policy, &'a MaskRule, Person<'a>)> = Vec::new();
        for policy in candidates.iter().filter_map(|n| self.policies.get(*n)) {
            let Rule::Mask(rule) = &policy.rule else {
                continue;
            };
            let Some(depth) = column_depth(&rule.columns, relation, column) else {
                continue;
            };
            for (n, person) in self.watched(policy, subject).enumerate() {
                // What looks at who acts only restricts.
                let restricts = policy.watches == Watches::Actor || n > 0;
                if restricts || rule.strength == Strength::Floor {
                    if in_scope(&rule.scope, &person) {
                        floors.push((policy, rule, person));
                    }
                    continue;
                }
                // `who` says whom a mask is for at all; `except` whom the winner spares.
                let meant = match &rule.scope {
                    Scope::Only(these) => person.is(these),
                    Scope::Everyone | Scope::Except(_) => true,
                };
                if meant && winner.is_none_or(|(deepest, _, _)| depth > deepest) {
                    winner = Some((depth, policy, rule));
                }
            }
        }
        let usual = winner
            .filter(|(_, _, rule)| in_scope(&rule.scope, subject))
            // A reveal lifts `for everyone except` only.
            .filter(|(_, _, rule)| {
                !(matches!(rule.scope, Scope::Except(_)) && reveals.0.contains(&column.name))
            })
            .map(|(_, policy, rule)| (policy, rule, *subject));
        let wanted = usual.into_iter().chain(floors).filter_map(|(policy, rule, person)| {
            let (mask, cells) = masking(rule, &person)?;
            Some(Chosen { policy: &policy.name, applied: mask::apply(mask, relation, column), cells })
        });
        self.put_on(wanted.collect(), relation, column)
    }

    /// Whose session it is, as masks that differ by subject know it: one for all its tables, also for an agent's tools.
    pub(crate) fn whose(&self) -> String {
        match (&self.user, &self.agent) {
            (Some(user), _) => format!("user {}", user.id),
            (None, Some(agent)) => format!("agent {}", agent.id),
            (None, None) => String::new(),
        }
    }

    /// What several masks, all wanted, come to.
    fn put_on(
        &self,
        wanted: Vec<Chosen<'a>>,
        relation: &Relation,
        column: &Column,
    ) -> (ColumnRule, Option<Worn>) {
        let wanted = settle(wanted, relation, column);
        let Some(first) = wanted.first() else {
            return (ColumnRule::Clear, None);
        };
        let policy = first.policy.to_owned();
        let rule = match first.applied.mask {
            Mask::Deny => ColumnRule::Denied { policy },
            ref other => ColumnRule::Masked { mask: other.word(), policy },
        };
        let mut worn = Worn {
            sql: None,
            keys: BTreeSet::new(),
            reads: BTreeMap::new(),
            subject: false,
            note: first.applied.fallback.clone(),
            whole: first.cells.is_none(),
        };
        let ground = Ground::of(&self.snapshot.catalog, relation);
        let mut cases = String::new();
        for one in &wanted {
            worn.keys.extend(one.applied.keys.iter().cloned());
            worn.subject |= mask::asks_for_the_subject(&one.applied.mask);
            let sql = one.applied.sql.clone();
            match one.cells.map(|cells| self.cells(cells, &ground, &mut worn)) {
                // In every row: nothing weaker shows.
                None => {
                    worn.sql = close(&cases, sql, column);
                    return (rule, Some(worn));
                }
                Some(condition) => {
                    let sql = sql.unwrap_or_else(|| "NULL".to_owned());
                    cases.push_str(&format!("WHEN {condition} THEN {sql} "));
                }
            }
        }
        worn.sql = close(&cases, Some(format!("t.{}", ident(&column.name))), column);
        (rule, Some(worn))
    }

    /// The rows in which a cell mask is in force. A doubt masks: NULL, an attribute without a value, a predicate that does not
    /// compile.
    fn cells(&self, cells: &Predicate, ground: &Ground<'_>, worn: &mut Worn) -> String {
        let compiled = match compile_cells(&cells.expr, ground, &Values::Open) {
            Ok(compiled) => compiled,
            Err(problem) => {
                worn.note = Some(format!("in every row, because {}", problem.message));
                return "TRUE".to_owned();
            }
        };
        if let Some((key, _)) = compiled.reads.iter().find(|(_, read)| !self.has_values(read)) {
            worn.note = Some(format!("in every row, because '{key}' is empty"));
            return "TRUE".to_owned();
        }
        worn.reads.extend(compiled.reads);
        worn.note.get_or_insert_with(|| {
            format!("in rows where {}", super::predicate::print::predicate(&cells.expr))
        });
        compiled.sql
    }
}

/// The cases in order, then what holds in all other rows; keeps type and typmod.
fn close(cases: &str, last: Option<String>, column: &Column) -> Option<String> {
    let last = last?;
    if cases.is_empty() {
        return Some(last);
    }
    Some(format!("CAST(CASE {cases}ELSE {last} END AS {})", column.type_sql))
}

/// Masks in order of strictness, the strictest first; ends with the first that is in force in every row. Where two of one kind
/// cannot be told apart it is `null`, also beside a third that is stricter than both: one more floor never shows more.
fn settle<'a>(mut wanted: Vec<Chosen<'a>>, relation: &Relation, column: &Column) -> Vec<Chosen<'a>> {
    if let Some(denied) = wanted.iter().position(|w| w.applied.mask == Mask::Deny) {
        return vec![wanted.swap_remove(denied)];
    }
    for (n, one) in wanted.iter().enumerate() {
        for other in wanted.iter().skip(n + 1) {
            if mask::stricter(&one.applied.mask, &other.applied.mask) == Stricter::Neither {
                let mut applied = mask::apply(&Mask::Null, relation, column);
                let (one, other) = (one.policy, other.policy);
                applied.fallback =
                    Some(format!("neither '{one}' nor '{other}' surely shows less than the other"));
                return vec![Chosen { policy: other, applied, cells: None }];
            }
        }
    }
    // The order is total here. Of equals, one that is in force in every row stands first, then the older one.
    let mut sorted: Vec<Chosen<'a>> = Vec::with_capacity(wanted.len());
    for one in wanted {
        let before = |other: &Chosen<'a>| {
            if one.applied.mask == other.applied.mask {
                other.cells.is_none() || one.cells.is_some()
            } else {
                mask::stricter(&other.applied.mask, &one.applied.mask) == Stricter::First
            }
        };
        let at = sorted.iter().position(|other| !before(other)).unwrap_or(sorted.len());
        sorted.insert(at, one);
    }
    if let Some(whole) = sorted.iter().position(|w| w.cells.is_none()) {
        sorted.truncate(whole + 1);
    }
    sorted
}
