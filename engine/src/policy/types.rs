//! What PostgreSQL's types mean for masks and predicates, read from their SQL spelling.
//!
//! Must never say that a value fits when PostgreSQL would refuse it: a value that fits is written into a view or read by one.

use crate::catalog::Column;

/// A column's type, as far as policy tells types apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum SqlType {
    Boolean,
    SmallInt,
    Integer,
    BigInt,
    Real,
    Double,
    /// Precision and scale, where given.
    Numeric(Option<(u16, u16)>),
    Text,
    /// Length in characters, where given.
    Varchar(Option<u32>),
    /// Length in characters, where given.
    Char(Option<u32>),
    Date,
    /// Digits after the second, where given.
    Timestamp(Option<u8>),
    /// Digits after the second, where given.
    TimestampTz(Option<u8>),
    Uuid,
    Json,
    /// An enum, or of the text family but not built in (a domain, citext): compared as text, never made.
    TextLike,
    /// Anything else: only NULL can be made.
    Other,
}

/// Types that compare with each other without a conversion that depends on a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Truth,
    Number,
    /// Apart from numbers: numeric to double can fail on a value.
    Float,
    Text,
    Date,
    Instant,
    Uuid,
    /// No comparison.
    None,
}

impl SqlType {
    /// Reads `format_type`'s spelling.
    pub(crate) fn of(column: &Column) -> Self {
        let (base, typmod, rest) = split(&column.type_sql);
        let single = || typmod.and_then(|t| t.parse::<u32>().ok());
        let digits = || typmod.and_then(|t| t.parse::<u8>().ok());
        match (base, rest) {
            ("boolean", "") => Self::Boolean,
            ("smallint", "") => Self::SmallInt,
            ("integer", "") => Self::Integer,
            ("bigint", "") => Self::BigInt,
            ("real", "") => Self::Real,
            ("double precision", "") => Self::Double,
            ("numeric", "") => match typmod {
                None => Self::Numeric(None),
                // A negative scale (15+) is out of what we reason about.
                Some(t) => precision(t).map_or(Self::Other, |p| Self::Numeric(Some(p))),
            },
            ("text", "") => Self::Text,
            ("character varying", "") => Self::Varchar(single()),
            // Without a length `character` is character(1); `bpchar` has no bound.
            ("character", "") => Self::Char(Some(single().unwrap_or(1))),
            ("bpchar", "") => Self::Char(None),
            ("date", "") => Self::Date,
            ("timestamp without time zone", "") | ("timestamp", "without time zone") => {
                Self::Timestamp(digits())
            }
            ("timestamp with time zone", "") | ("timestamp", "with time zone") => Self::TimestampTz(digits()),
            ("uuid", "") => Self::Uuid,
            ("json" | "jsonb", "") => Self::Json,
            _ if matches!(column.category, 'E' | 'S') && !column.type_sql.ends_with("[]") => Self::TextLike,
            _ => Self::Other,
        }
    }

    pub(crate) fn family(self) -> Family {
        match self {
            Self::Boolean => Family::Truth,
            Self::SmallInt | Self::Integer | Self::BigInt | Self::Numeric(_) => Family::Number,
            Self::Real | Self::Double => Family::Float,
            Self::Text | Self::Varchar(_) | Self::Char(_) | Self::TextLike => Family::Text,
            Self::Date | Self::Timestamp(_) => Family::Date,
            Self::TimestampTz(_) => Family::Instant,
            Self::Uuid => Family::Uuid,
            Self::Json | Self::Other => Family::None,
        }
    }

