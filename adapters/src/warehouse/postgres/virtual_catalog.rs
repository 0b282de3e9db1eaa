//! The virtual `pg_catalog` and `information_schema`: views and functions that show a session what its bundle may
//! query, under the base relations' own names and OIDs, and nothing else.
//!
//! The views are generated from the server's own column lists, because those differ between majors; the information
//! schema from the server's own view definitions, bound to our relations. Bootstrap calls [`install`] inside its
//! transaction, after the schemas, roles and tables exist. It must never grant a session anything but the views and
//! functions the rewriter may name, and must never leave a derived view reading a relation of `pg_catalog`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use lanyard_engine::names::{CATALOG_SCHEMA, INFORMATION_SCHEMA, OWNER_ROLE, SESSION_ROLE};
use lanyard_engine::sql::virtual_catalog;
use tokio_postgres::Client;

mod template;
#[cfg(test)]
mod tests;

use template::Answer;

const HELPERS: &str = include_str!("virtual_catalog/helpers.sql");
const VIEWS: &str = include_str!("virtual_catalog/views.sql");
const FUNCTIONS: &str = include_str!("virtual_catalog/functions.sql");
const PRIVILEGES: &str = include_str!("virtual_catalog/privileges.sql");
const INFORMATION: &str = include_str!("virtual_catalog/information.sql");

/// `pg_catalog` views that are the server's own definition over the virtual relations.
const DERIVED: &[&str] = &["pg_indexes", "pg_matviews", "pg_tables", "pg_views"];

/// `information_schema` views that are the server's own definition over the virtual relations, each after those it reads.
const INFORMATION_DERIVED: &[&str] = &[
    "information_schema_catalog_name",
    "applicable_roles",
    "administrable_role_authorizations",
    "attributes",
    "character_sets",
    "check_constraints",
    "collations",
    "collation_character_set_applicability",
    "column_domain_usage",
    "column_udt_usage",
    "columns",
    "constraint_table_usage",
    "domain_constraints",
    "domain_udt_usage",
    "domains",
    "enabled_roles",
    "key_column_usage",
    "referential_constraints",
    "schemata",
    "sequences",
    "table_constraints",
    "tables",
    "user_defined_types",
    "views",
    "data_type_privileges",
];

/// `information_schema` relations about things that are hidden whole: no rows.
const INFORMATION_EMPTY: &[&str] = &[
    "check_constraint_routine_usage",
    "column_column_usage",
    "column_options",
    "foreign_data_wrapper_options",
    "foreign_data_wrappers",
    "foreign_server_options",
    "foreign_servers",
    "foreign_table_options",
    "foreign_tables",
    "parameters",
    "role_routine_grants",
    "role_udt_grants",
    "role_usage_grants",
    "routine_column_usage",
    "routine_privileges",
    "routine_routine_usage",
    "routine_sequence_usage",
    "routine_table_usage",
    "routines",
    "transforms",
    "triggered_update_columns",
    "triggers",
    "udt_privileges",
    "usage_privileges",
    "user_mapping_options",
    "user_mappings",
    "view_column_usage",
    "view_routine_usage",
    "view_table_usage",
];

/// `information_schema` views that `information.sql` defines.
const INFORMATION_OWN: &[&str] = &[
    "column_privileges",
    "constraint_column_usage",
    "element_types",
    "role_column_grants",
    "role_table_grants",
    "table_privileges",
];

/// `information_schema` tables of constants.
const INFORMATION_CONSTANT: &[&str] = &["sql_features", "sql_implementation_info", "sql_sizing"];

/// Why the virtual catalog was not installed.
#[derive(Debug, thiserror::Error)]
pub enum VirtualCatalogError {
    /// The server refused a statement.
    #[error("the warehouse refused to build the virtual catalog while it made {step}")]
    Refused {
        /// What was being made.
        step: String,
        /// The server's answer.
        #[source]
        source: tokio_postgres::Error,
    },
    /// [`install`] sets its role and search_path for a transaction, so there must be one.
    #[error("the virtual catalog must be installed inside a transaction")]
    NoTransaction,
    /// A derived view still reads an object of `pg_catalog` that the virtual catalog replaces.
    #[error("\"{view}\" still uses \"{object}\" of pg_catalog")]
    Unreplaced {
        /// The view.
        view: String,
        /// The relation or function.
        object: String,
    },
}

/// Says which step a server error belongs to.
trait During<T> {
    fn during(self, step: &str) -> Result<T, VirtualCatalogError>;
}

impl<T> During<T> for Result<T, tokio_postgres::Error> {
    fn during(self, step: &str) -> Result<T, VirtualCatalogError> {
        self.map_err(|source| VirtualCatalogError::Refused { step: step.to_owned(), source })
    }
}

