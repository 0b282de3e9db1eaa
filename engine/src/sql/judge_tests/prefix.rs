//! LIKE through a view that filters: what it implies is spliced in front, or nothing is touched.

use super::*;

fn column(name: &str, by_prefix: bool) -> ViewColumn {
    ViewColumn { name: name.into(), type_sql: "text".into(), base_number: 1, writable: false, by_prefix }
}

fn run_filtered(sql: &str, search_path: &[&str]) -> Result<Judged, Refusal> {
    let table = |name: &str, barrier: bool| {
        let mut access = access("public", name, &format!("v_{name}"), false, false);
        access.view.barrier = barrier;
        access.view.columns = vec![column("name", true), column("Odd\"Name", true), column("masked", false)];
        (name.to_owned(), Arc::new(access))
    };
    let tables = BTreeMap::from([table("people", true), table("teams", true), table("open", false)]);
    run_over_tables(tables, sql, search_path)
}

fn becomes(sql: &str, expected: &str) {
    match run_filtered(sql, &["public"]) {
        Ok(judged) => assert_eq!(judged.enforced.for_record(), expected, "{sql}"),
        Err(refusal) => panic!("{sql}: refused: {} {refusal}", refusal.code.sqlstate()),
    }
}

const PEOPLE: &str = r#""lanyard_secured"."v_people" AS "people""#;

#[test]
fn a_plain_prefix_is_implied() {
    let implied = |column: &str, prefix: &str, like: &str| {
        format!("({column} OPERATOR(pg_catalog.^@) '{prefix}' AND {like})")
    };
    for (condition, expected) in [
        ("name LIKE 'ab%'", implied("\"name\"", "ab", "name LIKE 'ab%'")),
        ("people.name  like\n'ab%'", implied("\"people\".\"name\"", "ab", "people.name  like\n'ab%'")),
        ("name LIKE 'a_b%'", implied("\"name\"", "a", "name LIKE 'a_b%'")),
        ("name LIKE 'a\\%b'", implied("\"name\"", "a", "name LIKE 'a\\%b'")),
        ("name LIKE 'it''s%'", implied("\"name\"", "it''s", "name LIKE 'it''s%'")),
        ("name LIKE 'ä%'", implied("\"name\"", "ä", "name LIKE 'ä%'")),
        ("\"Odd\"\"Name\" LIKE 'x'", implied("\"Odd\"\"Name\"", "x", "\"Odd\"\"Name\" LIKE 'x'")),
        ("NAME LIKE 'ab%' AND 1 = 1", implied("\"name\"", "ab", "NAME LIKE 'ab%'") + " AND 1 = 1"),
        (
            "1 = 1 AND (name LIKE 'ab%')",
            format!("1 = 1 AND ({})", implied("\"name\"", "ab", "name LIKE 'ab%'")),
        ),
        (
            "name LIKE 'ab%' AND name LIKE 'abc%'",
            format!(
                "{} AND {}",
                implied("\"name\"", "ab", "name LIKE 'ab%'"),
                implied("\"name\"", "abc", "name LIKE 'abc%'")
            ),
        ),
    ] {
        becomes(
            &format!("SELECT 1 FROM people WHERE {condition}"),
            &format!("SELECT 1 FROM {PEOPLE} WHERE {expected}"),
        );
    }
    becomes(
        "SELECT 1 FROM people p JOIN open o ON true WHERE p.name LIKE 'ab%' AND o.name LIKE 'ab%'",
        r#"SELECT 1 FROM "lanyard_secured"."v_people" p JOIN "lanyard_secured"."v_open" AS o ON true WHERE ("p"."name" OPERATOR(pg_catalog.^@) 'ab' AND p.name LIKE 'ab%') AND o.name LIKE 'ab%'"#
            .replace(" AS o ", " o ")
            .as_str(),
    );
}

#[test]
fn whatever_is_not_plain_stays_as_it_is() {
    for condition in [
        "name LIKE '%ab'",
        "name LIKE '_ab%'",
        "name LIKE '\\ab%'",
        "name LIKE ''",
        "name NOT LIKE 'ab%'",
        "name ILIKE 'ab%'",
        "name SIMILAR TO 'ab%'",
        "name ~~ 'ab%'",
        "name LIKE 'ab%' OR 1 = 1",
        "NOT name LIKE 'ab%'",
        "name LIKE 'ab!%' ESCAPE '!'",
        "name LIKE E'ab%'",
        "name LIKE U&'ab%'",
        "name LIKE $$ab%$$",
        "name LIKE 'ab%'\n'cd'",
        "name LIKE 'ab%'::text",
        "name LIKE 'ab%' COLLATE \"C\"",
        "name LIKE NULL",
        "name LIKE $1",
        "name || 'x' LIKE 'ab%'",
        "name COLLATE \"C\" LIKE 'ab%'",
        "(name) LIKE 'ab%'",
        "name LIKE ('ab%')",
        "masked LIKE 'ab%'",
        "nothing LIKE 'ab%'",
        "other.name LIKE 'ab%'",
        "people LIKE 'ab%'",
        "'ab' LIKE 'ab%'",
    ] {
        becomes(
            &format!("SELECT 1 FROM people WHERE {condition}"),
            &format!("SELECT 1 FROM {PEOPLE} WHERE {condition}"),
        );
    }
    let people = |alias: &str| format!("\"lanyard_secured\".\"v_people\"{alias}");
    for (sql, expected) in [
        (
            "SELECT 1 FROM open WHERE name LIKE 'ab%'",
            r#"SELECT 1 FROM "lanyard_secured"."v_open" AS "open" WHERE name LIKE 'ab%'"#.to_owned(),
        ),
        (
            "SELECT 1 FROM people t(name) WHERE name LIKE 'ab%'",
            format!("SELECT 1 FROM {} WHERE name LIKE 'ab%'", people(" t(name)")),
        ),
        (
            "SELECT 1 FROM people p WHERE people.name LIKE 'ab%'",
            format!("SELECT 1 FROM {} WHERE people.name LIKE 'ab%'", people(" p")),
        ),
        (
            "SELECT 1 FROM people p, open o WHERE name LIKE 'ab%'",
            format!("SELECT 1 FROM {}, \"lanyard_secured\".\"v_open\" o WHERE name LIKE 'ab%'", people(" p")),
        ),
        (
            "WITH people AS (SELECT 'x' AS name) SELECT 1 FROM people WHERE name LIKE 'ab%'",
            "WITH people AS (SELECT 'x' AS name) SELECT 1 FROM people WHERE name LIKE 'ab%'".to_owned(),
        ),
        ("SELECT name LIKE 'ab%' FROM people p", format!("SELECT name LIKE 'ab%' FROM {}", people(" p"))),
    ] {
        becomes(sql, &expected);
    }
}

#[test]
fn a_path_that_puts_other_operators_first_leaves_like_alone() {
    let sql = "SELECT 1 FROM people WHERE name LIKE 'ab%'";
    let judged = run_filtered(sql, &["public", "pg_catalog"]).expect("allowed");
    assert!(!judged.enforced.for_record().contains("^@"), "{}", judged.enforced.for_record());
}
