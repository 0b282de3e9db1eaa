//! A template's ruling against the judge's own, over statements and over token soup.

use proptest::prelude::*;

use super::super::judge_tests::run;
use super::*;

const STATEMENTS: [&str; 14] = [
    "SELECT id FROM customers WHERE id = 7",
    "SELECT 1, id, 22 FROM public.customers c, orders o WHERE c.id=10 AND o.id IN (1,2, 33) LIMIT 5 OFFSET 0",
    "SELECT public.customers.id FROM public.customers WHERE id BETWEEN 1 AND 2 ORDER BY 1",
    "SELECT \"a 5\", 'it''s 5 o''clock' FROM customers WHERE ssn = '7' AND id > 5;",
    "INSERT INTO orders (id, n) VALUES (1, 2), (3, 4) RETURNING id",
    "UPDATE orders SET n = 5 WHERE id = 123456789",
    "DELETE FROM orders WHERE id = 0",
    "WITH x AS (SELECT id FROM orders WHERE id < 3) SELECT * FROM x, customers WHERE x.id > 2 FETCH FIRST 5 ROWS ONLY",
    "SELECT substring(ssn FROM 1 FOR 3), (ARRAY[1,2,3])[2] FROM customers",
    "SELECT id::numeric(10, 2), CAST(id AS varchar( 5 )) FROM orders",
    "SELECT $1, id FROM orders WHERE id = 9 OR n = $2",
    "SELECT * FROM generate_series( 1, 10) g, customers WHERE customers.id = 4",
    "SELECT sum(n) OVER (ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM orders",
    "SELECT 2 FROM app.customers",
];

fn renumbered(text: &str, pattern: &Pattern, numbers: &[u32]) -> String {
    let mut out = String::new();
    let mut kept = 0;
    for (literal, number) in pattern.literals.iter().zip(numbers.iter().cycle()) {
        out.push_str(&text[kept..literal.start]);
        out.push_str(&number.to_string());
        kept = literal.end;
    }
    out.push_str(&text[kept..]);
    out
}

/// What the template of `text` says of its renumbered sibling must be what the judge says of it.
fn agrees(text: &str, numbers: &[u32]) -> Result<bool, TestCaseError> {
    let (Some(pattern), Ok(judged)) = (Pattern::of(RawSql::new(text)), run(text)) else {
        return Ok(false);
    };
    let Some(template) = Template::of(&pattern, RawSql::new(text), &judged) else {
        return Ok(false);
    };
    let sibling = renumbered(text, &pattern, numbers);
    let raw = RawSql::new(&sibling);
    let other = Pattern::of(raw).expect("the same shape");
    prop_assert_eq!(other.key(), pattern.key());
    let by_template = template.apply(&other, raw).expect("the same shape");
    let by_judge = match run(&sibling) {
        Ok(judged) => judged,
        Err(refusal) => return Err(TestCaseError::fail(format!("{sibling}: {refusal:?}"))),
    };
    prop_assert_eq!(by_template.enforced.for_record(), by_judge.enforced.for_record());
    prop_assert_eq!(&by_template.edits, &by_judge.edits);
    prop_assert_eq!(by_template.objects.to_vec(), by_judge.objects.to_vec());
    prop_assert_eq!(&by_template.operation, &by_judge.operation);
    prop_assert_eq!(by_template.disposition, by_judge.disposition);
    prop_assert_eq!(by_template.effects, by_judge.effects);
    Ok(true)
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(1), 0..100u32, Just(999_999_999), 0..1_000_000_000u32]
}

