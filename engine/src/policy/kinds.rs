//! The kinds of row rules as SQL over one table: predicates, matches, time windows, shares, and the way through foreign keys.
//!
//! Must never depend on a principal's values, on a setting of the session, or be able to fail on a value. Called by `rows` and
//! `check`.

use std::collections::{BTreeMap, BTreeSet};

use super::mask::key;
use super::model::{EventColumn, Hop, Match, RowsShown, Share, Through, Window, WindowSide};
use super::predicate::compile::{self, Ground, Read, Values, tagged_column};
use super::predicate::{Attribute, Expr, Holder, Polarity};
use super::sqltext::{ident, literal as quote};
use super::text::diagnostic::{Problem, did_you_mean};
use super::types::{Family, SqlType};
use crate::catalog::{Column, Relation, RelationName, TagPath};
use crate::limits;

/// What is shown, on one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// A boolean expression; only TRUE shows a row.
    pub(crate) sql: String,
    /// Keys of `session_attribute` that it reads.
    pub(crate) reads: BTreeMap<String, Read>,
    /// Ids in `mask_key`.
    pub(crate) keys: BTreeSet<String>,
}

impl Part {
    fn plain(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), reads: BTreeMap::new(), keys: BTreeSet::new() }
    }
}

type Compiled = Result<Part, Problem>;

/// Turns what is shown into SQL for one table. A purpose is the session's, not the row's: it compiles everywhere.
///
/// # Errors
/// Why it does not compile there.
pub(crate) fn compile(
    shown: &RowsShown,
    ground: &Ground<'_>,
    holder: Holder,
    values: &Values<'_>,
) -> Compiled {
    match shown {
        RowsShown::All | RowsShown::Purpose(_) => Ok(Part::plain("TRUE")),
        RowsShown::None => Ok(Part::plain("FALSE")),
        RowsShown::Where(one) => predicate(&one.expr, ground, values),
        RowsShown::Whose(Match { tag, values: named }) => {
            let items = vec![Expr::Attribute(Attribute { holder, name: named.clone() })];
            let value = Box::new(Expr::Tagged(tag.path.clone()));
            predicate(&Expr::In { value, items, polarity: Polarity::Plain }, ground, values)
        }
        RowsShown::Window(window) => self::window(window, ground),
        RowsShown::Share(share) => self::share(share, ground),
        RowsShown::Through(through) => self::through(through, ground, holder, values),
    }
}

fn predicate(expr: &Expr, ground: &Ground<'_>, values: &Values<'_>) -> Compiled {
    let compiled = compile::compile(expr, ground, values)?;
    Ok(Part { sql: compiled.sql, reads: compiled.reads, keys: BTreeSet::new() })
}

/// Does what is shown need a tag that no column of the table carries? What lies behind foreign keys does not count.
pub(crate) fn lacks_a_tag(shown: &RowsShown, relation: &Relation) -> bool {
    let lacks = |tag: &TagPath| !relation.columns.iter().any(|c| c.tags.iter().any(|t| t.is_under(tag)));
    let event = |by: &EventColumn| match by {
        EventColumn::Tagged(tag) => lacks(tag),
        EventColumn::Column(_) => false,
    };
    match shown {
        RowsShown::All | RowsShown::None | RowsShown::Purpose(_) | RowsShown::Through(_) => false,
        RowsShown::Where(one) => one.expr.own_nodes().any(|e| matches!(e, Expr::Tagged(tag) if lacks(tag))),
        RowsShown::Whose(Match { tag, .. }) => lacks(&tag.path),
        RowsShown::Window(window) => event(&window.by),
        RowsShown::Share(share) => share.by.as_ref().is_some_and(event),
    }
}

fn event_column<'r>(by: &EventColumn, relation: &'r Relation) -> Result<&'r Column, Problem> {
    let name = match by {
        EventColumn::Column(name) => name.as_str(),
        EventColumn::Tagged(tag) => tagged_column(relation, tag)?,
    };
    column(relation, name)
}

fn column<'r>(relation: &'r Relation, name: &str) -> Result<&'r Column, Problem> {
    relation.column(name).ok_or_else(|| {
        let problem = Problem::new(format!("'{}' has no column '{name}'", relation.name));
        match did_you_mean(name, relation.columns.iter().map(|c| c.name.as_str())) {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    })
}

