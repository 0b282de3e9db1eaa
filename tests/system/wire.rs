//! What drivers and other projects' suites need of the protocol beyond statements: SQL's own prepared statements, COPY from
//! the client, the search path.

use std::sync::{Arc, Weak};

use lanyard::demo::governance;
use lanyard::demo::setting::SettingOptions;
use lanyard_tests::raw::{PROTOCOL_3_0, frame, frame_of_length};
use lanyard_tests::wait::until;
use lanyard_tests::{Governed, GovernedOptions, Outcome, Raw};
use tokio::sync::Mutex;

use crate::frames::{
    bind, close, column, describe, exchange, execute, flush, next, parse, query, summary, sync,
};

const TABLES: &str = "
    CREATE TABLE public.ledger (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, word text NOT NULL, n int DEFAULT 7,
        doubled int GENERATED ALWAYS AS (n * 2) STORED, CHECK (n < 1000));
    CREATE TABLE public.shaped (id int, lastname text);
    CREATE TABLE public.hidden (id int, word text);
    INSERT INTO public.hidden VALUES (1, 'HIDDEN-WORD');
    CREATE SCHEMA a CREATE TABLE here (word text);
    CREATE SCHEMA b CREATE TABLE here (word text);
    CREATE SCHEMA c CREATE TABLE only_c (word text);
    INSERT INTO a.here VALUES ('in a');
    INSERT INTO b.here VALUES ('in b');
    GRANT USAGE ON SCHEMA c TO PUBLIC;";
const POLICY: (&str, &str) = (
    "wire.policy",
    "policy wire\n  allow read, write on tables named public.ledger, public.shaped\n  to users named harper\n\
     policy wire_reads\n  allow read on tables named a.here, b.here\n  to users named harper\n\
     policy wire_masks\n  mask columns named public.shaped.lastname with null\n  for everyone\n",
);

/// An environment with a table that `harper` may write, shared by the tests of this file.
pub(crate) async fn environment() -> Outcome<Arc<Governed>> {
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
        schemas: &["a", "b"],
        ..GovernedOptions::default()
    };
    let started = Arc::new(Governed::start_with(&options).await?);
    *shared = Arc::downgrade(&started);
    Ok(started)
}

pub(crate) async fn session() -> Outcome<(Arc<Governed>, Raw)> {
    let governed = environment().await?;
    let raw = governed.raw_session("harper").await?;
    Ok((governed, raw))
}

/// First column of what a simple Query returned.
pub(crate) async fn answer(raw: &mut Raw, sql: &str) -> Outcome<Vec<String>> {
    column(&raw.query(sql).await?)
}

