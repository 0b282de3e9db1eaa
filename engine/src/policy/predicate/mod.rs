//! Row predicates: a small boolean language over a table's raw columns and the principal's attributes.
//!
//! Only what is listed in [`Expr`] exists; nothing of the author's text reaches a warehouse except as this tree, printed by
//! us. Read by `read`, printed as policy text by `print`, turned into SQL for one table by `compile`.

pub(crate) mod compile;
mod fitting;
mod lookup;
pub(crate) mod print;
pub(crate) mod read;
mod values;
pub(crate) mod vocabulary;

use serde::{Deserialize, Serialize};

use super::model::Place;
use crate::catalog::{RelationName, TagPath};

/// A predicate and where it starts. In JSON it is its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Predicate {
    /// The tree; boolean on every table it compiles on.
    pub expr: Expr,
    /// Where it stands.
    pub place: Place,
}

impl TryFrom<String> for Predicate {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let expr = read::from_text(&text, read::Form::Predicate)?;
        Ok(Self { expr, place: Place::default() })
    }
}

impl From<Predicate> for String {
    fn from(predicate: Predicate) -> Self {
        print::predicate(&predicate.expr)
    }
}

/// The value of a `custom` mask: an expression over `@column`. In JSON it is its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Formula {
    /// The tree; of the column's type on every column it fits.
    pub expr: Expr,
    /// Where it stands.
    pub place: Place,
}

impl TryFrom<String> for Formula {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let expr = read::from_text(&text, read::Form::Formula)?;
        Ok(Self { expr, place: Place::default() })
    }
}

impl From<Formula> for String {
    fn from(formula: Formula) -> Self {
        print::predicate(&formula.expr)
    }
}

/// A node. AND and OR are flat: neither holds its own kind directly, and both have at least two terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// All hold.
    And(Vec<Expr>),
    /// One holds.
    Or(Vec<Expr>),
    /// Does not hold.
    Not(Box<Expr>),
    /// `a < b`; never with an attribute (those are `In`).
    Compare {
        /// Left side.
        left: Box<Expr>,
        /// Operator.
        operator: Comparison,
        /// Right side.
        right: Box<Expr>,
    },
    /// `a [not] in (…)`; items are literals and attributes. `a = @user.x` is this too.
    In {
        /// What is looked for.
        value: Box<Expr>,
        /// Never empty.
        items: Vec<Expr>,
        /// IN or NOT IN.
        polarity: Polarity,
    },
    /// `a [not] between b and c`.
    Between {
        /// Middle.
        value: Box<Expr>,
        /// Lower bound, included.
        low: Box<Expr>,
        /// Upper bound, included.
        high: Box<Expr>,
        /// BETWEEN or NOT BETWEEN.
        polarity: Polarity,
    },
    /// `a is [not] null | true | false | unknown`.
    Is {
        /// What is tested.
        value: Box<Expr>,
        /// Against what.
        what: Truth,
        /// IS or IS NOT.
        polarity: Polarity,
    },
    /// `a [not] like 'pattern'`.
    Like {
        /// What is matched.
        value: Box<Expr>,
        /// The pattern, with `%`, `_` and `\`.
        pattern: String,
        /// LIKE or ILIKE.
        case: Case,
        /// LIKE or NOT LIKE.
        polarity: Polarity,
    },
    /// `a [not] in (select c from s.t [where …])`; the policy names the table, and the condition speaks of its columns.
    Lookup {
        /// What is looked for.
        value: Box<Expr>,
        /// Where.
        table: RelationName,
        /// Its column.
        column: String,
        /// Which of its rows; all without.
        condition: Option<Box<Expr>>,
        /// IN or NOT IN.
        polarity: Polarity,
    },
    /// `a || b || …`, texts; flat, at least two.
    Concat(Vec<Expr>),
    /// `@column`: the column under a mask. In formulas only.
    Masked,
    /// A column of the table.
    Column(String),
    /// The column of the table that carries the tag.
    Tagged(TagPath),
    /// The principal's values, a set.
    Attribute(Attribute),
    /// A literal.
    Literal(Literal),
    /// `cast(a as type)`.
    Cast {
        /// What is cast.
        value: Box<Expr>,
        /// To what.
        to: CastType,
    },
    /// A built-in function.
    Call {
        /// Which.
        function: Function,
        /// As many as it takes.
        arguments: Vec<Expr>,
    },
}

impl Expr {
    /// This node and every one below. The stack grows, not the call depth.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Expr> {
        self.walk(true)
    }

    /// The same without what is said of lookup tables.
    pub(crate) fn own_nodes(&self) -> impl Iterator<Item = &Expr> {
        self.walk(false)
    }

    fn walk(&self, into_lookups: bool) -> impl Iterator<Item = &Expr> {
        let mut stack = vec![self];
        std::iter::from_fn(move || {
            let expr = stack.pop()?;
            match expr {
                Self::And(terms) | Self::Or(terms) | Self::Concat(terms) => stack.extend(terms),
                Self::Not(one)
                | Self::Is { value: one, .. }
                | Self::Like { value: one, .. }
                | Self::Cast { value: one, .. } => stack.push(one),
                Self::Compare { left, right, .. } => stack.extend([&**left, &**right]),
                Self::In { value, items, .. } => {
                    stack.push(value);
                    stack.extend(items);
                }
                Self::Lookup { value, condition, .. } => {
                    stack.push(value);
                    stack.extend(condition.as_deref().filter(|_| into_lookups));
                }
                Self::Between { value, low, high, .. } => stack.extend([&**value, &**low, &**high]),
                Self::Call { arguments, .. } => stack.extend(arguments),
                Self::Masked | Self::Column(_) | Self::Tagged(_) | Self::Attribute(_) | Self::Literal(_) => {}
            }
            Some(expr)
        })
    }
}

/// Comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `IS DISTINCT FROM`
    Distinct,
    /// `IS NOT DISTINCT FROM`
    NotDistinct,
}

impl Comparison {
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Distinct => "IS DISTINCT FROM",
            Self::NotDistinct => "IS NOT DISTINCT FROM",
        }
    }
}

/// Plain, or with NOT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Polarity {
    /// Plain.
    Plain,
    /// With NOT.
    Negated,
}

impl Polarity {
    pub(crate) fn of(negated: bool) -> Self {
        if negated { Self::Negated } else { Self::Plain }
    }

    pub(crate) fn not(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Negated => "NOT ",
        }
    }
}

/// Does case count?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Case {
    /// LIKE.
    Counts,
    /// ILIKE.
    Ignored,
}

/// What IS tests for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Truth {
    /// NULL, of any type.
    Null,
    /// TRUE.
    True,
    /// FALSE.
    False,
    /// Neither.
    Unknown,
}

impl Truth {
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::True => "TRUE",
            Self::False => "FALSE",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// A reference to the principal, `@user.region`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attribute {
    /// Whose.
    pub holder: Holder,
    /// What.
    pub name: Named,
}

impl Attribute {
    /// The key in `lanyard.session_attribute`, without a type.
    #[must_use]
    pub fn key(&self) -> String {
        let holder = match self.holder {
            Holder::User => "user",
            Holder::Agent => "agent",
            Holder::Session => "session",
        };
        match &self.name {
            Named::Id => format!("{holder}.id"),
            Named::Groups => format!("{holder}.groups"),
            Named::Purpose => format!("{holder}.purpose"),
            Named::Attribute(name) => format!("{holder}.{name}"),
        }
    }
}

/// Whose attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Holder {
    /// The session's person.
    User,
    /// The session's agent.
    Agent,
    /// The session itself; it has a purpose and nothing else.
    Session,
}

/// Which attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// The id, one value.
    Id,
    /// The groups.
    Groups,
    /// The session's purpose and those above it.
    Purpose,
    /// An attribute by name; never `id` or `groups`.
    Attribute(String),
}

/// A literal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Literal {
    /// In single quotes.
    Text(String),
    /// Digits, perhaps with a minus in front and a point inside.
    Number(String),
    /// TRUE or FALSE.
    Truth(bool),
}

/// Built-in types a predicate may cast to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CastType {
    /// `text`
    Text,
    /// `smallint`
    SmallInt,
    /// `integer`
    Integer,
    /// `bigint`
    BigInt,
    /// `numeric`
    Numeric,
    /// `boolean`
    Boolean,
    /// `date`
    Date,
    /// `timestamp`
    Timestamp,
    /// `timestamptz`
    TimestampTz,
    /// `uuid`
    Uuid,
}

impl CastType {
    pub(crate) const ALL: [Self; 10] = [
        Self::Text,
        Self::SmallInt,
        Self::Integer,
        Self::BigInt,
        Self::Numeric,
        Self::Boolean,
        Self::Date,
        Self::Timestamp,
        Self::TimestampTz,
        Self::Uuid,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::SmallInt => "smallint",
            Self::Integer => "integer",
            Self::BigInt => "bigint",
            Self::Numeric => "numeric",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::TimestampTz => "timestamptz",
            Self::Uuid => "uuid",
        }
    }
}

/// Immutable functions of `pg_catalog` that cannot fail on a value, so that no hidden value ends in an error message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    /// `lower(text)`
    Lower,
    /// `upper(text)`
    Upper,
    /// `length(text)`
    Length,
    /// `btrim(text [, text])`
    Btrim,
    /// `ltrim(text [, text])`
    Ltrim,
    /// `rtrim(text [, text])`
    Rtrim,
    /// `left(text, n)`
    Left,
    /// `right(text, n)`
    Right,
    /// `substr(text, from [, count])`
    Substr,
    /// `strpos(text, text)`
    Strpos,
    /// `starts_with(text, text)`
    StartsWith,
    /// `coalesce(a, b, …)`
    Coalesce,
}

impl Function {
    pub(crate) const ALL: [Self; 12] = [
        Self::Lower,
        Self::Upper,
        Self::Length,
        Self::Btrim,
        Self::Ltrim,
        Self::Rtrim,
        Self::Left,
        Self::Right,
        Self::Substr,
        Self::Strpos,
        Self::StartsWith,
        Self::Coalesce,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Lower => "lower",
            Self::Upper => "upper",
            Self::Length => "length",
            Self::Btrim => "btrim",
            Self::Ltrim => "ltrim",
            Self::Rtrim => "rtrim",
            Self::Left => "left",
            Self::Right => "right",
            Self::Substr => "substr",
            Self::Strpos => "strpos",
            Self::StartsWith => "starts_with",
            Self::Coalesce => "coalesce",
        }
    }

    /// Fewest and most arguments.
    pub(crate) fn arity(self) -> (usize, usize) {
        match self {
            Self::Lower | Self::Upper | Self::Length => (1, 1),
            Self::Btrim | Self::Ltrim | Self::Rtrim => (1, 2),
            Self::Left | Self::Right | Self::Strpos | Self::StartsWith => (2, 2),
            Self::Substr => (2, 3),
            Self::Coalesce => (2, 16),
        }
    }
}