    /// The type without its typmod, for casts of attribute values; `None` for text, which needs no cast.
    pub(crate) fn cast_name(self) -> Option<&'static str> {
        Some(match self {
            Self::Boolean => "boolean",
            Self::SmallInt => "smallint",
            Self::Integer => "integer",
            Self::BigInt => "bigint",
            Self::Real => "real",
            Self::Double => "double precision",
            Self::Numeric(_) => "numeric",
            Self::Char(_) => "pg_catalog.bpchar",
            Self::Date => "date",
            Self::Timestamp(_) => "timestamp without time zone",
            Self::TimestampTz(_) => "timestamp with time zone",
            Self::Uuid => "uuid",
            Self::Text | Self::Varchar(_) | Self::TextLike | Self::Json | Self::Other => {
                return None;
            }
        })
    }

    /// Most characters, where the type says so.
    pub(crate) fn length(self) -> Option<u32> {
        match self {
            Self::Varchar(length) | Self::Char(length) => length,
            Self::Boolean
            | Self::SmallInt
            | Self::Integer
            | Self::BigInt
            | Self::Real
            | Self::Double
            | Self::Numeric(_)
            | Self::Text
            | Self::Date
            | Self::Timestamp(_)
            | Self::TimestampTz(_)
            | Self::Uuid
            | Self::Json
            | Self::TextLike
            | Self::Other => None,
        }
    }

    /// A value as bytes that are the same for equal values, whatever the session's settings; `None` where there is no such form.
    pub(crate) fn bytes(self, raw: &str) -> Option<String> {
        let sent = |function: &str| Some(format!("pg_catalog.{function}({raw})"));
        match self {
            Self::Boolean => sent("boolsend"),
            Self::SmallInt => sent("int2send"),
            Self::Integer => sent("int4send"),
            Self::BigInt => sent("int8send"),
            Self::Real => sent("float4send"),
            Self::Double => sent("float8send"),
            Self::Numeric(_) => Some(format!("pg_catalog.numeric_send(pg_catalog.trim_scale({raw}))")),
            Self::Date => sent("date_send"),
            Self::Timestamp(_) => sent("timestamp_send"),
            Self::TimestampTz(_) => sent("timestamptz_send"),
            Self::Uuid => sent("uuid_send"),
            // Not textsend, which writes in the client's encoding.
            Self::Text | Self::Varchar(_) => Some(format!("pg_catalog.convert_to({raw}, 'UTF8')")),
            Self::Char(_) | Self::TextLike => {
                Some(format!("pg_catalog.convert_to(CAST({raw} AS pg_catalog.text), 'UTF8')"))
            }
            Self::Json | Self::Other => None,
        }
    }

    /// Can a text be compared as this type? The typmod does not count: a longer text is simply unequal.
    pub(crate) fn reads(self, text: &str) -> bool {
        match self {
            Self::Boolean => matches!(text, "true" | "false"),
            Self::SmallInt => is_integer(text) && text.parse::<i16>().is_ok(),
            Self::Integer => is_integer(text) && text.parse::<i32>().is_ok(),
            Self::BigInt => is_integer(text) && text.parse::<i64>().is_ok(),
            Self::Real => is_decimal(text) && text.parse::<f32>().is_ok_and(f32::is_finite),
            Self::Double => is_decimal(text) && text.parse::<f64>().is_ok_and(f64::is_finite),
            Self::Numeric(_) => is_decimal(text),
            Self::Text | Self::Varchar(_) | Self::Char(_) | Self::TextLike => !text.contains('\0'),
            Self::Date => is_date(text),
            Self::Timestamp(_) => instant(text).is_some_and(|zone| zone.is_empty()),
            Self::TimestampTz(_) => instant(text).is_some_and(is_zone),
            Self::Uuid => is_uuid(text),
            Self::Json | Self::Other => false,
        }
    }

    /// Can a text be stored in a column of this type, typmod included?
    pub(crate) fn holds(self, text: &str) -> bool {
        let chars = || u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        match self {
            Self::Numeric(Some((precision, scale))) => {
                let unsigned = text.trim_start_matches(['-', '+']);
                let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
                is_decimal(text)
                    && fraction.len() <= usize::from(scale)
                    && whole.trim_start_matches('0').len() <= usize::from(precision - scale)
            }
            Self::Varchar(Some(length)) | Self::Char(Some(length)) => self.reads(text) && chars() <= length,
            Self::Json => serde_json::from_str::<serde_json::Value>(text).is_ok(),
            Self::TextLike | Self::Other => false,
            Self::Boolean
            | Self::SmallInt
            | Self::Integer
            | Self::BigInt
            | Self::Real
            | Self::Double
            | Self::Numeric(None)
            | Self::Text
            | Self::Varchar(None)
            | Self::Char(None)
            | Self::Date
            | Self::Timestamp(_)
            | Self::TimestampTz(_)
            | Self::Uuid => self.reads(text),
        }
    }
}

