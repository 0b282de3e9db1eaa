//! Properties: text and model are one, more restriction never shows more, the index leaves nothing out.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{SAMPLE, catalog, entitled, parse, rule, snapshot};
use crate::catalog::{RelationName, TagPath};
use crate::entitlement::{Access, Operation, RowRule};
use crate::policy::index::Index;
use crate::policy::matching::{column_depth, is_table};
use crate::policy::model::*;
use crate::policy::predicate::{
    Attribute, Case, CastType, Comparison, Expr, Function, Holder, Literal, Named, Polarity, Predicate,
    Truth, vocabulary,
};
use crate::policy::{PolicySet, Source, print};

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z_][a-zA-Z0-9_-]{0,6}",
        "[ -~ß]{1,6}",
        select(vec!["or", "and", "policy", "For", "users", "in", "tagged", "with", "floor", "where"])
            .prop_map(str::to_owned),
    ]
}

fn text() -> impl Strategy<Value = String> {
    "[ -~ß\n\\\\']{0,8}"
}

fn tag() -> impl Strategy<Value = Tag> {
    vec(name(), 1..3).prop_map(|parts| Tag { path: TagPath(parts.join(".")), place: Place::default() })
}

fn relation() -> impl Strategy<Value = RelationName> {
    (name(), name()).prop_map(|(schema, name)| RelationName { schema, name })
}

fn column_match() -> impl Strategy<Value = ColumnMatch> {
    let named = (option::of(relation()), name()).prop_map(|(relation, column)| ColumnName {
        relation,
        column,
        place: Place::default(),
    });
    prop_oneof![
        vec(tag(), 1..3).prop_map(ColumnMatch::Tagged),
        vec(named, 1..3).prop_map(ColumnMatch::Named),
        vec(text(), 1..3).prop_map(ColumnMatch::Like),
    ]
}

fn tables() -> impl Strategy<Value = Tables> {
    let named = relation().prop_map(|relation| TableName { relation, place: Place::default() });
    let one = prop_oneof![
        vec(tag(), 1..3).prop_map(TableMatch::Tagged),
        vec(named, 1..3).prop_map(TableMatch::Named),
        vec(text(), 1..3).prop_map(TableMatch::Like),
        column_match().prop_map(TableMatch::WithColumns),
    ];
    vec(one, 1..3).prop_map(|any| Tables { any })
}

fn columns() -> impl Strategy<Value = Columns> {
    (vec(column_match(), 1..3), option::of(tables())).prop_map(|(any, of)| Columns { any, of })
}

fn who() -> impl Strategy<Value = Who> {
    let question = prop_oneof![
        vec(name(), 1..3).prop_map(Question::Group),
        vec(name(), 1..3).prop_map(Question::Id),
        (name(), vec(text(), 1..3)).prop_map(|(name, values)| Question::Attribute { name, values }),
    ];
    let test = (select(vec![Sense::Is, Sense::Not]), question).prop_map(|(sense, question)| Test {
        sense,
        question,
        place: Place::default(),
    });
    let kind = select(vec![PartyKind::Users, PartyKind::Agents, PartyKind::Everyone]);
    let party = (kind, vec(test, 0..3)).prop_map(|(kind, all)| Party { kind, all });
    vec(party, 1..3).prop_map(|any| Who { any })
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        text().prop_map(Literal::Text),
        "-?[0-9]{1,4}(\\.[0-9]{1,3})?".prop_map(Literal::Number),
        any::<bool>().prop_map(Literal::Truth),
    ]
}

fn column() -> impl Strategy<Value = Expr> {
    name().prop_filter("reserved for references", |n| !n.starts_with('@')).prop_map(Expr::Column)
}

fn attribute() -> impl Strategy<Value = Expr> {
    let named =
        name().prop_filter("reserved", |n| !matches!(n.as_str(), "id" | "groups") && !n.contains("::"));
    let what = prop_oneof![Just(Named::Id), Just(Named::Groups), named.prop_map(Named::Attribute)];
    (select(vec![Holder::User, Holder::Agent]), what)
        .prop_map(|(holder, name)| Expr::Attribute(Attribute { holder, name }))
}

fn value() -> BoxedStrategy<Expr> {
    let leaf =
        prop_oneof![column(), tag().prop_map(|t| Expr::Tagged(t.path)), literal().prop_map(Expr::Literal),];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let call =
            (select(Function::ALL.to_vec()), vec(inner.clone(), 3)).prop_map(|(function, mut arguments)| {
                arguments.truncate(function.arity().1);
                Expr::Call { function, arguments }
            });
        prop_oneof![
            call,
            (inner, select(CastType::ALL.to_vec()))
                .prop_map(|(value, to)| Expr::Cast { value: Box::new(value), to }),
        ]
    })
    .boxed()
}

