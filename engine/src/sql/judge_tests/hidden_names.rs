//! Types, objects' names beside other values, and plans: three ways in which what is hidden could be named.

use super::{becomes, refused, run};
use crate::refusal::Code;

#[test]
fn types_are_built_in_or_of_what_is_visible() {
    for (sql, expected) in [
        ("SELECT 'x'::mood", "SELECT 'x'::\"public\".\"mood\"".to_owned()),
        ("SELECT 'x'::public.mood[]", "SELECT 'x'::\"public\".\"mood\"[]".to_owned()),
        ("SELECT CAST('x' AS mood)", "SELECT CAST('x' AS \"public\".\"mood\")".to_owned()),
        ("SELECT mood 'x'", "SELECT \"public\".\"mood\" 'x'".to_owned()),
        ("SELECT NULL::customers", "SELECT NULL::\"lanyard_secured\".\"v_c\"".to_owned()),
        ("SELECT NULL::app.customers", "SELECT NULL::\"lanyard_secured\".\"v_a\"".to_owned()),
        (
            "SELECT * FROM json_to_record('{}') AS t(a mood, b int)",
            "SELECT * FROM pg_catalog.\"json_to_record\"('{}') AS t(a \"public\".\"mood\", b int)".to_owned(),
        ),
        (
            "SELECT 1::int8, 'x'::varchar(3), '{}'::text[], 'a'::\"char\"",
            "SELECT 1::int8, 'x'::varchar(3), '{}'::text[], 'a'::\"char\"".to_owned(),
        ),
        (
            "SELECT '{}'::_text, NULL::information_schema.sql_identifier",
            "SELECT '{}'::_text, NULL::information_schema.sql_identifier".to_owned(),
        ),
    ] {
        becomes(sql, &expected);
    }
    for sql in [
        "SELECT NULL::payroll",
        "SELECT NULL::public.payroll",
        "SELECT NULL::payroll[]",
        "SELECT NULL::_payroll",
        "SELECT NULL::_customers",
        "SELECT NULL::pg_class",
        "SELECT NULL::pg_catalog.pg_authid",
        "SELECT 'x'::unknown",
        "SELECT 'x'::cstring",
        "SELECT 'x'::lanyard.t",
        "SELECT NULL::lanyard_secured.v_c",
        "SELECT NULL::lanyard_catalog.pg_class",
        "SELECT 'x'::app.mood",
        "SELECT 'x'::shop.public.mood",
        "SELECT 'x'::information_schema.columns",
        "SELECT CAST(NULL AS payroll)",
        "SELECT payroll '(1)'",
        "SELECT * FROM json_to_record('{}') AS t(a payroll)",
        "SELECT * FROM XMLTABLE('/r' PASSING '<r/>' COLUMNS c payroll PATH '.') t",
        "SELECT json_populate_record(NULL::payroll, '{}')",
        "SELECT lag(1, 1, NULL::payroll) OVER ()",
    ] {
        refused(sql, Code::UndefinedObject);
    }
}

#[test]
fn modifiers_of_types_are_no_place_for_queries() {
    for sql in [
        "SELECT 'x'::text(ARRAY(SELECT rolname FROM pg_roles))",
        "SELECT 1::numeric((SELECT 1 FROM payroll), 2)",
        "SELECT CAST(1 AS varchar(pg_read_file('x')))",
        "SELECT 'x'::regclass((SELECT 1))",
        "SELECT * FROM json_to_record('{}') AS t(a varchar((SELECT 1)))",
        "SELECT timestamp(pg_sleep(1)) 'now'",
    ] {
        refused(sql, Code::Syntax);
    }
    assert!(run("SELECT 1::numeric(10, 2), 'x'::varchar(3), 'x'::public.mood(Point, 4326)").is_ok());
}

