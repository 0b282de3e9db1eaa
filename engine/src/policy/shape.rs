//! The columns of one relation for one subject (policy.md §5).
//!
//! Must never lift what a floor or an actor policy asks for, nor bake a principal's values into SQL. Called by the judge.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::facts::{ColumnFacts, Facts, Fitted};
use super::held::merged;
use super::judge::{NEW, Session};
use super::mask::{self, Stricter};
use super::matching::{Person, column_depth};
use super::model::{Mask, MaskRule, Masking, Policy, Rule, Scope, Strength, Watches};
use super::predicate::Predicate;
use super::predicate::compile::{Ground, Read, Values, compile_cells};
use super::rows::in_scope;
use super::targets::Aim;
use super::view::Piece;
use crate::approval::Approved;
use crate::catalog::{Column, Relation};
use crate::entitlement::ColumnRule;

/// What stands between a reader and a column.
pub(crate) struct Worn {
    /// The value's expression; absent for `deny`.
    pub(crate) value: Option<Piece>,
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
    fitted: Arc<Fitted>,
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

/// A mask policy that could mean a column, and where it stands among the targets.
pub(crate) struct Candidate<'a> {
    policy: &'a Policy,
    rule: &'a MaskRule,
    aim: &'a Aim,
}

/// One subject before one relation.
pub(crate) struct Sight<'a> {
    pub(crate) relation: &'a Relation,
    pub(crate) subject: Person<'a>,
    /// Oldest first.
    pub(crate) masks: Vec<Candidate<'a>>,
    pub(crate) reveals: Reveals,
}

/// Which of a rule's maskings one person gets, by its place among them.
fn place(rule: &MaskRule, person: &Person<'_>) -> usize {
    rule.branches.iter().position(|b| person.is(&b.who)).unwrap_or(rule.branches.len())
}

