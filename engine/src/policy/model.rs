//! A policy as a value: what the text says, checked, with nothing of the catalog in it.
//!
//! Made by the parser only; read by the judge, `check`, `explain` and the printer.

use std::collections::BTreeSet;

mod mask;
mod rows;
mod target;
mod who;

pub use mask::{Entity, Mask, Nulls, Unit};
pub use rows::{
    Branch, EventColumn, Hop, Match, Missing, Rows, RowsShown, Share, Span, SpanUnit, Target, Through,
    Window, WindowSide,
};
pub use target::{ColumnMatch, ColumnName, Columns, NamePattern, TableMatch, TableName, Tables, Tag};
pub use who::{Condition, Party, PartyKind, Question, Test, Who};

use serde::{Deserialize, Serialize};

use super::predicate::Predicate;
use crate::catalog::RelationName;
use crate::entitlement::{Leftovers, Operation};

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Unique in a set; the purposes have names of their own.
    pub name: String,
    /// Whether it is enforced.
    #[serde(default)]
    pub state: State,
    /// Whom it looks at.
    #[serde(default)]
    pub watches: Watches,
    /// What it says.
    pub rule: Rule,
    /// Where its name stands.
    #[serde(skip)]
    pub place: Place,
}

/// Life of a policy. Only `Active` is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Being written; findings about it are warnings.
    Draft,
    /// Waits to be made active.
    Staged,
    /// Evaluated and shown by `explain`, never enforced.
    Shadow,
    /// Enforced.
    #[default]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watches {
    /// Whose data it is.
    #[default]
    Subject,
    /// The acting agent; such a policy only restricts.
    Actor,
    /// Each of them: what it asks must hold for both.
    Both,
}

/// What a policy says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Who may do what with which tables.
    Grant(Grant),
    /// What the judge of statements lets through beyond its own lists.
    Permit(Permit),
    /// What everyone who uses a table must be.
    Guardrail(Guardrail),
    /// Which rows are shown.
    Rows(Rows),
    /// How columns come out.
    Mask(MaskRule),
    /// Whom a mask `for everyone except` spares as well.
    Reveal(Reveal),
    /// What a session may say it is for.
    Purpose(Purpose),
}

/// `allow … on … to …`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Never empty.
    pub operations: BTreeSet<Operation>,
    /// Which tables.
    pub on: Tables,
    /// To whom.
    pub to: Who,
}

/// `allow workspace | function … | type … | extension … | channel … | unmask on columns … to …`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permit {
    /// What.
    pub what: Permitted,
    /// To whom.
    pub to: Who,
}

/// What a permit lets through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permitted {
    /// Temporary tables and one scratch schema of the subject's own.
    Workspace(Leftovers),
    /// Functions by schema and name, every one of that name; never empty.
    Functions(Vec<RelationName>),
    /// Types by schema and name; never empty.
    Types(Vec<RelationName>),
    /// Everything of these extensions; never empty.
    Extensions(Vec<String>),
    /// LISTEN and NOTIFY on these channels; never empty.
    Channels(Vec<String>),
    /// Undoing the masks that can be undone, on these columns.
    Unmask(Columns),
}

/// `require … on …`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guardrail {
    /// What one must be.
    pub require: Who,
    /// Which tables.
    pub on: Tables,
}

/// `mask columns … with …`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskRule {
    /// Which columns.
    pub columns: Columns,
    /// `who … with …`, the first that holds decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<MaskBranch>,
    /// Without a branch that holds.
    pub otherwise: Masking,
    /// For whom.
    #[serde(default)]
    pub scope: Scope,
    /// Never replaced by a weaker mask.
    #[serde(default)]
    pub strength: Strength,
}

impl MaskRule {
    /// Every way this rule could mask, whoever asks.
    pub fn maskings(&self) -> impl Iterator<Item = &Masking> {
        self.branches.iter().map(|b| &b.masking).chain([&self.otherwise])
    }
}

/// One `who … with …`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskBranch {
    /// Whom it is for.
    pub who: Who,
    /// How they see the column.
    pub masking: Masking,
}

/// How a column comes out of one branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Masking {
    /// As it is.
    Clear,
    /// Through a mask.
    With {
        /// Which.
        mask: Mask,
        /// In the rows where this is not FALSE; in every row without. Never with `deny`.
        #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
        cells: Option<Box<Predicate>>,
    },
}

/// `reveal columns … to …`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reveal {
    /// Which columns.
    pub columns: Columns,
    /// To whom.
    pub to: Who,
}

/// `purpose … '…' to …`; its policy's name is the purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purpose {
    /// What one acknowledges by naming the purpose.
    pub statement: String,
    /// Who may.
    pub to: Who,
}

/// Does a mask give way to another?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strength {
    /// The deepest tag decides.
    #[default]
    Usual,
    /// Nothing weaker replaces it.
    Floor,
}

/// For whom a row or mask policy works.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everyone.
    #[default]
    Everyone,
    /// Everyone but these.
    Except(Who),
    /// These alone.
    Only(Who),
}