#[test]
fn beside_a_name_of_an_object_only_such_names_may_stand() {
    const N: &str = "to_regclass('orders')";
    for sql in [
        "SELECT {} UNION SELECT 'payroll'",
        "SELECT {} UNION ALL SELECT $1",
        "SELECT {} UNION SELECT 16500",
        "SELECT {} UNION SELECT g FROM generate_series(16384, 20000) g",
        "SELECT 'payroll' UNION SELECT {}",
        "VALUES ({}), ('payroll')",
        "SELECT {} UNION VALUES (16500)",
        "SELECT * FROM (VALUES (1, {}), (2, 16500)) v",
        "SELECT COALESCE({}, 'payroll')",
        "SELECT COALESCE({}, 16500)",
        "SELECT GREATEST({}, 16500)",
        "SELECT CASE WHEN true THEN 'payroll' ELSE {} END",
        "SELECT CASE WHEN true THEN {} ELSE 16500 END",
        "SELECT ARRAY[{}, 'payroll']",
        "SELECT array_agg({}) || '{payroll}'",
        "SELECT array_agg({}) = '{payroll}'",
        "SELECT array_append(array_agg({}), 16500)",
        "SELECT lag({}, 1, 'payroll') OVER ()",
        "SELECT {} IN ('payroll', 'orders')",
        "SELECT c FROM (SELECT {} AS c) x UNION SELECT 'payroll'",
        "SELECT COALESCE(x.c, 'payroll') FROM (SELECT {} AS c) x",
        "SELECT COALESCE(x.d, 'payroll') FROM (SELECT {} AS c) x(d)",
        "SELECT COALESCE(b, 'payroll') FROM (SELECT a AS b FROM (SELECT {} AS a) x) y",
        "WITH w(c) AS (SELECT {}) SELECT c FROM w UNION SELECT 16500",
        "WITH w(a, c) AS (VALUES (1, {})) SELECT COALESCE(c, 16500) FROM w",
        "WITH w(a, c) AS (SELECT * FROM (SELECT 1, {}) x) SELECT COALESCE(c, 16500) FROM w",
        "SELECT COALESCE(y.e, 16500) FROM (SELECT {} AS c) x, LATERAL (SELECT x.c) y(e)",
        "WITH w AS (SELECT {} AS c) SELECT COALESCE(v.d, 16500) FROM w AS v(d)",
        "WITH RECURSIVE w AS (SELECT {} AS c UNION ALL SELECT 16500 FROM w) SELECT * FROM w",
        "SELECT * FROM (SELECT {}) x UNION SELECT 'payroll'",
        "SELECT COALESCE((SELECT {}), 'payroll')",
        "SELECT COALESCE(max({}), 'payroll')",
        "SELECT COALESCE(u, 'payroll') FROM unnest(array_agg({})) u",
        "SELECT COALESCE(to_regclass, 'payroll') FROM (SELECT {}) x",
        "SELECT COALESCE(x.regclass, 'payroll') FROM (SELECT 'orders'::regclass) x",
        "SELECT COALESCE(pg_typeof(1), 'payroll')",
        "SELECT typinput FROM pg_type UNION SELECT 'payroll'",
        "SELECT COALESCE(t.typinput, 16500) FROM pg_type t",
        "SELECT jsonb_populate_record(t, '{\"typinput\": \"payroll\"}') FROM pg_type t",
        "SELECT jsonb_populate_record(q, '{\"typinput\": \"payroll\"}') FROM (SELECT * FROM pg_type) q",
    ] {
        let sql = sql.replace("{}", N);
        refused(&sql, Code::Policy);
    }
    for sql in [
        "SELECT {} UNION SELECT 'orders'::regclass",
        "SELECT {} UNION SELECT NULL",
        "SELECT {}::text UNION SELECT 'payroll'",
        "SELECT {}::oid IN (1, 2), {} = 16500, {}::text || 'x'",
        "SELECT COALESCE({}::text, '-'), CASE WHEN true THEN {}::text ELSE '' END",
        "SELECT CASE c.relkind WHEN 'r' THEN 'table' ELSE 'view' END, c.oid::regclass FROM pg_class c",
        "SELECT COALESCE(c.relname, '-'), {} FROM pg_class c",
        "SELECT typinput = 'array_in'::regproc, CASE WHEN typinput = 'array_in'::regproc THEN 'a' ELSE 'b' END FROM pg_type",
        "SELECT pg_partition_ancestors('orders') UNION ALL VALUES ('orders'::regclass)",
        "SELECT 'payroll' UNION SELECT 'x'",
        "WITH RECURSIVE t(a, b) AS (SELECT oid, 0 FROM pg_type UNION ALL SELECT t.a, b + 1 FROM t) SELECT a::regtype::text, b FROM t",
        "SELECT ARRAY['a', 'b'] || 'c', COALESCE(NULL, 'x')",
    ] {
        let sql = sql.replace("{}", N);
        if let Err(refusal) = run(&sql) {
            panic!("{sql}: {refusal}");
        }
    }
}

