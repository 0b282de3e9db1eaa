//! `lanyard bootstrap`: Lanyard's roles, schemas, tables and functions in one database.
//!
//! Must never keep the DBA's password, nor write one of ours into SQL (verifiers only). Called by the command line.

use std::fmt::Write as _;

use postgres_protocol::escape::{escape_identifier, escape_literal};
use postgres_protocol::password::scram_sha_256;

use lanyard_engine::names;

use super::client;
use super::endpoint::{Endpoint, Login, Secret};
use super::error::WarehouseError;
use super::stream::Connector;
use super::virtual_catalog;

/// Run in this order.
const OBJECTS: &[&str] = &[
    include_str!("bootstrap.sql"),
    include_str!("workspace.sql"),
    include_str!("masks/ciphers.sql"),
    include_str!("masks/values.sql"),
    include_str!("masks/keys.sql"),
    include_str!("masks/undo.sql"),
    include_str!("masks/generalise.sql"),
    include_str!("rights.sql"),
];
/// Longest bootstrap, in seconds: thousands of tables are granted one by one by the server.
const BOOTSTRAP_SECONDS_MAX: u64 = 120;

const COMMIT: &str = "COMMIT;\n";

/// What a bootstrap needs to know.
#[derive(Debug, Clone)]
pub struct BootstrapOptions {
    /// Schemas whose tables the owner role may read and write, so that policy can grant on them: also those made later by
    /// who owns tables there now, and by the DBA.
    pub grant: Vec<String>,
    /// Password of `lanyard_builder` from now on.
    pub builder_password: Secret,
    /// Password of `lanyard_vendor` from now on.
    pub vendor_password: Secret,
}

/// The bootstrap as SQL, from BEGIN to COMMIT; passwords are in it as SCRAM-SHA-256 verifiers only. The virtual catalog is
/// not in it: it is generated from the server's own catalog, so [`bootstrap`] makes it while connected.
#[must_use]
pub fn bootstrap_sql(options: &BootstrapOptions) -> String {
    let length: usize = OBJECTS.iter().map(|part| part.len()).sum();
    let mut sql = String::with_capacity(length + 2048);
    // Roles are the server's: the lock lets bootstraps of two databases wait for each other instead of failing.
    sql.push_str(
        "BEGIN;\nSET LOCAL search_path = pg_catalog, pg_temp;\n\
         LOCK TABLE pg_catalog.pg_authid IN SHARE ROW EXCLUSIVE MODE;\n",
    );
    sql.extend(OBJECTS.iter().copied());
    for (role, password) in
        [(names::BUILDER_ROLE, &options.builder_password), (names::VENDOR_ROLE, &options.vendor_password)]
    {
        let verifier = escape_literal(&scram_sha_256(password.expose().as_bytes()));
        // INVARIANT: writing to a String cannot fail.
        writeln!(sql, "ALTER ROLE {role} PASSWORD {verifier};").expect("writing to a String");
    }
    for schema in &options.grant {
        let schema = escape_identifier(schema);
        let owner = names::OWNER_ROLE;
        // The owner hands on sequences to bundles that may insert, and the schema to those that may name or call something in
        // it, so it needs the grant option.
        writeln!(
            sql,
            "GRANT USAGE ON SCHEMA {schema} TO {owner} WITH GRANT OPTION;\n\
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {owner};\n\
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {owner} WITH GRANT OPTION;\n{}",
            later(&escape_literal(&schema))
        )
        .expect("writing to a String");
    }
    sql.push_str(COMMIT);
    sql
}

/// The same rights on what is made later by who makes tables there now: a table that is swapped in, or dropped and made again,
/// must not need the DBA. What is new is hidden all the same until somebody has looked.
fn later(schema: &str) -> String {
    let owner = names::OWNER_ROLE;
    format!(
        "DO $lanyard$
DECLARE
  maker name;
BEGIN
  FOR maker IN
    SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = to_regnamespace({schema}) AND relkind IN ('r', 'p')
    UNION SELECT current_user
  LOOP
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %s GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES '
                   'TO {owner}', maker, {schema});
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %s GRANT USAGE ON SEQUENCES TO {owner} WITH GRANT OPTION',
                   maker, {schema});
  END LOOP;
