//! What is wrong, or perhaps not meant, with policies against the rest of a snapshot.
//!
//! Must never decide access: it only reports what the judge would do. Called by `lanyard check` and before a snapshot is
//! published.

use std::collections::{BTreeMap, BTreeSet};

use super::index::Lane;
use super::kinds;
use super::mask;
use super::matching::{column_depth, is_table};
use super::model::{
    ColumnMatch, Columns, EventColumn, Mask, MaskRule, Masking, Party, PartyKind, Place, Policy, Question,
    Rows, RowsShown, Rule, Scope, State, TableMatch, Tables, Tag, Watches, Who,
};
use super::predicate::compile::{Ground, Values, compile_cells, formula};
use super::predicate::{Attribute, Expr, Holder, Named, Predicate};
use super::rows::is_skipped;
use super::text::diagnostic::{Diagnostic, Problem, Severity, did_you_mean};
use crate::catalog::{Column, Relation, TagPath};
use crate::entitlement::Operation;
use crate::identity::PurposeName;
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
    checker.tags();
    checker.findings.truncate(limits::POLICY_DIAGNOSTICS_MAX);
    checker.findings
}

/// Names that exist.
struct Known<'a> {
    tags: BTreeSet<&'a str>,
    user_attributes: BTreeSet<&'a str>,
    agent_attributes: BTreeSet<&'a str>,
    user_groups: BTreeSet<&'a str>,
    agent_groups: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let mut tags = BTreeSet::from([TagPath::AGENT_TOOL, "Agent", super::judge::NEW]);
        for tag in &snapshot.tags.definitions {
            // A tag makes the paths above it known.
            let ends = tag.0.match_indices('.').map(|(n, _)| n);
            tags.extend(ends.chain([tag.0.len()]).filter_map(|end| tag.0.get(..end)));
        }
        let users = || snapshot.identities.users.values();
        let agents = || snapshot.identities.agents.values();
        Self {
            tags,
            user_attributes: users().flat_map(|u| u.attributes.keys()).map(String::as_str).collect(),
            agent_attributes: agents().flat_map(|a| a.attributes.keys()).map(String::as_str).collect(),
            user_groups: users().flat_map(|u| &u.groups).map(String::as_str).collect(),
            agent_groups: agents().flat_map(|a| &a.groups).map(String::as_str).collect(),
        }
    }

    fn of_kind<'s>(
        kind: PartyKind,
        users: &'s BTreeSet<&'a str>,
        agents: &'s BTreeSet<&'a str>,
    ) -> Box<dyn Iterator<Item = &'a str> + 's> {
        match kind {
            PartyKind::Users => Box::new(users.iter().copied()),
            PartyKind::Agents => Box::new(agents.iter().copied()),
            PartyKind::Everyone => Box::new(users.union(agents).copied()),
        }
    }
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
                self.scope(&rows.scope, policy.watches);
                self.rows(policy, rows, &relations);
            }
            Rule::Mask(mask) => {
                self.columns(&mask.columns);
                for branch in &mask.branches {
                    self.who(&branch.who, policy.watches);
                }
                self.scope(&mask.scope, policy.watches);
                self.masks(policy, mask, &relations);
            }
            Rule::Reveal(reveal) => {
                self.columns(&reveal.columns);
                self.who(&reveal.to, policy.watches);
            }
            Rule::Permit(permit) => {
                self.who(&permit.to, policy.watches);
                return;
            }
            Rule::Purpose(purpose) => {
                self.who(&purpose.to, policy.watches);
                return;
            }
        }
        if relations.is_empty() {
            let problem = Problem::new(format!("the policy '{}' matches nothing", policy.name));
            let hint = "no table or column of the warehouse carries what it names";
            self.warning(policy.place, problem.hint(hint));
        }
    }

    fn tags_known(&mut self, tags: &[Tag]) {
        for tag in tags {
            self.tag(&tag.path, tag.place);
        }
    }

    fn tag(&mut self, path: &TagPath, place: Place) {
        if self.known.tags.contains(path.0.as_str()) {
            return;
        }
        let hint = did_you_mean(&path.0, self.known.tags.iter().copied())
            .unwrap_or_else(|| "define the tag first".to_owned());
        self.error(place, Problem::new(format!("the tag '{path}' is not defined")).hint(hint));
    }

    fn tables(&mut self, tables: &'a Tables) {
        // The stack grows with the nesting, not the call depth.
        let mut stack: Vec<&TableMatch> = tables.any.iter().rev().collect();
        while let Some(one) = stack.pop() {
            match one {
                TableMatch::AllOf(list) | TableMatch::AnyOf(list) => stack.extend(list.iter().rev()),
                TableMatch::Tagged(tags) => self.tags_known(tags),
                TableMatch::Named(names) => {
                    for name in names {
                        if !self.snapshot.catalog.relations.contains_key(&name.relation) {
                            self.no_table(&name.relation.to_string(), name.place);
                        }
                    }
                }
                TableMatch::Like(_) | TableMatch::Matching(_) => {}
                TableMatch::WithColumns(columns) => self.column_match(columns),
            }
        }
    }

    fn no_table(&mut self, table: &str, place: Place) {
        let names: Vec<String> = self.snapshot.catalog.relations.keys().map(ToString::to_string).collect();
        let problem = Problem::new(format!("the warehouse has no table '{table}'"));
        let problem = match did_you_mean(table, names.iter().map(String::as_str)) {
            Some(hint) => problem.hint(hint),
            None => problem,
        };
        self.warning(place, problem);
    }

    fn columns(&mut self, columns: &'a Columns) {
        for one in &columns.any {
            self.column_match(one);
        }
        if let Some(of) = &columns.of {
            self.tables(of);
        }
    }

    fn column_match(&mut self, one: &'a ColumnMatch) {
        match one {
            ColumnMatch::Tagged(tags) => self.tags_known(tags),
            ColumnMatch::Like(_) | ColumnMatch::Matching(_) => {}
            ColumnMatch::Named(names) => {
                for name in names {
                    let catalog = &self.snapshot.catalog.relations;
                    let Some(table) = &name.relation else {
                        let any = catalog.values().any(|r| r.column(&name.column).is_some());
                        if !any {
                            let problem = format!("no table has a column '{}'", name.column);
                            self.error(name.place, Problem::new(problem));
                        }
                        continue;
                    };
                    match catalog.get(table) {
                        None => self.no_table(&table.to_string(), name.place),
                        Some(relation) if relation.column(&name.column).is_none() => {
                            let problem = format!("'{table}' has no column '{}'", name.column);
                            let columns = relation.columns.iter().map(|c| c.name.as_str());
                            let hint = did_you_mean(&name.column, columns)
                                .unwrap_or_else(|| "name a column it has".to_owned());
                            self.error(name.place, Problem::new(problem).hint(hint));
                        }
                        Some(_) => {}
                    }
                }
            }
        }
    }

    fn scope(&mut self, scope: &Scope, watches: Watches) {
        match scope {
            Scope::Everyone => {}
            Scope::Except(who) | Scope::Only(who) => self.who(who, watches),
        }
    }

    fn who(&mut self, who: &Who, watches: Watches) {
        for party in &who.any {
            if watches == Watches::Actor && party.kind == PartyKind::Users {
                let place = party.condition.as_ref().and_then(|c| c.tests().next()).map(|t| t.place);
                let problem =
                    Problem::new("this policy looks at the acting agent, which is never one of the users");
                if let Some(place) = place {
                    self.warning(place, problem.hint("name agents here, or leave 'when an agent acts' out"));
                }
            }
            self.party(party);
        }
    }

    fn party(&mut self, party: &Party) {
        for test in party.condition.iter().flat_map(|c| c.tests()) {
            match &test.question {
                Question::Attribute { name, .. } => {
                    let known =
                        Known::of_kind(party.kind, &self.known.user_attributes, &self.known.agent_attributes);
                    let known: Vec<&str> = known.collect();
                    self.attribute(name, &known, test.place);
                }
                Question::Group(groups) => {
                    let known = Known::of_kind(party.kind, &self.known.user_groups, &self.known.agent_groups);
                    let known: Vec<&str> = known.collect();
                    for group in groups.iter().filter(|g| !known.contains(&g.as_str())) {
                        let hint = did_you_mean(group, known.iter().copied())
                            .unwrap_or_else(|| "put someone into it, or correct the name".to_owned());
                        let problem = Problem::new(format!("nobody is in the group '{group}'"));
                        self.warning(test.place, problem.hint(hint));
                    }
                }
                Question::Id(ids) => self.ids(party.kind, ids, test.place),
                Question::Purpose(list) => {
                    for purpose in list {
                        self.purpose(purpose, test.place);
                    }
                }
            }
        }
    }

    /// A purpose is known when it, or one below it, is declared.
    fn purpose(&mut self, purpose: &PurposeName, place: Place) {
        let declared: Vec<&str> = self
            .snapshot
            .policies
            .iter()
            .filter(|p| matches!(p.rule, Rule::Purpose(_)) && p.state != State::Disabled)
            .map(|p| p.name.as_str())
            .collect();
        let known = declared.iter().filter_map(|d| PurposeName::parse(d).ok()).any(|d| d.is_under(purpose));
        if known {
            return;
        }
        let hint = did_you_mean(purpose.as_str(), declared.iter().copied())
            .unwrap_or_else(|| format!("declare it: purpose {purpose} 'what one acknowledges' to …"));
        self.error(place, Problem::new(format!("the purpose '{purpose}' is not declared")).hint(hint));
    }

    fn ids(&mut self, kind: PartyKind, ids: &[String], place: Place) {
        let identities = &self.snapshot.identities;
        for id in ids {
            let user = identities.users.keys().any(|u| u.as_str() == id);
            let agent = identities.agents.keys().any(|a| a.as_str() == id);
            let known = match kind {
                PartyKind::Users => user,
                PartyKind::Agents => agent,
                PartyKind::Everyone => user || agent,
            };
            if !known {
                self.warning(place, Problem::new(format!("nobody is called '{id}'")));
            }
        }
    }

    fn attribute(&mut self, name: &str, known: &[&str], place: Place) {
        if known.contains(&name) {
            return;
        }
        let hint = did_you_mean(name, known.iter().copied())
            .unwrap_or_else(|| "give it to someone, or correct the name".to_owned());
        let problem = Problem::new(format!("nobody has the attribute '{name}'"));
        self.error(place, problem.hint(hint));
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
                    if let Some(reason) = unfit.or(mask::apply(mask, &relation.name, column).fallback) {
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
