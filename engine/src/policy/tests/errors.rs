//! Faults a newcomer makes, and whether what is said about them teaches; input that means harm, and whether it is refused soon.

use super::snapshot;
use crate::limits;
use crate::policy::{Diagnostic, PolicySet, Source, check};

fn faults(text: &str) -> Vec<Diagnostic> {
    match PolicySet::parse(&[Source { file: "p", text }]) {
        Ok(_) => panic!("parsed: {}", &text[..text.len().min(200)]),
        Err(found) => found,
    }
}

#[test]
fn natural_mistakes_are_answered_with_the_right_form() {
    for (text, column, hint) in [
        ("policy p mask PII with null", 15, "as in: columns tagged PII, or: columns named email"),
        (
            "policy p allow select on tables tagged A to users",
            16,
            "'read' is SELECT; 'write' is INSERT, UPDATE and DELETE",
        ),
        ("policy p show rows where region = 'x'", 20, "as in: show rows of tables tagged Sales where …"),
        (
            "policy p mask columns tagged PII with 'REDACTED'",
            39,
            "a fixed value is written constant('REDACTED')",
        ),
        (
            "policy p mask columns tagged PII with REDACTED",
            39,
            "a fixed value is written constant('REDACTED')",
        ),
        (
            "policy p allow read on tables tagged A policy q allow read on tables tagged B to users",
            40,
            "the policy above is not finished: say to whom, as in: to users in group hr",
        ),
        ("policy p mask columns tagged PII with constant(\"x\")", 48, "as in constant('x')"),
        (
            "policy p allow read on tables tagged 'Sales' to users",
            38,
            "a name stands without quotes, or as \"Sales\"; single quotes make a string",
        ),
        (
            "policy p allow read on tables tagged A to group hr",
            43,
            "say what they are first, as in: users in group hr",
        ),
        (
            "policy p allow read on tables tagged A to hr",
            43,
            "say who they are, as in: users in group hr, or: users named hr",
        ),
        (
            "policy p allow read on tables tagged A to taylor",
            43,
            "say who they are, as in: users in group taylor, or: users named taylor",
        ),
        (
            "policy p mask columns tagged A with null for everybody except users in group hr",
            46,
            "did you mean 'everyone'?",
        ),
        (
            "policy p mask columns tagged A with null except users in group hr",
            42,
            "write: for everyone except …",
        ),
        (
            "policy p mask columns tagged A with null for everyone but users in group hr",
            55,
            "write: for everyone except …",
        ),
        (
            "policy p show rows of tables tagged A where region = user.region",
            54,
            "attributes are written with '@', as in @user.region",
        ),
        (
            "policy p show rows of tables tagged A where region = @region",
            54,
            "an attribute belongs to someone, as in @user.region; known are @user.<attribute>, @user.id, @user.groups, the same for @agent, @purpose, @tagged(<tag>), and @column in a mask",
        ),
        (
            "policy p show rows of tables tagged A newer than 90 days",
            57,
            "as in: newer than 90 days by created_at",
        ),
        (
            "policy p show rows of tables tagged A newer than ninety days by c",
            50,
            "as in: newer than 90 days by created_at",
        ),
        (
            "policy p show rows of tables tagged A newer 90 days by c",
            45,
            "as in: newer than 90 days by created_at",
        ),
        ("policy p mask columns tagged A with hash(x)", 41, "this mask takes nothing in parentheses"),
        ("policy p mask columns tagged A with null for all users", 46, "write 'everyone'"),
        (
            "policy p mask columns tagged A with null for everyone except users in hr",
            71,
            "write: in group hr",
        ),
        (
            "policy p allow read on tables sales to users",
            31,
            "say how it is named, as in: tagged sales, or: named schema.sales",
        ),
        (
            "policy p allow read on sales to users",
            24,
            "as in: tables tagged Sales, or: tables named public.orders",
        ),
        ("policy p allow read on tables tagged A to users in groups hr", 52, "did you mean 'group'?"),
        ("policy p allow read on tables tagged A to users with region in 'EU'", 64, ""),
        (
            "policy p allow read on tables tagged A to users with region is 'EU'",
            61,
            "as in: with region = 'EU', or: with region in ('EU', 'UK')",
        ),
        (
            "policy p allow read on tables tagged A to users where region = 'EU'",
            49,
            "people are described by tests, as in: users with region = 'EU'; rows by: show rows of tables … where …",
        ),
        (
            "policy p show rows of tables tagged A where created_at > now() - interval '90 days'",
            58,
            "a time window is a rule of its own, as in: newer than 90 days by created_at",
        ),
        (
            "policy p show rows of tables tagged A where total + 1 > 2",
            51,
            "comparisons, and, or, not, in, between, is, like, casts and a few functions are",
        ),
        (
            "policy p show rows of tables tagged A where id in (select id from x)",
            68,
            "as in: region in (select region from public.territories where manager = @user.id)",
        ),
        (
            "policy p show rows of tables tagged A where id in (select id from a.x)",
            45,
            "write: show rows of … using lookup a.x where …",
        ),
        (
            "policy p show rows of tables tagged A where exists (select 1 from a.x)",
            53,
            "as in: region in (select region from public.territories where manager = @user.id)",
        ),
        ("policy p mask columns tagged A with partial(4)", 45, "as in partial(first 1, last 4, '*')"),
        (
            "allow read on tables tagged A to users",
            1,
            "a policy starts with its name, as in: policy my_policy allow …",
        ),
        ("policy p mask column tagged A with null", 15, "did you mean 'columns'?"),
        ("policy p mask columns A with null", 23, "say how it is named, as in: tagged A, or: named schema.A"),
        ("policy p mask columns tagged A null", 32, "as in: mask columns tagged PII with null"),
        (
            "policy p deny columns tagged A",
            10,
            "nothing is allowed unless a policy says so; columns are hidden by: mask columns tagged PII with deny",
        ),
        (
            "policy p hide columns tagged A",
            10,
            "nothing is allowed unless a policy says so; columns are hidden by: mask columns tagged PII with deny",
        ),
        (
            "policy my policy allow read on tables tagged A to users",
            11,
            "a name of several words stands in double quotes",
        ),
        (
            "policy p allow read on tables tagged A to users in group a and in group b or",
            77,
            "a word, or anything in double quotes",
        ),
        ("policy p allow read on tables tagged A to users (in group a", 60, ""),
        (
            "policy p mask columns tagged A with randomized(2)",
            48,
            "as in randomized(0.9): nine of ten are kept",
        ),
        (
            "policy p mask columns tagged A with k_anonymous(5)",
            49,
            "as in k_anonymous(birth_date, zip, 5): at least five rows for every combination",
        ),
        ("policy p mask columns tagged A with custom(@colum)", 44, "did you mean @column?"),
        (
            "policy p mask columns tagged A with custom(md5(@column))",
            44,
            "known are lower, upper, length, btrim, ltrim, rtrim, left, right, substr, strpos, starts_with, coalesce",
        ),
        ("policy p mask columns tagged A with fpe(digts)", 41, "did you mean 'digits'?"),
        ("policy p mask columns tagged A with redact(emial)", 44, "did you mean 'email'?"),
        ("purpose Marketing to users", 19, "strings stand in single quotes: 'to'"),
        ("purpose 'Marketing' 'x' to users", 9, "as in Marketing.Campaign"),
        ("policy p allow workspce to users", 16, "did you mean 'workspace'?"),
        ("policy p allow function f to users", 27, "tables are named as schema.table"),
        (
            "policy p show rows of tables tagged A through customer_id where x = 1",
            59,
            "as in: through orders.customer_id",
        ),
        (
            "policy p show rows of tables tagged A only 110 % by id",
            44,
            "as in: only 10 % by customer_id, or: only for purpose Marketing",
        ),
        (
            "policy p show rows of tables tagged A only 10 percent by id",
            47,
            "as in: only 10 % by customer_id",
        ),
        (
            "policy p show rows of tables tagged A whose Region is region",
            52,
            "as in: whose Region matches region",
        ),
        (
            "policy p allow read on tables with all of tagged A to users",
            43,
            "as in: with all of (tagged Sales and with columns tagged PII)",
        ),
        (
            "policy p allow read on tables matching '(' to users",
            40,
            "it is searched for in the name; '^' and '$' tie it to the ends",
        ),
        ("policy p watches all allow read on tables tagged A to users", 18, ""),
        ("policy p mask columns tagged A with null where", 47, "as in: where region in (@user.region)"),
        ("policy p mask columns tagged A who is in group a null", 50, "write: with null"),
        ("policy p show rows of tables tagged A who is in group a region = 'x'", 57, "write: where region …"),
        ("policy p reveal columns tagged A for users", 34, "write: to users …"),
        (
            "guardrail p users in group a on tables tagged A",
            13,
            "a guardrail says what one must be, as in: require users with training = 'privacy' on tables tagged PII",
        ),
        ("guardrail p require users in group a for tables tagged A", 38, "write: on tables …"),
        (
            "policy p require training on tables tagged A",
            18,
            "say who they are, as in: users in group training, or: users named training",
        ),
    ] {
        let found = faults(text);
        let shown = found[0].to_string();
        assert_eq!((found[0].line, found[0].column), (1, column), "{shown}");
        assert_eq!(found[0].hint.as_deref().unwrap_or_default(), hint, "{shown}");
        assert!(found[0].excerpt.as_ref().is_some_and(|e| e.ends_with('^')), "{shown}");
    }
}

