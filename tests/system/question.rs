//! `EXPLAIN (POLICY) …`: asked like a statement, answered as rows, never run.

use lanyard_tests::{Governed, Outcome};
use tokio_postgres::SimpleQueryMessage;

const LOGIN: &str = "marketing-agent~taylor";

async fn asked(governed: &Governed, sql: &str) -> Outcome<String> {
    let client = governed.connect(LOGIN).await?;
    let messages = client.simple_query(sql).await?;
    let lines = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get("QUERY POLICY").map(str::to_owned),
        _ => None,
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ruling_and_its_reasons_come_as_rows_and_nothing_runs() -> Outcome {
    let governed = Governed::shared().await?;
    let told = asked(
        &governed,
        "EXPLAIN (POLICY) SELECT lastname, 'it''s' FROM public.customer_orders WHERE pg_sleep(600) IS NULL",
    )
    .await?;
    for part in
        ["allowed: SELECT", "public.customer_orders: read granted", "column lastname: constant (hide_pii)"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    // Nothing of ours, and nothing that is for those who write policy.
    assert!(!told.contains("lanyard") && !told.contains("SELECT t."), "{told}");
    let client = governed.connect(LOGIN).await?;
    let rows = client.query("EXPLAIN (POLICY) SELECT * FROM public.customer_orders", &[]).await?;
    assert!(rows.iter().any(|row| row.get::<_, String>(0).contains("hide_pii")), "the extended protocol too");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_refused_says_what_is_missing_and_not_what_exists() -> Outcome {
    let governed = Governed::shared().await?;
    let hidden = asked(&governed, "EXPLAIN (POLICY) SELECT * FROM public.payroll").await?;
    let absent = asked(&governed, "EXPLAIN (POLICY) SELECT * FROM public.payrolx").await?;
    assert!(hidden.contains("refused (42P01)"), "{hidden}");
    assert!(hidden.contains("allow read on tables named public.payroll to users named taylor"), "{hidden}");
    assert_eq!(hidden.replace("payroll", "x"), absent.replace("payrolx", "x"), "both look alike");
    let bare = asked(&governed, "EXPLAIN (POLICY) DELETE FROM customer_orders").await?;
    assert!(bare.contains("refused (42501)") && bare.contains("allow write"), "{bare}");
    let function = asked(&governed, "EXPLAIN (POLICY) SELECT pg_read_file('/etc/passwd')").await?;
    assert!(function.contains("refused (42501)") && !function.contains("root:"), "{function}");
    for sql in ["EXPLAIN (POLICY, ANALYZE) SELECT 1", "EXPLAIN (POLICY) SELECT 1; SELECT 2"] {
        assert!(asked(&governed, sql).await.is_err(), "{sql}");
    }
    let recorded = governed.audit()?;
    let operations = recorded.iter().filter(|line| line["operation"] == "EXPLAIN POLICY").count();
    assert!(operations >= 4, "every question is on record: {operations}");
    Ok(())
}
