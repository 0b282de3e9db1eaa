//! Masks that need no key: constants, ends, patterns, buckets, and what is found in free text.
//!
//! Must never fail on a value, nor depend on a setting of the session. Called by `mask::apply`.

use super::{Fitted, pattern, text_of};
use crate::catalog::Column;
use crate::names;
use crate::policy::model::{Nulls, Unit};
use crate::policy::predicate::Literal;
use crate::policy::sqltext::literal as quote;
use crate::policy::types::SqlType;

pub(super) fn constant(value: &Literal, nulls: Nulls, raw: &str, found: SqlType, target: &str) -> Fitted {
    let text = match value {
        Literal::Text(text) | Literal::Number(text) => text.clone(),
        Literal::Truth(truth) => truth.to_string(),
    };
    if !found.holds(&text) {
        return Err(format!("{} does not fit {target}", quote(&text)));
    }
    let cast = format!("CAST({} AS {target})", quote(&text));
    Ok(match nulls {
        Nulls::Hidden => cast,
        Nulls::Kept => format!("CASE WHEN {raw} IS NULL THEN NULL ELSE {cast} END"),
    })
}

pub(super) fn partial(first: u32, last: u32, fill: char, raw: &str, found: SqlType) -> Fitted {
    let text = text_of(raw, found)?;
    let fill = quote(&fill.to_string());
    let ends = first + last;
    let length = format!("pg_catalog.length({text})");
    Ok(format!(
        "CASE WHEN {length} > {ends} THEN pg_catalog.left({text}, {first}) || pg_catalog.repeat({fill}, {length} - {ends}) \
         || pg_catalog.right({text}, {last}) ELSE pg_catalog.repeat({fill}, {length}) END"
    ))
}

/// Whole and fractional digits of a bucket without needless zeros; `None` for zero.
fn parts(bucket: &str) -> Option<(&str, &str)> {
    let (whole, fraction) = bucket.split_once('.').unwrap_or((bucket, ""));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    (!whole.is_empty() || !fraction.is_empty()).then_some((whole, fraction))
}

pub(super) fn bucketed(bucket: &str, raw: &str, found: SqlType) -> Fitted {
    let fine = || format!("a bucket of {bucket} hides nothing in this column");
    let (whole, fraction) = parts(bucket).ok_or_else(fine)?;
    // Not by "/", which rounds a long quotient, up at times.
    let multiple = || {
        let value = format!("CAST({raw} AS numeric)");
        format!(
            "(pg_catalog.div({value}, {bucket}) - CASE WHEN pg_catalog.mod({value}, {bucket}) < 0 THEN 1 ELSE 0 END) * {bucket}"
        )
    };
    let floor =
        |low: &str| format!("CASE WHEN {raw} IS NULL THEN NULL ELSE GREATEST({}, {low}) END", multiple());
    // Buckets start at multiples, and the lowest one may start below what the type holds.
    let integer = |low: &str| {
        if fraction.is_empty() && whole != "1" { Ok(floor(low)) } else { Err(fine()) }
    };
    match found {
        SqlType::SmallInt => integer("-32768"),
        SqlType::Integer => integer("-2147483648"),
        SqlType::BigInt => integer("-9223372036854775808"),
        SqlType::Numeric(None) => Ok(multiple()),
        SqlType::Numeric(Some((precision, scale))) => {
            // Multiples of 10^-scale are what the column holds anyway.
            let places = usize::from(scale);
            let finest = format!("{}1", "0".repeat(places.saturating_sub(1)));
            let too_fine = if places == 0 {
                !(fraction.is_empty() && whole != "1")
            } else {
                whole.is_empty() && fraction == finest
            };
            if fraction.len() > places || too_fine {
                return Err(fine());
            }
            let digits = usize::from(precision - scale);
            let low = match (digits, places) {
                (0, _) => format!("-0.{}", "9".repeat(places)),
                (_, 0) => format!("-{}", "9".repeat(digits)),
                _ => format!("-{}.{}", "9".repeat(digits), "9".repeat(places)),
            };
            Ok(floor(&low))
        }
        SqlType::Real | SqlType::Double => {
            // Outside of this a quotient or a multiple could leave the type's range.
            if !bucket.parse::<f64>().is_ok_and(|b| (1e-9..=1e30).contains(&b)) {
                return Err(format!("a bucket of {bucket} is out of range for this column"));
            }
            let double = |sql: &str| format!("CAST({sql} AS double precision)");
            let low = if found == SqlType::Real { "'-3.4028234e38'" } else { "'-1.7976931348623157e308'" };
            let (value, bucket) = (double(raw), double(bucket));
            // A quotient below the smallest number or above the largest would be an error. From 1e299 on, neighbours lie further
            // apart than any bucket.
            Ok(format!(
                "CASE WHEN {raw} IS NULL THEN NULL WHEN pg_catalog.abs({value}) > 1e299 THEN {value} \
                 WHEN {value} >= 0 AND {value} < {bucket} THEN 0 WHEN {value} < 0 AND {value} >= - {bucket} THEN - {bucket} \
                 ELSE GREATEST(pg_catalog.floor({value} / {bucket}) * {bucket}, {}) END",
                double(low)
            ))
        }
        _ => Err("it is for numbers only".to_owned()),
    }
}

