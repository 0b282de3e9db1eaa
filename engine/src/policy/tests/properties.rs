//! Properties: text and model are one, more restriction never shows more, the index leaves nothing out.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::generators::any_policy;
use super::{SAMPLE, catalog, entitled, parse, rule, snapshot};
use crate::catalog::{RelationName, TagPath};
use crate::entitlement::{Access, RowRule};
use crate::policy::index::Index;
use crate::policy::matching::{column_depth, is_table};
use crate::policy::model::*;
use crate::policy::predicate::{Comparison, Expr, Literal, Polarity, Truth, vocabulary};
use crate::policy::{PolicySet, Source, print, to_json};

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_parses_to_the_same(policy in any_policy()) {
        let text = print(&policy);
        let read = PolicySet::parse(&[Source { file: "p", text: &text }]);
        let read = read.map_err(|found| {
            let all: Vec<String> = found.iter().map(ToString::to_string).collect();
            TestCaseError::fail(format!("{text}\n{}", all.join("\n")))
        })?;
        let read: Vec<&Policy> = read.iter().collect();
        prop_assert_eq!(read, vec![&policy], "{}", text);
    }

    #[test]
    fn text_and_json_are_one(policy in any_policy()) {
        let json = to_json(std::slice::from_ref(&policy));
        let read = PolicySet::parse(&[Source { file: "p.json", text: &json }]);
        let read = read.map_err(|found| {
            let all: Vec<String> = found.iter().map(ToString::to_string).collect();
            TestCaseError::fail(format!("{json}\n{}", all.join("\n")))
        })?;
        let read: Vec<Policy> = read.iter().cloned().collect();
        prop_assert_eq!(&read, &vec![policy], "{}", &json);
        prop_assert_eq!(to_json(&read), json);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[ -~\n]{0,200}") {
        let read = PolicySet::parse(&[Source { file: "p", text: &text }]);
        prop_assert!(read.is_ok() || read.is_err());
    }

    #[test]
    fn no_change_of_the_sample_makes_the_parser_panic(at in 0..SAMPLE.len(), with in "[ -~]{0,4}", cut in 0..30usize) {
        let end = (at + cut).min(SAMPLE.len());
        let text = format!("{}{with}{}", &SAMPLE[..at], &SAMPLE[end..]);
        match PolicySet::parse(&[Source { file: "p", text: &text }]) {
            Ok(set) => {
                let printed: Vec<String> = set.iter().map(print).collect();
                let again = parse(&printed.join("\n"));
                prop_assert!(set.iter().eq(again.iter()));
            }
            Err(found) => prop_assert!(!found.is_empty()),
        }
    }

    #[test]
    fn the_index_offers_every_policy_that_matches(mut policy in any_policy(), tag in select(TAGS.to_vec()), table in select(TABLES.to_vec())) {
        // Names that exist, so that something matches.
        let list = vec![Tag { path: TagPath(tag.into()), place: Place::default() }];
        let (schema, name) = table.split_once('.').expect("schema.table");
        let named = TableName { relation: RelationName::new(schema, name), place: Place::default() };
        policy.state = State::Active;
        match &mut policy.rule {
            Rule::Grant(Grant { on, .. }) | Rule::Guardrail(Guardrail { on, .. }) => on.any.push(TableMatch::Tagged(list)),
            Rule::Rows(rows) => rows.of.any.push(TableMatch::Named(vec![named])),
            Rule::Mask(mask) => mask.columns.any.push(ColumnMatch::Tagged(list)),
            Rule::Reveal(reveal) => reveal.columns.any.push(ColumnMatch::Tagged(list)),
            Rule::Permit(_) | Rule::Purpose(_) => return Ok(()),
        }
        let index = Index::of(std::slice::from_ref(&policy));
        for relation in catalog().relations.values() {
            let (lane, matches) = match &policy.rule {
                Rule::Grant(grant) => (&index.grants, is_table(&grant.on, relation)),
                Rule::Guardrail(guardrail) => (&index.guardrails, is_table(&guardrail.on, relation)),
                Rule::Rows(rows) => (&index.rows, is_table(&rows.of, relation)),
                Rule::Mask(mask) => {
                    let any = relation.columns.iter().any(|c| column_depth(&mask.columns, relation, c).is_some());
                    (&index.masks, any)
                }
                Rule::Reveal(reveal) => {
                    let any = relation.columns.iter().any(|c| column_depth(&reveal.columns, relation, c).is_some());
                    (&index.reveals, any)
                }
                Rule::Permit(_) | Rule::Purpose(_) => return Ok(()),
            };
            prop_assert!(!matches || lane.candidates(relation).contains(&0), "{}", print(&policy));
        }
    }
}

