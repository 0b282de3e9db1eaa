//! Wide analytic questions over TPC-H's tables, in SQL as agents write it, and TPC-H's own: directly and through the proxy.

use lanyard::demo::setting::{DATABASE, SettingOptions};
use lanyard_tests::{Governed, GovernedOptions, Outcome};

use super::compare::{Tally, answer};
use super::{GOVERNANCE, report};

const ANALYTIC: &str = include_str!("../../queries/analytic.sql");
const TPCH: &str = include_str!("../../queries/tpch.sql");
/// Percent that has to be alike. One is known not to be: TABLESAMPLE, which PostgreSQL takes for tables and not for views.
const SHARE_MIN: f64 = 98.5;

#[tokio::test(flavor = "multi_thread")]
async fn analytic_questions_have_the_answers_they_have_directly() -> Outcome {
    let governance = [
        GOVERNANCE[0],
        GOVERNANCE[1],
        ("open.policy", "policy open\n  allow read on tables like 'retail.%'\n  to users named tester\n"),
    ];
    let options = GovernedOptions {
        setting: SettingOptions {
            governance: &governance,
            agents: &[],
            users: &["tester"],
            lines: &[("databases.shop", "search_path = [\"retail\"]")],
        },
        ..GovernedOptions::default()
    };
    let governed = Governed::start_with(&options).await?;
    let direct = governed.cluster().connect(DATABASE).await?;
    direct.batch_execute("SET search_path = retail").await?;
    let proxied = governed.connect("tester").await?;
    let mut tallies = Vec::new();
    for (name, text, count) in [("analytic", ANALYTIC, 60), ("TPC-H", TPCH, 22)] {
        let mut tally = Tally::new(name);
        let mut with_rows = 0;
        for sql in text.split("\n;\n").filter(|sql| !sql.trim().is_empty()) {
            let (one, other) = tokio::join!(answer(&direct, sql), answer(&proxied, sql));
            assert!(one.is_rows(), "fails directly: {one:?}\n{sql}");
            tally.note(sql, &one, &other);
            with_rows += usize::from(one.has_rows());
        }
        assert!(
            tally.succeed >= count && with_rows * 10 > tally.succeed * 8,
            "{with_rows} of {} say something",
            tally.succeed
        );
        tallies.push(tally);
    }
    report::tell("analytic", &tallies)?;
    let low: Vec<&Tally> = tallies.iter().filter(|t| t.share() < SHARE_MIN).collect();
    assert!(low.is_empty(), "under {SHARE_MIN} %: {low:?}");
    Ok(())
}
