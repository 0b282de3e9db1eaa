//! Rows and columns of one relation for one subject (policy.md §§4, 5).
//!
//! Must never lift what a floor or an actor policy asks for, nor bake a principal's values into SQL. Called by the judge.

use std::collections::BTreeMap;

use super::held::merged;
use super::judge::{NEW, Reason, Session};
use super::mask::{self, Applied, Stricter};
use super::matching::{Person, column_depth};
use super::model::{Mask, MaskRule, Policy, Rows, RowsShown, Rule, Scope, Strength, Watches};
use super::predicate::compile::{Compiled, Read, Values, compile};
use super::predicate::{Attribute, Expr, Holder, Literal, Named, Predicate};
use super::types::SqlType;
use crate::catalog::{Column, Relation};
use crate::entitlement::ColumnRule;

/// Row rules put together.
pub(crate) struct Filter {
    /// Those that limit, in order of name.
    pub(crate) policies: Vec<String>,
    /// All of them; absent when every row is shown.
    pub(crate) condition: Option<String>,
    /// Key of `session_attribute` -> what it holds.
    pub(crate) reads: BTreeMap<String, Read>,
}

/// One row policy's say.
pub(crate) enum Say<'a> {
    All,
    None,
    Where(&'a Predicate),
}

/// Every branch of a row policy on a relation, in the order of [`predicates`].
pub(crate) fn compile_rows(policy: &str, rows: &Rows, relation: &Relation) -> Result<Vec<Compiled>, Reason> {
    predicates(rows)
        .map(|one| {
            compile(&one.expr, relation, &Values::Open).map_err(|problem| Reason::DoesNotCompile {
                policy: policy.to_owned(),
                problem: problem.message,
            })
        })
        .collect()
}

/// Why a row policy says what it says.
pub(crate) fn rows_say<'a>(rows: &'a Rows, person: &Person<'_>) -> Say<'a> {
    if !in_scope(&rows.scope, person) {
        return Say::All;
    }
    let branch = rows.branches.iter().find(|b| person.is(&b.who));
    match branch.map_or(&rows.otherwise, |b| &b.shown) {
        RowsShown::All => Say::All,
        RowsShown::None => Say::None,
        RowsShown::Where(one) => match one.expr {
            Expr::Literal(Literal::Truth(true)) => Say::All,
            _ => Say::Where(one),
        },
    }
}

pub(crate) fn in_scope(scope: &Scope, person: &Person<'_>) -> bool {
    match scope {
        Scope::Everyone => true,
        Scope::Except(these) => !person.is(these),
        Scope::Only(these) => person.is(these),
    }
}

/// Every predicate a row policy could apply, whoever asks.
pub(crate) fn predicates(rows: &Rows) -> impl Iterator<Item = &Predicate> {
    let shown = rows.branches.iter().map(|b| &b.shown);
    shown.chain([&rows.otherwise]).filter_map(|shown| match shown {
        RowsShown::Where(one) => Some(one),
        RowsShown::All | RowsShown::None => None,
    })
}

/// What would be in force on a column, and by which policy.
struct Chosen<'a> {
    policy: &'a str,
    applied: Applied,
}

