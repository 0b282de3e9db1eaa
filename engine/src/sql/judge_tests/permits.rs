//! What permits let through the judge, and what they do not.

use super::*;
use crate::entitlement::Extension;

fn names(list: &[&str]) -> BTreeSet<RelationName> {
    let name = |full: &&str| full.split_once('.').map(|(schema, name)| RelationName::new(schema, name));
    list.iter().filter_map(name).collect()
}

fn extras() -> Extras {
    let citext = Extension {
        name: "citext".into(),
        functions: names(&["public.replace", "public.regexp_match", "public.strpos"]),
        types: names(&["public.citext"]),
        operators: BTreeSet::new(),
        alone: ["replace", "regexp_match"].map(str::to_owned).into(),
    };
    let trigrams = Extension {
        name: "pg_trgm".into(),
        functions: names(&["gis.similarity", "public.word_similarity"]),
        types: BTreeSet::new(),
        operators: names(&["public.<<%", "gis.%>>"]),
        alone: ["similarity", "word_similarity"].map(str::to_owned).into(),
    };
    let columns = ["public.customers.ssn", "app.customers.ssn", "public.customers.mail"].map(str::to_owned);
    Extras {
        functions: names(&["public.score", "gis.surface", "gis.lower"]),
        types: names(&["public.spot", "gis.shape"]),
        extensions: ["citext".to_owned(), "pg_trgm".to_owned()].into(),
        members: vec![Arc::new(citext), Arc::new(trigrams)],
        channels: ["orders", "Late Orders", "v"].map(str::to_owned).into(),
        unmask: [("reversible:accounts".to_owned(), columns.into())].into(),
        ..Extras::default()
    }
}

fn run_with(extras: Extras, sql: &str) -> Result<Judged, Refusal> {
    run_in(extras, None, sql)
}

fn run_in(extras: Extras, workspace: Option<&str>, sql: &str) -> Result<Judged, Refusal> {
    // Without a column whose type is not PostgreSQL's own: those let operators through.
    let mut entitlement = entitlement();
    for access in entitlement.relations.values_mut().flat_map(BTreeMap::values_mut) {
        Arc::make_mut(access).view.columns.clear();
    }
    let entitlement = Entitlement { extras, ..entitlement };
    let path = ["public".to_owned()];
    let context =
        Context { entitlement: &entitlement, search_path: &path, paths: None, database: "shop", workspace };
    judge(RawSql::new(sql), &context)
}

fn sent(sql: &str) -> String {
    let judged = run_with(extras(), sql).unwrap_or_else(|refusal| panic!("{sql}: {refusal:?}"));
    judged.enforced.for_record().to_owned()
}

#[test]
fn what_is_let_through_is_sent_qualified() {
    for (sql, expected) in [
        ("SELECT score(1)", "SELECT \"public\".\"score\"(1)"),
        ("SELECT public.score(1), gis.surface(2)", "SELECT \"public\".\"score\"(1), \"gis\".\"surface\"(2)"),
        ("SELECT gis.lower('A'), lower('A')", "SELECT \"gis\".\"lower\"('A'), pg_catalog.\"lower\"('A')"),
        ("SELECT * FROM score(1) AS t(a)", "SELECT * FROM \"public\".\"score\"(1) AS t(a)"),
        ("SELECT 'x'::spot, 'x'::gis.shape[]", "SELECT 'x'::\"public\".\"spot\", 'x'::\"gis\".\"shape\"[]"),
        ("SELECT 'x'::citext", "SELECT 'x'::\"public\".\"citext\""),
        ("SELECT word_similarity('a', 'b')", "SELECT \"public\".\"word_similarity\"('a', 'b')"),
        ("SELECT 'a' <<% 'b'", "SELECT 'a' <<% 'b'"),
        ("SELECT 'a' OPERATOR(gis.%>>) 'b'", "SELECT 'a' OPERATOR(gis.%>>) 'b'"),
        // PostgreSQL chooses by the arguments, where the extension alone has the name.
        ("SELECT replace('a', 'b', 'c')", "SELECT replace('a', 'b', 'c')"),
        ("SELECT strpos('a', 'b')", "SELECT pg_catalog.\"strpos\"('a', 'b')"),
        ("CREATE EXTENSION IF NOT EXISTS citext", "CREATE EXTENSION IF NOT EXISTS citext"),
    ] {
        assert_eq!(sent(sql), expected, "{sql}");
    }
}

