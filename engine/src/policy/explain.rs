//! Why a principal may or may not use a relation, in words and as JSON.
//!
//! For people who write policy, never for an agent: it shows attribute values and the names of policies. Called by
//! `lanyard explain`.

use std::fmt;

use serde::Serialize;

use super::judge::{Reason, Ruling, Session};
use super::losers::losers;
use super::matching::{Person, column_depth, is_table};
use super::model::{Policy, Rule};
use super::rows::in_scope;
use super::shape::masking;
use super::why_not::WhyNot;
use crate::catalog::{Relation, RelationName};
use crate::entitlement::{ColumnRule, RowRule};
use crate::identity::Principal;
use crate::snapshot::Snapshot;

/// The verdict on one relation, with its reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// `schema.table`.
    pub relation: String,
    /// `on_behalf_of`, `autonomous` or `direct`.
    pub mode: &'static str,
    /// The person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The acting agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// `allowed` or `refused`.
    pub verdict: &'static str,
    /// `read`, `write`.
    pub operations: Vec<&'static str>,
    /// Policies that granted.
    pub granted_by: Vec<String>,
    /// As whom rows and columns are judged: `user` or `agent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judged_as: Option<&'static str>,
    /// Why not, or what is worth knowing.
    pub reasons: Vec<String>,
    /// What would make a refused table pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<WhyNot>,
    /// Columns in order.
    pub columns: Vec<ColumnExplanation>,
    /// Rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<RowsExplanation>,
    /// Name of the secured view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<String>,
    /// What the view selects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// What shadow policies would do.
    pub shadow: Vec<String>,
}

/// One column's rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnExplanation {
    /// Its name.
    pub column: String,
    /// `clear`, `denied`, or the mask's word.
    pub rule: String,
    /// The policy that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Why the mask is not the one the policy says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Policies that mean the column too, and why they do not decide.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<(String, String)>,
}

/// The row rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowsExplanation {
    /// `all` or `filtered`.
    pub rule: &'static str,
    /// Matching row policies and what each says to this principal, values filled in.
    pub policies: Vec<(String, String)>,
}

/// Explains one relation for one principal.
#[must_use]
pub fn explain(snapshot: &Snapshot, principal: &Principal, relation: &RelationName) -> Explanation {
    let mut told = Explanation {
        relation: relation.to_string(),
        mode: principal.mode(),
        user: principal.user().map(ToString::to_string),
        agent: principal.agent().map(ToString::to_string),
        verdict: "refused",
        operations: Vec::new(),
        granted_by: Vec::new(),
        judged_as: None,
        reasons: Vec::new(),
        why_not: None,
        columns: Vec::new(),
        rows: None,
        view: None,
        sql: None,
        shadow: Vec::new(),
    };
    let session = match Session::of(snapshot, principal) {
        Ok(session) => session,
        Err(refusal) => {
            told.reasons.push(refusal.message);
            return told;
        }
    };
    let Some(found) = snapshot.catalog.relations.get(relation) else {
        told.reasons.push("the warehouse has no such table".to_owned());
        return told;
    };
    told.shadow = shadows(&session, found);
    match session.judge(found) {
        Ok(ruling) => told.allowed(&session, found, ruling),
        Err(reasons) => {
            told.reasons = reasons.iter().map(Reason::to_string).collect();
            told.why_not = Some(WhyNot::of(snapshot, principal, found, &reasons));
        }
    }
    told
}

impl Explanation {
    fn allowed<'a>(&mut self, session: &Session<'a>, relation: &'a Relation, ruling: Ruling) {
        let access = ruling.access;
        self.verdict = "allowed";
        self.operations = access.operations.iter().map(|operation| operation.word()).collect();
        self.granted_by = access.granted_by;
        self.judged_as = Some(if ruling.as_agent { "agent" } else { "user" });
        if ruling.write_withheld {
            self.reasons.push(
                "writing is granted but not given: rows are filtered, or the relation cannot be written"
                    .to_owned(),
            );
        }
        let subject = if ruling.as_agent { session.agent } else { session.user };
        for column in &relation.columns {
            let (rule, policy) = match access.columns.get(&column.name) {
                Some(ColumnRule::Clear) => ("clear", None),
                Some(ColumnRule::Masked { mask, policy }) => (*mask, Some(policy.clone())),
                Some(ColumnRule::Denied { policy }) => ("denied", Some(policy.clone())),
                None => continue,
            };
            let lost = subject.map_or_else(Vec::new, |subject| {
                losers(session, relation, column, &subject, policy.as_deref())
            });
            self.columns.push(ColumnExplanation {
                lost,
                column: column.name.clone(),
                rule: rule.to_owned(),
                policy,
                note: ruling.notes.get(&column.name).cloned(),
            });
        }
        self.rows = Some(RowsExplanation {
            rule: match access.rows {
                RowRule::All => "all",
                RowRule::Filtered { .. } => "filtered",
            },
            policies: match subject {
                Some(subject) => session.rows_in_words(relation, &subject),
                None => Vec::new(),
            },
        });
        self.view = Some(access.view.name);
        self.sql = Some(access.view.select_sql);
    }
}

