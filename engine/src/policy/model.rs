//! A policy as a value: what the text says, checked, with nothing of the catalog in it.
//!
//! Made by the parser only; read by the judge, `check`, `explain` and the printer.

use std::collections::BTreeSet;

use serde::Serialize;

use super::predicate::{Literal, Predicate};
use crate::catalog::{RelationName, TagPath};
use crate::entitlement::Operation;

/// Where a word stands: file number in its set and byte offset. All places are equal, so that two policies are equal when they
/// say the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place {
    pub(crate) file: u32,
    pub(crate) offset: usize,
}

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Place {}

/// One sentence of policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Unique in a set.
    pub name: String,
    /// Whether it is enforced.
    pub state: State,
    /// Whom it looks at.
    pub watches: Watches,
    /// What it says.
    pub rule: Rule,
    /// Where its name stands.
    pub place: Place,
}

/// Life of a policy. Only `Active` is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Being written; findings about it are warnings.
    Draft,
    /// Waits to be made active.
    Staged,
    /// Evaluated and shown by `explain`, never enforced.
    Shadow,
    /// Enforced.
    Active,
    /// Kept, not looked at.
    Disabled,
}

impl State {
    pub(crate) const ALL: [Self; 5] = [Self::Draft, Self::Staged, Self::Shadow, Self::Active, Self::Disabled];

    /// The word in policy text.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Staged => "staged",
            Self::Shadow => "shadow",
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }
}

/// Whom a policy looks at (policy.md §1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Watches {
    /// Whose data it is.
    Subject,
    /// The acting agent; such a policy only restricts.
    Actor,
}

/// What a policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Who may do what with which tables.
    Grant(Grant),
    /// What everyone who uses a table must be.
    Guardrail(Guardrail),
    /// Which rows are shown.
    Rows(Rows),
    /// How columns come out.
    Mask(MaskRule),
}

/// `allow … on … to …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Never empty.
    pub operations: BTreeSet<Operation>,
    /// Which tables.
    pub on: Tables,
    /// To whom.
    pub to: Who,
}

/// `require … on …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guardrail {
    /// What one must be.
    pub require: Who,
    /// Which tables.
    pub on: Tables,
}

/// `show rows of … where …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// Which tables.
    pub of: Tables,
    /// `who … where …`, the first that holds decides.
    pub branches: Vec<Branch>,
    /// Without a branch that holds.
    pub otherwise: RowsShown,
    /// For whom.
    pub scope: Scope,
}

/// One `who … where …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// Whom it is for.
    pub who: Who,
    /// What they see.
    pub shown: RowsShown,
}

/// Which rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowsShown {
    /// Every row.
    All,
    /// No row.
    None,
    /// Rows for which the predicate is TRUE.
    Where(Predicate),
}

/// `mask columns … with …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskRule {
    /// Which columns.
    pub columns: Columns,
    /// How.
    pub mask: Mask,
    /// For whom.
    pub scope: Scope,
    /// Never replaced by a weaker mask.
    pub strength: Strength,
}

/// Does a mask give way to another?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strength {
    /// The deepest tag decides.
    Usual,
    /// Nothing weaker replaces it.
    Floor,
}

/// For whom a row or mask policy works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everyone.
    Everyone,
    /// Everyone but these.
    Except(Who),
    /// These alone.
    Only(Who),
}

/// Tables, by any of the matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// Never empty.
    pub any: Vec<TableMatch>,
}

/// One way to say which tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableMatch {
    /// The table or its schema carries one of the tags, or one below.
    Tagged(Vec<Tag>),
    /// By name.
    Named(Vec<TableName>),
    /// `schema.table` is LIKE one of the patterns.
    Like(Vec<String>),
    /// Some column matches.
    WithColumns(ColumnMatch),
}

/// Columns, by any of the matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// Never empty.
    pub any: Vec<ColumnMatch>,
    /// Of these tables only.
    pub of: Option<Tables>,
}

/// One way to say which columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnMatch {
    /// The column, its table or its schema carries one of the tags, or one below.
    Tagged(Vec<Tag>),
    /// By name.
    Named(Vec<ColumnName>),
    /// The column's name is LIKE one of the patterns.
    Like(Vec<String>),
}

/// A tag a policy names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The tag.
    pub path: TagPath,
    /// Where it stands.
    pub place: Place,
}

/// A table a policy names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// Schema and name.
    pub relation: RelationName,
    /// Where it stands.
    pub place: Place,
}

/// A column a policy names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnName {
    /// Its table; in every table without.
    pub relation: Option<RelationName>,
    /// Its name.
    pub column: String,
    /// Where it stands.
    pub place: Place,
}

/// Whom: any of the parties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// Never empty.
    pub any: Vec<Party>,
}

/// Users, agents or both, with tests that all must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// What they are.
    pub kind: PartyKind,
    /// All must hold.
    pub all: Vec<Test>,
}

/// What a party is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartyKind {
    /// People.
    Users,
    /// Programs.
    Agents,
    /// Both.
    Everyone,
}

/// One test of a party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// Must it hold, or fail?
    pub sense: Sense,
    /// What is asked.
    pub question: Question,
    /// Where it stands.
    pub place: Place,
}

/// Must a test hold, or fail?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sense {
    /// It must hold.
    Is,
    /// It must fail.
    Not,
}

/// What a test asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// In one of these groups?
    Group(Vec<String>),
    /// Has the attribute one of these values?
    Attribute {
        /// Its name.
        name: String,
        /// The values.
        values: Vec<String>,
    },
    /// One of these ids?
    Id(Vec<String>),
}

/// A mask (policy.md §5).
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The column does not exist.
    Deny,
}

/// What a `constant` mask does with NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nulls {
    /// NULL stays NULL.
    Kept,
    /// NULL becomes the constant too.
    Hidden,
}

/// Units of `date_trunc`, finest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
            Self::Deny => "deny",
        }
    }
}
