//! Text: what parses, what does not, and where the fault is shown.

use super::{SAMPLE, parse};
use crate::limits;
use crate::policy::{Diagnostic, PolicySet, Source, print};

fn faults(text: &str) -> Vec<Diagnostic> {
    let file = "bad.policy";
    match PolicySet::parse(&[Source { file, text }]) {
        Ok(set) => panic!("parsed: {:?}", set.iter().collect::<Vec<_>>()),
        Err(found) => found,
    }
}

#[test]
fn the_sample_parses_word_for_word_and_prints_back() {
    let set = parse(SAMPLE);
    let printed: Vec<String> = set.iter().map(print).collect();
    assert_eq!(printed.len(), 6);
    assert_eq!(
        printed[1],
        "guardrail pii_training\n  require users with training = 'privacy'\n  on tables with columns tagged PII"
    );
    assert_eq!(
        printed[3],
        "policy own_region\n  show rows of tables tagged Sales where @tagged(Region) in (@user.region)\n  \
         for everyone except users in group global_analysts"
    );
    let again = parse(&printed.join("\n\n"));
    assert!(set.iter().eq(again.iter()));
}

#[test]
fn every_construct_prints_back_the_same() {
    for text in [
        "policy a (shadow)\n  allow read, write on tables tagged A.B, C or named public.\"T\", x.y or like 'r.%'\n  to everyone",
        "policy a\n  allow write on tables with columns named email or tagged A\n  to users named taylor or riley or agents not in group x or y and with a in ('1', '2')",
        "policy a\n  when an agent acts\n  require agents with certified = 'yes'\n  on tables tagged A",
        "policy a\n  show rows of tables tagged A\n  who is in group x where a = 1\n  who has level = '3' all\n  who agents none\n  otherwise where @agent.id = b\n  for users in group z",
        "policy a\n  mask columns tagged A or named s.t.c, d or like '%mail%' of tables tagged B with partial(first 0, last 4, '#') floor\n  for everyone who is in group x and not with a = 'b'",
        "policy a\n  mask columns tagged A with regex('a(b)', '\\1', 'gi')",
        "policy a\n  mask columns tagged A with hash joinable in customers",
        "policy a\n  mask columns tagged A with constant(-1.5) with nulls",
        "policy a\n  mask columns tagged A with constant(true)",
        "policy a\n  mask columns tagged A with round(0.5)",
        "policy a\n  mask columns tagged A with round('month')",
        "policy a\n  mask columns tagged A with deny floor",
        "policy \"or\"\n  mask columns tagged \"with\" with null\n  for everyone except users in group \"a b\" or everyone in group c",
        "policy a\n  show rows of tables tagged A where \"Policy\" = 'x' or \"policy\" = 'y'",
    ] {
        let set = parse(text);
        let printed: Vec<String> = set.iter().map(print).collect();
        let again = parse(&printed.join("\n"));
        assert!(set.iter().eq(again.iter()), "{text}\n{printed:?}");
        assert_eq!(printed, again.iter().map(print).collect::<Vec<_>>());
    }
}

#[test]
fn other_ways_to_say_the_same() {
    for (one, other) in [
        (
            "POLICY a ALLOW read ON tables TAGGED A TO users",
            "policy a allow read on tables tagged A to users",
        ),
        (
            "policy a allow read and write on tables tagged A or B to users",
            "policy a allow write, read on tables tagged A, B to users",
        ),
        (
            "policy a (active) mask columns tagged A with null for everyone",
            "policy a mask columns tagged A with null",
        ),
        (
            "policy a mask columns tagged A with null for users floor",
            "policy a mask columns tagged A with null floor for everyone who users",
        ),
        (
            "policy a mask columns tagged A with partial(last 4)",
            "policy a mask columns tagged A with partial('*', last 4, first 0)",
        ),
        ("policy a require users on tables tagged A", "guardrail a require users on tables tagged A"),
        (
            "policy a when any agent acts mask columns tagged A with null",
            "policy a when an agent acts mask columns tagged A with null",
        ),
        (
            "policy a allow read on tables named Public.T to users",
            "policy a allow read on tables named public.t to users",
        ),
        (
            "# note\npolicy a -- note\nallow read on tables tagged A to users#",
            "policy a allow read on tables tagged A to users",
        ),
    ] {
        assert!(parse(one).iter().eq(parse(other).iter()), "{one}");
    }
}