const TAGS: [&str; 8] = ["PII", "PII.Name", "Sales", "Finance", "Finance.Books", "Agent", "Secret", "Region"];
const TABLES: [&str; 4] =
    ["public.customer_orders", "public.campaign_tools", "finance.ledger", "public.plain"];
const WHO: [&str; 12] = [
    "taylor",
    "riley",
    "casey",
    "harper",
    "avery",
    "nobody",
    "marketing-agent~",
    "marketing-agent~taylor",
    "marketing-agent~harper",
    "union-agent~riley",
    "union-agent~avery",
    "narrow-agent~casey",
];

/// Policies to draw from; any subset is a world.
const BASE: [&str; 23] = [
    "allow read on tables tagged Sales, Plain to users",
    "allow read, write on tables tagged Plain, Finance to everyone",
    "allow read on tables tagged Agent.Tool, Sales to agents",
    "allow write on tables tagged Sales to users in group hr",
    "mask columns tagged PII with null",
    "mask columns tagged PII with hash for everyone except users in group hr",
    "mask columns tagged PII.Name with partial(first 2) for everyone except agents",
    "mask columns named level, order_total with round(10)",
    "mask columns tagged Secret with constant('x')",
    "mask columns tagged Sales with regex('.', 'x', 'g') for users in group marketing",
    "show rows of tables tagged Sales where region = @user.region for everyone except users in group hr",
    "show rows of tables tagged Finance, Agent.Tool where @agent.certified = 'yes'",
    "when an agent acts mask columns tagged PII with partial(last 2)",
    "require users or agents with certified = 'yes' on tables tagged Finance",
    "mask columns tagged PII with token where active for everyone except users in group hr",
    "mask columns tagged PII.Name who is in group hr clear who agents with hash otherwise with redact(email)",
    "mask columns tagged Secret with custom(upper(@column))",
    "reveal columns tagged PII to users in group analysts",
    "reveal columns tagged PII.Name to agents",
    "watches both allow read on tables tagged Sales to users or agents",
    "show rows of tables tagged Sales whose Region matches region",
    "show rows of tables tagged Sales who is in group hr all otherwise older than 1 day by placed",
    "allow read on tables with all of (with columns tagged PII and tagged Sales) to users in group hr or with region = 'EU'",
];
/// Restrictions to add.
const MORE: [&str; 27] = [
    "require users with training = 'privacy' on tables with columns tagged PII",
    "require users in group hr or agents on tables tagged Sales, Agent.Tool",
    "require agents on tables tagged Plain",
    "when an agent acts require agents with certified = 'no' on tables tagged Sales",
    "mask columns tagged PII with hash floor",
    "mask columns tagged PII.Name with partial(first 1) floor",
    "mask columns tagged PII.Name with regex('a', 'b') floor for everyone except users in group hr",
    "mask columns named level, order_total with round(100) floor",
    "mask columns named order_total with round(15) floor",
    "mask columns tagged PII with hash joinable in all_people floor",
    "mask columns tagged Sales with constant(1) floor for users in group analysts",
    "mask columns tagged Secret with deny floor",
    "when an agent acts mask columns tagged Sales with null",
    "show rows of tables tagged Sales where active",
    "mask columns tagged PII with null where active floor",
    "mask columns tagged PII with hash where region = @user.region floor",
    "mask columns tagged PII who is in group hr clear otherwise with token floor",
    "mask columns tagged PII with reversible(k) floor",
    "mask columns named lastname with k_anonymous(lastname, 3) floor for users",
    "watches both mask columns tagged PII with redact floor",
    "watches both mask columns tagged PII with partial(last 1) floor for agents",
    "watches both require users or agents with certified = 'no' on tables tagged Sales",
    "require everyone under purpose Audit on tables tagged Finance",
    "show rows of tables tagged Sales newer than 30 days by placed",
    "show rows of tables tagged Sales only 10 % by order_id for agents",
    "show rows of tables tagged Sales only for purpose Audit for everyone except users in group hr",
    "watches both show rows of tables tagged Sales whose Region matches region",
];