/// Pieces that are dangerous next to numbers.
fn token() -> impl Strategy<Value = String> {
    let pieces = [
        " ",
        " ",
        "(",
        ")",
        ",",
        "=",
        "<",
        ">",
        "-",
        "--",
        "+",
        ".",
        "::",
        ":",
        "'",
        "''",
        "\"",
        "$1",
        "$$",
        "$a$",
        "E'",
        "e",
        "0x",
        "_",
        "/*",
        "*/",
        "[",
        "]",
        ";",
        "id",
        "orders",
        "customers",
        "SELECT",
        "FROM",
        "WHERE",
        "AND",
        "AS",
        "LIMIT",
        "x",
        "é",
        "\\",
        "@",
        "int",
        "float",
        "interval '1' second",
        "SET",
        "regclass",
        "\n",
        "U&\"d\"",
        "B'1'",
        "\t",
    ];
    prop_oneof![
        prop::sample::select(pieces.to_vec()).prop_map(str::to_owned),
        number().prop_map(|n| n.to_string()),
        Just("007".to_owned()),
        Just("12345678901".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_sibling_is_ruled_as_the_judge_rules_it(
        at in 0..STATEMENTS.len(),
        numbers in prop::collection::vec(number(), 1..6),
    ) {
        prop_assert!(agrees(STATEMENTS[at], &numbers)?, "no template: {}", STATEMENTS[at]);
    }

    #[test]
    fn a_mutilated_statement_is_ruled_as_the_judge_rules_it(
        at in 0..STATEMENTS.len(),
        cut in any::<prop::sample::Index>(),
        soup in prop::collection::vec(token(), 0..4),
        numbers in prop::collection::vec(number(), 1..6),
    ) {
        let text = STATEMENTS[at];
        let cut = (0..=cut.index(text.len())).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
        let text = format!("{}{}{}", &text[..cut], soup.concat(), &text[cut..]);
        agrees(&text, &numbers)?;
    }

    #[test]
    fn token_soup_is_ruled_as_the_judge_rules_it(
        soup in prop::collection::vec(token(), 0..12),
        numbers in prop::collection::vec(number(), 1..4),
    ) {
        agrees(&format!("SELECT {}", soup.concat()), &numbers)?;
    }
}

#[test]
fn numbers_that_may_be_part_of_something_else_are_left_alone() {
    for text in [
        "SELECT 1.5",
        "SELECT 1e5",
        "SELECT x1",
        "SELECT $1",
        "SELECT 007",
        "SELECT 1234567890",
        "SELECT 1::regclass",
        "SELECT -1",
        "SELECT 1_000",
        "SELECT '5'",
        "SELECT \"5\"",
        "SELECT 5/* */",
        "SELECT 5 -- x",
        "SELECT 5, $$ 5 $$",
        "SELECT 5, $a$ 5 $a$",
        "SELECT 5, E'\\' 5'",
        "SELECT 5, 'open",
        "SELECT 5, U&'x'",
        "SELECT 5, \"open",
        "SELECT é5",
    ] {
        assert!(Pattern::of(RawSql::new(text)).is_none(), "{text}");
    }
}

#[test]
fn statements_whose_numbers_may_be_looked_at_have_no_template() {
    for text in [
        "SET statement_timeout = 100",
        "FETCH 5 FROM c",
        "DECLARE c CURSOR FOR SELECT id FROM orders WHERE id = 5",
        "SELECT 1; SELECT 2",
        "EXPLAIN SELECT id FROM orders WHERE id = 5",
        "SELECT 'orders'::regclass, 5 FROM orders",
        "COPY (SELECT id FROM orders WHERE id = 5) TO STDOUT",
    ] {
        let (Some(pattern), Ok(judged)) = (Pattern::of(RawSql::new(text)), run(text)) else {
            continue;
        };
        assert!(Template::of(&pattern, RawSql::new(text), &judged).is_none(), "{text}");
    }
}

#[test]
fn another_shape_is_not_taken() {
    let text = "SELECT id FROM orders WHERE id = 7";
    let pattern = Pattern::of(RawSql::new(text)).expect("one number");
    let template =
        Template::of(&pattern, RawSql::new(text), &run(text).expect("allowed")).expect("a template");
    let other = "SELECT id FROM orders WHERE id = 7 OR id = 8";
    let more = Pattern::of(RawSql::new(other)).expect("two numbers");
    assert!(template.apply(&more, RawSql::new(other)).is_none());
}
