//! A silent session gives its backend back and gets another for its next statement: nobody notices, nothing of the session's
//! own is lost, and what may end it still does.

use lanyard::demo::setting::SettingOptions;
use lanyard_tests::raw::Raw;
use lanyard_tests::wait::until;
use lanyard_tests::{Governed, GovernedOptions, Outcome};
use tokio_postgres::Client;

const LOGIN: &str = "marketing-agent~taylor";
const BACKENDS: &str = "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'LANYARD_VENDED%'";

async fn eager() -> Outcome<Governed> {
    let lines = [("session", "detach_seconds = 1")];
    let setting = SettingOptions { lines: &lines, ..SettingOptions::default() };
    Governed::start_with(&GovernedOptions { setting, ..GovernedOptions::default() }).await
}

async fn backends(dba: &Client) -> Outcome<i64> {
    Ok(dba.query_one(BACKENDS, &[]).await?.get(0))
}

async fn detached(dba: &Client) -> Outcome {
    until("no session has a backend", async || Ok((backends(dba).await? == 0).then_some(()))).await
}

/// A session that detaches is made after one that must not: when the second has detached, the first had the time to.
async fn others_had_the_time_to(governed: &Governed, dba: &Client, keep: i64) -> Outcome {
    let idle = governed.connect(LOGIN).await?;
    idle.simple_query("SELECT 1").await?;
    assert_eq!(backends(dba).await?, keep + 1);
    until("the younger session detached", async || Ok((backends(dba).await? <= keep).then_some(()))).await?;
    assert_eq!(backends(dba).await?, keep, "only the younger one");
    idle.simple_query("SELECT 1").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_session_lets_its_backend_go_and_goes_on_as_the_same_role() -> Outcome {
    let governed = eager().await?;
    let dba = governed.dba().await?;
    let client = governed.connect(LOGIN).await?;
    let who = "SELECT session_user::text, pg_backend_pid()";
    let before = client.query_one(who, &[]).await?;
    detached(&dba).await?;
    let roles = governed.vended_roles().await?;
    assert_eq!(roles, [before.get::<_, String>(0)], "the lease stays");
    assert!(governed.http("/metrics").await?.contains("\nlanyard_sessions_detached 1\n"));
    // A cancel has nothing to end.
    client.cancel_token().cancel_query(tokio_postgres::NoTls).await?;
    let shown = client.simple_query("SELECT lastname FROM customer_orders").await?;
    assert!(shown.len() > 2, "{shown:?}");
    assert_eq!(governed.vended_roles().await?, roles);
    assert!(governed.http("/metrics").await?.contains("\nlanyard_sessions_detached 0\n"));
    let after = client.query_one(who, &[]).await?;
    assert_eq!(after.get::<_, String>(0), roles[0]);
    assert_ne!(after.get::<_, i32>(1), before.get::<_, i32>(1));
    drop(client);
    until("the role is gone", async || Ok(governed.vended_roles().await?.is_empty().then_some(()))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_with_something_of_its_own_keeps_its_backend() -> Outcome {
    let governed = eager().await?;
    let dba = governed.dba().await?;
    for (own, then, expected) in [
        ("BEGIN", "SELECT 1; COMMIT", "1"),
        ("SET timezone = 'Asia/Tokyo'", "SHOW timezone", "Asia/Tokyo"),
        ("SELECT set_config('jit', 'off', false)", "SHOW jit", "off"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 7", "FETCH c", "7"),
        ("PREPARE p AS SELECT 8", "EXECUTE p", "8"),
        ("SET search_path = retail", "SHOW search_path", "retail"),
        // Two messages sent at once: what comes behind is not what was discarded.
        ("DISCARD ALL\0SET timezone = 'Asia/Tokyo'", "SHOW timezone", "Asia/Tokyo"),
    ] {
        let mut raw = governed.raw_session(LOGIN).await?;
        let messages: Vec<&str> = own.split('\0').collect();
        for message in &messages {
            raw.send(b'Q', format!("{message}\0").as_bytes()).await?;
        }
        for _ in &messages {
            raw.read_until(b'Z').await?;
        }
        others_had_the_time_to(&governed, &dba, 1).await?;
        let frames = raw.query(then).await?;
        let row = frames.iter().find(|f| f.tag == b'D').ok_or(format!("{own}: {frames:?}"))?;
        assert_eq!(row.row()?, [Some(expected.to_owned())], "{own}");
        drop(raw);
        until("it ended", async || Ok((backends(&dba).await? == 0).then_some(()))).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn discard_all_lets_it_go_and_prepared_statements_are_there_again() -> Outcome {
    let governed = eager().await?;
    let dba = governed.dba().await?;
    let client = governed.connect(LOGIN).await?;
    let masked = client.prepare("SELECT lastname FROM customer_orders LIMIT $1").await?;
    client.simple_query("SET timezone = 'Asia/Tokyo'").await?;
    others_had_the_time_to(&governed, &dba, 1).await?;
    client.simple_query("DISCARD ALL").await?;
    assert_eq!(
        client
            .query(&masked, &[&1_i64])
            .await
            .err()
            .and_then(|e| e.code().cloned())
            .map(|c| c.code().to_owned()),
        Some("26000".to_owned())
    );
    let masked = client.prepare("SELECT lastname FROM customer_orders LIMIT $1").await?;
    let five = client.prepare("SELECT 5").await?;
    for _ in 0..2 {
        detached(&dba).await?;
        let (a, b) = tokio::join!(client.query(&masked, &[&1_i64]), client.query_one(&five, &[]));
        assert_eq!(a?[0].get::<_, String>(0), "REDACTED");
        assert_eq!(b?.get::<_, i32>(0), 5);
    }
    // By name in SQL: as psqlODBC frees what it prepared by the protocol.
    let mut raw = governed.raw_session(LOGIN).await?;
    raw.send(b'P', b"mine\0SELECT 9\0\0\0").await?;
    raw.send(b'S', b"").await?;
    raw.read_until(b'Z').await?;
    detached(&dba).await?;
    let tags: Vec<u8> = raw.query("EXECUTE mine; DEALLOCATE mine").await?.iter().map(|f| f.tag).collect();
    assert_eq!(tags, *b"TDCCZ");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_cannot_be_prepared_again_says_so_and_costs_nothing_else() -> Outcome {
    let governed = eager().await?;
    let dba = governed.dba().await?;
    let client = governed.connect("harper").await?;
    let five = client.prepare("SELECT 5").await?;
    let gone = client.prepare("SELECT order_total FROM customer_orders").await?;
    detached(&dba).await?;
    // What a DBA may do while nobody is connected; the views are made again when somebody stumbles over it.
    let views = "SELECT format('DROP VIEW %I.%I CASCADE', schemaname, viewname) FROM pg_views WHERE schemaname = 'lanyard_secured' AND definition LIKE '%order_total%'";
    let drops = dba.query(views, &[]).await?;
    assert!(!drops.is_empty());
    for row in drops {
        dba.batch_execute(row.get(0)).await?;
    }
    let refused = client.query(&gone, &[]).await.err().and_then(|e| e.code().map(|c| c.code().to_owned()));
    assert_eq!(refused.as_deref(), Some("26000"));
    until("the view is there again", async || {
        Ok(client.query("SELECT order_total FROM customer_orders", &[]).await.ok())
    })
    .await?;
    assert_eq!(client.query_one(&five, &[]).await?.get::<_, i32>(0), 5);
    Ok(())
}

async fn unnamed(raw: &mut Raw, text: &str) -> Outcome {
    raw.send(b'P', format!("\0{text}\0\0\0").as_bytes()).await?;
    raw.send(b'S', b"").await?;
    raw.read_until(b'Z').await?;
    Ok(())
}

async fn bind_and_execute(raw: &mut Raw) -> Outcome<Vec<char>> {
    raw.send(b'B', b"\0\0\0\0\0\0\0\0").await?;
    raw.send(b'E', b"\0\0\0\0\0").await?;
    raw.send(b'S', b"").await?;
    Ok(raw.read_until(b'Z').await?.iter().map(|f| char::from(f.tag)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unnamed_statement_is_there_again() -> Outcome {
    let governed = eager().await?;
    let dba = governed.dba().await?;
    let mut raw = governed.raw_session(LOGIN).await?;
    unnamed(&mut raw, "SELECT 5").await?;
    for _ in 0..2 {
        detached(&dba).await?;
        assert_eq!(bind_and_execute(&mut raw).await?, ['2', 'D', 'C', 'Z']);
        assert_eq!(bind_and_execute(&mut raw).await?, ['2', 'D', 'C', 'Z']);
    }
    // Described first; then in a pipeline whose beginning fails, which leaves it where it was.
    detached(&dba).await?;
    raw.send(b'D', b"S\0").await?;
    raw.send(b'S', b"").await?;
    let tags: Vec<u8> = raw.read_until(b'Z').await?.iter().map(|f| f.tag).collect();
    assert_eq!(tags, *b"tTZ");
    detached(&dba).await?;
    raw.send(b'P', b"bad\0SELEC\0\0\0").await?;
    assert_eq!(bind_and_execute(&mut raw).await?, ['E', 'Z']);
    assert_eq!(bind_and_execute(&mut raw).await?, ['2', 'D', 'C', 'Z']);
    // Replaced by another.
    detached(&dba).await?;
    unnamed(&mut raw, "SELECT 6 WHERE false").await?;
    assert_eq!(bind_and_execute(&mut raw).await?, ['2', 'C', 'Z']);
    // Gone with a simple Query, and not made up again.
    raw.query("SELECT 1").await?;
    detached(&dba).await?;
    assert_eq!(bind_and_execute(&mut raw).await?, ['E', 'Z']);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_a_session_ends_one_without_a_backend() -> Outcome {
    let governed = eager().await?;
    let dba = governed.dba().await?;
    // The end of its lease.
    let mut raw = governed.raw().await?;
    let options = [("user", LOGIN), ("database", "shop"), ("options", "-c lanyard.lease_seconds=3")];
    raw.startup(196_608, &options).await?;
    raw.authenticate(governed.key(LOGIN)?).await?;
    raw.read_until(b'Z').await?;
    detached(&dba).await?;
    let told = raw.read_until(b'E').await?;
    assert_eq!(told.last().and_then(lanyard_tests::Frame::sqlstate).as_deref(), Some("57P01"));
    assert!(raw.closed().await?);

    // A change of what it may see.
    let mut raw = governed.raw_session("harper").await?;
    detached(&dba).await?;
    let file = governed.setting().governance.join("sample.policy");
    let policies = std::fs::read_to_string(&file)?;
    std::fs::write(
        &file,
        policies.replace("to users in group marketing, analysts, hr", "to users in group marketing"),
    )?;
    let told = raw.read_until(b'E').await?;
    assert_eq!(told.last().and_then(lanyard_tests::Frame::sqlstate).as_deref(), Some("57P01"));
    assert!(raw.closed().await?);

    // Its own goodbye, for which nobody logs in.
    let mut raw = governed.raw_session(LOGIN).await?;
    detached(&dba).await?;
    let logins = governed.server_log()?.matches("connection authorized").count();
    raw.send(b'X', b"").await?;
    assert!(raw.closed().await?);
    until("all roles are gone", async || Ok(governed.vended_roles().await?.is_empty().then_some(()))).await?;
    assert_eq!(governed.server_log()?.matches("connection authorized").count(), logins);
    assert!(governed.http("/metrics").await?.contains("\nlanyard_sessions_detached 0\n"));
    Ok(())
}
