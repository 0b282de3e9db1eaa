//! What one (subject, actor) may do: relation -> operations, filter, column rules, and the secured view that says so.
//!
//! Values only; `policy::judge` makes them, `sql` and the warehouse adapter read them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::catalog::RelationName;
use crate::record::ObjectUse;

/// SHA-256 (FIPS 180-4) over the canonical form of an entitlement, cut to 128 bits, printed as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 16]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// What may be done with a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// SELECT, COPY TO.
    Read,
    /// INSERT, UPDATE, DELETE.
    Write,
}

/// What happens at the end of a lease to what is left in a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leftovers {
    /// It is dropped.
    #[default]
    Dropped,
    /// It is there again at the subject's next lease.
    Kept,
}

/// What the judge of statements lets through beyond its own lists. Empty unless a policy says so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extras {
    /// Temporary tables and one scratch schema of the subject's own.
    pub workspace: Option<Leftovers>,
    /// Functions, every one of that schema and name.
    pub functions: BTreeSet<RelationName>,
    /// Types.
    pub types: BTreeSet<RelationName>,
    /// Extensions, with everything of theirs that may be let through.
    pub extensions: BTreeSet<String>,
    /// What that is, in order of name.
    pub members: Vec<Arc<Extension>>,
    /// Channels of LISTEN and NOTIFY.
    pub channels: BTreeSet<String>,
    /// Keys whose masks may be undone (`reversible:NAME`, `token`) -> columns as `schema.table.column` that this is for.
    pub unmask: BTreeMap<String, BTreeSet<String>>,
}

/// What statements may use of an extension. Nothing of PostgreSQL's own schemas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// Functions.
    pub functions: BTreeSet<RelationName>,
    /// Types.
    pub types: BTreeSet<RelationName>,
    /// Operators.
    pub operators: BTreeSet<RelationName>,
    /// Names of functions that nothing but this extension has outside of PostgreSQL's own schemas.
    pub alone: BTreeSet<String>,
}

impl Extras {
    /// May this function be called?
    #[must_use]
    pub fn has_function(&self, name: &RelationName) -> bool {
        self.functions.contains(name) || self.members.iter().any(|one| one.functions.contains(name))
    }

    /// May this type be named?
    #[must_use]
    pub fn has_type(&self, name: &RelationName) -> bool {
        self.types.contains(name) || self.members.iter().any(|one| one.types.contains(name))
    }

    /// May this operator be used?
    #[must_use]
    pub fn has_operator(&self, name: &RelationName) -> bool {
        self.members.iter().any(|one| one.operators.contains(name))
    }
}

/// How a column comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnRule {
    /// As it is.
    Clear,
    /// Through a mask.
    Masked {
        /// The mask's word: `constant`, `hash`, …; `null` where it fell back.
        mask: &'static str,
        /// The policy that decided.
        policy: String,
    },
    /// Does not exist for this principal.
    Denied {
        /// The policy that decided.
        policy: String,
    },
}

/// How rows come out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowRule {
    /// All of them.
    All,
    /// Only those that pass.
    Filtered {
        /// The policies whose predicates are ANDed, in order of name.
        policies: Vec<String>,
        /// The SQL condition over the raw table under the alias `t`, for people to read.
        condition: String,
    },
}

/// A visible column of a secured view, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewColumn {
    /// Its name, in the table and in the view.
    pub name: String,
    /// Its type as [`Column::type_sql`](crate::catalog::Column::type_sql) spells it; masks keep it.
    pub type_sql: String,
    /// `attnum` in the base table.
    pub base_number: i16,
    /// May it be written through the view? Masked columns may not.
    pub writable: bool,
    /// Does `LIKE 'abc%'` on it imply `^@ 'abc'`? For text as it is in the table, under a deterministic collation.
    pub by_prefix: bool,
}

/// What the table beneath a secured view does, and the view does not say of itself. Nothing of it is enforced; the splice needs
/// it where PostgreSQL treats a view otherwise than a table. Not in the fingerprint: whoever holds an entitlement goes on with
/// the next one when only this changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Beneath {
    /// Columns of the primary key where all of them are shown as they are, and the warehouse sees to it that no two rows are
    /// equal in them; else empty.
    pub key: Vec<String>,
    /// Has it neither partitions nor inheritance children?
    pub childless: bool,
    /// Defaults of columns that may be written ([`Keys::defaults`](crate::catalog::Keys::defaults)); absent where none may.
    pub defaults: Option<BTreeMap<String, Option<String>>>,
}