#[test]
fn nothing_else_is_let_through() {
    for sql in [
        "SELECT surface(1)",
        "SELECT similarity('a', 'b')",
        "SELECT public.surface(1)",
        "SELECT score.score(1)",
        "SELECT shop.public.score(1)",
        "SELECT \"Score\"(1)",
        "SELECT query_to_xml('SELECT 1', true, true, '')",
        "SELECT pg_catalog.query_to_xml('SELECT 1', true, true, '')",
        "SELECT public.query_to_xml('SELECT 1', true, true, '')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT public.dblink_exec('SELECT 1')",
        "SELECT set_config('role', 'x', false)",
        "SELECT lanyard_secured.unmask('x')",
        "SELECT lanyard_catalog.unmask('x')",
        "SELECT detokenize('x')",
        "SELECT lanyard.detokenize('x')",
        "SELECT lanyard.rotate_key('token')",
        "SELECT lanyard.list_keys()",
        "SELECT 'a' OPERATOR(gis.<<%) 'b'",
        "SELECT 'a' OPERATOR(public.+) 'b'",
        "CALL score(1)",
        "SELECT 'x'::shape",
        "SELECT 'x'::public.shape",
        "SELECT 'x'::hstore",
        "CREATE EXTENSION citext",
        "CREATE EXTENSION IF NOT EXISTS hstore",
        "CREATE EXTENSION IF NOT EXISTS \"Citext\"",
        "CREATE EXTENSION IF NOT EXISTS citext CASCADE",
        "CREATE EXTENSION IF NOT EXISTS citext SCHEMA public",
        "CREATE EXTENSION IF NOT EXISTS citext VERSION '1.6'",
        "ALTER EXTENSION citext UPDATE",
        "DROP EXTENSION IF EXISTS citext",
    ] {
        assert!(run_with(extras(), sql).is_err(), "{sql}");
    }
    // A permitted type brings operators of any name, as a column of such a type does; without one they are the extension's.
    let without_types = Extras { types: BTreeSet::new(), ..extras() };
    assert!(run_with(without_types.clone(), "SELECT 'a' %>> 'b'").is_err(), "not on the path");
    assert!(run_with(without_types, "SELECT 'a' <<% 'b'").is_ok());
    for sql in [
        "SELECT score(1)",
        "SELECT 'x'::citext",
        "SELECT 'a' <<% 'b'",
        "SELECT unmask('x')",
        "SELECT lanyard.unmask('x')",
    ] {
        assert!(run_with(Extras::default(), sql).is_err(), "{sql}");
    }
}

