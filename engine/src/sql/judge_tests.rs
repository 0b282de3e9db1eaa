//! The judge, as data: what comes out, and what is refused with which SQLSTATE.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::catalog::RelationName;
use crate::entitlement::{
    Access, Beneath, ColumnRule, Entitlement, Extras, Fingerprint, Operation, RowRule, SecuredView,
    ViewColumn,
};
use crate::record::Disposition;
use crate::refusal::{Code, Refusal};
use crate::released::RawSql;

mod beneath;
mod extras;
mod hidden_names;
mod own;
mod permits;
mod prefix;
mod scopes;
mod writes;

fn access(schema: &str, name: &str, view: &str, write: bool, shaped: bool) -> Access {
    let mut operations = BTreeSet::from([Operation::Read]);
    if write {
        operations.insert(Operation::Write);
    }
    let mut columns = BTreeMap::from([("id".to_owned(), ColumnRule::Clear)]);
    if shaped {
        columns.insert("ssn".into(), ColumnRule::Masked { mask: "constant", policy: "hide".into() });
    }
    Access {
        relation: RelationName::new(schema, name),
        oid: 16401,
        operations,
        rows: RowRule::All,
        columns,
        granted_by: vec!["grant".into()],
        sequences: write
            .then(|| RelationName::new(schema, &format!("{name}_feeling_seq")))
            .into_iter()
            .collect(),
        undone_by: BTreeMap::new(),
        beneath: Beneath::default(),
        view: SecuredView {
            name: view.into(),
            select_sql: String::new(),
            barrier: false,
            columns: vec![ViewColumn {
                name: "feeling".into(),
                type_sql: "public.mood".into(),
                base_number: 1,
                writable: true,
                by_prefix: false,
            }],
            keys: BTreeSet::new(),
        },
    }
}

fn entitlement() -> Entitlement {
    let mut relations: BTreeMap<String, BTreeMap<String, Arc<Access>>> = BTreeMap::new();
    for (schema, name, view, write, shaped) in [
        ("public", "customers", "v_c", false, true),
        ("public", "orders", "v_o", true, false),
        ("app", "customers", "v_a", false, false),
        ("public", "Weird \"Name", "v_w", false, false),
    ] {
        relations
            .entry(schema.into())
            .or_default()
            .insert(name.into(), Arc::new(access(schema, name, view, write, shaped)));
    }
    Entitlement {
        relations,
        extras: Extras::default(),
        shadow: BTreeMap::new(),
        fingerprint: Fingerprint([0; 16]),
        session_attributes: BTreeMap::new(),
    }
}

pub(super) fn run(sql: &str) -> Result<Judged, Refusal> {
    let entitlement = entitlement();
    let path = ["public".to_owned()];
    judge(
        RawSql::new(sql),
        &Context {
            entitlement: &entitlement,
            search_path: &path,
            paths: None,
            workspace: None,
            database: "shop",
        },
    )
}

/// Judged where these tables are all that `public` has.
fn run_over_tables(
    tables: BTreeMap<String, Arc<Access>>,
    sql: &str,
    search_path: &[&str],
) -> Result<Judged, Refusal> {
    let entitlement =
        Entitlement { relations: BTreeMap::from([("public".to_owned(), tables)]), ..entitlement() };
    let search_path: Vec<String> = search_path.iter().map(|schema| (*schema).to_owned()).collect();
    let context = Context {
        entitlement: &entitlement,
        search_path: &search_path,
        paths: None,
        database: "shop",
        workspace: None,
    };
    judge(RawSql::new(sql), &context)
}

fn becomes(sql: &str, expected: &str) {
    match run(sql) {
        Ok(judged) => assert_eq!(judged.enforced.for_record(), expected, "{sql}"),
        Err(refusal) => panic!("{sql}: refused: {} {refusal}", refusal.code.sqlstate()),
    }
}

fn refused(sql: &str, code: Code) {
    match run(sql) {
        Ok(judged) => panic!("{sql}: released as {}", judged.enforced.for_record()),
        Err(refusal) => assert_eq!(refusal.code, code, "{sql}: {refusal}"),
    }
}

const C: &str = r#""lanyard_secured"."v_c" AS "customers""#;
const O: &str = r#""lanyard_secured"."v_o" AS "orders""#;

