//! What PostgreSQL knows of a table and not of a view: its key in a GROUP BY, its defaults, its children.

use super::*;
use crate::entitlement::Beneath;

fn column(name: &str, type_sql: &str, writable: bool) -> ViewColumn {
    ViewColumn { name: name.into(), type_sql: type_sql.into(), base_number: 1, writable, by_prefix: false }
}

fn run_over(sql: &str, search_path: &[&str]) -> Result<Judged, Refusal> {
    let table = |name: &str, key: &[&str], childless: bool, shaped: bool| {
        let mut access = access("public", name, &format!("v_{name}"), true, false);
        access.view.barrier = shaped;
        access.view.columns = vec![
            column("id", "integer", true),
            column("part", "text", true),
            column("name", "character varying(40)", true),
            column("Born \"on", "timestamp(3) without time zone", true),
            column("doc", "json", true),
            column("ssn", "text", false),
            column("tags", "text[]", true),
        ];
        let default = |sql: &str| Some(sql.to_owned());
        access.beneath = Beneath {
            key: key.iter().map(|name| (*name).to_owned()).collect(),
            childless,
            defaults: Some(BTreeMap::from([
                ("id".to_owned(), default("nextval('public.s'::regclass)")),
                ("part".to_owned(), default("'it''s'::text")),
                ("doc".to_owned(), None),
            ])),
        };
        (name.to_owned(), Arc::new(access))
    };
    let tables = BTreeMap::from([
        table("people", &["id"], true, true),
        table("pairs", &["id", "part"], true, false),
        table("heaps", &[], false, false),
    ]);
    run_over_tables(tables, sql, search_path)
}

fn sent(sql: &str) -> String {
    match run_over(sql, &["public"]) {
        Ok(judged) => judged.enforced.for_record().replace("\"lanyard_secured\".", ""),
        Err(refusal) => panic!("{sql}: refused: {} {refusal}", refusal.code.sqlstate()),
    }
}

fn state(sql: &str, search_path: &[&str]) -> &'static str {
    run_over(sql, search_path).map_or_else(|refusal| refusal.code.sqlstate(), |_| "sent")
}

#[test]
fn what_follows_from_a_key_is_grouped_by_as_well() {
    for (sql, expected) in [
        ("SELECT p.id, p.name, count(*) FROM people p GROUP BY p.id", "GROUP BY \"p\".\"name\", p.id"),
        ("SELECT name FROM people GROUP BY id", "GROUP BY \"people\".\"name\", id"),
        (
            "SELECT id FROM people GROUP BY\n id HAVING name > 'a'",
            "GROUP BY\n \"people\".\"name\", id HAVING name > 'a'",
        ),
        (
            "SELECT upper(p.name || p.part) FROM people p, heaps h GROUP BY 2 + 1, p.id ORDER BY max(h.id), \"Born \"\"on\"",
            "GROUP BY 2 + 1, \"p\".\"part\", \"p\".\"name\", \"p\".\"Born \"\"on\", p.id ORDER BY",
        ),
        (
            "SELECT a.* FROM pairs a GROUP BY a.part, a.id",
            "GROUP BY \"a\".\"name\", \"a\".\"Born \"\"on\", \"a\".\"tags\", a.part, a.id",
        ),
        (
            "SELECT p.name, a.name FROM people p JOIN pairs a ON a.id = p.id GROUP BY p.id, a.id, a.part",
            "GROUP BY \"p\".\"name\", p.id, \"a\".\"name\", a.id, a.part",
        ),
        (
            "SELECT p.name FROM people p LEFT JOIN pairs USING (id) GROUP BY p.id",
            "GROUP BY \"p\".\"name\", p.id",
        ),
        (
            "SELECT CASE WHEN count(*) > 1 THEN p.name END, rank() OVER (ORDER BY p.part) FROM people p GROUP BY p.id",
            "GROUP BY \"p\".\"part\", \"p\".\"name\", p.id",
        ),
        (
            "SELECT 1 FROM heaps WHERE id IN (SELECT min(p.id) FROM people p GROUP BY p.id HAVING p.name = 'x')",
            "GROUP BY \"p\".\"name\", p.id HAVING p.name = 'x')",
        ),
    ] {
        let sent = sent(sql);
        assert!(sent.contains(expected), "{sql}: {sent}");
        assert!(
            run_over(sql, &["public"]).is_ok_and(|judged| judged.numbers_are_data),
            "{sql}: numbers are data as before"
        );
    }
}

