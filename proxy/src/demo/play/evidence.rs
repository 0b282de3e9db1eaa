//! What others say of a session: the warehouse's roles, the warehouse's log, Lanyard's audit.
//!
//! Must never take the proxy's word where the warehouse can be asked. Called by the acts.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lanyard_adapters::ledger::{self, Entry, Filter};

use super::error::{DemoError, story};
use super::stage::Stage;

/// How long evidence may take to appear.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// Names of every vended role in the warehouse now.
pub(super) async fn vended_roles(stage: &Stage) -> Result<Vec<String>, DemoError> {
    let sql = r"SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'LANYARD\_VENDED\_%' ORDER BY 1";
    let rows = stage.dba.query(sql, &[]).await;
    let rows = rows.map_err(|source| DemoError::Warehouse { what: "look into pg_roles", source })?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The one vended role there is: the acts come one after the other.
pub(super) async fn only_role(stage: &Stage, act: &str) -> Result<String, DemoError> {
    let mut roles = vended_roles(stage).await?;
    match (roles.pop(), roles.is_empty()) {
        (Some(role), true) => Ok(role),
        (Some(_), false) => Err(story(act, "there is more than one vended role during its session")),
        (None, _) => Err(story(act, "there is no vended role during its session")),
    }
}

/// Waits until no vended role is left.
pub(super) async fn no_role(stage: &Stage, act: &str) -> Result<(), DemoError> {
    let gone = until(async || Ok(vended_roles(stage).await?.is_empty().then_some(()))).await?;
    gone.ok_or_else(|| story(act, "a vended role is still there after its session"))
}

/// What the warehouse logged of a role's statements, without what stands in front of the text.
pub(super) fn logged(stage: &Stage, role: &str) -> Result<Vec<String>, DemoError> {
    Ok(statements(&log(stage)?, role))
}

/// The same, once there is at least one.
pub(super) async fn logged_some(stage: &Stage, role: &str, act: &str) -> Result<Vec<String>, DemoError> {
    let found = until(async || Ok(Some(logged(stage, role)?).filter(|found| !found.is_empty()))).await?;
    found.ok_or_else(|| story(act, format!("the warehouse logged no statement of {role}")))
}

/// How many roles have been vended, by the audit of logins.
pub(super) fn roles_so_far(stage: &Stage) -> Result<usize, DemoError> {
    let entries = ledger::query(&stage.setting.audit, &Filter::default())?;
    let logins = entries.iter().filter(|entry| entry.protocol == "login" && entry.disposition == "allowed");
    Ok(logins.map(|entry| entry.role.as_str()).collect::<BTreeSet<_>>().len())
}

/// The stamp that a role's session must have, from the ids in plain sight and the session in the role's name.
pub(super) fn stamp(login: &str, role: &str) -> String {
    let session = role.rsplit('_').next().unwrap_or_default();
    match login.split_once('~') {
        Some((agent, user)) => {
            format!("/*lanyard_agent='{agent}',lanyard_session='{session}',lanyard_user='{user}'*/")
        }
        None if login.ends_with("-agent") => {
            format!("/*lanyard_agent='{login}',lanyard_session='{session}'*/")
        }
        None => format!("/*lanyard_session='{session}',lanyard_user='{login}'*/"),
    }
}

/// The audit's entries of one application, once there are so many and all of them are complete. Logins are entries too.
pub(super) async fn recorded(
    stage: &Stage,
    application: &str,
    wanted: usize,
) -> Result<Vec<Entry>, DemoError> {
    let found = until(async || {
        let entries = ledger::query(&stage.setting.audit, &Filter::default())?;
        let ours: Vec<Entry> =
            entries.into_iter().filter(|entry| entry.client_application == application).collect();
        let complete = ours.iter().all(|entry| entry.disposition == "refused" || entry.outcome.is_some());
        Ok((ours.len() >= wanted && complete).then_some(ours))
    })
    .await?;
    found.ok_or_else(|| story(application, format!("the audit does not hold {wanted} complete entries")))
}

/// One line of what the audit says: disposition, relations, masks, filters, outcome.
pub(super) fn short(entry: &Entry) -> String {
    let mut text = entry.disposition.clone();
    if !entry.operation.is_empty() {
        text.push_str(&format!(" {}", entry.operation));
    }
    for object in &entry.objects {
        text.push_str(&format!(" {}", object.relation));
        if !object.masks.is_empty() {
            text.push_str(&format!(", masks: {}", object.masks.join(", ")));
        }
        if !object.filters.is_empty() {
            text.push_str(&format!(", filters: {}", object.filters.join(", ")));
        }
        text.push(';');
    }
    if let (Some(code), Some(reason)) = (&entry.sqlstate, &entry.reason) {
        text.push_str(&format!(" {code} {reason}"));
    }
    if let Some(outcome) = &entry.outcome {
        text.push_str(&format!(" {}, {} rows, {} bytes", outcome.status, outcome.rows, outcome.bytes));
    }
    if entry.protocol != "login" {
        text.push_str(&format!("; judged in {} µs", entry.judge_us));
    }
    text
}

fn log(stage: &Stage) -> Result<String, DemoError> {
    let path = stage.cluster.log_file();
    let bytes = std::fs::read(path);
    let bytes = bytes.map_err(|source| DemoError::File { action: "read", path: path.to_owned(), source })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Statements in PostgreSQL's log with the prefix `%m [%p] %u@%d `; further lines of a statement begin with a tab.
fn statements(log: &str, role: &str) -> Vec<String> {
    let who = format!(" {role}@");
    let mut found: Vec<String> = Vec::new();
    let mut ours = false;
    for line in log.lines() {
        if let Some(more) = line.strip_prefix('\t') {
            if let (true, Some(last)) = (ours, found.last_mut()) {
                last.push('\n');
                last.push_str(more);
            }
            continue;
        }
        let text = line.split_once("LOG:  statement: ").or_else(|| {
            let (head, tail) = line.split_once("LOG:  execute ")?;
            Some((head, tail.split_once(": ")?.1))
        });
        ours = text.is_some_and(|(head, _)| head.contains(&who));
        if let (true, Some((_, text))) = (ours, text) {
            found.push(text.to_owned());
        }
    }
    found
}

async fn until<T>(
    mut ask: impl AsyncFnMut() -> Result<Option<T>, DemoError>,
) -> Result<Option<T>, DemoError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await? {
            return Ok(Some(answer));
        }
        if Instant::now() > deadline {
            return Ok(None);
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_roles_own_statements_are_taken_from_the_log() {
        let log = "2026-01-01 00:00:00 UTC [7] R1@shop LOG:  statement: /*s*/SELECT 1\n\tFROM t\n\
                   2026-01-01 00:00:00 UTC [8] R2@shop LOG:  statement: SELECT ' R1@'\n\tmore\n\
                   2026-01-01 00:00:00 UTC [7] R1@shop LOG:  execute <unnamed>: SELECT $1: 2\n\
                   2026-01-01 00:00:00 UTC [7] R1@shop DETAIL:  parameters: $1 = '2'\n\
                   2026-01-01 00:00:00 UTC [7] R1@shop ERROR:  no\n\tmore\n\
                   2026-01-01 00:00:00 UTC [7] R11@shop LOG:  statement: SELECT 11\n";
        assert_eq!(statements(log, "R1"), ["/*s*/SELECT 1\nFROM t", "SELECT $1: 2"]);
        assert_eq!(statements(log, "R2"), ["SELECT ' R1@'\nmore"]);
        assert_eq!(statements(log, "R"), Vec::<String>::new());
        assert_eq!(statements("", "R1"), Vec::<String>::new());
    }

    #[test]
    fn stamps_say_who_and_for_whom() {
        let role = "LANYARD_VENDED_5_1_00ff";
        assert_eq!(
            stamp("bi-agent~taylor", role),
            "/*lanyard_agent='bi-agent',lanyard_session='00ff',lanyard_user='taylor'*/"
        );
        assert_eq!(stamp("bi-agent", role), "/*lanyard_agent='bi-agent',lanyard_session='00ff'*/");
        assert_eq!(stamp("harper", role), "/*lanyard_session='00ff',lanyard_user='harper'*/");
    }
}
