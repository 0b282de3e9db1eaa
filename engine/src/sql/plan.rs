//! What a walk wants changed in a text, and what it found; `judge` applies the edits, `verify` checks the changes.

use crate::record::ObjectUse;

use super::edit::Edit;
use super::judge::Effect;

/// One planned change, as `verify` expects to find it in the new tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// The relation at this byte becomes `schema.name`, and has this alias when it had none.
    Relation { at: usize, schema: String, name: String, alias: Option<String> },
    /// The function at this byte becomes `schema.name`.
    Function { at: usize, schema: String, name: String },
    /// The column reference at this byte loses this many leading parts.
    Column { at: usize, dropped: usize },
    /// The argument of the cast at this byte becomes this one, inside a call of this function of the virtual catalog.
    Through { at: usize, function: &'static str, argument: String, becomes: String },
    /// The argument of the cast at this byte, itself judged and perhaps changed, stands inside a call of this function of the
    /// virtual catalog.
    Around { at: usize, function: &'static str },
    /// The LIKE at this byte stands behind AND and what it implies: the column begins with this prefix. All three as SQL.
    Prefix { at: usize, column: String, pattern: String, prefix: String },
    /// In front of the column reference at this byte, in a GROUP BY, stand these columns, as SQL.
    Dependent { at: usize, columns: Vec<String> },
    /// The DEFAULT at this byte becomes this expression.
    Default { at: usize, expression: String },
    /// The output column that begins at this byte has this name.
    Label { at: usize, name: String },
    /// The type at this byte becomes `schema.name`.
    Type { at: usize, schema: String, name: String },
    /// The literal at this byte becomes this text.
    Literal { at: usize, text: String },
    /// `COPY t (columns) TO` whose relation stands at this byte becomes COPY of this query.
    CopyQuery { at: usize, query: String },
    /// The whole statement of this index becomes this constant.
    Statement { index: usize, text: String },
    /// The domain that the statement of this index makes is called `schema.name`.
    Domain { index: usize, schema: String, name: String },
    /// The prepared statement that the statement of this index names is called [`super::named::PLACEHOLDER`].
    Name { index: usize },
}

/// What the walk found.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    pub(super) edits: Vec<Edit>,
    pub(super) changes: Vec<Change>,
    pub(super) operation: String,
    pub(super) objects: Vec<ObjectUse>,
    pub(super) effects: Vec<(usize, Effect)>,
    /// Does policy shape a relation in it?
    pub(super) shaped: bool,
    /// Does it read system catalogs?
    pub(super) catalogs: bool,
    /// Does it call what leaves something in the session?
    pub(super) keeps: bool,
}
