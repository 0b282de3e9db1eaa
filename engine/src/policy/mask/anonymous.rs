//! `k_anonymous`: what a map in the warehouse says about the row's combination of values.
//!
//! Must never show a combination that the map does not know. The map is made beforehand (`lanyard generalise`) from what
//! [`Generalisation`] says. Called by `mask::apply` and, for the maps, by the command.

use super::{Fitted, key, plain};
use crate::catalog::{Column, Relation, RelationName};
use crate::names;
use crate::policy::model::Unit;
use crate::policy::sqltext::{ident, literal as quote};
use crate::policy::types::SqlType;

/// A map to make: which combinations of values become which, so that every visible one has at least `k` rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generalisation {
    /// Its id in `lanyard.generalisation`: table, columns with their types, `k`.
    pub id: String,
    /// The table.
    pub relation: RelationName,
    /// Its OID when the catalog was read.
    pub oid: u32,
    /// Least rows.
    pub k: u32,
    /// A bytea over `t`: equal for rows of equal values.
    pub combination: String,
    /// In order of name.
    pub columns: Vec<Generalised>,
}

/// A column of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generalised {
    /// Its name.
    pub name: String,
    /// Text over `t`, from the value itself to the coarsest form. Coarser still is NULL.
    pub levels: Vec<String>,
}

/// What has to be mapped for a table.
///
/// # Errors
/// Why these columns of this table cannot be.
pub(crate) fn plan(relation: &Relation, columns: &[String], k: u32) -> Result<Generalisation, String> {
    let mut found: Vec<(&Column, SqlType)> = Vec::new();
    for name in columns {
        let column =
            relation.column(name).ok_or_else(|| format!("'{}' has no column '{name}'", relation.name))?;
        found.push((column, SqlType::of(column)));
    }
    found.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    found.dedup_by(|a, b| a.0.name == b.0.name);
    let mut combination = Vec::new();
    let mut generalised = Vec::new();
    for (column, kind) in &found {
        let raw = format!("t.{}", ident(&column.name));
        // A domain may refuse NULL, and what is coarser.
        let own = *kind == SqlType::TextLike && column.category != 'E';
        let bytes = kind.bytes(&raw).filter(|_| !own).ok_or_else(|| {
            format!("values of '{}' ({}) cannot be generalised", column.name, column.type_sql)
        })?;
        combination.push(format!(
            "COALESCE(pg_catalog.int4send(pg_catalog.length({bytes})) || {bytes}, CAST('\\xffffffff' AS bytea))"
        ));
        generalised.push(Generalised { name: column.name.clone(), levels: levels(*kind, &raw) });
    }
    let list: Vec<String> =
        found.iter().map(|(c, _)| format!("{} {}", key::part(&c.name), c.type_sql)).collect();
    Ok(Generalisation {
        id: format!("{}({})/{k}", key::table(&relation.name), list.join(",")),
        relation: relation.name.clone(),
        oid: relation.oid,
        k,
        combination: format!("pg_catalog.sha256({})", combination.join(" || ")),
        columns: generalised,
    })
}

/// The value's text, then coarser and coarser. Made and read with ISO dates; a text of each reads as the column's type.
fn levels(kind: SqlType, raw: &str) -> Vec<String> {
    let text = |sql: String| format!("CAST({sql} AS pg_catalog.text)");
    let mut levels = vec![text(raw.to_owned())];
    let buckets = ["5", "10", "20", "50", "100", "1000", "10000", "100000", "1000000"];
    let units = [Unit::Day, Unit::Week, Unit::Month, Unit::Quarter, Unit::Year, Unit::Decade, Unit::Century];
    match kind {
        SqlType::SmallInt
        | SqlType::Integer
        | SqlType::BigInt
        | SqlType::Numeric(_)
        | SqlType::Real
        | SqlType::Double => {
            levels.extend(buckets.iter().filter_map(|b| plain::bucketed(b, raw, kind).ok()).map(text));
        }
        SqlType::Date | SqlType::Timestamp(_) | SqlType::TimestampTz(_) => {
            levels.extend(units.iter().filter_map(|u| plain::truncated(*u, raw, kind).ok()).map(text));
        }
        SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) => {
            let whole = levels[0].clone();
            levels.extend([8, 5, 4, 3, 2, 1].map(|n| format!("pg_catalog.left({whole}, {n})")));
        }
        // Nothing lies between the value and no value.
        SqlType::Boolean | SqlType::Uuid | SqlType::TextLike | SqlType::Json | SqlType::Other => {}
    }
    levels
}

pub(super) fn k_anonymous(columns: &[String], k: u32, relation: &Relation, column: &Column) -> Fitted {
    let map = plan(relation, columns, k)?;
    let place = map
        .columns
        .iter()
        .position(|c| c.name == column.name)
        .ok_or_else(|| "the column is not one of those it makes alike".to_owned())?;
    let (schema, id) = (names::PRIVATE_SCHEMA, quote(&map.id));
    let (head, map_rows) = (names::GENERALISATION_TABLE, names::GENERALISED_TABLE);
    Ok(format!(
        "(SELECT g.shown[{}] FROM {schema}.{map_rows} AS g WHERE g.id = {id} \
         AND g.version = (SELECT m.version FROM {schema}.{head} AS m WHERE m.id = {id}) \
         AND g.combination = {})",
        place + 1,
        map.combination
    ))
}