/// Where we are not sure, the statement goes as it is, and PostgreSQL says what it says.
#[test]
fn nothing_else_is_grouped_by() {
    for sql in [
        // There is no key, or not all of it.
        "SELECT name FROM heaps GROUP BY id",
        "SELECT name FROM pairs GROUP BY id",
        "SELECT a.name FROM pairs a JOIN people p ON true GROUP BY a.id, p.part",
        // It is not the key of this one.
        "SELECT p.name FROM people p, heaps h GROUP BY h.id",
        "SELECT people.name FROM people p GROUP BY people.id",
        // The key is part of something.
        "SELECT name FROM people GROUP BY id + 0",
        "SELECT name FROM people GROUP BY (id)",
        "SELECT name FROM people GROUP BY (id, part)",
        "SELECT name FROM people GROUP BY 1",
        "SELECT name FROM people GROUP BY abs(id)",
        "SELECT name FROM people GROUP BY ROLLUP (id)",
        "SELECT name FROM people GROUP BY GROUPING SETS ((id, part), (id))",
        "SELECT name FROM people GROUP BY id, CUBE (part)",
        // A bare name may be of both sides.
        "SELECT name FROM people FULL JOIN heaps USING (id) GROUP BY id",
        "SELECT name FROM people NATURAL JOIN heaps GROUP BY id",
        // Columns have other names, or none that is seen.
        "SELECT b FROM people p(a, b) GROUP BY a",
        "SELECT j.name FROM (people p JOIN heaps h ON true) AS j GROUP BY p.id",
        "WITH people AS (SELECT 1 AS id, 2 AS name) SELECT name FROM people GROUP BY id",
        "SELECT name FROM (SELECT * FROM people) p GROUP BY id",
        // Masked, of a type that has no equality, or listed.
        "SELECT ssn FROM people GROUP BY id",
        "SELECT doc::text FROM people GROUP BY id",
        "SELECT id, name FROM people GROUP BY name, id",
        "SELECT p.name FROM people p GROUP BY name, p.id",
        "SELECT count(*) FROM people WHERE name = 'x' GROUP BY id",
        "SELECT DISTINCT name FROM people",
    ] {
        let sent = sent(sql);
        let group = |text: &str| text.split_once("GROUP BY").map(|(_, rest)| rest.to_owned());
        let plain = |text: Option<String>| text.unwrap_or_default().replace("pg_catalog.\"abs\"", "abs");
        assert_eq!(plain(group(&sent)), plain(group(sql)), "{sql}");
    }
}

#[test]
fn only_means_the_table_where_it_has_no_children() {
    for (sql, expected) in [
        ("SELECT id FROM ONLY people", "SELECT id FROM ONLY \"v_people\" AS \"people\""),
        ("SELECT id FROM ONLY (people) AS p", "SELECT id FROM ONLY (\"v_people\") AS p"),
        ("DELETE FROM ONLY people p WHERE p.id = 1", "DELETE FROM ONLY \"v_people\" p WHERE p.id = 1"),
    ] {
        assert_eq!(sent(sql), expected, "{sql}");
    }
    for (sql, why) in [
        ("SELECT id FROM ONLY heaps", "0A000"),
        ("SELECT id FROM people, ONLY heaps", "0A000"),
        ("UPDATE ONLY heaps SET id = 1", "0A000"),
        ("DELETE FROM ONLY heaps", "0A000"),
        ("DELETE FROM people USING ONLY (heaps)", "0A000"),
        ("SELECT id FROM ONLY hidden", "42P01"),
    ] {
        assert_eq!(state(sql, &["public"]), why, "{sql}");
    }
}

