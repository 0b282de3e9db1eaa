//! Reads what a database holds, as the owner role sees it.
//!
//! Must never list what the owner cannot read: it could not be governed. Called by `Warehouse::catalog`.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::{Client, IsolationLevel};

use lanyard_engine::catalog::{Catalog, Column, ForeignKey, Keys, Relation, RelationKind, RelationName};
use lanyard_engine::names;

use super::error::WarehouseError;
use super::migration;
use super::objects;

const DOING: &str = "reading the catalog";

/// Relations of other schemas than the system's and Lanyard's that the current role may read.
const RELATIONS: &str = "
    SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relrowsecurity,
           ARRAY(SELECT a.attname::text
                 FROM pg_index i
                 CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
                 JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
                 WHERE i.indrelid = c.oid AND i.indisprimary
                 ORDER BY k.place)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT n.nspname = ANY ($1)
      AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')";

/// Columns of those relations.
const COLUMNS: &str = "
    SELECT a.attrelid, a.attnum, a.attname::text, a.atttypid, format_type(a.atttypid, a.atttypmod),
           t.typcategory::text, a.attnotnull,
           coalesce((SELECT k.collisdeterministic FROM pg_collation k WHERE k.oid = a.attcollation), false)
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attrelid, a.attnum";

/// Valid unique indexes over plain columns. A table with inheritance children has none: an index sees its own rows only.
const UNIQUE: &str = "
    SELECT i.indrelid,
           ARRAY(SELECT a.attname::text
                 FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
                 JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
                 WHERE k.place <= i.indnkeyatts
                 ORDER BY k.place)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    WHERE i.indrelid = ANY ($1) AND i.indisunique AND i.indisvalid AND i.indimmediate
      AND i.indpred IS NULL AND i.indexprs IS NULL
      AND (c.relkind = 'p' OR NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhparent = c.oid))
    ORDER BY i.indrelid, i.indexrelid";

/// Foreign keys. Those that PostgreSQL makes for each partition of the parent are left out.
const FOREIGN: &str = "
    SELECT f.conrelid, n.nspname::text, p.relname::text,
           ARRAY(SELECT a.attname::text
                 FROM unnest(f.conkey) WITH ORDINALITY AS k(number, place)
                 JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.number
                 ORDER BY k.place),
           ARRAY(SELECT a.attname::text
                 FROM unnest(f.confkey) WITH ORDINALITY AS k(number, place)
                 JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.number
                 ORDER BY k.place)
    FROM pg_constraint f
    JOIN pg_class p ON p.oid = f.confrelid JOIN pg_namespace n ON n.oid = p.relnamespace
    WHERE f.contype = 'f' AND f.conrelid = ANY ($1)
      AND NOT EXISTS (SELECT FROM pg_constraint u WHERE u.oid = f.conparentid AND u.conrelid = f.conrelid)
    ORDER BY f.conrelid, f.oid";

/// What a database holds, and whether its DBA is changing it.
#[derive(Debug)]
pub struct Reading {
    /// Relations, columns and keys in one snapshot.
    pub catalog: Catalog,
    /// Is a migration under way? Then this may be half of it.
    pub migrating: bool,
}

/// Sequences that columns' defaults draw from. Those of identity columns need no right.
const SEQUENCES: &str = "
    SELECT d.adrelid, a.attname::text, n.nspname::text, s.relname::text
    FROM pg_attrdef d
    JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
    JOIN pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid AND p.refclassid = 'pg_class'::regclass
    JOIN pg_class s ON s.oid = p.refobjid AND s.relkind = 'S'
    JOIN pg_namespace n ON n.oid = s.relnamespace
    WHERE d.adrelid = ANY ($1)
    ORDER BY d.adrelid, a.attnum";

/// Tables that have partitions or inheritance children.
const PARENTS: &str = "SELECT DISTINCT inhparent FROM pg_inherits WHERE inhparent = ANY ($1)";

/// Defaults as SQL; NULL for those that are not an expression of the column's own. Columns without any are left out.
const DEFAULTS: &str = "
    SELECT a.attrelid, a.attname::text,
           CASE WHEN a.attgenerated = '' AND a.attidentity = '' THEN pg_get_expr(d.adbin, d.adrelid) END
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
      AND (d.oid IS NOT NULL OR a.attidentity <> '' OR t.typdefault IS NOT NULL)
    ORDER BY a.attrelid, a.attnum";

