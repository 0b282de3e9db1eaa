//! Masks as SQL over `t."column"`, keeping type and typmod (policy.md §5).
//!
//! Must never put a key or the raw value's text into SQL, nor depend on a setting of the session. A mask that does not fit the
//! column's type is `null`, with the reason. Called by the judge and `check`.

use std::collections::BTreeSet;

use super::model::{Mask, Nulls, Unit};
use super::predicate::Literal;
use super::sqltext::{ident, literal as quote};
use super::types::SqlType;
use crate::catalog::{Column, RelationName};
use crate::names;

/// A mask on one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applied {
    /// What is in force: the policy's mask, or `null` where that one does not fit.
    pub(crate) mask: Mask,
    /// The value's expression; absent for `deny`.
    pub(crate) sql: Option<String>,
    /// Ids in `mask_key`.
    pub(crate) keys: BTreeSet<String>,
    /// Why the policy's mask does not fit.
    pub(crate) fallback: Option<String>,
}

/// Strictness of policy.md §5, stricter is more.
pub(crate) fn rank(mask: &Mask) -> u8 {
    match mask {
        Mask::Deny => 12,
        Mask::Null => 11,
        Mask::Constant { .. } => 10,
        Mask::KAnonymous { .. } => 9,
        Mask::Randomized { .. } => 8,
        Mask::Bucket(_) | Mask::Unit(_) => 7,
        Mask::Hash { .. } => 6,
        Mask::Token => 5,
        Mask::Reversible { .. } | Mask::Fpe { .. } => 4,
        Mask::Partial { .. } | Mask::Regex { .. } | Mask::Redact { .. } => 3,
        Mask::Custom { .. } => 2,
    }
}

/// Which of two masks, both wanted, shows less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stricter {
    /// The one, or both alike.
    First,
    /// The other.
    Second,
    /// Of one kind, and neither surely shows less than the other: `null` does.
    Neither,
}

/// Compares two masks.
pub(crate) fn stricter(first: &Mask, second: &Mask) -> Stricter {
    let either = |first_is: bool| {
        if first_is { Stricter::First } else { Stricter::Second }
    };
    if rank(first) != rank(second) {
        return either(rank(first) > rank(second));
    }
    if first == second {
        return Stricter::First;
    }
    match (first, second) {
        (Mask::Constant { nulls, .. }, Mask::Constant { .. }) => either(*nulls == Nulls::Hidden),
        (Mask::Hash { joinable: None }, Mask::Hash { .. }) => Stricter::First,
        (Mask::Hash { .. }, Mask::Hash { joinable: None }) => Stricter::Second,
        // Weeks do not end with months; the other units nest.
        (Mask::Unit(a), Mask::Unit(b)) if nests(*a, *b) => either(a > b),
        // Bucket and unit, two buckets, two keys, two patterns: not known to nest.
        _ => Stricter::Neither,
    }
}

fn nests(a: Unit, b: Unit) -> bool {
    a == b || a.min(b) != Unit::Week
}

/// Fits a mask to a column.
pub(crate) fn apply(mask: &Mask, relation: &RelationName, column: &Column) -> Applied {
    let found = SqlType::of(column);
    let target = &column.type_sql;
    let raw = format!("t.{}", ident(&column.name));
    let mut keys = BTreeSet::new();
    let fitted = match mask {
        Mask::Deny => {
            return Applied { mask: Mask::Deny, sql: None, keys, fallback: None };
        }
        Mask::Null => Ok("NULL".to_owned()),
        Mask::Constant { value, nulls } => constant(value, *nulls, &raw, found, target),
        Mask::Hash { joinable } => hash(joinable.as_deref(), relation, &raw, found, &mut keys),
        Mask::Partial { first, last, fill } => partial(*first, *last, *fill, &raw, found),
        Mask::Regex { pattern, replacement, flags } => text_of(&raw, found).map(|text| {
            format!(
                "pg_catalog.regexp_replace({text}, {}, {}, {})",
                quote(pattern),
                quote(replacement),
                quote(flags)
            )
        }),
        Mask::Bucket(bucket) => bucketed(bucket, &raw, found),
        Mask::Unit(unit) => truncated(*unit, &raw, found),
        Mask::Reversible { .. }
        | Mask::Fpe { .. }
        | Mask::Randomized { .. }
        | Mask::KAnonymous { .. }
        | Mask::Token
        | Mask::Redact { .. }
        | Mask::Custom { .. } => Err("it is not put into force yet".to_owned()),
    };
    let (mask, sql, fallback) = match fitted {
        Ok(sql) => (mask.clone(), sql, None),
        Err(reason) => (Mask::Null, "NULL".to_owned(), Some(reason)),
    };
    Applied { mask, sql: Some(format!("CAST({sql} AS {target})")), keys, fallback }
}

