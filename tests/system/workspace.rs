//! `allow workspace`: temporary tables and a schema of the session's own, through the proxy.
//!
//! taylor's is kept, riley's is dropped with the last lease, morgan has none.

use std::sync::{Arc, Weak};

use lanyard::demo::governance;
use lanyard::demo::setting::SettingOptions;
use lanyard_tests::raw::{PROTOCOL_3_0, Raw};
use lanyard_tests::wait::until;
use lanyard_tests::{Governed, GovernedOptions, Outcome};
use tokio::sync::Mutex;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::messages::{Dice, message, told};

const POLICIES: &str = "
policy own_work
  allow workspace kept to users named taylor, harper
policy own_scratch
  allow workspace to users named riley";

async fn governed() -> Outcome<Governed> {
    let mut files = governance::FILES.to_vec();
    files.push(("workspace.policy", POLICIES));
    let setting = SettingOptions { governance: &files, ..SettingOptions::default() };
    Governed::start_with(&GovernedOptions { setting, ..GovernedOptions::default() }).await
}

/// One for all tests that neither kill nor count.
pub(crate) async fn shared() -> Outcome<Arc<Governed>> {
    static SHARED: Mutex<Weak<Governed>> = Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(running) = shared.upgrade() {
        return Ok(running);
    }
    let started = Arc::new(governed().await?);
    *shared = Arc::downgrade(&started);
    Ok(started)
}

/// Rows as text, or the SQLSTATE of the refusal.
pub(crate) async fn say(client: &Client, sql: &str) -> String {
    match client.simple_query(sql).await {
        Ok(messages) => rows(&messages),
        Err(error) => match error.as_db_error() {
            Some(error) => error.code().code().to_owned(),
            None => error.to_string(),
        },
    }
}

fn rows(messages: &[SimpleQueryMessage]) -> String {
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            let cells: Vec<&str> = (0..row.len()).map(|i| row.get(i).unwrap_or("NULL")).collect();
            Some(cells.join("|"))
        }
        _ => None,
    };
    messages.iter().filter_map(row).collect::<Vec<_>>().join(" ")
}

