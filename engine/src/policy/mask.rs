//! Masks as SQL over `t."column"`, keeping type and typmod (policy.md §5).
//!
//! Must never put a key or the raw value's text into SQL, nor depend on a setting of the session. A mask that does not fit the
//! column's type is `null`, with the reason. Called by the judge and `check`.

pub(crate) mod anonymous;
mod cipher;
pub(crate) mod key;
mod pattern;
mod plain;
mod random;

use std::collections::BTreeSet;

use super::model::{Mask, Nulls, Unit};
use super::predicate::Formula;
use super::predicate::compile::formula;
use super::sqltext::ident;
use super::types::SqlType;
use crate::catalog::{Column, Relation};

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
pub(crate) fn apply(mask: &Mask, relation: &Relation, column: &Column) -> Applied {
    let found = SqlType::of(column);
    let target = &column.type_sql;
    let raw = format!("t.{}", ident(&column.name));
    let mut keys = BTreeSet::new();
    let fitted = match mask {
        Mask::Deny => {
            return Applied { mask: Mask::Deny, sql: None, keys, fallback: None };
        }
        Mask::Null => Ok(null(&raw, target)),
        Mask::Constant { value, nulls } => plain::constant(value, *nulls, &raw, found, target),
        Mask::Hash { joinable } => cipher::hash(joinable.as_deref(), &relation.name, &raw, found, &mut keys),
        Mask::Partial { first, last, fill } => plain::partial(*first, *last, *fill, &raw, found),
        Mask::Regex { pattern, replacement, flags } => plain::regex(pattern, replacement, flags, &raw, found),
        Mask::Bucket(bucket) => plain::bucketed(bucket, &raw, found),
        Mask::Unit(unit) => plain::truncated(*unit, &raw, found),
        Mask::Reversible { key } => cipher::reversible(key, &raw, found, &mut keys),
        Mask::Fpe { alphabet } => cipher::fpe(alphabet, &relation.name, &column.name, &raw, found, &mut keys),
        Mask::Randomized { keep } => random::randomized(keep, relation, column, &raw, found, &mut keys),
        Mask::KAnonymous { columns, k } => anonymous::k_anonymous(columns, *k, relation, column),
        Mask::Token => cipher::token(&raw, found, &mut keys),
        Mask::Redact { entities } => {
            let words: Vec<&str> = entities.iter().map(|e| e.word()).collect();
            plain::redact(&words, &raw, found, column)
        }
        Mask::Custom { value } => custom(value, relation, column, &raw, found),
    };
    let (mask, sql, fallback) = match fitted {
        Ok(sql) => (mask.clone(), sql, None),
        Err(reason) => {
            keys.clear();
            (Mask::Null, null(&raw, target), Some(reason))
        }
    };
    Applied { mask, sql: Some(format!("CAST({sql} AS {target})")), keys, fallback }
}

/// Does a mask show each subject something else, so that the session must say whose it is?
pub(crate) fn asks_for_the_subject(mask: &Mask) -> bool {
    matches!(mask, Mask::Token)
}

/// NULL of the column's type. A type of somebody's own may be a domain that refuses NULL when it is cast, not when no row has a
/// value.
fn null(raw: &str, target: &str) -> String {
    if target.contains('.') { format!("(SELECT {raw} WHERE FALSE)") } else { "NULL".to_owned() }
}

fn custom(value: &Formula, relation: &Relation, column: &Column, raw: &str, found: SqlType) -> Fitted {
    let (sql, made) = formula(value, relation, column).map_err(|problem| problem.message)?;
    let text = |t: SqlType| matches!(t, SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_));
    let fits = match (made, found) {
        (made, found) if text(made) && text(found) => true,
        (SqlType::SmallInt, SqlType::Integer | SqlType::BigInt | SqlType::Numeric(None))
        | (SqlType::Integer, SqlType::BigInt | SqlType::Numeric(None))
        | (SqlType::BigInt, SqlType::Numeric(None))
        | (SqlType::Numeric(_), SqlType::Numeric(None))
        | (SqlType::Timestamp(_), SqlType::Timestamp(_))
        | (SqlType::TimestampTz(_), SqlType::TimestampTz(_)) => true,
        (SqlType::TextLike | SqlType::Json | SqlType::Other, _) => false,
        (made, found) => made == found,
    };
    if !fits {
        return Err(format!("what it makes is not {}", column.type_sql));
    }
    Ok(format!("CASE WHEN {raw} IS NULL THEN NULL ELSE {sql} END"))
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

