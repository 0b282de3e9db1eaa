//! What other projects' suites asked for and did not get (`docs/compatibility.md`), each as a small case of its own.

use lanyard_tests::Outcome;
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use crate::workspace::{say, shared};

/// The first column of the first row as text, or the SQLSTATE; parameters are sent as text.
async fn ask(client: &Client, sql: &str, texts: &[&str]) -> String {
    let types = vec![Type::TEXT; texts.len()];
    let parameters: Vec<(&(dyn ToSql + Sync), Type)> =
        texts.iter().zip(types).map(|(text, kind)| (text as &(dyn ToSql + Sync), kind)).collect();
    match client.query_typed(sql, &parameters).await {
        Ok(rows) => rows.first().and_then(|row| row.get::<_, Option<String>>(0)).unwrap_or_default(),
        Err(error) => error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_are_listed_without_what_they_run() -> Outcome {
    let governed = shared().await?;
    let taylor = governed.connect("taylor").await?;
    let script = [
        ("SELECT count(*) FROM pg_cursors", "0"),
        ("BEGIN", ""),
        ("DECLARE mine SCROLL CURSOR FOR SELECT * FROM customer_orders", ""),
        ("SELECT name, is_scrollable, is_holdable, is_binary FROM pg_cursors", "mine|t|f|f"),
        ("SELECT count(*) FROM pg_catalog.pg_cursors WHERE statement <> ''", "0"),
        ("SELECT count(*) FROM pg_cursors WHERE name ~ 'lanyard'", "0"),
        ("CLOSE mine", ""),
        ("SELECT count(*) FROM pg_cursors WHERE name = 'mine'", "0"),
        ("COMMIT", ""),
        ("SELECT * FROM pg_cursor()", "42501"),
    ];
    for (sql, expected) in script {
        assert_eq!(say(&taylor, sql).await, expected, "{sql}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_named_by_a_parameter_are_judged_in_the_warehouse() -> Outcome {
    let governed = shared().await?;
    let taylor = governed.connect("taylor").await?;
    const NAMED: &str = "SELECT set_config($1, $2, false)";
    for (setting, value, expected) in [
        ("default_transaction_deferrable", "on", "on"),
        ("TimeZone", "Asia/Tokyo", "Asia/Tokyo"),
        ("client_encoding", "UTF8", "UTF8"),
        ("client_encoding", "utf-8", "UTF8"),
        ("client_encoding", "latin1", "42501"),
        ("client_encoding", "SQL_ASCII", "42501"),
        ("Client_Encoding", "GBK", "42501"),
        ("standard_conforming_strings", "off", "42501"),
        ("backslash_quote", "on", "42501"),
        ("row_security", "off", "off"),
        ("lc_messages", "C", "42501"),
        ("search_path", "pg_temp", "42501"),
        ("application_name", "forged", "42501"),
        ("role", "lanyard_owner", "42501"),
        ("session_authorization", "lanyard_owner", "42501"),
        ("session_replication_role", "replica", "42501"),
        ("lanyard.user", "riley", "42501"),
        ("", "", "42501"),
        ("TimeZone", "nowhere/at_all", "22023"),
    ] {
        assert_eq!(ask(&taylor, NAMED, &[setting, value]).await, expected, "{setting} = {value}");
    }
    const ENCODING: &str = "SELECT set_config('client_encoding', $1::text, false)";
    assert_eq!(ask(&taylor, ENCODING, &["utf8"]).await, "UTF8");
    assert_eq!(ask(&taylor, ENCODING, &["EUC_JP"]).await, "42501");
    assert_eq!(say(&taylor, "SHOW client_encoding").await, "UTF8");
    assert_eq!(say(&taylor, "SHOW timezone").await, "Asia/Tokyo");
    assert_eq!(say(&taylor, "SHOW max_prepared_transactions").await, "0");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn types_are_named_by_parameters() -> Outcome {
    let governed = shared().await?;
    let taylor = governed.connect("taylor").await?;
    assert_eq!(say(&taylor, "DROP TYPE IF EXISTS suit; CREATE TYPE suit AS ENUM ('hearts')").await, "");
    const NAMED: &str = "SELECT ($1::regtype)::oid::text";
    for (name, expected) in [
        ("text", "25"),
        ("25", "25"),
        ("character varying(10)", "1043"),
        ("int4[]", "1007"),
        ("pg_catalog.int8", "20"),
        ("no_such_type", "42704"),
        ("hidden", "42704"),
        ("hidden(3)", "42704"),
        ("no_such_type(3)", "42704"),
        ("lanyard.lease", "42704"),
        ("lanyard_catalog._relation", "42704"),
    ] {
        assert_eq!(ask(&taylor, NAMED, &[name]).await, expected, "{name}");
    }
    for (sql, expected) in [
        ("SELECT to_regtype('suit') = (SELECT oid FROM pg_type WHERE typname = 'suit')", "t"),
        ("SELECT to_regtype('workspace_1_2.suit[]') IS NULL, to_regtype('suit[]') IS NOT NULL", "t|t"),
        (
            "SELECT enumlabel FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid WHERE t.oid = to_regtype('suit')",
            "hearts",
        ),
        (
            "SELECT to_regtype('lanyard.lease'), to_regtype('nothing'), to_regtype('public.nothing')",
            "NULL|NULL|NULL",
        ),
        // Of what is hidden it says what it says of what is not there.
        (
            "SELECT to_regtype('hidden'), to_regtype('hidden(3)'), to_regtype('hidden(3)[]'), to_regtype('nothing(3)')",
            "NULL|NULL|NULL|NULL",
        ),
        ("SELECT 'hidden(3)'::regtype", "NULL"),
        (
            "SELECT to_regtype('numeric(10,2)')::oid, to_regtype('float(10)')::oid, to_regtype('timestamp(3) with time zone[]')::oid",
            "1700|700|1185",
        ),
        ("SELECT to_regtype('int4(3)')", "42601"),
        ("DROP TYPE suit", ""),
    ] {
        assert_eq!(say(&taylor, sql).await, expected, "{sql}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_table_may_refer_to_itself() -> Outcome {
    let governed = shared().await?;
    let taylor = governed.connect("taylor").await?;
    for (sql, expected) in [
        (
            "CREATE TEMP TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree (id) DEFERRABLE INITIALLY DEFERRED)",
            "",
        ),
        ("BEGIN; INSERT INTO tree VALUES (1, 1)", ""),
        ("COMMIT", ""),
        ("BEGIN; INSERT INTO tree VALUES (2, 9)", ""),
        ("COMMIT", "23503"),
        ("CREATE TEMP TABLE other (id int REFERENCES customer_orders)", "42501"),
        ("CREATE TEMP TABLE other (id int REFERENCES public.other)", "42501"),
        ("DROP TABLE tree", ""),
    ] {
        assert_eq!(say(&taylor, sql).await, expected, "{sql}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn comments_on_constraints_of_ones_own_are_shown() -> Outcome {
    let governed = shared().await?;
    let taylor = governed.connect("taylor").await?;
    const COMMENTS: &str = "SELECT c.conname, d.description FROM pg_constraint c JOIN pg_description d \
        ON d.objoid = c.oid AND d.classoid = 'pg_constraint'::regclass WHERE c.conrelid >= 16384::oid ORDER BY 1";
    for (sql, expected) in [
        (
            "CREATE TABLE noted (a int CONSTRAINT above CHECK (a > 0)); CREATE TEMP TABLE passing (a int CONSTRAINT below CHECK (a < 0))",
            "",
        ),
        (COMMENTS, ""),
        (
            "COMMENT ON CONSTRAINT above ON noted IS 'kept'; COMMENT ON CONSTRAINT below ON passing IS 'gone soon'",
            "",
        ),
        (COMMENTS, "above|kept below|gone soon"),
        ("DROP TABLE noted, passing", ""),
        (COMMENTS, ""),
    ] {
        assert_eq!(say(&taylor, sql).await, expected, "{sql}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn constraints_wait_where_they_are_ones_own() -> Outcome {
    let governed = shared().await?;
    let taylor = governed.connect("taylor").await?;
    for (sql, expected) in [
        ("CREATE TABLE knot (id int PRIMARY KEY, next int CONSTRAINT tied REFERENCES knot DEFERRABLE)", ""),
        ("INSERT INTO knot VALUES (1, 2)", "23503"),
        ("BEGIN; SET CONSTRAINTS tied DEFERRED; INSERT INTO knot VALUES (1, 2)", ""),
        ("SET CONSTRAINTS ALL IMMEDIATE", "23503"),
        ("ROLLBACK", ""),
        ("BEGIN; SET CONSTRAINTS ALL DEFERRED; INSERT INTO knot VALUES (1, 2), (2, 1)", ""),
        ("COMMIT; SELECT count(*) FROM knot", "2"),
        ("SET CONSTRAINTS no_such_constraint DEFERRED", "42704"),
        ("SET CONSTRAINTS public.tied DEFERRED", "42501"),
        ("DROP TABLE knot", ""),
    ] {
        assert_eq!(say(&taylor, sql).await, expected, "{sql}");
    }
    Ok(())
}
