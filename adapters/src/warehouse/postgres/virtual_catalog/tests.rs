//! The virtual catalog against a real server: what clients ask when they look around, logged in as a vended role.

use std::collections::BTreeSet;

use tokio_postgres::{Client, SimpleQueryMessage};

use super::install;
use lanyard_engine::sql::virtual_catalog;
use server::{Outcome, Server};
use text::{enforce, fixture};

mod hidden;
mod own;
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
const ANSWERS: &str = include_str!("../fixtures/answers.txt");
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
    for role in [AGENT, OTHER, ENDED] {
        server.admit(&dba, role).await?;
    }
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
    let secured =
        cell.split("v_").skip(1).any(|rest| rest.bytes().take(8).filter(u8::is_ascii_hexdigit).count() == 8);
    ["hidden", "lanyard", "LANYARD", "pg.dropped"].iter().any(|word| cell.contains(word))
        || secured
        || cell == "postgres"
}

/// Puts OIDs where a fixture names what the client learned before.
async fn with_oids(dba: &Client, sql: &str) -> Outcome<String> {
    let mut out = sql.to_owned();
    for (mark, query) in
        [("{class ", "SELECT $1::text::regclass::oid"), ("{type ", "SELECT $1::text::regtype::oid")]
    {
        while let Some(at) = out.find(mark) {
            let end = at + out[at..].find('}').ok_or("an open brace")?;
            let name = out[at + mark.len()..end].to_owned();
            let oid: u32 = dba.query_one(query, &[&name]).await?.get(0);
            out.replace_range(at..=end, &oid.to_string());
        }
    }
    Ok(out)
}

/// One server for all, because starting one takes longer than asking it. The last two change what is there.
#[tokio::test]
async fn the_virtual_catalog() -> Outcome {
    let (server, dba) = shop().await?;
    clients_find_what_is_visible_and_nothing_else(&server, &dba).await?;
    the_lists_and_the_warehouse_agree(&server, &dba).await?;
    functions_take_what_postgresql_takes(&dba).await?;
    hidden::hidden_objects_answer_like_missing_ones(&server, &dba).await?;
    hidden::expressions_are_read_against_their_own_relation(&server, &dba).await?;
    hidden::conditions_do_not_reach_hidden_rows(&server).await?;
    own::a_session_answers_for_itself(&server, &dba).await?;
    own::installing_again_and_outside_a_transaction(&server, &dba).await?;
    own::sessions_see_their_own_bundle(&server, &dba).await
}

/// Digits of OIDs above the built-in ones, which differ between servers, as `#`.
fn without_oids(line: &str) -> String {
    let words = line.split(' ').map(|word| match word.parse::<u32>() {
        Ok(number) if number >= 16384 => "#",
        _ => word,
    });
    words.collect::<Vec<&str>>().join(" ")
}

/// Answers about built-in objects, or about the server: long and the same for everybody.
const NOT_KEPT: &[&str] = &[
    "\\df",
    "\\dC",
    "\\do",
    "\\dO",
    "\\dF",
    "\\dA",
    "\\dy",
    "\\dL",
    "connect",
    "getTypeInfo",
    "getFunctions",
];

