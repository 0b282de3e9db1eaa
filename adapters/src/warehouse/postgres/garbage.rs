//! Bundles and secured views that no entitlement needs any more.
//!
//! Must never wait for a reader: what is in use stays for the next time. Called by `Warehouse::collect`.

use std::collections::HashSet;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Transaction};

use lanyard_engine::entitlement::Fingerprint;
use lanyard_engine::names;

use super::bundles::bundle_name;
use super::copies;
use super::error::WarehouseError;
use super::migration;
use super::views::ADVISORY_LOCK;

const DOING: &str = "collecting garbage";

/// What was dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    /// Bundle roles.
    pub bundles: Vec<String>,
    /// Secured views.
    pub views: Vec<String>,
}

/// Drops bundles whose fingerprint is not in `keep` and that no lease carries, then views that no bundle shows.
pub(super) async fn collect(
    client: &mut Client,
    keep: &HashSet<Fingerprint>,
) -> Result<Collected, WarehouseError> {
    let keep: HashSet<String> = keep.iter().copied().map(bundle_name).collect();
    let mut collected = Collected::default();
    let bundles = list(
        client,
        "SELECT DISTINCT r.bundle::text FROM lanyard.bundle_relation r
         WHERE NOT EXISTS (SELECT FROM lanyard.lease l WHERE l.bundle = r.bundle) ORDER BY 1",
    )
    .await?;
    for bundle in bundles.into_iter().filter(|b| !keep.contains(b)) {
        let tx = begin(client).await?;
        if skip_busy(drop_bundle(tx, &bundle).await)? {
            collected.bundles.push(bundle);
        }
    }
    let views = list(
        client,
        "SELECT v.relname::text FROM pg_class v
         WHERE v.relnamespace = 'lanyard_secured'::regnamespace AND v.relkind = 'v'
           AND v.relowner = 'lanyard_owner'::regrole AND v.relname !~ '_copy$'
           AND NOT EXISTS (SELECT FROM lanyard.bundle_relation r WHERE r.view = v.oid) ORDER BY 1",
    )
    .await?;
    for copy in list(client, copies::UNUSED).await? {
        let tx = begin(client).await?;
        skip_busy(drop_view(tx, &copy).await)?;
    }
    for view in views {
        let tx = begin(client).await?;
        if skip_busy(drop_view(tx, &view).await)? {
            collected.views.push(view);
        }
    }
    Ok(collected)
}

/// A transaction as the owner, alone with the preparers, that waits for nobody.
async fn begin(client: &mut Client) -> Result<Transaction<'_>, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    let tx = client.transaction().await.map_err(failed)?;
    tx.execute_typed("SELECT pg_advisory_xact_lock($1)", &[(&ADVISORY_LOCK, Type::INT8)])
        .await
        .map_err(failed)?;
    tx.batch_execute(&format!("SET LOCAL ROLE {}; SET LOCAL lock_timeout = 200", names::OWNER_ROLE))
        .await
        .map_err(failed)?;
    Ok(tx)
}

async fn list(client: &mut Client, sql: &str) -> Result<Vec<String>, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    let tx = begin(client).await?;
    let rows = tx.query_typed(sql, &[]).await.map_err(failed)?;
    tx.commit().await.map_err(failed)?;
    rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(failed)
}

/// What the bundle holds in this database. Only who granted can take back: DROP OWNED by the definer would not.
const HELD: &str = "
    SELECT format('REVOKE %s %s FROM %I;', CASE c.relkind WHEN 'S' THEN 'USAGE ON SEQUENCE' ELSE 'ALL ON TABLE' END,
                  c.oid::regclass, r.rolname)
    FROM pg_roles r
    JOIN pg_shdepend d ON d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid AND d.deptype = 'a'
                      AND d.classid = 'pg_class'::regclass
                      AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    JOIN pg_class c ON c.oid = d.objid
    WHERE r.rolname = $1::name
    UNION ALL
    SELECT CASE WHEN d.classid = 'pg_namespace'::regclass
                THEN format('REVOKE ALL ON SCHEMA %s FROM %I;', d.objid::regnamespace, r.rolname)
                ELSE format('REVOKE ALL ON FUNCTION %s FROM %I;', d.objid::regprocedure, r.rolname) END
    FROM pg_roles r
    JOIN pg_shdepend d ON d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid AND d.deptype = 'a'
                      AND d.classid IN ('pg_namespace'::regclass, 'pg_proc'::regclass)
                      AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    WHERE r.rolname = $1::name";

async fn drop_bundle(tx: Transaction<'_>, bundle: &str) -> Result<(), WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    let mut sql = String::new();
    for row in tx.query_typed(HELD, &[(&bundle, Type::TEXT)]).await.map_err(failed)? {
        sql.push_str(row.try_get(0).map_err(failed)?);
    }
    sql.push_str("SET LOCAL ROLE NONE");
    tx.batch_execute(&sql).await.map_err(failed)?;
    tx.execute_typed("SELECT lanyard.drop_bundle($1)", &[(&bundle, Type::TEXT)]).await.map_err(failed)?;
    tx.commit().await.map_err(failed)
}

async fn drop_view(tx: Transaction<'_>, view: &str) -> Result<(), WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    // Functions of the view's name belong to it where COPY fills it.
    let sql = migration::drop_sql(view);
    tx.batch_execute(&sql).await.map_err(failed)?;
    tx.commit().await.map_err(failed)
}

/// True when it is dropped, false when somebody uses it: a lease, a reader, another database of the server.
fn skip_busy(done: Result<(), WarehouseError>) -> Result<bool, WarehouseError> {
    match done {
        Ok(()) => Ok(true),
        Err(e) => match e.sqlstate() {
            Some(sqlstate @ ("55006" | "55P03" | "2BP01" | "42P01")) => {
                tracing::debug!(sqlstate, "in use, stays for the next time");
                Ok(false)
            }
            Some(_) | None => Err(e),
        },
    }
}
