//! Functions and types that policy lets through beside PostgreSQL's own, and what stays refused all the same.

use super::*;

fn granted(sql: &str, path: &[&str]) -> Result<String, Refusal> {
    let mut entitlement = entitlement();
    entitlement.extras.functions =
        BTreeSet::from([RelationName::new("app", "score"), RelationName::new("Odd \"one", "f")]);
    entitlement.extras.types = BTreeSet::from([RelationName::new("app", "place")]);
    let path: Vec<String> = path.iter().map(|s| (*s).to_owned()).collect();
    let context = Context {
        entitlement: &entitlement,
        search_path: &path,
        paths: None,
        database: "shop",
        workspace: None,
    };
    judge(RawSql::new(sql), &context).map(|judged| judged.enforced.for_record().to_owned())
}

#[test]
fn granted_functions_and_types_go_out_under_their_schema() {
    for (sql, path, sent) in [
        ("SELECT score(1)", &["public", "app"][..], "SELECT \"app\".\"score\"(1)"),
        ("SELECT app.score(1)", &["public"], "SELECT app.score(1)"),
        ("SELECT f()", &["Odd \"one"], "SELECT \"Odd \"\"one\".\"f\"()"),
        ("SELECT * FROM score(2) AS s", &["app"], "SELECT * FROM \"app\".\"score\"(2) AS s"),
        ("SELECT '1'::place", &["app"], "SELECT '1'::\"app\".\"place\""),
        ("SELECT NULL::app.place", &["public"], "SELECT NULL::\"app\".\"place\""),
        ("SELECT tsquery('a & b')", &["public"], "SELECT pg_catalog.\"tsquery\"('a & b')"),
        (
            "SELECT (information_schema._pg_expandarray(ARRAY[4, 5])).n",
            &["public"],
            "SELECT (information_schema._pg_expandarray(ARRAY[4, 5])).n",
        ),
        (
            "SELECT t.ids::regtype[] FROM (SELECT NULL::oid[] AS ids) t",
            &["public"],
            "SELECT lanyard_catalog._regtypes(t.ids)::regtype[] FROM (SELECT NULL::oid[] AS ids) t",
        ),
        ("SELECT jsonb('{}')", &["public"], "SELECT pg_catalog.\"jsonb\"('{}')"),
    ] {
        let path: Vec<&str> = path.to_vec();
        assert_eq!(granted(sql, &path).map_err(|e| e.message.to_string()).as_deref(), Ok(sent), "{sql}");
    }
}

#[test]
fn what_is_not_granted_stays_refused() {
    for (sql, state) in [
        // Not on the path, or in another schema.
        ("SELECT score(1)", "42501"),
        ("SELECT public.score(1)", "42501"),
        ("SELECT pg_catalog.score(1)", "42501"),
        ("SELECT app.other(1)", "42501"),
        ("SELECT shop.app.score(1)", "42501"),
        ("SELECT '1'::place", "42704"),
        ("SELECT '1'::public.place", "42704"),
        // A field of an expression is a call in disguise, also of what is granted.
        ("SELECT (id).score FROM customers", "0A000"),
        // PostgreSQL's own under that name is what is meant, and it is not on the list.
        ("SELECT app.pg_read_file('x')", "42501"),
        ("SELECT query_to_xml('select 1', true, true, '')", "42501"),
        // Types that name objects, as functions.
        ("SELECT _regclass('{payroll}')", "42501"),
        ("SELECT regrole(10)", "42501"),
        ("SELECT '{23}'::regtype[]", "42501"),
        ("SELECT ARRAY[23]::regtype[]", "42501"),
        ("SELECT t.ids::regclass[] FROM (SELECT NULL::oid[] AS ids) t", "42501"),
        ("SELECT t.ids::regrole[] FROM (SELECT NULL::oid[] AS ids) t", "42501"),
        ("SELECT _pg_expandarray(ARRAY[1])", "42501"),
        ("SELECT public._pg_expandarray(ARRAY[1])", "42501"),
        ("SELECT information_schema._pg_truetypid(a, t) FROM pg_attribute a, pg_type t", "42501"),
        ("SELECT _text('{a}')", "42501"),
        // A cast takes one argument.
        ("SELECT tsquery('a', 'b')", "42501"),
        ("SELECT jsonb()", "42501"),
        // What a granted function returns may name things: nothing stands beside it that could become a name.
        ("SELECT app.score(1) UNION SELECT 'payroll'", "42501"),
        ("SELECT CASE WHEN true THEN app.score(1) ELSE 'payroll' END", "42501"),
    ] {
        let refused = granted(sql, &["public"]);
        assert_eq!(refused.map_err(|e| e.code.sqlstate().to_owned()), Err(state.to_owned()), "{sql}");
    }
}

