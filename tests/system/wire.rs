//! What drivers and other projects' suites need of the protocol beyond statements: SQL's own prepared statements, COPY from
//! the client, the search path.

use std::sync::{Arc, Weak};

use lanyard::demo::governance;
use lanyard::demo::setting::SettingOptions;
use lanyard_tests::{Governed, GovernedOptions, Outcome, Raw};
use tokio::sync::Mutex;

use crate::frames::{bind, close, column, describe, exchange, execute, parse, query, summary, sync};

const TABLES: &str = "
    CREATE TABLE public.ledger (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, word text NOT NULL, n int DEFAULT 7,
        doubled int GENERATED ALWAYS AS (n * 2) STORED, CHECK (n < 1000));
    CREATE TABLE public.hidden (id int, word text);
    INSERT INTO public.hidden VALUES (1, 'HIDDEN-WORD');";
const POLICY: (&str, &str) = (
    "wire.policy",
    "policy wire\n  allow read, write on tables named public.ledger\n  to users named harper\n",
);

/// An environment with a table that `harper` may write, shared by the tests of this file.
async fn environment() -> Outcome<Arc<Governed>> {
    static SHARED: Mutex<Weak<Governed>> = Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(running) = shared.upgrade() {
        return Ok(running);
    }
    let mut files = governance::FILES.to_vec();
    files.push(POLICY);
    let options = GovernedOptions {
        setting: SettingOptions { governance: &files, ..SettingOptions::default() },
        sql: TABLES,
        ..GovernedOptions::default()
    };
    let started = Arc::new(Governed::start_with(&options).await?);
    *shared = Arc::downgrade(&started);
    Ok(started)
}

async fn session() -> Outcome<(Arc<Governed>, Raw)> {
    let governed = environment().await?;
    let raw = governed.raw_session("harper").await?;
    Ok((governed, raw))
}

/// First column of what a simple Query returned.
async fn answer(raw: &mut Raw, sql: &str) -> Outcome<Vec<String>> {
    column(&raw.query(sql).await?)
}

async fn state(raw: &mut Raw, sql: &str) -> Outcome<String> {
    exchange(raw, &[query(sql)]).await
}

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
        ("PREPARE x AS SELECT 1; EXECUTE x; SELECT statement FROM pg_prepared_statements", "42P01"),
        ("EXECUTE x", "26000"),
        ("EXECUTE lanyard_1", "26000"),
        ("EXECUTE lanyard_placeholder", "26000"),
        ("DEALLOCATE lanyard_1", "26000"),
        ("EXPLAIN EXECUTE x", "26000"),
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
    let explained = answer(raw, "EXPLAIN (COSTS off) EXECUTE mine(1)").await?;
    assert_eq!(explained, ["Result"]);
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
