//! The acts in which somebody is answered: who asks, what comes back, and what the warehouse and the audit say of it.
//!
//! Must never print an answer as told that was not compared with the story. Called by [`super::run`].

use lanyard_adapters::ledger::Entry;

use super::client::{Answer, Client, Wish};
use super::error::{DemoError, story};
use super::evidence;
use super::psql;
use super::stage::Stage;
use super::tell::Tell;

/// One statement by one principal.
pub(super) struct Act {
    title: &'static str,
    story: &'static str,
    login: &'static str,
    sql: &'static str,
    /// What is wrong with the answer, if anything.
    check: fn(&Answer) -> Option<String>,
    expected: Ruling,
}

/// What the audit must say of a statement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ruling {
    pub(super) disposition: &'static str,
    /// Columns that are masked, of all relations, by name.
    pub(super) masked: &'static [&'static str],
    /// Policies that limit rows, of all relations.
    pub(super) filters: &'static [&'static str],
}

const ORDERS: &str =
    "SELECT lastname, region, order_total, total_with_shipping FROM customer_orders ORDER BY order_id";
const TOTALS: [&str; 5] = ["89.00", "117.00", "225.00", "356.00", "50.00"];
const NAMES: [&str; 5] = ["Abernathy", "Brightwater", "Castellanos", "Donnelly", "Eriksen"];

/// The acts that are alike; the others have files of their own.
pub(super) const ACTS: [Act; 4] = [
    Act {
        title: "Taylor, in marketing, asks through the marketing agent",
        story: "Taylor has no account in the database. Marketing plans for every region, and does not need to know names.",
        login: "marketing-agent~taylor",
        sql: ORDERS,
        check: |answer| {
            differs("lastname", &answer.column("lastname"), &["REDACTED"; 5])
                .or_else(|| differs("order_total", &answer.column("order_total"), &TOTALS))
        },
        expected: Ruling { disposition: "masked", masked: &["lastname"], filters: &[] },
    },
    Act {
        title: "Riley, a regional analyst, asks the same through the same agent",
        story: "Riley's region is US-EAST: the other rows are not there.",
        login: "marketing-agent~riley",
        sql: ORDERS,
        check: |answer| {
            differs("region", &answer.column("region"), &["US-EAST"; 3])
                .or_else(|| differs("lastname", &answer.column("lastname"), &["REDACTED"; 3]))
                .or_else(|| {
                    differs("order_total", &answer.column("order_total"), &["89.00", "117.00", "50.00"])
                })
        },
        expected: Ruling { disposition: "masked", masked: &["lastname"], filters: &["own_region"] },
    },
    Act {
        title: "Harper, in hr, asks the same without an agent",
        story: "hr may see names, and Harper has all three regions.",
        login: "harper",
        sql: ORDERS,
        check: |answer| {
            differs("lastname", &answer.column("lastname"), &NAMES)
                .or_else(|| differs("order_total", &answer.column("order_total"), &TOTALS))
        },
        expected: Ruling { disposition: "filtered", masked: &[], filters: &["own_region"] },
    },
    Act {
        title: "The marketing agent on its own",
        story: "Nobody stands behind it now: it has its tool table, and for it nothing else exists.",
        login: "marketing-agent",
        sql: "SELECT name, description, enabled FROM campaign_tools ORDER BY tool_id",
        check: |answer| differs("name", &answer.column("name"), &["segment", "forecast", "draft_email"]),
        expected: Ruling { disposition: "allowed", masked: &[], filters: &[] },
    },
];

/// Plays one act: login, role, statement, answer, log, audit, and the role's end.
pub(super) async fn play(
    stage: &Stage,
    tell: &mut Tell<'_>,
    number: usize,
    act: &Act,
) -> Result<(), DemoError> {
    let name = format!("act {number}");
    tell.heading(&format!("{number}. {}", act.title))?;
    tell.line(&format!("  {}", act.story))?;
    answered(stage, tell, &name, act.login, act.sql, act.expected, act.check).await.map(drop)
}

/// The whole of an answered statement, verified. Gives the answer for what the caller has to say of it.
pub(super) async fn answered(
    stage: &Stage,
    tell: &mut Tell<'_>,
    act: &str,
    login: &str,
    sql: &str,
    expected: Ruling,
    check: impl FnOnce(&Answer) -> Option<String>,
) -> Result<Answer, DemoError> {
    let application = format!("demo, {act}");
    let wish = Wish { login, application: &application, key: None, options: "" };
    let refused =
        |said: super::client::Refused| story(act, format!("refused: {} {}", said.code, said.message));
    let client = Client::connect(stage, wish).await?.map_err(refused)?;
    let role = evidence::only_role(stage, act).await?;
    tell.label("who", login)?;
    tell.label("role", &role)?;
    tell.statement("asks", sql)?;
    let answer = client.ask(sql).await?.map_err(refused)?;
    tell.answer(&answer)?;
    if let Some(wrong) = check(&answer) {
        return Err(story(act, wrong));
    }
    logged(stage, tell, act, login, &role).await?;
    let entries = evidence::recorded(stage, &application, 2).await?;
    let entry = entries.iter().find(|entry| entry.protocol != "login");
    let entry = entry.ok_or_else(|| story(act, "the audit has no entry of the statement"))?;
    tell.label("audit", &evidence::short(entry))?;
    if let Some(wrong) = ruled(entry, &role, sql, expected) {
        return Err(story(act, format!("the audit says something else: {wrong}")));
    }
    drop(client);
    evidence::no_role(stage, act).await?;
    tell.label("after", "the session has ended, and the role is gone")?;
    Ok(answer)
}

