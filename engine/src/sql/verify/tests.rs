//! The check as data: what a plan lets differ, and nothing else.

use super::*;
use crate::sql::edit::Edit;

fn plan(changes: Vec<Change>) -> Plan {
    Plan { changes, edits: vec![Edit::new(0..0, "")], ..Plan::default() }
}

fn verdict(old: &str, new: &str, changes: Vec<Change>) -> bool {
    let tree = parse::parse(old).expect("parses");
    check(&tree, new, &plan(changes)).is_ok()
}

fn relation(at: usize) -> Change {
    Change::Relation { at, schema: "s".into(), name: "v".into(), alias: Some("t".into()) }
}

#[test]
fn the_planned_change_passes_and_nothing_else_does() {
    assert!(verdict("SELECT a FROM t", "SELECT a FROM s.v AS t", vec![relation(14)]));
    for (new, why) in [
        ("SELECT a FROM t", "not applied"),
        ("SELECT a FROM s.v", "alias missing"),
        ("SELECT a FROM s.w AS t", "other view"),
        ("SELECT a FROM x.v AS t", "other schema"),
        ("SELECT b FROM s.v AS t", "other column"),
        ("SELECT a FROM s.v AS t WHERE true", "more"),
        ("SELECT a FROM s.v AS t; SELECT 1", "another statement"),
        ("SELECT a FROM ONLY s.v AS t", "inheritance"),
        ("SELECT a FROM s.v AS t, s.v AS t", "twice"),
        ("SELECT a FROM s.v AS \"T\"", "alias case"),
    ] {
        assert!(!verdict("SELECT a FROM t", new, vec![relation(14)]), "{why}");
    }
    assert!(!verdict("SELECT a FROM t", "SELECT a FROM s.v AS t", vec![]), "unplanned");
    assert!(!verdict("SELECT a FROM t", "SELECT a FROM t", vec![relation(14)]), "planned, not found");
}

#[test]
fn functions_columns_literals_and_copies_are_followed() {
    let function = Change::Function { at: 7, schema: "pg_catalog".into(), name: "f".into() };
    assert!(verdict("SELECT f(x)", "SELECT pg_catalog.f(x)", vec![function.clone()]));
    assert!(!verdict("SELECT f(x)", "SELECT pg_catalog.g(x)", vec![function.clone()]));
    assert!(!verdict("SELECT f(x)", "SELECT pg_catalog.f(y)", vec![function]));
    let column = Change::Column { at: 7, dropped: 1 };
    assert!(verdict("SELECT s.t.x", "SELECT t.x", vec![column.clone()]));
    assert!(!verdict("SELECT s.t.x", "SELECT t.y", vec![column.clone()]));
    assert!(!verdict("SELECT s.t.x", "SELECT x", vec![column]));
    let literal = Change::Literal { at: 7, text: "9".into() };
    assert!(verdict("SELECT 't'::regclass", "SELECT '9'::regclass", vec![literal.clone()]));
    assert!(!verdict("SELECT 't'::regclass", "SELECT '8'::regclass", vec![literal]));
    let copy = Change::CopyQuery { at: 5, query: "SELECT a FROM s.v AS t".into() };
    assert!(verdict(
        "COPY t (a) TO STDOUT CSV",
        "COPY (SELECT a FROM s.v AS t) TO STDOUT CSV",
        vec![copy.clone()]
    ));
    assert!(!verdict(
        "COPY t (a) TO STDOUT CSV",
        "COPY (SELECT b FROM s.v AS t) TO STDOUT CSV",
        vec![copy.clone()]
    ));
    assert!(!verdict("COPY t (a) TO STDOUT CSV", "COPY (SELECT a FROM s.v AS t) TO STDOUT", vec![copy]));
}

#[test]
fn an_argument_goes_through_its_function_unchanged() {
    let through =
        || Change::Through { at: 10, function: "regclass", argument: "c.x".into(), becomes: "c.x".into() };
    let old = "SELECT c.x::regclass";
    assert!(verdict(old, "SELECT lanyard_catalog.regclass(c.x)::regclass", vec![through()]));
    for new in [
        "SELECT lanyard_catalog.regclass(c.y)::regclass",
        "SELECT lanyard_catalog.other(c.x)::regclass",
        "SELECT public.regclass(c.x)::regclass",
        "SELECT lanyard_catalog.regclass(c.x)::regtype",
        "SELECT lanyard_catalog.regclass(c.x, 1)::regclass",
        "SELECT lanyard_catalog.regclass(c.x)",
        old,
    ] {
        assert!(!verdict(old, new, vec![through()]), "{new}");
    }
    let other =
        Change::Through { at: 10, function: "regclass", argument: "c.y".into(), becomes: "c.y".into() };
    assert!(!verdict(old, "SELECT lanyard_catalog.regclass(c.y)::regclass", vec![other]));
}

