//! Predicates as text: what is read, and what is refused.

use crate::policy::predicate::{print, read};
use crate::policy::text::lexer;

fn told(text: &str) -> Result<String, String> {
    let mut tokens = lexer::tokens(text).map_err(|e| e[0].1.message.clone())?;
    tokens.pop();
    read::expression(&tokens, text.len(), read::Form::Predicate)
        .map(|e| print::predicate(&e))
        .map_err(|(at, p)| format!("{at}: {}", p.message))
}

#[test]
fn what_is_listed_is_read() {
    for (given, printed) in [
        ("Region = 'EU'", "region = 'EU'"),
        ("region in (@user.region)", "region in (@user.region)"),
        ("region = @user.region", "region in (@user.region)"),
        ("@user.region <> region", "region not in (@user.region)"),
        ("a = 1 and b = 2 and c = 3", "a = 1 and b = 2 and c = 3"),
        ("a = 1 and (b = 2 and c = 3)", "a = 1 and b = 2 and c = 3"),
        ("a = 1 or b = 2 and c = 3", "a = 1 or (b = 2 and c = 3)"),
        ("not a = 1 and b = 2", "(not (a = 1)) and b = 2"),
        ("a is not null", "a is not null"),
        ("a not between -1 and 2.5", "a not between -1 and 2.5"),
        ("a like 'x%' or a not ilike '%y'", "a like 'x%' or a not ilike '%y'"),
        ("d::date >= date '2024-01-01'", "cast(d as date) >= cast('2024-01-01' as date)"),
        ("lower(a) = 'x' and left(b, 2) = 'y'", "lower(a) = 'x' and left(b, 2) = 'y'"),
        ("SUBSTRING(a, 1, 2) = 'x'", "substr(a, 1, 2) = 'x'"),
        ("\"Order\" is distinct from 'x'", "\"Order\" is distinct from 'x'"),
        ("@tagged(PII.Email) = @user.id", "@tagged(PII.Email) in (@user.id)"),
        ("active", "active"),
        ("true", "true"),
        ("(a = 1) is not true", "(a = 1) is not true"),
        ("a in ('x', 'y', @user.groups)", "a in ('x', 'y', @user.groups)"),
        ("coalesce(a, 'x') = 'x'", "coalesce(a, 'x') = 'x'"),
    ] {
        assert_eq!(told(given).as_deref(), Ok(printed), "{given}");
        assert_eq!(told(printed).as_deref(), Ok(printed), "{printed}");
    }
}

#[test]
fn everything_else_is_refused() {
    for bad in [
        "",
        "a =",
        "a = = b",
        "(a = 1",
        "a = 1)",
        "a = 1 b",
        "a = 1; drop table x",
        "1",
        "'x'",
        "a = null",
        "null",
        "a in ()",
        "a in (select b from c)",
        "exists (select 1)",
        "(select true)",
        "a = (select 1)",
        "t.a = 1",
        "a.b.c = 1",
        "a + 1 = 2",
        "a - 1 = 2",
        "a || b = 'x'",
        "a -> 'x' = 'y'",
        "a @> b",
        "a ~ 'x'",
        "a similar to 'x'",
        "a = any(b)",
        "a = all (array[1])",
        "array[1] = a",
        "a[1] = 2",
        "case when a then b else c end",
        "pg_sleep(1)",
        "lower(a)",
        "now() > a",
        "current_user = a",
        "session_user = 'x'",
        "user = 'x'",
        "current_date > d",
        "public.f(a) = 1",
        "lower(distinct a) = 'x'",
        "lower(a) over () = 'x'",
        "lower(a, b) = 'x'",
        "left(a) = 'x'",
        "count(*) > 1",
        "lower(x => a) = 'x'",
        "a::regclass = 1",
        "a::varchar(3) = 'x'",
        "a::text[] = 'x'",
        "try_cast(a as text) = 'x'",
        "a collate \"C\" = 'x'",
        "a at time zone 'x' = b",
        "extract(year from a) = 1",
        "interval '1 day' = a",
        "a like b",
        "a like 'x\\'",
        "a like 'x' escape '!'",
        "a like any ('x')",
        "-a = 1",
        "a < @user.level",
        "@user.a = @user.b",
        "@user.a",
        "@user.a is null",
        "lower(@user.a) = 'x'",
        "@user.a in ('x')",
        "@user.a between 1 and 2",
        "a in (b)",
        "(a = 1) = true",
        "(a, b) = (1, 2)",
        "row(1) = a",
        "a = $1",
        "\"@0\" = 'x'",
        "x'ff' = a",
        "a is json",
        "a overlaps b",
        "not",
        "and",
        "a and",
        "(a = 1 and b = 2) = c",
        "trim(a) = 'x'",
        "nullif(a, b) = 1",
        "a = 1 union select 2",
        "a ->> 'b' = 'c'",
        "a operator(pg_catalog.=) b",
        "a-b = 1",
    ] {
        assert!(told(bad).is_err(), "{bad}: {:?}", told(bad));
    }
}

#[test]
fn depth_and_length_are_bounded() {
    let deep = |n: usize| format!("{}a = 1{}", "(".repeat(n), ")".repeat(n));
    assert!(told(&deep(60)).is_ok());
    assert!(told(&deep(65)).is_err());
    assert!(told(&deep(100_000)).is_err());
    assert!(told(&format!("{}a = 1", "not ".repeat(700))).is_err());
    assert!(told(&format!("{}1 = 1", "- ".repeat(700))).is_err());
    assert!(told(&format!("a = 1{}", " and a = 1".repeat(200))).is_ok());
    assert!(told(&format!("a = 1{}", " and a = 1".repeat(100_000))).is_err());
    assert!(told(&format!("a{}", "::text".repeat(300))).is_err());
    let list = vec!["'x'"; 4_000].join(", ");
    assert!(told(&format!("a in ({list})")).is_ok());
    assert!(told(&format!("a{} = 1", " is null".repeat(200))).is_err());
}

#[test]
fn errors_stand_where_they_are() {
    assert_eq!(
        told("a = 1 and pg_sleep(2)"),
        Err("10: the function 'pg_sleep' is not part of predicates".into())
    );
    assert!(told("a = 1 and b = null").is_err_and(|e| e.starts_with("14: ")));
    assert!(told("a = 1 and").is_err_and(|e| e.starts_with("9: ")));
}