pub(crate) async fn state(raw: &mut Raw, sql: &str) -> Outcome<String> {
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

fn data(text: &[u8]) -> Vec<u8> {
    frame(b'd', text)
}

fn done() -> Vec<u8> {
    frame(b'c', b"")
}

/// Every row of the ledger whose word begins so.
async fn ledger(raw: &mut Raw, prefix: &str) -> Outcome<Vec<String>> {
    let sql = format!(
        "SELECT concat_ws(',', word, n, doubled, id > 0) FROM ledger WHERE starts_with(word, '{prefix}') ORDER BY word"
    );
    answer(raw, &sql).await
}

const COPY: &str = "COPY ledger (word, n) FROM STDIN";

#[tokio::test(flavor = "multi_thread")]
async fn copy_fills_a_table_in_every_format_and_protocol() -> Outcome {
    let (governed, mut raw) = session().await?;
    let raw = &mut raw;
    // Data behind the statement in one write, or after the warehouse has asked for it.
    let whole = [query(COPY), data(b"simple1\t1\nsimple2\t\\N\n"), done()];
    assert_eq!(exchange(raw, &whole).await?, "G C ZI");
    assert_eq!(ledger(raw, "simple").await?, ["simple1,1,2,t", "simple2,t"]);
    raw.send_bytes(&query("COPY public.ledger (word) FROM STDIN WITH (FORMAT csv, HEADER)")).await?;
    assert_eq!(next(raw).await?.tag, b'G');
    // A column that is left out gets its default; what a message holds is the client's affair.
    for piece in [&b"word\ncsv"[..], b"1\n\"csv,2\"", b"\n"] {
        raw.send_bytes(&data(piece)).await?;
    }
    assert_eq!(exchange(raw, &[done()]).await?, "C ZI");
    assert_eq!(ledger(raw, "csv").await?, ["csv,2,7,14,t", "csv1,7,14,t"]);
    let mut binary = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    binary.extend(b"\0\x02\0\0\0\x03bin\0\0\0\x04\0\0\0\x09\xff\xff");
    let by_parse = [
        parse("c", "COPY ledger (word, n) FROM STDIN (FORMAT binary)", &[]),
        describe('S', "c"),
        bind("", "c", &[]),
        execute("", 0),
        data(&binary),
        done(),
        sync(),
    ];
    assert_eq!(exchange(raw, &by_parse).await?, "1 t n 2 G C ZI");
    assert_eq!(ledger(raw, "bin").await?, ["bin,9,18,t"]);
    // As libpq does it: a Sync in front, which the COPY swallows, and one behind the data.
    raw.send_bytes(&[parse("", COPY, &[]), bind("", "", &[]), execute("", 0), sync()].concat()).await?;
    for tag in [b'1', b'2', b'G'] {
        assert_eq!(next(raw).await?.tag, tag);
    }
    let rest = [data(b"libpq1\t1\n"), sync(), flush(), data(b"libpq2\t2\n"), done(), sync()];
    assert_eq!(exchange(raw, &rest).await?, "C ZI");
    assert_eq!(ledger(raw, "libpq").await?, ["libpq1,1,2,t", "libpq2,2,4,t"]);
    // Two in one Query, and other statements around them.
    let two = format!("SELECT 1; {COPY}; {COPY}; SELECT 2");
    let messages = [query(&two), data(b"two1\t1\n"), done(), data(b"two2\t2\n"), done(), query("SELECT 3")];
    assert_eq!(exchange(raw, &messages).await?, "T D C G C G C T D C ZI");
    assert_eq!(summary(&raw.read_until(b'Z').await?), "T D C ZI");
    assert_eq!(ledger(raw, "two").await?, ["two1,1,2,t", "two2,2,4,t"]);
    // Two in one pipeline.
    let run = || [bind("", "c2", &[]), execute("", 0), data(b"pipe\t1\n"), done()].concat();
    assert_eq!(exchange(raw, &[parse("c2", COPY, &[]), run(), run(), sync()]).await?, "1 2 G C 2 G C ZI");
    assert_eq!(ledger(raw, "pipe").await?.len(), 2);
    // One byte at a time, headers too.
    let slow = [query(COPY), data(b"slow\t5\n"), done()].concat();
    for byte in slow {
        raw.send_bytes(&[byte]).await?;
    }
    assert_eq!(summary(&raw.read_until(b'Z').await?), "G C ZI");
    assert_eq!(ledger(raw, "slow").await?, ["slow,5,10,t"]);
    // A default that changes later is the one that holds, and so is one that is gone.
    let dba = governed.dba().await?;
    for (change, expected) in [
        ("ALTER COLUMN n SET DEFAULT 70 + 1", "moved1,71,142,t"),
        ("ALTER COLUMN n DROP DEFAULT", "moved2,t"),
        ("ALTER COLUMN n SET DEFAULT 7", "moved3,7,14,t"),
    ] {
        dba.batch_execute(&format!("ALTER TABLE ledger {change}")).await?;
        let word = expected.split(',').next().unwrap_or_default();
        let row = data(format!("{word}\n").as_bytes());
        let copied = exchange(raw, &[query("COPY ledger (word) FROM STDIN"), row, done()]).await?;
        assert_eq!(
            (copied.as_str(), ledger(raw, word).await?),
            ("G C ZI", vec![expected.to_owned()]),
            "{change}"
        );
    }
    let records = governed.audit()?;
    let of_two = records.iter().find(|l| l["statement"] == two.as_str()).ok_or("no record of the COPY")?;
    assert_eq!(of_two["objects"][0]["operation"], "write", "{of_two}");
    let outcome = records.iter().find(|l| l["event"] == "outcome" && l["ruling"] == of_two["ruling"]);
    assert_eq!(outcome.ok_or("no outcome")?["rows"], 4, "two rows selected, two copied");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_as_large_as_one_likes() -> Outcome {
    let (_governed, mut raw) = session().await?;
    // One message larger than any other may be. No row is kept, so that this is about bytes.
    let row = [b"x".repeat(999), b"\n".to_vec()].concat();
    let bytes = row.repeat(20 << 10);
    raw.send_bytes(&[query("COPY ledger (word) FROM STDIN WHERE false"), data(&bytes), done()].concat())
        .await?;
    assert_eq!(summary(&raw.read_until(b'Z').await?), "G C ZI");
    assert_eq!(answer(&mut raw, "SELECT 'in step'").await?, ["in step"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_fails_leaves_nothing_and_the_session_in_step() -> Outcome {
    let (_governed, mut raw) = session().await?;
    let raw = &mut raw;
    let bad = [
        (data(b"bad1\t1\nbad2\tx\n"), "22P02"),
        (data(b"bad1\t1\nbad2\t1000\n"), "23514"),
        (data(b"bad1\t1\n\\N\t1\n"), "23502"),
        (data(b"bad1\t1\t2\n"), "22P04"),
        (data(b"bad1\t1\nbad2\xff\t1\n"), "22021"),
        ([data(b"bad1\t1\n"), frame(b'f', b"no more\0")].concat(), "57014"),
    ];
    for (bytes, code) in bad {
        let simple = [query(COPY), bytes.clone(), data(b"bad3\t3\n"), done(), query("SELECT 1")];
        assert_eq!(exchange(raw, &simple).await?, format!("G {code} ZI"));
        assert_eq!(summary(&raw.read_until(b'Z').await?), "T D C ZI", "{code}");
        let extended =
            [parse("", COPY, &[]), bind("", "", &[]), execute("", 0), bytes.clone(), done(), sync()];
        assert_eq!(exchange(raw, &extended).await?, format!("1 2 G {code} ZI"));
        assert_eq!(answer(raw, "SELECT 'in step'").await?, ["in step"], "{code}");
        // In a transaction, the client reading before it goes on.
        assert_eq!(state(raw, "BEGIN").await?, "C ZT");
        raw.send_bytes(&[query(COPY), bytes].concat()).await?;
        if code != "57014" {
            raw.send_bytes(&done()).await?;
        }
        assert_eq!(summary(&raw.read_until(b'Z').await?), format!("G {code} ZE"));
        assert_eq!(state(raw, "ROLLBACK").await?, "C ZI");
    }
    // It fails before it begins: what was meant for it is ignored.
    let absent = [query("COPY ledger (absent) FROM STDIN"), data(b"1\n"), done(), query("SELECT 1")];
    assert_eq!(exchange(raw, &absent).await?, "42703 ZI");
    assert_eq!(summary(&raw.read_until(b'Z').await?), "T D C ZI");
    let absent =
        [parse("", "COPY ledger (absent) FROM STDIN", &[]), bind("", "", &[]), execute("", 0), sync()];
    assert_eq!(exchange(raw, &absent).await?, "1 2 42703 ZI");
    assert_eq!(exchange(raw, &[data(b"1\n"), done(), sync()]).await?, "ZI");
    assert_eq!(ledger(raw, "bad").await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_data_comes_in_the_middle_of_a_copy() -> Outcome {
    let governed = environment().await?;
    for message in [
        query("SELECT * FROM hidden"),
        parse("", "SELECT 1", &[]),
        bind("", "", &[]),
        execute("", 0),
        describe('S', ""),
        close('S', "x"),
        frame(b'F', b""),
    ] {
        let mut raw = governed.raw_session("harper").await?;
        raw.send_bytes(&[query(COPY), data(b"middle\t1\n")].concat()).await?;
        assert_eq!(next(&mut raw).await?.tag, b'G');
        raw.send_bytes(&message).await?;
        let error = next(&mut raw).await?;
        assert_eq!(error.sqlstate().as_deref(), Some("08P01"), "{error:?}");
        assert!(raw.closed().await?);
    }
    // A client that goes away has copied nothing.
    for last in [data(b"gone\t1\n"), frame_of_length(b'd', 1000, b"gone\t1\n"), frame(b'X', b"")] {
        let mut raw = governed.raw_session("harper").await?;
        raw.send_bytes(&query(COPY)).await?;
        assert_eq!(next(&mut raw).await?.tag, b'G');
        raw.send_bytes(&[data(b"gone\t1\n"), last].concat()).await?;
        drop(raw);
    }
    let mut raw = governed.raw_session("harper").await?;
    let rows = "SELECT count(*) FROM ledger WHERE word IN ('middle', 'gone')";
    until("the copies are gone", async || Ok((answer(&mut raw, rows).await? == ["0"]).then_some(()))).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_policy_does_not_allow_are_refused_before_they_begin() -> Outcome {
    let (governed, mut raw) = session().await?;
    for (sql, code) in [
        ("COPY hidden FROM STDIN", "42P01"),
        ("COPY customer_orders FROM STDIN", "42501"),
        ("COPY shaped FROM STDIN", "0A000"),
        ("COPY shaped (id) FROM STDIN", "0A000"),
        ("COPY pg_class FROM STDIN", "42501"),
        ("COPY lanyard_secured.v_x FROM STDIN", "42P01"),
        ("COPY ledger FROM '/etc/passwd'", "42501"),
        ("COPY ledger FROM PROGRAM 'id'", "42501"),
        ("COPY ledger FROM STDIN (FREEZE)", "42501"),
        ("COPY ledger FROM STDIN (ENCODING 'LATIN1')", "42501"),
        ("COPY ledger FROM STDIN WHERE pg_read_file('x') = ''", "42501"),
        ("COPY ledger FROM STDIN WHERE id IN (SELECT id FROM hidden)", "42P01"),
        ("SELECT 1; COPY hidden FROM STDIN", "42P01"),
        ("PREPARE p AS COPY ledger FROM STDIN", "42601"),
        ("EXPLAIN COPY ledger FROM STDIN", "42601"),
    ] {
        assert_eq!(state(&mut raw, sql).await?, format!("{code} ZI"), "{sql}");
        let extended = [parse("", sql, &[]), bind("", "", &[]), execute("", 0), sync()];
        if !sql.contains(';') {
            assert_eq!(exchange(&mut raw, &extended).await?, format!("{code} ZI"), "{sql}");
        }
    }
    // Errors of a copy speak of the client's table.
    let wrong = [query("COPY ledger (doubled) FROM STDIN"), data(b"1\n"), done()];
    raw.send_bytes(&wrong.concat()).await?;
    let said = format!("{:?}", raw.read_until(b'Z').await?.iter().map(|f| f.fields()).collect::<Vec<_>>());
    assert!(said.contains("42703") && said.contains("ledger") && !said.contains("v_"), "{said}");
    // The floor: the role may fill the view for copies, and there is nothing in it to read.
    let dba = governed.dba().await?;
    let open = "SELECT count(*) FROM information_schema.table_privileges WHERE table_schema = 'lanyard_secured'
                AND table_name LIKE '%copy' AND privilege_type NOT IN ('INSERT', 'SELECT') AND grantee LIKE 'lanyard_bundle%'";
    assert_eq!(dba.query_one(open, &[]).await?.get::<_, i64>(0), 0);
    let reads = "SELECT count(*) FROM pg_rewrite r JOIN pg_class v ON v.oid = r.ev_class AND v.relname LIKE 'v\\_%\\_copy'
                 JOIN pg_depend d ON d.objid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> v.oid";
    assert_eq!(dba.query_one(reads, &[]).await?.get::<_, i64>(0), 0, "a view for copies reads something");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_search_path_decides_what_a_bare_name_is() -> Outcome {
    let (governed, mut raw) = session().await?;
    let raw = &mut raw;
    let here = "SELECT word FROM here";
    assert_eq!(state(raw, here).await?, "42P01 ZI");
    state(raw, "SET search_path = a, b").await?;
    assert_eq!(answer(raw, here).await?, ["in a"]);
    assert_eq!(answer(raw, "SHOW search_path").await?, ["a, b"]);
    assert_eq!(answer(raw, "SELECT current_schema()").await?, ["a"]);
    assert_eq!(answer(raw, "SELECT pg_table_is_visible('b.here'::regclass)").await?, ["f"]);
    assert_eq!(answer(raw, "SET search_path = b; SELECT word FROM here").await?, ["in b"]);
    assert_eq!(
        answer(raw, "SELECT set_config('search_path', 'a', false); SELECT word FROM here").await?,
        ["a", "in a"]
    );
    assert_eq!(state(raw, "RESET ALL").await?, "C ZI");
    assert_eq!(state(raw, here).await?, "42P01 ZI");
    // Another session of the same person is not touched.
    state(raw, "SET search_path = a").await?;
    let mut other = governed.raw_session("harper").await?;
    assert_eq!(state(&mut other, here).await?, "42P01 ZI");
    // A prepared statement keeps its table, or says that it cannot.
    exchange(raw, &[parse("s", here, &[]), sync()]).await?;
    exchange(raw, &[parse("t", "SELECT word FROM a.here", &[]), sync()]).await?;
    state(raw, "PREPARE p AS SELECT word FROM here").await?;
    state(raw, "SET search_path = b").await?;
    assert_eq!(exchange(raw, &[bind("", "s", &[]), sync()]).await?, "0A000 ZI");
    assert_eq!(state(raw, "EXECUTE p").await?, "0A000 ZI");
    assert_eq!(exchange(raw, &[bind("", "t", &[]), execute("", 0), sync()]).await?, "2 D C ZI");
    state(raw, "SET search_path = c").await?;
    assert_eq!(exchange(raw, &[bind("", "s", &[]), sync()]).await?, "42P01 ZI");
    state(raw, "SET search_path = a, c").await?;
    assert_eq!(exchange(raw, &[bind("", "s", &[]), execute("", 0), sync()]).await?, "2 D C ZI");
    assert_eq!(answer(raw, "EXECUTE p").await?, ["in a"]);
    // Prepared behind a SET of the same message: under the path that it set.
    assert_eq!(state(raw, "SET search_path = b; PREPARE q AS SELECT word FROM here").await?, "C C ZI");
    assert_eq!(answer(raw, "EXECUTE q").await?, ["in b"]);
    state(raw, "SET search_path = a").await?;
    assert_eq!(state(raw, "EXECUTE q").await?, "0A000 ZI");
    state(raw, "SET search_path = b").await?;
    assert_eq!(answer(raw, "EXECUTE q").await?, ["in b"]);
    state(raw, "SET search_path = a").await?;
    // Sent in one go: each statement finds what those before it leave behind.
    let run = |sql: &str| [parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat();
    let messages =
        [run("SET search_path = b"), run(here), run("SET search_path = a"), run(here), sync(), query(here)];
    raw.send_bytes(&messages.concat()).await?;
    assert_eq!(column(&raw.read_until(b'Z').await?)?, ["in b", "in a"]);
    assert_eq!(column(&raw.read_until(b'Z').await?)?, ["in a"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_search_path_opens_nothing() -> Outcome {
    let (governed, mut raw) = session().await?;
    let raw = &mut raw;
    for (sql, code) in [
        ("SET search_path = pg_temp, public", "42501"),
        ("SELECT set_config('search_path', 'pg_temp, a', false)", "42501"),
        ("SELECT set_config('search_path', word, false) FROM ledger", "42501"),
        ("SELECT set_config('search_path', 'a', false) FROM ledger", "42501"),
        ("SET search_path = c; SELECT * FROM only_c", "42P01"),
        ("SET search_path = lanyard_secured; SELECT * FROM pg_class, here", "42P01"),
        ("SET search_path = lanyard; SELECT * FROM session_attribute", "42P01"),
        ("SET search_path = public; SELECT * FROM hidden", "42P01"),
        ("SET search_path = 7", "0A000"),
        ("SET search_path FROM CURRENT", "0A000"),
        ("SELECT set_config('search_path', 'a,,b', true)", "22023"),
        ("ALTER ROLE CURRENT_USER SET search_path = a", "42501"),
    ] {
        assert_eq!(state(raw, sql).await?, format!("{code} ZI"), "{sql}");
    }
    // What the client set is what it is shown, and nothing of ours.
    for (path, shown) in [
        ("c", "c"),
        ("a, lanyard_secured, pg_catalog", "a, lanyard_secured, pg_catalog"),
        ("public, pg_temp", "public, pg_temp"),
        ("''", "\"\""),
    ] {
        assert_eq!(state(raw, &format!("SET search_path = {path}")).await?, "C ZI");
        for how in ["SELECT current_setting('search_path')", "SHOW search_path"] {
            assert_eq!(answer(raw, how).await?, [shown], "{path}");
        }
    }
    // An unknown schema and a hidden one are told alike.
    for schema in ["c", "absent"] {
        state(raw, &format!("SET search_path = {schema}")).await?;
        assert_eq!(
            answer(raw, "SELECT current_schema() IS NULL, current_schemas(true)").await?,
            ["t"],
            "{schema}"
        );
        assert_eq!(answer(raw, "SHOW search_path").await?, [schema]);
    }
    drop(governed);
    Ok(())
}

/// Small numbers that look random and are the same each time (xorshift64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap_or(0)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

const STEPS: [&str; 34] = [
    "SET search_path = a",
    "SET search_path = b",
    "SET search_path = c, a",
    "SET search_path TO 'A b', \"$user\", public",
    "SET SCHEMA 'b'",
    "SET LOCAL search_path = a",
    "SET LOCAL search_path = b, absent",
    "SET LOCAL search_path TO DEFAULT",
    "SET search_path TO DEFAULT",
    "SET SESSION search_path = a, b",
    "RESET search_path",
    "RESET ALL",
    "SELECT set_config('search_path', 'b,  c', true)",
    "SELECT set_config('search_path', 'a', false)",
    "SELECT pg_catalog.set_config('search_path', '', false)",
    "BEGIN",
    "BEGIN",
    "START TRANSACTION",
    "COMMIT",
    "END",
    "COMMIT AND CHAIN",
    "ROLLBACK",
    "ABORT",
    "ROLLBACK AND CHAIN",
    "SAVEPOINT s",
    "SAVEPOINT s",
    "SAVEPOINT t",
    "RELEASE s",
    "RELEASE t",
    "ROLLBACK TO s",
    "ROLLBACK TO t",
    "SELECT 1/0",
    "DISCARD ALL",
    "SHOW search_path",
];

/// One message or pipeline of messages, and how many ReadyForQuery answer it.
pub(crate) fn message(dice: &mut Dice, from: &[&str]) -> (String, Vec<u8>, usize) {
    let steps: Vec<&str> = (0..1 + dice.roll(4)).map(|_| dice.pick(from)).collect();
    let text = steps.join("; ");
    match dice.roll(4) {
        0 => (format!("simple: {text}"), query(&text), 1),
        1 => {
            let one = |sql: &&str| [parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat();
            (
                format!("extended: {text}"),
                [steps.iter().map(one).collect::<Vec<_>>().concat(), sync()].concat(),
                1,
            )
        }
        // The next is sent before the last is answered.
        2 => (
            format!("queries: {text}"),
            steps.iter().map(|sql| query(sql)).collect::<Vec<_>>().concat(),
            steps.len(),
        ),
        _ => (format!("one: {}", steps[0]), query(steps[0]), 1),
    }
}

/// What a client can tell: rows, command tags, states, SQLSTATEs.
pub(crate) async fn told(raw: &mut Raw, bytes: &[u8], readies: usize) -> Outcome<Vec<String>> {
    raw.send_bytes(bytes).await?;
    let mut said = Vec::new();
    for _ in 0..readies {
        for frame in raw.read_until(b'Z').await? {
            match frame.tag {
                b'D' | b'C' | b'Z' => {
                    said.push(format!("{} {}", char::from(frame.tag), frame.body.escape_ascii()))
                }
                b'E' => said.push(frame.sqlstate().unwrap_or_default()),
                _ => {}
            }
        }
    }
    Ok(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_search_path_follows_transactions_as_postgresql_has_it() -> Outcome {
    let governed = environment().await?;
    let cluster = governed.cluster();
    let mut dice = Dice(0x5eed_1234_abcd);
    for _ in 0..60 {
        let mut proxied = governed.raw_session("harper").await?;
        let mut direct = Raw::connect(cluster.port()).await?;
        let parameters = [("user", cluster.superuser()), ("database", "shop"), ("search_path", "public")];
        direct.startup(PROTOCOL_3_0, &parameters).await?;
        direct.authenticate(cluster.password()).await?;
        direct.read_until(b'Z').await?;
        let mut script = Vec::new();
        for _ in 0..12 {
            let (text, bytes, readies) = message(&mut dice, &STEPS);
            script.push(text);
            let expected = told(&mut direct, &bytes, readies).await?;
            assert_eq!(told(&mut proxied, &bytes, readies).await?, expected, "{script:#?}");
            if expected.last().is_some_and(|last| last == "Z E") {
                continue;
            }
            // In a transaction a failure would end it.
            let guarded = if expected.last().is_some_and(|last| last == "Z T") {
                [
                    "SAVEPOINT guard",
                    "SELECT word FROM here",
                    "ROLLBACK TO guard",
                    "RELEASE guard",
                    "SHOW search_path",
                ]
            } else {
                ["SHOW search_path", "SELECT word FROM here", "SELECT 1", "SELECT 1", "SHOW search_path"]
            };
            for sql in guarded {
                let expected = told(&mut direct, &query(sql), 1).await?;
                assert_eq!(told(&mut proxied, &query(sql), 1).await?, expected, "{sql} after {script:#?}");
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn drivers_prepare_copy_and_set_their_path() -> Outcome {
    let governed = environment().await?;
    let printed = governed.python("harper", include_str!("../drivers/wire_.py")).await?;
    assert_eq!(printed.success()?.trim(), "done");
    let script = "PREPARE p(int) AS SELECT $1 * 2;\nEXECUTE p(21);\nDEALLOCATE p;\n\
        \\copy ledger (word, n) FROM STDIN\npsql one\t1\npsql two\t2\n\\.\n\
        COPY ledger (word) FROM STDIN WITH CSV;\n\"psql, three\"\n\\.\n\
        SELECT word, n FROM ledger WHERE word LIKE 'psql%' ORDER BY 1;\n\
        SET search_path TO b;\nSELECT word FROM here;\nSHOW search_path;\n\
        BEGIN;\nDECLARE h CURSOR WITH HOLD FOR SELECT word FROM here;\nCOMMIT;\nFETCH ALL h;\n";
    let out = governed.psql("harper", script).await?.success()?;
    let expected = "PREPARE\n42\nDEALLOCATE\nCOPY 2\nCOPY 1\npsql one|1\npsql two|2\npsql, three|7\nSET\nin b\nb\n\
        BEGIN\nDECLARE CURSOR\nCOMMIT\nin b\n";
    let sorted =
        expected.replace("psql one|1\npsql two|2\npsql, three|7", "psql, three|7\npsql one|1\npsql two|2");
    assert!(out == expected || out == sorted, "{out}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_are_refused_and_timeouts_are_taken() -> Outcome {
    let (governed, mut raw) = session().await?;
    for sql in
        ["LISTEN ch", "NOTIFY ch", "NOTIFY ch, 'x'", "SELECT 1; LISTEN ch", "SELECT pg_notify('ch', 'x')"]
    {
        let frames = raw.query(sql).await?;
        assert_eq!(summary(&frames), "42501 ZI", "{sql}");
    }
    let said = raw.query("LISTEN ch").await?.first().map(|f| f.fields()).unwrap_or_default();
    assert!(said.get(&'H').is_some_and(|hint| hint.contains("allow channel \"ch\"")), "{said:?}");
    assert_eq!(state(&mut raw, "UNLISTEN *").await?, "C ZI");
    // As node-postgres asks for it: a parameter of the startup packet.
    for (value, shown) in [("1234", "1234ms"), ("5s", "5s")] {
        let mut timed = governed.raw().await?;
        let parameters = [("user", "harper"), ("database", "shop"), ("statement_timeout", value)];
        timed.startup(PROTOCOL_3_0, &parameters).await?;
        timed.authenticate(governed.key("harper")?).await?;
        timed.read_until(b'Z').await?;
        assert_eq!(answer(&mut timed, "SHOW statement_timeout").await?, [shown]);
        state(&mut timed, "SET statement_timeout = 50").await?;
        assert_eq!(state(&mut timed, "SELECT pg_sleep(30)").await?, "T 57014 ZI");
        state(&mut timed, "RESET ALL").await?;
        assert_eq!(answer(&mut timed, "SHOW statement_timeout").await?, [shown]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_says_which_table_it_is_about_where_that_is_in_sight() -> Outcome {
    let (_governed, mut raw) = session().await?;
    let about = async |raw: &mut Raw, sql: &str| -> Outcome<(Option<String>, Option<String>)> {
        let frames = raw.query(sql).await?;
        let mut fields = frames.iter().find(|f| f.tag == b'E').ok_or("no error")?.fields();
        Ok((fields.remove(&'s'), fields.remove(&'t')))
    };
    let ledger = (Some("public".to_owned()), Some("ledger".to_owned()));
    assert_eq!(about(&mut raw, "INSERT INTO ledger (word, n) VALUES ('w', 5000)").await?, ledger);
    assert_eq!(about(&mut raw, "INSERT INTO ledger (word) VALUES (NULL)").await?, ledger);
    for sql in
        ["SELECT * FROM hidden", "SELECT 1/0", "SELECT nothing FROM ledger", "INSERT INTO hidden VALUES (1)"]
    {
        assert_eq!(about(&mut raw, sql).await?, (None, None), "{sql}");
    }
    Ok(())
}

/// The timer of the proxy's end of a connection, as the kernel shows it: `02` is keep-alive.
fn timer(proxy: u16, client: u16) -> Outcome<Option<String>> {
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let port = |address: &str| address.rsplit(':').next().and_then(|p| u16::from_str_radix(p, 16).ok());
    let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|columns| {
        let ends = (columns.get(1).and_then(|a| port(a)), columns.get(2).and_then(|a| port(a)));
        ends == (Some(proxy), Some(client))
    });
    Ok(row.and_then(|columns| columns.get(5)?.split(':').next().map(str::to_owned)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kernel_asks_after_silent_clients() -> Outcome {
    let (governed, mut raw) = session().await?;
    let port = raw.local_port()?;
    until("keep-alive is on", async || {
        Ok((timer(governed.setting().port, port)?.as_deref() == Some("02")).then_some(()))
    })
    .await?;
    assert_eq!(answer(&mut raw, "SELECT 'here'").await?, ["here"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_keep_nobody_waiting_and_leave_nothing() -> Outcome {
    let governed = Governed::start().await?;
    let mut slow = Vec::new();
    for _ in 0..4 {
        // It asks for much and reads nothing.
        let mut reader = governed.raw_session("harper").await?;
        reader.send_bytes(&query("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)")).await?;
        slow.push(reader);
        // It has begun a message and does not end it.
        let mut writer = governed.raw_session("harper").await?;
        writer.send_bytes(&frame_of_length(b'Q', 1000, b"SELECT")).await?;
        slow.push(writer);
    }
    let mut brisk = governed.raw_session("harper").await?;
    for number in 0..50 {
        let sql = format!("SELECT {number}");
        assert_eq!(answer(&mut brisk, &sql).await?, [number.to_string()]);
    }
    let bytes = query("SELECT 'byte by byte'");
    let mut typist = governed.raw_session("harper").await?;
    for byte in bytes {
        typist.send_bytes(&[byte]).await?;
        assert_eq!(answer(&mut brisk, "SELECT 1").await?, ["1"]);
    }
    assert_eq!(column(&typist.read_until(b'Z').await?)?, ["byte by byte"]);
    drop((slow, brisk, typist));
    until("all roles are gone", async || Ok(governed.vended_roles().await?.is_empty().then_some(()))).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warehouse_that_falls_takes_its_sessions_and_nothing_else() -> Outcome {
    let governed = Governed::start().await?;
    let mut idle = governed.raw_session("harper").await?;
    let mut busy = governed.raw_session("harper").await?;
    let mut copying = governed.raw_session("harper").await?;
    busy.send_bytes(&query("SELECT pg_sleep(60)")).await?;
    copying.send_bytes(&query("BEGIN; DECLARE c CURSOR FOR SELECT 1")).await?;
    copying.read_until(b'Z').await?;
    let dba = governed.dba().await?;
    let pid: i32 = dba.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
    // A backend killed so makes the server end all of them and recover.
    let killed = tokio::process::Command::new("kill").args(["-9", &pid.to_string()]).status().await?;
    assert!(killed.success());
    for raw in [&mut idle, &mut busy, &mut copying] {
        let last = raw.read_until(b'E').await?;
        let state = last.last().and_then(|f| f.sqlstate()).unwrap_or_default();
        assert!(matches!(state.as_str(), "57P02" | "08006" | "57P01"), "{state}");
        assert!(raw.closed().await?);
    }
    // Others are served as soon as the warehouse is back, and what the fallen sessions had is taken away.
    let back = async || match governed.raw_session("harper").await {
        Ok(raw) => Ok(Some(raw)),
        Err(error) if error.to_string().starts_with("08006") => Ok(None),
        Err(error) => Err(error),
    };
    let mut again = until("the warehouse is back", back).await?;
    assert_eq!(answer(&mut again, "SELECT count(*) FROM customer_orders").await?, ["5"]);
    drop(again);
    until("all roles are gone", async || Ok(governed.vended_roles().await?.is_empty().then_some(()))).await?;
    let unfinished = governed.audit()?;
    let sleeping = unfinished.iter().find(|l| l["statement"] == "SELECT pg_sleep(60)").ok_or("no record")?;
    let outcome = unfinished.iter().find(|l| l["event"] == "outcome" && l["ruling"] == sleeping["ruling"]);
    assert!(outcome.is_some_and(|o| o["status"] != "ok"), "{outcome:?}");
    Ok(())
}
