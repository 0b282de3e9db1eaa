//! `EXPLAIN (POLICY) …` answered: the ruling, and for each table what policy says of it.
//!
//! It must never say more of a table that the session does not see than that nobody granted it, if it exists: the advice is
//! the same for tables that are not there. Called by `inbound` through [`Exchange::judge`].

use lanyard_engine::identity::Principal;
use lanyard_engine::record::{ObjectUse, Objects};
use lanyard_engine::refusal::Refusal;
use lanyard_engine::released::RawSql;
use lanyard_engine::sql;

use super::exchange::Exchange;

/// Whom a grant would have to name.
pub(super) fn grantee(principal: &Principal) -> String {
    match (principal.user(), principal.agent()) {
        (Some(user), _) => format!("users named {user}"),
        (None, Some(agent)) => format!("agents named {agent}"),
        (None, None) => "nobody".to_owned(),
    }
}

/// What policy makes of a table for this session: what its own results show, and by which policy. Columns that do not
/// exist for it, other people's rules and our SQL stay out; `lanyard explain` is for those who write policy.
fn told(object: &ObjectUse, lines: &mut Vec<String>) {
    lines.push(format!("{}: {} granted", object.relation, object.operation));
    lines.extend(object.filters.iter().map(|policy| format!("  rows limited by policy {policy}")));
    lines.extend(object.masks.iter().map(|mask| format!("  column {mask}")));
}

impl Exchange {
    /// The answer to a question about a statement: lines to be sent as a result.
    pub(super) fn answer(&self, asked: &str) -> sql::Judged {
        let mut lines = Vec::new();
        let about = match self.granted.judge(RawSql::new(asked), self.paths_ahead().as_ref()) {
            Ok(judged) => {
                lines.push(format!("allowed: {}", judged.operation));
                judged.objects.iter().for_each(|object| told(object, &mut lines));
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
            lines.push(format!("  allow read on tables named {table} to {}", self.grantee));
        }
    }
}