#[test]
fn plans_are_shown_where_nothing_is_hidden() {
    for sql in [
        "EXPLAIN SELECT * FROM customers",
        "EXPLAIN (COSTS OFF) SELECT * FROM orders, customers",
        "EXPLAIN SELECT * FROM orders WHERE id IN (SELECT id FROM customers)",
        "EXPLAIN WITH c AS (SELECT * FROM customers) SELECT 1",
        "EXPLAIN SELECT * FROM pg_class",
        "EXPLAIN SELECT * FROM orders; EXPLAIN SELECT * FROM customers",
        "EXPLAIN (GENERIC_PLAN) SELECT * FROM customers WHERE id = $1",
    ] {
        refused(sql, Code::Policy);
    }
    for sql in [
        "EXPLAIN SELECT * FROM orders",
        "EXPLAIN (FORMAT json) SELECT 1",
        "EXPLAIN SELECT * FROM app.customers",
    ] {
        assert!(run(sql).is_ok(), "{sql}");
    }
}

#[test]
fn what_stands_behind_a_function_in_from_is_a_column() {
    for sql in [
        "SELECT x.x FROM generate_series(1, 2) x",
        "SELECT generate_series.generate_series FROM generate_series(1, 2)",
        "SELECT x.n, x.ordinality FROM generate_series(1, 2) WITH ORDINALITY AS x(n)",
        "SELECT e.key, e.value FROM json_each('{}') e",
        "SELECT e.k, e.value FROM json_each('{}') AS e(k)",
        "SELECT e.value FROM json_array_elements('[]') e",
        "SELECT t.a FROM json_to_record('{}') AS t(a int)",
        "SELECT t.a FROM ROWS FROM (json_to_record('{}') AS (a int)) t",
        "SELECT k.x, k.n FROM information_schema._pg_expandarray(ARRAY[1]) k",
        // Of a table that goes by the same name elsewhere, and of a column that policy shows.
        "SELECT (SELECT x.anything FROM (SELECT 1 AS anything) x), (SELECT count(*) FROM generate_series(1, 2) x)",
        "SELECT x.feeling FROM unnest(ARRAY(SELECT c FROM app.customers c)) x",
    ] {
        assert!(run(sql).is_ok(), "{sql}: {:?}", run(sql).err());
    }
    for sql in [
        "SELECT x.leak FROM generate_series(4, 4) x",
        // Of the name of a column that policy shows, behind what returns no row.
        "SELECT x.feeling FROM generate_series(4, 4) x",
        "SELECT x.feeling FROM json_array_elements('[]') x",
        "SELECT x.feeling FROM CAST(4 AS int) x",
        "SELECT x.regclass FROM generate_series(4, 4) x",
        "SELECT x.n FROM generate_series(4, 4) AS x(a)",
        "SELECT leak.leak FROM generate_series(4, 4) AS leak(a)",
        "SELECT leak.leak FROM json_array_elements('[]') AS leak",
        "SELECT e.value FROM json_array_elements('[]') AS e(leak)",
        "SELECT generate_series.leak FROM generate_series(4, 4)",
        "SELECT app.customers.leak FROM generate_series(4, 4) customers",
        "SELECT (SELECT x.leak) FROM generate_series(4, 4) x",
        "SELECT 1 FROM generate_series(4, 4) x, LATERAL (SELECT x.leak) y",
        "SELECT (SELECT x.leak FROM (app.customers x CROSS JOIN app.customers y) AS j) FROM generate_series(4, 4) x",
        "SELECT x.leak FROM ROWS FROM (generate_series(4, 4)) x",
        "SELECT x.leak FROM CAST(4 AS int) x",
        "SELECT int4.leak FROM CAST(4 AS int)",
        "SELECT 1 FROM generate_series(4, 4) x ORDER BY x.leak",
        "SELECT x.oid::regclass FROM generate_series(4, 4) x",
    ] {
        refused(sql, Code::Unsupported);
    }
}