#[test]
fn a_like_gets_what_it_implies_and_nothing_else() {
    let prefix =
        |at| Change::Prefix { at, column: "\"c\"".into(), pattern: "'ab%'".into(), prefix: "'ab'".into() };
    let (new, like) = ("c OPERATOR(pg_catalog.^@) 'ab'", "c LIKE 'ab%'");
    let tree = |condition: &str| format!("SELECT 1 FROM t WHERE {condition}");
    let at = |condition: &str| tree(condition).find("LIKE").expect("there");
    for (old, enforced) in [
        (like.to_owned(), format!("({new} AND {like})")),
        (format!("{like} AND x"), format!("({new} AND {like}) AND x")),
        (format!("x AND {like}"), format!("x AND ({new} AND {like})")),
        (format!("NOT {like}"), format!("NOT ({new} AND {like})")),
        (format!("x OR {like}"), format!("x OR ({new} AND {like})")),
    ] {
        assert!(verdict(&tree(&old), &tree(&enforced), vec![prefix(at(&old))]), "{enforced}");
    }
    for (old, enforced, why) in [
        (like, like.to_owned(), "not applied"),
        (like, new.to_owned(), "the LIKE gone"),
        (like, format!("({new} OR {like})"), "OR"),
        (like, format!("({like} AND {new})"), "turned round"),
        (like, format!("({new} AND {new} AND {like})"), "twice"),
        (like, format!("({new} AND {like}) AND x"), "more"),
        (like, "(c ^@ 'ab' AND c LIKE 'ab%')".to_owned(), "whichever operator"),
        (like, format!("(c OPERATOR(public.^@) 'ab' AND {like})"), "another operator"),
        (like, format!("(c OPERATOR(pg_catalog.^@) 'abc' AND {like})"), "another prefix"),
        (like, format!("(d OPERATOR(pg_catalog.^@) 'ab' AND {like})"), "another column"),
        (like, format!("({new} AND c LIKE 'abc%')"), "another pattern"),
        (like, format!("({new} AND c ILIKE 'ab%')"), "another kind"),
        ("c LIKE 'ab%' OR x", format!("{new} OR {like} OR x"), "two members of an OR"),
        ("c LIKE 'abc%'", format!("({new} AND c LIKE 'abc%')"), "another LIKE than planned"),
        ("c NOT LIKE 'ab%'", format!("({new} AND c NOT LIKE 'ab%')"), "NOT LIKE"),
        ("f(c LIKE 'ab%')", format!("f({new}, {like})"), "two arguments"),
    ] {
        assert!(!verdict(&tree(old), &tree(&enforced), vec![prefix(at(old))]), "{why}");
    }
    assert!(!verdict(&tree(like), &tree(&format!("({new} AND {like})")), vec![]), "unplanned");
}

