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
    /// The tag of what nobody has looked at yet.
    pub const NEW: &'static str = "New";

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
    /// Has it a collation, and a deterministic one (`pg_collation.collisdeterministic`): are equal strings equal bytes?
    #[serde(default)]
    pub deterministic: bool,
    /// Tags of this column, its own only.
    pub tags: BTreeSet<TagPath>,
}

/// Unique and foreign keys, as the warehouse enforces them, and what else a table does on its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Keys {
    /// Has it partitions or inheritance children, so that `ONLY` means less than the table?
    #[serde(default)]
    pub children: bool,
    /// Defaults by column, as SQL that names everything by its schema but what is PostgreSQL's own; absent where there is none
    /// (NULL), `None` where it cannot be written out (identity, generated, of a domain).
    #[serde(default)]
    pub defaults: BTreeMap<String, Option<String>>,
    /// Sequences that defaults draw from, by column.
    #[serde(default)]
    pub sequences: BTreeMap<String, BTreeSet<RelationName>>,
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

/// What is known of one function, aggregate or window function; several share a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routine {
    /// Runs with its owner's rights, or is an aggregate over a function that does (`prosecdef`).
    pub definer: bool,
    /// Can do what its caller may do in SQL and nothing else: of a trusted language (`lanpltrusted`), or an aggregate over such
    /// functions and immutable ones of PostgreSQL's own.
    pub trusted: bool,
    /// Takes or gives back a type that prints the names of relations, types or roles (`regclass` and its like).
    pub names_objects: bool,
    /// The extension it belongs to (`pg_depend.deptype = 'e'`).
    pub extension: Option<String>,
}

/// What is known of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedType {
    /// The row of a table or view.
    pub row: bool,
    /// Prints the names of objects: one of PostgreSQL's `reg…` types is inside.
    pub names_objects: bool,
    /// The extension it belongs to.
    pub extension: Option<String>,
}

/// One database: relations, and what else statements can name. Of other schemas than the system's and Lanyard's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalog {
    /// Relations by name.
    pub relations: BTreeMap<RelationName, Relation>,
    /// Functions, aggregates and window functions.
    pub functions: BTreeMap<RelationName, Vec<Routine>>,
    /// Types, without those of arrays.
    pub types: BTreeMap<RelationName, NamedType>,
    /// Operators that belong to an extension and run with the caller's rights, with the extension's name.
    pub operators: BTreeMap<RelationName, BTreeSet<String>>,
    /// Extensions that are installed.
    pub extensions: BTreeSet<String>,
}

impl Catalog {
    /// As the warehouse reports it: without the tags that governance put on it.
    #[must_use]
    pub fn untagged(&self) -> Self {
        let mut bare = self.clone();
        for relation in bare.relations.values_mut() {
            relation.tags.clear();
            relation.columns.iter_mut().for_each(|column| column.tags.clear());
        }
        bare
    }
}

/// What a database held when somebody last looked: table -> column -> type. What is not in it is new.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Known(pub BTreeMap<String, BTreeMap<String, String>>);

impl Known {
    /// Everything there is now.
    #[must_use]
    pub fn of(catalog: &Catalog) -> Self {
        let mut known = Self::default();
        for relation in catalog.relations.values() {
            known.learn(relation);
        }
        known
    }

    /// All columns of a relation, and none that it has no more.
    pub fn learn(&mut self, relation: &Relation) {
        let columns = relation.columns.iter().map(|c| (c.name.clone(), c.type_sql.clone()));
        self.0.insert(relation.name.to_string(), columns.collect());
    }

    /// One column of a relation that is known.
    pub fn learn_column(&mut self, relation: &RelationName, column: &Column) {
        let columns = self.0.entry(relation.to_string()).or_default();
        columns.insert(column.name.clone(), column.type_sql.clone());
    }

    /// Tags as `New` the tables and columns that are not known, by name and type: policy hides them until somebody has
    /// looked (policy.md §2). A table that was dropped and made again as it was is not new.
    pub fn mark(&self, catalog: &mut Catalog) {
        let new = TagPath(TagPath::NEW.to_owned());
        for relation in catalog.relations.values_mut() {
            let Some(columns) = self.0.get(&relation.name.to_string()) else {
                relation.tags.insert(new.clone());
                continue;
            };
            for column in &mut relation.columns {
                if columns.get(&column.name) != Some(&column.type_sql) {
                    column.tags.insert(new.clone());
                }
            }
        }
    }
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
    /// `schema.table.column` -> where its tags come from, for those that no person gave.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub origins: BTreeMap<String, BTreeMap<TagPath, Origin>>,
}

/// Where a tag comes from when no person gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "origin")]
pub enum Origin {
    /// `lanyard identify` found it in the values.
    Identified {
        /// Which identifier.
        identifier: String,
        /// Share of the sampled values that it took, in percent.
        percent: u8,
    },
    /// Another catalog says so.
    External {
        /// Which.
        source: String,
    },
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

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(columns: &[(&str, &str)]) -> Catalog {
        let name = RelationName::new("public", "t");
        let columns = columns.iter().zip(1..).map(|((name, type_sql), number)| Column {
            name: (*name).into(),
            number,
            type_oid: 25,
            type_sql: (*type_sql).into(),
            category: 'S',
            not_null: false,
            deterministic: false,
            tags: BTreeSet::new(),
        });
        let relation = Relation {
            name: name.clone(),
            oid: 1,
            kind: RelationKind::Table,
            columns: columns.collect(),
            primary_key: Vec::new(),
            keys: Keys::default(),
            row_security: false,
            tags: BTreeSet::new(),
        };
        Catalog { relations: BTreeMap::from([(name, relation)]), ..Catalog::default() }
    }

    /// New names of a catalog: the table's, or those of its columns.
    fn new(known: &Known, mut catalog: Catalog) -> Vec<String> {
        known.mark(&mut catalog);
        let is_new = |tags: &BTreeSet<TagPath>| tags.iter().any(|tag| tag.0 == TagPath::NEW);
        let relation = &catalog.relations[&RelationName::new("public", "t")];
        let columns = relation.columns.iter().filter(|c| is_new(&c.tags)).map(|c| c.name.clone());
        is_new(&relation.tags).then(|| "t".to_owned()).into_iter().chain(columns).collect()
    }

    #[test]
    fn what_has_another_name_or_type_than_before_is_new() {
        let before = [("a", "text"), ("b", "integer")];
        let known = Known::of(&catalog(&before));
        assert!(new(&known, catalog(&before)).is_empty(), "made again as it was");
        assert!(new(&known, catalog(&before[..1])).is_empty(), "a column less");
        assert_eq!(new(&known, catalog(&[("a", "text"), ("b", "integer"), ("c", "text")])), ["c"]);
        assert_eq!(new(&known, catalog(&[("a", "text"), ("b", "text")])), ["b"], "another type");
        assert_eq!(new(&known, catalog(&[("a", "text"), ("B", "integer")])), ["B"], "another name");
        assert_eq!(new(&Known::default(), catalog(&before)), ["t"], "the table says it for its columns");
    }

    #[test]
    fn what_was_looked_at_is_new_no_more() {
        let now = catalog(&[("a", "text"), ("b", "text"), ("c", "text")]);
        let relation = &now.relations[&RelationName::new("public", "t")];
        let mut known = Known::of(&catalog(&[("a", "text")]));
        known.learn_column(&relation.name, &relation.columns[2]);
        assert_eq!(new(&known, now.clone()), ["b"]);
        known.learn(relation);
        assert!(new(&known, now.clone()).is_empty());
    }
}
