//! Policies: text, model, and what they mean for one principal (policy.md is normative).
//!
//! Pure and deterministic: same snapshot, same principal, same relation, same verdict, byte for byte. Called by the store
//! (parse), the command line (check, explain) and the session (entitle).

mod check;
mod diff;
mod encrypting;
mod explain;
mod facts;
mod generalisation;
mod held;
mod holders;
mod index;
mod judge;
mod kinds;
mod losers;
mod mask;
mod matching;
mod memo;
pub mod model;
mod openable;
mod permits;
pub mod predicate;
mod resolved;
mod rows;
mod shadow;
mod shape;
mod sqltext;
mod targets;
#[cfg(test)]
mod tests;
mod text;
mod types;
mod view;
mod warm;
mod why_not;

use std::collections::HashMap;
use std::sync::Arc;

pub use check::check;
pub use diff::{Change, Changed, diff};
pub use encrypting::encrypting;
pub use explain::{ColumnExplanation, Explanation, RowsExplanation, explain};
pub use generalisation::generalisations;
pub use judge::entitle;
pub use mask::anonymous::{Generalisation, Generalised};
pub use model::Policy;
pub use resolved::SnapshotIndex;
pub use text::diagnostic::{Diagnostic, Severity};
pub use warm::warm;
pub use why_not::WhyNot;

use crate::limits;
use holders::Holders;
use index::Index;
use model::{Place, State};
use targets::Targets;
use text::diagnostic::Problem;

/// One file of policy text.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its name, for findings.
    pub file: &'a str,
    /// What is in it.
    pub text: &'a str,
}

/// Parsed policies, in order of file, then position. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct PolicySet {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    policies: Vec<Policy>,
    files: Vec<(String, String)>,
    index: Index,
    holders: Holders,
    targets: Targets,
}

impl PolicySet {
    /// Reads every file, in the order given; earlier policies are older (policy.md §5).
    ///
    /// # Errors
    /// Every policy that cannot be read, and every name used twice; up to [`limits::POLICY_DIAGNOSTICS_MAX`] findings.
    pub fn parse(sources: &[Source<'_>]) -> Result<Self, Vec<Diagnostic>> {
        let mut policies = Vec::new();
        let mut findings = Vec::new();
        let mut files = Vec::with_capacity(sources.len());
        for (number, source) in (0u32..).zip(sources) {
            let read = if source.file.ends_with(".json") {
                text::json::file(number, source.file, source.text)
                    .map(|(read, as_text)| (read, format!("{} (as text)", source.file), as_text))
            } else {
                text::parser::file(number, source.file, source.text)
                    .map(|read| (read, source.file.to_owned(), source.text.to_owned()))
            };
            match read {
                Ok((read, file, text)) => {
                    policies.extend(read);
                    files.push((file, text));
                }
                Err(found) => findings.extend(found),
            }
            if findings.len() >= limits::POLICY_DIAGNOSTICS_MAX {
                break;
            }
        }
        let inner = Inner::of(policies, files);
        findings.extend(inner.duplicates());
        findings.truncate(limits::POLICY_DIAGNOSTICS_MAX);
        if findings.is_empty() { Ok(Self { inner: Arc::new(inner) }) } else { Err(findings) }
    }

    /// The same set with its shadow policies active; `None` when it has none.
    pub(crate) fn with_shadows(&self) -> Option<Self> {
        if !self.iter().any(|policy| policy.state == State::Shadow) {
            return None;
        }
        let mut policies = self.inner.policies.clone();
        for policy in policies.iter_mut().filter(|policy| policy.state == State::Shadow) {
            policy.state = State::Active;
        }
        Some(Self { inner: Arc::new(Inner::of(policies, self.inner.files.clone())) })
    }

    /// Every policy, whatever its state, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.inner.policies.iter()
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Policy> {
        self.inner.policies.get(usize::try_from(number).unwrap_or(usize::MAX))
    }

    pub(crate) fn index(&self) -> &Index {
        &self.inner.index
    }

    pub(crate) fn holders(&self) -> &Holders {
        &self.inner.holders
    }

    pub(crate) fn targets(&self) -> &Targets {
        &self.inner.targets
    }

    pub(crate) fn report(&self, severity: Severity, place: Place, problem: Problem) -> Diagnostic {
        self.inner.report(severity, place, problem)
    }
}

impl Inner {
    fn of(policies: Vec<Policy>, files: Vec<(String, String)>) -> Self {
        let (index, holders, targets) =
            (Index::of(&policies), Holders::of(&policies), Targets::of(&policies));
        Self { index, holders, targets, policies, files }
    }

    fn report(&self, severity: Severity, place: Place, problem: Problem) -> Diagnostic {
        let none = (String::new(), String::new());
        let number = usize::try_from(place.file).unwrap_or(usize::MAX);
        let (file, text) = self.files.get(number).unwrap_or(&none);
        Diagnostic::at(severity, file, text, place.offset, problem)
    }

    fn duplicates(&self) -> Vec<Diagnostic> {
        // A purpose may be called as a policy is.
        let mut first: HashMap<(bool, &str), Place> = HashMap::new();
        let mut findings = Vec::new();
        for policy in &self.policies {
            let key = (matches!(policy.rule, model::Rule::Purpose(_)), policy.name.as_str());
            let Some(place) = first.insert(key, policy.place) else {
                continue;
            };
            first.insert(key, place);
            let earlier = self.report(Severity::Error, place, Problem::new(""));
            let problem = Problem::new(format!(
                "the policy '{}' exists already, at {}:{}:{}",
                policy.name, earlier.file, earlier.line, earlier.column
            ));
            findings.push(self.report(Severity::Error, policy.place, problem.hint("give it another name")));
            if findings.len() >= limits::POLICY_DIAGNOSTICS_MAX {
                break;
            }
        }
        findings
    }
}

/// Builds what [`entitle`] looks things up in, so that the first login does not wait for it.
pub fn prepare(snapshot: &crate::snapshot::Snapshot) {
    if let Some(what_if) = SnapshotIndex::of(snapshot).what_if(snapshot) {
        prepare(what_if);
    }
}

/// A policy as canonical text: `parse(print(p)) == p`.
#[must_use]
pub fn print(policy: &Policy) -> String {
    text::printer::policy(policy)
}

/// Policies as one JSON document, which [`PolicySet::parse`] reads from a file whose name ends in `.json`.
#[must_use]
pub fn to_json(policies: &[Policy]) -> String {
    text::json::write(policies)
}