#[test]
fn columns_join_a_group_by_and_nothing_else() {
    let added = |at| Change::Dependent { at, columns: vec!["\"t\".\"b\"".into(), "\"t\".\"c\"".into()] };
    let old = "SELECT b FROM t GROUP BY a, d";
    let at = old.find("a, d").expect("there");
    assert!(verdict(old, "SELECT b FROM t GROUP BY t.b, t.c, a, d", vec![added(at)]));
    for (new, why) in [
        (old, "not applied"),
        ("SELECT b FROM t GROUP BY t.b, a, d", "one missing"),
        ("SELECT b FROM t GROUP BY t.c, t.b, a, d", "turned round"),
        ("SELECT b FROM t GROUP BY t.b, t.c, d", "the key gone"),
        ("SELECT b FROM t GROUP BY a, t.b, t.c, d", "behind it"),
        ("SELECT b FROM t GROUP BY t.b, t.c, a, d, e", "another at the end"),
        ("SELECT b FROM t GROUP BY x.b, t.c, a, d", "another table's"),
        ("SELECT b FROM t GROUP BY b, c, a, d", "bare"),
        ("SELECT b FROM t GROUP BY (t.b, t.c, a), d", "a row"),
        ("SELECT b FROM t GROUP BY DISTINCT t.b, t.c, a, d", "distinct"),
        ("SELECT b FROM t GROUP BY t.b, t.c, a, t.b, t.c, d", "twice"),
        ("SELECT t.b, t.c, b FROM t GROUP BY a, d", "in the list of what is selected"),
    ] {
        assert!(!verdict(old, new, vec![added(at)]), "{why}");
    }
    assert!(!verdict(old, "SELECT b FROM t GROUP BY t.b, t.c, a, d", vec![]), "unplanned");
    for (old, new) in [
        ("SELECT f(a) FROM t", "SELECT f(t.b, t.c, a) FROM t"),
        ("SELECT 1 FROM t GROUP BY f(a)", "SELECT 1 FROM t GROUP BY f(t.b, t.c, a)"),
        ("SELECT 1 FROM t GROUP BY (a, d)", "SELECT 1 FROM t GROUP BY (t.b, t.c, a, d)"),
        ("SELECT 1 FROM t WHERE x IN (a)", "SELECT 1 FROM t WHERE x IN (t.b, t.c, a)"),
        ("SELECT DISTINCT ON (a) 1 FROM t", "SELECT DISTINCT ON (t.b, t.c, a) 1 FROM t"),
    ] {
        let at = old.rfind("(a").expect("there") + 1;
        assert!(!verdict(old, new, vec![added(at)]), "{new}: not a GROUP BY's own");
    }
    let other = |sql: &str| Change::Dependent { at, columns: vec![sql.into()] };
    for sql in ["f(a)", "(SELECT 1)", "a, b", "1"] {
        let new = format!("SELECT b FROM t GROUP BY {sql}, a, d");
        assert!(!verdict(old, &new, vec![other(sql)]), "{sql}: not one column");
    }
}

#[test]
fn a_default_becomes_its_expression_and_nothing_else() {
    let default = |at, sql: &str| Change::Default { at, expression: sql.into() };
    let old = "UPDATE t SET a = DEFAULT, b = DEFAULT";
    let at = old.find("DEFAULT").expect("there");
    assert!(verdict(old, "UPDATE t SET a = (now()), b = DEFAULT", vec![default(at, "now()")]));
    for (new, why) in [
        (old, "not applied"),
        ("UPDATE t SET a = now(), b = now()", "the other as well"),
        ("UPDATE t SET a = DEFAULT, b = now()", "the other instead"),
        ("UPDATE t SET a = x.now(), b = DEFAULT", "another function"),
        ("UPDATE t SET a = now(1), b = DEFAULT", "another call"),
        ("UPDATE t SET c = now(), b = DEFAULT", "another column"),
        ("UPDATE t SET a = now(), b = DEFAULT WHERE true", "more"),
        ("UPDATE t SET a = NULL, b = DEFAULT", "another value"),
    ] {
        assert!(!verdict(old, new, vec![default(at, "now()")]), "{why}");
    }
    assert!(!verdict(old, "UPDATE t SET a = now(), b = DEFAULT", vec![]), "unplanned");
    let row = "UPDATE t SET (a, b) = (DEFAULT, 1)";
    let at = row.find("DEFAULT").expect("there");
    assert!(verdict(row, "UPDATE t SET (a, b) = ((5), 1)", vec![default(at, "5")]));
    assert!(!verdict(row, "UPDATE t SET (a, b) = ((5), 2)", vec![default(at, "5")]));
}

#[test]
fn an_output_column_gets_its_name_and_no_other() {
    let label = || Change::Label { at: 7, name: "a".into() };
    let old = "SELECT a::t FROM s";
    assert!(verdict(old, "SELECT a::t AS \"a\" FROM s", vec![label()]));
    for new in [
        old,
        "SELECT a::t AS b FROM s",
        "SELECT b::t AS a FROM s",
        "SELECT a::u AS a FROM s",
        "SELECT a::t AS a, a FROM s",
        "SELECT a::t AS a FROM s AS a",
    ] {
        assert!(!verdict(old, new, vec![label()]), "{new}");
    }
    assert!(!verdict(old, "SELECT a::t AS a FROM s", vec![]), "unplanned");
    assert!(!verdict("SELECT a::t AS b FROM s", "SELECT a::t AS a FROM s", vec![label()]), "it had one");
}

