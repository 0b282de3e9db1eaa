//! Any policy there can be, for property tests.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::catalog::{RelationName, TagPath};
use crate::entitlement::{Leftovers, Operation};
use crate::identity::PurposeName;
use crate::policy::model::*;
use crate::policy::predicate::{
    Attribute, Case, CastType, Comparison, Expr, Formula, Function, Holder, Literal, Named, Polarity,
    Predicate, Truth,
};

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
        vec(name(), 1..3).prop_map(Permitted::Channels),
        columns().prop_map(Permitted::Unmask),
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

pub(super) fn any_policy() -> BoxedStrategy<Policy> {
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
