//! The clocks of a login: who proves nothing in time, and a warehouse that lets nobody in.

use std::collections::VecDeque;

use lanyard::demo::setting::SettingOptions;
use lanyard_tests::raw::{PROTOCOL_3_0, Raw};
use lanyard_tests::wait::until;
use lanyard_tests::{Governed, GovernedOptions, Outcome};

const LOGIN: &str = "marketing-agent~taylor";

async fn hasty() -> Outcome<Governed> {
    let setting = SettingOptions { lines: &[("session", "login_seconds = 1")], ..SettingOptions::default() };
    Governed::start_with(&GovernedOptions { setting, ..GovernedOptions::default() }).await
}

/// SQLSTATEs of the logins on record that were refused.
fn refused(governed: &Governed) -> Outcome<Vec<String>> {
    let lines = governed.audit()?;
    let logins = lines.iter().filter(|line| line["operation"] == "LOGIN" && line["disposition"] == "refused");
    Ok(logins.filter_map(|line| Some(line["sqlstate"].as_str()?.to_owned())).collect())
}

async fn log_in(governed: &Governed) -> Outcome<Raw> {
    governed.raw_session(LOGIN).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_proves_nothing_in_time_is_sent_away() -> Outcome {
    let governed = hasty().await?;
    let mut silent = governed.raw().await?;
    let mut half = governed.raw().await?;
    half.send_bytes(b"\0\0\0\x20\0\x03").await?;
    assert!(silent.closed().await?);
    assert!(half.closed().await?);
    assert!(refused(&governed)?.is_empty(), "nobody was named");

    let mut undecided = governed.raw().await?;
    undecided.startup(PROTOCOL_3_0, &[("user", LOGIN), ("database", "shop")]).await?;
    let frames = undecided.read_until(b'E').await?;
    let fields = frames.last().map(lanyard_tests::Frame::fields).unwrap_or_default();
    assert_eq!(fields.get(&'C').map(String::as_str), Some("28P01"), "{fields:?}");
    assert!(undecided.closed().await?);
    until("it is on record", async || Ok((refused(&governed)? == ["28P01"]).then_some(()))).await?;
    log_in(&governed).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warehouse_that_lets_nobody_in_is_told_of_and_leaves_nothing() -> Outcome {
    let governed = hasty().await?;
    let dba = governed.dba().await?;
    dba.batch_execute("BEGIN; LOCK TABLE pg_catalog.pg_authid IN ACCESS EXCLUSIVE MODE").await?;
    for _ in 0..3 {
        let error = log_in(&governed).await.err().ok_or("let in")?.to_string();
        assert!(error.starts_with("08006"), "{error}");
        assert!(error.contains("within 1 s"), "{error}");
    }
    dba.batch_execute("ROLLBACK").await?;
    assert_eq!(refused(&governed)?, ["08006"; 3]);
    until("there is one again", async || Ok(log_in(&governed).await.ok())).await?;
    until("nothing is left", async || {
        let quiet = governed.http("/metrics").await?.contains("\nlanyard_sessions 0\n");
        Ok((quiet && governed.vended_roles().await?.is_empty()).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_strangers_keeps_nobody_out() -> Outcome {
    let setting = SettingOptions {
        lines: &[("session", "login_seconds = 300"), ("listen", "clients_max = 3")],
        ..SettingOptions::default()
    };
    let governed = Governed::start_with(&GovernedOptions { setting, ..GovernedOptions::default() }).await?;
    // A process that is nobody special may have a thousand sockets.
    let mut held = VecDeque::new();
    for round in 0..3 {
        for _ in 0..150 {
            let mut named = governed.raw().await?;
            named.startup(PROTOCOL_3_0, &[("user", LOGIN), ("database", "shop")]).await?;
            held.push_back(named);
            held.push_back(governed.raw().await?);
        }
        // Who came first had to go.
        let (mut named, mut silent) = (held.pop_front().ok_or("none")?, held.pop_front().ok_or("none")?);
        let said = named.read_until(b'E').await?;
        assert_eq!(said.last().and_then(|frame| frame.sqlstate()).as_deref(), Some("53300"), "round {round}");
        assert!(silent.closed().await?, "round {round}");
        held.drain(..held.len().saturating_sub(260));
        let frames = log_in(&governed).await?.query("SELECT 7").await?;
        assert!(frames.iter().any(|frame| frame.tag == b'D'), "round {round}: {frames:?}");
    }

    let seats = [log_in(&governed).await?, log_in(&governed).await?, log_in(&governed).await?];
    let error = log_in(&governed).await.err().ok_or("a fourth of three")?.to_string();
    assert!(error.starts_with("53300"), "{error}");
    drop(seats);
    until("there is room again", async || Ok(log_in(&governed).await.ok())).await?;
    Ok(())
}
