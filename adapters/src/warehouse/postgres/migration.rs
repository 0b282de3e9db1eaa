//! A DBA's change of the tables: the secured views that would stand in its way step aside until it is done.
//!
//! A row in `lanyard.migration` says that a change is under way, for every node: no view of these tables is made while it
//! is there. An advisory lock says that the process which put it there lives. A row without the lock is what a kill left;
//! the tables stay closed until somebody says that the change is over.
//!
//! Must never make a view: who comes back to a table is judged by the proxies, on what the table is then. Called by
//! `Warehouse::begin_migration` and `Warehouse::finish_migration`, `views::prepare` and `catalog::read`.

use std::time::{Duration, Instant};

use tokio_postgres::types::Type;
use tokio_postgres::{Client, GenericClient};

use lanyard_engine::catalog::RelationName;
use lanyard_engine::entitlement::Access;
use lanyard_engine::names;

use super::error::WarehouseError;
use super::views::ADVISORY_LOCK;
use super::{PREPARE_SECONDS_MAX, VEND_SECONDS_MAX, Warehouse, within};

const DOING: &str = "making way for a migration";
/// Held by the process that migrates, for as long as it lives ("migrate" in ASCII).
const ALIVE_LOCK: i64 = 0x006d_6967_7261_7465;
/// How long one try waits for the readers of a view, in milliseconds: who comes behind it waits as long.
const TRY_MILLISECONDS: u64 = 500;

/// Which tables a change concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Concern {
    /// Every table of the database.
    All,
    /// These, as views spell them.
    Tables(Vec<String>),
}

impl Concern {
    /// Would the secured view read a table that is being changed?
    pub(super) fn holds(&self, access: &Access) -> bool {
        match self {
            Self::All => true,
            Self::Tables(tables) => tables.iter().any(|table| access.view.select_sql.contains(table)),
        }
    }
}

/// As the SELECT of a secured view spells a table.
pub(super) fn spelled(schema: &str, name: &str) -> String {
    format!("\"{}\".\"{}\"", schema.replace('"', "\"\""), name.replace('"', "\"\""))
}

/// The change that is under way, as far as this transaction sees. With [`ADVISORY_LOCK`] held, none begins meanwhile.
pub(super) async fn under_way(client: &impl GenericClient) -> Result<Option<Concern>, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    let rows = client.query_typed("SELECT tables FROM lanyard.migration", &[]).await.map_err(failed)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let tables: Option<Vec<String>> = row.try_get(0).map_err(failed)?;
    Ok(Some(tables.map_or(Concern::All, Concern::Tables)))
}

/// A change that was begun. Dropped, it stays on record and the tables stay closed.
#[derive(Debug)]
pub struct Migration {
    /// Holds [`ALIVE_LOCK`].
    client: Client,
    token: String,
    tables: Option<Vec<String>>,
}

/// What stands in the way of a try.
pub(super) enum Stand {
    /// Nothing: the views are gone.
    Aside,
    /// Vended roles whose transactions read them.
    Readers(Vec<String>),
}

impl Migration {
    /// Writes down that a change begins; takes over what a dead process left.
    ///
    /// # Errors
    /// `55006` where another one is under way, `42P01` where a table is not there, or no connection.
    pub(super) async fn begin(
        mut client: Client,
        tables: &[RelationName],
        token: String,
    ) -> Result<Self, WarehouseError> {
        let failed = |e| WarehouseError::from_client(e, DOING);
        if !take_lock(&client).await? {
            return Err(busy());
        }
        let tables = (!tables.is_empty())
            .then(|| tables.iter().map(|t| spelled(&t.schema, &t.name)).collect::<Vec<String>>());
        let tx = client.transaction().await.map_err(failed)?;
        // Whoever is making views has made them when this is ours.
        tx.execute_typed("SELECT pg_advisory_xact_lock($1)", &[(&ADVISORY_LOCK, Type::INT8)])
            .await
            .map_err(failed)?;
        become_owner(&tx).await?;
        for table in tables.iter().flatten() {
            let there = "SELECT to_regclass($1) IS NOT NULL";
            let row = tx.query_typed_one(there, &[(table, Type::TEXT)]).await.map_err(failed)?;
            if !row.try_get::<_, bool>(0).map_err(failed)? {
                return Err(WarehouseError::Refused {
                    sqlstate: "42P01".into(),
                    message: format!("there is no table {table}"),
                });
            }
        }
        tx.execute_typed(
            "INSERT INTO lanyard.migration (token, tables) VALUES ($1, $2)
             ON CONFLICT (one) DO UPDATE SET token = excluded.token, begun = now(),
               tables = CASE WHEN migration.tables IS NULL OR excluded.tables IS NULL THEN NULL
                        ELSE migration.tables || excluded.tables END",
            &[(&token, Type::TEXT), (&tables, Type::TEXT_ARRAY)],
        )
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(Self { client, token, tables })
    }

