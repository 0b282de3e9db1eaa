//! Masks that mean a column and do not decide it, and why they lost.
//!
//! Must never decide: it retells what `shape` does. Called by `explain`.

use super::judge::Session;
use super::matching::{Person, column_depth};
use super::model::{MaskRule, Policy, Rule, Scope, Strength, Watches};
use super::rows::in_scope;
use super::shape::masking;
use crate::catalog::{Column, Relation};

/// A mask that could win a column.
struct Runner<'a> {
    depth: usize,
    policy: &'a Policy,
    rule: &'a MaskRule,
}

/// Policy and why it lost, oldest first.
pub(crate) fn losers<'a>(
    session: &Session<'a>,
    relation: &'a Relation,
    column: &'a Column,
    subject: &Person<'a>,
    decided: Option<&str>,
) -> Vec<(String, String)> {
    let candidates = session.policies.index().masks.candidates(relation);
    let all: Vec<Runner<'a>> = candidates
        .into_iter()
        .filter_map(|number| {
            let policy = session.policies.get(number)?;
            let Rule::Mask(rule) = &policy.rule else {
                return None;
            };
            Some(Runner { depth: column_depth(&rule.columns, relation, column)?, policy, rule })
        })
        .collect();
    let runs = |one: &&Runner<'a>| {
        let usual = one.policy.watches != Watches::Actor && one.rule.strength == Strength::Usual;
        usual && !matches!(&one.rule.scope, Scope::Only(these) if !subject.is(these))
    };
    // Of equals the older: `max_by_key` takes the last of them.
    let winner = all.iter().rev().filter(runs).max_by_key(|one| one.depth);
    let scoped = session.facts(relation).and_then(|(number, _)| session.scoped(number, subject));
    let revealed = scoped.is_ok_and(|scoped| session.reveals(relation, scoped, subject).opens(column));
    let why = |one: &Runner<'a>| -> String {
        let floor = one.rule.strength == Strength::Floor || one.policy.watches == Watches::Actor;
        let mut watched = session.watched(one.policy, subject).peekable();
        if watched.peek().is_none() {
            return "it looks at an acting agent, and none acts".to_owned();
        }
        if floor {
            let meant: Vec<Person<'a>> = watched.filter(|person| in_scope(&one.rule.scope, person)).collect();
            return match meant.iter().any(|person| masking(one.rule, person).is_some()) {
                true => "another mask is at least as strict".to_owned(),
                false if meant.is_empty() => "it is not for this principal".to_owned(),
                false => "its branch for this principal is clear".to_owned(),
            };
        }
        match winner {
            Some(first) if std::ptr::eq(first, one) => {
                if !in_scope(&one.rule.scope, subject) {
                    "it won, and spares this principal".to_owned()
                } else if masking(one.rule, subject).is_none() {
                    "it won, and its branch for this principal is clear".to_owned()
                } else if revealed && matches!(one.rule.scope, Scope::Except(_)) {
                    "it won, and the column is revealed to this principal".to_owned()
                } else {
                    "a floor is stricter".to_owned()
                }
            }
            _ if !runs(&one) => "it is for others".to_owned(),
            Some(first) if first.depth > one.depth => format!("'{}' matches more deeply", first.policy.name),
            Some(first) => format!("'{}' matches as deeply and is older", first.policy.name),
            None => "nothing matches".to_owned(),
        }
    };
    let lost = all.iter().filter(|one| decided != Some(one.policy.name.as_str()));
    lost.map(|one| (one.policy.name.clone(), why(one))).collect()
}