#[test]
fn channels_are_those_that_are_named() {
    for (sql, expected) in [
        ("LISTEN orders", "LISTEN orders"),
        ("LISTEN ORDERS", "LISTEN ORDERS"),
        ("LISTEN \"Late Orders\"", "LISTEN \"Late Orders\""),
        ("NOTIFY orders", "NOTIFY orders"),
        ("NOTIFY orders, 'it''s'", "NOTIFY orders, 'it''s'"),
        ("SELECT pg_notify('orders', $1)", "SELECT pg_catalog.\"pg_notify\"('orders', $1)"),
        (
            "SELECT pg_catalog.pg_notify('Late Orders', 'x')",
            "SELECT pg_catalog.pg_notify('Late Orders', 'x')",
        ),
        ("SELECT * FROM pg_notify('orders', 'x')", "SELECT * FROM pg_catalog.\"pg_notify\"('orders', 'x')"),
        ("PREPARE p AS SELECT pg_notify('orders', 'x')", ""),
        ("UNLISTEN nowhere", "UNLISTEN nowhere"),
        ("UNLISTEN *", "UNLISTEN *"),
    ] {
        let sent = sent(sql);
        assert!(expected.is_empty() || sent == expected, "{sql}: {sent}");
    }
    for sql in [
        "LISTEN order",
        "LISTEN \"Orders\"",
        "LISTEN late",
        "LISTEN \"orders \"",
        "LISTEN ordersx",
        "LISTEN orders; LISTEN other",
        "NOTIFY other, 'x'",
        "NOTIFY \"ORDERS\"",
        "SELECT pg_notify('Orders', 'x')",
        "SELECT pg_notify('other', 'x')",
        "SELECT pg_notify('orders' || '', 'x')",
        "SELECT pg_notify($1, 'x')",
        "SELECT pg_notify(lower('ORDERS'), 'x')",
        "SELECT pg_notify('orders'::text, 'x')",
        "SELECT pg_notify(NULL, 'x')",
        "SELECT pg_notify(1, 'x')",
        "SELECT pg_notify()",
        "SELECT pg_notify(VARIADIC ARRAY['orders', 'x'])",
        "SELECT public.pg_notify('orders', 'x')",
        "SELECT ('orders'::text).pg_notify",
        "SELECT pg_notify(c, 'x') FROM (VALUES ('orders')) v(c)",
        "SELECT pg_listening_channels()",
        "SELECT pg_notification_queue_usage()",
        "CREATE VIEW w AS SELECT pg_notify('orders', 'x')",
        "CREATE RULE r AS ON INSERT TO orders DO ALSO NOTIFY orders",
    ] {
        assert!(run_with(extras(), sql).is_err(), "{sql}");
    }
    let judged =
        run_with(extras(), "LISTEN orders; SELECT pg_notify('orders', 'x')").expect("both are let through");
    let uses: Vec<(&str, &str)> = judged.objects.iter().map(|o| (o.relation.as_str(), o.operation)).collect();
    assert_eq!(uses, [("channel orders", "notify"), ("channel orders", "listen")]);
    assert!(!judged.leaves_nothing, "who listens keeps the backend");
    for sql in ["NOTIFY orders", "SELECT pg_notify('orders', 'x')"] {
        assert!(run_with(extras(), sql).expect("it is let through").leaves_nothing, "{sql}");
    }
    assert!(run_with(Extras::default(), "LISTEN orders").is_err());
}

#[test]
fn nothing_that_is_kept_notifies() {
    for sql in [
        "CREATE TABLE t (a text DEFAULT pg_notify('orders', 'x')::text)",
        "CREATE TABLE t (a text CHECK (pg_notify('orders', a) IS NULL))",
        "CREATE INDEX ON t (a) WHERE pg_notify('orders', a) IS NULL",
        "CREATE VIEW w AS SELECT pg_notify('orders', 'x')",
        "CREATE MATERIALIZED VIEW w AS SELECT pg_notify('orders', 'x')",
        "CREATE TEMP VIEW w AS SELECT pg_notify('orders', 'x')",
        "ALTER TABLE t ALTER a SET DEFAULT pg_notify('orders', 'x')",
        "ALTER TABLE t ADD CHECK (pg_notify('orders', a) IS NULL)",
        "CREATE DOMAIN d AS text CHECK (pg_notify('orders', VALUE) IS NULL)",
    ] {
        let refused = run_in(extras(), Some("workspace_5_1"), sql).expect_err(sql);
        assert_eq!(refused.code, Code::Policy, "{sql}: {refused}");
    }
    assert!(run_in(extras(), Some("workspace_5_1"), "SELECT pg_notify('orders', 'x')").is_ok());
}

#[test]
fn undoing_a_mask_is_on_record_with_its_columns() {
    for sql in ["SELECT unmask(ssn) FROM orders", "SELECT lanyard.unmask(ssn) FROM orders"] {
        let judged = run_with(extras(), sql).expect("the right is there");
        assert_eq!(
            judged.enforced.for_record(),
            "SELECT \"lanyard_secured\".\"unmask\"(ssn) FROM \"lanyard_secured\".\"v_o\" AS \"orders\""
        );
        let undone: Vec<(&str, String)> = (judged.objects.iter())
            .filter(|object| object.operation == "unmask")
            .map(|object| (object.relation.as_str(), object.masks.join(", ")))
            .collect();
        let mail = "mail: undone (reversible:accounts), ssn: undone (reversible:accounts)".to_owned();
        let ssn = "ssn: undone (reversible:accounts)".to_owned();
        assert_eq!(undone, [("app.customers", ssn), ("public.customers", mail)]);
        assert_eq!((judged.disposition, judged.notice), (Disposition::Allowed, None));
    }
}
