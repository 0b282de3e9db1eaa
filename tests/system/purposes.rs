//! What a session says it is for, and what somebody was granted for a while, from the socket to the audit.

use std::time::{SystemTime, UNIX_EPOCH};

use lanyard::demo::governance;
use lanyard::demo::setting::{DATABASE, SettingOptions};
use lanyard_tests::wait::until;
use lanyard_tests::{Governed, GovernedOptions, Outcome};
use tokio_postgres::{Client, NoTls};

const PURPOSES: &str = "
purpose Marketing 'I plan campaigns, and use the data for nothing else' to users in group marketing or agents
purpose Marketing.Campaign 'I work on one campaign' to users in group marketing
purpose Audit 'I audit' to users in group hr
policy rows_for_marketing
  show rows of tables tagged Sales only for purpose Marketing
  for everyone except users in group hr";

async fn governed() -> Outcome<Governed> {
    let mut files = governance::FILES.to_vec();
    files.push(("purposes.policy", PURPOSES));
    let setting = SettingOptions { governance: &files, ..SettingOptions::default() };
    Governed::start_with(&GovernedOptions { setting, ..GovernedOptions::default() }).await
}

/// A session under a purpose, or the SQLSTATE and message of the refusal.
async fn under(governed: &Governed, login: &str, purpose: &str) -> Outcome<Result<Client, (String, String)>> {
    let connected = tokio_postgres::Config::new()
        .host("127.0.0.1")
        .port(governed.setting().port)
        .user(login)
        .password(governed.key(login)?)
        .dbname(DATABASE)
        .options(format!("-c lanyard.purpose={purpose}"))
        .connect(NoTls)
        .await;
    match connected {
        Ok((client, connection)) => {
            // How it ends is told to the client's next statement.
            tokio::spawn(async move { connection.await.ok() });
            Ok(Ok(client))
        }
        Err(error) => {
            let error = error.as_db_error().ok_or("no refusal")?;
            Ok(Err((error.code().code().to_owned(), error.message().to_owned())))
        }
    }
}

async fn orders(client: &Client) -> Outcome<i64> {
    Ok(client.query_one("SELECT count(*) FROM customer_orders", &[]).await?.get(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purpose_is_let_through_when_it_is_declared_and_allowed() -> Outcome {
    let governed = governed().await?;
    let without = governed.connect("taylor").await?;
    assert_eq!(orders(&without).await?, 0);
    for (login, purpose) in
        [("taylor", "Marketing"), ("taylor", "Marketing.Campaign"), ("marketing-agent~taylor", "Marketing")]
    {
        let client = under(&governed, login, purpose).await?.map_err(|(_, message)| message)?;
        assert!(orders(&client).await? > 0, "{login} {purpose}");
    }
    for (login, purpose, says) in [
        ("taylor", "Audit", "is not allowed to this user"),
        ("marketing-agent~taylor", "Marketing.Campaign", "is not allowed to this agent"),
        ("marketing-agent~riley", "Marketing", "is not allowed to this user"),
        ("taylor", "Marketing.Other", "is not declared"),
        ("taylor", "marketing", "is not declared"),
        ("taylor", "Marketing'", "words with dots"),
        ("taylor", "..", "words with dots"),
    ] {
        let refused =
            under(&governed, login, purpose).await?.err().ok_or(format!("{login} got in for {purpose}"))?;
        assert!(refused.0 == "28000" && refused.1.contains(says), "{login} {purpose}: {refused:?}");
    }
    // Nothing said inside a session changes it.
    for sql in
        ["SET lanyard.purpose = 'Marketing'", "SELECT set_config('lanyard.purpose', 'Marketing', false)"]
    {
        assert!(without.simple_query(sql).await.is_err(), "{sql}");
    }
    assert_eq!(orders(&without).await?, 0);
    until("the audit names the purpose", async || {
        let told =
            governed.audit()?.iter().any(|l| l.to_string().contains("\"purpose\":\"Marketing.Campaign\""));
        Ok(told.then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_counts_until_it_ends() -> Outcome {
    let governed = governed().await?;
    let client = governed.connect("taylor").await?;
    assert!(client.simple_query("SELECT count(*) FROM payroll").await.is_err());
    let file = governed.setting().governance.join("approvals.json");
    let approve = |seconds: u64| -> Outcome<u64> {
        let end = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + seconds;
        let approval = format!(
            "[{{\"id\": \"request-1\", \"for\": {{\"user\": \"taylor\"}}, \"expires\": {end}, \"what\": {{\"access\": \
             {{\"relation\": {{\"schema\": \"public\", \"name\": \"payroll\"}}, \"operations\": [\"read\"]}}}}}}]"
        );
        std::fs::write(&file, approval)?;
        Ok(end)
    };
    approve(3_600)?;
    let granted = until("the approval counts", async || {
        // A login in the middle of the change is told to try again.
        let Ok(client) = governed.connect("taylor").await else {
            return Ok(None);
        };
        Ok(client.simple_query("SELECT count(*) FROM payroll").await.is_ok().then_some(client))
    })
    .await?;
    let other = governed.connect("riley").await?;
    assert!(other.simple_query("SELECT count(*) FROM payroll").await.is_err());
    let end = approve(3)?;
    until("the session it was for is ended", async || {
        Ok(granted.simple_query("SELECT 1").await.is_err().then_some(()))
    })
    .await?;
    assert!(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() >= end);
    let again = governed.connect("taylor").await?;
    let refused = again.simple_query("SELECT count(*) FROM payroll").await.err().ok_or("still visible")?;
    assert_eq!(refused.code().map(|c| c.code()), Some("42P01"));
    other.simple_query("SELECT 1").await?;
    Ok(())
}