/// What shadow policies say to the subject of a session, without being enforced.
fn shadows<'a>(session: &Session<'a>, relation: &'a Relation) -> Vec<String> {
    let Some(subject) = session.user.or(session.agent) else {
        return Vec::new();
    };
    let candidates = session.policies.index().shadows.candidates(relation);
    candidates
        .into_iter()
        .filter_map(|n| session.policies.get(n))
        .filter_map(|policy| {
            let what =
                session.watched(policy, &subject).find_map(|person| would(policy, &person, relation))?;
            Some(format!("'{}' would {what}", policy.name))
        })
        .collect()
}

fn would(policy: &Policy, person: &Person<'_>, relation: &Relation) -> Option<String> {
    match &policy.rule {
        Rule::Grant(grant) => (is_table(&grant.on, relation) && person.is(&grant.to)).then(|| {
            let words: Vec<&str> = grant.operations.iter().map(|operation| operation.word()).collect();
            format!("allow {}", words.join(", "))
        }),
        Rule::Guardrail(guardrail) => {
            let refuses = is_table(&guardrail.on, relation) && !person.is(&guardrail.require);
            refuses.then(|| "refuse".to_owned())
        }
        Rule::Rows(rows) => {
            (is_table(&rows.of, relation) && in_scope(&rows.scope, person)).then(|| "filter rows".to_owned())
        }
        Rule::Mask(mask) => {
            let columns: Vec<&str> = relation
                .columns
                .iter()
                .filter(|c| column_depth(&mask.columns, relation, c).is_some())
                .map(|c| c.name.as_str())
                .collect();
            let (with, cells) = masking(mask, person)?;
            let cells = if cells.is_some() { " in some rows" } else { "" };
            (in_scope(&mask.scope, person) && !columns.is_empty())
                .then(|| format!("mask {} with {}{cells}", columns.join(", "), with.word()))
        }
        Rule::Reveal(reveal) => {
            let means = |c: &&crate::catalog::Column| column_depth(&reveal.columns, relation, c).is_some();
            let columns: Vec<&str> = relation.columns.iter().filter(means).map(|c| c.name.as_str()).collect();
            (person.is(&reveal.to) && !columns.is_empty()).then(|| format!("reveal {}", columns.join(", ")))
        }
        // They name no table.
        Rule::Permit(_) | Rule::Purpose(_) => None,
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match (&self.user, &self.agent) {
            (Some(user), Some(agent)) => format!("agent '{agent}' for user '{user}'"),
            (Some(user), None) => format!("user '{user}'"),
            (None, Some(agent)) => format!("agent '{agent}'"),
            (None, None) => "nobody".to_owned(),
        };
        write!(f, "{} for {who}: {}", self.relation, self.verdict)?;
        if !self.operations.is_empty() {
            write!(f, " ({})", self.operations.join(", "))?;
        }
        for reason in &self.reasons {
            write!(f, "\n  {reason}")?;
        }
        if let Some(why_not) = &self.why_not {
            write!(f, "{why_not}")?;
        }
        if !self.granted_by.is_empty() {
            write!(f, "\n  granted by {}", self.granted_by.join(", "))?;
        }
        if let Some("agent") = self.judged_as
            && self.user.is_some()
        {
            write!(f, "\n  rows and columns judged as the agent: only the agent reaches it")?;
        }
        for (n, column) in self.columns.iter().enumerate() {
            if n == 0 {
                write!(f, "\n  columns")?;
            }
            write!(f, "\n    {}: {}", column.column, column.rule)?;
            if let Some(policy) = &column.policy {
                write!(f, " ({policy})")?;
            }
            if let Some(note) = &column.note {
                write!(f, ", because {note}")?;
            }
            for (policy, why) in &column.lost {
                write!(f, "\n      not {policy}: {why}")?;
            }
        }
        if let Some(rows) = &self.rows {
            write!(f, "\n  rows: {}", rows.rule)?;
            for (policy, says) in &rows.policies {
                write!(f, "\n    {policy}: {says}")?;
            }
        }
        if let (Some(view), Some(sql)) = (&self.view, &self.sql) {
            write!(f, "\n  view {view}\n    {sql}")?;
        }
        for line in &self.shadow {
            write!(f, "\n  shadow: {line}")?;
        }
        Ok(())
    }
}