async fn clients_find_what_is_visible_and_nothing_else(server: &Server, dba: &Client) -> Outcome {
    let agent = server.connect(AGENT, "shop").await?;
    // The queries are those clients send to 15: newer servers are asked them for leaks alone.
    let captured: bool =
        dba.query_one("SELECT current_setting('server_version_num')::int / 10000 = 15", &[]).await?.get(0);
    let mut answers = String::new();
    for (client, text) in CLIENTS {
        for asked in fixture(text) {
            answers.push_str(&format!("--@ {client} {}\n", asked.name));
            // psql 15 names columns that 17 renamed.
            if !captured && ["\\l", "\\dO"].contains(&asked.name) {
                continue;
            }
            for statement in asked.statements {
                let statement = with_oids(dba, statement).await?;
                let rows = ask(&agent, &statement).await;
                let rows =
                    rows.map_err(|e| format!("{client} {}: {e:?}\n{}", asked.name, enforce(&statement)))?;
                for cell in rows.iter().flatten() {
                    assert!(!leak(cell), "{client} {}: {cell:?} from {statement}", asked.name);
                }
                let kept = rows.len() < 30 && !NOT_KEPT.iter().any(|name| asked.name.starts_with(name));
                let mut lines: Vec<String> =
                    rows.iter().filter(|_| kept).map(|row| row.join(" | ")).collect();
                // Not every statement says in what order it wants its rows.
                lines.sort();
                for line in lines {
                    answers.push_str(&without_oids(&line.replace(AGENT, "<self>")));
                    answers.push('\n');
                }
            }
        }
    }
    // Every line of it was read by a person: change it with open eyes only.
    if let Some(file) = std::env::var_os("LANYARD_WRITE_ANSWERS") {
        std::fs::write(file, &answers)?;
    }
    if !captured {
        return Ok(());
    }
    let expected: Vec<&str> = ANSWERS.lines().collect();
    for (number, (line, expected)) in answers.lines().zip(&expected).enumerate() {
        assert_eq!(&line, expected, "answers.txt line {}", number + 1);
    }
    assert_eq!(answers.lines().count(), expected.len());
    Ok(())
}

async fn the_lists_and_the_warehouse_agree(server: &Server, dba: &Client) -> Outcome {
    let agent = server.connect(AGENT, "shop").await?;
    let rows = dba
        .query(
            "SELECT CASE n.nspname WHEN 'lanyard_catalog' THEN 'pg_catalog' ELSE 'information_schema' END, c.relname::text
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname IN ('lanyard_catalog', 'lanyard_information_schema')
               AND has_table_privilege('lanyard_session', c.oid, 'SELECT')",
            &[],
        )
        .await?;
    let granted: BTreeSet<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    for (schema, name) in &granted {
        assert!(virtual_catalog::relation(schema, name).is_some(), "{schema}.{name} is granted, not listed");
    }
    for (schema, name) in virtual_catalog::relations() {
        let here: bool =
            dba.query_one("SELECT to_regclass($1) IS NOT NULL", &[&format!("{schema}.{name}")]).await?.get(0);
        assert_eq!(here, granted.contains(&(schema.to_owned(), name.to_owned())), "{schema}.{name}");
        if here {
            let all = format!("SELECT * FROM {schema}.{name}");
            for row in ask(&agent, &all).await.map_err(|e| format!("{schema}.{name}: {e:?}"))? {
                // A style of interval is called like the usual superuser.
                let style = row.iter().any(|cell| cell == "IntervalStyle");
                assert!(style || !row.iter().any(|cell| leak(cell)), "{schema}.{name}: {row:?}");
            }
        }
    }
    let made: BTreeSet<String> = dba
        .query(
            "SELECT DISTINCT proname::text FROM pg_proc WHERE pronamespace = 'lanyard_catalog'::regnamespace AND proname NOT LIKE '\\_%'",
            &[],
        )
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    let listed: BTreeSet<String> = virtual_catalog::functions().map(str::to_owned).collect();
    assert_eq!(made, listed);
    Ok(())
}

/// Each argument list of a replaced function has its stand-in with the same result, `regclass` being `oid` and `text`.
async fn functions_take_what_postgresql_takes(dba: &Client) -> Outcome {
    let rows = dba
        .query(
            "SELECT p.oid::regprocedure::text
             FROM pg_proc p
             CROSS JOIN unnest('{oid,text}'::regtype[]) instead (type)
             WHERE p.pronamespace = 11
               AND EXISTS (SELECT FROM pg_proc o WHERE o.pronamespace = 'lanyard_catalog'::regnamespace AND o.proname = p.proname)
               AND NOT EXISTS (
                 SELECT FROM pg_proc o
                 WHERE o.pronamespace = 'lanyard_catalog'::regnamespace AND o.proname = p.proname
                   AND o.prorettype = p.prorettype AND o.proretset = p.proretset
                   AND o.proargtypes::oid[] = array_replace(p.proargtypes::oid[], 'regclass'::regtype::oid, instead.type::oid))",
            &[],
        )
        .await?;
    let missing: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(missing, BTreeSet::new());
    Ok(())
}
