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
    let t = Instant::now();
    let (server, dba) = shop().await?;
    eprintln!("TIME shop {:?}", t.elapsed());
    let t = Instant::now();
    clients_find_what_is_visible_and_nothing_else(&server, &dba).await?;
    eprintln!("TIME clients_find_what_is_visible_and_nothing_else {:?}", t.elapsed());
    let t = Instant::now();
    the_lists_and_the_warehouse_agree(&server, &dba).await?;
    eprintln!("TIME the_lists_and_the_warehouse_agree {:?}", t.elapsed());
    let t = Instant::now();
    functions_take_what_postgresql_takes(&dba).await?;
    eprintln!("TIME functions_take_what_postgresql_takes {:?}", t.elapsed());
    let t = Instant::now();
    hidden_objects_answer_like_missing_ones(&server, &dba).await?;
    eprintln!("TIME hidden_objects_answer_like_missing_ones {:?}", t.elapsed());
    let t = Instant::now();
    expressions_are_read_against_their_own_relation(&server, &dba).await?;
    eprintln!("TIME expressions_are_read_against_their_own_relation {:?}", t.elapsed());
    let t = Instant::now();
    conditions_do_not_reach_hidden_rows(&server).await?;
    eprintln!("TIME conditions_do_not_reach_hidden_rows {:?}", t.elapsed());
    let t = Instant::now();
    a_session_answers_for_itself(&server, &dba).await?;
    eprintln!("TIME a_session_answers_for_itself {:?}", t.elapsed());
    let t = Instant::now();
    installing_again_and_outside_a_transaction(&server, &dba).await?;
    eprintln!("TIME installing_again_and_outside_a_transaction {:?}", t.elapsed());
    sessions_see_their_own_bundle(&server, &dba).await
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
    let mut answers = String::new();
    for (client, text) in CLIENTS {
        for asked in fixture(text) {
            answers.push_str(&format!("--@ {client} {}\n", asked.name));
            for statement in asked.statements {
                let statement = with_oids(dba, statement).await?;
                let rows = ask(&agent, &statement).await;
                let rows =
                    rows.map_err(|e| format!("{client} {}: {e:?}\n{}", asked.name, enforce(&statement)))?;
                for cell in rows.iter().flatten() {
                    assert!(!leak(cell), "{client} {}: {cell:?} from {statement}", asked.name);
                }
                let kept = rows.len() < 30 && !NOT_KEPT.iter().any(|name| asked.name.starts_with(name));
                for row in rows.iter().filter(|_| kept) {
                    let line = row.join(" | ").replace(AGENT, "<self>");
                    answers.push_str(&without_oids(&line));
                    answers.push('\n');
                }
            }
        }
    }
    // Every line of it was read by a person: change it with open eyes only.
    if let Some(file) = std::env::var_os("LANYARD_WRITE_ANSWERS") {
        std::fs::write(file, &answers)?;
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

async fn hidden_objects_answer_like_missing_ones(server: &Server, dba: &Client) -> Outcome {
    let agent = server.connect(AGENT, "shop").await?;
    for (expression, answer) in [
        ("pg_table_is_visible('{class public.hidden_payroll}')", "-"),
        ("pg_table_is_visible('{class public.hidden_expr_idx}')", "-"),
        ("pg_table_is_visible('{class lanyard_secured.v_00000000000000000000000000000001}')", "-"),
        ("pg_table_is_visible(4000000000)", "-"),
        ("pg_type_is_visible('{type public.hidden_enum}')", "-"),
        ("format_type('{type public.hidden_payroll}', NULL)", "???"),
        ("format_type('{type public._hidden_payroll}', NULL)", "???"),
        ("format_type('{type public.hidden_composite}', -1)", "???"),
        ("format_type(4000000000, NULL)", "???"),
        ("to_regclass('hidden_payroll')", "-"),
        ("to_regclass('hidden_schema.customers')", "-"),
        ("to_regclass('lanyard.lease')", "-"),
        ("to_regclass('{class public.hidden_payroll}')", "-"),
        ("to_regclass('nothing')", "-"),
        ("to_regclass('orders')", "-"),
        ("regclass('{class public.hidden_payroll}'::oid)", "-"),
        ("to_regtype('hidden_enum')", "-"),
        ("to_regtype('public.hidden_enum')", "-"),
        ("to_regtype('hidden_schema.customers')", "-"),
        ("to_regtype('no_schema.customers')", "-"),
        ("to_regtype('hidden_payroll[]')", "-"),
        ("to_regproc('hidden_function')", "-"),
        ("to_regprocedure('public.hidden_function(integer)')", "-"),
        ("to_regnamespace('hidden_schema')", "-"),
        ("to_regnamespace('lanyard')", "-"),
        ("to_regrole('hidden_boss')", "-"),
        ("to_regrole('postgres')", "-"),
        ("pg_get_userbyid(10)", "unknown (OID=10)"),
        ("obj_description('{class public.hidden_payroll}', 'pg_class')", "-"),
        ("obj_description('{class public.hidden_payroll}')", "-"),
        ("col_description('{class public.customers}', 3)", "-"),
        ("pg_get_indexdef('{class public.hidden_expr_idx}')", "-"),
        ("pg_get_indexdef('{class public.hidden_whole_idx}', 1, true)", "-"),
        ("pg_get_indexdef('{class public.hidden_payroll_pkey}')", "-"),
        ("pg_get_viewdef('{class public.big_orders}'::oid)", "-"),
        ("pg_get_viewdef('big_orders', true)", "-"),
        ("pg_get_viewdef('{class lanyard_secured.v_00000000000000000000000000000001}'::oid)", "-"),
        ("pg_get_serial_sequence('hidden_payroll', 'id')", "-"),
        ("pg_get_partkeydef('{class public.hidden_payroll}')", "-"),
        ("pg_total_relation_size('{class public.customers}')", "-"),
        ("pg_relation_size('customers')", "-"),
        ("pg_database_size(current_database())", "-"),
        ("pg_relation_filepath('{class public.customers}')", "-"),
        ("pg_partition_root('{class public.hidden_events_2025}'::oid)", "-"),
        ("(SELECT count(*) FROM pg_partition_tree('events'))", "2"),
        ("(SELECT count(*) FROM pg_partition_ancestors('{class public.hidden_events_2025}'))", "0"),
        ("has_table_privilege('{class public.hidden_payroll}'::oid, 'SELECT')", "-"),
        ("has_column_privilege('{class public.customers}'::oid, 3::smallint, 'SELECT')", "-"),
        ("has_schema_privilege('{class public.hidden_payroll}'::oid, 'USAGE')", "-"),
        ("has_sequence_privilege('{class public.hidden_payroll_id_seq}'::oid, 'USAGE')", "-"),
        ("pg_has_role('hidden_boss', 'MEMBER')", "f"),
        ("pg_has_role('no_such_role', 'MEMBER')", "f"),
        ("pg_has_role(10, 'MEMBER')", "f"),
    ] {
        let sql = with_oids(dba, &format!("SELECT {expression}")).await?;
        assert_eq!(list(&agent, &sql).await?, answer, "{sql}");
    }
    for (expression, answer) in [
        ("regclass('hidden_payroll')", "42P01 relation \"hidden_payroll\" does not exist"),
        ("regclass('nothing')", "42P01 relation \"nothing\" does not exist"),
        (
            "has_table_privilege('hidden_payroll', 'SELECT')",
            "42P01 relation \"hidden_payroll\" does not exist",
        ),
        (
            "has_table_privilege('public.nothing', 'SELECT')",
            "42P01 relation \"public.nothing\" does not exist",
        ),
        (
            "has_column_privilege('customers', 'hidden_ssn', 'SELECT')",
            "42703 column \"hidden_ssn\" of relation does not exist",
        ),
        (
            "has_column_privilege('customers', 'nothing', 'SELECT')",
            "42703 column \"nothing\" of relation does not exist",
        ),
        ("has_schema_privilege('hidden_schema', 'USAGE')", "3F000 schema \"hidden_schema\" does not exist"),
        ("has_schema_privilege('nothing', 'USAGE')", "3F000 schema \"nothing\" does not exist"),
        ("has_database_privilege('postgres', 'CONNECT')", "3D000 database \"postgres\" does not exist"),
        (
            "has_table_privilege('hidden_boss', 'customers', 'SELECT')",
            "42704 role \"hidden_boss\" does not exist",
        ),
        ("has_table_privilege('nobody', 'customers', 'SELECT')", "42704 role \"nobody\" does not exist"),
        ("has_table_privilege('customers', 'BOGUS')", "22023 unrecognized privilege type: \"BOGUS\""),
        ("pg_relation_size('hidden_payroll')", "42P01 relation \"hidden_payroll\" does not exist"),
        ("pg_relation_size('nothing')", "42P01 relation \"nothing\" does not exist"),
    ] {
        assert_eq!(refused(&agent, &format!("SELECT {expression}")).await?, answer, "{expression}");
    }
    Ok(())
}

/// A tree from one relation, read against another, would print the other's column names.
async fn expressions_are_read_against_their_own_relation(server: &Server, dba: &Client) -> Outcome {
    let agent = server.connect(AGENT, "shop").await?;
    let everything = "SELECT pg_get_expr(t.tree, c.oid) FROM (
            SELECT adbin FROM pg_attrdef UNION ALL SELECT indpred FROM pg_index UNION ALL SELECT indexprs FROM pg_index
            UNION ALL SELECT conbin FROM pg_constraint UNION ALL SELECT relpartbound FROM pg_class
        ) t (tree), (SELECT generate_series(16384, {class lanyard_secured.v_00000000000000000000000000000001}) ) c (oid)";
    let sql = with_oids(dba, everything).await?;
    let printed: BTreeSet<String> = ask(&agent, &sql).await?.into_iter().flatten().collect();
    assert!(printed.contains("'EU'::text") && printed.contains("(region <> ''::text)"), "{printed:?}");
    assert!(!printed.iter().any(|text| leak(text)), "{printed:?}");
    Ok(())
}

