//! What drivers and other projects' suites need of the protocol beyond statements: timeouts, fields of errors, slow and
//! silent clients, a warehouse that falls.

use std::sync::{Arc, Weak};

use crate::messages::{answer, column, query, state, summary};
use lanyard::demo::governance;
use lanyard::demo::setting::SettingOptions;
use lanyard_tests::raw::{PROTOCOL_3_0, frame_of_length};
use lanyard_tests::wait::until;
use lanyard_tests::{Governed, GovernedOptions, Outcome, Raw};
use tokio::sync::Mutex;

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