#[test]
fn what_is_not_the_grammar_is_refused_where_it_is() {
    for (text, line, column, says, hint) in [
        (
            "polcy a",
            1,
            1,
            "expected 'policy', 'guardrail' or 'purpose', found 'polcy'",
            "did you mean 'policy'?",
        ),
        ("policy a\n  alow read on tables tagged A to users", 2, 3, "found 'alow'", "did you mean 'allow'?"),
        ("policy a allow read on tables taged A to users", 1, 31, "found 'taged'", "did you mean 'tagged'?"),
        (
            "policy a allow read on table tagged A to users",
            1,
            24,
            "expected 'tables'",
            "did you mean 'tables'?",
        ),
        (
            "policy a allow delete on tables tagged A to users",
            1,
            16,
            "expected 'read', 'write', 'workspace'",
            "",
        ),
        ("policy a allow read on tables tagged A", 1, 39, "the end of the file", ""),
        ("policy a allow read on tables tagged A to user", 1, 43, "found 'user'", "did you mean 'users'?"),
        (
            "policy a allow read on tables tagged A to users in groop x",
            1,
            52,
            "found 'groop'",
            "did you mean 'group'?",
        ),
        ("policy a allow read on tables tagged A to users with x 'y'", 1, 56, "expected '=' or 'in'", ""),
        (
            "policy a allow read on tables tagged A to users with x = y",
            1,
            58,
            "expected the attribute's value",
            "strings stand in single quotes",
        ),
        ("policy a allow read on tables named t to users", 1, 39, "expected '.' and a table", "schema.table"),
        ("policy a allow read on tables named a.b.c to users", 1, 40, "the end of the table's name", ""),
        (
            "policy a (actve) allow read on tables tagged A to users",
            1,
            11,
            "found 'actve'",
            "did you mean 'active'?",
        ),
        ("policy a (active allow read on tables tagged A to users", 1, 18, "expected ')'", ""),
        ("policy allow read on tables tagged A to users", 1, 8, "found the word 'allow'", "write \"allow\""),
        ("guardrail a allow read on tables tagged A to users", 1, 13, "expected 'require'", ""),
        (
            "policy a when an agent acts allow read on tables tagged A to agents",
            1,
            29,
            "can only restrict",
            "",
        ),
        ("policy a when a user acts mask columns tagged A with null", 1, 15, "expected 'agent'", ""),
        ("policy a mask columns tagged A", 1, 31, "expected 'with'", ""),
        ("policy a mask columns tagged A with sha", 1, 37, "found 'sha'", ""),
        ("policy a mask columns tagged A with hsh", 1, 37, "found 'hsh'", "did you mean 'hash'?"),
        ("policy a mask columns tagged A with hash joinable x", 1, 51, "expected 'in'", ""),
        ("policy a mask columns tagged A with constant", 1, 45, "expected '('", ""),
        ("policy a mask columns tagged A with constant(x)", 1, 46, "expected a string, a number", ""),
        ("policy a mask columns tagged A with constant(-'x')", 1, 47, "expected a string, a number", ""),
        ("policy a mask columns tagged A with partial()", 1, 45, "expected 'first', 'last'", ""),
        ("policy a mask columns tagged A with partial('*')", 1, 44, "keeps the first or the last", ""),
        ("policy a mask columns tagged A with partial(first 1, first 2)", 1, 54, "each once", ""),
        ("policy a mask columns tagged A with partial(first 1001)", 1, 51, "a whole number up to 1000", ""),
        ("policy a mask columns tagged A with partial(first 1, '**')", 1, 54, "one character", ""),
        ("policy a mask columns tagged A with regex('', 'x')", 1, 43, "a pattern has 1 to", ""),
        ("policy a mask columns tagged A with regex('(a', 'x')", 1, 43, "'(' is not closed", ""),
        ("policy a mask columns tagged A with regex('a', 'x', 'gz')", 1, 53, "the flags 'gz'", ""),
        ("policy a mask columns tagged A with round(0)", 1, 43, "a bucket above zero", ""),
        ("policy a mask columns tagged A with round(0.00)", 1, 43, "a bucket above zero", ""),
        (
            "policy a mask columns tagged A with round('mnth')",
            1,
            43,
            "'mnth' is not a unit",
            "did you mean 'month'?",
        ),
        (
            "policy a mask columns tagged A with null for evryone",
            1,
            46,
            "found 'evryone'",
            "did you mean 'everyone'?",
        ),
        ("policy a mask columns tagged A with null flor", 1, 42, "found 'flor'", "did you mean 'floor'?"),
        (
            "policy a mask columns named a.b with null",
            1,
            33,
            "expected '.' and a column",
            "schema.table.column",
        ),
        ("policy a mask tables tagged A with null", 1, 15, "expected 'columns'", ""),
        (
            "policy a show rows of tables tagged A",
            1,
            38,
            "expected 'where', 'whose', 'newer', 'older', 'only', 'through', 'who' or 'using'",
            "",
        ),
        ("policy a show rows of tables tagged A where", 1, 44, "a predicate was expected", ""),
        ("policy a show rows of tables tagged A\nwhere x = = 1", 2, 11, "this is not a predicate", ""),
        (
            "policy a show rows of tables tagged A where pg_read_file(x) = 'y'",
            1,
            45,
            "'pg_read_file' is not part",
            "",
        ),
        (
            "policy a show rows of tables tagged A who users in group x",
            1,
            59,
            "'through', 'all' or 'none'",
            "",
        ),
        (
            "policy a show rows of tables tagged A where x = @usr.region",
            1,
            49,
            "'@usr' is not known",
            "did you mean @user?",
        ),
        ("policy a allow read on tables tagged A to users; drop table x", 1, 48, "';'", ""),
        ("policy a allow read on tables tagged A to users $", 1, 49, "unexpected character '$'", ""),
        ("policy a allow read on tables tagged A to users 'open", 1, 49, "does not end", ""),
        ("policy a allow read on tables tagged A to users allow read", 1, 49, "found 'allow'", ""),
        (
            "policy a allow read on tables tagged A to users\npolicy a allow read on tables tagged A to users",
            2,
            8,
            "exists already, at bad.policy:1:8",
            "",
        ),
    ] {
        let found = faults(text);
        let first = &found[0];
        let shown = first.to_string();
        assert_eq!((first.line, first.column), (line, column), "{text}\n{shown}");
        assert!(first.message.contains(says), "{text}\n{shown}");
        assert!(first.hint.as_deref().unwrap_or_default().contains(hint), "{text}\n{shown}");
        assert!(first.excerpt.as_ref().is_some_and(|e| e.contains('^')));
    }
}