END
$lanyard$;"
    )
}

/// Runs [`bootstrap_sql`] with a superuser's login and builds the virtual catalog; all of it or nothing. Running it again changes nothing but the two
/// passwords and the tables that came since.
///
/// # Errors
/// [`WarehouseError::Refused`] with the server's reason, or no connection.
pub async fn bootstrap(
    endpoint: &Endpoint,
    dba: &Login,
    options: &BootstrapOptions,
) -> Result<(), WarehouseError> {
    let connector = Connector::new(endpoint.clone())?;
    let client = client::connect(&connector, dba, "lanyard bootstrap").await?;
    client::within(BOOTSTRAP_SECONDS_MAX, "bootstrapping", async {
        let failed = |e| WarehouseError::from_client(e, "bootstrapping");
        // The virtual catalog is generated from the server's own, so it needs the open transaction.
        let sql = bootstrap_sql(options);
        client.batch_execute(sql.strip_suffix(COMMIT).unwrap_or(&sql)).await.map_err(failed)?;
        virtual_catalog::install(&client).await?;
        client.batch_execute(COMMIT).await.map_err(failed)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(grant: &[&str]) -> BootstrapOptions {
        BootstrapOptions {
            grant: grant.iter().map(|s| (*s).to_owned()).collect(),
            builder_password: Secret::new("builder's own"),
            vendor_password: Secret::new("vendor's own"),
        }
    }

    #[test]
    fn sql_holds_no_password_and_quotes_schemas() {
        let sql = bootstrap_sql(&options(&["public", "odd\"; DROP ROLE x; --"]));
        assert!(!sql.contains("builder's own") && !sql.contains("builder''s own"));
        assert!(sql.contains("IN SCHEMA \"odd\"\"; DROP ROLE x; --\" TO"));
        assert!(sql.starts_with("BEGIN;") && sql.ends_with("COMMIT;\n"));
    }

    #[test]
    fn sql_uses_the_names_the_engine_uses() {
        let objects = OBJECTS.concat();
        for name in
            [names::PRIVATE_SCHEMA, names::SECURED_SCHEMA, names::CATALOG_SCHEMA, names::INFORMATION_SCHEMA]
        {
            assert!(objects.contains(&format!("CREATE SCHEMA IF NOT EXISTS {name} ")), "{name}");
        }
        for name in [
            names::OWNER_ROLE,
            names::DEFINER_ROLE,
            names::BUILDER_ROLE,
            names::VENDOR_ROLE,
            names::SESSION_ROLE,
        ] {
            assert!(objects.contains(&format!("CREATE ROLE {name};")), "{name}");
        }
        for name in [names::SESSION_ATTRIBUTE_TABLE, names::MASK_KEY_TABLE] {
            assert!(objects.contains(&format!("CREATE TABLE IF NOT EXISTS lanyard.{name} (")), "{name}");
        }
        assert!(objects.contains(&format!("'^{}[0-9a-f]{{32}}$'", names::BUNDLE_PREFIX)));
    }

    #[test]
    fn every_definer_function_pins_its_search_path() {
        let objects = OBJECTS.concat();
        for part in objects.split("CREATE OR REPLACE FUNCTION").skip(1) {
            // A body that is parsed at its creation looks nothing up later, and none of these is a definer's.
            let bound =
                part.contains("BEGIN ATOMIC") || part.contains("\nRETURN ") || part.contains(" RETURN %s");
            if !bound || part.contains("SECURITY DEFINER") {
                assert!(part.contains("SET search_path = pg_catalog, pg_temp"), "{part:.80}");
            }
        }
    }
}