fn simple_condition() -> impl Strategy<Value = Expr> {
    let boxed = || value().prop_map(Box::new);
    let polarity = || select(vec![Polarity::Plain, Polarity::Negated]);
    let operator = select(vec![
        Comparison::Equal,
        Comparison::Unequal,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
        Comparison::Distinct,
        Comparison::NotDistinct,
    ]);
    let item = prop_oneof![literal().prop_map(Expr::Literal), attribute()];
    let pattern = text().prop_filter("escape at the end", |t| !t.ends_with('\\'));
    prop_oneof![
        column(),
        any::<bool>().prop_map(|b| Expr::Literal(Literal::Truth(b))),
        (boxed(), operator, boxed()).prop_map(|(left, operator, right)| Expr::Compare {
            left,
            operator,
            right
        }),
        (boxed(), vec(item, 1..4), polarity()).prop_map(|(value, items, polarity)| Expr::In {
            value,
            items,
            polarity
        }),
        (boxed(), boxed(), boxed(), polarity())
            .prop_map(|(value, low, high, polarity)| { Expr::Between { value, low, high, polarity } }),
        (boxed(), polarity()).prop_map(|(value, polarity)| Expr::Is { value, what: Truth::Null, polarity }),
        (boxed(), pattern, select(vec![Case::Counts, Case::Ignored]), polarity())
            .prop_map(|(value, pattern, case, polarity)| Expr::Like { value, pattern, case, polarity }),
    ]
}

/// AND and OR are flat in the model.
fn flat(terms: Vec<Expr>, and: bool) -> Expr {
    let terms = terms
        .into_iter()
        .flat_map(|t| match (t, and) {
            (Expr::And(inner), true) | (Expr::Or(inner), false) => inner,
            (other, _) => vec![other],
        })
        .collect();
    if and { Expr::And(terms) } else { Expr::Or(terms) }
}

fn condition() -> impl Strategy<Value = Expr> {
    simple_condition().prop_recursive(3, 12, 3, |inner| {
        let tests = select(vec![Truth::True, Truth::False, Truth::Unknown]);
        prop_oneof![
            (vec(inner.clone(), 2..4), any::<bool>()).prop_map(|(terms, and)| flat(terms, and)),
            inner.clone().prop_map(|e| Expr::Not(Box::new(e))),
            (inner, tests, select(vec![Polarity::Plain, Polarity::Negated]))
                .prop_map(|(value, what, polarity)| Expr::Is { value: Box::new(value), what, polarity }),
        ]
    })
}

fn shown() -> impl Strategy<Value = RowsShown> {
    prop_oneof![
        Just(RowsShown::All),
        Just(RowsShown::None),
        condition().prop_map(|expr| RowsShown::Where(Predicate { expr, place: Place::default() })),
    ]
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![Just(Scope::Everyone), who().prop_map(Scope::Except), who().prop_map(Scope::Only)]
}

fn mask() -> impl Strategy<Value = Mask> {
    prop_oneof![
        Just(Mask::Null),
        Just(Mask::Deny),
        (literal(), select(vec![Nulls::Kept, Nulls::Hidden]))
            .prop_map(|(value, nulls)| Mask::Constant { value, nulls }),
        option::of(name()).prop_map(|joinable| Mask::Hash { joinable }),
        (0..9u32, 0..9u32, any::<char>().prop_filter("NUL", |c| *c != '\0'))
            .prop_map(|(first, last, fill)| Mask::Partial { first, last, fill }),
        ("[a-z\\.']{1,5}", text(), "[gim]{0,3}")
            .prop_map(|(pattern, replacement, flags)| { Mask::Regex { pattern, replacement, flags } }),
        "[1-9][0-9]{0,3}(\\.[0-9]{1,2})?".prop_map(Mask::Bucket),
        select(Unit::ALL.to_vec()).prop_map(Mask::Unit),
    ]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let operations = subsequence(vec![Operation::Read, Operation::Write], 1..=2);
    let branch = (who(), shown()).prop_map(|(who, shown)| Branch { who, shown });
    prop_oneof![
        (operations, tables(), who()).prop_map(|(operations, on, to)| Rule::Grant(Grant {
            operations: operations.into_iter().collect(),
            on,
            to
        })),
        (who(), tables()).prop_map(|(require, on)| Rule::Guardrail(Guardrail { require, on })),
        (tables(), vec(branch, 1..3), shown(), scope())
            .prop_map(|(of, branches, otherwise, scope)| Rule::Rows(Rows { of, branches, otherwise, scope })),
        (tables(), condition(), scope()).prop_map(|(of, expr, scope)| Rule::Rows(Rows {
            of,
            branches: Vec::new(),
            otherwise: RowsShown::Where(Predicate { expr, place: Place::default() }),
            scope
        })),
        (columns(), mask(), scope(), select(vec![Strength::Usual, Strength::Floor])).prop_map(
            |(columns, mask, scope, strength)| Rule::Mask(MaskRule { columns, mask, scope, strength })
        ),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    (name(), select(State::ALL.to_vec()), any::<bool>(), any_rule()).prop_map(|(name, state, actor, rule)| {
        Policy {
            name,
            state,
            watches: if actor && !matches!(rule, Rule::Grant(_)) { Watches::Actor } else { Watches::Subject },
            rule,
            place: Place::default(),
        }
    })
}

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
const BASE: [&str; 14] = [
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
];
/// Restrictions to add.
const MORE: [&str; 14] = [
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
];

fn strictness(access: &Access, column: &str) -> u8 {
    match rule(access, column) {
        "clear" => 0,
        "partial" | "regex" => 2,
        "hash" => 3,
        "round" => 4,
        "constant" => 5,
        "null" => 6,
        "denied" => 7,
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
