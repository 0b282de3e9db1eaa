//! What is the session's own, as data: what comes out with a workspace, and what is refused with and without one.

use super::*;
use crate::sql::paths::{Paths, Step};

/// Judged with a workspace, and with a temporary table `tmp`.
fn run(sql: &str) -> Result<Judged, Refusal> {
    let mut paths = Paths::default();
    paths.apply(&Step::Made { name: "tmp".into(), until_commit: false });
    paths.settle();
    let (entitlement, path) = (entitlement(), ["public".to_owned()]);
    let context = Context {
        entitlement: &entitlement,
        search_path: &path,
        paths: Some(&paths),
        workspace: Some("workspace_5_1"),
        database: "shop",
    };
    judge(RawSql::new(sql), &context)
}

fn becomes(sql: &str, expected: &str) {
    match run(sql) {
        Ok(judged) => {
            assert_eq!(judged.enforced.for_record(), expected.replace("{w}", "\"workspace_5_1\""), "{sql}")
        }
        Err(refusal) => panic!("{sql}: refused: {} {refusal}", refusal.code.sqlstate()),
    }
}

fn refused(sql: &str, code: Code) {
    match run(sql) {
        Ok(judged) => panic!("{sql}: released as {}", judged.enforced.for_record()),
        Err(refusal) => assert_eq!(refusal.code, code, "{sql}: {refusal}"),
    }
}

