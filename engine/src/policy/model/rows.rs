//! Which rows a policy shows.
//!
//! Values only; `policy::rows` turns them into SQL.

use serde::{Deserialize, Serialize};

use super::{Place, Scope, TableName, Tables, Tag, Who};
use crate::catalog::{RelationName, TagPath};
use crate::identity::PurposeName;
use crate::policy::predicate::{Named, Predicate};

/// `show rows of … where …`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// Which tables.
    pub of: Tables,
    /// Tables its predicates may look into.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lookups: Vec<TableName>,
    /// `who … where …`, the first that holds decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<Branch>,
    /// Without a branch that holds.
    pub otherwise: RowsShown,
    /// What a table without the tagged column gets.
    #[serde(default)]
    pub missing: Missing,
    /// For whom.
    #[serde(default)]
    pub scope: Scope,
}

impl Rows {
    /// Everything this policy could show, whoever asks.
    pub fn all_shown(&self) -> impl Iterator<Item = &RowsShown> {
        self.branches.iter().map(|b| &b.shown).chain([&self.otherwise])
    }
}

/// What a table gets that has no column with a tag the policy needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// It is denied to everyone.
    #[default]
    Deny,
    /// The policy does not mean it.
    Skip,
}

/// One `who … where …`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// Whom it is for.
    pub who: Who,
    /// What they see.
    pub shown: RowsShown,
}

/// Which rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowsShown {
    /// Every row.
    All,
    /// No row.
    None,
    /// Rows for which the predicate is TRUE.
    Where(Predicate),
    /// Rows whose tagged column holds a value of the person's.
    Whose(Match),
    /// Rows by the age of an event.
    Window(Window),
    /// A share of the rows, the same ones every time.
    Share(Share),
    /// Every row under one of these purposes, or one below; else none. Never empty.
    Purpose(Vec<PurposeName>),
    /// Rows whose parent row is shown.
    Through(Through),
}

/// `whose Region matches region`: the column with the tag holds a value of the attribute. The attribute is that of the person
/// the policy looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// Which column.
    pub tag: Tag,
    /// Which values; never a purpose.
    pub values: Named,
}

/// `newer than 90 days by created_at`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Which side of the moment is shown.
    pub side: WindowSide,
    /// How long ago the moment is.
    pub span: Span,
    /// When the event was.
    pub by: EventColumn,
    /// Where it stands.
    #[serde(skip)]
    pub place: Place,
}

/// Which side of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowSide {
    /// At the moment, or later.
    Newer,
    /// Before it.
    Older,
}

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// 1 to [`crate::limits::POLICY_SPAN_MAX`].
    pub count: u32,
    /// Of what.
    pub unit: SpanUnit,
}

/// Units of a length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanUnit {
    /// 60 minutes.
    Hours,
    /// 24 hours.
    Days,
    /// 7 days.
    Weeks,
    /// By the calendar.
    Months,
    /// By the calendar.
    Years,
}

impl SpanUnit {
    pub(crate) const ALL: [Self; 5] = [Self::Hours, Self::Days, Self::Weeks, Self::Months, Self::Years];

    /// The word in policy text and in an interval.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Hours => "hours",
            Self::Days => "days",
            Self::Weeks => "weeks",
            Self::Months => "months",
            Self::Years => "years",
        }
    }
}

/// A column by name or by tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventColumn {
    /// By name.
    Column(String),
    /// The column of the table that carries the tag.
    Tagged(TagPath),
}

/// `only 10 % of rows by customer_id`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// More than 0 and less than 100, at most three digits after the point.
    pub percent: String,
    /// Rows with equal values here are shown or hidden together; the primary key without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<EventColumn>,
    /// Where it stands.
    #[serde(skip)]
    pub place: Place,
}

/// `through orders.customer_id where …`: what is shown of the parent decides about the child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Through {
    /// From the table itself upwards, 1 to [`crate::limits::POLICY_HOPS_MAX`].
    pub hops: Vec<Hop>,
    /// Which rows of the last parent; never all, none, a purpose, a share or through.
    pub shown: Box<RowsShown>,
    /// Where it stands.
    #[serde(skip)]
    pub place: Place,
}

/// One foreign key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hop {
    /// The table's name, which must be that of the table where the hop starts.
    pub table: String,
    /// Its column.
    pub column: String,
    /// The parent and its unique column; what a declared foreign key names without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Target>,
}

/// Where a foreign key leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The parent.
    pub relation: RelationName,
    /// Its column; a unique index must say that it is unique.
    pub column: String,
}
