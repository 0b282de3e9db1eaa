//! Writes where policy hides rows or masks columns, and sequences by name.

use super::*;
use crate::entitlement::RowRule;

/// `regional (id, ssn masked, note)`, some of its rows hidden; it may be written, and `id` draws from a sequence.
fn written(sql: &str) -> Result<Judged, Refusal> {
    let mut entitlement = entitlement();
    let mut regional = access("app", "regional", "v_r", true, true);
    regional.rows = RowRule::Filtered { policies: vec!["own_region".into()], condition: "true".into() };
    regional.sequences = BTreeSet::from([RelationName::new("app", "regional_id_seq")]);
    regional.view.columns = [("id", true), ("ssn", false), ("note", true)]
        .map(|(name, writable)| ViewColumn {
            name: name.into(),
            type_sql: "text".into(),
            base_number: 1,
            writable,
            by_prefix: false,
        })
        .into();
    entitlement.relations.entry("app".into()).or_default().insert("regional".into(), Arc::new(regional));
    let path = ["public".to_owned(), "app".to_owned()];
    judge(
        RawSql::new(sql),
        &Context {
            entitlement: &entitlement,
            search_path: &path,
            paths: None,
            database: "shop",
            workspace: None,
        },
    )
}

#[test]
fn what_a_view_checks_row_by_row_passes() {
    for sql in [
        "INSERT INTO regional (id, note) VALUES (1, 'x') RETURNING *",
        "INSERT INTO regional VALUES (1)",
        "INSERT INTO regional SELECT id FROM customers",
        "INSERT INTO regional DEFAULT VALUES",
        "INSERT INTO regional (id, note) SELECT * FROM regional",
        "UPDATE regional SET note = ssn WHERE ssn LIKE '%1' RETURNING ssn",
        "UPDATE regional SET (id, note) = (SELECT 1, 'x')",
        "DELETE FROM regional WHERE ssn = 'x' RETURNING *",
        "MERGE INTO regional r USING customers c ON r.id = c.id WHEN MATCHED THEN UPDATE SET note = 'x'
         WHEN NOT MATCHED THEN INSERT (id) VALUES (c.id)",
        "INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 2",
        "SELECT nextval('regional_id_seq'), currval('app.Regional_ID_seq'), lastval()",
        "INSERT INTO regional (id) VALUES (nextval('regional_id_seq'))",
    ] {
        if let Err(refusal) = written(sql) {
            panic!("{sql}: {} {refusal}", refusal.code.sqlstate());
        }
    }
}

#[test]
fn masked_columns_hidden_rows_and_other_sequences_are_kept() {
    for (sql, state) in [
        ("UPDATE regional SET ssn = 'x'", "42501"),
        ("UPDATE regional SET note = 'x', ssn = DEFAULT", "42501"),
        ("UPDATE regional SET (note, ssn) = ('a', 'b')", "42501"),
        ("UPDATE regional SET (note, ssn) = (SELECT 'a', 'b')", "42501"),
        ("UPDATE app.regional r SET ssn = r.ssn", "42501"),
        ("INSERT INTO regional (ssn) VALUES ('x')", "42501"),
        ("INSERT INTO regional (id, ssn) SELECT 1, 'x'", "42501"),
        ("INSERT INTO regional VALUES (1, 'x')", "42501"),
        ("INSERT INTO regional VALUES (1), (2, DEFAULT)", "42501"),
        ("INSERT INTO regional SELECT 1, 'x'", "42501"),
        ("INSERT INTO regional SELECT * FROM customers", "42501"),
        ("INSERT INTO regional SELECT c.* FROM customers c", "42501"),
        ("INSERT INTO regional TABLE customers", "42501"),
        ("INSERT INTO regional SELECT 1, 'x' UNION SELECT 2, 'y'", "42501"),
        ("INSERT INTO regional (SELECT 1, 'x' UNION SELECT 2, 'y' ORDER BY 1)", "42501"),
        ("WITH w AS (UPDATE regional SET ssn = 'x' RETURNING id) SELECT * FROM w", "42501"),
        ("INSERT INTO regional (id) VALUES (1) ON CONFLICT DO NOTHING", "0A000"),
        ("INSERT INTO regional (id) VALUES (1) ON CONFLICT (id) DO NOTHING RETURNING id", "0A000"),
        ("INSERT INTO regional (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET note = 'x'", "0A000"),
        (
            "WITH w AS (INSERT INTO regional (id) VALUES (1) ON CONFLICT DO NOTHING RETURNING id) TABLE w",
            "0A000",
        ),
        ("PREPARE p AS INSERT INTO regional (id) VALUES (1) ON CONFLICT DO NOTHING", "0A000"),
        (
            "MERGE INTO regional r USING customers c ON r.id = c.id WHEN MATCHED THEN UPDATE SET ssn = 'x'",
            "42501",
        ),
        (
            "MERGE INTO regional r USING customers c ON false WHEN NOT MATCHED THEN INSERT (ssn) VALUES ('x')",
            "42501",
        ),
        (
            "MERGE INTO regional r USING customers c ON false WHEN NOT MATCHED THEN INSERT VALUES (1, 'x')",
            "42501",
        ),
        ("UPDATE ONLY regional SET note = 'x'", "0A000"),
        ("SELECT nextval('hidden_id_seq')", "42P01"),
        ("SELECT nextval('payroll')", "42P01"),
        ("SELECT nextval('public.regional_id_seq')", "42P01"),
        ("SELECT nextval('shop.app.regional_id_seq')", "42P01"),
        ("SELECT currval('\"REGIONAL_ID_SEQ\"')", "42P01"),
        ("SELECT nextval('16401')", "42P01"),
        ("SELECT nextval('')", "42P01"),
        ("SELECT nextval($1)", "42501"),
        ("SELECT nextval(16401)", "42P01"),
        ("SELECT nextval(NULL)", "42P01"),
        ("SELECT nextval('regional_id' || '_seq')", "42501"),
        ("SELECT nextval(n) FROM (VALUES ('payroll')) v(n)", "42501"),
        ("SELECT nextval('hidden_id_seq'::regclass)", "42501"),
        ("SELECT pg_catalog.currval('hidden_id_seq') WHERE false", "42P01"),
        ("SELECT setval('regional_id_seq', 1)", "42501"),
    ] {
        match written(sql) {
            Ok(judged) => panic!("{sql}: released as {}", judged.enforced.for_record()),
            Err(refusal) => assert_eq!(refusal.code.sqlstate(), state, "{sql}: {refusal}"),
        }
    }
}

#[test]
fn a_query_of_very_many_arms_is_refused_and_not_walked_without_end() {
    let arms = "SELECT 1 UNION ALL ".repeat(20_000);
    for statement in ["INSERT INTO regional (id) ", "INSERT INTO regional ", ""] {
        let refused = written(&format!("{statement}{arms} SELECT 1")).expect_err("refused");
        assert_eq!(refused.code.sqlstate(), "54001", "{statement}: {refused}");
    }
}
