//! Properties: text and model are one, more restriction never shows more, the index leaves nothing out.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{SAMPLE, catalog, entitled, parse, rule, snapshot};
use crate::catalog::{RelationName, TagPath};
use crate::entitlement::{Access, Leftovers, Operation, RowRule};
use crate::identity::PurposeName;
use crate::policy::index::Index;
use crate::policy::matching::{column_depth, is_table};
use crate::policy::model::*;
use crate::policy::predicate::{
    Attribute, Case, CastType, Comparison, Expr, Formula, Function, Holder, Literal, Named, Polarity,
    Predicate, Truth, vocabulary,
};
use crate::policy::{PolicySet, Source, print, to_json};

fn name() -> BoxedStrategy<String> {
    prop_oneof![
        "[a-zA-Z_][a-zA-Z0-9_-]{0,6}",
        "[ -~ß]{1,6}",
        select(vec!["or", "and", "policy", "For", "users", "in", "tagged", "with", "floor", "where"])
            .prop_map(str::to_owned),
    ]
    .boxed()
}

fn text() -> impl Strategy<Value = String> {
    "[ -~ß\n\\\\']{0,8}"
}

fn tag() -> BoxedStrategy<Tag> {
    vec(name(), 1..3)
        .prop_map(|parts| Tag { path: TagPath(parts.join(".")), place: Place::default() })
        .boxed()
}

fn relation() -> impl Strategy<Value = RelationName> {
    (name(), name()).prop_map(|(schema, name)| RelationName { schema, name })
}

fn regexes() -> impl Strategy<Value = Vec<NamePattern>> {
    let pattern = "[a-z.^$]{1,4}(\\([a-z|]{1,4}\\)[*+?])?[']?";
    vec(pattern, 1..3)
        .prop_map(|list| list.iter().filter_map(|p| NamePattern::parse(p).ok()).collect::<Vec<_>>())
        .prop_filter("patterns", |list| !list.is_empty())
}

fn column_match() -> BoxedStrategy<ColumnMatch> {
    let named = (option::of(relation()), name()).prop_map(|(relation, column)| ColumnName {
        relation,
        column,
        place: Place::default(),
    });
    prop_oneof![
        vec(tag(), 1..3).prop_map(ColumnMatch::Tagged),
        vec(named, 1..3).prop_map(ColumnMatch::Named),
        vec(text(), 1..3).prop_map(ColumnMatch::Like),
        regexes().prop_map(ColumnMatch::Matching),
    ]
    .boxed()
}

fn table_match() -> BoxedStrategy<TableMatch> {
    let named = relation().prop_map(|relation| TableName { relation, place: Place::default() });
    let one = prop_oneof![
        vec(tag(), 1..3).prop_map(TableMatch::Tagged),
        vec(named, 1..3).prop_map(TableMatch::Named),
        vec(text(), 1..3).prop_map(TableMatch::Like),
        regexes().prop_map(TableMatch::Matching),
        column_match().prop_map(TableMatch::WithColumns),
    ];
    one.prop_recursive(2, 6, 3, |inner| {
        (vec(inner, 1..3), any::<bool>())
            .prop_map(|(list, all)| if all { TableMatch::AllOf(list) } else { TableMatch::AnyOf(list) })
    })
    .boxed()
}

fn tables() -> BoxedStrategy<Tables> {
    vec(table_match(), 1..3).prop_map(|any| Tables { any }).boxed()
}

fn columns() -> BoxedStrategy<Columns> {
    (vec(column_match(), 1..3), option::of(tables())).prop_map(|(any, of)| Columns { any, of }).boxed()
}

fn purpose() -> BoxedStrategy<PurposeName> {
    let word = prop_oneof!["[a-zA-Z_][a-zA-Z0-9_-]{0,5}", Just("or".to_owned()), Just("purpose".to_owned())];
    vec(word, 1..3).prop_map(|parts| PurposeName::parse(&parts.join(".")).expect("words")).boxed()
}

fn who_condition() -> BoxedStrategy<Condition> {
    let question = prop_oneof![
        vec(name(), 1..3).prop_map(Question::Group),
        vec(name(), 1..3).prop_map(Question::Id),
        (name(), vec(text(), 1..3)).prop_map(|(name, values)| Question::Attribute { name, values }),
        vec(purpose(), 1..3).prop_map(Question::Purpose),
    ];
    let test = question.prop_map(|question| Condition::Test(Test { question, place: Place::default() }));
    test.prop_recursive(3, 8, 3, |inner| {
        let flat = |terms: Vec<Condition>, all: bool| {
            let terms = terms.into_iter().flat_map(|t| match (t, all) {
                (Condition::All(inner), true) | (Condition::Any(inner), false) => inner,
                (other, _) => vec![other],
            });
            if all { Condition::All(terms.collect()) } else { Condition::Any(terms.collect()) }
        };
        prop_oneof![
            (vec(inner.clone(), 2..4), any::<bool>()).prop_map(move |(terms, all)| flat(terms, all)),
            inner.prop_map(|c| Condition::Not(Box::new(c))),
        ]
    })
    .boxed()
}

