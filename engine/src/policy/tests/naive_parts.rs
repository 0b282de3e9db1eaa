//! What the naive evaluator understands of tags, patterns, types and predicates; as naive, and as far from the engine.
//!
//! Must never call `matching`, `predicate::compile`, `types` or `mask`. Used by `naive` alone.

use std::collections::BTreeSet;

use crate::catalog::{Catalog, Column, ForeignKey, Relation, TagPath};
use crate::policy::model::*;
use crate::policy::predicate::{Expr, Function, Literal};

pub(super) fn under(tag: &str, pattern: &str) -> bool {
    let (tag, pattern): (Vec<&str>, Vec<&str>) = (tag.split('.').collect(), pattern.split('.').collect());
    pattern.len() <= tag.len() && pattern.iter().zip(&tag).all(|(p, t)| p == t)
}

pub(super) fn has_tag(own: &BTreeSet<TagPath>, pattern: &str) -> bool {
    own.iter().any(|t| under(&t.0, pattern))
}

/// LIKE by trying everything.
fn like(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|n| like(&text[n..], rest)),
        ['_', rest @ ..] => !text.is_empty() && like(&text[1..], rest),
        ['\\', c, rest @ ..] | [c, rest @ ..] => text.first() == Some(c) && like(&text[1..], rest),
    }
}

fn is_like(text: &str, pattern: &str) -> bool {
    like(&text.chars().collect::<Vec<_>>(), &pattern.chars().collect::<Vec<_>>())
}

/// The regular expressions that `differential` makes: plain letters, perhaps at the start or the end.
fn is_matching(name: &str, pattern: &str) -> bool {
    let plain = pattern.replace("\\.", ".");
    match (plain.strip_prefix('^'), plain.strip_suffix('$')) {
        (Some(start), _) => name.starts_with(start),
        (None, Some(end)) => name.ends_with(end),
        (None, None) => name.contains(&plain),
    }
}

/// How deeply a phrase means a column.
fn column_hit(one: &ColumnMatch, relation: &Relation, column: &Column) -> Option<usize> {
    const NAME: usize = 1_000;
    let by_name = |hit: bool| hit.then_some(NAME);
    match one {
        ColumnMatch::Tagged(tags) => tags
            .iter()
            .filter(|tag| has_tag(&column.tags, &tag.path.0) || has_tag(&relation.tags, &tag.path.0))
            .map(|tag| tag.path.0.split('.').count())
            .max(),
        ColumnMatch::Named(names) => by_name(
            names
                .iter()
                .any(|n| n.column == column.name && n.relation.as_ref().is_none_or(|r| *r == relation.name)),
        ),
        ColumnMatch::Like(patterns) => by_name(patterns.iter().any(|p| is_like(&column.name, p))),
        ColumnMatch::Matching(patterns) => {
            by_name(patterns.iter().any(|p| is_matching(&column.name, p.as_str())))
        }
    }
}

pub(super) fn mask_depth(columns: &Columns, relation: &Relation, column: &Column) -> Option<usize> {
    if columns.of.as_ref().is_some_and(|of| !table_hit(of, relation)) {
        return None;
    }
    columns.any.iter().filter_map(|one| column_hit(one, relation, column)).max()
}

pub(super) fn table_hit(tables: &Tables, relation: &Relation) -> bool {
    tables.any.iter().any(|one| match_hit(one, relation))
}

fn match_hit(one: &TableMatch, relation: &Relation) -> bool {
    let name = format!("{}.{}", relation.name.schema, relation.name.name);
    match one {
        TableMatch::Tagged(tags) => tags.iter().any(|t| has_tag(&relation.tags, &t.path.0)),
        TableMatch::Named(names) => names.iter().any(|n| n.relation == relation.name),
        TableMatch::Like(patterns) => patterns.iter().any(|p| is_like(&name, p)),
        TableMatch::Matching(patterns) => patterns.iter().any(|p| is_matching(&name, p.as_str())),
        TableMatch::WithColumns(one) => {
            relation.columns.iter().any(|c| column_hit(one, relation, c).is_some())
        }
        TableMatch::AllOf(list) => list.iter().filter(|m| !match_hit(m, relation)).count() == 0,
        TableMatch::AnyOf(list) => list.iter().filter(|m| match_hit(m, relation)).count() > 0,
    }
}

/// Place in the table of strictness, the strictest first. Words on one line share a step.
pub(super) fn place(mask: &Mask) -> usize {
    const STEPS: [&str; 12] = [
        "deny",
        "null",
        "constant",
        "k_anonymous",
        "randomized",
        "round",
        "hash",
        "token",
        "reversible fpe",
        "regex partial redact",
        "custom",
        "",
    ];
    let place = STEPS.iter().position(|words| words.split(' ').any(|word| word == mask.word()));
    place.expect("a mask of the table")
}