#[test]
fn a_string_in_double_quotes_is_a_column_and_check_says_so() {
    let found = check(&snapshot("policy p show rows of tables tagged Sales where region = \"US-EAST\""));
    let hint = found.first().and_then(|f| f.hint.as_deref()).unwrap_or_default();
    assert_eq!(hint, "name one of its columns; a string stands in single quotes: 'US-EAST'");
}

#[test]
fn what_nests_or_repeats_without_end_is_refused() {
    let head = "policy p allow read on tables";
    for text in [
        format!("{head} tagged A to users {}in group a{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("{head} tagged A to users {}in group a", "not ".repeat(200_000)),
        format!("{head} {}tagged A{} to users", "all of (".repeat(50_000), ")".repeat(50_000)),
        format!("{head} tagged A to users {}", "in group a and ".repeat(60_000)),
        format!("{head} tagged A to users under purpose {}", "a.".repeat(400_000)),
        "purpose.".repeat(130_000),
        format!(
            "policy p mask columns tagged A with custom({}@column{})",
            "lower(".repeat(90_000),
            ")".repeat(90_000)
        ),
        format!("policy p mask columns tagged A with custom({}", "@column || ".repeat(90_000)),
        format!("policy p show rows of tables tagged A through {} where a", "a.b then ".repeat(100_000)),
        format!(
            "policy p show rows of tables tagged A using lookup s.t where {}a{}",
            "a in (select b from s.t where ".repeat(20_000),
            ")".repeat(20_000)
        ),
        format!("policy p mask columns {} with null", "matching 'a{500}', ".repeat(10_000)),
        format!("policy p mask columns matching '{}' with null", "(a|b)*".repeat(90)),
        format!("policy p mask columns matching '{}' with null", "(".repeat(400)),
        format!("policy p mask columns tagged A with k_anonymous({} 5)", "a,".repeat(200_000)),
        format!("purpose A '{}' to users", "x".repeat(100_000)),
        "x".repeat(10 << 20),
        format!("{head} tagged A to users",).repeat(limits::POLICY_FILE_BYTES_MAX / 50),
    ] {
        let found = faults(&text);
        assert!(!found.is_empty() && found.len() <= limits::POLICY_DIAGNOSTICS_MAX);
        for one in found {
            assert!(one.to_string().len() < 2_000, "{}", &one.to_string()[..2_000]);
        }
    }
}

#[test]
fn the_deepest_that_is_read_prints_and_judges() {
    let deep = |open: &str, inner: &str, close: &str, times: usize| {
        format!("{}{inner}{}", open.repeat(times), close.repeat(times))
    };
    let most = limits::POLICY_DEPTH_MAX - 1;
    for text in [
        format!(
            "policy p allow read on tables tagged Sales to users {}",
            deep("not (in group x or ", "in group y", ")", most / 2)
        ),
        format!("policy p allow read on tables {} to users", deep("all of (", "tagged Sales", ")", most)),
    ] {
        let set = super::parse(&text);
        let printed: Vec<String> = set.iter().map(crate::policy::print).collect();
        assert!(set.iter().eq(super::parse(&printed.join("\n")).iter()));
        assert!(super::entitled(&snapshot(&text), "taylor").iter().count() <= 1);
    }
}
