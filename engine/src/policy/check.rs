//! What is wrong, or perhaps not meant, with policies against the rest of a snapshot.
//!
//! Must never decide access: it only reports what the judge would do. Called by `lanyard check` and before a snapshot is
//! published.

mod conflicts;
mod names;
mod permits;

use std::collections::{BTreeMap, BTreeSet};

use self::names::Known;
use super::index::Lane;
use super::kinds;
use super::mask;
use super::matching::{column_depth, is_table};
use super::model::{
    Columns, EventColumn, Mask, MaskRule, Masking, Place, Policy, Rows, RowsShown, Rule, State,
};
use super::predicate::compile::{Ground, Values, compile_cells, formula};
use super::predicate::{Attribute, Expr, Holder, Named, Predicate};
use super::rows::is_skipped;
use super::text::diagnostic::{Diagnostic, Problem, Severity};
use crate::catalog::{Column, Relation};
use crate::entitlement::Operation;
use crate::limits;
use crate::snapshot::Snapshot;

/// File that findings about tag assignments name.
const TAGS_FILE: &str = "tags.json";
/// Most tables or columns one policy's finding of a kind is repeated for.
const REPEATS_MAX: usize = 5;

/// Checks every policy that is not disabled, and the tag assignments. Findings about drafts are warnings. In order of policy;
/// at most [`limits::POLICY_DIAGNOSTICS_MAX`].
#[must_use]
pub fn check(snapshot: &Snapshot) -> Vec<Diagnostic> {
    let mut checker = Checker {
        snapshot,
        known: Known::of(snapshot),
        matches: matches(snapshot),
        findings: Vec::new(),
        severity: Severity::Error,
    };
    for (number, policy) in (0u32..).zip(snapshot.policies.iter()) {
        if checker.findings.len() >= limits::POLICY_DIAGNOSTICS_MAX {
            break;
        }
        checker.severity = match policy.state {
            State::Disabled => continue,
            State::Draft => Severity::Warning,
            State::Staged | State::Shadow | State::Active => Severity::Error,
        };
        checker.policy(number, policy);
    }
    checker.ties();
    checker.approvals();
    checker.tags();
    checker.findings.truncate(limits::POLICY_DIAGNOSTICS_MAX);
    checker.findings
}

/// Policy -> relations it means, or means a column of.
fn matches(snapshot: &Snapshot) -> BTreeMap<u32, Vec<&Relation>> {
    let mut lane = Lane::default();
    for (number, policy) in (0u32..).zip(snapshot.policies.iter()) {
        if policy.state != State::Disabled {
            lane.add(policy, number);
        }
    }
    let mut matches: BTreeMap<u32, Vec<&Relation>> = BTreeMap::new();
    for relation in snapshot.catalog.relations.values() {
        for number in lane.candidates(relation) {
            let Some(policy) = snapshot.policies.get(number) else {
                continue;
            };
            if means(policy, relation) {
                matches.entry(number).or_default().push(relation);
            }
        }
    }
    matches
}

fn means(policy: &Policy, relation: &Relation) -> bool {
    match &policy.rule {
        Rule::Grant(grant) => is_table(&grant.on, relation),
        Rule::Guardrail(guardrail) => is_table(&guardrail.on, relation),
        Rule::Rows(rows) => is_table(&rows.of, relation),
        Rule::Mask(mask) => {
            relation.columns.iter().any(|c| column_depth(&mask.columns, relation, c).is_some())
        }
        Rule::Reveal(reveal) => {
            relation.columns.iter().any(|c| column_depth(&reveal.columns, relation, c).is_some())
        }
        Rule::Permit(_) | Rule::Purpose(_) => false,
    }
}

fn means_column(columns: &Columns, relation: &Relation, column: &Column) -> bool {
    column_depth(columns, relation, column).is_some()
}

struct Checker<'a> {
    snapshot: &'a Snapshot,
    known: Known<'a>,
    matches: BTreeMap<u32, Vec<&'a Relation>>,
    findings: Vec<Diagnostic>,
    /// How bad an error in the policy at hand is.
    severity: Severity,
}

impl<'a> Checker<'a> {
    fn report(&mut self, severity: Severity, place: Place, problem: Problem) {
        let severity = severity.max(self.severity);
        let finding = self.snapshot.policies.report(severity, place, problem);
        self.findings.push(finding);
    }

    fn error(&mut self, place: Place, problem: Problem) {
        self.report(Severity::Error, place, problem);
    }

    fn warning(&mut self, place: Place, problem: Problem) {
        self.report(Severity::Warning, place, problem);
    }