fn strictness(access: &Access, column: &str) -> u8 {
    match rule(access, column) {
        "clear" => 0,
        "custom" => 1,
        "partial" | "regex" | "redact" => 2,
        "reversible" | "fpe" => 3,
        "token" => 4,
        "hash" => 5,
        "round" => 6,
        "randomized" => 7,
        "k_anonymous" => 8,
        "constant" => 9,
        "null" => 10,
        "denied" => 11,
        other => panic!("{other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_restriction_never_shows_more(
        base in subsequence(BASE.to_vec(), 1..=BASE.len()),
        more in select(MORE.to_vec()),
        first in any::<bool>(),
    ) {
        let numbered = |n: usize, body: &str| format!("policy p{n} {body}\n");
        let fewer: String = base.iter().enumerate().map(|(n, b)| numbered(n + 1, b)).collect();
        let added = numbered(99, more);
        let all = if first { format!("{added}{fewer}") } else { format!("{fewer}{added}") };
        let (before, after) = (snapshot(&fewer), snapshot(&all));
        for who in WHO {
            let (old, new) = (entitled(&before, who), entitled(&after, who));
            for access in new.iter() {
                let name = &access.relation;
                let was = old.access(&name.schema, &name.name);
                let was = was.ok_or_else(|| TestCaseError::fail(format!("{who} gained {name}\n{all}")))?;
                prop_assert!(access.operations.is_subset(&was.operations));
                for column in was.columns.keys() {
                    prop_assert!(strictness(access, column) >= strictness(was, column), "{} {}.{}\n{}", who, name, column, all);
                }
                if let RowRule::Filtered { policies, .. } = &was.rows {
                    let RowRule::Filtered { policies: now, .. } = &access.rows else {
                        return Err(TestCaseError::fail(format!("{who} lost the filter of {name}\n{all}")));
                    };
                    let now: BTreeSet<&String> = now.iter().collect();
                    prop_assert!(policies.iter().all(|p| now.contains(p)));
                }
            }
        }
    }

    #[test]
    fn the_same_question_has_the_same_answer(base in subsequence(BASE.to_vec(), 1..=BASE.len())) {
        let text: String = base.iter().enumerate().map(|(n, b)| format!("policy p{n} {b}\n")).collect();
        let (one, other) = (snapshot(&text), snapshot(&text));
        for who in WHO {
            prop_assert_eq!(entitled(&one, who), entitled(&other, who));
        }
    }
}

/// Whatever sqlparser thinks of a word, a column of that name prints so that it reads back.
#[test]
fn every_keyword_can_be_a_column() {
    for word in sqlparser::keywords::ALL_KEYWORDS {
        let column = word.to_lowercase();
        let compare = |left: Expr, right: Expr| Expr::Compare {
            left: Box::new(left),
            operator: Comparison::Equal,
            right: Box::new(right),
        };
        let one = Expr::Column(column.clone());
        let literal = || Expr::Literal(Literal::Text("x".into()));
        for expr in [
            compare(one.clone(), literal()),
            compare(literal(), one.clone()),
            Expr::And(vec![one.clone(), compare(one.clone(), one.clone())]),
            Expr::Is { value: Box::new(one.clone()), what: Truth::Null, polarity: Polarity::Negated },
        ] {
            let text = format!(
                "policy p show rows of tables tagged T where {}",
                crate::policy::predicate::print::predicate(&expr)
            );
            let set = parse(&text);
            let policy = set.iter().next().expect("one");
            let Rule::Rows(Rows { otherwise: RowsShown::Where(read), .. }) = &policy.rule else {
                panic!("{text}");
            };
            assert_eq!(read.expr, expr, "{text}");
        }
        assert!(!vocabulary::is_plain_column("select"));
    }
}