/// `numeric(12,2)` -> `numeric`, `12,2`, ``; `timestamp(3) with time zone` -> `timestamp`, `3`, `with time zone`.
fn split(spelling: &str) -> (&str, Option<&str>, &str) {
    match spelling.split_once('(') {
        Some((base, rest)) => match rest.split_once(')') {
            Some((typmod, rest)) => (base.trim_end(), Some(typmod), rest.trim()),
            None => (spelling, None, ""),
        },
        None => (spelling, None, ""),
    }
}

fn precision(typmod: &str) -> Option<(u16, u16)> {
    let (precision, scale) = typmod.split_once(',').unwrap_or((typmod, "0"));
    let precision = precision.trim().parse::<u16>().ok()?;
    let scale = scale.trim().parse::<u16>().ok()?;
    (scale <= precision).then_some((precision, scale))
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.len() <= 20 && digits.bytes().all(|b| b.is_ascii_digit())
}

fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |s: &str| !s.is_empty() && s.len() <= 300 && s.bytes().all(|b| b.is_ascii_digit());
    digits(whole) && digits(fraction)
}

/// `YYYY-MM-DD`, which every DateStyle reads alike.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return false;
    }
    let number = |from: usize, to: usize| {
        text.get(from..to)
            .filter(|s| s.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|s| s.parse::<u32>().ok())
    };
    let (Some(year), Some(month), Some(day)) = (number(0, 4), number(5, 7), number(8, 10)) else {
        return false;
    };
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    year >= 1 && (1..=days).contains(&day)
}

/// `YYYY-MM-DD[ HH:MM[:SS[.ffffff]]]`; gives back what follows, the zone.
fn instant(text: &str) -> Option<&str> {
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    if !is_date(date) {
        return None;
    }
    if rest.is_empty() {
        return Some("");
    }
    let rest = rest.strip_prefix([' ', 'T'])?;
    let pair = |s: &str, most: u32| {
        s.get(..2)
            .filter(|d| d.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|d| d.parse::<u32>().ok())
            .is_some_and(|n| n <= most)
    };
    let minutes = rest.get(2..)?.strip_prefix(':')?;
    if !pair(rest, 23) || !pair(minutes, 59) {
        return None;
    }
    let rest = minutes.get(2..)?;
    let Some(seconds) = rest.strip_prefix(':') else {
        return Some(rest);
    };
    if !pair(seconds, 59) {
        return None;
    }
    let rest = seconds.get(2..)?;
    let Some(fraction) = rest.strip_prefix('.') else {
        return Some(rest);
    };
    let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    (1..=6).contains(&(fraction.len() - zone.len())).then_some(zone)
}