/// Builds both virtual schemas anew and grants them to session roles.
///
/// Call it inside a transaction, as a role that may `SET ROLE lanyard_owner`. The schemas must belong to that role, and
/// `lanyard.lease`, `lanyard.bundle_relation` and `lanyard.bundle_column` must exist. Running sessions wait for the
/// transaction's end, or make it wait for theirs.
///
/// Not cancel-safe: roll the transaction back when the future is dropped.
///
/// # Errors
/// [`VirtualCatalogError`]; the transaction is then of no use.
pub(super) async fn install(client: &Client) -> Result<(), VirtualCatalogError> {
    let (role, path) = enter(client).await?;
    drop_all(client).await?;
    run(client, "helper views", HELPERS).await?;
    let sections = template::parse(VIEWS);
    let columns = columns(client, "pg_catalog").await?;
    let mut granted = Vec::new();
    for section in &sections {
        // A relation this major does not have is not answered.
        let Some(columns) = columns.get(section.name) else {
            continue;
        };
        run(client, section.name, &section.create(columns)).await?;
        if section.answer == Answer::Session {
            granted.push(format!("{CATALOG_SCHEMA}.{}", section.name));
        }
    }
    let shown: Vec<&str> = lanyard_engine::sql::shown().collect();
    let functions = FUNCTIONS
        .replace("{shown}", &shown.join(","))
        .replace("{free}", &free_settings().join(","))
        .replace("{kept}", &kept_settings().join(","));
    run(client, "functions", &functions).await?;
    run(client, "privilege functions", PRIVILEGES).await?;
    for name in DERIVED {
        derive(client, "pg_catalog", CATALOG_SCHEMA, name, &BTreeSet::new()).await?;
        granted.push(format!("{CATALOG_SCHEMA}.{name}"));
    }
    granted.extend(information(client).await?);
    run(client, "grants", &grants(&granted)).await?;
    verify(client).await?;
    client
        .query(
            "SELECT pg_catalog.set_config('role', $1, true), pg_catalog.set_config('search_path', $2, true)",
            &[&role, &path],
        )
        .await
        .during("the way back to the caller's role")?;
    Ok(())
}

/// Settings that may be set to any value.
fn free_settings() -> Vec<&'static str> {
    lanyard_engine::sql::settable().filter(|(_, values)| values.is_none()).map(|(name, _)| name).collect()
}

/// Settings that may be set to what they are, as `name=value`.
fn kept_settings() -> Vec<String> {
    let kept = lanyard_engine::sql::settable().filter_map(|(name, values)| Some((name, values?)));
    kept.flat_map(|(name, values)| values.iter().map(move |value| format!("{name}={value}"))).collect()
}

/// Becomes the owner, with nothing but `pg_catalog` on the search path. Returns the caller's role and search path.
async fn enter(client: &Client) -> Result<(String, String), VirtualCatalogError> {
    let step = "its own role";
    let before = client
        .query_one(
            "SELECT pg_catalog.current_setting('role'), pg_catalog.current_setting('search_path')",
            &[],
        )
        .await
        .during(step)?;
    let enter = format!("SET LOCAL ROLE {OWNER_ROLE}; SET LOCAL search_path = pg_catalog");
    client.batch_execute(&enter).await.during(step)?;
    let inside = client.query_one("SELECT CURRENT_USER::text", &[]).await.during(step)?;
    if inside.get::<_, String>(0) != OWNER_ROLE {
        return Err(VirtualCatalogError::NoTransaction);
    }
    Ok((before.get(0), before.get(1)))
}

async fn run(client: &Client, step: &str, sql: &str) -> Result<(), VirtualCatalogError> {
    client.batch_execute(sql).await.during(step)
}

/// Drops every view and function of the two schemas; their owner may, whoever made them.
async fn drop_all(client: &Client) -> Result<(), VirtualCatalogError> {
    let step = "room for the new version";
    let rows = client
        .query(
            "SELECT pg_catalog.format('DROP VIEW IF EXISTS %I.%I CASCADE', n.nspname, c.relname)
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = ANY ($1::text[]) AND c.relkind = 'v'
             UNION ALL
             SELECT pg_catalog.format('DROP FUNCTION IF EXISTS %I.%I(%s) CASCADE', n.nspname, p.proname,
                 pg_catalog.pg_get_function_identity_arguments(p.oid))
             FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
             WHERE n.nspname = ANY ($1::text[])",
            &[&vec![CATALOG_SCHEMA, INFORMATION_SCHEMA]],
        )
        .await
        .during(step)?;
    let mut sql = String::new();
    for row in rows {
        sql.push_str(row.get(0));
        sql.push_str(";\n");
    }
    run(client, step, &sql).await
}

/// A schema's relations, each with its columns' names and types in order.
async fn columns(
    client: &Client,
    schema: &str,
) -> Result<BTreeMap<String, Vec<(String, String)>>, VirtualCatalogError> {
    let rows = client
        .query(
            "SELECT c.relname::text, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod)
             FROM pg_catalog.pg_attribute a
             JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = $1::text AND c.relkind IN ('r', 'v') AND c.oid < 16384
               AND NOT a.attisdropped
               AND (a.attnum > 0 OR c.relkind = 'r' AND a.attname = 'tableoid' AND n.nspname = 'pg_catalog')
             ORDER BY c.oid, a.attnum < 0, a.attnum",
            &[&schema],
        )
        .await
        .during("a list of the server's own columns")?;
    let mut all: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for row in rows {
        all.entry(row.get(0)).or_default().push((row.get(1), row.get(2)));
    }
    Ok(all)
}