/// A condition must never run on a row the session does not see: its error would tell.
async fn conditions_do_not_reach_hidden_rows(server: &Server) -> Outcome {
    let agent = server.connect(AGENT, "shop").await?;
    for (relation, column) in [
        ("pg_class", "relname"),
        ("pg_attribute", "attname"),
        ("pg_type", "typname"),
        ("pg_namespace", "nspname"),
        ("pg_constraint", "conname"),
        ("pg_description", "description"),
        ("pg_enum", "enumlabel"),
        ("pg_proc", "proname"),
        ("pg_opclass", "opcname"),
        ("pg_collation", "collname"),
        ("pg_database", "datname"),
        ("pg_roles", "rolname"),
        ("pg_user", "usename"),
        ("pg_indexes", "indexname"),
        ("pg_tables", "tablename"),
        ("pg_views", "viewname"),
        ("pg_stat_user_tables", "relname"),
        ("information_schema.tables", "table_name"),
        ("information_schema.columns", "column_name"),
        ("information_schema.table_constraints", "constraint_name"),
        ("information_schema.table_privileges", "table_name"),
        ("information_schema.column_privileges", "column_name"),
    ] {
        // Cheaper than any condition of the view, and it fails on what must stay unseen.
        let sql = format!(
            "SELECT count(*) FROM {relation} x
             WHERE CASE WHEN x.{column}::text ~ '^(hidden|lanyard|v_0|postgres$|x$)' THEN 1 / (length(x.{column}::text) - length(x.{column}::text)) ELSE 1 END = 1"
        );
        assert_ne!(list(&agent, &sql).await?, "0", "{relation}");
    }
    Ok(())
}

