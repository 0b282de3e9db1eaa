//! Acts 5 and 6: what is refused, in which words, and the session whose lease runs out.
//!
//! A refused statement must never reach the warehouse: its log is asked. Called by [`super::run`].

use std::time::{Duration, Instant};

use super::client::{Client, Refused, Wish};
use super::error::{DemoError, story};
use super::evidence;
use super::stage::Stage;
use super::tell::Tell;

/// One thing that is not done.
struct Case {
    what: &'static str,
    login: &'static str,
    key: Option<&'static str>,
    /// Empty when the login itself is refused.
    sql: &'static str,
    code: &'static str,
    /// In the message.
    says: &'static str,
    /// In the hint; empty when there is none to be expected.
    hints: &'static str,
}

const CASES: [Case; 6] = [
    Case {
        what: "an unknown person",
        login: "marketing-agent~nobody",
        key: None,
        sql: "",
        code: "28000",
        says: "user \"nobody\" is not known",
        hints: "user add nobody",
    },
    Case {
        what: "a wrong key",
        login: "marketing-agent~taylor",
        key: Some("not-the-key"),
        sql: "",
        code: "28P01",
        says: "authentication failed for \"marketing-agent\"",
        hints: "key",
    },
    Case {
        what: "a table of which no policy speaks, and hr asks",
        login: "harper",
        key: None,
        sql: "SELECT lastname, salary FROM public.payroll",
        code: "42P01",
        says: "payroll",
        hints: "",
    },
    Case {
        what: "somebody in marketing who lacks the training in privacy",
        login: "marketing-agent~morgan",
        key: None,
        sql: "SELECT lastname, region FROM customer_orders",
        code: "42P01",
        says: "customer_orders",
        hints: "",
    },
    Case {
        what: "becoming somebody else",
        login: "marketing-agent~taylor",
        key: None,
        sql: "SET ROLE lanyard_owner",
        code: "42501",
        says: "role",
        hints: "",
    },
    Case {
        what: "reading what is hidden from the numbers of a plan",
        login: "marketing-agent~riley",
        key: None,
        sql: "EXPLAIN ANALYZE SELECT lastname, region FROM customer_orders",
        code: "42501",
        says: "EXPLAIN",
        hints: "plain EXPLAIN",
    },
];

/// Act 5.
pub(super) async fn play(stage: &Stage, tell: &mut Tell<'_>) -> Result<(), DemoError> {
    tell.heading("5. What is refused, and in which words")?;
    for (number, case) in (1..).zip(&CASES) {
        let act = format!("act 5.{number}, {}", case.what);
        if number > 1 {
            tell.line("")?;
        }
        tell.line(&format!("  {}", case.what))?;
        tell.label("who", case.login)?;
        let said = ask(stage, tell, case, &act).await?;
        tell.refused(&said)?;
        if said.code != case.code || !said.message.contains(case.says) {
            return Err(story(&act, format!("expected {} and \"{}\" in the message", case.code, case.says)));
        }
        if !said.hint.as_deref().unwrap_or_default().contains(case.hints) {
            return Err(story(&act, format!("expected \"{}\" in the hint", case.hints)));
        }
        let entries =
            evidence::recorded(stage, &act_label(&act), if case.sql.is_empty() { 1 } else { 2 }).await?;
        let refused = entries.iter().find(|entry| entry.disposition == "refused");
        let refused = refused.ok_or_else(|| story(&act, "the audit has no entry of the refusal"))?;
        if refused.sqlstate.as_deref() != Some(case.code) || refused.statement != case.sql {
            return Err(story(&act, "the audit says something else"));
        }
        tell.label("audit", &evidence::short(refused))?;
        evidence::no_role(stage, &act).await?;
    }
    Ok(())
}

/// What the client calls itself; ids end at 128 bytes.
fn act_label(act: &str) -> String {
    act.split(',').next().unwrap_or(act).to_owned()
}

/// Asks what is to be refused, and makes sure that nothing of it reached the warehouse.
async fn ask(stage: &Stage, tell: &mut Tell<'_>, case: &Case, act: &str) -> Result<Refused, DemoError> {
    let application = act_label(act);
    let wish = Wish { login: case.login, application: &application, key: case.key, options: "" };
    let client = match (Client::connect(stage, wish).await?, case.sql.is_empty()) {
        (Err(said), true) => return Ok(said),
        (Err(said), false) => return Err(story(act, format!("the login was refused: {}", said.message))),
        (Ok(_), true) => return Err(story(act, "the login was not refused")),
        (Ok(client), false) => client,
    };
    let role = evidence::only_role(stage, act).await?;
    tell.statement("asks", case.sql)?;
    let Err(said) = client.ask(case.sql).await? else {
        return Err(story(act, "it was not refused"));
    };
    match evidence::logged(stage, &role)?.as_slice() {
        [] => Ok(said),
        _ => Err(story(act, "the warehouse was asked nevertheless")),
    }
}

/// Act 6: a lease of two seconds. One would do, were it not for busy machines: a role must not end before its login.
pub(super) async fn expire(stage: &Stage, tell: &mut Tell<'_>) -> Result<(), DemoError> {
    const ACT: &str = "act 6";
    const APPLICATION: &str = "demo, act 6";
    const PATIENCE: Duration = Duration::from_secs(30);
    tell.heading("6. A lease that runs out")?;
    let login = "marketing-agent~taylor";
    let options = "-c lanyard.lease_seconds=2";
    tell.label("who", &format!("{login}, with options='{options}'"))?;
    let wish = Wish { login, application: APPLICATION, key: None, options };
    let start = Instant::now();
    let client = Client::connect(stage, wish).await?;
    let client = client.map_err(|said| story(ACT, format!("refused: {}", said.message)))?;
    let login = evidence::recorded(stage, APPLICATION, 1).await?;
    let role = login.first().map(|entry| entry.role.as_str()).unwrap_or_default();
    tell.label("role", role)?;
    tell.label("asks", "nothing, and waits")?;
    let said = client.ended(PATIENCE).await?;
    let said = said.ok_or_else(|| story(ACT, "the session was not ended"))?;
    tell.label("after", &format!("{:.1} s", start.elapsed().as_secs_f64()))?;
    tell.refused(&said)?;
    if said.code != "57P01" || !said.message.contains("lease") {
        return Err(story(ACT, "expected 57P01 and a word on the lease"));
    }
    evidence::no_role(stage, ACT).await?;
    tell.label("after", "the role is gone")?;
    Ok(())
}