#[test]
fn strings_that_look_like_trees_stay_strings() {
    assert!(verdict(
        "SELECT 'RangeVar { location: 14, }' FROM t",
        "SELECT 'RangeVar { location: 14, }' FROM s.v AS t",
        vec![relation(41)],
    ));
    assert!(!verdict(
        "SELECT 'location: 1, ' FROM t",
        "SELECT 'location: 2, ' FROM s.v AS t",
        vec![relation(28)],
    ));
}

#[test]
fn names_become_what_is_planned_and_from_what_was_planned() {
    let function = |name: &str| Change::Function { at: 7, schema: "s".into(), name: name.into() };
    assert!(verdict("SELECT f()", "SELECT s.f()", vec![function("f")]));
    assert!(!verdict("SELECT g()", "SELECT s.f()", vec![function("f")]), "another function before");
    assert!(!verdict("SELECT f()", "SELECT a.s.f()", vec![function("f")]), "one part more");
    let type_name = || Change::Type { at: 10, schema: "s".into(), name: "m".into() };
    assert!(verdict("SELECT a::m[]", "SELECT a::s.m[]", vec![type_name()]));
    for new in [
        "SELECT a::x.m[]",
        "SELECT a::s.n[]",
        "SELECT a::s.m",
        "SELECT b::s.m[]",
        "SELECT a::s.m(3)[]",
        "SELECT a::s.m.m[]",
    ] {
        assert!(!verdict("SELECT a::m[]", new, vec![type_name()]), "{new}");
    }
    let column = |at| Change::Column { at, dropped: 1 };
    assert!(!verdict("SELECT s.t.x", "SELECT t.x.y", vec![column(7)]), "a part more");
    assert!(!verdict("SELECT s.t.x", "SELECT t", vec![column(7)]), "a part less");
    assert!(!verdict("SELECT *", "SELECT t", vec![column(7)]), "what is dropped is no name");
    let literal = || Change::Literal { at: 7, text: "9".into() };
    assert!(!verdict("SELECT 8", "SELECT '9'", vec![literal()]), "it was a number");
    assert!(!verdict("SELECT '8'", "SELECT 9", vec![literal()]), "it is a number");
    let copy = || Change::CopyQuery { at: 5, query: "SELECT a FROM s.v AS t".into() };
    assert!(!verdict("COPY t (a) TO STDOUT", "COPY t (a) TO STDOUT", vec![copy()]), "not applied");
    assert!(!verdict("COPY t TO STDOUT", "COPY s.v (a) TO STDOUT", vec![copy()]), "a list of columns");
}

#[test]
fn an_alias_is_added_where_none_was_and_with_no_names_of_columns() {
    let new = "SELECT a FROM s.v AS t";
    assert!(!verdict("SELECT a FROM t AS t", new, vec![relation(14)]), "it had one");
    assert!(!verdict("SELECT a FROM t", "SELECT a FROM s.v AS t (b)", vec![relation(14)]));
    assert!(!verdict("SELECT a FROM t", "SELECT a FROM d.s.v AS t", vec![relation(14)]));
    let bare = || Change::Relation { at: 14, schema: "s".into(), name: "v".into(), alias: None };
    assert!(verdict("SELECT a FROM t AS u (b)", "SELECT a FROM s.v AS u (b)", vec![bare()]));
    assert!(!verdict("SELECT a FROM t AS u (b)", "SELECT a FROM s.v AS u (c)", vec![bare()]));
    assert!(!verdict("SELECT a FROM t", "SELECT a FROM s.v AS u", vec![bare()]));
}

