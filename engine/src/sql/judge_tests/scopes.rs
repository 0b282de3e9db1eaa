//! What a name stands for: search path, CTEs, prepared statements, and what is not visible.

use super::*;

#[test]
fn prepared_statements_are_judged_like_their_statements() {
    let p = r#""lanyard_placeholder""#;
    for (sql, expected) in [
        ("PREPARE p AS SELECT * FROM customers", format!("PREPARE {p} AS SELECT * FROM {C}")),
        (
            "/* x */ PREPARE/**/\"a b\"(int, text) AS INSERT INTO orders (id) VALUES ($1)",
            format!("  PREPARE {p}(int, text) AS INSERT INTO {O} (id) VALUES ($1)"),
        ),
        ("EXECUTE p (lower('A'), 2)", format!("EXECUTE {p} (pg_catalog.\"lower\"('A'), 2)")),
        ("DEALLOCATE p", format!("DEALLOCATE {p}")),
        ("DEALLOCATE PREPARE p", format!("DEALLOCATE PREPARE {p}")),
        ("DEALLOCATE prepare", format!("DEALLOCATE {p}")),
        (
            "PREPARE execute AS SELECT 1; EXECUTE execute; DEALLOCATE ALL; SELECT id FROM orders",
            format!("PREPARE {p} AS SELECT 1; EXECUTE {p}; DEALLOCATE ALL; SELECT id FROM {O}"),
        ),
    ] {
        becomes(sql, &expected);
    }
    for (sql, code) in [
        ("PREPARE p AS SELECT * FROM payroll", Code::UndefinedTable),
        ("PREPARE p AS INSERT INTO customers VALUES (1)", Code::Policy),
        ("PREPARE p AS SELECT pg_read_file('x')", Code::Policy),
        ("PREPARE p (regclass) AS SELECT $1", Code::Policy),
        ("PREPARE p (lanyard.t) AS SELECT 1", Code::UndefinedObject),
        ("PREPARE p AS SELECT 1 INTO t", Code::Policy),
        ("PREPARE p AS CREATE TABLE t (a int)", Code::Syntax),
        ("EXECUTE p ('payroll'::regclass)", Code::UndefinedTable),
        ("EXECUTE p ((SELECT 1 FROM payroll))", Code::UndefinedTable),
        ("EXECUTE p (pg_read_file('x'))", Code::Policy),
        ("CREATE TABLE t AS EXECUTE p", Code::Policy),
        ("EXPLAIN EXECUTE p", Code::Policy),
        ("EXPLAIN ANALYZE EXECUTE p", Code::Policy),
        ("EXPLAIN (VERBOSE) EXECUTE p", Code::Policy),
        ("EXECUTE U&\"p\"", Code::Unsupported),
        ("PREPARE U&\"p\" AS SELECT 1", Code::Unsupported),
    ] {
        refused(sql, code);
    }
    let judged = run("PREPARE p AS SELECT id FROM orders; SELECT ssn FROM customers").expect("judged");
    let sql = "PREPARE p AS SELECT id FROM orders; SELECT ssn FROM customers";
    assert_eq!(rename(sql, &judged, &[]).map(|_| ()), None);
    assert_eq!(rename(sql, &judged, &["a".into(), "b".into()]).map(|_| ()), None);
    let named = rename(sql, &judged, &["lanyard_7".into()]).expect("one name");
    assert!(named.enforced.for_record().starts_with("PREPARE \"lanyard_7\" AS"));
    let Some((0, Effect::Prepare(_, prepared))) = named.effects.first() else {
        panic!("{:?}", named.effects)
    };
    let later = named.prepared(prepared);
    assert_eq!((later.disposition, later.objects.len()), (Disposition::Allowed, 1));
    assert!(later.may_be_executed() && !named.may_be_executed());
}

#[test]
fn the_search_path_is_followed() {
    let shown = |of: &str| {
        format!(
            "pg_catalog.replace(pg_catalog.regexp_replace({of}, '(, )?pg_temp$', ''), 'lanyard_outside_', '')"
        )
    };
    for (sql, expected) in [
        ("SET search_path = app", " SET search_path TO 'app', 'pg_temp' ".to_owned()),
        ("SET LOCAL search_path TO \"$user\", secret, \"It's\"",
         " SET LOCAL search_path TO '$user', 'lanyard_outside_secret', 'lanyard_outside_It''s', 'pg_temp' ".into()),
        ("SET SCHEMA 'app'", " SET search_path TO 'app', 'pg_temp' ".into()),
        ("SET search_path TO DEFAULT", "SET search_path TO DEFAULT".into()),
        ("RESET search_path", "RESET search_path".into()),
        ("SHOW search_path",
         " SELECT lanyard_catalog.current_setting('search_path') AS search_path ".into()),
        ("SELECT pg_catalog.set_config('search_path', '', false)",
         format!(" SELECT {} AS \"set_config\" ", shown("pg_catalog.set_config('search_path', 'pg_temp', false)"))),
        ("SELECT set_config('search_path', 'App,  \"Se\"\"cret\"', true) AS x",
         format!(" SELECT {} AS \"x\" ", shown(
             "pg_catalog.set_config('search_path', 'App,  \"lanyard_outside_Se\"\"cret\", pg_temp', true)"))),
        // Later statements of the message find the new path.
        ("SET search_path = app; SELECT * FROM customers",
         " SET search_path TO 'app', 'pg_temp' ; SELECT * FROM \"lanyard_secured\".\"v_a\" AS \"customers\"".into()),
        ("BEGIN; SET LOCAL search_path = app; COMMIT; SELECT * FROM customers",
         format!("BEGIN;  SET LOCAL search_path TO 'app', 'pg_temp' ; COMMIT; SELECT * FROM {C}")),
        ("SELECT set_config('search_path', 'app', false); SELECT 'customers'::regclass",
         format!(" SELECT {} AS \"set_config\" ; SELECT '16401'::regclass",
                 shown("pg_catalog.set_config('search_path', 'app, pg_temp', false)"))),
    ] {
        becomes(sql, &expected);
    }
    for (sql, code) in [
        ("SET search_path = app; SELECT * FROM orders", Code::UndefinedTable),
        ("SET search_path = secret; SELECT * FROM payroll", Code::UndefinedTable),
        ("SET search_path = ''; SELECT * FROM customers", Code::UndefinedTable),
        ("SET search_path FROM CURRENT", Code::Unsupported),
        ("SET search_path = 1", Code::Unsupported),
        ("SELECT set_config('search_path', 'a,,b', false)", Code::BadValue),
        ("SELECT set_config('search_path', '\"a', false)", Code::BadValue),
        ("SELECT set_config('search_path', 'a b', false)", Code::BadValue),
        ("SELECT set_config('search_path', 'a,', false)", Code::BadValue),
    ] {
        refused(sql, code);
    }
}

