//! `EXPLAIN (POLICY) …` answered: the ruling, and for each table what policy says of it.
//!
//! It must never say more of a table that the session does not see than that nobody granted it, if it exists: the advice is
//! the same for tables that are not there. Called by `inbound` through [`Exchange::judge`].

use std::sync::Arc;

use lanyard_engine::identity::Principal;
use lanyard_engine::policy;
use lanyard_engine::record::Objects;
use lanyard_engine::refusal::Refusal;
use lanyard_engine::released::RawSql;
use lanyard_engine::sql::{self, Judged};

use crate::vend::Governor;

use super::exchange::Exchange;

/// Knows what policy says of a table, and why.
pub(super) struct Explainer {
    pub(super) governor: Arc<Governor>,
    pub(super) principal: Principal,
}

impl Explainer {
    fn who(&self) -> String {
        match (self.principal.user(), self.principal.agent()) {
            (Some(user), _) => format!("users named {user}"),
            (None, Some(agent)) => format!("agents named {agent}"),
            (None, None) => "nobody".to_owned(),
        }
    }

    /// `schema.table` of the entitlement.
    fn explain(&self, judged: &Judged, lines: &mut Vec<String>) {
        let mut told: Vec<&str> = Vec::new();
        for object in judged.objects.iter() {
            if told.contains(&object.relation.as_str()) {
                continue;
            }
            told.push(&object.relation);
            let explained = self.governor.with(|snapshot, _| {
                let mut names = snapshot.catalog.relations.keys();
                let name = names.find(|name| name.to_string() == object.relation)?;
                Some(policy::explain(snapshot, &self.principal, name).to_string())
            });
            lines.extend(explained.unwrap_or_default().lines().map(str::to_owned));
        }
    }
}

impl Exchange {
    /// The answer to a question about a statement: lines to be sent as a result.
    pub(super) fn answer(&self, asked: &str) -> Judged {
        let mut lines = Vec::new();
        let about = match self.granted.judge(RawSql::new(asked), self.paths_ahead().as_ref()) {
            Ok(judged) => {
                lines.push(format!("allowed: {}", judged.operation));
                lines.extend(judged.notice.iter().map(|notice| notice.to_string()));
                self.explainer.explain(&judged, &mut lines);
                lines.push("sent to the warehouse:".to_owned());
                lines.extend(judged.enforced.for_record().lines().map(|line| format!("  {line}")));
                judged.objects.clone()
            }
            Err(refusal) => {
                self.why_not(asked, &refusal, &mut lines);
                Objects::default()
            }
        };
        sql::policy_answer(&lines, about)
    }

    fn why_not(&self, asked: &str, refusal: &Refusal, lines: &mut Vec<String>) {
        lines.push(format!("refused ({}): {}", refusal.code.sqlstate(), refusal.message));
        lines.extend(refusal.hint.iter().map(|hint| format!("  {hint}")));
        if let Some(name) = sql::name_at(asked, refusal) {
            let schema = self.granted.search_path();
            let first = schema.split(", ").next().unwrap_or("public");
            let table = if name.contains('.') { name.to_owned() } else { format!("{first}.{name}") };
            lines.push("if it exists, the smallest grant that would let this pass:".to_owned());
            lines.push(format!("  allow read on tables named {table} to {}", self.explainer.who()));
        }
    }
}