/// The immutable, content-addressed view that carries one (table, policy shape).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecuredView {
    /// `v_` and 32 hexadecimal digits: the hash of the SELECT, the barrier, and the columns' names and types.
    pub name: String,
    /// The SELECT that defines it, fully qualified.
    pub select_sql: String,
    /// `security_barrier`: exactly when rows are filtered.
    pub barrier: bool,
    /// The columns that exist for this principal.
    pub columns: Vec<ViewColumn>,
    /// Ids of the rows of `lanyard.mask_key` that its masks read; made by the adapter when missing.
    pub keys: BTreeSet<String>,
}

/// What one principal may do with one relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The governed relation.
    pub relation: RelationName,
    /// Its OID when the catalog was read.
    pub oid: u32,
    /// Never empty.
    pub operations: BTreeSet<Operation>,
    /// Row rule.
    pub rows: RowRule,
    /// Column rule by column name, denied ones included.
    pub columns: BTreeMap<String, ColumnRule>,
    /// Policies that granted.
    pub granted_by: Vec<String>,
    /// Sequences that its writable columns draw from, where it may be written.
    pub sequences: BTreeSet<RelationName>,
    /// Masked columns whose mask can be undone -> ids of the keys it takes.
    pub undone_by: BTreeMap<String, BTreeSet<String>>,
    /// Of the table beneath the view.
    pub beneath: Beneath,
    /// The view that enforces all this.
    pub view: SecuredView,
}

impl Operation {
    /// The word in policies and records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl Access {
    /// How a use of it stands in a record.
    #[must_use]
    pub fn used(&self, operation: Operation) -> ObjectUse {
        let filters = match &self.rows {
            RowRule::All => Vec::new(),
            RowRule::Filtered { policies, .. } => policies.clone(),
        };
        let masks = self
            .columns
            .iter()
            .filter_map(|(column, rule)| match rule {
                ColumnRule::Masked { mask, policy } => Some(format!("{column}: {mask} ({policy})")),
                ColumnRule::Clear | ColumnRule::Denied { .. } => None,
            })
            .collect();
        let relation = self.relation.to_string();
        ObjectUse { relation, operation: operation.word(), filters, masks, shadow: Vec::new() }
    }

    /// May COPY FROM fill it? Where no column is masked: a COPY names columns by their places. Rows are checked one by one.
    #[must_use]
    pub fn takes_copies(&self) -> bool {
        self.operations.contains(&Operation::Write)
            && !self.columns.values().any(|rule| matches!(rule, ColumnRule::Masked { .. }))
    }

    /// Does policy shape what comes out (so that messages must carry no values)?
    #[must_use]
    pub fn is_shaped(&self) -> bool {
        self.rows != RowRule::All || self.columns.values().any(|rule| *rule != ColumnRule::Clear)
    }
}

/// What one principal may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitlement {
    /// Schema -> table -> access. Two levels so that look-ups need no allocation.
    /// Principals with equal access share it.
    pub relations: BTreeMap<String, BTreeMap<String, Arc<Access>>>,
    /// Beyond the lists of the judge of statements.
    pub extras: Extras,
    /// Equal for principals whose views, operations and extras are equal; names the bundle role.
    pub fingerprint: Fingerprint,
    /// What open references in the views read for this session: key (`user.region`) -> values.
    pub session_attributes: BTreeMap<String, BTreeSet<String>>,
    /// What the shadow policies would change on a relation, were they all active; in words, for the record.
    pub shadow: BTreeMap<RelationName, Vec<String>>,
}

impl Entitlement {
    /// Access to that relation, where there is any.
    #[must_use]
    pub fn access(&self, schema: &str, name: &str) -> Option<&Access> {
        self.relations.get(schema)?.get(name).map(Arc::as_ref)
    }

    /// Every access, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = &Access> {
        self.relations.values().flat_map(BTreeMap::values).map(Arc::as_ref)
    }
}