    fn policy(&mut self, number: u32, policy: &'a Policy) {
        let relations = self.matches.get(&number).cloned().unwrap_or_default();
        match &policy.rule {
            Rule::Grant(grant) => {
                self.tables(&grant.on);
                self.who(&grant.to, policy.watches);
                self.grant(policy, &grant.operations, &relations);
            }
            Rule::Guardrail(guardrail) => {
                self.who(&guardrail.require, policy.watches);
                self.tables(&guardrail.on);
            }
            Rule::Rows(rows) => {
                self.tables(&rows.of);
                for branch in &rows.branches {
                    self.who(&branch.who, policy.watches);
                }
                self.branches(policy, rows.branches.iter().map(|b| &b.who));
                self.scope(&rows.scope, policy.watches);
                self.scope_is_empty(policy, &rows.scope);
                self.rows(policy, rows, &relations);
            }
            Rule::Mask(mask) => {
                self.columns(&mask.columns);
                for branch in &mask.branches {
                    self.who(&branch.who, policy.watches);
                }
                self.branches(policy, mask.branches.iter().map(|b| &b.who));
                self.scope(&mask.scope, policy.watches);
                self.scope_is_empty(policy, &mask.scope);
                self.idle_matches(policy, mask, &relations);
                self.masks(policy, mask, &relations);
            }
            Rule::Reveal(reveal) => {
                self.columns(&reveal.columns);
                self.who(&reveal.to, policy.watches);
            }
            Rule::Permit(permit) => {
                self.who(&permit.to, policy.watches);
                self.permitted(policy, &permit.what);
                return;
            }
            Rule::Purpose(purpose) => {
                self.who(&purpose.to, policy.watches);
                return;
            }
        }
        if relations.is_empty() {
            let (what, hint) = match policy.rule {
                Rule::Mask(_) | Rule::Reveal(_) => {
                    ("column", "no column of the warehouse carries what it names")
                }
                _ => ("table", "no table of the warehouse carries what it names"),
            };
            let problem = Problem::new(format!("the policy '{}' matches no {what}", policy.name));
            self.warning(policy.place, problem.hint(hint));
        }
    }