pub(super) fn told_apart(one: &Mask, other: &Mask) -> bool {
    one == other || shows_less(one, other) || shows_less(other, one)
}

/// Of two masks of one kind: does the first surely show less?
pub(super) fn shows_less(one: &Mask, other: &Mask) -> bool {
    if one == other {
        return false;
    }
    match (one, other) {
        // Any constant shows no value; one that also hides NULL shows less.
        (Mask::Constant { nulls, .. }, Mask::Constant { nulls: others, .. }) => {
            *nulls == Nulls::Hidden || *others == Nulls::Kept
        }
        (Mask::Hash { joinable: None }, Mask::Hash { joinable: Some(_) }) => true,
        (Mask::Unit(a), Mask::Unit(b)) => a > b && *b != Unit::Week,
        _ => false,
    }
}

fn is_text(column: &Column) -> bool {
    column.type_sql == "text"
}

/// A mask that does not fit the column's type is `null`.
pub(super) fn fit(mask: &Mask, relation: &Relation, column: &Column) -> Mask {
    let (text, date) = (is_text(column), column.type_sql == "date");
    let number = matches!(column.type_sql.as_str(), "integer" | "numeric");
    assert!(text || number || date, "a type this evaluator knows: {}", column.type_sql);
    let fits = match mask {
        Mask::Null | Mask::Deny => true,
        Mask::Constant { value: Literal::Text(_) | Literal::Truth(_), .. } => text,
        Mask::Constant { value: Literal::Number(_), .. } => text || number,
        Mask::Hash { .. } | Mask::Partial { .. } | Mask::Regex { .. } => text,
        Mask::Reversible { .. } | Mask::Fpe { .. } | Mask::Token | Mask::Redact { .. } => text,
        Mask::Bucket(_) => number,
        Mask::Unit(unit) => date && *unit > Unit::Day,
        // It draws by the primary key.
        Mask::Randomized { .. } => (number || date) && !relation.primary_key.is_empty(),
        Mask::KAnonymous { columns, .. } => {
            let there = |name: &String| relation.columns.iter().any(|c| c.name == *name);
            columns.contains(&column.name) && columns.iter().all(there)
        }
        // Those the generator makes: of text, and a number or else 0, which is of any number's type.
        Mask::Custom { value } => match &value.expr {
            Expr::Call { function: Function::Upper, .. } | Expr::Concat(_) => text,
            Expr::Call { function: Function::Coalesce, .. } => number,
            other => panic!("not made by the generator: {other:?}"),
        },
    };
    if fits { mask.clone() } else { Mask::Null }
}

pub(super) fn reads(value: &str, column: &Column) -> bool {
    match column.type_sql.as_str() {
        "text" => true,
        "date" => false,
        _ => value.parse::<i32>().is_ok(),
    }
}

fn lacks(tag: &TagPath, relation: &Relation) -> bool {
    !relation.columns.iter().any(|c| has_tag(&c.tags, &tag.0))
}

pub(super) fn needs_a_missing_tag(shown: &RowsShown, relation: &Relation) -> bool {
    let event = |by: &EventColumn| matches!(by, EventColumn::Tagged(tag) if lacks(tag, relation));
    match shown {
        RowsShown::Where(predicate) => expr_needs(&predicate.expr, relation),
        RowsShown::Whose(Match { tag, .. }) => lacks(&tag.path, relation),
        RowsShown::Window(Window { by, .. }) => event(by),
        RowsShown::Share(Share { by, .. }) => by.as_ref().is_some_and(event),
        RowsShown::All | RowsShown::None | RowsShown::Purpose(_) | RowsShown::Through(_) => false,
    }
}

fn expr_needs(expr: &Expr, relation: &Relation) -> bool {
    match expr {
        Expr::Tagged(tag) => lacks(tag, relation),
        Expr::And(terms) | Expr::Or(terms) => terms.iter().any(|t| expr_needs(t, relation)),
        Expr::Not(one) => expr_needs(one, relation),
        Expr::In { value, .. } | Expr::Lookup { value, .. } => expr_needs(value, relation),
        Expr::Compare { left, right, .. } => expr_needs(left, relation) || expr_needs(right, relation),
        _ => false,
    }
}

fn event<'r>(by: &EventColumn, relation: &'r Relation) -> Option<&'r Column> {
    match by {
        EventColumn::Column(name) => found(&Expr::Column(name.clone()), relation),
        EventColumn::Tagged(tag) => found(&Expr::Tagged(tag.clone()), relation),
    }
}