/// The moment is counted in UTC, so that the session's TimeZone moves nothing. `now()` is the start of the transaction; it is
/// STABLE, so an index on the column can be used.
fn window(window: &Window, ground: &Ground<'_>) -> Compiled {
    let found = event_column(&window.by, ground.relation)?;
    let raw = format!("{}.{}", ground.alias, ident(&found.name));
    let moment = format!(
        "(pg_catalog.timezone('UTC', pg_catalog.now()) - INTERVAL '{} {}')",
        window.span.count,
        window.span.unit.word()
    );
    let (newer, older) = (">=", "<");
    let operator = match window.side {
        WindowSide::Newer => newer,
        WindowSide::Older => older,
    };
    Ok(Part::plain(match SqlType::of(found) {
        SqlType::TimestampTz(_) => format!("{raw} {operator} pg_catalog.timezone('UTC', {moment})"),
        SqlType::Timestamp(_) => format!("{raw} {operator} {moment}"),
        // A day counts when it lies on that side as a whole.
        SqlType::Date => {
            let operator = match window.side {
                WindowSide::Newer => ">",
                WindowSide::Older => "<",
            };
            format!("{raw} {operator} CAST({moment} AS date)")
        }
        _ => {
            let what =
                format!("'{}' of '{}' is neither a date nor a timestamp", found.name, ground.relation.name);
            return Err(Problem::new(what).hint("name the column that says when the event was"));
        }
    }))
}

/// Bytes of the digest that are compared.
const SHARE_BYTES: u32 = 7;

/// A row is shown when the keyed hash of its key lies below the share. Who does not know the key cannot tell which rows those are.
fn share(share: &Share, ground: &Ground<'_>) -> Compiled {
    let relation = ground.relation;
    let columns = match &share.by {
        Some(by) => vec![event_column(by, relation)?],
        None if relation.primary_key.is_empty() => {
            let problem = Problem::new(format!("'{}' has no primary key to choose rows by", relation.name));
            return Err(problem.hint("name a column, as in: only 10 % by customer_id"));
        }
        None => relation.primary_key.iter().map(|name| column(relation, name)).collect::<Result<_, _>>()?,
    };
    let texts = columns.iter().map(|c| text_of(c, ground)).collect::<Result<Vec<_>, _>>()?;
    // With its length in front of each, so that no two keys read alike.
    let whole = match texts.as_slice() {
        [one] => one.clone(),
        many => {
            let each =
                many.iter().map(|t| format!("CAST(pg_catalog.length({t}) AS pg_catalog.text) || ':' || {t}"));
            each.collect::<Vec<_>>().join(" || ")
        }
    };
    let key = key::of_table("rows", &relation.name);
    let digest = key::hmac(&key, &format!("pg_catalog.convert_to({whole}, 'UTF8')"));
    let bound = bound(&share.percent)
        .ok_or_else(|| Problem::new(format!("{} is not above 0 and below 100", share.percent)))?;
    let sql = format!(
        "pg_catalog.substring({digest}, 1, {SHARE_BYTES}) < CAST({} AS pg_catalog.bytea)",
        quote(&bound)
    );
    Ok(Part { sql, reads: BTreeMap::new(), keys: BTreeSet::from([key]) })
}

/// A share of all digests as the first digest above it.
fn bound(percent: &str) -> Option<String> {
    let (whole, fraction) = percent.split_once('.').unwrap_or((percent, ""));
    let digits = format!("{whole}{fraction:0<3}");
    let thousandths = digits.parse::<u128>().ok().filter(|n| (1..100_000).contains(n))?;
    let bound = (thousandths << (8 * SHARE_BYTES)) / 100_000;
    Some(format!("\\x{bound:014x}"))
}

/// A key's text, alike for equal keys and under every setting.
fn text_of(column: &Column, ground: &Ground<'_>) -> Result<String, Problem> {
    let raw = format!("{}.{}", ground.alias, ident(&column.name));
    match SqlType::of(column) {
        SqlType::Text | SqlType::Varchar(_) => Ok(raw),
        SqlType::SmallInt
        | SqlType::Integer
        | SqlType::BigInt
        | SqlType::Uuid
        | SqlType::Char(_)
        | SqlType::TextLike => Ok(format!("CAST({raw} AS pg_catalog.text)")),
        SqlType::Numeric(_) => Ok(format!("CAST(pg_catalog.trim_scale({raw}) AS pg_catalog.text)")),
        SqlType::Boolean
        | SqlType::Real
        | SqlType::Double
        | SqlType::Date
        | SqlType::Timestamp(_)
        | SqlType::TimestampTz(_)
        | SqlType::Json
        | SqlType::Other => {
            let what = format!("rows cannot be chosen by '{}' ({})", column.name, column.type_sql);
            Err(Problem::new(what).hint("name a column of whole numbers, texts or uuids"))
        }
    }
}