#[cfg(test)]
mod tests {
    use super::super::model::Entity;
    use super::super::predicate::Literal;
    use super::*;
    use crate::catalog::{Keys, RelationKind, RelationName};

    fn on(type_sql: &str, category: char, mask: &Mask) -> (String, bool) {
        let column = Column {
            name: "c\"x".into(),
            number: 1,
            type_oid: 0,
            type_sql: type_sql.into(),
            category,
            not_null: false,
            deterministic: false,
            tags: BTreeSet::new(),
        };
        let relation = Relation {
            name: RelationName::new("public", "o'rders"),
            oid: 1,
            kind: RelationKind::Table,
            columns: vec![column.clone()],
            primary_key: vec![column.name.clone()],
            keys: Keys::default(),
            row_security: false,
            tags: BTreeSet::new(),
        };
        let applied = apply(mask, &relation, &column);
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
            let null = if type_sql.contains('.') { "(SELECT t.\"c\"\"x\" WHERE FALSE)" } else { "NULL" };
            assert_eq!(sql, format!("CAST({null} AS {type_sql})"), "{mask:?}");
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
    fn masks_with_keys_fit_where_their_values_do() {
        let reversible = || Mask::Reversible { key: "people".into() };
        let fpe = || Mask::Fpe { alphabet: "0123456789".into() };
        let randomized = |keep: &str| Mask::Randomized { keep: keep.into() };
        let k = |columns: &[&str]| Mask::KAnonymous {
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
            k: 5,
        };
        let regex = |pattern: &str| Mask::Regex {
            pattern: pattern.into(),
            replacement: String::new(),
            flags: String::new(),
        };
        for (type_sql, category, mask) in [
            ("integer", 'N', reversible()),
            ("bytea", 'U', reversible()),
            ("public.code", 'S', reversible()),
            // "people.", six digits of a version, a point, and 17 bytes in base64.
            ("character varying(36)", 'S', reversible()),
            ("character varying(5)", 'S', fpe()),
            ("bigint", 'N', fpe()),
            ("integer", 'N', Mask::Token),
            ("character(20)", 'S', Mask::Token),
            ("text", 'S', randomized("0.5")),
            ("uuid", 'U', randomized("0.5")),
            ("public.code", 'S', randomized("0.5")),
            ("interval", 'T', randomized("0.5")),
            ("integer", 'N', randomized("1")),
            ("integer", 'N', randomized("1.0")),
            ("integer", 'N', k(&["other"])),
            ("integer", 'N', k(&["c\"x", "other"])),
            ("bytea", 'U', k(&["c\"x"])),
            ("public.code", 'S', k(&["c\"x"])),
            ("integer", 'N', Mask::Redact { entities: Entity::ALL.into_iter().collect() }),
            ("text", 'S', regex("(a+)+")),
            ("text", 'S', regex("(a)\\1")),
        ] {
            let (sql, fell) = on(type_sql, category, &mask);
            assert!(fell && !sql.contains("lanyard."), "{type_sql} {mask:?}: {sql}");
        }
        for (type_sql, category, mask) in [
            ("character varying(37)", 'S', reversible()),
            ("character varying(6)", 'S', fpe()),
            ("character varying(27)", 'S', Mask::Token),
            ("uuid", 'U', Mask::Token),
            ("public.mood", 'E', randomized("0.5")),
            ("public.mood", 'E', k(&["c\"x"])),
            ("numeric(2,2)", 'N', randomized("0")),
            ("jsonb", 'U', Mask::Redact { entities: Entity::ALL.into_iter().collect() }),
        ] {
            let (sql, fell) = on(type_sql, category, &mask);
            assert!(
                !fell && sql.starts_with("CAST(") && sql.ends_with(&format!(" AS {type_sql})")),
                "{type_sql} {mask:?}: {sql}"
            );
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