pub(super) fn shown_compiles(shown: &RowsShown, relation: &Relation, catalog: &Catalog) -> bool {
    match shown {
        RowsShown::All | RowsShown::None | RowsShown::Purpose(_) => true,
        RowsShown::Where(predicate) => compiles(&predicate.expr, relation, catalog),
        RowsShown::Whose(Match { tag, .. }) => found(&Expr::Tagged(tag.path.clone()), relation).is_some(),
        RowsShown::Window(Window { by, .. }) => event(by, relation).is_some_and(|c| c.type_sql == "date"),
        // The generator says by which; a date's text would depend on a setting of the session.
        RowsShown::Share(Share { by, .. }) => {
            by.as_ref().and_then(|by| event(by, relation)).is_some_and(|c| c.type_sql != "date")
        }
        RowsShown::Through(way) => {
            parent(way, relation, catalog).is_some_and(|parent| shown_compiles(&way.shown, parent, catalog))
        }
    }
}

/// §4: the last parent on the way; none when a step is not a foreign key, or leads to what is not unique.
pub(super) fn parent<'c>(way: &Through, from: &'c Relation, catalog: &'c Catalog) -> Option<&'c Relation> {
    let mut at = from;
    for step in &way.hops {
        if step.table != at.name.name {
            return None;
        }
        let column = at.columns.iter().find(|c| c.name == step.column)?;
        let (next, key) = match &step.to {
            Some(to) => (&to.relation, &to.column),
            None => {
                let mine =
                    |k: &&ForeignKey| k.columns == [step.column.clone()] && k.parent_columns.len() == 1;
                let declared: Vec<&ForeignKey> = at.keys.foreign.iter().filter(mine).collect();
                let [one] = declared.as_slice() else {
                    return None;
                };
                (&one.parent, &one.parent_columns[0])
            }
        };
        let next = catalog.relations.get(next)?;
        let to = next.columns.iter().find(|c| c.name == *key)?;
        let unique = next.keys.unique.iter().any(|list| list.len() == 1 && list.contains(key));
        if next.row_security || !unique || kind(column) != kind(to) {
            return None;
        }
        at = next;
    }
    Some(at)
}

/// Types that compare.
fn kind(column: &Column) -> &str {
    if column.type_sql == "integer" { "numeric" } else { &column.type_sql }
}

/// Does a predicate of those `differential` makes compile on the table?
fn compiles(expr: &Expr, relation: &Relation, catalog: &Catalog) -> bool {
    match expr {
        Expr::Literal(Literal::Truth(_)) => true,
        Expr::And(terms) | Expr::Or(terms) => terms.iter().all(|t| compiles(t, relation, catalog)),
        Expr::Not(one) => compiles(one, relation, catalog),
        Expr::Lookup { value, table, column, condition, .. } => {
            let other = catalog.relations.get(table).filter(|other| !other.row_security);
            let (Some(other), Some(outer)) = (other, found(value, relation)) else {
                return false;
            };
            let inner = other.columns.iter().find(|c| c.name == *column);
            let fine = condition.as_ref().is_none_or(|inside| compiles(inside, other, catalog));
            fine && inner.is_some_and(|inner| kind(inner) == kind(outer))
        }
        Expr::In { value, items, .. } => {
            let literal = items.iter().any(|item| matches!(item, Expr::Literal(_)));
            found(value, relation).is_some_and(|c| !literal || is_text(c))
        }
        Expr::Compare { left, right, .. } => match right.as_ref() {
            Expr::Literal(Literal::Text(_)) => found(left, relation).is_some_and(is_text),
            // A bare number reads as text too.
            Expr::Literal(Literal::Number(_)) => {
                found(left, relation).is_some_and(|c| c.type_sql == "integer" || is_text(c))
            }
            other => panic!("not made by the generator: {other:?}"),
        },
        other => panic!("not made by the generator: {other:?}"),
    }
}

/// The one column that is meant.
pub(super) fn found<'r>(value: &Expr, relation: &'r Relation) -> Option<&'r Column> {
    let hits: Vec<&Column> = match value {
        Expr::Column(name) => relation.columns.iter().filter(|c| c.name == *name).collect(),
        Expr::Tagged(tag) => relation.columns.iter().filter(|c| has_tag(&c.tags, &tag.0)).collect(),
        other => panic!("not made by the generator: {other:?}"),
    };
    match hits.as_slice() {
        [one] => Some(one),
        _ => None,
    }
}