/// The statement as the warehouse logged it: by that role, with that stamp.
async fn logged(
    stage: &Stage,
    tell: &mut Tell<'_>,
    act: &str,
    login: &str,
    role: &str,
) -> Result<(), DemoError> {
    let stamp = evidence::stamp(login, role);
    let statements = evidence::logged_some(stage, role, act).await?;
    for statement in &statements {
        tell.statement("log", &format!("{role}@shop: {statement}"))?;
        if !statement.trim_start().starts_with(&stamp) {
            return Err(story(act, format!("the warehouse's log lacks the stamp {stamp}")));
        }
    }
    Ok(())
}

fn ruled(entry: &Entry, role: &str, sql: &str, expected: Ruling) -> Option<String> {
    let masks = entry.objects.iter().flat_map(|object| &object.masks);
    let mut masked: Vec<&str> = masks.map(|mask| mask.split(':').next().unwrap_or_default()).collect();
    masked.sort_unstable();
    let filters: Vec<&str> =
        entry.objects.iter().flat_map(|object| &object.filters).map(String::as_str).collect();
    differs("role", &[entry.role.as_str()], &[role])
        .or_else(|| differs("statement", &[entry.statement.as_str()], &[sql]))
        .or_else(|| differs("disposition", &[entry.disposition.as_str()], &[expected.disposition]))
        .or_else(|| differs("masks", &masked, expected.masked))
        .or_else(|| differs("filters", &filters, expected.filters))
        .or_else(|| {
            let status = entry.outcome.as_ref().map(|outcome| outcome.status.as_str());
            differs("outcome", &[status.unwrap_or("none")], &["ok"])
        })
}

/// What is wrong, when it is.
pub(super) fn differs(what: &str, found: &[&str], expected: &[&str]) -> Option<String> {
    (found != expected).then(|| format!("{what} is {found:?} and should be {expected:?}"))
}

/// Act 4 goes on: customer tables do not exist for the agent on its own, not even in the catalog.
pub(super) async fn nothing_else(stage: &Stage, tell: &mut Tell<'_>) -> Result<(), DemoError> {
    const ACT: &str = "act 4, second half";
    let login = "marketing-agent";
    let application = format!("demo, {ACT}");
    let wish = Wish { login, application: &application, key: None, options: "" };
    let client = Client::connect(stage, wish).await?;
    let client = client.map_err(|said| story(ACT, format!("refused: {}", said.message)))?;
    tell.statement("asks", ORDERS)?;
    match client.ask(ORDERS).await? {
        Ok(_) => return Err(story(ACT, "the agent on its own read customer_orders")),
        Err(said) => {
            tell.refused(&said)?;
            if said.code != "42P01" || !said.message.contains("customer_orders") {
                return Err(story(ACT, format!("it should not exist (42P01), the answer was {}", said.code)));
            }
        }
    }
    let sql = "SELECT table_schema, table_name FROM information_schema.tables \
               WHERE table_schema NOT IN ('pg_catalog', 'information_schema')";
    tell.statement("asks", sql)?;
    let seen = client.ask(sql).await?.map_err(|said| story(ACT, format!("refused: {}", said.message)))?;
    tell.answer(&seen)?;
    if let Some(wrong) = differs("the catalog", &seen.column("table_name"), &["campaign_tools"]) {
        return Err(story(ACT, wrong));
    }
    drop(client);
    evidence::no_role(stage, ACT).await?;
    if let Some(listed) = psql::list_relations(stage, login).await? {
        tell.label("psql", &format!("\\d\n{}", listed.trim_end()))?;
        if !listed.contains("campaign_tools")
            || listed.contains("customer_orders")
            || listed.contains("payroll")
        {
            return Err(story(ACT, "psql's \\d shows something else than campaign_tools"));
        }
        evidence::no_role(stage, ACT).await?;
    }
    Ok(())
}

/// Act 8: the warehouse's own list of roles.
pub(super) async fn roles_are_gone(stage: &Stage, tell: &mut Tell<'_>) -> Result<(), DemoError> {
    const ACT: &str = "act 8";
    tell.heading("8. What is left in the warehouse")?;
    let sql = r"SELECT count(*) FROM pg_roles WHERE rolname LIKE 'LANYARD\_VENDED\_%'";
    tell.statement("asks", sql)?;
    evidence::no_role(stage, ACT).await?;
    let left = evidence::vended_roles(stage).await?.len();
    let vended = evidence::roles_so_far(stage)?;
    tell.label(
        "answer",
        &format!("{left}: of the {vended} roles that were vended for this story none is left"),
    )?;
    if vended < ACTS.len() {
        return Err(story(ACT, format!("the audit knows {vended} vended roles only")));
    }
    Ok(())
}