async fn sessions_see_their_own_bundle(server: &Server, dba: &Client) -> Outcome {
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1";
    let agent = server.connect(AGENT, "shop").await?;
    let other = server.connect(OTHER, "shop").await?;
    let ended = server.connect(ENDED, "shop").await?;
    assert_eq!(list(&agent, tables).await?, "big_orders customers events events_2024 orders");
    assert_eq!(list(&other, tables).await?, "hidden_payroll");
    assert_eq!(list(&ended, tables).await?, "");
    for private in
        ["lanyard.lease", "lanyard_catalog._relation", "lanyard_catalog._index", "lanyard_catalog.pg_authid"]
    {
        let answer = refused(&agent, &format!("SELECT * FROM {private}")).await?;
        assert!(answer.starts_with("42501 "), "{private}: {answer}");
    }
    // The lease decides at once, not at the next login.
    dba.batch_execute(&format!("DELETE FROM lanyard.lease WHERE role = '{AGENT}'")).await?;
    assert_eq!(list(&agent, tables).await?, "");
    assert_eq!(list(&agent, "SELECT to_regclass('customers')").await?, "-");
    Ok(())
}

async fn a_session_answers_for_itself(server: &Server, dba: &Client) -> Outcome {
    let agent = server.connect(AGENT, "shop").await?;
    for (sql, answer) in [
        ("SELECT rolname FROM pg_roles", AGENT),
        ("SELECT usename FROM pg_user", AGENT),
        ("SELECT datname FROM pg_database", "shop"),
        ("SELECT query || application_name FROM pg_stat_activity", ""),
        ("SELECT setting FROM pg_settings WHERE name = 'search_path'", "public"),
        (
            "SELECT name FROM pg_settings WHERE name IN ('data_directory', 'hba_file', 'port', 'unix_socket_directories')",
            "",
        ),
        ("SELECT current_schema()", "public"),
        ("SELECT current_schemas(true)", "{pg_catalog,public}"),
        ("SELECT has_table_privilege('customers', 'select')", "t"),
        ("SELECT has_table_privilege('customers', 'TRUNCATE, UPDATE')", "t"),
        ("SELECT has_table_privilege('customers', 'SELECT WITH GRANT OPTION')", "f"),
        ("SELECT has_table_privilege('retail.orders', 'INSERT')", "f"),
        ("SELECT has_column_privilege('customers', 'lastname', 'SELECT')", "t"),
        ("SELECT has_any_column_privilege('customers', 'SELECT')", "t"),
        ("SELECT has_table_privilege('pg_catalog.pg_class', 'SELECT')", "t"),
        ("SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')", "f"),
        ("SELECT has_schema_privilege('retail', 'USAGE')", "t"),
        ("SELECT has_schema_privilege('public', 'CREATE')", "f"),
        ("SELECT has_database_privilege('shop', 'CONNECT')", "t"),
        ("SELECT has_function_privilege('lower(text)', 'EXECUTE')", "t"),
        ("SELECT to_regclass('customers')", "customers"),
        ("SELECT to_regclass('retail.orders')", "retail.orders"),
        ("SELECT to_regtype('retail.address')", "retail.address"),
        ("SELECT to_regtype('mood[]')", "mood[]"),
        ("SELECT count(*) FROM information_schema.columns WHERE table_name = 'customers'", "6"),
        (
            "SELECT string_agg(privilege_type, ' ' ORDER BY privilege_type) FROM information_schema.table_privileges WHERE table_name = 'customers'",
            "DELETE INSERT SELECT UPDATE",
        ),
        (
            "SELECT string_agg(privilege_type, ' ') FROM information_schema.table_privileges WHERE table_name = 'orders'",
            "SELECT",
        ),
        ("SELECT is_insertable_into FROM information_schema.tables WHERE table_name = 'customers'", "YES"),
        (
            "SELECT string_agg(column_name, ' ' ORDER BY column_name) FROM information_schema.key_column_usage WHERE table_schema <> 'pg_catalog'",
            "customer_id id order_id",
        ),
        (
            "SELECT string_agg(constraint_name, ' ' ORDER BY constraint_name) FROM information_schema.referential_constraints WHERE constraint_schema <> 'pg_catalog'",
            "orders_customer_id_fkey",
        ),
        (
            "SELECT string_agg(table_name, ' ') FROM information_schema.views WHERE table_schema = 'public'",
            "big_orders",
        ),
        (
            "SELECT string_agg(schema_name, ' ' ORDER BY schema_name) FROM information_schema.schemata",
            "information_schema pg_catalog public retail",
        ),
        ("SELECT domain_name FROM information_schema.domains WHERE domain_schema = 'retail'", "amount"),
        ("SELECT min(reltuples) || ' ' || max(relpages) FROM pg_class", "-1 0"),
        ("SELECT string_agg(DISTINCT n_live_tup::text, ' ') FROM pg_stat_user_tables", "0"),
    ] {
        assert_eq!(list(&agent, sql).await?, answer, "{sql}");
    }
    // A path the session set itself, and names of its own that could catch ours.
    agent
        .batch_execute(
            "SET search_path = retail, public, pg_temp;
             CREATE TEMP TABLE pg_class (oid oid, relname name, relnamespace oid, relkind \"char\");
             CREATE TEMP TABLE pg_index (indexrelid oid); CREATE TEMP TABLE pg_depend (x int); CREATE TEMP TABLE pg_type (oid oid);
             CREATE TEMP TABLE mine (hiding_place int DEFAULT 7 CHECK (hiding_place > 0))",
        )
        .await?;
    for (sql, answer) in [
        ("SELECT current_schema()", "retail"),
        ("SELECT to_regclass('orders') IS NOT NULL", "t"),
        ("SELECT pg_table_is_visible('{class retail.orders}')", "t"),
        ("SELECT pg_table_is_visible('{class public.customers_region_idx}')", "t"),
        ("SELECT to_regclass('hidden_payroll')", "-"),
        ("SELECT to_regclass('customers_pkey') IS NOT NULL", "t"),
        ("SELECT relname FROM pg_class WHERE relpersistence = 't' AND relname LIKE 'm%'", "mine"),
        (
            "SELECT attname FROM pg_attribute WHERE attrelid = lanyard_catalog.to_regclass('mine') AND attnum > 0",
            "hiding_place",
        ),
        (
            "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = lanyard_catalog.to_regclass('mine')",
            "7",
        ),
        (
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = lanyard_catalog.to_regclass('mine')",
            "CHECK ((hiding_place > 0))",
        ),
        ("SELECT has_table_privilege('mine', 'TRUNCATE')", "t"),
    ] {
        let sql = with_oids(dba, sql).await?;
        assert_eq!(list(&agent, &sql).await?, answer, "{sql}");
    }
    Ok(())
}

async fn installing_again_and_outside_a_transaction(server: &Server, dba: &Client) -> Outcome {
    let agent = server.connect(AGENT, "shop").await?;
    dba.batch_execute("BEGIN; SET LOCAL search_path = retail").await?;
    install(dba).await?;
    let after = dba.query_one("SELECT CURRENT_USER::text, current_setting('search_path')", &[]).await?;
    assert_eq!(
        (after.get::<_, String>(0), after.get::<_, String>(1)),
        ("postgres".to_owned(), "retail".to_owned())
    );
    dba.batch_execute("COMMIT").await?;
    assert_eq!(list(&agent, "SELECT to_regclass('customers')").await?, "customers");
    assert!(matches!(install(dba).await, Err(VirtualCatalogError::NoTransaction)));
    assert_eq!(list(&agent, "SELECT to_regclass('customers')").await?, "customers");
    Ok(())
}