/// How a rule masks one person; `None` when it does not.
pub(crate) fn masking<'a>(
    rule: &'a MaskRule,
    person: &Person<'_>,
) -> Option<(&'a Mask, Option<&'a Predicate>)> {
    match rule.maskings().nth(place(rule, person))? {
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
    pub(crate) fn reveals(
        &self,
        relation: &'a Relation,
        scoped: [&[u32]; 2],
        subject: &Person<'a>,
    ) -> Reveals {
        let mut open = BTreeSet::new();
        for policy in merged(scoped).iter().filter_map(|n| self.policies.get(*n)) {
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

    /// Mask policies that could mean a column of a relation for somebody in the session.
    pub(crate) fn masks(&self, facts: &Facts, [of_subject, of_actor]: [&[u32]; 2]) -> Vec<Candidate<'a>> {
        let policies = self.policies;
        let candidate = |number: u32| {
            let policy = policies.get(number)?;
            let Rule::Mask(rule) = &policy.rule else {
                return None;
            };
            Some(Candidate { policy, rule, aim: policies.targets().aim(number)? })
        };
        merged([&facts.open_masks, of_subject, of_actor]).into_iter().filter_map(candidate).collect()
    }

    /// The rule of one column, and what stands before it.
    pub(crate) fn column(
        &self,
        sight: &Sight<'a>,
        column: &'a Column,
        known: &ColumnFacts,
    ) -> (ColumnRule, Option<Worn>) {
        if column.tags.iter().any(|t| t.0 == NEW) && column.tags.len() == 1 {
            let policy = format!("tag {NEW}");
            return (ColumnRule::Denied { policy }, None);
        }
        let subject = &sight.subject;
        let mut winner: Option<(usize, &Candidate<'a>)> = None;
        let mut floors: Vec<(&Candidate<'a>, Person<'a>)> = Vec::new();
        for one in &sight.masks {
            let Some(depth) = known.depth(one.aim.target) else {
                continue;
            };
            let (policy, rule) = (one.policy, one.rule);
            for (n, person) in self.watched(policy, subject).enumerate() {
                // What looks at who acts only restricts.
                let restricts = policy.watches == Watches::Actor || n > 0;
                if restricts || rule.strength == Strength::Floor {
                    if in_scope(&rule.scope, &person) {
                        floors.push((one, person));
                    }
                    continue;
                }
                // `who` says whom a mask is for at all; `except` whom the winner spares.
                let meant = match &rule.scope {
                    Scope::Only(these) => person.is(these),
                    Scope::Everyone | Scope::Except(_) => true,
                };
                if meant && winner.is_none_or(|(deepest, _)| depth > deepest) {
                    winner = Some((depth, one));
                }
            }
        }
        let usual = winner
            .filter(|(_, one)| in_scope(&one.rule.scope, subject))
            // A reveal lifts `for everyone except` only.
            .filter(|(_, one)| !(matches!(one.rule.scope, Scope::Except(_)) && sight.reveals.opens(column)))
            .map(|(_, one)| (one, *subject));
        let wanted = usual.into_iter().chain(floors);
        let wanted = wanted.filter_map(|(one, person)| self.chosen(one, &person, sight, column, known));
        self.put_on(wanted.collect(), sight.relation, column, known)
    }

    /// The mask a policy asks for one person; `None` when it leaves the column clear.
    fn chosen(
        &self,
        one: &Candidate<'a>,
        person: &Person<'_>,
        sight: &Sight<'a>,
        column: &Column,
        known: &ColumnFacts,
    ) -> Option<Chosen<'a>> {
        let (mask, cells) = masking(one.rule, person)?;
        let place = one.aim.masks.get(place(one.rule, person)).copied().flatten();
        let fitted = place
            .and_then(|place| known.fitted(one.aim.target, place, self.snapshot, sight.relation, column))
            // What was worked out is a memory, not a meaning.
            .unwrap_or_else(|| Arc::new(Fitted::of(mask, sight.relation, column)));
        Some(Chosen { policy: &one.policy.name, fitted, cells })
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
        known: &ColumnFacts,
    ) -> (ColumnRule, Option<Worn>) {
        let wanted = settle(wanted, relation, column);
        let Some(first) = wanted.first() else {
            return (ColumnRule::Clear, None);
        };
        let policy = first.policy.to_owned();
        let rule = match first.fitted.applied.mask {
            Mask::Deny => ColumnRule::Denied { policy },
            ref other => ColumnRule::Masked { mask: other.word(), policy },
        };
        let mut worn = Worn {
            value: None,
            keys: BTreeSet::new(),
            reads: BTreeMap::new(),
            subject: false,
            note: first.fitted.applied.fallback.clone(),
            whole: first.cells.is_none(),
        };
        let ground = Ground::of(&self.snapshot.catalog, relation);
        let mut cases = String::new();
        for one in &wanted {
            let applied = &one.fitted.applied;
            worn.keys.extend(applied.keys.iter().cloned());
            worn.subject |= mask::asks_for_the_subject(&applied.mask);
            match one.cells.map(|cells| self.cells(cells, &ground, &mut worn)) {
                // In every row: nothing weaker shows.
                None => {
                    worn.value = one.fitted.piece.clone().map(|last| close(&cases, last, column));
                    return (rule, Some(worn));
                }
                Some(condition) => {
                    let sql = applied.sql.as_deref().unwrap_or("NULL");
                    cases.push_str(&format!("WHEN {condition} THEN {sql} "));
                }
            }
        }
        worn.value = Some(close(&cases, known.clear.clone(), column));
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
fn close(cases: &str, last: Piece, column: &Column) -> Piece {
    if cases.is_empty() {
        return last;
    }
    Piece::of(&format!("CAST(CASE {cases}ELSE {} END AS {})", last.sql, column.type_sql))
}

/// Masks in order of strictness, the strictest first; ends with the first that is in force in every row. Where two of one kind
/// cannot be told apart it is `null`, also beside a third that is stricter than both: one more floor never shows more.
fn settle<'a>(mut wanted: Vec<Chosen<'a>>, relation: &Relation, column: &Column) -> Vec<Chosen<'a>> {
    if let Some(denied) = wanted.iter().position(|w| w.fitted.applied.mask == Mask::Deny) {
        return vec![wanted.swap_remove(denied)];
    }
    for (n, one) in wanted.iter().enumerate() {
        for other in wanted.iter().skip(n + 1) {
            if mask::stricter(&one.fitted.applied.mask, &other.fitted.applied.mask) == Stricter::Neither {
                let mut null = Fitted::of(&Mask::Null, relation, column);
                let (one, other) = (one.policy, other.policy);
                null.applied.fallback =
                    Some(format!("neither '{one}' nor '{other}' surely shows less than the other"));
                return vec![Chosen { policy: other, fitted: Arc::new(null), cells: None }];
            }
        }
    }
    // The order is total here. Of equals, one that is in force in every row stands first, then the older one.
    let mut sorted: Vec<Chosen<'a>> = Vec::with_capacity(wanted.len());
    for one in wanted {
        let before = |other: &Chosen<'a>| {
            if one.fitted.applied.mask == other.fitted.applied.mask {
                other.cells.is_none() || one.cells.is_some()
            } else {
                mask::stricter(&other.fitted.applied.mask, &one.fitted.applied.mask) == Stricter::First
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
