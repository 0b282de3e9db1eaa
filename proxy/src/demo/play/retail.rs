//! Act 7: an analytic query over the large tables, and what the superuser would have seen.
//!
//! The superuser's figures must never come through the proxy. Called by [`super::run`].

use std::time::Instant;

use super::acts::{self, Ruling};
use super::client::Answer;
use super::error::{DemoError, story};
use super::stage::Stage;
use super::tell::Tell;

const ACT: &str = "act 7";

const BEST: &str = "SELECT c_name, c_mktsegment, c_phone, c_acctbal, \
     sum(l_extendedprice * (1 - l_discount))::numeric(14,2) AS revenue \
     FROM retail.customer JOIN retail.orders ON o_custkey = c_custkey JOIN retail.lineitem ON l_orderkey = o_orderkey \
     GROUP BY c_custkey, c_name, c_mktsegment, c_phone, c_acctbal ORDER BY revenue DESC, c_name LIMIT 5";

/// What the superuser reads for the same question, limited to riley's segments.
const TRUTH: &str = "SELECT c_name, c_mktsegment, c_phone, c_acctbal::text, \
     sum(l_extendedprice * (1 - l_discount))::numeric(14,2)::text AS revenue \
     FROM retail.customer JOIN retail.orders ON o_custkey = c_custkey JOIN retail.lineitem ON l_orderkey = o_orderkey \
     WHERE c_mktsegment IN ('BUILDING', 'MACHINERY') \
     GROUP BY c_custkey, c_name, c_mktsegment, c_phone, c_acctbal \
     ORDER BY sum(l_extendedprice * (1 - l_discount))::numeric(14,2) DESC, c_name LIMIT 5";

const COUNT: &str = "SELECT count(*) AS customers, count(DISTINCT c_mktsegment) AS segments, \
     (SELECT count(*) FROM retail.lineitem) AS lineitems FROM retail.customer";

/// Riley asks for the best customers, and then how many customers there are.
pub(super) async fn play(stage: &Stage, tell: &mut Tell<'_>) -> Result<(), DemoError> {
    tell.heading("7. Riley on the large tables")?;
    tell.line("  Analysts work for market segments: Riley for BUILDING and MACHINERY. Telephone numbers keep their first")?;
    tell.line("  three characters, balances are rounded to thousands; both in the warehouse, before anything is sorted or joined.")?;
    let truth = superuser(stage, TRUTH).await?;
    let start = Instant::now();
    let login = "marketing-agent~riley";
    let expected = Ruling {
        disposition: "masked",
        masked: &["c_acctbal", "c_address", "c_phone"],
        filters: &["own_segment"],
    };
    acts::answered(stage, tell, ACT, login, BEST, expected, |answer| compare(answer, &truth)).await?;
    tell.label("time", &format!("{:.2} s with login and evidence", start.elapsed().as_secs_f64()))?;

    let all = superuser(stage, COUNT).await?;
    let inside = superuser(
        stage,
        "SELECT count(*) FROM retail.customer WHERE c_mktsegment IN ('BUILDING', 'MACHINERY')",
    )
    .await?;
    let second = "act 7, second half";
    let counted = acts::answered(stage, tell, second, login, COUNT, expected, |answer| {
        let inside: Vec<&str> = inside.iter().flatten().map(String::as_str).collect();
        acts::differs("customers", &answer.column("customers"), &inside)
            .or_else(|| acts::differs("segments", &answer.column("segments"), &["2"]))
    })
    .await?;
    let (theirs, everything) = (counted.column("customers"), all.first());
    let (Some(theirs), Some(everything)) = (theirs.first(), everything) else {
        return Err(story(second, "there is nothing to count"));
    };
    tell.label("compare", &format!("{theirs} customers for Riley, {} in the table", everything[0]))?;
    Ok(())
}

/// Names, segments and revenue are true; telephone numbers and balances are what the masks make of them.
fn compare(answer: &Answer, truth: &[Vec<String>]) -> Option<String> {
    let column = |at: usize| -> Vec<&str> { truth.iter().map(|row| row[at].as_str()).collect() };
    let phones: Vec<String> = column(2)
        .iter()
        .map(|phone| phone.chars().enumerate().map(|(at, c)| if at < 3 { c } else { '*' }).collect())
        .collect();
    let phones: Vec<&str> = phones.iter().map(String::as_str).collect();
    let rounded = |balance: &&str| balance.parse::<f64>().is_ok_and(|balance| balance % 1000.0 == 0.0);
    acts::differs("c_name", &answer.column("c_name"), &column(0))
        .or_else(|| acts::differs("c_mktsegment", &answer.column("c_mktsegment"), &column(1)))
        .or_else(|| acts::differs("c_phone", &answer.column("c_phone"), &phones))
        .or_else(|| acts::differs("revenue", &answer.column("revenue"), &column(4)))
        .or_else(|| {
            let balances = answer.column("c_acctbal");
            (!balances.iter().all(rounded)).then(|| format!("c_acctbal is not rounded: {balances:?}"))
        })
        .or_else(|| truth.is_empty().then(|| "there are no customers".to_owned()))
}

async fn superuser(stage: &Stage, sql: &'static str) -> Result<Vec<Vec<String>>, DemoError> {
    let messages = stage.dba.simple_query(sql).await;
    let messages = messages.map_err(|source| DemoError::Warehouse { what: "ask for the truth", source })?;
    let rows = messages.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).unwrap_or("NULL").to_owned()).collect())
        }
        // A foreign enum that may grow; nothing else carries rows.
        _ => None,
    });
    Ok(rows.collect())
}