/// One hop is one EXISTS: it is TRUE or FALSE, and a row without a parent is hidden.
fn through(through: &Through, ground: &Ground<'_>, holder: Holder, values: &Values<'_>) -> Compiled {
    if through.hops.is_empty() || through.hops.len() > limits::POLICY_HOPS_MAX {
        return Err(Problem::new(format!(
            "a policy goes through 1 to {} foreign keys",
            limits::POLICY_HOPS_MAX
        )));
    }
    let mut relation = ground.relation;
    let mut alias = ground.alias.to_owned();
    let mut open = String::new();
    for (number, hop) in (1..).zip(&through.hops) {
        let (from, parent, to) = self::hop(hop, relation, ground)?;
        let next = format!("p{number}");
        let target = format!("{}.{}", ident(&parent.name.schema), ident(&parent.name.name));
        open.push_str(&format!(
            "EXISTS (SELECT 1 FROM {target} AS {next} WHERE {next}.{} = {alias}.{} AND ",
            ident(&to.name),
            ident(&from.name)
        ));
        relation = parent;
        alias = next;
    }
    let last = Ground { relation, alias: &alias, ..*ground };
    let inner = compile(&through.shown, &last, holder, values)?;
    let sql = format!("{open}({}){}", inner.sql, ")".repeat(through.hops.len()));
    Ok(Part { sql, ..inner })
}

type Found<'a> = Result<(&'a Column, &'a Relation, &'a Column), Problem>;

/// The column a hop starts from, the parent, and the parent's column; verified from the catalog.
fn hop<'a>(hop: &Hop, child: &'a Relation, ground: &Ground<'a>) -> Found<'a> {
    if hop.table != child.name.name {
        let what =
            format!("this foreign key starts from '{}', and the way is at '{}'", hop.table, child.name);
        return Err(
            Problem::new(what).hint("the first is one of the table's own, the next one of its parent")
        );
    }
    let from = column(child, &hop.column)?;
    let (parent, to) = match &hop.to {
        Some(target) => (&target.relation, target.column.as_str()),
        None => declared(hop, child)?,
    };
    let Some(parent) = ground.catalog.relations.get(parent) else {
        return Err(Problem::new(format!("the warehouse has no table '{parent}'")));
    };
    if parent.row_security {
        return Err(Problem::new(format!("'{}' has row security of its own", parent.name)));
    }
    let to = column(parent, to)?;
    if !parent.is_unique(&to.name) {
        let what = format!("nothing makes '{}' of '{}' unique", to.name, parent.name);
        return Err(Problem::new(what)
            .hint("a row must have one parent: make a unique index, or name another column"));
    }
    let (one, other) = (SqlType::of(from).family(), SqlType::of(to).family());
    if one == Family::None || one != other {
        let what = format!(
            "'{}' of '{}' and '{}' of '{}' do not compare",
            from.name, child.name, to.name, parent.name
        );
        return Err(Problem::new(what));
    }
    Ok((from, parent, to))
}

fn declared<'a>(hop: &Hop, child: &'a Relation) -> Result<(&'a RelationName, &'a str), Problem> {
    let mut found = child.keys.foreign.iter().filter_map(|key| {
        match (key.columns.as_slice(), key.parent_columns.as_slice()) {
            ([from], [to]) if *from == hop.column => Some((&key.parent, to.as_str())),
            _ => None,
        }
    });
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => {
            let what = format!("'{}' of '{}' is no foreign key of its own", hop.column, child.name);
            Err(Problem::new(what)
                .hint("say where it leads, as in: through orders.customer_id to public.customers.id"))
        }
        (Some(_), Some(_)) => {
            let what = format!("'{}' of '{}' is more than one foreign key", hop.column, child.name);
            Err(Problem::new(what)
                .hint("say which, as in: through orders.customer_id to public.customers.id"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_bound_on_digests() {
        assert_eq!(bound("50").as_deref(), Some("\\x80000000000000"));
        assert_eq!(bound("0.001").as_deref(), Some("\\x0000a7c5ac471b"));
        for none in ["0", "0.000", "100", "x", ""] {
            assert_eq!(bound(none), None, "{none}");
        }
    }
}