/// Reads relations, columns and keys in one snapshot. The connection's search_path is `pg_catalog`, so that `format_type`
/// qualifies every type of a user.
pub(super) async fn read(client: &mut Client) -> Result<Reading, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    let tx = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(failed)?;
    tx.batch_execute(&format!("SET LOCAL ROLE {}", names::OWNER_ROLE)).await.map_err(failed)?;
    let migrating = migration::under_way(&tx).await?.is_some();
    let ours: Vec<&str> =
        vec![names::PRIVATE_SCHEMA, names::SECURED_SCHEMA, names::CATALOG_SCHEMA, names::INFORMATION_SCHEMA];
    let mut relations = BTreeMap::new();
    for row in tx.query(RELATIONS, &[&ours]).await.map_err(failed)? {
        let relation = relation(&row).map_err(failed)?;
        relations.insert(relation.oid, relation);
    }
    let oids: Vec<u32> = relations.keys().copied().collect();
    for row in tx.query(COLUMNS, &[&oids]).await.map_err(failed)? {
        let oid: u32 = row.try_get(0).map_err(failed)?;
        let column = column(&row).map_err(failed)?;
        if let Some(relation) = relations.get_mut(&oid) {
            relation.columns.push(column);
        }
    }
    for row in tx.query(UNIQUE, &[&oids]).await.map_err(failed)? {
        let oid: u32 = row.try_get(0).map_err(failed)?;
        if let Some(relation) = relations.get_mut(&oid) {
            relation.keys.unique.push(row.try_get(1).map_err(failed)?);
        }
    }
    for row in tx.query(FOREIGN, &[&oids]).await.map_err(failed)? {
        let oid: u32 = row.try_get(0).map_err(failed)?;
        let key = foreign_key(&row).map_err(failed)?;
        if let Some(relation) = relations.get_mut(&oid) {
            relation.keys.foreign.push(key);
        }
    }
    for row in tx.query(SEQUENCES, &[&oids]).await.map_err(failed)? {
        let oid: u32 = row.try_get(0).map_err(failed)?;
        let sequence = RelationName::new(row.try_get(2).map_err(failed)?, row.try_get(3).map_err(failed)?);
        if let Some(relation) = relations.get_mut(&oid) {
            let column = row.try_get(1).map_err(failed)?;
            relation.keys.sequences.entry(column).or_default().insert(sequence);
        }
    }
    for row in tx.query(PARENTS, &[&oids]).await.map_err(failed)? {
        let oid: u32 = row.try_get(0).map_err(failed)?;
        if let Some(relation) = relations.get_mut(&oid) {
            relation.keys.children = true;
        }
    }
    for row in tx.query(DEFAULTS, &[&oids]).await.map_err(failed)? {
        let oid: u32 = row.try_get(0).map_err(failed)?;
        if let Some(relation) = relations.get_mut(&oid) {
            relation.keys.defaults.insert(row.try_get(1).map_err(failed)?, row.try_get(2).map_err(failed)?);
        }
    }
    let relations = relations.into_values().map(|r| (r.name.clone(), r)).collect();
    let mut catalog = Catalog { relations, ..Catalog::default() };
    objects::read(&tx, &ours, &mut catalog).await.map_err(failed)?;
    tx.commit().await.map_err(failed)?;
    Ok(Reading { catalog, migrating })
}

fn relation(row: &tokio_postgres::Row) -> Result<Relation, tokio_postgres::Error> {
    let kind = match row.try_get::<_, &str>(3)? {
        "p" => RelationKind::PartitionedTable,
        "v" => RelationKind::View,
        "m" => RelationKind::MaterializedView,
        "f" => RelationKind::ForeignTable,
        // The query asks for no other.
        _ => RelationKind::Table,
    };
    Ok(Relation {
        name: RelationName::new(row.try_get(1)?, row.try_get(2)?),
        oid: row.try_get(0)?,
        kind,
        columns: Vec::new(),
        primary_key: row.try_get(5)?,
        keys: Keys::default(),
        row_security: row.try_get(4)?,
        tags: BTreeSet::new(),
    })
}

fn foreign_key(row: &tokio_postgres::Row) -> Result<ForeignKey, tokio_postgres::Error> {
    Ok(ForeignKey {
        columns: row.try_get(3)?,
        parent: RelationName::new(row.try_get(1)?, row.try_get(2)?),
        parent_columns: row.try_get(4)?,
    })
}

fn column(row: &tokio_postgres::Row) -> Result<Column, tokio_postgres::Error> {
    Ok(Column {
        name: row.try_get(2)?,
        number: row.try_get(1)?,
        type_oid: row.try_get(3)?,
        type_sql: row.try_get(4)?,
        category: row.try_get::<_, &str>(5)?.chars().next().unwrap_or('U'),
        not_null: row.try_get(6)?,
        deterministic: row.try_get(7)?,
        tags: BTreeSet::new(),
    })
}