#[test]
fn one_bad_policy_does_not_hide_the_next() {
    let found = faults(
        "policy a alow read\npolicy b allow read on tables tagged A to users\npolicy c mask columns tagged X wth null\n",
    );
    let lines: Vec<u32> = found.iter().map(|d| d.line).collect();
    assert_eq!(lines, [1, 3]);
}

#[test]
fn bad_input_is_refused_in_bounded_time() {
    let large = "policy a\n".repeat(limits::POLICY_FILE_BYTES_MAX / 8);
    assert!(faults(&large)[0].message.contains("at most"));
    let many = "policy or\n".repeat(limits::POLICY_FILE_BYTES_MAX / 10 - 1);
    assert!(faults(&many).len() <= limits::POLICY_DIAGNOSTICS_MAX);
    for body in [
        "(",
        "not ",
        "- ",
        "a and ",
        "a = 1 or ",
        "a::",
        "a in (",
        "cast(",
        "lower(",
        "case when ",
        "array[",
        "@user.a = ",
        "'x' ",
    ] {
        let text =
            format!("policy a show rows of tables tagged A where {}", body.repeat(900_000 / body.len()));
        assert!(!faults(&text).is_empty(), "{body}");
    }
    let chain = format!("policy a allow read on tables tagged {} to users", "A.".repeat(1_000));
    assert!(!faults(&chain).is_empty());
}

#[test]
fn every_example_of_the_reference_is_policy() {
    let reference = include_str!("../../../../docs/reference/policy.md");
    let mut examples = 0;
    for block in reference.split("```policy\n").skip(1) {
        let text = block.split("```").next().unwrap_or_default();
        let set = parse(text);
        let printed: Vec<String> = set.iter().map(print).collect();
        assert!(set.iter().eq(parse(&printed.join("\n")).iter()), "{text}");
        examples += printed.len();
    }
    assert!(examples >= 20, "{examples}");
}