pub(super) fn truncated(unit: Unit, raw: &str, found: SqlType) -> Fitted {
    let word = quote(unit.word());
    let fine = || format!("'{}' hides nothing in this column", unit.word());
    let typed = |text: &str, name: &str| format!("CAST({} AS {name})", quote(text));
    match found {
        SqlType::Date if unit <= Unit::Day => Err(fine()),
        // Near the ends of what a type holds, the start of a unit, or the timestamp of a date, is out of its range.
        SqlType::Date => Ok(format!(
            "CASE WHEN {raw} BETWEEN {} AND {} \
             THEN pg_catalog.date_trunc({word}, CAST({raw} AS timestamp without time zone)) END",
            typed("4000-01-01 BC", "date"),
            typed("290000-01-01", "date")
        )),
        SqlType::Timestamp(Some(0)) | SqlType::TimestampTz(Some(0)) if unit == Unit::Second => Err(fine()),
        SqlType::Timestamp(_) => Ok(format!(
            "CASE WHEN {raw} >= {} THEN pg_catalog.date_trunc({word}, {raw}) END",
            typed("4000-01-01 BC", "timestamp without time zone")
        )),
        // With the zone written out: the session's TimeZone would let it move the cuts.
        SqlType::TimestampTz(_) => Ok(format!(
            "CASE WHEN {raw} >= {} THEN pg_catalog.date_trunc({word}, {raw}, 'UTC') END",
            typed("4000-01-01 00:00:00+00 BC", "timestamp with time zone")
        )),
        _ => Err("it is for dates and timestamps only".to_owned()),
    }
}

pub(super) fn regex(text: &str, replacement: &str, flags: &str, raw: &str, found: SqlType) -> Fitted {
    let value = text_of(raw, found)?;
    pattern::check(text, flags)?;
    Ok(format!(
        "pg_catalog.regexp_replace({value}, {}, {}, {})",
        quote(text),
        quote(replacement),
        quote(flags)
    ))
}

/// What is found becomes its name in brackets, which may be longer: cut to the column's length.
pub(super) fn redact(words: &[&str], raw: &str, found: SqlType, column: &Column) -> Fitted {
    let entities: Vec<String> = words.iter().map(|w| quote(w)).collect();
    let entities = format!("CAST(ARRAY[{}] AS pg_catalog.text[])", entities.join(", "));
    let schema = names::PRIVATE_SCHEMA;
    let redacted = |text: &str| format!("{schema}.mask_redact({text}, {entities})");
    if found == SqlType::Json {
        let binary = match column.type_sql.as_str() {
            "jsonb" => raw.to_owned(),
            _ => format!("{schema}.mask_json_binary({raw})"),
        };
        let text = redacted(&format!("{schema}.mask_json_opened({binary})"));
        return Ok(format!("{schema}.mask_json_closed({text})"));
    }
    let text = redacted(&text_of(raw, found).map_err(|_| "it is for text and json only".to_owned())?);
    Ok(match found.length() {
        Some(length) => format!("pg_catalog.left({text}, {length})"),
        None => text,
    })
}