fn who() -> BoxedStrategy<Who> {
    let kind = select(vec![PartyKind::Users, PartyKind::Agents, PartyKind::Everyone]);
    let party = (kind, option::of(who_condition())).prop_map(|(kind, condition)| Party { kind, condition });
    vec(party, 1..3).prop_map(|any| Who { any }).boxed()
}

fn literal() -> BoxedStrategy<Literal> {
    prop_oneof![
        text().prop_map(Literal::Text),
        "-?[0-9]{1,4}(\\.[0-9]{1,3})?".prop_map(Literal::Number),
        any::<bool>().prop_map(Literal::Truth),
    ]
    .boxed()
}

fn column() -> BoxedStrategy<Expr> {
    name().prop_filter("reserved for references", |n| !n.starts_with('@')).prop_map(Expr::Column).boxed()
}

fn attribute() -> BoxedStrategy<Expr> {
    let named =
        name().prop_filter("reserved", |n| !matches!(n.as_str(), "id" | "groups") && !n.contains("::"));
    let what = prop_oneof![Just(Named::Id), Just(Named::Groups), named.prop_map(Named::Attribute)];
    let of_person = (select(vec![Holder::User, Holder::Agent]), what)
        .prop_map(|(holder, name)| Attribute { holder, name });
    let of_session = Just(Attribute { holder: Holder::Session, name: Named::Purpose });
    prop_oneof![4 => of_person, 1 => of_session].prop_map(Expr::Attribute).boxed()
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

fn simple_condition() -> BoxedStrategy<Expr> {
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
    .boxed()
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

fn condition() -> BoxedStrategy<Expr> {
    simple_condition()
        .prop_recursive(3, 12, 3, |inner| {
            let tests = select(vec![Truth::True, Truth::False, Truth::Unknown]);
            prop_oneof![
                (vec(inner.clone(), 2..4), any::<bool>()).prop_map(|(terms, and)| flat(terms, and)),
                inner.clone().prop_map(|e| Expr::Not(Box::new(e))),
                (inner, tests, select(vec![Polarity::Plain, Polarity::Negated]))
                    .prop_map(|(value, what, polarity)| Expr::Is { value: Box::new(value), what, polarity }),
            ]
        })
        .boxed()
}

/// A predicate with, at times, a lookup in it.
fn predicate() -> BoxedStrategy<Predicate> {
    let polarity = select(vec![Polarity::Plain, Polarity::Negated]);
    let lookup = (value(), relation(), name(), option::of(condition()), polarity).prop_filter_map(
        "placeholders",
        |(value, table, column, condition, polarity)| {
            let value = Box::new(value);
            let condition = condition.map(Box::new);
            Some(Expr::Lookup { value, table, column, condition, polarity })
        },
    );
    let expr = prop_oneof![3 => condition(), 1 => lookup];
    expr.prop_map(|expr| Predicate { expr, place: Place::default() }).boxed()
}

fn cells() -> impl Strategy<Value = Predicate> {
    condition().prop_map(|expr| Predicate { expr, place: Place::default() })
}

fn event_column() -> impl Strategy<Value = EventColumn> {
    prop_oneof![name().prop_map(EventColumn::Column), tag().prop_map(|t| EventColumn::Tagged(t.path))]
}

/// What can stand behind `through`.
fn shown_of_parent() -> BoxedStrategy<RowsShown> {
    let named =
        name().prop_filter("reserved", |n| !matches!(n.as_str(), "id" | "groups") && !n.contains("::"));
    let values = prop_oneof![Just(Named::Id), Just(Named::Groups), named.prop_map(Named::Attribute)];
    let side = select(vec![WindowSide::Newer, WindowSide::Older]);
    let window = (side, 1..10_000u32, select(SpanUnit::ALL.to_vec()), event_column()).prop_map(
        |(side, count, unit, by)| {
            RowsShown::Window(Window { side, span: Span { count, unit }, by, place: Place::default() })
        },
    );
    prop_oneof![
        predicate().prop_map(RowsShown::Where),
        (tag(), values).prop_map(|(tag, values)| RowsShown::Whose(Match { tag, values })),
        window,
    ]
    .boxed()
}

/// What can stand without `who`.
fn shown_alone() -> BoxedStrategy<RowsShown> {
    let share = ("[1-9][0-9]?(\\.[0-9]{1,3})?", option::of(event_column()))
        .prop_map(|(percent, by)| RowsShown::Share(Share { percent, by, place: Place::default() }));
    let target = (relation(), name()).prop_map(|(relation, column)| Target { relation, column });
    let hop = (name(), name(), option::of(target)).prop_map(|(table, column, to)| Hop { table, column, to });
    let through = (vec(hop, 1..=3), shown_of_parent().prop_map(Box::new))
        .prop_map(|(hops, shown)| RowsShown::Through(Through { hops, shown, place: Place::default() }));
    prop_oneof![
        3 => shown_of_parent(),
        1 => share,
        1 => vec(purpose(), 1..3).prop_map(RowsShown::Purpose),
        1 => through,
    ]
    .boxed()
}

fn shown() -> BoxedStrategy<RowsShown> {
    prop_oneof![1 => Just(RowsShown::All), 1 => Just(RowsShown::None), 4 => shown_alone()].boxed()
}

fn scope() -> BoxedStrategy<Scope> {
    prop_oneof![Just(Scope::Everyone), who().prop_map(Scope::Except), who().prop_map(Scope::Only)].boxed()
}

/// A value over `@column`.
fn formula() -> BoxedStrategy<Formula> {
    let made = (select(Function::ALL.to_vec()), literal()).prop_map(|(function, literal)| {
        let mut arguments = vec![Expr::Masked, Expr::Literal(literal.clone()), Expr::Literal(literal)];
        arguments.truncate(function.arity().1);
        Expr::Call { function, arguments }
    });
    let concat = text().prop_map(|t| Expr::Concat(vec![Expr::Masked, Expr::Literal(Literal::Text(t))]));
    prop_oneof![Just(Expr::Masked), made, concat, value()]
        .prop_map(|expr| Formula { expr, place: Place::default() })
        .boxed()
}

fn mask() -> BoxedStrategy<Mask> {
    let old = prop_oneof![
        Just(Mask::Null),
        (literal(), select(vec![Nulls::Kept, Nulls::Hidden]))
            .prop_map(|(value, nulls)| Mask::Constant { value, nulls }),
        option::of(name()).prop_map(|joinable| Mask::Hash { joinable }),
        (0..9u32, 0..9u32, any::<char>().prop_filter("NUL", |c| *c != '\0'))
            .prop_map(|(first, last, fill)| Mask::Partial { first, last, fill }),
        ("[a-z\\.']{1,5}", text(), "[gim]{0,3}")
            .prop_map(|(pattern, replacement, flags)| { Mask::Regex { pattern, replacement, flags } }),
        "[1-9][0-9]{0,3}(\\.[0-9]{1,2})?".prop_map(Mask::Bucket),
        select(Unit::ALL.to_vec()).prop_map(Mask::Unit),
    ];
    let alphabet = "[a-c]{1,2}[0-9'ß]{1,2}"
        .prop_filter("each once", |a: &String| a.chars().collect::<BTreeSet<_>>().len() == a.chars().count());
    let quasi = vec(name(), 1..4)
        .prop_filter("each once", |list| list.iter().collect::<BTreeSet<_>>().len() == list.len());
    let new = prop_oneof![
        Just(Mask::Token),
        name().prop_map(|key| Mask::Reversible { key }),
        alphabet.prop_map(|alphabet| Mask::Fpe { alphabet }),
        "0\\.[0-9]{1,4}".prop_map(|keep| Mask::Randomized { keep }),
        (quasi, 2..1000u32).prop_map(|(columns, k)| Mask::KAnonymous { columns, k }),
        subsequence(Entity::ALL.to_vec(), 1..=4)
            .prop_map(|list| Mask::Redact { entities: list.into_iter().collect() }),
        formula().prop_map(|value| Mask::Custom { value }),
    ];
    prop_oneof![old, new].boxed()
}

fn masking_with() -> BoxedStrategy<Masking> {
    prop_oneof![
        1 => Just(Masking::With { mask: Mask::Deny, cells: None }),
        5 => (mask(), option::of(cells().prop_map(Box::new))).prop_map(|(mask, cells)| Masking::With { mask, cells }),
    ]
    .boxed()
}

fn mask_rule() -> BoxedStrategy<MaskRule> {
    let strength = || select(vec![Strength::Usual, Strength::Floor]);
    let masking = || prop_oneof![1 => Just(Masking::Clear), 5 => masking_with()];
    let branch = (who(), masking()).prop_map(|(who, masking)| MaskBranch { who, masking });
    prop_oneof![
        (columns(), masking_with(), scope(), strength()).prop_map(|(columns, otherwise, scope, strength)| {
            MaskRule { columns, branches: Vec::new(), otherwise, scope, strength }
        }),
        (columns(), vec(branch, 1..3), masking(), scope(), strength()).prop_map(
            |(columns, branches, otherwise, scope, strength)| MaskRule {
                columns,
                branches,
                otherwise,
                scope,
                strength
            }
        ),
    ]
    .boxed()
}

fn named_lookups(shown: &[&RowsShown]) -> Vec<TableName> {
    let inner = |s: &RowsShown| match s {
        RowsShown::Through(through) => (*through.shown).clone(),
        other => other.clone(),
    };
    let mut list = Vec::new();
    for one in shown.iter().map(|s| inner(s)) {
        if let RowsShown::Where(predicate) = one {
            list.extend(predicate.expr.nodes().filter_map(|e| match e {
                Expr::Lookup { table, .. } => {
                    Some(TableName { relation: table.clone(), place: Place::default() })
                }
                _ => None,
            }));
        }
    }
    list
}

fn rows() -> BoxedStrategy<Rows> {
    let branch = (who(), shown()).prop_map(|(who, shown)| Branch { who, shown });
    let missing = || select(vec![Missing::Deny, Missing::Skip]);
    let built = |of: Tables, branches: Vec<Branch>, otherwise: RowsShown, missing, scope| {
        let all: Vec<&RowsShown> = branches.iter().map(|b| &b.shown).chain([&otherwise]).collect();
        let lookups = named_lookups(&all);
        Rows { of, lookups, branches, otherwise, missing, scope }
    };
    prop_oneof![
        (tables(), vec(branch, 1..3), shown(), missing(), scope()).prop_map(
            move |(of, branches, otherwise, missing, scope)| built(of, branches, otherwise, missing, scope)
        ),
        (tables(), shown_alone(), missing(), scope()).prop_map(move |(of, shown, missing, scope)| built(
            of,
            Vec::new(),
            shown,
            missing,
            scope
        )),
    ]
    .boxed()
}

fn permitted() -> BoxedStrategy<Permitted> {
    prop_oneof![
        select(vec![Leftovers::Dropped, Leftovers::Kept]).prop_map(Permitted::Workspace),
        vec(relation(), 1..3).prop_map(Permitted::Functions),
        vec(relation(), 1..3).prop_map(Permitted::Types),
        vec(name(), 1..3).prop_map(Permitted::Extensions),
    ]
    .boxed()
}

fn any_rule() -> BoxedStrategy<Rule> {
    let operations = subsequence(vec![Operation::Read, Operation::Write], 1..=2);
    prop_oneof![
        (operations, tables(), who()).prop_map(|(operations, on, to)| Rule::Grant(Grant {
            operations: operations.into_iter().collect(),
            on,
            to
        })),
        (permitted(), who()).prop_map(|(what, to)| Rule::Permit(Permit { what, to })),
        (who(), tables()).prop_map(|(require, on)| Rule::Guardrail(Guardrail { require, on })),
        rows().prop_map(Rule::Rows),
        mask_rule().prop_map(Rule::Mask),
        (columns(), who()).prop_map(|(columns, to)| Rule::Reveal(Reveal { columns, to })),
    ]
    .boxed()
}

fn any_policy() -> BoxedStrategy<Policy> {
    let watches = select(vec![Watches::Subject, Watches::Actor, Watches::Both]);
    let other = (name(), select(State::ALL.to_vec()), watches, any_rule()).prop_map(
        |(name, state, watches, rule)| {
            let widens = matches!(rule, Rule::Grant(_) | Rule::Permit(_) | Rule::Reveal(_));
            let watches = if widens && watches == Watches::Actor { Watches::Subject } else { watches };
            Policy { name, state, watches, rule, place: Place::default() }
        },
    );
    let statement = "[ -~ß]{0,20}x[\n']?";
    let purpose = (purpose(), select(State::ALL.to_vec()), statement, who()).prop_map(
        |(name, state, statement, to)| Policy {
            name: name.into(),
            state,
            watches: Watches::Subject,
            rule: Rule::Purpose(Purpose { statement, to }),
            place: Place::default(),
        },
    );
    prop_oneof![12 => other, 1 => purpose].boxed()
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
