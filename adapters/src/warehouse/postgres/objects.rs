//! Reads what statements can name beside relations: functions, types, operators of extensions, extensions.
//!
//! Facts only; which of them a policy may open is the engine's to decide. Must never read what belongs to PostgreSQL itself or to
//! Lanyard. Called by `catalog::read`, in its transaction.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Transaction;

use lanyard_engine::catalog::{Catalog, NamedType, RelationName, Routine};

type Failed = tokio_postgres::Error;

/// Types that read or print the names of relations, functions, types, schemas and roles, and their arrays. (Those of text search
/// and collations name nothing that policy hides.)
const NAMING: &str = "
    naming AS MATERIALIZED (
      SELECT t.oid FROM pg_type t WHERE t.typnamespace = 'pg_catalog'::regnamespace
        AND t.typname ~ '^_?reg(class|proc|procedure|oper|operator|type|role|namespace)$'),
    inside(root, typ) AS (
      SELECT t.oid, t.oid FROM pg_type t WHERE t.typnamespace <> 'pg_catalog'::regnamespace
      UNION
      SELECT i.root, x.typ FROM inside i JOIN pg_type t ON t.oid = i.typ
      CROSS JOIN LATERAL (
        SELECT t.typbasetype WHERE t.typbasetype <> 0
        UNION ALL SELECT t.typelem WHERE t.typelem <> 0
        UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = t.oid OR r.rngmultitypid = t.oid
        UNION ALL SELECT a.atttypid FROM pg_attribute a
          WHERE t.typrelid <> 0 AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
      ) AS x(typ)
      WHERE t.typnamespace <> 'pg_catalog'::regnamespace),
    named AS MATERIALIZED (
      SELECT oid FROM naming UNION SELECT i.root FROM inside i JOIN naming n ON n.oid = i.typ)";

/// `$1`: Lanyard's schemas. An aggregate is what its support functions are: definer where one is, trusted where all are of a trusted
/// language or immutable ones of PostgreSQL's own.
const FUNCTIONS: &str = "
    SELECT n.nspname::text, p.proname::text,
           p.prosecdef OR coalesce(s.definer, false),
           CASE p.prokind WHEN 'a' THEN coalesce(s.trusted, true) ELSE l.lanpltrusted END,
           EXISTS (SELECT FROM named d
                   WHERE d.oid = p.prorettype OR d.oid = ANY (p.proargtypes) OR d.oid = ANY (p.proallargtypes)),
           e.extname::text
    FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_language l ON l.oid = p.prolang
    LEFT JOIN LATERAL (
      SELECT bool_or(f.prosecdef) AS definer,
             bool_and(m.lanpltrusted OR f.pronamespace = 'pg_catalog'::regnamespace AND f.provolatile = 'i') AS trusted
      FROM pg_aggregate a
      JOIN pg_proc f ON f.oid = ANY (ARRAY[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
                                           a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn]::oid[])
      JOIN pg_language m ON m.oid = f.prolang
      WHERE a.aggfnoid = p.oid
    ) AS s ON true
    LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                         AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
    LEFT JOIN pg_extension e ON e.oid = d.refobjid
    WHERE p.prokind IN ('f', 'a', 'w') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT n.nspname = ANY ($1)
    ORDER BY 1, 2, p.oid";

/// Without arrays, which are named after their elements, and without the rows that belong to composite types' relations only.
const TYPES: &str = "
    SELECT n.nspname::text, t.typname::text, coalesce(c.relkind <> 'c', false), d.oid IS NOT NULL, e.extname::text
    FROM pg_type t
    JOIN pg_namespace n ON n.oid = t.typnamespace
    LEFT JOIN pg_class c ON c.oid = t.typrelid
    LEFT JOIN named d ON d.oid = t.oid
    LEFT JOIN pg_depend x ON x.classid = 'pg_type'::regclass AND x.objid = t.oid
                         AND x.refclassid = 'pg_extension'::regclass AND x.deptype = 'e'
    LEFT JOIN pg_extension e ON e.oid = x.refobjid
    WHERE NOT EXISTS (SELECT FROM pg_type o WHERE o.typarray = t.oid) AND t.typtype IN ('b', 'c', 'd', 'e', 'm', 'r')
      AND t.typisdefined AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT n.nspname = ANY ($1)
    ORDER BY 1, 2";

const OPERATORS: &str = "
    SELECT n.nspname::text, o.oprname::text, e.extname::text
    FROM pg_operator o
    JOIN pg_namespace n ON n.oid = o.oprnamespace
    JOIN pg_proc p ON p.oid = o.oprcode
    JOIN pg_depend d ON d.classid = 'pg_operator'::regclass AND d.objid = o.oid
                    AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
    JOIN pg_extension e ON e.oid = d.refobjid
    WHERE NOT p.prosecdef AND n.nspname !~ '^pg_' AND NOT n.nspname = ANY ($1)
    ORDER BY 1, 2, 3";

/// Adds them to the catalog. `ours` are Lanyard's schemas.
pub(super) async fn read(tx: &Transaction<'_>, ours: &[&str], catalog: &mut Catalog) -> Result<(), Failed> {
    let naming = |sql: &str| format!("WITH RECURSIVE {NAMING} {sql}");
    let mut functions: BTreeMap<RelationName, Vec<Routine>> = BTreeMap::new();
    for row in tx.query(&naming(FUNCTIONS), &[&ours]).await? {
        let name = RelationName::new(row.try_get(0)?, row.try_get(1)?);
        functions.entry(name).or_default().push(Routine {
            definer: row.try_get(2)?,
            trusted: row.try_get(3)?,
            names_objects: row.try_get(4)?,
            extension: row.try_get(5)?,
        });
    }
    for row in tx.query(&naming(TYPES), &[&ours]).await? {
        let name = RelationName::new(row.try_get(0)?, row.try_get(1)?);
        let facts =
            NamedType { row: row.try_get(2)?, names_objects: row.try_get(3)?, extension: row.try_get(4)? };
        catalog.types.insert(name, facts);
    }
    let mut operators: BTreeMap<RelationName, BTreeSet<String>> = BTreeMap::new();
    for row in tx.query(OPERATORS, &[&ours]).await? {
        let name = RelationName::new(row.try_get(0)?, row.try_get(1)?);
        operators.entry(name).or_default().insert(row.try_get(2)?);
    }
    for row in tx.query("SELECT extname::text FROM pg_extension ORDER BY 1", &[]).await? {
        catalog.extensions.insert(row.try_get(0)?);
    }
    (catalog.functions, catalog.operators) = (functions, operators);
    Ok(())
}