/// `Z`, `+HH` or `+HH:MM`.
fn is_zone(text: &str) -> bool {
    if text == "Z" {
        return true;
    }
    let Some(rest) = text.strip_prefix(['+', '-']) else {
        return false;
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "00"));
    let two = |s: &str, most: u32| {
        s.len() == 2 && s.bytes().all(|b| b.is_ascii_digit()) && s.parse::<u32>().is_ok_and(|n| n <= most)
    };
    two(hours, 14) && two(minutes, 59)
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(n, b)| if matches!(n, 8 | 13 | 18 | 23) { b == b'-' } else { b.is_ascii_hexdigit() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    pub(crate) fn typed(type_sql: &str, category: char) -> SqlType {
        SqlType::of(&Column {
            name: "c".into(),
            number: 1,
            type_oid: 0,
            type_sql: type_sql.into(),
            category,
            not_null: false,
            deterministic: false,
            tags: BTreeSet::new(),
        })
    }

    #[test]
    fn spellings_of_format_type() {
        for (spelling, category, expected) in [
            ("character varying(40)", 'S', SqlType::Varchar(Some(40))),
            ("character varying", 'S', SqlType::Varchar(None)),
            ("character(3)", 'S', SqlType::Char(Some(3))),
            ("character", 'S', SqlType::Char(Some(1))),
            ("bpchar", 'S', SqlType::Char(None)),
            ("numeric(12,2)", 'N', SqlType::Numeric(Some((12, 2)))),
            ("numeric(3,-2)", 'N', SqlType::Other),
            ("timestamp(3) with time zone", 'D', SqlType::TimestampTz(Some(3))),
            ("timestamp without time zone", 'D', SqlType::Timestamp(None)),
            ("public.mood", 'E', SqlType::TextLike),
            ("public.mood[]", 'A', SqlType::Other),
            ("text[]", 'A', SqlType::Other),
            ("money", 'N', SqlType::Other),
            ("public.integer", 'N', SqlType::Other),
        ] {
            assert_eq!(typed(spelling, category), expected, "{spelling}");
        }
    }

    #[test]
    fn only_what_postgresql_reads_alike_everywhere_fits() {
        let tz = SqlType::TimestampTz(None);
        for (one, good) in [
            (SqlType::SmallInt, "-32768"),
            (SqlType::BigInt, "9223372036854775807"),
            (SqlType::Numeric(None), "-1.50"),
            (SqlType::Date, "2024-02-29"),
            (SqlType::Timestamp(None), "2024-02-29 23:59:59.999999"),
            (tz, "2024-02-29T23:59Z"),
            (tz, "2024-02-29 23:59:00+05:30"),
            (SqlType::Uuid, "00000000-0000-0000-0000-00000000000A"),
        ] {
            assert!(one.reads(good), "{one:?} {good}");
        }
        for (one, bad) in [
            (SqlType::SmallInt, "32768"),
            (SqlType::Integer, "+1"),
            (SqlType::Integer, ""),
            (SqlType::Integer, " 1"),
            (SqlType::Integer, "1.0"),
            (SqlType::Integer, "١"),
            (SqlType::Numeric(None), "1e5"),
            (SqlType::Numeric(None), "NaN"),
            (SqlType::Numeric(None), "."),
            (SqlType::Double, "inf"),
            (SqlType::Date, "2023-02-29"),
            (SqlType::Date, "0000-01-01"),
            (SqlType::Date, "01/02/2024"),
            (SqlType::Date, "2024-1-01"),
            (SqlType::Date, "yesterday"),
            (SqlType::Timestamp(None), "2024-02-29 24:00"),
            (SqlType::Timestamp(None), "2024-02-29 10:00Z"),
            (tz, "2024-02-29 10:00"),
            (tz, "2024-02-29"),
            (tz, "2024-02-29 10:00 Europe/Berlin"),
            (SqlType::Uuid, "0000"),
            (SqlType::Boolean, "yes"),
            (SqlType::Other, "x"),
        ] {
            assert!(!one.reads(bad), "{one:?} {bad}");
        }
        assert!(SqlType::Numeric(Some((4, 2))).holds("-99.99"));
        assert!(!SqlType::Numeric(Some((4, 2))).holds("100"));
        assert!(!SqlType::Numeric(Some((4, 2))).holds("0.001"));
        assert!(SqlType::Varchar(Some(3)).holds("äöü"));
        assert!(!SqlType::Varchar(Some(3)).holds("abcd"));
        assert!(SqlType::Json.holds("{}"));
        assert!(!SqlType::Json.holds("{"));
        assert!(!SqlType::TextLike.holds("x"));
    }
}
