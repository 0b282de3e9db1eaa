//! The promises that must hold whatever happens: no role outlives its session, no statement runs without its record, the
//! warehouse's own log says who, and one broken client costs the others nothing.

use std::collections::BTreeSet;

use lanyard_tests::raw::frame_of_length;
use lanyard_tests::wait::until;
use lanyard_tests::{Governed, Outcome};
use serde_json::Value;

const LOGIN: &str = "marketing-agent~taylor";

fn text<'a>(line: &'a Value, field: &str) -> &'a str {
    line.get(field).and_then(Value::as_str).unwrap_or_default()
}

async fn roles_are_gone(governed: &Governed) -> Outcome {
    until("the vended roles are gone", async || Ok(governed.vended_roles().await?.is_empty().then_some(())))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_lives_as_long_as_its_session() -> Outcome {
    let governed = Governed::start().await?;
    let client = governed.connect(LOGIN).await?;
    let roles = governed.vended_roles().await?;
    assert_eq!(roles.len(), 1, "{roles:?}");
    assert!(roles[0].starts_with("LANYARD_VENDED_5_1_"), "agent 5 for user 1: {roles:?}");
    let row = client.query_one("SELECT session_user::text", &[]).await?;
    assert_eq!(row.get::<_, String>(0), roles[0]);
    drop(client);
    roles_are_gone(&governed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_could_not_be_dropped_is_dropped_when_it_can_be() -> Outcome {
    let governed = Governed::start().await?;
    let client = governed.connect(LOGIN).await?;
    let dba = governed.dba().await?;
    dba.batch_execute("ALTER FUNCTION lanyard.end_lease(text) RENAME TO end_lease_away").await?;
    drop(client);
    // The tries that a stop waits for are over, and have failed.
    let reported = async || {
        let log = governed.proxy_log().await;
        Ok(log.contains("a vended role is still there").then_some(()))
    };
    until("the failure is reported", reported).await?;
    assert_eq!(governed.vended_roles().await?.len(), 1);
    dba.batch_execute("ALTER FUNCTION lanyard.end_lease_away(text) RENAME TO end_lease").await?;
    roles_are_gone(&governed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_nine_leaves_a_role_that_the_next_start_removes_and_a_record() -> Outcome {
    let governed = Governed::start().await?;
    let client = governed.connect(LOGIN).await?;
    let in_flight = "SELECT pg_sleep(600), 'in flight'";
    let running = tokio::spawn(async move { client.simple_query(in_flight).await.map(|_| ()) });
    let dba = governed.dba().await?;
    until("the statement runs", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%in flight%' AND pid <> pg_backend_pid() AND state = 'active'";
        Ok((dba.query_one(sql, &[]).await?.get::<_, i64>(0) == 1).then_some(()))
    })
    .await?;
    governed.kill_proxy().await?;
    assert!(running.await?.is_err());
    assert_eq!(governed.vended_roles().await?.len(), 1, "kill -9 cannot clean up");
    let attempts = |lines: &[Value]| -> Vec<Value> {
        lines.iter().filter(|l| text(l, "statement") == in_flight).cloned().collect()
    };
    let attempt = attempts(&governed.audit()?);
    assert_eq!(attempt.len(), 1, "the attempt was on file before the statement was sent");
    let ruling = text(&attempt[0], "ruling").to_owned();
    let outcome = |lines: &[Value]| -> Option<String> {
        let found = lines.iter().find(|l| text(l, "event") == "outcome" && text(l, "ruling") == ruling)?;
        Some(text(found, "status").to_owned())
    };
    assert_eq!(outcome(&governed.audit()?), None);

    governed.start_proxy().await?;
    roles_are_gone(&governed).await?;
    assert_eq!(outcome(&governed.audit()?).as_deref(), Some("unknown"));
    let backends = "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'LANYARD_VENDED%'";
    assert_eq!(
        dba.query_one(backends, &[]).await?.get::<_, i64>(0),
        0,
        "the statement was ended with its role"
    );
    governed.connect(LOGIN).await?.simple_query("SELECT 1").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_warehouse_logs_the_role_and_the_stamp_of_every_statement() -> Outcome {
    let governed = Governed::start().await?;
    let client = governed.connect(LOGIN).await?;
    let role = governed.vended_roles().await?.remove(0);
    client.simple_query("SELECT 'simple one'; SELECT 'simple two'").await?;
    client.simple_query("/* lanyard_user='root' */ SELECT 'forged'").await?;
    client.query("SELECT 'extended' || $1::text", &[&"x"]).await?;
    client.simple_query("BEGIN; SELECT count(*) FROM customer_orders; COMMIT").await?;
    drop(client);
    roles_are_gone(&governed).await?;
    let log = governed.server_log()?;
    let statements: Vec<&str> = log
        .lines()
        .filter(|l| l.contains(&role) && (l.contains("statement: ") || l.contains("execute ")))
        .collect();
    assert!(statements.len() >= 4, "{statements:?}");
    let session = role.rsplit('_').next().unwrap_or_default();
    let stamp =
        format!("/*lanyard_agent='marketing-agent',lanyard_session='{session}',lanyard_user='taylor'*/");
    for line in &statements {
        assert!(line.contains(&stamp), "no stamp: {line}");
        assert!(!line.contains("root"), "a client's comment went through: {line}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_that_ran_is_on_record_and_refusals_are_too() -> Outcome {
    let governed = Governed::start().await?;
    let client = governed.connect(LOGIN).await?;
    client.simple_query("SELECT lastname FROM customer_orders").await?;
    let refused = client.simple_query("SELECT * FROM payroll").await;
    assert!(refused.is_err());
    client.query("SELECT $1::int", &[&1i32]).await?;
    drop(client);
    roles_are_gone(&governed).await?;
    let lines = until("the records are complete", async || {
        let lines = governed.audit()?;
        let open: BTreeSet<&str> = lines
            .iter()
            .filter(|l| text(l, "event") == "attempt" && text(l, "disposition") != "refused")
            .map(|l| text(l, "ruling"))
            .collect();
        let closed: BTreeSet<&str> =
            lines.iter().filter(|l| text(l, "event") == "outcome").map(|l| text(l, "ruling")).collect();
        Ok(open.is_subset(&closed).then(|| lines.clone()))
    })
    .await?;
    let find = |statement: &str| lines.iter().find(|l| text(l, "statement") == statement);
    let masked = find("SELECT lastname FROM customer_orders").ok_or("no record of the masked statement")?;
    assert_eq!(text(masked, "disposition"), "masked");
    assert_eq!((text(masked, "agent"), text(masked, "user")), ("marketing-agent", "taylor"));
    assert!(text(masked, "sent").contains("lanyard_secured"));
    assert!(masked["objects"][0]["masks"][0].as_str().is_some_and(|m| m.contains("hide_pii")), "{masked}");
    let no = find("SELECT * FROM payroll").ok_or("no record of the refusal")?;
    assert_eq!((text(no, "disposition"), text(no, "sqlstate")), ("refused", "42P01"));
    assert!(no.get("sent").is_none());
    assert!(find("SELECT $1::int").is_some());
    assert!(lines.iter().all(|l| !l.to_string().contains("Nguyen")), "rows are never on record");
    Ok(())
}

/// The SQLSTATE with which a raw connection ends or answers.
async fn answer(governed: &Governed, bytes: &[u8]) -> Outcome<String> {
    let mut raw = governed.raw_session(LOGIN).await?;
    raw.send_bytes(bytes).await?;
    let frames = raw.read_until(b'E').await?;
    frames.last().and_then(lanyard_tests::Frame::sqlstate).ok_or_else(|| "an error without SQLSTATE".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_input_gets_the_named_error_and_others_are_served() -> Outcome {
    let governed = Governed::shared().await?;
    let bystander = governed.connect("harper").await?;
    for (bytes, sqlstate) in [
        (frame_of_length(b'Q', 3, b""), "08P01"),
        (frame_of_length(b'Q', 0, b""), "08P01"),
        (frame_of_length(b'Q', 1 << 30, b"SELECT 1"), "08P01"),
        (lanyard_tests::raw::frame(b'Q', b"SELECT 1"), "08P01"),
        (lanyard_tests::raw::frame(b'Q', b"SELECT 1\0SELECT 2\0"), "08P01"),
        (lanyard_tests::raw::frame(b'Q', b"SELECT '\xff'\0"), "22021"),
        (lanyard_tests::raw::frame(b'Q', b"SELEC 1\0"), "42601"),
        (lanyard_tests::raw::frame(b'Q', b"SELECT 'unterminated\0"), "42601"),
        (lanyard_tests::raw::frame(b'F', b"\0\0\0\x01\0\0\0\0\0\0"), "0A000"),
        (lanyard_tests::raw::frame(b'z', b""), "08P01"),
        (lanyard_tests::raw::frame(b'p', b"secret\0"), "08P01"),
        (lanyard_tests::raw::frame(b'P', b"s\0SELECT 1\0\0\x09"), "08P01"),
    ] {
        assert_eq!(answer(&governed, &bytes).await?, sqlstate, "{:?}", bytes.get(..20.min(bytes.len())));
        bystander.simple_query("SELECT 1").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_that_cannot_be_are_refused_by_name() -> Outcome {
    let governed = Governed::shared().await?;
    let key = governed.key("marketing-agent")?;
    for (login, with, sqlstate) in [
        ("marketing-agent~nobody", key, "28000"),
        ("marketing-agent~taylor", "lyk_wrong", "28P01"),
        ("marketing-agent", "", "28P01"),
        ("nobody", key, "28P01"),
        ("taylor", key, "28P01"),
        ("ghost-agent~taylor", key, "28P01"),
        ("marketing-agent~taylor~harper", key, "28000"),
        ("LANYARD_VENDED_1_1_00000000000000000000000000000000", key, "28000"),
    ] {
        let refused =
            governed.connect_with(login, with).await.err().ok_or_else(|| format!("{login} was let in"))?;
        let state = refused.code().map(|c| c.code().to_owned());
        assert_eq!(state.as_deref(), Some(sqlstate), "{login}: {refused}");
    }
    for (name, value, sqlstate) in [
        ("options", "-c role=lanyard_owner", "42501"),
        ("options", "-c session_replication_role=replica", "42501"),
        ("options", "-c lanyard.user=harper", "28000"),
        ("options", "-c lanyard.lease_seconds=0", "42601"),
        ("options", "garbage", "42601"),
        ("replication", "database", "0A000"),
        ("client_encoding", "GBK", "42501"),
        ("made_up_setting", "1", "42501"),
    ] {
        let mut raw = governed.raw().await?;
        raw.startup(196_608, &[("user", LOGIN), ("database", "shop"), (name, value)]).await?;
        let frame = raw.read().await?;
        assert_eq!(frame.sqlstate().as_deref(), Some(sqlstate), "{name}={value}");
    }
    let mut raw = governed.raw().await?;
    raw.startup(196_608, &[("user", LOGIN), ("database", "nowhere")]).await?;
    assert_eq!(raw.read().await?.sqlstate().as_deref(), Some("3D000"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_over_ends_the_session_in_the_middle_of_a_statement() -> Outcome {
    let governed = Governed::start().await?;
    let mut raw = governed.raw().await?;
    let options = [("user", LOGIN), ("database", "shop"), ("options", "-c lanyard.lease_seconds=1")];
    raw.startup(196_608, &options).await?;
    raw.authenticate(governed.key(LOGIN)?).await?;
    raw.send(b'Q', b"SELECT pg_sleep(600)\0").await?;
    let frames = raw.read_until(b'E').await?;
    let fields = frames.last().map(lanyard_tests::Frame::fields).unwrap_or_default();
    assert_eq!(fields.get(&'C').map(String::as_str), Some("57P01"), "{fields:?}");
    assert!(fields.get(&'M').is_some_and(|m| m.contains("lease")), "{fields:?}");
    assert!(raw.closed().await?);
    roles_are_gone(&governed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_policy_reaches_live_sessions() -> Outcome {
    let governed = Governed::start().await?;
    let client = governed.connect("harper").await?;
    client.simple_query("SELECT lastname FROM customer_orders").await?;
    let file = governed.setting().governance.join("sample.policy");
    let policies = std::fs::read_to_string(&file)?;
    let narrowed =
        policies.replace("to users in group marketing, analysts, hr", "to users in group marketing");
    assert_ne!(policies, narrowed);
    std::fs::write(&file, &narrowed)?;
    until("the session is ended", async || Ok(client.simple_query("SELECT 1").await.is_err().then_some(())))
        .await?;
    let again = governed.connect("harper").await?;
    let refused =
        again.simple_query("SELECT lastname FROM customer_orders").await.err().ok_or("still visible")?;
    assert_eq!(refused.code().map(|c| c.code()), Some("42P01"));

    // A policy that does not compile changes nothing, and the log says so.
    std::fs::write(&file, format!("{narrowed}\npolicy broken\n  mask columns tagged NoSuchTag with null\n"))?;
    until("the log tells", async || Ok(governed.proxy_log().await.contains("NoSuchTag").then_some(())))
        .await?;
    again.simple_query("SELECT 1").await?;
    governed.connect("harper").await?.simple_query("SELECT 1").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_ends_sessions_and_their_roles() -> Outcome {
    let governed = Governed::start().await?;
    let client = governed.connect(LOGIN).await?;
    client.simple_query("SELECT 1").await?;
    let status = governed.stop_proxy().await?;
    assert!(status.is_some_and(|s| s.success()), "{status:?}");
    assert!(governed.vended_roles().await?.is_empty(), "the stop waits for roles");
    assert!(client.simple_query("SELECT 1").await.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_answer() -> Outcome {
    let governed = Governed::shared().await?;
    governed.connect(LOGIN).await?.simple_query("SELECT 1").await?;
    assert!(governed.http("/healthz").await?.starts_with("HTTP/1.1 200"));
    assert!(governed.http("/readyz").await?.starts_with("HTTP/1.1 200"));
    let metrics = governed.http("/metrics").await?;
    for name in ["lanyard_sessions", "lanyard_statements_total", "lanyard_vend_seconds"] {
        assert!(metrics.contains(name), "{name}");
    }
    assert!(!metrics.contains("taylor"), "labels are enums");
    Ok(())
}