    fn grant(&mut self, policy: &Policy, operations: &BTreeSet<Operation>, relations: &[&'a Relation]) {
        for relation in relations.iter().filter(|r| r.row_security).take(REPEATS_MAX) {
            let problem =
                Problem::new(format!("'{}' has row security of its own and stays refused", relation.name));
            self.warning(policy.place, problem.hint("drop it, and say the same as a row policy"));
        }
        if !operations.contains(&Operation::Write) {
            return;
        }
        let rows = &self.snapshot.policies.index().rows;
        let filtered = |relation: &&&Relation| {
            rows.candidates(relation)
                .into_iter()
                .filter_map(|n| self.snapshot.policies.get(n))
                .any(|p| means(p, relation))
        };
        let filtered: Vec<&&Relation> = relations.iter().filter(filtered).take(REPEATS_MAX).collect();
        for relation in filtered {
            let problem = Problem::new(format!(
                "'{}' cannot be written by those whose rows are filtered",
                relation.name
            ));
            self.warning(policy.place, problem.hint("tables with a row filter are read-only"));
        }
    }

    fn rows(&mut self, policy: &'a Policy, rows: &'a Rows, relations: &[&'a Relation]) {
        for lookup in &rows.lookups {
            if !self.snapshot.catalog.relations.contains_key(&lookup.relation) {
                self.no_table(&lookup.relation.to_string(), lookup.place);
            }
        }
        for shown in rows.all_shown() {
            let place = self.shown(policy, shown);
            let catalog = &self.snapshot.catalog;
            let broken = relations.iter().filter(|r| !is_skipped(rows, r)).filter_map(|relation| {
                kinds::compile(shown, &Ground::of(catalog, relation), Holder::User, &Values::Open)
                    .err()
                    .map(|problem| (relation, problem))
            });
            let broken: Vec<_> = broken.collect();
            let count = broken.len();
            for (n, (relation, problem)) in broken.into_iter().take(REPEATS_MAX).enumerate() {
                let more = if n + 1 == REPEATS_MAX && count > REPEATS_MAX {
                    format!(" (and {} more tables)", count - REPEATS_MAX)
                } else {
                    String::new()
                };
                let message = format!("'{}' is denied to everyone: {}{more}", relation.name, problem.message);
                let told = Problem::new(message);
                let told = match problem.hint {
                    Some(hint) => told.hint(hint),
                    None => told,
                };
                self.error(place, told);
            }
        }
    }

    /// Names in what is shown; gives back where it stands.
    fn shown(&mut self, policy: &'a Policy, shown: &'a RowsShown) -> Place {
        match shown {
            RowsShown::All | RowsShown::None => policy.place,
            RowsShown::Where(predicate) => {
                self.mentions(predicate);
                predicate.place
            }
            RowsShown::Whose(found) => {
                self.tag(&found.tag.path, found.tag.place);
                if let Named::Attribute(name) = &found.values {
                    let known: Vec<&str> =
                        self.known.user_attributes.union(&self.known.agent_attributes).copied().collect();
                    self.attribute(name, &known, found.tag.place);
                }
                found.tag.place
            }
            RowsShown::Window(window) => {
                self.event(Some(&window.by), window.place);
                window.place
            }
            RowsShown::Share(share) => {
                self.event(share.by.as_ref(), share.place);
                share.place
            }
            RowsShown::Purpose(list) => {
                for purpose in list {
                    self.purpose(purpose, policy.place);
                }
                policy.place
            }
            RowsShown::Through(through) => {
                self.shown(policy, &through.shown);
                through.place
            }
        }
    }

    fn event(&mut self, by: Option<&EventColumn>, place: Place) {
        if let Some(EventColumn::Tagged(tag)) = by {
            self.tag(tag, place);
        }
    }

    /// Tags and attributes of a predicate.
    fn mentions(&mut self, predicate: &'a Predicate) {
        let place = predicate.place;
        for expr in predicate.expr.nodes() {
            if let Expr::Tagged(path) = expr {
                self.tag(path, place);
            } else if let Expr::Attribute(Attribute { holder, name: Named::Attribute(name) }) = expr {
                let known = match holder {
                    Holder::User => &self.known.user_attributes,
                    Holder::Agent => &self.known.agent_attributes,
                    Holder::Session => continue,
                };
                let known: Vec<&str> = known.iter().copied().collect();
                self.attribute(name, &known, place);
            }
        }
    }

    fn masks(&mut self, policy: &'a Policy, rule: &'a MaskRule, relations: &[&'a Relation]) {
        for masking in rule.maskings() {
            let Masking::With { mask, cells } = masking else {
                continue;
            };
            if let Some(cells) = cells {
                self.mentions(cells);
            }
            let mut told = 0;
            for relation in relations {
                let means = |c: &&Column| column_depth(&rule.columns, relation, c).is_some();
                for column in relation.columns.iter().filter(means) {
                    if told >= REPEATS_MAX {
                        break;
                    }
                    let unfit = match mask {
                        Mask::Custom { value } => formula(value, relation, column).err().map(|p| p.message),
                        _ => None,
                    };
                    if let Some(reason) = unfit.or(mask::apply(mask, relation, column).fallback) {
                        told += 1;
                        let problem = Problem::new(format!(
                            "the mask '{}' becomes 'null' on '{}.{}' ({}): {reason}",
                            mask.word(),
                            relation.name,
                            column.name,
                            column.type_sql
                        ));
                        self.warning(policy.place, problem);
                    }
                }
                self.cells(cells.as_deref(), relation, &mut told);
            }
        }
    }

    /// A cell mask whose predicate does not compile is in force in every row.
    fn cells(&mut self, cells: Option<&'a Predicate>, relation: &Relation, told: &mut usize) {
        let Some(cells) = cells else {
            return;
        };
        let ground = Ground::of(&self.snapshot.catalog, relation);
        if let Err(problem) = compile_cells(&cells.expr, &ground, &Values::Open)
            && *told < REPEATS_MAX
        {
            *told += 1;
            let message =
                format!("in '{}' the mask is in force in every row: {}", relation.name, problem.message);
            let problem = match problem.hint {
                Some(hint) => Problem::new(message).hint(hint),
                None => Problem::new(message),
            };
            self.error(cells.place, problem);
        }
    }

    /// Assignments that name nothing, and tags that are assigned but not defined.
    fn tags(&mut self) {
        let tags = &self.snapshot.tags;
        let mut catalog = self.snapshot.catalog.clone();
        let mut problems: Vec<Problem> = tags
            .apply(&mut catalog)
            .into_iter()
            .map(|name| {
                Problem::new(format!("'{name}' is tagged, and the warehouse has no such thing"))
                    .hint("remove the assignment, or wait for the table")
            })
            .collect();
        let assigned = tags.schemas.iter().chain(&tags.tables).chain(&tags.columns);
        for (name, assigned) in assigned {
            for tag in assigned.iter().filter(|t| !self.known.tags.contains(t.0.as_str())) {
                problems
                    .push(Problem::new(format!("'{name}' carries the tag '{tag}', which is not defined")));
            }
        }
        self.findings.extend(problems.into_iter().map(|problem| Diagnostic {
            severity: Severity::Warning,
            file: TAGS_FILE.to_owned(),
            line: 1,
            column: 1,
            message: problem.message,
            hint: problem.hint,
            excerpt: None,
        }));
    }
}