#[test]
fn schemas_of_collations_and_configurations_are_not_told() {
    for sql in [
        "SELECT 'a' COLLATE vault.c",
        "SELECT * FROM json_to_record('{}') AS t(a text COLLATE vault.c)",
        "SELECT 1 ORDER BY ('a' COLLATE vault.c)",
    ] {
        refused(sql, Code::UndefinedObject);
    }
    for sql in [
        "SET default_text_search_config = 'vault.c'",
        "SET default_text_search_config TO \"vault.c\"",
        "SELECT set_config('default_text_search_config', 'vault.c', false)",
        "SELECT set_config('default_text_search_config', 'vau' || 'lt.c', false)",
    ] {
        refused(sql, Code::Policy);
    }
    for sql in [
        "SELECT 'a' COLLATE \"C\"",
        "SELECT 'a' COLLATE pg_catalog.\"C\"",
        "SET default_text_search_config = 'pg_catalog.english'",
        "SET default_text_search_config TO DEFAULT",
    ] {
        assert!(run(sql).is_ok(), "{sql}: {:?}", run(sql).err());
    }
}

#[test]
fn depth_and_breadth_are_bounded_before_they_cost() {
    let code = |sql: String| run(&sql).map(|_| ()).map_err(|refusal| refusal.code);
    assert_eq!(
        code(format!("SELECT current_setting('jit'{})", "::text".repeat(150_000))),
        Err(Code::TooDeep)
    );
    let many: Vec<String> = (0..5_000).map(|n| format!("a{n} AS (SELECT 1)")).collect();
    assert_eq!(code(format!("WITH {} SELECT 1", many.join(", "))), Err(Code::TooLarge));
    // A source that stands once in the text stands in the tree with every column; it is looked at once.
    let (columns, source) = (vec!["id"; 20_000].join(", "), vec!["1"; 20_000].join(", "));
    assert_eq!(code(format!("UPDATE orders SET ({columns}) = (SELECT {source})")), Ok(()));
    assert_eq!(code(format!("UPDATE orders SET ({columns}) = ROW({source})")), Ok(()));
    let chain: Vec<String> = (0..5_000).map(|n| format!("c{n} AS c{}", n + 1)).collect();
    assert_eq!(code(format!("SELECT pg_typeof(1) AS c0, {}", chain.join(", "))), Err(Code::Policy));
}

#[test]
fn types_that_print_names_go_through_the_virtual_catalog() {
    for (sql, expected) in [
        (
            "SELECT c.oid::regclass FROM pg_class c",
            r#"SELECT lanyard_catalog.regclass(c.oid)::regclass AS "oid" FROM "lanyard_catalog"."pg_class" c"#,
        ),
        (
            "SELECT é.\"oid\" :: pg_catalog.regtype::text FROM pg_type é",
            r#"SELECT lanyard_catalog._regtype(é."oid") :: pg_catalog.regtype::text AS "oid" FROM "lanyard_catalog"."pg_type" é"#,
        ),
        (
            "SELECT CAST(oid AS regnamespace) FROM pg_class",
            r#"SELECT CAST(lanyard_catalog._regnamespace(oid) AS regnamespace) FROM "lanyard_catalog"."pg_class" AS "pg_class""#,
        ),
        (
            "SELECT $1::regclass, $12::regproc",
            "SELECT lanyard_catalog.regclass($1)::regclass, lanyard_catalog._regproc($12)::regproc",
        ),
        (
            "SELECT 'pg_catalog.array_in'::regproc",
            "SELECT lanyard_catalog.to_regproc('pg_catalog.array_in')::regproc",
        ),
        (
            "SELECT CAST(pg_catalog.pg_class.oid AS REGCLASS) FROM pg_catalog.pg_class",
            r#"SELECT CAST(lanyard_catalog.regclass(pg_class.oid) AS REGCLASS) FROM "lanyard_catalog"."pg_class" AS "pg_class""#,
        ),
        (
            "SELECT CAST('customers'::VARCHAR AS REGCLASS)",
            "SELECT CAST(lanyard_catalog.regclass('customers'::VARCHAR) AS REGCLASS)",
        ),
        (
            "SELECT $1::varchar::regclass, cast(CAST($2 AS text) AS regtype)",
            "SELECT lanyard_catalog.regclass($1::varchar)::regclass, cast(lanyard_catalog.to_regtype(CAST($2 AS text)) AS regtype)",
        ),
        ("SELECT CAST($1 AS text)::regclass", "SELECT lanyard_catalog.regclass(CAST($1 AS text))::regclass"),
        ("SELECT 'payroll'::text::regclass", "SELECT lanyard_catalog.regclass('payroll'::text)::regclass"),
        ("SELECT 'english'::regconfig", "SELECT 'english'::regconfig"),
        ("SELECT '16401'::regclass, '1259'::regclass", "SELECT '16401'::regclass, '1259'::regclass"),
        ("SELECT NULL::regclass", "SELECT NULL::regclass"),
    ] {
        becomes(sql, expected);
    }
    for sql in [
        "SELECT 16401::regclass",
        "SELECT (1 + 2)::regclass",
        "SELECT '{16999}'::text::regclass[]",
        "SELECT (SELECT 'payroll'::text)::regclass",
        "SELECT oid::regrole FROM pg_class",
        "SELECT oid::regoper FROM pg_class",
        "SELECT array_agg(oid)::regclass[] FROM pg_class",
        "SELECT '{16999}'::_regclass",
        "SELECT '{16999}'::regclass[]",
        "SELECT * FROM XMLTABLE('/r' PASSING ('<r/>'::xml) COLUMNS c regclass PATH '.') t",
        "SELECT * FROM json_to_record('{}') AS t(a pg_catalog.regtype)",
        "SELECT regtype 'int4'::regrole",
    ] {
        refused(sql, Code::Policy);
    }
    refused("SELECT '16999'::regclass", Code::UndefinedTable);
    refused("SELECT ('payroll'::text)::regclass", Code::Unsupported);
}

