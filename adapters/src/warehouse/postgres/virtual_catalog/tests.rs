//! The virtual catalog against a real server: what clients ask when they look around, logged in as a vended role.

use std::collections::BTreeSet;
use std::time::Instant;

use tokio_postgres::{Client, SimpleQueryMessage};

use super::{VirtualCatalogError, install};
use lanyard_engine::sql::virtual_catalog;
use server::{Outcome, Server};
use text::{enforce, fixture};

mod server;
mod text;

const BASE: &str = include_str!("../fixtures/base.sql");
const LANYARD: &str = include_str!("../fixtures/lanyard.sql");
const CLIENTS: &[(&str, &str)] = &[
    ("psql", include_str!("../fixtures/psql.sql")),
    ("sqlalchemy", include_str!("../fixtures/sqlalchemy.sql")),
    ("pgjdbc", include_str!("../fixtures/pgjdbc.sql")),
    ("pgbench", include_str!("../fixtures/pgbench.sql")),
];
const AGENT: &str = "LANYARD_VENDED_1_2_0123456789abcdef0123456789abcdef";
const OTHER: &str = "LANYARD_VENDED_3_4_0123456789abcdef0123456789abcdef";
const ENDED: &str = "LANYARD_VENDED_5_6_0123456789abcdef0123456789abcdef";

/// A server with the base tables and the virtual catalog in database `shop`, and the DBA's connection.
async fn shop() -> Outcome<(Server, Client)> {
    let server = Server::start().await?;
    let first = server.connect("postgres", "postgres").await?;
    first.batch_execute("CREATE DATABASE shop").await?;
    let dba = server.connect("postgres", "shop").await?;
    dba.batch_execute(BASE).await?;
    dba.batch_execute(LANYARD).await?;
    dba.batch_execute("BEGIN").await?;
    install(&dba).await?;
    dba.batch_execute("COMMIT").await?;
    Ok((server, dba))
}

/// Rows of the last statement as text, NULL as `-`, after mapping.
async fn ask(client: &Client, sql: &str) -> Result<Vec<Vec<String>>, tokio_postgres::Error> {
    let mut rows = Vec::new();
    for message in client.simple_query(&enforce(sql)).await? {
        if let SimpleQueryMessage::Row(row) = message {
            rows.push((0..row.len()).map(|i| row.get(i).unwrap_or("-").to_owned()).collect());
        }
    }
    Ok(rows)
}

/// First column, joined by spaces.
async fn list(client: &Client, sql: &str) -> Outcome<String> {
    let rows = ask(client, sql).await.map_err(|e| format!("{sql}: {e:?}"))?;
    let first: Vec<String> = rows.into_iter().map(|mut row| row.swap_remove(0)).collect();
    Ok(first.join(" "))
}

/// SQLSTATE and message of a statement that must fail.
async fn refused(client: &Client, sql: &str) -> Outcome<String> {
    match ask(client, sql).await {
        Ok(rows) => Err(format!("{sql}: answered {rows:?}").into()),
        Err(error) => {
            let error = error.as_db_error().ok_or("no answer")?;
            Ok(format!("{} {}", error.code().code(), error.message()))
        }
    }
}

/// What no answer may hold: hidden things, ours, other roles. The session's own role name is its own.
fn leak(cell: &str) -> bool {
    let cell = cell.replace(AGENT, "");
    let secured = cell.split("v_").skip(1).any(|rest| rest.bytes().take(8).filter(u8::is_ascii_hexdigit).count() == 8);
    ["hidden", "lanyard", "LANYARD", "dropped"].iter().any(|word| cell.contains(word)) || secured || cell == "postgres"
}

/// Puts OIDs where a fixture names what the client learned before.
async fn with_oids(dba: &Client, sql: &str) -> Outcome<String> {
    let mut out = sql.to_owned();
    for (mark, query) in [
        ("{class ", "SELECT $1::text::regclass::oid"),
        ("{type ", "SELECT $1::text::regtype::oid"),
    ] {
        while let Some(at) = out.find(mark) {
            let end = at + out[at..].find('}').ok_or("an open brace")?;
            let name = out[at + mark.len()..end].to_owned();
            let oid: u32 = dba.query_one(query, &[&name]).await?.get(0);
            out.replace_range(at..=end, &oid.to_string());
        }
    }
    Ok(out)
}

#[tokio::test]
async fn clients_find_what_is_visible_and_nothing_else() -> Outcome {
    let (server, dba) = shop().await?;
    let agent = server.connect(AGENT, "shop").await?;
    let mut seen = String::new();
    for (client, text) in CLIENTS {
        for asked in fixture(text) {
            for statement in asked.statements {
                let statement = with_oids(&dba, statement).await?;
                let begun = Instant::now();
                let rows = ask(&agent, &statement).await;
                let took = begun.elapsed();
                if took.as_millis() > 100 { seen.push_str(&format!("SLOW {took:?} {client} {}: {statement}\n", asked.name)); }
                if let (Some(file), Err(_)) = (std::env::var_os("LANYARD_SHOW_ANSWERS"), &rows) { std::fs::write(file, &seen)?; }
                let rows = rows.map_err(|e| format!("{client} {}: {e:?}\n{}", asked.name, enforce(&statement)))?;
                for cell in rows.iter().flatten() {
                    assert!(!leak(cell), "{client} {}: {cell:?} from {statement}", asked.name);
                }
                for row in rows.iter().take(40) {
                    seen.push_str(&format!("{client} {} | {}\n", asked.name, row.join(" | ")));
                }
            }
        }
    }
    if let Some(file) = std::env::var_os("LANYARD_SHOW_ANSWERS") {
        std::fs::write(file, &seen)?;
    }
    if std::env::var_os("LANYARD_HOLD").is_some() { tokio::time::sleep(std::time::Duration::from_secs(1500)).await; }
    for expected in EXPECTED {
        assert!(seen.contains(expected), "missing {expected:?}");
    }
    Ok(())
}

/// Lines that the captured queries must have brought.
const EXPECTED: &[&str] = &[];