/// SQL, or why it does not fit.
type Fitted = Result<String, String>;

fn text_of(raw: &str, found: SqlType) -> Fitted {
    match found {
        SqlType::Text | SqlType::Varchar(_) => Ok(raw.to_owned()),
        SqlType::Char(_) => Ok(format!("CAST({raw} AS pg_catalog.text)")),
        _ => Err("it is for text only".to_owned()),
    }
}

fn constant(value: &Literal, nulls: Nulls, raw: &str, found: SqlType, target: &str) -> Fitted {
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

/// Hexadecimal digits of SHA-256.
const HASH_CHARS: u32 = 64;
/// Fewer would let values collide.
const HASH_CHARS_MIN: u32 = 32;

/// HMAC (RFC 2104) from two pads that only the view's owner can read; EXPLAIN shows them as parameters.
fn hash(
    joinable: Option<&str>,
    relation: &RelationName,
    raw: &str,
    found: SqlType,
    keys: &mut BTreeSet<String>,
) -> Fitted {
    let text = text_of(raw, found)?;
    let length = match found {
        SqlType::Varchar(Some(n)) | SqlType::Char(Some(n)) => n.min(HASH_CHARS),
        _ => HASH_CHARS,
    };
    if length < HASH_CHARS_MIN {
        return Err(format!("a hash has at least {HASH_CHARS_MIN} characters, the column holds {length}"));
    }
    let key = match joinable {
        Some(group) => format!("group:{group}"),
        None => format!("table:{relation}"),
    };
    let pad = |which: &str| {
        format!(
            "(SELECT k.{which} FROM {}.{} AS k WHERE k.id = {})",
            names::PRIVATE_SCHEMA,
            names::MASK_KEY_TABLE,
            quote(&key)
        )
    };
    let inner = format!("pg_catalog.sha256({} || pg_catalog.convert_to({text}, 'UTF8'))", pad("inner_pad"));
    let digest = format!("pg_catalog.encode(pg_catalog.sha256({} || {inner}), 'hex')", pad("outer_pad"));
    keys.insert(key);
    Ok(if length < HASH_CHARS { format!("pg_catalog.left({digest}, {length})") } else { digest })
}

fn partial(first: u32, last: u32, fill: char, raw: &str, found: SqlType) -> Fitted {
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

fn bucketed(bucket: &str, raw: &str, found: SqlType) -> Fitted {
    let fine = || format!("a bucket of {bucket} hides nothing in this column");
    let (whole, fraction) = parts(bucket).ok_or_else(fine)?;
    let floor = |low: &str| {
        format!(
            "CASE WHEN {raw} IS NULL THEN NULL \
             ELSE GREATEST(pg_catalog.floor(CAST({raw} AS numeric) / {bucket}) * {bucket}, {low}) END"
        )
    };
    // Buckets start at multiples, and the lowest one may start below what the type holds.
    let integer = |low: &str| {
        if fraction.is_empty() && whole != "1" { Ok(floor(low)) } else { Err(fine()) }
    };
    match found {
        SqlType::SmallInt => integer("-32768"),
        SqlType::Integer => integer("-2147483648"),
        SqlType::BigInt => integer("-9223372036854775808"),
        SqlType::Numeric(None) => Ok(format!("pg_catalog.floor({raw} / {bucket}) * {bucket}")),
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
            Ok(format!(
                "CASE WHEN {raw} IS NULL THEN NULL \
                 ELSE GREATEST(pg_catalog.floor({value} / {bucket}) * {bucket}, {}) END",
                double(low)
            ))
        }
        _ => Err("it is for numbers only".to_owned()),
    }
}

fn truncated(unit: Unit, raw: &str, found: SqlType) -> Fitted {
    let word = quote(unit.word());
    let fine = || format!("'{}' hides nothing in this column", unit.word());
    match found {
        SqlType::Date if unit <= Unit::Day => Err(fine()),
        SqlType::Date => {
            Ok(format!("pg_catalog.date_trunc({word}, CAST({raw} AS timestamp without time zone))"))
        }
        SqlType::Timestamp(Some(0)) | SqlType::TimestampTz(Some(0)) if unit == Unit::Second => Err(fine()),
        SqlType::Timestamp(_) => Ok(format!("pg_catalog.date_trunc({word}, {raw})")),
        // With the zone written out: the session's TimeZone would let it move the cuts.
        SqlType::TimestampTz(_) => Ok(format!("pg_catalog.date_trunc({word}, {raw}, 'UTC')")),
        _ => Err("it is for dates and timestamps only".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(type_sql: &str, category: char, mask: &Mask) -> (String, bool) {
        let column = Column {
            name: "c\"x".into(),
            number: 1,
            type_oid: 0,
            type_sql: type_sql.into(),
            category,
            not_null: false,
            tags: BTreeSet::new(),
        };
        let applied = apply(mask, &RelationName::new("public", "o'rders"), &column);
        (applied.sql.unwrap_or_default(), applied.fallback.is_some())
    }

    #[test]
    fn masks_keep_the_type_and_quote_everything() {
        assert_eq!(
            on("character varying(40)", 'S', &Mask::Null),
            ("CAST(NULL AS character varying(40))".into(), false)
        );
        let constant = Mask::Constant { value: Literal::Text("it's".into()), nulls: Nulls::Kept };
        assert_eq!(
            on("text", 'S', &constant).0,
            "CAST(CASE WHEN t.\"c\"\"x\" IS NULL THEN NULL ELSE CAST('it''s' AS text) END AS text)"
        );
        let (hash, _) = on("character varying(40)", 'S', &Mask::Hash { joinable: None });
        assert!(hash.starts_with("CAST(pg_catalog.left(pg_catalog.encode("));
        assert!(hash.contains("k.id = 'table:public.o''rders'"));
        let (zone, _) = on("timestamp with time zone", 'D', &Mask::Unit(Unit::Day));
        assert!(zone.contains("'UTC'"));
    }

    #[test]
    fn what_does_not_fit_is_null() {
        let text = |t: &str| Mask::Constant { value: Literal::Text(t.into()), nulls: Nulls::Hidden };
        let bucket = |b: &str| Mask::Bucket(b.into());
        let hash = || Mask::Hash { joinable: None };
        for (type_sql, category, mask) in [
            ("character varying(3)", 'S', text("REDACTED")),
            ("integer", 'N', text("x")),
            ("public.email", 'S', text("x")),
            ("money", 'N', text("1")),
            ("integer", 'N', hash()),
            ("character varying(31)", 'S', hash()),
            ("character", 'S', hash()),
            ("text[]", 'A', hash()),
            ("integer", 'N', bucket("0.5")),
            ("integer", 'N', bucket("1")),
            ("integer", 'N', bucket("1.50")),
            ("numeric(12,2)", 'N', bucket("0.01")),
            ("numeric(12,2)", 'N', bucket("0.001")),
            ("numeric(12,0)", 'N', bucket("1.0")),
            ("text", 'S', bucket("10")),
            ("real", 'N', bucket(&"9".repeat(200))),
            ("double precision", 'N', bucket("0.0000000000001")),
            ("date", 'D', Mask::Unit(Unit::Day)),
            ("date", 'D', Mask::Unit(Unit::Hour)),
            ("timestamp(0) without time zone", 'D', Mask::Unit(Unit::Second)),
            ("time without time zone", 'D', Mask::Unit(Unit::Hour)),
            ("bigint", 'N', Mask::Partial { first: 1, last: 1, fill: '*' }),
        ] {
            let (sql, fell) = on(type_sql, category, &mask);
            assert_eq!(sql, format!("CAST(NULL AS {type_sql})"), "{mask:?}");
            assert!(fell, "{type_sql} {mask:?}");
        }
        for (type_sql, mask) in [
            ("numeric(12,2)", bucket("0.05")),
            ("numeric(12,2)", bucket("10")),
            ("numeric(2,2)", bucket("0.1")),
            ("bigint", bucket("1000")),
            ("double precision", bucket("0.001")),
        ] {
            assert!(!on(type_sql, 'N', &mask).1, "{type_sql} {mask:?}");
        }
    }

    #[test]
    fn strictness_is_an_order_and_never_guesses() {
        let order = [
            Mask::Deny,
            Mask::Null,
            Mask::Constant { value: Literal::Number("1".into()), nulls: Nulls::Kept },
            Mask::Unit(Unit::Day),
            Mask::Hash { joinable: None },
            Mask::Regex { pattern: "a".into(), replacement: String::new(), flags: String::new() },
        ];
        for (n, one) in order.iter().enumerate() {
            for (m, other) in order.iter().enumerate() {
                let expected = if n <= m { Stricter::First } else { Stricter::Second };
                assert_eq!(stricter(one, other), expected, "{one:?} {other:?}");
            }
        }
        let bucket = |b: &str| Mask::Bucket(b.into());
        assert_eq!(stricter(&bucket("10"), &bucket("15")), Stricter::Neither);
        let unit = Mask::Unit;
        assert_eq!(stricter(&unit(Unit::Year), &unit(Unit::Day)), Stricter::First);
        assert_eq!(stricter(&unit(Unit::Day), &unit(Unit::Week)), Stricter::Second);
        assert_eq!(stricter(&unit(Unit::Week), &unit(Unit::Month)), Stricter::Neither);
        assert_eq!(stricter(&unit(Unit::Week), &bucket("1")), Stricter::Neither);
    }
}