/// Builds the virtual information schema; returns the views to grant.
async fn information(client: &Client) -> Result<Vec<String>, VirtualCatalogError> {
    let columns = columns(client, "information_schema").await?;
    let known: BTreeSet<&str> = columns.keys().map(String::as_str).collect();
    run(client, "information_schema's privilege views", INFORMATION).await?;
    let mut granted: Vec<String> = INFORMATION_OWN.iter().map(|name| (*name).to_owned()).collect();
    for name in INFORMATION_EMPTY {
        if let Some(columns) = columns.get(*name) {
            let sql = template::empty(INFORMATION_SCHEMA, name, columns);
            run(client, name, &sql).await?;
            granted.push((*name).to_owned());
        }
    }
    for name in INFORMATION_DERIVED.iter().filter(|n| known.contains(*n)) {
        derive(client, "information_schema", INFORMATION_SCHEMA, name, &known).await?;
        granted.push((*name).to_owned());
    }
    for name in INFORMATION_CONSTANT.iter().filter(|n| known.contains(*n)) {
        let sql =
            format!("CREATE VIEW {INFORMATION_SCHEMA}.{name} AS SELECT * FROM information_schema.{name}");
        run(client, name, &sql).await?;
        granted.push((*name).to_owned());
    }
    Ok(granted.into_iter().map(|name| format!("{INFORMATION_SCHEMA}.{name}")).collect())
}

/// Creates `to.name` from the server's definition of `from.name`. Printed while only `pg_catalog` is on the path, its
/// relations and functions carry no schema, so ours are found first when the text is read back.
async fn derive(
    client: &Client,
    from: &str,
    to: &str,
    name: &str,
    replaced: &BTreeSet<&str>,
) -> Result<(), VirtualCatalogError> {
    let relation = format!("{from}.{name}");
    let definition: String = client
        .query_one("SELECT pg_catalog.pg_get_viewdef($1::text::regclass)", &[&relation])
        .await
        .during(name)?
        .get(0);
    let body = template::rebind(&definition, replaced);
    let sql = format!(
        "SET LOCAL search_path = {CATALOG_SCHEMA}, pg_catalog;
         CREATE VIEW {to}.{name} AS {body};
         SET LOCAL search_path = pg_catalog"
    );
    run(client, name, &sql).await
}

/// What session roles may touch.
fn grants(views: &[String]) -> String {
    let mut sql =
        format!("GRANT USAGE ON SCHEMA {CATALOG_SCHEMA}, {INFORMATION_SCHEMA} TO {SESSION_ROLE};\n");
    for schema in [CATALOG_SCHEMA, INFORMATION_SCHEMA] {
        // Writing to a String cannot fail.
        let written = write!(
            sql,
            "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM PUBLIC;
             GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {SESSION_ROLE};\n"
        );
        debug_assert!(written.is_ok());
    }
    for view in views {
        sql.push_str("GRANT SELECT ON ");
        sql.push_str(view);
        sql.push_str(" TO ");
        sql.push_str(SESSION_ROLE);
        sql.push_str(";\n");
    }
    sql
}

/// Reads the stored trees of the derived views: none may name a relation of `pg_catalog` or `information_schema`, or a
/// function we replace. (`pg_depend` does not say: dependencies on what initdb makes are not recorded.)
async fn verify(client: &Client) -> Result<(), VirtualCatalogError> {
    let rows = client
        .query(
            "SELECT n.nspname || '.' || c.relname, o.kind, o.name
             FROM pg_catalog.pg_rewrite w
             JOIN pg_catalog.pg_class c ON c.oid = w.ev_class
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             CROSS JOIN LATERAL (
                 SELECT 'relation', k.relname::text
                 FROM pg_catalog.regexp_matches(w.ev_action::text, ':relid (\\d+)', 'g') m (id)
                 JOIN pg_catalog.pg_class k ON k.oid = m.id[1]::oid AND k.oid < 16384
                 UNION
                 SELECT 'function', p.proname::text
                 FROM pg_catalog.regexp_matches(w.ev_action::text, ':funcid (\\d+)', 'g') m (id)
                 JOIN pg_catalog.pg_proc p ON p.oid = m.id[1]::oid AND p.oid < 16384
             ) o (kind, name)
             WHERE n.nspname = $1::text AND c.relname = ANY ($2::text[])
                OR n.nspname = $3::text AND c.relname = ANY ($4::text[])",
            &[&CATALOG_SCHEMA, &DERIVED.to_vec(), &INFORMATION_SCHEMA, &INFORMATION_DERIVED.to_vec()],
        )
        .await
        .during("sure of the derived views")?;
    for row in rows {
        let (kind, object): (String, String) = (row.get(1), row.get(2));
        if kind == "relation" || virtual_catalog::function(&object).is_some() {
            return Err(VirtualCatalogError::Unreplaced { view: row.get(0), object });
        }
    }
    Ok(())
}
