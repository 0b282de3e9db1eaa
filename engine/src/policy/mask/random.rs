//! `randomized`: the value with a probability, else another one.
//!
//! Must never draw anew for the same row: what is drawn comes from a keyed hash of table, column and primary key, so that
//! repeating the question averages nothing away. Called by `mask::apply`.

use std::collections::BTreeSet;

use super::{Fitted, key};
use crate::catalog::{Column, Relation};
use crate::names;
use crate::policy::sqltext::{ident, literal as quote};
use crate::policy::types::SqlType;

/// Where in the seed the decision and the other value are read; seven bytes each.
const DECISION: u32 = 1;
const DRAW: u32 = 9;

pub(super) fn randomized(
    keep: &str,
    relation: &Relation,
    column: &Column,
    raw: &str,
    found: SqlType,
    keys: &mut BTreeSet<String>,
) -> Fitted {
    if keep.trim_start_matches('1').trim_matches(['.', '0']).is_empty() && keep.starts_with('1') {
        return Err("a probability of 1 hides nothing".to_owned());
    }
    let unit = |place: u32| format!("{}.mask_unit(s.seed, {place})", names::PRIVATE_SCHEMA);
    let other = other(raw, column, found, &unit(DRAW))?;
    let seed = seed(relation, column, keys)?;
    Ok(format!(
        "(SELECT CASE WHEN {raw} IS NULL OR {} < CAST({} AS double precision) THEN {raw} ELSE CAST({other} AS {}) END \
         FROM (SELECT {seed} AS seed OFFSET 0) AS s)",
        unit(DECISION),
        quote(keep),
        column.type_sql
    ))
}

/// The row's own: its primary key, each part with its length in front, and the column's name.
fn seed(relation: &Relation, column: &Column, keys: &mut BTreeSet<String>) -> Fitted {
    if relation.primary_key.is_empty() {
        return Err("it needs a primary key to draw by".to_owned());
    }
    let mut parts = vec![format!("pg_catalog.convert_to({}, 'UTF8')", quote(&format!("{}.", column.name)))];
    for name in &relation.primary_key {
        let found = relation.column(name).map(SqlType::of);
        let raw = format!("t.{}", ident(name));
        let bytes = found.and_then(|f| f.bytes(&raw)).ok_or_else(|| {
            format!("the primary key's '{name}' has no form that is the same under every setting")
        })?;
        parts.push(format!("pg_catalog.int4send(pg_catalog.length({bytes})) || {bytes}"));
    }
    let id = key::of_table("seed", &relation.name);
    let seed = key::hmac(&id, &format!("({})", parts.join(" || ")));
    keys.insert(id);
    Ok(seed)
}

/// Another value than `raw`; NULL where there is none. `unit` is in [0, 1).
fn other(raw: &str, column: &Column, found: SqlType, unit: &str) -> Fitted {
    let schema = names::PRIVATE_SCHEMA;
    let whole = |low: i64, high: i64| {
        format!(
            "{schema}.mask_noise(CAST({raw} AS numeric), 0, CAST({low} AS numeric), CAST({high} AS numeric), {unit})"
        )
    };
    Ok(match found {
        SqlType::Boolean => format!("NOT {raw}"),
        SqlType::SmallInt => whole(i16::MIN.into(), i16::MAX.into()),
        SqlType::Integer => whole(i32::MIN.into(), i32::MAX.into()),
        SqlType::BigInt => whole(i64::MIN, i64::MAX),
        SqlType::Numeric(None) => format!(
            "{schema}.mask_noise({raw}, LEAST(pg_catalog.scale({raw}), 6), CAST(NULL AS numeric), CAST(NULL AS numeric), {unit})"
        ),
        SqlType::Numeric(Some((precision, scale))) => {
            let (digits, places) =
                ("9".repeat(usize::from(precision - scale)), "9".repeat(usize::from(scale)));
            let most = format!(
                "{}{}",
                if digits.is_empty() { "0" } else { &digits },
                if places.is_empty() { String::new() } else { format!(".{places}") }
            );
            format!(
                "{schema}.mask_noise({raw}, {scale}, CAST(-{most} AS numeric), CAST({most} AS numeric), {unit})"
            )
        }
        SqlType::Real => format!(
            "{schema}.mask_noise(CAST({raw} AS double precision), CAST('1e38' AS double precision), {unit})"
        ),
        SqlType::Double => format!("{schema}.mask_noise({raw}, CAST('1e300' AS double precision), {unit})"),
        SqlType::Date | SqlType::Timestamp(_) => format!("{schema}.mask_noise({raw}, {unit})"),
        SqlType::TimestampTz(_) => {
            format!(
                "pg_catalog.timezone('UTC', {schema}.mask_noise(pg_catalog.timezone('UTC', {raw}), {unit}))"
            )
        }
        SqlType::TextLike if column.category == 'E' => {
            let others = format!("pg_catalog.array_remove(pg_catalog.enum_range({raw}), {raw})");
            format!(
                "({others})[1 + CAST(pg_catalog.floor({unit} * pg_catalog.cardinality({others})) AS integer)]"
            )
        }
        SqlType::Text
        | SqlType::Varchar(_)
        | SqlType::Char(_)
        | SqlType::TextLike
        | SqlType::Uuid
        | SqlType::Json
        | SqlType::Other => {
            return Err("it is for truth values, numbers, dates, timestamps and enums only".to_owned());
        }
    })
}
