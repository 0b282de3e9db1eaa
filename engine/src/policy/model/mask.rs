//! Masks as policy text says them; `policy::mask` turns them into SQL.
//!
//! Values only.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::policy::predicate::{Formula, Literal};

/// A mask (policy.md §5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Mask {
    /// NULL.
    Null,
    /// Always the same value.
    Constant {
        /// Checked against each column's type.
        value: Literal,
        /// What NULL becomes.
        nulls: Nulls,
    },
    /// HMAC-SHA256 in hexadecimal.
    Hash {
        /// The group that shares a key; without, each table has its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        joinable: Option<String>,
    },
    /// The ends, when the value is longer than both.
    Partial {
        /// Characters kept in front.
        first: u32,
        /// Characters kept at the end.
        last: u32,
        /// What stands for the others.
        fill: char,
    },
    /// `regexp_replace`.
    Regex {
        /// Pattern.
        pattern: String,
        /// Replacement.
        replacement: String,
        /// Flags.
        flags: String,
    },
    /// Down to the next multiple; digits and at most one point, more than zero.
    Bucket(String),
    /// Down to the start of the unit.
    Unit(Unit),
    /// Deterministic authenticated encryption; undoing it is a right of its own.
    Reversible {
        /// The name of the key.
        key: String,
    },
    /// Format-preserving encryption (NIST SP 800-38G, FF1).
    Fpe {
        /// The characters of the values, each once, 2 to [`crate::limits::MASK_ALPHABET_CHARS_MAX`].
        alphabet: String,
    },
    /// The value with a probability, else another one; noise for numbers and dates.
    Randomized {
        /// Probability that the value is kept: `0`, `1`, or `0.` and digits.
        keep: String,
    },
    /// Generalised so that every visible combination of the columns has at least `k` rows.
    KAnonymous {
        /// The columns that together could tell who it is; never empty.
        columns: Vec<String>,
        /// At least 2.
        k: u32,
    },
    /// A stable token per subject.
    Token,
    /// What looks like one of the entities is covered in free text and JSON.
    Redact {
        /// Never empty.
        entities: BTreeSet<Entity>,
    },
    /// A value computed from `@column`; immutable, of allow-listed functions.
    Custom {
        /// The expression.
        value: Formula,
    },
    /// The column does not exist.
    Deny,
}

/// What `redact` finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entity {
    /// E-mail addresses.
    Email,
    /// Telephone numbers.
    Phone,
    /// Card numbers with a right check digit (Luhn, ISO/IEC 7812-1).
    Card,
    /// National identity numbers.
    NationalId,
}

impl Entity {
    pub(crate) const ALL: [Self; 4] = [Self::Email, Self::Phone, Self::Card, Self::NationalId];

    /// The word in policy text.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Card => "card",
            Self::NationalId => "national_id",
        }
    }
}

/// What a `constant` mask does with NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nulls {
    /// NULL stays NULL.
    Kept,
    /// NULL becomes the constant too.
    Hidden,
}

/// Units of `date_trunc`, finest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Second.
    Second,
    /// Minute.
    Minute,
    /// Hour.
    Hour,
    /// Day.
    Day,
    /// Week (from Monday).
    Week,
    /// Month.
    Month,
    /// Quarter.
    Quarter,
    /// Year.
    Year,
    /// Decade.
    Decade,
    /// Century.
    Century,
}

impl Unit {
    pub(crate) const ALL: [Self; 10] = [
        Self::Second,
        Self::Minute,
        Self::Hour,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Quarter,
        Self::Year,
        Self::Decade,
        Self::Century,
    ];

    /// The word in policy text and in `date_trunc`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
            Self::Decade => "decade",
            Self::Century => "century",
        }
    }
}

impl Mask {
    /// The mask's word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Constant { .. } => "constant",
            Self::Hash { .. } => "hash",
            Self::Partial { .. } => "partial",
            Self::Regex { .. } => "regex",
            Self::Bucket(_) | Self::Unit(_) => "round",
            Self::Reversible { .. } => "reversible",
            Self::Fpe { .. } => "fpe",
            Self::Randomized { .. } => "randomized",
            Self::KAnonymous { .. } => "k_anonymous",
            Self::Token => "token",
            Self::Redact { .. } => "redact",
            Self::Custom { .. } => "custom",
            Self::Deny => "deny",
        }
    }
}