#[test]
fn what_goes_by_the_statement_happens_in_that_statement_and_only_there() {
    let name = |index| Change::Name { index };
    let domain = |index| Change::Domain { index, schema: "s".into(), name: "d".into() };
    let constant = |index| Change::Statement { index, text: "SHOW a".into() };
    let placeholder = |text: &str| text.replace('@', PLACEHOLDER);
    for kind in ["EXECUTE p", "DEALLOCATE p", "PREPARE p AS SELECT 1"] {
        let (old, new) =
            (format!("SELECT 1; {kind}"), format!("SELECT 1; {}", kind.replace(" p", &placeholder(" @"))));
        assert!(verdict(&old, &new, vec![name(1)]), "{old}");
        assert!(!verdict(&old, &old, vec![name(1)]), "{old}: not applied");
        assert!(!verdict(&old, &old, vec![name(0)]), "{old}: no name in that statement");
        assert!(!verdict(&old, &old, vec![name(2)]), "{old}: no such statement");
        assert!(!verdict(&old, &new, vec![]), "{old}: unplanned");
        assert!(!verdict(&old, &new, vec![name(1), name(1)]), "{old}: twice");
        assert!(!verdict(&old, &new.replace(PLACEHOLDER, "other"), vec![name(1)]), "{old}: another name");
    }
    assert!(!verdict("DEALLOCATE ALL", &placeholder("DEALLOCATE @"), vec![name(0)]), "there was no name");
    let old = "CREATE DOMAIN d AS int; SELECT 1";
    assert!(verdict(old, "CREATE DOMAIN s.d AS int; SELECT 1", vec![domain(0)]));
    for (new, change, why) in [
        ("CREATE DOMAIN s.d AS text; SELECT 1", domain(0), "another type"),
        ("CREATE DOMAIN x.d AS int; SELECT 1", domain(0), "another schema"),
        ("CREATE DOMAIN s.e AS int; SELECT 1", domain(0), "another name"),
        (old, domain(0), "not applied"),
        (old, domain(1), "no domain in that statement"),
        (old, domain(2), "no such statement"),
    ] {
        assert!(!verdict(old, new, vec![change]), "{why}");
    }
    assert!(
        !verdict("CREATE DOMAIN e AS int", "CREATE DOMAIN s.d AS int", vec![domain(0)]),
        "another before"
    );
    assert!(verdict("SELECT 1; SHOW b", "SELECT 1; SHOW a", vec![constant(1)]));
    for (new, change, why) in [
        ("SELECT 1; SHOW b", constant(1), "not applied"),
        ("SELECT 1; SHOW c", constant(1), "another"),
        ("SHOW a; SHOW b", constant(1), "the other one"),
        ("SELECT 1; SHOW b", constant(2), "no such statement"),
    ] {
        assert!(!verdict("SELECT 1; SHOW b", new, vec![change]), "{why}");
    }
}

#[test]
fn a_place_has_one_change() {
    let column = || Change::Column { at: 7, dropped: 1 };
    assert!(verdict("SELECT s.t.x", "SELECT t.x", vec![column()]));
    assert!(!verdict("SELECT s.t.x", "SELECT t.x", vec![column(), column()]));
    assert!(!verdict(
        "SELECT s.t.x",
        "SELECT t.x",
        vec![column(), Change::Label { at: 7, name: "x".into() }]
    ));
}

#[test]
fn every_column_of_a_row_that_is_set_has_its_source() {
    let old = "UPDATE t SET (a, b) = (SELECT c, d FROM t)";
    let at = old.rfind('t').expect("there");
    let target = Change::Relation { at: 7, schema: "s".into(), name: "v".into(), alias: Some("t".into()) };
    let new = "UPDATE s.v AS t SET (a, b) = (SELECT c, d FROM s.v AS t)";
    assert!(verdict(old, new, vec![relation(at), target.clone()]));
    for (new, why) in [
        ("UPDATE s.v AS t SET (a, b) = (SELECT c, e FROM s.v AS t)", "another source"),
        ("UPDATE s.v AS t SET (a, b) = (SELECT c, d FROM t)", "not applied in the source"),
        ("UPDATE s.v AS t SET (a, c) = (SELECT c, d FROM s.v AS t)", "another column"),
        ("UPDATE s.v AS t SET (a, b, b) = (SELECT c, d FROM s.v AS t)", "one column more"),
        (
            "UPDATE s.v AS t SET a = (SELECT c, d FROM s.v AS t), b = (SELECT c, d FROM s.v AS t)",
            "two sources",
        ),
        (
            "UPDATE s.v AS t SET (a) = (SELECT c, d FROM s.v AS t), (b) = (SELECT c, d FROM s.v AS t)",
            "two rows",
        ),
    ] {
        assert!(!verdict(old, new, vec![relation(at), target.clone()]), "{why}");
    }
}
