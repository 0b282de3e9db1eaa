//! Which governed tables PUBLIC can read: by a grant, or through something that reads them for PUBLIC.
//!
//! Must never look at data. Called by `Warehouse::public_reads` and `doctor`.

use serde::Serialize;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use lanyard_engine::catalog::RelationName;

use super::error::WarehouseError;

/// `exposed(root, relation)`: PUBLIC can read `root`, and through it (all or part of) `relation`. Views and materialized
/// views read with their owner's rights; a parent shows its children. USAGE on the schema is not asked for: one grant of
/// it, by anybody, must not open a table.
pub(super) const EXPOSED: &str = "
    reads(reader, relation) AS (
      SELECT DISTINCT r.ev_class, d.refobjid
      FROM pg_rewrite r
      JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                      AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
      JOIN pg_class v ON v.oid = r.ev_class AND v.relkind IN ('v', 'm')
      UNION
      SELECT inhparent, inhrelid FROM pg_inherits
    ),
    exposed(root, relation) AS (
      SELECT c.oid, c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND has_any_column_privilege('public', c.oid, 'SELECT')
      UNION
      SELECT e.root, r.relation FROM exposed e JOIN reads r ON r.reader = e.relation
    )";

/// Those of `relations` that are exposed, or have a child (partition) that is.
pub(super) async fn public_reads(
    client: &mut Client,
    relations: &[RelationName],
) -> Result<Vec<RelationName>, WarehouseError> {
    #[derive(Serialize)]
    struct Wanted<'a> {
        schema: &'a str,
        name: &'a str,
    }
    let wanted: Vec<Wanted<'_>> =
        relations.iter().map(|r| Wanted { schema: &r.schema, name: &r.name }).collect();
    let wanted = serde_json::to_string(&wanted)
        .map_err(|e| WarehouseError::Protocol(format!("a request of ours: {e}")))?;
    let sql = format!(
        "WITH RECURSIVE {EXPOSED},
         wanted AS (
           SELECT c.oid, n.nspname, c.relname
           FROM jsonb_to_recordset($1::jsonb) AS w(schema text, name text)
           JOIN pg_namespace n ON n.nspname = w.schema
           JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
         ),
         family(root, member) AS (
           SELECT oid, oid FROM wanted
           UNION
           SELECT f.root, i.inhrelid FROM family f JOIN pg_inherits i ON i.inhparent = f.member
         )
         SELECT DISTINCT w.nspname::text, w.relname::text
         FROM wanted w JOIN family f ON f.root = w.oid JOIN exposed e ON e.relation = f.member
         ORDER BY 1, 2"
    );
    let failed = |e| WarehouseError::from_client(e, "looking for public grants");
    client
        .query_typed(&sql, &[(&wanted, Type::TEXT)])
        .await
        .map_err(failed)?
        .iter()
        .map(|row| Ok(RelationName::new(row.try_get(0)?, row.try_get(1)?)))
        .collect::<Result<_, tokio_postgres::Error>>()
        .map_err(failed)
}

/// What `lc_messages` is, where the server's words are not English. It is asked for an error: the setting is often empty.
pub(super) async fn foreign_language(client: &mut Client) -> Result<Option<String>, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, "asking for the language of messages");
    let said = client.query_one("SELECT 1 / 0", &[]).await.err();
    if said.as_ref().and_then(|e| e.as_db_error()).is_some_and(|said| said.message() == "division by zero") {
        return Ok(None);
    }
    let row = client.query_one("SELECT current_setting('lc_messages')", &[]).await.map_err(failed)?;
    row.try_get(0).map(Some).map_err(failed)
}

/// A function that runs with its owner's rights for everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicDefiner {
    /// Schema and name.
    pub function: RelationName,
    /// Is it also behind an operator or a cast, which need no name to be called?
    pub unnamed: bool,
}

/// SECURITY DEFINER functions that PUBLIC may execute and whose owner can read (or write) something the owner role governs.
/// What such a function reads cannot be known. USAGE on the schema is not asked for, as above.
pub(super) async fn public_definers(client: &mut Client) -> Result<Vec<PublicDefiner>, WarehouseError> {
    let sql = "
        SELECT n.nspname::text, p.proname::text,
               bool_or(EXISTS (SELECT FROM pg_operator o WHERE o.oprcode = p.oid OR o.oprrest = p.oid OR o.oprjoin = p.oid)
                 OR EXISTS (SELECT FROM pg_cast c WHERE c.castfunc = p.oid))
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^lanyard(_|$)'
          AND has_function_privilege('public', p.oid, 'EXECUTE')
          AND EXISTS (
            SELECT FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND s.nspname NOT IN ('pg_catalog', 'information_schema')
              AND s.nspname !~ '^(pg_toast|pg_temp|lanyard$|lanyard_)'
              AND has_table_privilege('lanyard_owner', c.oid, 'SELECT')
              AND (has_any_column_privilege(p.proowner, c.oid, 'SELECT, INSERT, UPDATE')
                OR has_table_privilege(p.proowner, c.oid, 'DELETE')))
        GROUP BY 1, 2 ORDER BY 1, 2";
    let failed = |e| WarehouseError::from_client(e, "looking for functions that read for everybody");
    client
        .query_typed(sql, &[])
        .await
        .map_err(failed)?
        .iter()
        .map(|row| {
            Ok(PublicDefiner {
                function: RelationName::new(row.try_get(0)?, row.try_get(1)?),
                unnamed: row.try_get(2)?,
            })
        })
        .collect::<Result<_, tokio_postgres::Error>>()
        .map_err(failed)
}
