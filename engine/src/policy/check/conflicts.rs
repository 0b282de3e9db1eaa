//! Rules that never decide: unreachable branches, masks that another one always beats, approvals that add nothing.
//!
//! Must never report what depends on who asks: only what holds for everybody. Called by `check`.

use std::collections::BTreeMap;

use super::{Checker, REPEATS_MAX};
use crate::approval::{Approval, Approved, Grantee};
use crate::catalog::Relation;
use crate::policy::matching::{Person, column_depth, is_table};
use crate::policy::model::{
    ColumnMatch, MaskRule, Party, PartyKind, Policy, Rule, Scope, State, Strength, Watches, Who,
};
use crate::policy::text::diagnostic::{Diagnostic, Problem, Severity};

/// File that findings about approvals name.
const APPROVALS_FILE: &str = "approvals.json";

/// Does everybody belong to them?
fn is_everybody(who: &Who) -> bool {
    let whole = |kind: PartyKind| who.any.iter().any(|p: &Party| p.kind == kind && p.condition.is_none());
    whole(PartyKind::Everyone) || (whole(PartyKind::Users) && whole(PartyKind::Agents))
}

impl<'a> Checker<'a> {
    /// Branches behind one that holds for everybody, or that ask what an earlier one asked.
    pub(super) fn branches<'w>(&mut self, policy: &Policy, branches: impl Iterator<Item = &'w Who>) {
        let mut earlier: Vec<&Who> = Vec::new();
        for (n, who) in (1..).zip(branches) {
            if earlier.iter().any(|e| is_everybody(e)) {
                let problem = Problem::new(format!("branch {n} of '{}' is never reached", policy.name));
                self.warning(
                    policy.place,
                    problem.hint("an earlier branch holds for everyone; put it last, or leave this out"),
                );
                return;
            }
            if earlier.contains(&who) {
                let problem = Problem::new(format!("branch {n} of '{}' is never reached", policy.name));
                self.warning(
                    policy.place,
                    problem.hint("an earlier branch asks the same; the first that holds decides"),
                );
            }
            earlier.push(who);
        }
        if earlier.last().is_some_and(|last| is_everybody(last)) {
            let problem = Problem::new(format!("'otherwise' of '{}' is never reached", policy.name));
            self.warning(
                policy.place,
                problem.hint("the last branch holds for everyone; write what it says after 'otherwise'"),
            );
        }
    }

    /// A policy from which everybody is excepted.
    pub(super) fn scope_is_empty(&mut self, policy: &Policy, scope: &Scope) {
        if matches!(scope, Scope::Except(who) if is_everybody(who)) {
            let problem =
                Problem::new(format!("everyone is excepted from '{}': it is never in force", policy.name));
            self.warning(policy.place, problem.hint("name those it spares, or disable it"));
        }
    }

    /// Matches of a mask that no column answers to, beside others that some do.
    pub(super) fn idle_matches(&mut self, policy: &Policy, rule: &'a MaskRule, relations: &[&'a Relation]) {
        if rule.columns.any.len() < 2 || relations.is_empty() {
            return;
        }
        for one in &rule.columns.any {
            let alone = crate::policy::model::Columns { any: vec![one.clone()], of: rule.columns.of.clone() };
            let some = |r: &&Relation| r.columns.iter().any(|c| column_depth(&alone, r, c).is_some());
            if relations.iter().any(some) {
                continue;
            }
            let place = match one {
                ColumnMatch::Tagged(tags) => tags.first().map(|t| t.place),
                ColumnMatch::Named(names) => names.first().map(|n| n.place),
                ColumnMatch::Like(_) | ColumnMatch::Matching(_) => None,
            };
            let what = crate::policy::text::printer::column_match(one);
            let problem =
                Problem::new(format!("no column is {what}: this part of '{}' masks nothing", policy.name));
            self.warning(place.unwrap_or(policy.place), problem.hint("correct it, or leave it out"));
        }
    }

    /// Masks that an older one of the same depth always beats on some column.
    pub(super) fn ties(&mut self) {
        let mut of_relation: BTreeMap<&crate::catalog::RelationName, Vec<u32>> = BTreeMap::new();
        for (number, relations) in &self.matches {
            let usual = self.snapshot.policies.get(*number).and_then(competes).is_some();
            for relation in relations.iter().filter(|_| usual) {
                of_relation.entry(&relation.name).or_default().push(*number);
            }
        }
        let mut told: BTreeMap<u32, usize> = BTreeMap::new();
        let mut found: Vec<(u32, String, String)> = Vec::new();
        for (name, numbers) in of_relation.iter().filter(|(_, numbers)| numbers.len() > 1) {
            let Some(relation) = self.snapshot.catalog.relations.get(*name) else {
                continue;
            };
            for column in &relation.columns {
                // Depth -> the oldest policy that holds for everybody; it beats the younger ones.
                let mut first: BTreeMap<usize, (&Policy, &MaskRule)> = BTreeMap::new();
                for number in numbers {
                    let Some((policy, rule)) =
                        self.snapshot.policies.get(*number).and_then(|p| competes(p).map(|rule| (p, rule)))
                    else {
                        continue;
                    };
                    let Some(depth) = column_depth(&rule.columns, relation, column) else {
                        continue;
                    };
                    match first.get(&depth) {
                        Some((older, by))
                            if (&by.branches, &by.otherwise, &by.scope)
                                != (&rule.branches, &rule.otherwise, &rule.scope) =>
                        {
                            let count = told.entry(*number).or_default();
                            *count += 1;
                            if *count <= REPEATS_MAX {
                                found.push((*number, format!("{name}.{}", column.name), older.name.clone()));
                            }
                        }
                        Some(_) => {}
                        None if matches!(rule.scope, Scope::Only(_)) => {}
                        None => {
                            first.insert(depth, (policy, rule));
                        }
                    }
                }
            }
        }
        for (number, column, older) in found {
            if let Some(policy) = self.snapshot.policies.get(number) {
                let problem = Problem::new(format!(
                    "'{}' never decides about '{column}': '{older}' is as deep and older",
                    policy.name
                ));
                self.severity = Severity::Warning;
                self.warning(
                    policy.place,
                    problem.hint("use a deeper tag, limit one of them with 'of tables …', or reorder them"),
                );
            }
        }
    }

    /// Approvals that name nothing, or give what policies give anyway.
    pub(super) fn approvals(&mut self) {
        let snapshot = self.snapshot;
        let mut problems = Vec::new();
        for approval in snapshot.approvals.live() {
            let identities = &snapshot.identities;
            let person = match &approval.grantee {
                Grantee::User(id) => identities.users.get(id).map(Person::user),
                Grantee::Agent(id) => identities.agents.get(id).map(Person::agent),
            };
            let Some(person) = person else {
                problems.push(Problem::new(format!("the approval '{}' is for nobody known", approval.id)));
                continue;
            };
            let (relation, column) = match &approval.what {
                Approved::Access { relation, .. } => (relation, None),
                Approved::Unmask { relation, column } => (relation, Some(column)),
            };
            let Some(relation) = snapshot.catalog.relations.get(relation) else {
                problems.push(Problem::new(format!(
                    "the approval '{}' names '{relation}', and the warehouse has no such table",
                    approval.id
                )));
                continue;
            };
            if let Some(column) = column.filter(|c| relation.column(c).is_none()) {
                problems.push(Problem::new(format!(
                    "the approval '{}' names '{column}', and '{}' has no such column",
                    approval.id, relation.name
                )));
            }
            problems.extend(self.pointless(approval, &person, relation));
        }
        self.findings.extend(problems.into_iter().map(|problem| Diagnostic {
            severity: Severity::Warning,
            file: APPROVALS_FILE.to_owned(),
            line: 1,
            column: 1,
            message: problem.message,
            hint: problem.hint,
            excerpt: None,
        }));
    }

    /// Do grants give the approval's holder every operation of it already?
    fn pointless(&self, approval: &Approval, person: &Person<'_>, relation: &Relation) -> Option<Problem> {
        let Approved::Access { operations, .. } = &approval.what else {
            return None;
        };
        let mut missing = operations.clone();
        let mut by = Vec::new();
        for number in self.snapshot.policies.index().grants.candidates(relation) {
            let Some(policy) = self.snapshot.policies.get(number) else {
                continue;
            };
            if let Rule::Grant(grant) = &policy.rule
                && policy.watches == Watches::Subject
                && is_table(&grant.on, relation)
                && person.is(&grant.to)
                && grant.operations.iter().any(|o| missing.remove(o))
            {
                by.push(format!("'{}'", policy.name));
            }
        }
        missing.is_empty().then(|| {
            let (makes, by) = (if by.len() > 1 { "make" } else { "makes" }, by.join(" and "));
            Problem::new(format!(
                "{by} {makes} the approval '{}' pointless: '{}' has access to '{}' already",
                approval.id, person.id, relation.name
            ))
            .hint("narrow the grant, or remove the approval")
        })
    }
}

/// The rule of an active mask that competes for columns: no floor, and nothing that looks at who acts.
fn competes(policy: &Policy) -> Option<&MaskRule> {
    match &policy.rule {
        Rule::Mask(rule)
            if policy.state == State::Active
                && policy.watches != Watches::Actor
                && rule.strength == Strength::Usual =>
        {
            Some(rule)
        }
        Rule::Mask(_)
        | Rule::Grant(_)
        | Rule::Permit(_)
        | Rule::Guardrail(_)
        | Rule::Rows(_)
        | Rule::Reveal(_)
        | Rule::Purpose(_) => None,
    }
}