    /// Tries to drop the views, all or none.
    pub(super) async fn step_aside(&mut self) -> Result<Stand, WarehouseError> {
        let failed = |e| WarehouseError::from_client(e, DOING);
        let tx = self.client.transaction().await.map_err(failed)?;
        become_owner(&tx).await?;
        let rows = tx.query_typed(IN_THE_WAY, &[(&self.tables, Type::TEXT_ARRAY)]).await.map_err(failed)?;
        let mut sql = format!("SET LOCAL lock_timeout = {TRY_MILLISECONDS};");
        let mut views: Vec<u32> = Vec::new();
        for row in &rows {
            views.push(row.try_get(0).map_err(failed)?);
            let name: &str = row.try_get(1).map_err(failed)?;
            sql.push_str(&drop_sql(name));
        }
        match tx.batch_execute(&sql).await {
            Ok(()) => tx.commit().await.map_err(failed).map(|()| Stand::Aside),
            // Not within the time of a try, or somebody waits for us in turn.
            Err(e) if e.code().is_some_and(|c| matches!(c.code(), "55P03" | "40P01")) => {
                tx.rollback().await.map_err(failed)?;
                readers(&self.client, &views).await.map(Stand::Readers)
            }
            Err(e) => Err(failed(e)),
        }
    }

    /// Says that the change is over. False where somebody else has said so, or has taken over.
    ///
    /// # Errors
    /// The server refuses; `client` is used where our own connection was lost meanwhile.
    pub(super) async fn finish(self, other: Option<Client>) -> Result<bool, WarehouseError> {
        let client = other.as_ref().unwrap_or(&self.client);
        let failed = |e| WarehouseError::from_client(e, DOING);
        become_owner_for_good(client).await?;
        let gone = client
            .execute_typed("DELETE FROM lanyard.migration WHERE token = $1", &[(&self.token, Type::TEXT)])
            .await
            .map_err(failed)?;
        Ok(gone > 0)
    }

    /// Is our connection lost?
    pub(super) fn is_cut(&self) -> bool {
        self.client.is_closed()
    }
}

/// Says that a change is over whose process is dead. False where there is none.
///
/// # Errors
/// `55006` where the process lives, or no connection.
pub(super) async fn finish_dead(client: &Client) -> Result<bool, WarehouseError> {
    if !take_lock(client).await? {
        return Err(busy());
    }
    become_owner_for_good(client).await?;
    let gone = client
        .execute_typed("DELETE FROM lanyard.migration", &[])
        .await
        .map_err(|e| WarehouseError::from_client(e, DOING))?;
    Ok(gone > 0)
}

/// How long readers are waited for before they are ended.
pub(super) fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(super::READERS_SECONDS_MAX)
}

/// Secured views that read one of these tables, all without; of each the view that COPY fills.
const IN_THE_WAY: &str = "
    WITH way AS (
      SELECT v.oid, v.relname FROM pg_class v
      WHERE v.relnamespace = 'lanyard_secured'::regnamespace AND v.relkind = 'v' AND v.relowner = current_user::regrole
        AND ($1::text[] IS NULL OR EXISTS (
              SELECT FROM pg_rewrite r
              JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                              AND d.refclassid = 'pg_class'::regclass
              WHERE r.ev_class = v.oid
                AND d.refobjid = ANY (ARRAY(SELECT to_regclass(t)::oid FROM unnest($1::text[]) AS t)))))
    SELECT v.oid, v.relname::text FROM pg_class v
    WHERE v.relnamespace = 'lanyard_secured'::regnamespace AND v.relkind = 'v' AND v.relowner = current_user::regrole
      AND (v.oid IN (SELECT oid FROM way) OR v.relname IN (SELECT relname || '_copy' FROM way))
    ORDER BY 2";

