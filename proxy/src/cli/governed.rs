//! What `check` and `explain` look at: the governance folder, with or without the warehouse's catalog.

use lanyard_adapters::store::Governance;
use lanyard_adapters::warehouse::postgres::{Login, Secret, Warehouse, WarehouseError};
use lanyard_engine::approval::Approvals;
use lanyard_engine::catalog::Catalog;
use lanyard_engine::names;
use lanyard_engine::policy::{Diagnostic, PolicySet, Source};
use lanyard_engine::snapshot::{Parts, Snapshot};

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
    vend::govern(&mut catalog, &entry.name, governance);
    Ok(with_catalog(governance, policies, catalog))
}

/// The same over an empty catalog.
pub(super) fn without_warehouse(governance: &Governance, policies: PolicySet) -> Snapshot {
    with_catalog(governance, policies, Catalog::default())
}

fn with_catalog(governance: &Governance, policies: PolicySet, catalog: Catalog) -> Snapshot {
    Snapshot::new(Parts {
        version: 1,
        identities: governance.identities.clone(),
        tags: governance.tags.clone(),
        policies,
        catalog,
        approvals: Approvals { now: vend::now(), all: governance.approvals.clone() },
    })
}

fn catalog(config: &Config, entry: &Database) -> Result<Catalog, CliError> {
    let failed = |error| cannot("read the catalog of", entry, error);
    block_on(async { connect(config, entry).await?.catalog().await.map_err(failed) })
}

/// Can the warehouse encrypt?
pub(super) fn has_aes(config: &Config, entry: &Database) -> Result<bool, CliError> {
    let failed = |error| cannot("examine", entry, error);
    block_on(async { connect(config, entry).await?.has_aes().await.map_err(failed) })
}

/// Logs in to an entry's warehouse as the proxy does.
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
    .map_err(|error| cannot("log in to", entry, error))
}

pub(super) fn cannot(what: &str, entry: &Database, error: WarehouseError) -> CliError {
    CliError::because(format!("cannot {what} database \"{}\"", entry.name), error)
        .hint("`lanyard bootstrap` makes the roles this needs; `lanyard check --offline` needs no warehouse")
}