#[test]
fn ctes_shadow_as_in_postgresql() {
    becomes(
        "WITH customers AS (SELECT 1 AS one) SELECT * FROM customers",
        "WITH customers AS (SELECT 1 AS one) SELECT * FROM customers",
    );
    // A qualified name is never a CTE.
    becomes(
        "WITH customers AS (SELECT 1) SELECT * FROM public.customers",
        &format!("WITH customers AS (SELECT 1) SELECT * FROM {C}"),
    );
    // Without RECURSIVE a CTE does not see itself: its own name is the table.
    becomes(
        "WITH customers AS (SELECT * FROM customers) SELECT * FROM customers",
        &format!("WITH customers AS (SELECT * FROM {C}) SELECT * FROM customers"),
    );
    becomes(
        "WITH RECURSIVE customers AS (SELECT 1 UNION ALL SELECT * FROM customers) SELECT * FROM customers",
        "WITH RECURSIVE customers AS (SELECT 1 UNION ALL SELECT * FROM customers) SELECT * FROM customers",
    );
    // Later CTEs see earlier ones, not the other way round.
    becomes(
        "WITH a AS (SELECT * FROM orders), orders AS (SELECT * FROM a) SELECT * FROM orders",
        &format!("WITH a AS (SELECT * FROM {O}), orders AS (SELECT * FROM a) SELECT * FROM orders"),
    );
    // A CTE of an inner query is gone outside it.
    becomes(
        "SELECT * FROM (WITH orders AS (SELECT 1) SELECT * FROM orders) x, orders",
        &format!("SELECT * FROM (WITH orders AS (SELECT 1) SELECT * FROM orders) x, {O}"),
    );
    // A target is never a CTE.
    becomes(
        "WITH orders AS (SELECT 1) DELETE FROM orders",
        &format!("WITH orders AS (SELECT 1) DELETE FROM {O}"),
    );
}

#[test]
fn what_is_not_visible_does_not_exist() {
    for sql in [
        "SELECT * FROM payroll",
        "SELECT * FROM secret.payroll",
        "SELECT * FROM app.orders",
        "TABLE payroll",
        "INSERT INTO payroll VALUES (1)",
        "UPDATE payroll SET a = 1",
        "DELETE FROM payroll",
        "COPY payroll TO STDOUT",
        "SELECT 'payroll'::regclass",
        "SELECT (SELECT 1 FROM payroll)",
        "SELECT * FROM lanyard_secured.v_c",
        "SELECT * FROM lanyard.session_attribute",
        "SELECT * FROM lanyard_catalog.pg_class",
        "SELECT * FROM pg_authid",
        "SELECT * FROM pg_catalog.pg_statistic",
        "SELECT * FROM pg_shadow",
        "SELECT * FROM pg_toast.pg_toast_1",
        "SELECT payroll.pay.x FROM orders",
        "SELECT 1 ORDER BY (SELECT x FROM payroll)",
        "EXPLAIN SELECT * FROM payroll",
        "DECLARE c CURSOR FOR TABLE payroll",
        "INSERT INTO orders SELECT 1 FROM payroll",
        "SELECT count(*) FILTER (WHERE (SELECT true FROM payroll)) FROM orders",
        "SELECT sum(1) OVER (PARTITION BY (SELECT 1 FROM payroll)) FROM orders",
        "VALUES ((SELECT 1 FROM payroll))",
        "SELECT 1 LIMIT (SELECT 1 FROM payroll)",
        "INSERT INTO orders VALUES (1) ON CONFLICT (id) DO UPDATE SET id = (SELECT 1 FROM payroll)",
        "SELECT * FROM generate_series(1, (SELECT 1 FROM payroll))",
        "MERGE INTO orders USING payroll ON true WHEN MATCHED THEN DELETE",
        "SELECT ARRAY(SELECT 1 FROM payroll)",
        "SELECT * FROM orders JOIN payroll ON true",
        "SELECT x[(SELECT 1 FROM payroll)] FROM orders",
    ] {
        refused(sql, Code::UndefinedTable);
    }
}

#[test]
fn only_what_lets_go_of_prepared_statements_says_so() {
    for (sql, lets_go) in [
        ("DISCARD ALL", true),
        ("DEALLOCATE ALL", true),
        ("DISCARD PLANS", false),
        ("DISCARD TEMP", false),
        ("DISCARD SEQUENCES", false),
        ("SELECT 1", false),
    ] {
        let judged = run(sql).expect("allowed");
        assert_eq!(judged.effects.contains(&(0, Effect::DeallocateAll)), lets_go, "{sql}");
    }
}