#[test]
fn relations_are_replaced_wherever_they_stand() {
    for (sql, expected) in [
        ("SELECT * FROM customers", format!("SELECT * FROM {C}")),
        ("SELECT * FROM public.customers", format!("SELECT * FROM {C}")),
        ("SELECT * FROM shop.public.customers", format!("SELECT * FROM {C}")),
        ("SELECT * FROM \"customers\" c", r#"SELECT * FROM "lanyard_secured"."v_c" c"#.into()),
        ("SELECT * FROM public . /* x */ customers", format!("SELECT * FROM {C}")),
        ("TABLE customers", r#"TABLE "lanyard_secured"."v_c""#.into()),
        ("SELECT (SELECT max(id) FROM orders)", format!("SELECT (SELECT pg_catalog.\"max\"(id) FROM {O})")),
        ("SELECT 1 WHERE EXISTS (TABLE orders)", r#"SELECT 1 WHERE EXISTS (TABLE "lanyard_secured"."v_o")"#.into()),
        ("SELECT * FROM customers UNION ALL SELECT * FROM orders", format!("SELECT * FROM {C} UNION ALL SELECT * FROM {O}")),
        ("SELECT * FROM customers JOIN orders USING (id)", format!("SELECT * FROM {C} JOIN {O} USING (id)")),
        ("SELECT * FROM customers c, LATERAL (SELECT * FROM orders o WHERE o.id = c.id) x",
         r#"SELECT * FROM "lanyard_secured"."v_c" c, LATERAL (SELECT * FROM "lanyard_secured"."v_o" o WHERE o.id = c.id) x"#.into()),
        ("INSERT INTO orders (id) VALUES (1) RETURNING id", format!("INSERT INTO {O} (id) VALUES (1) RETURNING id")),
        ("INSERT INTO orders SELECT id FROM customers", format!("INSERT INTO {O} SELECT id FROM {C}")),
        ("UPDATE orders SET id = 2 FROM customers WHERE orders.id = customers.id",
         format!("UPDATE {O} SET id = 2 FROM {C} WHERE orders.id = customers.id")),
        ("DELETE FROM orders USING customers", format!("DELETE FROM {O} USING {C}")),
        ("WITH d AS (DELETE FROM orders RETURNING id) SELECT * FROM d", format!("WITH d AS (DELETE FROM {O} RETURNING id) SELECT * FROM d")),
        ("COPY customers TO STDOUT", format!("COPY (SELECT * FROM {C}) TO STDOUT")),
        ("COPY public.customers (id, \"ssn\") TO STDOUT CSV", format!("COPY (SELECT \"id\", \"ssn\" FROM {C}) TO STDOUT CSV")),
        ("COPY (SELECT id FROM customers) TO STDOUT", format!("COPY (SELECT id FROM {C}) TO STDOUT")),
        ("DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT * FROM customers", format!("DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT * FROM {C}")),
        ("EXPLAIN SELECT * FROM orders", format!("EXPLAIN SELECT * FROM {O}")),
        ("DECLARE c CURSOR FOR SELECT * FROM customers", format!("DECLARE c CURSOR FOR SELECT * FROM {C}")),
        ("SELECT public.customers.id FROM customers", format!("SELECT customers.id FROM {C}")),
        ("SELECT public.customers.* FROM public.customers", format!("SELECT customers.* FROM {C}")),
        ("SELECT 'customers'::regclass", "SELECT '16401'::regclass".into()),
        ("SELECT regclass 'public.\"customers\"'", "SELECT regclass '16401'".into()),
        ("SELECT lower('A'), pg_catalog.upper('b')", "SELECT pg_catalog.\"lower\"('A'), pg_catalog.upper('b')".into()),
        ("SELECT extract(year FROM now()), trim(' a ')", "SELECT extract(year FROM pg_catalog.\"now\"()), trim(' a ')".into()),
        ("SELECT * FROM \"Weird \"\"Name\"", r#"SELECT * FROM "lanyard_secured"."v_w" AS "Weird ""Name"#.to_owned() + "\""),
        ("SELECT relname FROM pg_class", r#"SELECT relname FROM "lanyard_catalog"."pg_class" AS "pg_class""#.into()),
        ("SET application_name = 'x'", " SET application_name TO DEFAULT ".into()),
        ("SELECT 1; SET application_name TO y; SELECT 2", "SELECT 1;  SET application_name TO DEFAULT ; SELECT 2".into()),
        ("SELECT /* lanyard_user='root' */ 1 -- tail", "SELECT   1  ".into()),
    ] {
        becomes(sql, &expected);
    }
}

#[test]
fn statements_functions_and_settings_off_the_list_are_refused() {
    for sql in [
        "CREATE TABLE x (a int)",
        "CREATE TEMP TABLE z AS SELECT 1",
        "SELECT 1 INTO z",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DO 'BEGIN END'",
        "CALL p()",
        "ALTER ROLE CURRENT_USER SET search_path = app",
        "SET ROLE lanyard_owner",
        "RESET ROLE",
        "SET SESSION AUTHORIZATION postgres",
        "RESET SESSION AUTHORIZATION",
        "SET session_replication_role = replica",
        "SET standard_conforming_strings = off",
        "SET client_encoding = 'GBK'",
        "SELECT set_config(name, 'off', false) FROM pg_settings WHERE name = 'jit'",
        "SELECT set_config(name, 'x', false) FROM pg_settings WHERE name = 'role' OR true",
        "SELECT set_config(name, 'x', false) FROM pg_settings WHERE name <> 'role'",
        "SELECT set_config(name, 'x', false) FROM pg_settings, orders WHERE name = 'role'",
        "SELECT set_config(name, 'x', false) FROM orders WHERE name = 'role'",
        "SELECT set_config('role', 'x', false) FROM pg_settings WHERE name = 'role'",
        "SELECT set_config(name, 'x', false), 1 FROM pg_settings WHERE name = 'role'",
        "SELECT 1 UNION SELECT set_config(name, 'x', false) FROM pg_settings WHERE name = 'role'",
        // The first arm decides, and only where it surely is an oid.
        "SELECT 'pg_class'::regclass AS classid UNION ALL SELECT classid FROM pg_depend",
        "SELECT classid FROM pg_depend UNION ALL (SELECT 'pg_class'::regclass UNION ALL SELECT objid FROM pg_depend)",
        "SELECT classid FROM orders pg_depend UNION ALL SELECT 'pg_class'::regclass",
        "SELECT classid FROM pg_depend d UNION ALL SELECT 'pg_class'::regclass",
        "SELECT classid FROM pg_depend, pg_class UNION ALL SELECT 'pg_class'::regclass",
        "SELECT deptype FROM pg_depend UNION ALL SELECT 'pg_class'::regclass",
        "WITH pg_depend(classid) AS (SELECT to_regclass('orders')) SELECT classid FROM pg_depend UNION ALL SELECT 16500",
        "WITH x AS (SELECT 1) SELECT classid FROM pg_depend UNION ALL SELECT 'pg_class'::regclass",
        "SELECT * FROM (SELECT 'pg_class'::regclass AS a UNION ALL SELECT 16500) s UNION ALL SELECT classid FROM pg_depend",
        "SELECT classid FROM pg_depend UNION ALL SELECT a FROM (SELECT 'pg_class'::regclass AS a UNION ALL SELECT 16500) s",
        "LOCK TABLE orders IN ROW SHARE MODE",
        "LOCK TABLE orders, customers IN ACCESS EXCLUSIVE MODE NOWAIT",
        "LOCK TABLE orders IN ACCESS SHARE MODE; LOCK TABLE orders IN SHARE MODE",
        "LOCK TABLE pg_class IN ACCESS SHARE MODE",
        "LOCK TABLE pg_catalog.pg_class, orders IN ACCESS SHARE MODE",
        "GRANT SELECT ON orders TO public",
        "TRUNCATE orders",
        "LOCK TABLE orders",
        "VACUUM",
        "NOTIFY ch, 'x'",
        "LISTEN ch",
        "LOAD 'x'",
        "CREATE RULE r AS ON INSERT TO orders DO NOTHING",
        "COPY orders TO '/tmp/x'",
        "COPY orders TO PROGRAM 'cat'",
        "REFRESH MATERIALIZED VIEW m",
        "COMMENT ON TABLE orders IS 'x'",
        "DROP TABLE orders",
        "EXPLAIN ANALYZE SELECT 1",
        "EXPLAIN (VERBOSE) SELECT 1",
        "SHOW data_directory",
        "SHOW ALL",
        "SELECT query_to_xml('SELECT 1', true, true, '')",
        "SELECT pg_read_file('PG_VERSION')",
        "SELECT ts_stat('SELECT 1')",
        "SELECT pg_notify('ch', 'x')",
        "SELECT set_config('role', 'x', false)",
        "SET search_path = pg_temp, public",
        "SELECT set_config('search_path', 'pg_temp,app', false)",
        "SELECT set_config('search_path', '', false), 1",
        "SELECT set_config('search_path', '', false) FROM orders",
        "SELECT set_config('search_path', lower('A'), false)",
        "SELECT set_config(setting_name => 'search_path', new_value => 'app', is_local => false)",
        "SELECT 1 WHERE set_config('search_path', 'app', true) = ''",
        "SELECT set_config(lower('ROLE'), 'x', false)",
        "SELECT set_config('ro' || $1, $2, false)",
        "SET CONSTRAINTS orders_fk DEFERRED",
        "SELECT set_config('application_name', $1, false)",
        "SELECT set_config('role', $1, false)",
        "SELECT set_config('search_path', $1, false)",
        "SELECT set_config('client_encoding', lower($1), false)",
        "SELECT set_config(setting_name => $1, new_value => 'app', is_local => false)",
        "SELECT set_config((SELECT $1), 'app', false)",
        "SELECT lo_get(1)",
        "SELECT public.f(1)",
        "SELECT app.sd_customer(3)",
        "SELECT ssn(c) FROM customers c",
        "SELECT pg_terminate_backend(1)",
        "SELECT * FROM dblink('x', 'SELECT 1')",
        "SELECT 1 OPERATOR(public.+) 1",
        "SELECT 'postgres'::regrole",
        "SELECT ('x'::text).pg_read_file",
        "SELECT ARRAY['payroll']::regclass[]",
        "INSERT INTO customers VALUES (1)",
        "UPDATE customers SET id = 1",
        "DELETE FROM customers",
        "UPDATE pg_class SET relname = 'x'",
        "CREATE EXTENSION dblink",
        "ALTER SYSTEM SET x = 1",
        "SELECT current_query()",
        "SELECT setval('s', 1)",
        "CREATE VIEW v AS SELECT 1",
        "SELECT * FROM ROWS FROM (ts_stat('SELECT 1'))",
        "CHECKPOINT",
        "REINDEX TABLE orders",
        "SECURITY LABEL ON TABLE orders IS 'x'",
    ] {
        refused(sql, Code::Policy);
    }
    for sql in [
        "SELECT * FROM ONLY orders",
        "EXPLAIN (SETTINGS) SELECT 1",
        "EXPLAIN (SETTINGS on, COSTS off) SELECT * FROM orders",
        "SELECT * FROM orders TABLESAMPLE system (1)",
        "SELECT * FROM other.public.orders",
        "PREPARE TRANSACTION 'x'",
        "SELECT * FROM orders *",
        "SELECT ssn FROM U&\"c!0075stomers\" UESCAPE '!'",
    ] {
        refused(sql, Code::Unsupported);
    }
    for sql in ["SELEC 1", "SELECT 'abc", "SELECT * FROM", "/* agent=/* */ SELECT 1"] {
        refused(sql, Code::Syntax);
    }
}

#[test]
fn what_drivers_send_passes() {
    for sql in [
        "",
        ";",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT a",
        "ROLLBACK TO a",
        "RELEASE a",
        "BEGIN READ ONLY",
        "SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind'",
        "SELECT acldefault('r', relowner) FROM pg_class",
        "SELECT classid, objid FROM pg_depend UNION ALL SELECT 'pg_class'::regclass AS classid, amopfamily FROM pg_amop UNION ALL SELECT 'pg_class'::regclass, 5 ORDER BY 1, 2",
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        "SET row_security = off",
        "LOCK TABLE orders, public.customers IN ACCESS SHARE MODE",
        "SET TIME ZONE 'UTC'",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "RESET ALL",
        "DISCARD ALL",
        "SHOW transaction isolation level",
        "SHOW standard_conforming_strings",
        "SELECT pg_catalog.version()",
        "select current_schema()",
        "SET DateStyle = 'ISO';SET extra_float_digits = 2;show transaction_isolation",
        "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;",
        "DEALLOCATE ALL",
        "SET client_encoding = 'utf-8'",
        "SELECT set_config('jit', 'off', false)",
        "SELECT CASE WHEN true THEN 1 ELSE 2 END, ARRAY[1,2], ROW(1,2), COALESCE(NULL, 1), 1 IN (1, 2), $1::int",
        "SELECT x, row_number() OVER (PARTITION BY x ORDER BY x ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM (VALUES (1)) v(x) GROUP BY GROUPING SETS ((x), ())",
        "FETCH FORWARD 3 FROM c",
        "SELECT interval '1 day', date '2020-01-01', timestamp with time zone 'now', 1::numeric(10,2), 'a' COLLATE \"C\"",
        "SELECT 'a' LIKE 'b', 'a' SIMILAR TO 'b', 1 BETWEEN 0 AND 2, 1 = ANY (ARRAY[1]), NOT true, 1 IS DISTINCT FROM 2, (SELECT 1) IS NULL",
        "SELECT E'\\\\x', U&'\\0041', $$a$$, $tag$b$tag$, B'1', X'1F'",
    ] {
        if let Err(refusal) = run(sql) {
            panic!("{sql}: {} {refusal}", refusal.code.sqlstate());
        }
    }
}

#[test]
fn hostile_sizes_are_answered_in_bounded_time_and_without_a_crash() {
    let long = |unit: &str, n: usize| unit.repeat(n);
    for (sql, code) in [
        (format!("SELECT {}", "1+".repeat(20_000) + "1"), Code::TooDeep),
        (format!("SELECT 1{}", long(" UNION ALL SELECT 1", 10_000)), Code::TooDeep),
        (format!("SELECT {}1", long("+-", 50_000)), Code::TooLarge),
        (long("/*", 50_000), Code::TooDeep),
        (" ".repeat(10 << 20), Code::TooLarge),
        (format!("SELECT {}1", long("NOT ", 5_000)), Code::TooDeep),
        (long("SELECT 1;", 2_000), Code::TooLarge),
        (format!("SELECT 1 FROM orders{}", long(" JOIN orders ON true", 3_000)), Code::TooDeep),
        (format!("SELECT {}1{}", long("(SELECT ", 3_000), long(")", 3_000)), Code::TooDeep),
    ] {
        match run(&sql) {
            Err(refusal) => assert!(
                refusal.code == code || refusal.code == Code::Syntax,
                "{}…: {} {refusal}",
                sql.get(..20).unwrap_or(""),
                refusal.code.sqlstate()
            ),
            Ok(_) => panic!("{}… was released", sql.get(..20).unwrap_or("")),
        }
    }
    assert!(run(&format!("SELECT {}1{}", "(".repeat(3_000), ")".repeat(3_000))).is_ok());
    assert!(run(&format!("SELECT 1 WHERE 1 IN ({}1)", "1,".repeat(50_000))).is_ok());
}

#[test]
fn a_ruling_says_what_it_touched() {
    let judged = run("SELECT * FROM customers JOIN orders USING (id)").expect("allowed");
    assert_eq!(judged.disposition, Disposition::Masked);
    assert_eq!(judged.objects.len(), 2);
    assert_eq!(&*judged.operation, "SELECT");
    let batch = run("BEGIN; DELETE FROM orders; COMMIT").expect("allowed");
    assert_eq!((&*batch.operation, batch.statements), ("BEGIN,DELETE,COMMIT", 3));
    assert_eq!(batch.disposition, Disposition::Allowed);
    let effects = run("SELECT 1; DEALLOCATE \"A\"").expect("allowed").effects;
    assert!(matches!(effects.as_slice(), [(1, Effect::Deallocate(named))] if &*named.name == "A"));
    let effects = run("DISCARD ALL").expect("allowed").effects;
    assert!(matches!(effects.as_slice(), [(0, Effect::DeallocateAll), (0, Effect::Path(_))]));
}

#[test]
fn enforcing_keeps_the_rest_of_the_text() {
    // Judging the same text twice gives the same bytes.
    let sql = "SELECT c.id, 'x''y', $q$ a -- b $q$ FROM customers c WHERE c.id > 1 ORDER BY 1";
    let first = run(sql).expect("allowed").enforced;
    assert_eq!(first, run(sql).expect("allowed").enforced);
    assert_eq!(first.for_record(), sql.replace("customers", "\"lanyard_secured\".\"v_c\""));
}

#[test]
fn stand_ins_may_be_called_and_what_they_stand_for_may_not() {
    for name in [
        "pg_relation_is_publishable",
        "pg_partition_ancestors",
        "pg_get_partition_constraintdef",
        "pg_database_size",
    ] {
        let expected = format!("SELECT lanyard_catalog.\"{name}\"(16401)");
        becomes(&format!("SELECT {name}(16401)"), &expected);
        becomes(&format!("SELECT pg_catalog.{name}(16401)"), &expected);
        refused(&format!("SELECT lanyard_catalog.{name}(16401)"), Code::Policy);
        refused(&format!("SELECT public.{name}(16401)"), Code::Policy);
    }
    refused("SELECT lanyard_catalog._visible(16401)", Code::Policy);
    refused("SELECT (c).pg_relation_size FROM customers c", Code::Policy);
}

#[test]
fn several_arrays_side_by_side_keep_the_grammars_reading() {
    becomes("SELECT * FROM unnest(ARRAY[1], ARRAY['a']) u", "SELECT * FROM unnest(ARRAY[1], ARRAY['a']) u");
    becomes(
        "SELECT * FROM ROWS FROM (unnest($1, $2), unnest($3)) u",
        "SELECT * FROM ROWS FROM (unnest($1, $2), pg_catalog.\"unnest\"($3)) u",
    );
    // Anything else is a function like another: the name must not be looked up in a search path.
    for (sql, expected) in [
        ("SELECT * FROM unnest($1) u", "SELECT * FROM pg_catalog.\"unnest\"($1) u"),
        ("SELECT unnest($1, $2)", "SELECT pg_catalog.\"unnest\"($1, $2)"),
        ("SELECT * FROM unnest($1, VARIADIC $2) u", "SELECT * FROM pg_catalog.\"unnest\"($1, VARIADIC $2) u"),
        (
            "SELECT * FROM \"unnest\"($1, $2 ORDER BY 1) u",
            "SELECT * FROM pg_catalog.\"unnest\"($1, $2 ORDER BY 1) u",
        ),
        ("SELECT * FROM unnest(DISTINCT $1, $2) u", "SELECT * FROM pg_catalog.\"unnest\"(DISTINCT $1, $2) u"),
    ] {
        becomes(sql, expected);
    }
    becomes(
        "SELECT * FROM unnest($1, (SELECT array_agg(id) FROM orders)) u",
        &format!("SELECT * FROM unnest($1, (SELECT pg_catalog.\"array_agg\"(id) FROM {O})) u"),
    );
    refused("SELECT * FROM unnest($1, ARRAY[pg_read_file('x')]) u", Code::Policy);
    refused("SELECT * FROM public.unnest($1, $2) u", Code::Policy);
}

#[test]
fn moves_say_where_and_how_far() {
    for (sql, way) in [
        ("MOVE c", "FORWARD 1"),
        ("MOVE FORWARD 2 IN c", "FORWARD 2"),
        ("MOVE ALL FROM c", "FORWARD ALL"),
        ("MOVE PRIOR c", "BACKWARD 1"),
        ("MOVE BACKWARD ALL IN c", "BACKWARD ALL"),
        ("MOVE LAST IN c", "ABSOLUTE -1"),
        ("MOVE ABSOLUTE 7 IN c", "ABSOLUTE 7"),
        ("MOVE RELATIVE -3 IN c", "RELATIVE -3"),
    ] {
        let effects = run(sql).map(|judged| judged.effects);
        assert_eq!(effects, Ok(vec![(0, Effect::Move("c".into(), way.into()))]), "{sql}");
    }
    assert_eq!(run("FETCH ALL c").map(|judged| judged.effects), Ok(Vec::new()));
    refused("MOVE lanyard_7", Code::Policy);
}

#[test]
fn cursors_cannot_be_called_like_portals() {
    for sql in [
        "DECLARE lanyard_p1 CURSOR FOR SELECT 1",
        "FETCH ALL FROM lanyard_p1",
        "MOVE \"lanyard_p1\"",
        "CLOSE lanyard_s1",
        "FETCH U&\"lany\\0061rd_p1\"",
        "DELETE FROM orders WHERE CURRENT OF lanyard_p1",
    ] {
        refused(sql, Code::Policy);
    }
    for sql in ["FETCH lan", "CLOSE ALL", "CLOSE \"Lanyard_p1\""] {
        assert!(run(sql).is_ok(), "{sql}");
    }
}

#[test]
fn settings_are_shown_by_one_rule() {
    for sql in
        ["SELECT current_setting('listen_addresses')", "SELECT current_setting('data_directory', true)"]
    {
        refused(sql, Code::Policy);
    }
    // Whose name nobody has seen yet is judged in the warehouse.
    for argument in ["'server_version_num'", "$1", "'a' || 'b'", "$1::text, true"] {
        becomes(
            &format!("SELECT current_setting({argument})"),
            &format!("SELECT lanyard_catalog.\"current_setting\"({argument})"),
        );
    }
    becomes("SHOW search_path", " SELECT lanyard_catalog.current_setting('search_path') AS search_path ");
}
