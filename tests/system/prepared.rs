//! SQL's PREPARE, EXECUTE and DEALLOCATE, beside the protocol's prepared statements.

use lanyard_tests::Outcome;

use crate::messages::{
    answer, bind, close, column, describe, exchange, execute, parse, state, summary, sync,
};
use crate::wire::session;

const ONE_ORDER: &str = "SELECT lastname FROM customer_orders WHERE order_id = $1";

#[tokio::test(flavor = "multi_thread")]
async fn statements_prepared_by_sql_and_by_the_protocol_are_of_one_kind() -> Outcome {
    let (governed, mut raw) = session().await?;
    let raw = &mut raw;
    assert_eq!(state(raw, &format!("PREPARE p (int) AS {ONE_ORDER}")).await?, "C ZI");
    let by_sql = answer(raw, "EXECUTE p(1)").await?;
    assert_eq!(by_sql, ["Abernathy"]);
    // Prepared by SQL, bound by the protocol.
    raw.send_bytes(&[describe('S', "p"), bind("", "p", &["1"]), execute("", 0), sync()].concat()).await?;
    let frames = raw.read_until(b'Z').await?;
    assert_eq!((summary(&frames).as_str(), column(&frames)?), ("t T 2 D C ZI", by_sql.clone()));
    // Prepared by the protocol, executed by SQL.
    exchange(raw, &[parse("q", ONE_ORDER, &[23]), sync()]).await?;
    assert_eq!(answer(raw, "EXECUTE q(1)").await?, by_sql);
    // One name, one statement.
    assert_eq!(state(raw, "PREPARE q AS SELECT 1").await?, "42P05 ZI");
    assert_eq!(exchange(raw, &[parse("p", "SELECT 1", &[]), sync()]).await?, "42P05 ZI");
    assert_eq!(answer(raw, "EXECUTE q(1)").await?, by_sql);
    // Either way of letting go works for both.
    assert_eq!(exchange(raw, &[close('S', "p"), sync()]).await?, "3 ZI");
    assert_eq!(state(raw, "EXECUTE p(1)").await?, "26000 ZI");
    assert_eq!(state(raw, "DEALLOCATE PREPARE q").await?, "C ZI");
    assert_eq!(exchange(raw, &[bind("", "q", &["1"]), sync()]).await?, "26000 ZI");
    // The record of an EXECUTE says what it runs, and what that touches.
    let records = governed.audit()?;
    let execute = records
        .iter()
        .find(|l| {
            l["event"] == "attempt" && l["statement"].as_str().is_some_and(|s| s.starts_with("EXECUTE p(1)"))
        })
        .ok_or("no record of the EXECUTE")?;
    assert!(execute["statement"].as_str().is_some_and(|s| s.contains(ONE_ORDER)), "{execute}");
    assert_eq!(execute["objects"][0]["relation"], "public.customer_orders", "{execute}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn several_statements_prepare_and_execute_in_one_message() -> Outcome {
    let (_governed, mut raw) = session().await?;
    let raw = &mut raw;
    let whole = "PREPARE a AS SELECT 'one'; EXECUTE a; DEALLOCATE a; PREPARE a AS SELECT 'two'; EXECUTE a";
    assert_eq!(answer(raw, whole).await?, ["one", "two"]);
    assert_eq!(answer(raw, "EXECUTE a").await?, ["two"]);
    assert_eq!(state(raw, "DEALLOCATE a; EXECUTE a").await?, "26000 ZI");
    assert_eq!(answer(raw, "EXECUTE a").await?, ["two"]);
    assert_eq!(state(raw, "PREPARE b AS SELECT 1; PREPARE b AS SELECT 2").await?, "42P05 ZI");
    assert_eq!(state(raw, "EXECUTE b").await?, "26000 ZI");
    // What ran before an error stays prepared, as in PostgreSQL; what did not run is not.
    let failing = "PREPARE c AS SELECT 'kept'; SELECT 1/0; PREPARE d AS SELECT 'never'";
    assert_eq!(state(raw, failing).await?, "C 22012 ZI");
    assert_eq!(answer(raw, "EXECUTE c").await?, ["kept"]);
    assert_eq!(state(raw, "EXECUTE d").await?, "26000 ZI");
    // Preparing is not transactional.
    for sql in ["BEGIN", "PREPARE e AS SELECT 'stays'", "ROLLBACK"] {
        assert!(state(raw, sql).await?.starts_with("C Z"), "{sql}");
    }
    assert_eq!(answer(raw, "EXECUTE e").await?, ["stays"]);
    assert_eq!(answer(raw, "BEGIN; DEALLOCATE e; ROLLBACK").await?, Vec::<String>::new());
    assert_eq!(state(raw, "EXECUTE e").await?, "26000 ZI");
    assert_eq!(state(raw, "BEGIN; SELECT 1/0").await?, "C 22012 ZE");
    assert_eq!(state(raw, "PREPARE f AS SELECT 1").await?, "25P02 ZE");
    assert_eq!(state(raw, "DEALLOCATE c").await?, "25P02 ZE");
    assert_eq!(state(raw, "ROLLBACK").await?, "C ZI");
    assert_eq!(state(raw, "EXECUTE f").await?, "26000 ZI");
    assert_eq!(answer(raw, "EXECUTE c").await?, ["kept"]);
    assert_eq!(state(raw, "PREPARE g AS SELECT 1; DEALLOCATE ALL").await?, "C C ZI");
    for name in ["a", "c", "g"] {
        assert_eq!(state(raw, &format!("EXECUTE {name}")).await?, "26000 ZI", "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn prepare_goes_through_the_extended_protocol_too() -> Outcome {
    let (_governed, mut raw) = session().await?;
    let raw = &mut raw;
    let run = |sql: &str| [parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat();
    // Sent in one go, before anything is answered.
    raw.send_bytes(&[run("PREPARE p AS SELECT 'ran'"), run("EXECUTE p"), sync()].concat()).await?;
    let frames = raw.read_until(b'Z').await?;
    assert_eq!((summary(&frames).as_str(), column(&frames)?), ("1 2 C 1 2 D C ZI", vec!["ran".to_owned()]));
    // The same PREPARE twice: its name is taken the second time, and free again after DEALLOCATE.
    let again =
        [parse("prep", "PREPARE r AS SELECT 'r'", &[]), bind("", "prep", &[]), execute("", 0), sync()];
    assert_eq!(exchange(raw, &again).await?, "1 2 C ZI");
    assert_eq!(exchange(raw, &[bind("", "prep", &[]), execute("", 0), sync()]).await?, "2 42P05 ZI");
    assert_eq!(
        exchange(raw, &[run("DEALLOCATE r"), bind("", "prep", &[]), execute("", 0), sync()]).await?,
        "1 2 C 2 C ZI"
    );
    assert_eq!(answer(raw, "EXECUTE r").await?, ["r"]);
    // A PREPARE that an error skipped has prepared nothing, and hides nothing.
    assert_eq!(
        exchange(raw, &[run("SELECT 1/0"), run("PREPARE s AS SELECT 's'"), sync()]).await?,
        "1 22012 ZI"
    );
    assert_eq!(state(raw, "EXECUTE s").await?, "26000 ZI");
    assert_eq!(exchange(raw, &[run("EXECUTE nobody"), run("SELECT 1"), sync()]).await?, "26000 ZI");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_prepared_is_judged_and_names_of_ours_stay_ours() -> Outcome {
    let (governed, mut raw) = session().await?;
    let raw = &mut raw;
    for (sql, code) in [
        ("PREPARE x AS SELECT * FROM hidden", "42P01"),
        ("PREPARE x AS UPDATE customer_orders SET lastname = ''", "42501"),
        ("PREPARE x AS SELECT pg_read_file('PG_VERSION')", "42501"),
        ("PREPARE x (regclass) AS SELECT $1", "42501"),
        ("PREPARE x AS SELECT 1; SELECT * FROM hidden", "42P01"),
        ("EXECUTE x", "26000"),
        ("EXECUTE lanyard_1", "26000"),
        ("EXECUTE lanyard_placeholder", "26000"),
        ("DEALLOCATE lanyard_1", "26000"),
        ("EXPLAIN EXECUTE x", "42501"),
        ("CREATE TEMP TABLE t AS EXECUTE x", "42501"),
    ] {
        assert_eq!(state(raw, sql).await?, format!("{code} ZI"), "{sql}");
    }
    // A statement of the protocol that does something to the session is not for EXECUTE: nobody would see what it does.
    for (name, sql) in
        [("d", "DEALLOCATE ALL"), ("b", "BEGIN"), ("t", "SET statement_timeout = 1"), ("n", "")]
    {
        exchange(raw, &[parse(name, sql, &[]), sync()]).await?;
        assert_eq!(state(raw, &format!("EXECUTE {name}")).await?, "0A000 ZI", "{sql}");
    }
    // Errors speak of the client's names.
    state(raw, "PREPARE mine (int) AS SELECT $1").await?;
    let frames = raw.query("EXECUTE mine").await?;
    let said = format!("{:?}", frames.iter().map(|f| f.fields()).collect::<Vec<_>>());
    assert!(said.contains("mine") && !said.contains("lanyard"), "{said}");
    assert_eq!(state(raw, "EXPLAIN EXECUTE mine(1)").await?, "42501 ZI");
    // Masks hold, and the notice says so.
    let mut masked = governed.raw_session("marketing-agent~taylor").await?;
    state(&mut masked, &format!("PREPARE p (int) AS {ONE_ORDER}")).await?;
    assert_eq!(answer(&mut masked, "EXECUTE p(1)").await?, ["REDACTED"]);
    let records = governed.audit()?;
    let of_execute = |l: &&serde_json::Value| {
        l["disposition"] == "masked" && l["statement"].as_str().is_some_and(|s| s.starts_with("EXECUTE p(1)"))
    };
    assert!(records.iter().find(of_execute).is_some(), "the record does not say that it was masked");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_prepared_statements_shows_the_sessions_own_under_its_names() -> Outcome {
    let (governed, mut raw) = session().await?;
    let raw = &mut raw;
    const SHOWN: &str = "SELECT concat_ws('|', name, statement, parameter_types, from_sql) FROM pg_prepared_statements ORDER BY name";
    assert_eq!(answer(raw, SHOWN).await?, [""; 0]);
    let mut other = governed.raw_session("harper").await?;
    state(&mut other, "PREPARE of_another AS SELECT 1").await?;
    let long = "l".repeat(80);
    for name in ["by protocol", "Quo\"ted", "lanyard_7_x", "", &long] {
        assert_eq!(exchange(raw, &[parse(name, ONE_ORDER, &[23]), sync()]).await?, "1 ZI", "{name}");
    }
    assert_eq!(state(raw, "PREPARE \"by\"\"SQL\" (text) AS SELECT $1 || 'x'").await?, "C ZI");
    let shown = answer(raw, SHOWN).await?;
    let cut = shown.iter().find(|row| row.starts_with("ll")).ok_or("the long name is missing")?;
    assert!(cut.len() > 45 && !cut.contains("lanyard"), "{cut}");
    let mut rest: Vec<&String> = shown.iter().filter(|row| *row != cut).collect();
    rest.sort();
    assert_eq!(
        rest,
        [
            "Quo\"ted||{integer}|f",
            "by protocol||{integer}|f",
            "by\"SQL||{text}|t",
            "lanyard_7_x||{integer}|f"
        ]
    );
    // Each runs and goes by its whole name.
    assert_eq!(state(raw, "EXECUTE \"Quo\"\"ted\"(1)").await?, "T D C ZI");
    assert_eq!(state(raw, "DEALLOCATE lanyard_7_x").await?, "C ZI");
    assert_eq!(exchange(raw, &[close('S', &long), sync()]).await?, "3 ZI");
    assert_eq!(answer(raw, SHOWN).await?.len(), 3);
    // An error of the warehouse's says the client's name.
    raw.send_bytes(&[bind("", "by protocol", &[]), sync()].concat()).await?;
    let said =
        raw.read_until(b'Z').await?.iter().find(|f| f.tag == b'E').map(|f| f.fields()).unwrap_or_default();
    assert!(said.get(&'M').is_some_and(|m| m.contains("statement \"by protocol\" requires 1")), "{said:?}");
    Ok(())
}
