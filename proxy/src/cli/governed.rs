//! What `check` and `explain` look at: the governance folder, with or without the warehouse's catalog.

use lanyard_adapters::store::Governance;
use lanyard_adapters::warehouse::postgres::{Login, Secret, Warehouse};
use lanyard_engine::approval::Approvals;
use lanyard_engine::catalog::Catalog;
use lanyard_engine::names;
use lanyard_engine::policy::{Diagnostic, PolicySet, Source};
use lanyard_engine::snapshot::Snapshot;

use super::{CliError, block_on};
use crate::config::{Config, Database};
use crate::server;
use crate::vend;

/// Compiles the policy files.
pub(super) fn policies(governance: &Governance) -> Result<PolicySet, Vec<Diagnostic>> {
    let sources: Vec<Source<'_>> =
        governance.policies.iter().map(|(file, text)| Source { file, text }).collect();
    PolicySet::parse(&sources)
}

/// Everything a decision reads, for one database, as the proxy would see it now.
pub(super) fn snapshot(
    config: &Config,
    entry: &Database,
    governance: &Governance,
    policies: PolicySet,
) -> Result<Snapshot, CliError> {
    let mut catalog = catalog(config, entry)?;
    governance.tags.apply(&mut catalog);
    Ok(Snapshot {
        version: 1,
        identities: governance.identities.clone(),
        tags: governance.tags.clone(),
        policies,
        catalog,
        approvals: Approvals { now: vend::now(), all: governance.approvals.clone() },
    })
}

fn catalog(config: &Config, entry: &Database) -> Result<Catalog, CliError> {
    block_on(async {
        let warehouse = connect(config, entry).await?;
        warehouse.catalog().await.map_err(|error| {
            CliError::because(format!("cannot read the catalog of database \"{}\"", entry.name), error)
        })
    })
}

/// Can the warehouse encrypt?
pub(super) fn has_aes(config: &Config, entry: &Database) -> Result<bool, CliError> {
    block_on(async {
        let warehouse = connect(config, entry).await?;
        let failed = |error| CliError::because(format!("cannot examine database \"{}\"", entry.name), error);
        warehouse.has_aes().await.map_err(failed)
    })
}

/// A database with Lanyard's own logins.
pub(super) async fn connect(config: &Config, entry: &Database) -> Result<Warehouse, CliError> {
    let secrets = config.database_material(entry)?;
    Warehouse::connect(
        server::endpoint(entry, &secrets),
        Login::new(names::BUILDER_ROLE, Secret::new(secrets.builder_password.as_str())),
        Login::new(names::VENDOR_ROLE, Secret::new(secrets.vendor_password.as_str())),
        entry.search_path.clone(),
        config.node.clone(),
    )
    .await
    .map_err(|error| {
        CliError::because(format!("cannot connect to database \"{}\"", entry.name), error).hint(
            "`lanyard bootstrap` makes the roles this needs; `lanyard check --offline` needs no warehouse",
        )
    })
}