/// Drops a secured view with the functions that are named after it.
pub(super) fn drop_sql(view: &str) -> String {
    let (schema, view) = (names::SECURED_SCHEMA, view.replace('"', "\"\""));
    format!(
        "DROP VIEW {schema}.\"{view}\";\n\
         DROP FUNCTION IF EXISTS {schema}.\"{view}\"(), {schema}.\"{view}_default\"(int2, anyelement);\n"
    )
}

async fn readers(client: &Client, views: &[u32]) -> Result<Vec<String>, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    let sql = r"
        SELECT DISTINCT a.usename::text FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'relation' AND l.relation = ANY ($1) AND l.granted AND a.usename LIKE 'LANYARD\_VENDED\_%'
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        ORDER BY 1";
    let rows = client.query_typed(sql, &[(&views, Type::OID_ARRAY)]).await.map_err(failed)?;
    rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(failed)
}

async fn take_lock(client: &Client) -> Result<bool, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    let taken = "SELECT pg_try_advisory_lock($1)";
    client
        .query_typed_one(taken, &[(&ALIVE_LOCK, Type::INT8)])
        .await
        .map_err(failed)?
        .try_get(0)
        .map_err(failed)
}

async fn become_owner(tx: &impl GenericClient) -> Result<(), WarehouseError> {
    let sql = format!("SET LOCAL ROLE {}", names::OWNER_ROLE);
    tx.batch_execute(&sql).await.map_err(|e| WarehouseError::from_client(e, DOING))
}

/// For a connection that does nothing else any more.
async fn become_owner_for_good(client: &Client) -> Result<(), WarehouseError> {
    let sql = format!("SET ROLE {}", names::OWNER_ROLE);
    client.batch_execute(&sql).await.map_err(|e| WarehouseError::from_client(e, DOING))
}

fn busy() -> WarehouseError {
    WarehouseError::Refused {
        sqlstate: "55006".into(),
        message: "another \"lanyard migrate\" is under way in this database".into(),
    }
}

impl Warehouse {
    /// Begins a DBA's change of these tables, of all without: no view of them is made from now on, and those that are there are
    /// dropped. Transactions that read them are waited for, then ended with their leases. `token` names this migration. Not
    /// cancel-safe: dropped half-way, the tables stay closed until [`Self::finish_dead_migration`].
    ///
    /// # Errors
    /// [`WarehouseError::Refused`]: `55006` where another one is under way, `42P01` where a table is not there; or no
    /// connection. Nothing is under way then.
    pub async fn begin_migration(
        &self,
        tables: &[RelationName],
        token: String,
    ) -> Result<Migration, WarehouseError> {
        let client = self.inner.builder.another("lanyard migrate").await?;
        let mut migration = Migration::begin(client, tables, token).await?;
        let aside = within(PREPARE_SECONDS_MAX, "making way for a migration", self.make_way(&mut migration));
        match aside.await {
            Ok(()) => Ok(migration),
            Err(error) => {
                // The first error is the one to tell.
                if let Err(second) = self.finish_migration(migration).await {
                    tracing::error!(error = %second, "a migration that did not begin is still on record");
                }
                Err(error)
            }
        }
    }

    async fn make_way(&self, migration: &mut Migration) -> Result<(), WarehouseError> {
        let patience = deadline();
        loop {
            let readers = match migration.step_aside().await? {
                Stand::Aside => return Ok(()),
                Stand::Readers(readers) => readers,
            };
            if Instant::now() > patience {
                for role in readers {
                    tracing::warn!(role, "ended: its transaction kept a migration waiting");
                    self.end_named(&role).await?;
                }
            }
        }
    }

    /// Says that the change is over; proxies make the views again. False where somebody else said so before.
    ///
    /// # Errors
    /// No connection, or the server refuses: the tables stay closed.
    pub async fn finish_migration(&self, migration: Migration) -> Result<bool, WarehouseError> {
        let other = match migration.is_cut() {
            true => Some(self.inner.builder.another("lanyard migrate").await?),
            false => None,
        };
        within(VEND_SECONDS_MAX, "finishing a migration", migration.finish(other)).await
    }

    /// The same for a migration whose process is dead. False where there is none.
    ///
    /// # Errors
    /// [`WarehouseError::Refused`] with `55006` where the process lives; or no connection.
    pub async fn finish_dead_migration(&self) -> Result<bool, WarehouseError> {
        let client = self.inner.builder.another("lanyard migrate").await?;
        within(VEND_SECONDS_MAX, "finishing a migration", finish_dead(&client)).await
    }
}
