//! The warehouse changes: what nobody has looked at yet is seen by nobody.

use lanyard_tests::wait::until;
use lanyard_tests::{Governed, Outcome};
use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

const LOGIN: &str = "marketing-agent~taylor";

/// A session; where governance changes just while it logs in, it is told to come again, and does.
async fn session(governed: &Governed) -> Outcome<Client> {
    until("a login", async || match governed.connect_with(LOGIN, governed.key(LOGIN)?).await {
        Ok(client) => Ok(Some(client)),
        Err(error) if error.code() == Some(&SqlState::ADMIN_SHUTDOWN) => Ok(None),
        Err(error) => Err(error.into()),
    })
    .await
}

async fn code(governed: &Governed, sql: &str) -> Outcome<Option<SqlState>> {
    let client = session(governed).await?;
    Ok(client.simple_query(sql).await.err().and_then(|error| error.code().cloned()))
}

fn change_tags(governed: &Governed, change: impl FnOnce(&mut Value)) -> Outcome {
    let path = governed.setting().governance.join("tags.json");
    let mut tags: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    change(&mut tags);
    std::fs::write(&path, serde_json::to_vec(&tags)?)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_column_and_a_new_table_are_hidden_until_somebody_has_looked() -> Outcome {
    let governed = Governed::start().await?;
    let release = |arguments: &[&str]| {
        governed.lanyard().run("release", governed.setting(), &["release"], arguments, "")
    };
    // Tagged before it exists: when it is seen, the proxy has read the catalog that has the new column too.
    change_tags(&governed, |tags| {
        tags["tables"]["public.returns"] = json!(["Sales"]);
        tags["columns"]["public.returns.region"] = json!(["Region"]);
        // All that policy asks of a table, but nothing of its own: its schema was there before.
        tags["columns"]["later.refunds.region"] = json!(["Region"]);
        tags["schemas"]["later"] = json!(["Sales"]);
    })?;
    let dba = governed.dba().await?;
    dba.batch_execute(
        "BEGIN;
         ALTER TABLE public.customer_orders ADD COLUMN secret_note text DEFAULT 'SECRET-NOTE';
         CREATE TABLE public.returns (region text);
         CREATE SCHEMA later;
         GRANT USAGE ON SCHEMA later TO lanyard_owner;
         CREATE TABLE later.refunds (region text);
         GRANT SELECT ON public.returns, later.refunds TO lanyard_owner;
         COMMIT",
    )
    .await?;
    until("the tagged table is seen", async || {
        Ok(code(&governed, "SELECT region FROM public.returns").await?.is_none().then_some(()))
    })
    .await?;
    assert_eq!(code(&governed, "SELECT region FROM later.refunds").await?, Some(SqlState::UNDEFINED_TABLE));
    let named = "SELECT secret_note FROM public.customer_orders";
    assert_eq!(code(&governed, named).await?, Some(SqlState::UNDEFINED_COLUMN));
    let client = session(&governed).await?;
    for sql in [
        "SELECT * FROM public.customer_orders",
        "SELECT to_jsonb(o) FROM public.customer_orders o",
        "SELECT attname FROM pg_attribute WHERE attrelid = 'public.customer_orders'::regclass",
    ] {
        let rows = client.simple_query(sql).await?;
        let shown = format!("{rows:?}").to_lowercase();
        assert!(!shown.contains("secret"), "{sql}: {shown}");
    }
    let listed = release(&[])?;
    assert!(
        listed.contains("public.customer_orders.secret_note") && listed.contains("later.refunds"),
        "{listed}"
    );
    assert!(release(&["public.customer_orders.lastname"]).is_err(), "that is not new");
    assert!(release(&["public.nothing"]).is_err());
    release(&["public.customer_orders.secret_note"])?;
    until("the released column is seen", async || Ok(code(&governed, named).await?.is_none().then_some(())))
        .await?;
    let listed = release(&[])?;
    assert!(!listed.contains("secret_note") && listed.contains("later.refunds"), "{listed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_appears_while_the_proxy_is_away_is_new_all_the_same() -> Outcome {
    let governed = Governed::start().await?;
    let named = "SELECT secret_note FROM public.customer_orders";
    governed.stop_proxy().await?;
    let dba = governed.dba().await?;
    dba.batch_execute("ALTER TABLE public.customer_orders ADD COLUMN secret_note text DEFAULT 'SECRET-NOTE'")
        .await?;
    governed.start_proxy().await?;
    assert_eq!(code(&governed, named).await?, Some(SqlState::UNDEFINED_COLUMN));
    // A tag of its own is a look.
    change_tags(&governed, |tags| {
        tags["columns"]["public.customer_orders.secret_note"] = json!(["PII.Name"])
    })?;
    until("the tagged column is seen", async || Ok(code(&governed, named).await?.is_none().then_some(())))
        .await?;
    let rows = session(&governed).await?.simple_query(named).await?;
    assert!(!format!("{rows:?}").contains("SECRET-NOTE"), "masked as its tag says: {rows:?}");
    Ok(())
}