/// Statements in order with what must come of each.
async fn play(client: &Client, script: &[(&str, &str)]) {
    for (sql, expected) in script {
        assert_eq!(say(client, sql).await, *expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_session_makes_works_by_its_bare_name() -> Outcome {
    let governed = shared().await?;
    let harper = governed.connect("harper").await?;
    play(
        &harper,
        &[
            ("SELECT current_schema(), current_schemas(false)", "workspace_0_3|{workspace_0_3,public}"),
            ("CREATE TABLE t (id int PRIMARY KEY, name text DEFAULT lower('X'), CHECK (length(name) < 9))", ""),
            ("CREATE TABLE t (id int)", "42P07"),
            ("INSERT INTO t (id) VALUES (1), (2) RETURNING t.id, name", "1|x 2|x"),
            ("INSERT INTO t VALUES (3, 'a name too long')", "23514"),
            ("SELECT t.*, workspace_0_3.t.id FROM t", "1|x|1 2|x|2"),
            ("CREATE TABLE u (id serial PRIMARY KEY, t_id int REFERENCES t, n int GENERATED ALWAYS AS IDENTITY)", ""),
            ("INSERT INTO u (t_id) VALUES (1) RETURNING *", "1|1|1"),
            ("INSERT INTO u (t_id) VALUES (9)", "23503"),
            ("SELECT setval(pg_get_serial_sequence('u', 'id'), 7), nextval('u_id_seq'), currval('u_id_seq')", "7|8|8"),
            ("CREATE INDEX by_name ON t (lower(name))", ""),
            ("CREATE TYPE mood AS ENUM ('sad', 'ok')", ""),
            ("ALTER TYPE mood ADD VALUE 'happy' AFTER 'ok'", ""),
            ("CREATE TABLE m (f mood, fs mood[])", ""),
            ("INSERT INTO m VALUES ('ok', '{sad,happy}') RETURNING f, 'sad'::mood < f, fs", "ok|t|{sad,happy}"),
            ("CREATE DOMAIN positive AS int CHECK (VALUE > 0)", ""),
            ("SELECT (-1)::positive", "23514"),
            ("CREATE TYPE pair AS (a int, b mood)", ""),
            ("SELECT ROW(1, 'ok')::pair, NULL::t IS NULL", "(1,ok)|t"),
            ("CREATE VIEW v AS SELECT id FROM t WHERE id > 1", ""),
            ("SELECT * FROM v", "2"),
            ("CREATE MATERIALIZED VIEW mv AS SELECT id FROM t", ""),
            ("REFRESH MATERIALIZED VIEW mv", ""),
            ("CREATE TABLE part (a int) PARTITION BY RANGE (a)", ""),
            ("CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (1) TO (10)", ""),
            ("INSERT INTO part VALUES (5) RETURNING tableoid::regclass", "workspace_0_3.part_1"),
            ("ALTER TABLE t ADD COLUMN more timestamptz DEFAULT now(), ALTER COLUMN name TYPE varchar(20)", ""),
            ("ALTER TABLE t RENAME COLUMN more TO seen", ""),
            ("UPDATE t SET name = 'y' WHERE seen <= now() AND id = 2 RETURNING id", "2"),
            ("COMMENT ON COLUMN t.seen IS 'it''s when'", ""),
            ("VACUUM ANALYZE t", ""),
            ("SELECT relname, relkind FROM pg_class WHERE relname IN ('t', 'u_id_seq', 'by_name', 'v') ORDER BY 1",
             "by_name|i t|r u_id_seq|S v|v"),
            ("SELECT column_name, udt_name FROM information_schema.columns WHERE table_name = 'm' ORDER BY 1", "f|mood fs|_mood"),
            ("SELECT format_type('mood'::regtype, NULL), to_regclass('t') = 't'::regclass, pg_table_is_visible('t'::regclass)",
             "mood|t|t"),
            ("SELECT has_table_privilege('t', 'TRUNCATE'), has_schema_privilege('workspace_0_3', 'CREATE')", "t|t"),
            ("SELECT has_schema_privilege('public', 'CREATE')", "f"),
            ("SELECT col_description('t'::regclass, 3), pg_get_viewdef('v'::regclass) LIKE '%id > 1%'", "it's when|t"),
            ("MERGE INTO t USING (VALUES (2), (3)) AS s (id) ON t.id = s.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)", ""),
            ("DELETE FROM u RETURNING id", "1"),
            ("TRUNCATE t CASCADE", ""),
            ("DROP TYPE mood", "2BP01"),
            ("DROP TABLE t, u, m, part CASCADE", ""),
            ("SELECT relname FROM pg_class WHERE relnamespace = 'workspace_0_3'::regnamespace ORDER BY 1", "pair"),
            ("DROP TYPE mood, pair CASCADE", ""),
            ("DROP DOMAIN positive", ""),
            ("DROP TABLE IF EXISTS t", ""),
            ("DROP TABLE t", "42P01"),
        ],
    )
    .await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_governed_stays_so() -> Outcome {
    let governed = shared().await?;
    let taylor = governed.connect("taylor").await?;
    play(
        &taylor,
        &[
            // Masks and filters are copied, not lifted.
            ("CREATE TEMP TABLE copied AS SELECT * FROM customer_orders", ""),
            ("SELECT DISTINCT lastname FROM copied", "REDACTED"),
            ("SELECT lastname INTO TEMP names FROM customer_orders", ""),
            ("SELECT DISTINCT lastname FROM names", "REDACTED"),
            // Nothing stands in the place of what is granted, and nothing is made elsewhere.
            ("CREATE TABLE customer_orders (a int)", "42P07"),
            ("CREATE TABLE public.other (a int)", "42501"),
            ("CREATE TABLE workspace_0_3.other (a int)", "42501"),
            ("DROP TABLE customer_orders", "42501"),
            ("ALTER TABLE customer_orders ADD COLUMN a int", "42501"),
            ("CREATE INDEX ON customer_orders (lastname)", "42501"),
            ("TRUNCATE customer_orders", "42501"),
            // What is hidden and what is missing are told alike.
            ("SELECT * FROM payroll", "42P01"),
            ("SELECT * FROM missing", "42P01"),
            ("DROP TABLE payroll", "42P01"),
            ("DROP TABLE public.payroll", "42P01"),
            ("CREATE TABLE f (a int REFERENCES payroll)", "42P01"),
            ("CREATE TABLE f (a int REFERENCES customer_orders)", "42501"),
            ("CREATE TABLE f (LIKE payroll)", "42P01"),
            ("SELECT 'payroll'::regclass", "42P01"),
            ("SELECT NULL::payroll", "42704"),
            ("SELECT NULL::missing", "42704"),
            // Nothing kept hangs on what is governed, nor names hidden objects.
            ("CREATE VIEW kept AS SELECT * FROM customer_orders", "0A000"),
            ("CREATE TABLE kept AS SELECT c FROM customer_orders c", "0A000"),
            ("CREATE TABLE kept AS SELECT array_agg(c) FROM customer_orders c", "0A000"),
            ("CREATE TABLE kept (c customer_orders)", "0A000"),
            ("CREATE TABLE kept AS SELECT p FROM pg_proc p", "0A000"),
            ("CREATE TEMP TABLE kept AS SELECT p FROM pg_proc p", "0A000"),
            ("CREATE TABLE kept AS SELECT oid::regclass AS r FROM pg_class", "0A000"),
            ("CREATE TEMP TABLE kept AS SELECT pg_typeof(1) AS r", "0A000"),
            ("CREATE TEMP TABLE kept AS SELECT ARRAY['pg_class'::regclass] AS r", "0A000"),
            ("CREATE TEMP VIEW kept AS SELECT prosupport FROM pg_proc", "0A000"),
            ("CREATE TABLE kept (r regclass)", "42501"),
            ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "42501"),
            ("CREATE SCHEMA mine", "42501"),
            ("GRANT SELECT ON copied TO PUBLIC", "42501"),
            ("SET ROLE lanyard_workspace_0_1", "42501"),
            ("SELECT relname FROM pg_class WHERE relnamespace = 'workspace_0_1'::regnamespace", ""),
        ],
    )
    .await;
    // Who has no workspace has nothing of this.
    let morgan = governed.connect("morgan").await?;
    for sql in ["CREATE TABLE t (a int)", "CREATE TEMP TABLE t (a int)", "SELECT 1 INTO t", "DROP TABLE t"] {
        assert_eq!(say(&morgan, sql).await, "42501", "{sql}");
    }
    assert_eq!(say(&morgan, "SELECT current_schema()").await, "public");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_are_kept_or_dropped_and_shared_by_sessions_of_one_pair_alone() -> Outcome {
    let governed = governed().await?;
    let taylor = governed.connect("taylor").await?;
    let riley = governed.connect("riley").await?;
    for client in [&taylor, &riley] {
        play(
            client,
            &[("CREATE TABLE left_over AS SELECT 'mine' AS a", ""), ("CREATE TEMP TABLE brief (a int)", "")],
        )
        .await;
    }
    // A second session of the pair sees, changes and drops what the first made.
    let second = governed.connect("taylor").await?;
    play(
        &second,
        &[
            ("SELECT a FROM left_over", "mine"),
            ("ALTER TABLE left_over ADD COLUMN b int", ""),
            ("CREATE TABLE more (a int)", ""),
            ("SELECT * FROM brief", "42P01"),
        ],
    )
    .await;
    play(&taylor, &[("DROP TABLE more", ""), ("SELECT a, b FROM left_over", "mine|NULL")]).await;
    // Others do not: another user, the same user's agent, the agent of another.
    for login in ["riley", "harper", "marketing-agent~taylor", "marketing-agent~riley"] {
        let other = governed.connect(login).await?;
        play(
            &other,
            &[
                ("SELECT a FROM workspace_0_1.left_over", "42P01"),
                ("DROP TABLE workspace_0_1.left_over", "42P01"),
                ("CREATE TABLE workspace_0_1.x (a int)", "42501"),
                ("SELECT 'workspace_0_1.left_over'::regclass", "42P01"),
                (
                    "SELECT to_regclass('workspace_0_1.left_over'), to_regnamespace('workspace_0_1')",
                    "NULL|NULL",
                ),
                ("SELECT count(*) FROM pg_namespace WHERE nspname = 'workspace_0_1'", "0"),
                ("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'workspace_0_1'", "0"),
                ("SELECT NULL::workspace_0_1.left_over", "42704"),
            ],
        )
        .await;
        if login != "riley" {
            assert_eq!(say(&other, "SELECT a FROM left_over").await, "42P01", "{login}");
        }
    }
    drop((taylor, second, riley));
    until("every lease has ended", async || Ok(governed.vended_roles().await?.is_empty().then_some(())))
        .await?;
    let dba = governed.dba().await?;
    let schemas = "SELECT nspname FROM pg_namespace WHERE nspname ~ '^(workspace|scratch)_' ORDER BY 1";
    let left: Vec<String> = dba.query(schemas, &[]).await?.iter().map(|row| row.get(0)).collect();
    assert!(
        left.contains(&"workspace_0_1".to_owned()) && !left.iter().any(|s| s.starts_with("scratch")),
        "{left:?}"
    );
    play(
        &governed.connect("taylor").await?,
        &[("SELECT a FROM left_over", "mine"), ("DROP TABLE left_over", "")],
    )
    .await;
    play(&governed.connect("riley").await?, &[("SELECT a FROM left_over", "42P01")]).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_proxy_leaves_nothing_that_was_to_be_dropped() -> Outcome {
    let governed = governed().await?;
    let riley = governed.connect("riley").await?;
    play(&riley, &[("CREATE TABLE left_over (a int)", ""), ("CREATE TEMP TABLE brief (a int)", "")]).await;
    let taylor = governed.connect("taylor").await?;
    play(&taylor, &[("CREATE TABLE left_over (a int)", "")]).await;
    governed.kill_proxy().await?;
    governed.start_proxy().await?;
    until("the leftovers are gone", async || Ok(governed.vended_roles().await?.is_empty().then_some(())))
        .await?;
    let dba = governed.dba().await?;
    let tables =
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE c.relname IN ('left_over', 'brief')";
    let left: Vec<String> = dba.query(tables, &[]).await?.iter().map(|row| row.get(0)).collect();
    assert_eq!(left, ["workspace_0_1.left_over"]);
    Ok(())
}

/// Steps of random scripts. `a` is there for good as well, with one row.
const STEPS: [&str; 27] = [
    "CREATE TEMP TABLE a (word text)",
    "CREATE TEMP TABLE a AS SELECT 'temporary'::text AS word",
    "CREATE TEMP TABLE b (word text)",
    "CREATE TEMP TABLE b AS SELECT 'b'::text AS word",
    "CREATE TEMP TABLE b (word text) ON COMMIT DROP",
    "CREATE TEMP TABLE IF NOT EXISTS c (word text)",
    "SELECT 'into'::text AS word INTO TEMP a",
    "DROP TABLE pg_temp.a",
    "DROP TABLE b",
    "DROP TABLE IF EXISTS b, c",
    "ALTER TABLE b RENAME TO c",
    "ALTER TABLE c RENAME TO b",
    "INSERT INTO b VALUES ('more')",
    "INSERT INTO a SELECT word FROM a",
    "TRUNCATE c",
    "DISCARD TEMP",
    "BEGIN",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "ROLLBACK AND CHAIN",
    "SAVEPOINT s",
    "SAVEPOINT t",
    "ROLLBACK TO s",
    "ROLLBACK TO t",
    "RELEASE s",
    "SELECT 1/0",
];

#[tokio::test(flavor = "multi_thread")]
async fn temporary_names_follow_transactions_as_postgresql_has_it() -> Outcome {
    let governed = governed().await?;
    let cluster = governed.cluster();
    let kept = "CREATE TABLE a AS SELECT 'kept'::text AS word";
    governed
        .dba()
        .await?
        .batch_execute(&format!("CREATE SCHEMA direct; SET search_path = direct; {kept}"))
        .await?;
    assert_eq!(say(&governed.connect("taylor").await?, kept).await, "");
    let mut dice = Dice(0x7e4b_0de1_5eed);
    for round in 0..60 {
        let mut proxied = governed.raw_session("taylor").await?;
        let mut direct = Raw::connect(cluster.port()).await?;
        let parameters = [("user", cluster.superuser()), ("database", "shop"), ("search_path", "direct")];
        direct.startup(PROTOCOL_3_0, &parameters).await?;
        direct.authenticate(cluster.password()).await?;
        direct.read_until(b'Z').await?;
        let mut script = vec![format!("round {round}")];
        for _ in 0..10 {
            let (text, bytes, readies) = message(&mut dice, &STEPS);
            script.push(text);
            let expected = told(&mut direct, &bytes, readies).await?;
            assert_eq!(told(&mut proxied, &bytes, readies).await?, expected, "{script:#?}");
            let last = expected.last().map(String::as_str);
            if last == Some("Z E") {
                continue;
            }
            for name in ["a", "b", "c"] {
                // In a transaction a failure would end it.
                let ask = format!("SELECT word FROM {name}");
                let asked: &[&str] = if last == Some("Z T") {
                    &["SAVEPOINT guard", &ask, "ROLLBACK TO guard", "RELEASE guard"]
                } else {
                    &[&ask]
                };
                for sql in asked {
                    let bytes = lanyard_tests::raw::frame(b'Q', format!("{sql}\0").as_bytes());
                    let expected = told(&mut direct, &bytes, 1).await?;
                    assert_eq!(told(&mut proxied, &bytes, 1).await?, expected, "{sql} after {script:#?}");
                }
            }
        }
        // What a round changed in the table that stays is taken back.
        for raw in [&mut proxied, &mut direct] {
            let bytes = lanyard_tests::raw::frame(
                b'Q',
                b"ROLLBACK; DISCARD TEMP; DELETE FROM a; INSERT INTO a VALUES ('kept')\0",
            );
            told(raw, &bytes, 1).await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn drivers_make_and_drop_their_tables() -> Outcome {
    let governed = shared().await?;
    for driver in ["psycopg", "psycopg2"] {
        let script = include_str!("../drivers/workspace_.py");
        let printed = governed.python_with("taylor", script, &[driver]).await?;
        assert_eq!(printed.success()?.trim(), "done");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pgbench_and_psql_work_in_a_workspace() -> Outcome {
    let governed = governed().await?;
    for arguments in [
        ["-i", "-s", "1", "--foreign-keys", "--quiet"].as_slice(),
        &["-i", "-s", "1", "--partitions=2", "-I", "dtGvpf", "--quiet"],
        &["-t", "50", "-c", "2", "-n"],
        &["-t", "50", "-c", "2", "-n", "-M", "prepared"],
        &["-t", "20", "-c", "1", "-N", "-n", "-M", "extended"],
    ] {
        let mut command = tokio::process::Command::new("pgbench");
        command.args(arguments);
        let printed = governed.run("taylor", command, "").await?;
        let told = printed.success().map_err(|e| format!("pgbench {arguments:?}: {e}"))?;
        assert!(arguments[0] == "-i" || told.contains("failed transactions: 0"), "{told}");
    }
    let script = "\\d pgbench_accounts\n\\dt\nCREATE TEMP TABLE brief (a serial);\n\\d brief\n\\di\n\\ds\n\\dn\n\\dT+\n\\dp pgbench_accounts\n\
                  \\copy brief FROM STDIN\n7\n\\.\nSELECT a FROM brief;\nSELECT count(*) FROM pgbench_accounts;\n";
    let out = governed.psql("taylor", script).await?.success()?;
    for wanted in
        ["pgbench_accounts_pkey", "workspace_0_1|pgbench_tellers", "COPY 1\n7\n100000\n", "brief_a_seq"]
    {
        assert!(out.contains(wanted), "{wanted:?} in {out}");
    }
    assert!(!out.contains("payroll") && !out.contains("lanyard"), "{out}");
    Ok(())
}