#[test]
fn names_go_to_the_sessions_own_schema() {
    for (sql, expected) in [
        ("SELECT * FROM t", r#"SELECT * FROM {w}."t" AS "t""#),
        ("SELECT * FROM workspace_5_1.t x", r#"SELECT * FROM {w}."t" x"#),
        ("SELECT workspace_5_1.t.a FROM t", r#"SELECT t.a FROM {w}."t" AS "t""#),
        ("SELECT * FROM ONLY t", r#"SELECT * FROM ONLY {w}."t" AS "t""#),
        ("SELECT * FROM tmp", r#"SELECT * FROM "pg_temp"."tmp" AS "tmp""#),
        ("SELECT * FROM pg_temp_7.tmp", r#"SELECT * FROM "pg_temp"."tmp" AS "tmp""#),
        ("WITH t AS (SELECT 1) SELECT * FROM t", "WITH t AS (SELECT 1) SELECT * FROM t"),
        (
            "SELECT * FROM customers, t",
            r#"SELECT * FROM "lanyard_secured"."v_c" AS "customers", {w}."t" AS "t""#,
        ),
        (
            "INSERT INTO t SELECT * FROM orders",
            r#"INSERT INTO {w}."t" AS "t" SELECT * FROM "lanyard_secured"."v_o" AS "orders""#,
        ),
        ("COPY t (a) FROM STDIN (FREEZE)", r#"COPY {w}."t" (a) FROM STDIN (FREEZE)"#),
        ("COPY t TO STDOUT", r#"COPY {w}."t" TO STDOUT"#),
        ("SET CONSTRAINTS ALL DEFERRED", "SET CONSTRAINTS ALL DEFERRED"),
        (
            "SET CONSTRAINTS one, workspace_5_1.two IMMEDIATE",
            r#"SET CONSTRAINTS {w}."one", {w}."two" IMMEDIATE"#,
        ),
        (
            "CREATE TEMP TABLE fresh (a int PRIMARY KEY, b int REFERENCES fresh (a), FOREIGN KEY (b) REFERENCES pg_temp.fresh)",
            r#"CREATE TEMP TABLE fresh (a int PRIMARY KEY, b int REFERENCES "pg_temp"."fresh" (a), FOREIGN KEY (b) REFERENCES "pg_temp"."fresh")"#,
        ),
        (
            "CREATE TEMP TABLE orders (a int PRIMARY KEY, b int REFERENCES orders)",
            r#"CREATE TEMP TABLE orders (a int PRIMARY KEY, b int REFERENCES "pg_temp"."orders")"#,
        ),
        ("CREATE TABLE t (a int)", r#"CREATE TABLE {w}."t" (a int)"#),
        ("CREATE TABLE workspace_5_1.orders (a int)", r#"CREATE TABLE {w}."orders" (a int)"#),
        (
            "CREATE TABLE IF NOT EXISTS t (a serial, b mood2[], c int REFERENCES u (x) DEFAULT lower('1')::int)",
            r#"CREATE TABLE IF NOT EXISTS {w}."t" (a serial, b {w}."mood2"[], c int REFERENCES {w}."u" (x) DEFAULT pg_catalog."lower"('1')::int)"#,
        ),
        (
            "CREATE TABLE t (LIKE customers, LIKE u INCLUDING ALL)",
            r#"CREATE TABLE {w}."t" (LIKE "lanyard_secured"."v_c", LIKE {w}."u" INCLUDING ALL)"#,
        ),
        (
            "CREATE TABLE t PARTITION OF u FOR VALUES IN (1)",
            r#"CREATE TABLE {w}."t" PARTITION OF {w}."u" FOR VALUES IN (1)"#,
        ),
        ("CREATE TEMP TABLE x (a int) ON COMMIT DROP", "CREATE TEMP TABLE x (a int) ON COMMIT DROP"),
        (
            "CREATE TABLE t AS SELECT * FROM customers",
            r#"CREATE TABLE {w}."t" AS SELECT * FROM "lanyard_secured"."v_c" AS "customers""#,
        ),
        (
            "SELECT id INTO t FROM orders UNION SELECT 1",
            r#"SELECT id INTO {w}."t" FROM "lanyard_secured"."v_o" AS "orders" UNION SELECT 1"#,
        ),
        ("CREATE VIEW v AS SELECT * FROM t", r#"CREATE VIEW {w}."v" AS SELECT * FROM {w}."t" AS "t""#),
        (
            "CREATE UNIQUE INDEX i ON t USING btree (lower(a) text_pattern_ops) WHERE a > 'b'",
            r#"CREATE UNIQUE INDEX i ON {w}."t" USING btree (pg_catalog."lower"(a) text_pattern_ops) WHERE a > 'b'"#,
        ),
        (
            "ALTER TABLE t ADD COLUMN b text, ALTER a TYPE int USING lower(a)::int, ADD FOREIGN KEY (b) REFERENCES tmp",
            r#"ALTER TABLE {w}."t" ADD COLUMN b text, ALTER a TYPE int USING pg_catalog."lower"(a)::int, ADD FOREIGN KEY (b) REFERENCES "pg_temp"."tmp""#,
        ),
        (
            "ALTER TABLE t ALTER a SET NOT NULL, ALTER a DROP NOT NULL",
            r#"ALTER TABLE {w}."t" ALTER a SET NOT NULL, ALTER a DROP NOT NULL"#,
        ),
        (
            "ALTER TABLE t ALTER a DROP EXPRESSION IF EXISTS",
            r#"ALTER TABLE {w}."t" ALTER a DROP EXPRESSION IF EXISTS"#,
        ),
        (
            "ALTER TABLE t ALTER a SET STATISTICS 5, ALTER a SET STORAGE PLAIN, ALTER a SET COMPRESSION pglz",
            r#"ALTER TABLE {w}."t" ALTER a SET STATISTICS 5, ALTER a SET STORAGE PLAIN, ALTER a SET COMPRESSION pglz"#,
        ),
        (
            "ALTER TABLE t ALTER a SET (n_distinct = 5), ALTER a RESET (n_distinct)",
            r#"ALTER TABLE {w}."t" ALTER a SET (n_distinct = 5), ALTER a RESET (n_distinct)"#,
        ),
        (
            "ALTER TABLE t DROP COLUMN IF EXISTS a CASCADE, DROP CONSTRAINT c",
            r#"ALTER TABLE {w}."t" DROP COLUMN IF EXISTS a CASCADE, DROP CONSTRAINT c"#,
        ),
        (
            "ALTER TABLE t ALTER CONSTRAINT c DEFERRABLE INITIALLY DEFERRED",
            r#"ALTER TABLE {w}."t" ALTER CONSTRAINT c DEFERRABLE INITIALLY DEFERRED"#,
        ),
        (
            "ALTER TABLE t ALTER CONSTRAINT c NOT ENFORCED",
            r#"ALTER TABLE {w}."t" ALTER CONSTRAINT c NOT ENFORCED"#,
        ),
        (
            "ALTER TABLE t VALIDATE CONSTRAINT c, CLUSTER ON i, SET WITHOUT CLUSTER",
            r#"ALTER TABLE {w}."t" VALIDATE CONSTRAINT c, CLUSTER ON i, SET WITHOUT CLUSTER"#,
        ),
        ("ALTER TABLE t SET LOGGED, SET UNLOGGED", r#"ALTER TABLE {w}."t" SET LOGGED, SET UNLOGGED"#),
        (
            "ALTER TABLE t SET (fillfactor = 70), RESET (fillfactor)",
            r#"ALTER TABLE {w}."t" SET (fillfactor = 70), RESET (fillfactor)"#,
        ),
        (
            "ALTER TABLE t ALTER a DROP IDENTITY IF EXISTS",
            r#"ALTER TABLE {w}."t" ALTER a DROP IDENTITY IF EXISTS"#,
        ),
        ("ALTER TABLE t RENAME TO u", r#"ALTER TABLE {w}."t" RENAME TO u"#),
        (
            "DROP TABLE IF EXISTS t, pg_temp.x, \"tmp\" CASCADE",
            r#" DROP TABLE IF EXISTS {w}."t", "pg_temp"."x", "pg_temp"."tmp" CASCADE "#,
        ),
        ("DROP TYPE mood2", r#" DROP TYPE {w}."mood2" "#),
        ("COMMENT ON COLUMN t.a IS 'it''s'", r#" COMMENT ON COLUMN {w}."t"."a" IS 'it''s' "#),
        ("CREATE TYPE m AS ENUM ('a', 'b''c')", r#" CREATE TYPE {w}."m" AS ENUM ('a', 'b''c') "#),
        (
            "ALTER TYPE m ADD VALUE IF NOT EXISTS 'x' BEFORE 'a'",
            r#" ALTER TYPE {w}."m" ADD VALUE IF NOT EXISTS 'x' BEFORE 'a' "#,
        ),
        ("CREATE TYPE p AS (a int, b m)", r#"CREATE TYPE {w}."p" AS (a int, b {w}."m")"#),
        (
            "CREATE DOMAIN d AS int CHECK (VALUE > abs(0))",
            r#"CREATE DOMAIN {w}."d" AS int CHECK (VALUE > pg_catalog."abs"(0))"#,
        ),
        ("CREATE DOMAIN workspace_5_1 . \"d\" text", r#"CREATE DOMAIN {w}."d" text"#),
        (
            "SELECT 'x'::m, NULL::t, 't'::regclass",
            r#"SELECT 'x'::{w}."m", NULL::{w}."t", '{w}."t"'::regclass"#,
        ),
        (
            "SELECT nextval('s'), nextval('orders_feeling_seq')",
            r#"SELECT pg_catalog."nextval"('{w}."s"'), pg_catalog."nextval"('orders_feeling_seq')"#,
        ),
        ("SELECT setval('s', 3)", r#"SELECT pg_catalog."setval"('{w}."s"', 3)"#),
        (
            "TRUNCATE t, ONLY tmp RESTART IDENTITY",
            r#"TRUNCATE {w}."t", ONLY "pg_temp"."tmp" RESTART IDENTITY"#,
        ),
        ("VACUUM (ANALYZE) t (a)", r#"VACUUM (ANALYZE) {w}."t" (a)"#),
        ("LOCK TABLE t IN SHARE MODE", r#"LOCK TABLE {w}."t" IN SHARE MODE"#),
        (
            "CREATE TEMP TABLE a (b int); SELECT * FROM a; DROP TABLE a; SELECT * FROM a",
            r#"CREATE TEMP TABLE a (b int); SELECT * FROM "pg_temp"."a" AS "a";  DROP TABLE "pg_temp"."a" ; SELECT * FROM {w}."a" AS "a""#,
        ),
        (
            "BEGIN; CREATE TEMP TABLE a (b int); ROLLBACK; SELECT * FROM a",
            r#"BEGIN; CREATE TEMP TABLE a (b int); ROLLBACK; SELECT * FROM {w}."a" AS "a""#,
        ),
    ] {
        becomes(sql, expected);
    }
}

#[test]
fn what_is_not_the_sessions_own_stays_out_of_reach() {
    use Code::{DuplicateTable, Policy, Syntax, UndefinedObject, UndefinedTable, Unsupported};
    for (sql, code) in [
        // What others govern.
        ("CREATE TABLE public.t (a int)", Policy),
        ("CREATE TABLE lanyard.t (a int)", Policy),
        ("CREATE TABLE workspace_5_2.t (a int)", Policy),
        ("CREATE TABLE scratch_5_1.t (a int)", Policy),
        ("SELECT * FROM workspace_5_2.t", UndefinedTable),
        ("SELECT * FROM lanyard.lease", UndefinedTable),
        ("CREATE TABLE orders (a int)", DuplicateTable),
        ("CREATE TABLE IF NOT EXISTS orders (a int)", DuplicateTable),
        ("CREATE VIEW customers AS SELECT 1", DuplicateTable),
        ("ALTER TABLE t RENAME TO orders", DuplicateTable),
        ("CREATE TYPE orders AS ENUM ()", DuplicateTable),
        ("CREATE TABLE pg_class (a int)", DuplicateTable),
        ("CREATE TEMP TABLE pg_class (a int)", Policy),
        ("CREATE TEMP TABLE lanyard_x (a int)", Policy),
        ("ALTER TABLE t RENAME TO pg_x", Policy),
        ("ALTER TABLE orders ADD COLUMN a int", Policy),
        ("ALTER TABLE public.orders DROP COLUMN id", Policy),
        ("ALTER TABLE payroll.t ADD COLUMN a int", UndefinedTable),
        ("DROP TABLE orders", Policy),
        ("DROP TABLE t, public.orders", UndefinedTable),
        ("DROP TABLE lanyard_secured.v_c", UndefinedTable),
        ("TRUNCATE orders", Policy),
        ("TRUNCATE t, customers", Policy),
        ("COMMENT ON TABLE orders IS 'x'", Policy),
        ("COMMENT ON TABLE public.orders IS 'x'", UndefinedTable),
        ("LOCK TABLE orders", Policy),
        ("CREATE INDEX ON orders (id)", Policy),
        ("CREATE INDEX ON public.customers (ssn)", Policy),
        ("VACUUM orders", Policy),
        ("VACUUM", Policy),
        ("ANALYZE", Policy),
        ("CREATE TABLE t (a int REFERENCES orders)", Policy),
        ("SET CONSTRAINTS public.orders_fk DEFERRED", Policy),
        ("SET CONSTRAINTS one, public.orders_fk DEFERRED", Policy),
        ("SET CONSTRAINTS shop.workspace_5_1.one DEFERRED", Policy),
        ("CREATE TABLE t (a int REFERENCES public.customers (ssn))", Policy),
        ("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES customers (ssn)", Policy),
        ("CREATE TABLE t (a int) INHERITS (customers)", Policy),
        ("CREATE TABLE t PARTITION OF orders DEFAULT", Policy),
        ("ALTER TABLE t INHERIT customers", Policy),
        ("ALTER TABLE t ATTACH PARTITION orders DEFAULT", Policy),
        ("CREATE SEQUENCE s OWNED BY orders.id", Unsupported),
        ("CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME public.s))", Unsupported),
        // Definitions that go on reading.
        ("CREATE VIEW v AS SELECT * FROM customers", Unsupported),
        ("CREATE VIEW v AS SELECT * FROM t WHERE a IN (SELECT id FROM orders)", Unsupported),
        ("CREATE VIEW v AS TABLE pg_class", Unsupported),
        ("CREATE VIEW v AS SELECT pg_get_userbyid(a) FROM t", Unsupported),
        ("CREATE MATERIALIZED VIEW v AS SELECT * FROM orders", Unsupported),
        ("CREATE TABLE t (a text DEFAULT current_setting('TimeZone'))", Unsupported),
        // Expressions are judged.
        ("CREATE TABLE t (a text DEFAULT pg_read_file('x'))", Policy),
        ("CREATE TABLE t (a text CHECK (dblink('x', a) IS NULL))", Policy),
        (
            "CREATE TABLE t (a text GENERATED ALWAYS AS (query_to_xml(a, true, true, '')::text) STORED)",
            Policy,
        ),
        ("CREATE INDEX ON t (public.leak(a))", Policy),
        ("CREATE INDEX ON t (a) WHERE pg_notify('x', a) IS NULL", Policy),
        ("ALTER TABLE t ALTER a SET DEFAULT pg_read_file('x')", Policy),
        ("ALTER TABLE t ALTER a TYPE int USING public.leak(a)", Policy),
        ("ALTER TABLE t ADD CHECK (pg_notify(a, a) IS NULL)", Policy),
        ("CREATE DOMAIN d AS text CHECK (pg_read_file(VALUE) IS NULL)", Policy),
        ("CREATE TABLE t (EXCLUDE USING gist (a WITH public.=))", Policy),
        ("CREATE TABLE t AS SELECT pg_read_file('x')", Policy),
        ("SELECT pg_read_file('x') INTO t", Policy),
        ("SELECT * INTO t FROM lanyard.lease", UndefinedTable),
        // Types that name objects, and row types of others.
        ("CREATE TABLE t (a regclass)", Policy),
        ("CREATE TABLE t (a regtype[])", Policy),
        ("CREATE TYPE p AS (a regproc)", Policy),
        ("CREATE DOMAIN d AS regclass", Policy),
        ("CREATE TYPE r AS RANGE (subtype = float8)", Policy),
        ("CREATE TABLE t (a lanyard_secured.v_c)", UndefinedObject),
        ("CREATE TABLE t (a lanyard_catalog.pg_class)", UndefinedObject),
        // Other kinds.
        ("CREATE SCHEMA s", Policy),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1", Policy),
        ("DO 'begin end'", Policy),
        ("CREATE TRIGGER x BEFORE INSERT ON t EXECUTE FUNCTION f()", Policy),
        ("CREATE RULE r AS ON INSERT TO t DO NOTHING", Policy),
        ("CREATE POLICY p ON t", Policy),
        ("CREATE OPERATOR + (FUNCTION = int4pl, LEFTARG = t, RIGHTARG = t)", Policy),
        ("CREATE CAST (t AS text) WITH INOUT", Policy),
        ("CREATE EXTENSION dblink", Policy),
        ("CREATE FOREIGN TABLE t (a int) SERVER s", Policy),
        ("CREATE TYPE s", Policy),
        ("CREATE TYPE r AS RANGE (SUBTYPE = int)", Policy),
        ("GRANT SELECT ON t TO PUBLIC", Policy),
        ("ALTER TABLE t OWNER TO lanyard_owner", Policy),
        ("ALTER TABLE t SET SCHEMA public", Policy),
        ("ALTER TABLE t SET TABLESPACE x", Policy),
        ("ALTER TABLE t ENABLE ROW LEVEL SECURITY", Policy),
        ("ALTER TABLE t DISABLE TRIGGER ALL", Policy),
        ("CREATE TABLE t (a int) TABLESPACE x", Policy),
        ("CREATE TABLE t (a int) USING columnar", Policy),
        ("CREATE TEMP TABLE public.t (a int)", Syntax),
        ("CREATE TYPE pg_temp.p AS (a int)", Unsupported),
        ("CREATE TABLE t AS EXECUTE p", Policy),
        ("PREPARE p AS SELECT 1 INTO t", Policy),
        ("EXPLAIN SELECT 1 INTO t", Policy),
        ("DECLARE c CURSOR FOR SELECT 1 INTO t", Policy),
        ("SELECT * FROM (SELECT 1 INTO t) x", Policy),
        ("WITH x AS (SELECT 1 INTO t) SELECT * FROM x", Policy),
        ("SELECT setval('orders_feeling_seq', 1)", Policy),
        ("SELECT setval($1, 1)", Policy),
        ("SELECT setval('public.s', 1)", Policy),
        ("DROP SCHEMA workspace_5_1", Policy),
        ("DROP OWNED BY CURRENT_USER", Policy),
        ("REASSIGN OWNED BY CURRENT_USER TO PUBLIC", Policy),
        ("REFRESH MATERIALIZED VIEW orders", Policy),
        ("CLUSTER", Policy),
        ("REINDEX TABLE t", Policy),
    ] {
        refused(sql, code);
    }
}

#[test]
fn without_the_right_nothing_of_this_is_there() {
    for sql in [
        "CREATE TABLE t (a int)",
        "CREATE TEMP TABLE t (a int)",
        "CREATE TABLE t AS SELECT 1",
        "SELECT 1 INTO t",
        "SELECT 1 INTO TEMP t",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TYPE m AS ENUM ('a')",
        "CREATE SEQUENCE s",
        "DROP TABLE t",
        "ALTER TABLE t ADD COLUMN a int",
        "TRUNCATE t",
        "VACUUM t",
        "COMMENT ON TABLE t IS 'x'",
        "SELECT setval('s', 1)",
    ] {
        super::refused(sql, Code::Policy);
    }
    for sql in [
        "SELECT * FROM workspace_0_1.t",
        "SELECT * FROM pg_temp.t",
        "SELECT 't'::regclass",
        "LOCK TABLE t",
        "LOCK TABLE lanyard_secured.v_o IN ACCESS SHARE MODE",
    ] {
        super::refused(sql, Code::UndefinedTable);
    }
    super::refused("SELECT 'x'::workspace_0_1.m", Code::UndefinedObject);
}

#[test]
fn the_record_says_what_is_made_and_dropped() -> Result<(), Refusal> {
    let said = |sql: &str| {
        run(sql).map(|judged| {
            let objects: Vec<String> =
                judged.objects.iter().map(|o| format!("{} {}", o.operation, o.relation)).collect();
            format!("{}: {}", judged.operation, objects.join(", "))
        })
    };
    assert_eq!(
        said("CREATE TABLE t AS SELECT id FROM customers, tmp")?,
        "CREATE TABLE AS: create workspace_5_1.t, read pg_temp.tmp, read public.customers"
    );
    assert_eq!(said("DROP TABLE t, tmp")?, "DROP TABLE: drop workspace_5_1.t, drop pg_temp.tmp");
    assert_eq!(said("INSERT INTO t SELECT 1")?, "INSERT: write workspace_5_1.t");
    assert_eq!(run("CREATE TABLE t AS SELECT ssn FROM customers")?.disposition, Disposition::Masked);
    Ok(())
}