#[test]
fn defaults_are_written_out_where_they_are_known() {
    for (sql, expected) in [
        ("UPDATE people SET part = DEFAULT", "SET part = ('it''s'::text)"),
        ("UPDATE people SET part=default, name = 'x'", "SET part=('it''s'::text), name = 'x'"),
        ("UPDATE people SET name = DEFAULT", "SET name = DEFAULT"),
        (
            "UPDATE people SET (name, part, id) = ('DEFAULT', DEFAULT, (DEFAULT))",
            "SET (name, part, id) = ('DEFAULT', ('it''s'::text), ((nextval('public.s'::regclass))))",
        ),
        (
            "INSERT INTO people (id) VALUES (DEFAULT) ON CONFLICT (id) DO UPDATE SET part = DEFAULT",
            "VALUES (DEFAULT) ON CONFLICT (id) DO UPDATE SET part = ('it''s'::text)",
        ),
        (
            "MERGE INTO people p USING heaps h ON true WHEN MATCHED THEN UPDATE SET part = DEFAULT WHEN NOT MATCHED THEN INSERT (id) VALUES (DEFAULT)",
            "UPDATE SET part = ('it''s'::text) WHEN NOT MATCHED THEN INSERT (id) VALUES (DEFAULT)",
        ),
    ] {
        let sent = sent(sql);
        assert!(sent.ends_with(expected), "{sql}: {sent}");
    }
    for (sql, path, why) in [
        // Not to be written out: of an identity, a generated column, a domain.
        ("UPDATE people SET doc = DEFAULT", ["public"].as_slice(), "0A000"),
        ("UPDATE people SET (part, doc) = (DEFAULT, DEFAULT)", &["public"], "0A000"),
        (
            "MERGE INTO people p USING heaps h ON true WHEN MATCHED THEN UPDATE SET doc = DEFAULT",
            &["public"],
            "0A000",
        ),
        // Masked.
        ("UPDATE people SET ssn = DEFAULT", &["public"], "42501"),
        ("UPDATE people SET (part, ssn) = (DEFAULT, DEFAULT)", &["public"], "42501"),
        // Bare names in the default could be the path's.
        ("UPDATE people SET part = DEFAULT", &["public", "pg_catalog"], "0A000"),
        ("UPDATE hidden SET part = DEFAULT", &["public"], "42P01"),
    ] {
        assert_eq!(state(sql, path), why, "{sql}");
    }
}

#[test]
fn numbers_of_a_default_are_not_those_of_the_text() {
    let judged = run_over("UPDATE people SET part = DEFAULT WHERE id = 5", &["public"]).expect("allowed");
    assert!(!judged.numbers_are_data);
}

/// PostgreSQL calls a cast after its column.
#[test]
fn a_name_looked_up_leaves_its_column_the_name() {
    for (sql, expected) in [
        (
            "SELECT attrelid::regclass, attname FROM pg_attribute",
            "SELECT lanyard_catalog.regclass(attrelid)::regclass AS \"attrelid\", attname",
        ),
        (
            "SELECT c . oid :: regclass :: text FROM pg_class c",
            "SELECT lanyard_catalog.regclass(c . oid) :: regclass :: text AS \"oid\" FROM",
        ),
        (
            "SELECT x.oid FROM (SELECT oid::pg_catalog.regclass FROM pg_class) x",
            "(SELECT lanyard_catalog.regclass(oid)::pg_catalog.regclass AS \"oid\" FROM",
        ),
    ] {
        assert!(sent(sql).contains(expected), "{sql}: {}", sent(sql));
    }
    for sql in [
        "SELECT oid::regclass AS x FROM pg_class",
        "SELECT (oid::regclass) FROM pg_class",
        "SELECT (oid)::regclass FROM pg_class",
        "SELECT CAST(oid AS regclass) FROM pg_class",
        "SELECT oid::regclass::varchar(10) FROM pg_class",
        "SELECT ARRAY(SELECT oid::regclass)",
        "SELECT 1 FROM pg_class ORDER BY oid::regclass",
    ] {
        assert!(!sent(sql).contains("AS \"oid\""), "{sql}: {}", sent(sql));
    }
}