#[test]
fn whatever_gives_a_name_and_a_value_one_type_is_refused() {
    for sql in [
        "SELECT * FROM (SELECT to_regclass('orders')) a UNION ALL SELECT * FROM generate_series(16384,20000) g",
        "SELECT c FROM (SELECT to_regclass('orders') AS c) a RIGHT JOIN (SELECT g AS c FROM generate_series(16384,20000) g) b USING (c)",
        "SELECT c FROM (SELECT to_regclass('orders') AS c) a NATURAL RIGHT JOIN (SELECT g AS c FROM generate_series(16384,20000) g) b",
        "SELECT unnest(ARRAY[to_regclass('orders')] || g) FROM generate_series(16384,20000) g",
        "SELECT column1 FROM (VALUES (to_regclass('orders'))) v UNION ALL SELECT g FROM generate_series(16384,20000) g",
        "SELECT to_regclass FROM to_regclass('orders') UNION ALL SELECT g FROM generate_series(16384,20000) g",
        "SELECT (a).* FROM (SELECT to_regclass('orders') AS c) a UNION ALL SELECT g FROM generate_series(16384,20000) g",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n FROM t) CYCLE n SET m TO regclass 'orders' DEFAULT 16500 USING p SELECT m FROM t",
        "SELECT 'A='||array_eq(ARRAY[to_regclass('orders')], '{public.hidden_thing}')::text",
        "SELECT 'A='||(ARRAY(SELECT to_regclass('orders')) = '{public.hidden_thing}')::text",
    ] {
        assert!(run(sql).is_err(), "{sql}");
    }
    for sql in [
        "SELECT to_regclass('orders')::text UNION ALL SELECT 'x'",
        "SELECT a.id FROM customers a JOIN orders b USING (id)",
        "SELECT * FROM customers UNION ALL SELECT * FROM orders",
        "SELECT 'a' || id::text FROM orders",
    ] {
        assert!(run(sql).is_ok(), "{sql}");
    }
}

#[test]
fn fields_of_expressions_cannot_call_functions() {
    for sql in [
        "SELECT (3).leak",
        "SELECT (c.id).leak FROM customers c",
        "SELECT (3).leak FROM (SELECT 1 AS leak) x",
        "SELECT ((ARRAY[3])[1]).leak",
        "SELECT ('x'::text).to_regclass",
        "SELECT (16401::oid).regclass",
    ] {
        refused(sql, Code::Unsupported);
    }
    for sql in [
        "SELECT (c).n FROM customers c",
        "SELECT (c).* FROM customers c",
        "SELECT (ROW(1, 2)).f1",
        "SELECT (jsonb_each('{}')).key",
        "SELECT (ARRAY[1, 2])[1:2]",
    ] {
        assert!(run(sql).is_ok(), "{sql}");
    }
}
