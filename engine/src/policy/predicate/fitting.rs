//! Which literals, casts and types go together in a predicate.
//!
//! Must never let through a conversion that could fail on a value or depends on a setting. Called by `compile`.

use super::{CastType, Expr, Literal};
use crate::policy::sqltext::literal as quote;
use crate::policy::text::diagnostic::Problem;
use crate::policy::types::{Family, SqlType};

type Sql = Result<String, Problem>;

/// What PostgreSQL makes of two types of one family, as far as comparisons care.
pub(super) fn widest(family: Family, found: SqlType) -> SqlType {
    match family {
        Family::Number => SqlType::Numeric(None),
        Family::Float => SqlType::Double,
        Family::Text => SqlType::Text,
        Family::Date => SqlType::Timestamp(None),
        Family::Instant => SqlType::TimestampTz(None),
        Family::Truth | Family::Uuid | Family::None => found,
    }
}

/// Functions that count refuse negative numbers at run time, so only literals are let through.
pub(super) fn count(argument: &Expr, function: &str) -> Sql {
    let wrong = || Problem::new(format!("'{function}' counts with a whole number written out"));
    let Expr::Literal(Literal::Number(number)) = argument else {
        return Err(wrong());
    };
    match number.parse::<u32>() {
        Ok(n) if n <= 1_000_000 => Ok(n.to_string()),
        Ok(_) | Err(_) => Err(wrong()),
    }
}

pub(super) fn literal_type(literal: &Literal) -> SqlType {
    match literal {
        Literal::Text(_) => SqlType::Text,
        Literal::Number(_) => SqlType::Numeric(None),
        Literal::Truth(_) => SqlType::Boolean,
    }
}

pub(super) fn cast_target(to: CastType) -> SqlType {
    match to {
        CastType::Text => SqlType::Text,
        CastType::SmallInt => SqlType::SmallInt,
        CastType::Integer => SqlType::Integer,
        CastType::BigInt => SqlType::BigInt,
        CastType::Numeric => SqlType::Numeric(None),
        CastType::Boolean => SqlType::Boolean,
        CastType::Date => SqlType::Date,
        CastType::Timestamp => SqlType::Timestamp(None),
        CastType::TimestampTz => SqlType::TimestampTz(None),
        CastType::Uuid => SqlType::Uuid,
    }
}

/// Casts that succeed on every value and depend on no setting.
pub(super) fn cast_is_safe(from: SqlType, to: SqlType) -> bool {
    use SqlType::{BigInt, Boolean, Date, Integer, Numeric, SmallInt, Text, Timestamp, TimestampTz, Uuid};
    let whole = matches!(from, SmallInt | Integer | BigInt);
    match to {
        Text => whole || from.family() == Family::Text || matches!(from, Numeric(_) | Boolean | Uuid),
        Numeric(_) => whole || matches!(from, Numeric(_)),
        BigInt => whole,
        Integer => matches!(from, SmallInt | Integer),
        SmallInt => from == SmallInt,
        Boolean => from == Boolean,
        Uuid => from == Uuid,
        Date => from == Date,
        Timestamp(_) => matches!(from, Timestamp(_) | Date),
        TimestampTz(_) => matches!(from, TimestampTz(_)),
        SqlType::Real
        | SqlType::Double
        | SqlType::Varchar(_)
        | SqlType::Char(_)
        | SqlType::Json
        | SqlType::TextLike
        | SqlType::Other => false,
    }
}

/// A literal where a value of that type is compared with it.
pub(super) fn literal_as(kind: SqlType, literal: &Literal) -> Sql {
    let shown = super::print::literal(literal);
    let wrong = |hint: &str| {
        let what = kind.cast_name().unwrap_or("text");
        Problem::new(format!("{shown} does not read as {what}")).hint(hint)
    };
    match (kind.family(), literal) {
        (Family::Number, Literal::Number(number)) => Ok(number.clone()),
        (Family::Float, Literal::Number(number)) if kind.reads(number) => Ok(number.clone()),
        (Family::Truth, Literal::Truth(truth)) => Ok(if *truth { "TRUE" } else { "FALSE" }.to_owned()),
        (Family::None, _) => {
            Err(Problem::new(format!("{shown} is compared with a type that has no comparison here")))
        }
        (_, Literal::Text(text)) if kind.reads(text) => Ok(quote(text)),
        (Family::Instant, Literal::Text(_)) => {
            Err(wrong("write the time zone, as in '2024-01-31 12:00:00+00:00'"))
        }
        (Family::Date, Literal::Text(_)) => Err(wrong("write it as '2024-01-31' or '2024-01-31 12:00:00'")),
        (Family::Text, Literal::Number(_) | Literal::Truth(_)) => {
            Err(wrong("write a string in single quotes"))
        }
        (
            Family::Number
            | Family::Float
            | Family::Truth
            | Family::Uuid
            | Family::Text
            | Family::Date
            | Family::Instant,
            Literal::Text(_) | Literal::Number(_) | Literal::Truth(_),
        ) => Err(wrong("write a literal of the column's type")),
    }
}