impl<'a> Session<'a> {
    /// Whom a policy looks at; nobody when it looks at an acting agent and none acts.
    pub(crate) fn watched(&self, policy: &Policy, subject: &Person<'a>) -> Option<Person<'a>> {
        match policy.watches {
            Watches::Subject => Some(*subject),
            Watches::Actor => self.agent,
        }
    }

    /// The values of an attribute in this session that read as the type.
    pub(crate) fn values(&self, attribute: &Attribute, as_type: SqlType) -> Vec<String> {
        let person = match attribute.holder {
            Holder::User => &self.user,
            Holder::Agent => &self.agent,
        };
        let Some(person) = person else {
            return Vec::new();
        };
        let fits = |v: &&String| as_type.reads(v);
        match &attribute.name {
            Named::Id => vec![person.id.to_owned()],
            Named::Groups => person.groups.iter().filter(fits).cloned().collect(),
            Named::Attribute(name) => match person.attributes.get(name) {
                Some(values) => values.iter().filter(fits).cloned().collect(),
                None => Vec::new(),
            },
        }
        .into_iter()
        .filter(|v| as_type.reads(v))
        .collect()
    }

    pub(crate) fn rows(&self, relation: &'a Relation, subject: &Person<'a>) -> Result<Filter, Vec<Reason>> {
        let (number, facts) = self.facts(relation)?;
        // Every branch must compile, also those for others: a table is right or denied.
        let of = |number: &u32| Some((self.policies.get(*number)?, facts.rows.get(number)?.as_ref()));
        let watched = |policy: &Policy| self.watched(policy, subject).is_some();
        let broken: Vec<Reason> = (facts.broken.iter().filter_map(of))
            .filter(|(policy, _)| watched(policy))
            .filter_map(|(_, compiled)| compiled.err().cloned())
            .collect();
        if !broken.is_empty() {
            return Err(broken);
        }
        let mut parts: BTreeMap<&str, String> = BTreeMap::new();
        let mut reads: BTreeMap<String, Read> = BTreeMap::new();
        let [of_subject, of_actor] = self.scoped(number, subject);
        for (policy, compiled) in merged([&facts.open_rows, of_subject, of_actor]).iter().filter_map(of) {
            let (Rule::Rows(rows), Some(person)) = (&policy.rule, self.watched(policy, subject)) else {
                continue;
            };
            let part = match rows_say(rows, &person) {
                Say::All => continue,
                Say::None => "FALSE".to_owned(),
                Say::Where(chosen) => {
                    let place = predicates(rows).position(|one| std::ptr::eq(one, chosen));
                    match compiled.ok().zip(place).and_then(|(compiled, place)| compiled.get(place)) {
                        Some(compiled) => self.close(compiled, &mut reads),
                        None => "FALSE".to_owned(),
                    }
                }
            };
            parts.insert(&policy.name, part);
        }
        let condition = match parts.len() {
            0 => None,
            1 => parts.values().next().cloned(),
            _ => Some(parts.values().map(|p| format!("({p})")).collect::<Vec<_>>().join(" AND ")),
        };
        Ok(Filter { policies: parts.into_keys().map(str::to_owned).collect(), condition, reads })
    }

    /// What each matching row policy says, with the values filled in, for people to read.
    pub(crate) fn rows_in_words(
        &self,
        relation: &'a Relation,
        subject: &Person<'a>,
    ) -> Vec<(String, String)> {
        let candidates = self.policies.index().rows.candidates(relation);
        let filled = |attribute: &Attribute, as_type: SqlType| self.values(attribute, as_type);
        let values = Values::Filled(&filled);
        let mut said = Vec::new();
        for policy in self.lane(candidates, relation) {
            let (Rule::Rows(rows), Some(person)) = (&policy.rule, self.watched(policy, subject)) else {
                continue;
            };
            let text = match rows_say(rows, &person) {
                Say::All => "all rows".to_owned(),
                Say::None => "no rows".to_owned(),
                Say::Where(one) => match compile(&one.expr, relation, &values) {
                    Err(problem) => format!("does not compile: {}", problem.message),
                    Ok(compiled) => {
                        let empty = compiled
                            .reads
                            .iter()
                            .find(|(_, read)| self.values(&read.attribute, read.as_type).is_empty());
                        match empty {
                            Some((key, _)) => format!("no rows: '{key}' is empty"),
                            None => compiled.sql,
                        }
                    }
                },
            };
            said.push((policy.name.clone(), text));
        }
        said
    }

    /// An empty attribute makes the whole predicate FALSE; else it is noted.
    fn close(&self, compiled: &Compiled, reads: &mut BTreeMap<String, Read>) -> String {
        if !compiled.reads.values().all(|read| self.has_values(read)) {
            return "FALSE".to_owned();
        }
        reads.extend(compiled.reads.iter().map(|(key, read)| (key.clone(), read.clone())));
        compiled.sql.clone()
    }

    /// Masks that mean a column, with how deeply, oldest first.
    pub(crate) fn masks(
        &self,
        relation: &'a Relation,
        column: &'a Column,
        open: &[(u32, usize)],
        scoped: [&[u32]; 2],
    ) -> Vec<(u32, usize)> {
        let mut found = open.to_vec();
        for number in merged(scoped) {
            if let Some(Rule::Mask(rule)) = self.policies.get(number).map(|p| &p.rule)
                && let Some(depth) = column_depth(&rule.columns, relation, column)
            {
                found.push((number, depth));
            }
        }
        found.sort_unstable();
        found
    }

    /// The rule of one column, and the mask behind it.
    pub(crate) fn column(
        &self,
        relation: &'a Relation,
        column: &'a Column,
        subject: &Person<'a>,
        candidates: &[(u32, usize)],
    ) -> (ColumnRule, Option<Applied>) {
        if column.tags.iter().any(|t| t.0 == NEW) && column.tags.len() == 1 {
            let policy = format!("tag {NEW}");
            return (ColumnRule::Denied { policy }, None);
        }
        let mut winner: Option<(usize, &'a Policy, &'a MaskRule)> = None;
        let mut floors = Vec::new();
        for (depth, policy) in
            candidates.iter().filter_map(|(n, depth)| Some((*depth, self.policies.get(*n)?)))
        {
            let Rule::Mask(rule) = &policy.rule else {
                continue;
            };
            let Some(person) = self.watched(policy, subject) else {
                continue;
            };
            if policy.watches == Watches::Actor || rule.strength == Strength::Floor {
                if in_scope(&rule.scope, &person) {
                    floors.push((policy, rule));
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
        let usual = winner
            .filter(|(_, _, rule)| in_scope(&rule.scope, subject))
            .map(|(_, policy, rule)| (policy, rule));
        let wanted: Vec<Chosen<'a>> = usual
            .into_iter()
            .chain(floors)
            .map(|(policy, rule)| fitted(policy, &rule.mask, relation, column))
            .collect();
        let chosen = strictest(wanted, relation, column);
        match chosen {
            None => (ColumnRule::Clear, None),
            Some(chosen) => {
                let policy = chosen.policy.to_owned();
                let rule = match chosen.applied.mask {
                    Mask::Deny => ColumnRule::Denied { policy },
                    ref other => ColumnRule::Masked { mask: other.word(), policy },
                };
                (rule, Some(chosen.applied))
            }
        }
    }
}

fn fitted<'a>(policy: &'a Policy, mask: &Mask, relation: &Relation, column: &Column) -> Chosen<'a> {
    Chosen { policy: &policy.name, applied: mask::apply(mask, &relation.name, column) }
}

/// The strictest of several masks. Where two of one kind cannot be told apart it is `null`, also beside a third that is
/// stricter than both: one more floor never shows more.
fn strictest<'a>(wanted: Vec<Chosen<'a>>, relation: &Relation, column: &Column) -> Option<Chosen<'a>> {
    let mut unclear = None;
    for (n, one) in wanted.iter().enumerate() {
        for other in wanted.iter().skip(n + 1) {
            if mask::stricter(&one.applied.mask, &other.applied.mask) == Stricter::Neither {
                unclear = unclear.or(Some((one.policy, other.policy)));
            }
        }
    }
    if let Some((one, other)) = unclear
        && wanted.iter().all(|w| w.applied.mask != Mask::Deny)
    {
        let mut applied = mask::apply(&Mask::Null, &relation.name, column);
        applied.fallback = Some(format!("neither '{one}' nor '{other}' surely shows less than the other"));
        return Some(Chosen { policy: other, applied });
    }
    wanted.into_iter().reduce(|best, next| match mask::stricter(&best.applied.mask, &next.applied.mask) {
        Stricter::First | Stricter::Neither => best,
        Stricter::Second => next,
    })
}
