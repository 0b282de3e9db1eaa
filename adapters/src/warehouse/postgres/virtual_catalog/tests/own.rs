//! A session's own: what it is told about itself and its bundle, whatever it names its temporary tables.

use tokio_postgres::Client;

use super::server::{Outcome, Server};
use super::{AGENT, ENDED, OTHER, list, refused, with_oids};
use crate::warehouse::postgres::virtual_catalog::{VirtualCatalogError, install};

/// What a session is told about itself and its tables.
const OWN: &[(&str, &str)] = &[
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
];

/// The same after it made names of its own that could catch ours.
const SHADOWED: &[(&str, &str)] = &[
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
];

pub(super) async fn sessions_see_their_own_bundle(server: &Server, dba: &Client) -> Outcome {
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

pub(super) async fn a_session_answers_for_itself(server: &Server, dba: &Client) -> Outcome {
    let agent = server.connect(AGENT, "shop").await?;
    for (sql, answer) in OWN {
        assert_eq!(list(&agent, sql).await?, *answer, "{sql}");
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
    for (sql, answer) in SHADOWED {
        let sql = with_oids(dba, sql).await?;
        assert_eq!(list(&agent, &sql).await?, *answer, "{sql}");
    }
    Ok(())
}

pub(super) async fn installing_again_and_outside_a_transaction(server: &Server, dba: &Client) -> Outcome {
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
