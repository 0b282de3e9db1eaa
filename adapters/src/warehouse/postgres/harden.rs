//! `lanyard bootstrap --harden` and `--unharden`: takes from PUBLIC what the doctor warns of, and gives back exactly that.
//!
//! Must never take a right it did not write down first: what PUBLIC lost is the difference between its rights before and
//! after, recorded in our own schema in the same transaction. Called by the command line, with the DBA's login.

use tokio_postgres::Client;

use super::client::{self, within};
use super::doctor;
use super::endpoint::{Endpoint, Login};
use super::error::WarehouseError;
use super::stream::Connector;

const DOING: &str = "hardening";
/// Longest hardening, in seconds.
const HARDEN_SECONDS_MAX: u64 = 120;

const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS lanyard.hardening (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        undo text NOT NULL, at timestamptz NOT NULL DEFAULT now());
    REVOKE ALL ON lanyard.hardening FROM PUBLIC;";

/// Every right of PUBLIC on an object that is not the system's, as the statement that gives it.
const GRANTS: &str = "
    SELECT format('GRANT %s ON TABLE %s TO PUBLIC;', a.privilege_type, c.oid::regclass)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN aclexplode(c.relacl) a
    WHERE a.grantee = 0 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    UNION
    SELECT format('GRANT %s (%I) ON TABLE %s TO PUBLIC;', a.privilege_type, t.attname, c.oid::regclass)
    FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN aclexplode(t.attacl) a
    WHERE a.grantee = 0 AND NOT t.attisdropped AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    UNION
    SELECT format('GRANT %s ON ROUTINE %s TO PUBLIC;', a.privilege_type, p.oid::regprocedure)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    CROSS JOIN aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
    WHERE a.grantee = 0 AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    UNION
    SELECT format('GRANT %s ON SCHEMA %I TO PUBLIC;', a.privilege_type, n.nspname)
    FROM pg_namespace n CROSS JOIN aclexplode(n.nspacl) a WHERE a.grantee = 0
    UNION
    SELECT format('GRANT %s ON FOREIGN SERVER %I TO PUBLIC;', a.privilege_type, s.srvname)
    FROM pg_foreign_server s CROSS JOIN aclexplode(s.srvacl) a WHERE a.grantee = 0
    ORDER BY 1";

/// Takes from PUBLIC what the doctor's findings name, all of it or nothing; the statements that did.
///
/// # Errors
/// No connection, no bootstrap before, or the server refuses.
pub async fn harden(endpoint: &Endpoint, dba: &Login) -> Result<Vec<String>, WarehouseError> {
    let client = connect(endpoint, dba).await?;
    within(HARDEN_SECONDS_MAX, DOING, async {
        run(&client, "BEGIN; SET LOCAL search_path = pg_catalog, pg_temp").await?;
        run(&client, TABLE).await?;
        let before = grants(&client).await?;
        let statements = doctor::revocations(&client).await?;
        for statement in &statements {
            run(&client, statement).await?;
        }
        let after = grants(&client).await?;
        for undo in before.iter().filter(|grant| after.binary_search(grant).is_err()) {
            client
                .execute("INSERT INTO lanyard.hardening (undo) VALUES ($1)", &[undo])
                .await
                .map_err(|e| WarehouseError::from_client(e, DOING))?;
        }
        run(&client, "COMMIT").await?;
        Ok(statements)
    })
    .await
}

/// Gives back what [`harden`] took; the statements that did. What is on an object that is gone since is left out.
///
/// # Errors
/// No connection, or the server refuses.
pub async fn unharden(endpoint: &Endpoint, dba: &Login) -> Result<Vec<String>, WarehouseError> {
    let client = connect(endpoint, dba).await?;
    within(HARDEN_SECONDS_MAX, DOING, async {
        run(&client, "BEGIN; SET LOCAL search_path = pg_catalog, pg_temp").await?;
        run(&client, TABLE).await?;
        let failed = |e| WarehouseError::from_client(e, DOING);
        let rows = client.query("DELETE FROM lanyard.hardening RETURNING undo", &[]).await.map_err(failed)?;
        let mut given = Vec::new();
        for row in rows {
            let undo: String = row.try_get(0).map_err(failed)?;
            run(&client, "SAVEPOINT undo").await?;
            match client.batch_execute(&undo).await {
                Ok(()) => given.push(undo),
                Err(error) if is_gone(&error) => run(&client, "ROLLBACK TO undo").await?,
                Err(error) => return Err(failed(error)),
            }
        }
        run(&client, "COMMIT").await?;
        given.sort();
        Ok(given)
    })
    .await
}

async fn connect(endpoint: &Endpoint, dba: &Login) -> Result<Client, WarehouseError> {
    let connector = Connector::new(endpoint.clone())?;
    client::connect(&connector, dba, "lanyard harden").await
}

/// Undefined table, column, function, schema or object.
fn is_gone(error: &tokio_postgres::Error) -> bool {
    let code = error.code().map(tokio_postgres::error::SqlState::code);
    matches!(code, Some("42P01" | "42703" | "42883" | "3F000" | "42704"))
}

async fn run(client: &Client, sql: &str) -> Result<(), WarehouseError> {
    client.batch_execute(sql).await.map_err(|e| WarehouseError::from_client(e, DOING))
}

async fn grants(client: &Client) -> Result<Vec<String>, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    let rows = client.query_typed(GRANTS, &[]).await.map_err(failed)?;
    let mut grants: Vec<String> =
        rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(failed)?;
    grants.sort();
    Ok(grants)
}
