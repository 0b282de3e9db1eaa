//! What a warehouse holds, as values: relations, columns, types, tags.
//!
//! No I/O: adapters read it, the engine judges with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// A relation's schema and name, as PostgreSQL stores them (already folded, unquoted).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RelationName {
    /// Schema.
    pub schema: String,
    /// Relation.
    pub name: String,
}

impl RelationName {
    /// Both parts.
    #[must_use]
    pub fn new(schema: &str, name: &str) -> Self {
        Self { schema: schema.to_owned(), name: name.to_owned() }
    }
}

impl fmt::Display for RelationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// A dotted path, `PII.Email`. Matching is by whole parts: `PII` covers `PII.Email`, not `PIIX`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TagPath(pub String);

impl TagPath {
    /// The tag that marks an agent's tools.
    pub const AGENT_TOOL: &'static str = "Agent.Tool";

    /// Is `self` this `pattern` or below it?
    #[must_use]
    pub fn is_under(&self, pattern: &Self) -> bool {
        self.0.strip_prefix(pattern.0.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// Number of parts.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.split('.').count()
    }
}

impl fmt::Display for TagPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a relation is in `pg_class.relkind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationKind {
    /// `r`.
    Table,
    /// `p`.
    PartitionedTable,
    /// `v`.
    View,
    /// `m`.
    MaterializedView,
    /// `f`.
    ForeignTable,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name.
    pub name: String,
    /// `pg_attribute.attnum`.
    pub number: i16,
    /// `pg_type.oid`.
    pub type_oid: u32,
    /// Fully qualified SQL spelling with typmod, from `format_type` under an empty search_path:
    /// `character varying(40)`, `numeric(12,2)`, `public.mood`.
    pub type_sql: String,
    /// `pg_type.typcategory` (`S` text family, `N` numbers, `D` dates, `B` boolean, `U` user-defined, …).
    pub category: char,
    /// `attnotnull`.
    pub not_null: bool,
    /// Tags of this column, its own only.
    pub tags: BTreeSet<TagPath>,
}

/// Unique and foreign keys, as the warehouse enforces them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Keys {
    /// Columns of each valid unique index over plain columns, without a condition; the primary key's too.
    pub unique: Vec<Vec<String>>,
    /// Foreign keys.
    pub foreign: Vec<ForeignKey>,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Columns of the table.
    pub columns: Vec<String>,
    /// The parent.
    pub parent: RelationName,
    /// Its columns, in the same order.
    pub parent_columns: Vec<String>,
}

/// A table, view or the like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    /// Schema and name.
    pub name: RelationName,
    /// `pg_class.oid`.
    pub oid: u32,
    /// Kind.
    pub kind: RelationKind,
    /// Columns in attnum order, dropped ones left out.
    pub columns: Vec<Column>,
    /// Names of the primary key's columns, empty without one.
    pub primary_key: Vec<String>,
    /// What else its rows are told apart by, and where they point.
    #[serde(default)]
    pub keys: Keys,
    /// Does the table have row security of its own (`relrowsecurity`)? Such a table is refused.
    pub row_security: bool,
    /// Tags of this relation, with those of its schema.
    pub tags: BTreeSet<TagPath>,
}

impl Relation {
    /// The column of that name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// Does the warehouse see to it that no two rows are equal in this column?
    #[must_use]
    pub fn is_unique(&self, column: &str) -> bool {
        self.keys.unique.iter().any(|key| matches!(key.as_slice(), [one] if one == column))
    }
}

/// One database's relations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalog {
    /// Relations by name.
    pub relations: BTreeMap<RelationName, Relation>,
}

/// Every tag assignment, as governance keeps them: `schema`, `schema.table` or `schema.table.column` -> tags.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tags {
    /// Known tags; a policy that names another one does not compile.
    pub definitions: BTreeSet<TagPath>,
    /// Schema -> tags.
    #[serde(default)]
    pub schemas: BTreeMap<String, BTreeSet<TagPath>>,
    /// `schema.table` -> tags.
    #[serde(default)]
    pub tables: BTreeMap<String, BTreeSet<TagPath>>,
    /// `schema.table.column` -> tags.
    #[serde(default)]
    pub columns: BTreeMap<String, BTreeSet<TagPath>>,
}

impl Tags {
    /// Puts the tags onto the relations and columns they name. Names that match nothing are returned, for `check` to report.
    pub fn apply(&self, catalog: &mut Catalog) -> Vec<String> {
        let mut unused: BTreeSet<String> =
            self.schemas.keys().chain(self.tables.keys()).chain(self.columns.keys()).cloned().collect();
        for (name, relation) in &mut catalog.relations {
            let table_key = name.to_string();
            if let Some(tags) = self.schemas.get(&name.schema) {
                unused.remove(&name.schema);
                relation.tags.extend(tags.iter().cloned());
            }
            if let Some(tags) = self.tables.get(&table_key) {
                unused.remove(&table_key);
                relation.tags.extend(tags.iter().cloned());
            }
            for column in &mut relation.columns {
                let key = format!("{table_key}.{}", column.name);
                if let Some(tags) = self.columns.get(&key) {
                    unused.remove(&key);
                    column.tags.extend(tags.iter().cloned());
                }
            }
        }
        unused.into_iter().collect()
    }
}