#[test]
fn one_source_of_several_columns_is_spliced_once() {
    let sent =
        granted("UPDATE orders SET (id, feeling) = (SELECT id, feeling FROM customers c)", &["public"]);
    let sent = sent.map_err(|e| e.message.to_string()).expect("allowed");
    assert_eq!(sent.matches("lanyard_secured").count(), 2, "{sent}");
    let hidden = granted("UPDATE orders SET (id, feeling) = (SELECT id, ssn FROM payroll)", &["public"]);
    assert_eq!(hidden.map_err(|e| e.code.sqlstate().to_owned()), Err("42P01".to_owned()));
}

#[test]
fn defaults_are_not_written_as_null() {
    for sql in [
        "UPDATE orders SET id = DEFAULT",
        "UPDATE orders SET feeling = 'x', id = DEFAULT WHERE id = 1",
        "UPDATE orders SET (id, feeling) = (1, DEFAULT)",
        "INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = DEFAULT",
        "MERGE INTO orders o USING customers c ON o.id = c.id WHEN MATCHED THEN UPDATE SET id = DEFAULT",
    ] {
        let refused = granted(sql, &["public"]).map_err(|e| e.code.sqlstate().to_owned());
        assert_eq!(refused, Err("0A000".to_owned()), "{sql}");
    }
    for sql in [
        "INSERT INTO orders (id, feeling) VALUES (DEFAULT, 'x'), (2, DEFAULT)",
        "INSERT INTO orders DEFAULT VALUES",
        "MERGE INTO orders o USING customers c ON o.id = c.id WHEN NOT MATCHED THEN INSERT (id) VALUES (DEFAULT)",
    ] {
        assert!(granted(sql, &["public"]).is_ok(), "{sql}");
    }
}

#[test]
fn names_that_are_put_together_are_looked_up_in_the_virtual_catalog() {
    for (sql, sent) in [
        (
            "SELECT CAST(format('%I.%I', a, b) AS regclass) FROM (VALUES ('x', 'y')) v(a, b)",
            "SELECT CAST(lanyard_catalog.regclass(pg_catalog.\"format\"('%I.%I', a, b)) AS regclass) FROM (VALUES ('x', 'y')) v(a, b)",
        ),
        (
            "SELECT ('pay' || 'roll')::regclass",
            "SELECT lanyard_catalog.regclass(('pay' || 'roll'))::regclass",
        ),
        (
            "SELECT lower('PAYROLL')::regclass",
            "SELECT lanyard_catalog.regclass(pg_catalog.\"lower\"('PAYROLL'))::regclass",
        ),
        (
            "SELECT format('%s', a)::regclass::oid FROM (VALUES ('x')) v(a)",
            "SELECT lanyard_catalog.regclass(pg_catalog.\"format\"('%s', a))::regclass::oid FROM (VALUES ('x')) v(a)",
        ),
        (
            "SELECT (quote_ident(a) || '.' || b) :: regclass FROM (VALUES ('x', 'y')) v(a, b)",
            "SELECT lanyard_catalog.regclass((pg_catalog.\"quote_ident\"(a) || '.' || b)) :: regclass FROM (VALUES ('x', 'y')) v(a, b)",
        ),
        (
            "SELECT pg_total_relation_size(('public.' || a)::regclass) FROM (VALUES ('x')) v(a)",
            "SELECT lanyard_catalog.\"pg_total_relation_size\"(lanyard_catalog.regclass(('public.' || a))::regclass) FROM (VALUES ('x')) v(a)",
        ),
    ] {
        assert_eq!(
            granted(sql, &["public"]).map_err(|e| e.message.to_string()).as_deref(),
            Ok(sent),
            "{sql}"
        );
    }
    for (sql, state) in [
        // What stands inside is judged like everything else.
        ("SELECT format('%s', pg_read_file('x'))::regclass", "42501"),
        ("SELECT (SELECT a FROM payroll)::regclass", "42501"),
        ("SELECT format('%s', (SELECT a FROM payroll))::regclass", "42P01"),
        ("SELECT ('a' || (SELECT a FROM payroll))::regclass", "42P01"),
        // Parentheses in texts mislead the search for the beginning: the tree check sees it.
        ("SELECT ('a)' || 'b')::regclass", "0A000"),
        ("SELECT 'a' || ('x' || '(b')::regclass", "0A000"),
        // Other types that name objects.
        ("SELECT format('%s', 'x')::regrole", "42501"),
        ("SELECT ('x' || 'y')::regnamespace", "42501"),
        ("SELECT (format('%s', 'x'))::regproc", "42501"),
        ("SELECT ARRAY[format('%s', 'x')]::regclass[]", "42501"),
        ("SELECT (1 + 16500)::regclass", "42501"),
        ("SELECT coalesce('payroll', 'x')::regclass", "42501"),
        ("SELECT CASE WHEN true THEN 'payroll' END::regclass", "42501"),
    ] {
        let refused = granted(sql, &["public"]).map_err(|e| e.code.sqlstate().to_owned());
        assert_eq!(refused, Err(state.to_owned()), "{sql}");
    }
}
