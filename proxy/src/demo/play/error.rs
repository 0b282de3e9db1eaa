//! Why the demo ended without having told its story.
//!
//! Messages must never hold a key or a password.

use std::io;
use std::path::PathBuf;

use lanyard_adapters::cluster::ClusterError;
use lanyard_adapters::ledger::LedgerError;
use lanyard_adapters::store::StoreError;
use lanyard_adapters::warehouse::postgres::WarehouseError;
use thiserror::Error;

use crate::config::ConfigErrors;
use crate::demo::data::LoadError;
use crate::demo::setting::SettingError;
use crate::server::StartError;

/// Why the demo ended without having told its story.
#[derive(Debug, Error)]
pub enum DemoError {
    /// No private PostgreSQL.
    #[error("cannot start a private PostgreSQL")]
    Cluster(#[from] ClusterError),
    /// No sample data.
    #[error("cannot load the sample data")]
    Load(#[from] LoadError),
    /// No configuration.
    #[error("cannot write the demo's configuration")]
    Setting(#[from] SettingError),
    /// The configuration we wrote is refused.
    #[error("the demo's configuration is refused: {0}")]
    Config(#[from] ConfigErrors),
    /// The governance folder.
    #[error("cannot give out keys")]
    Store(#[from] StoreError),
    /// The bootstrap.
    #[error("cannot bootstrap the private PostgreSQL")]
    Bootstrap(#[from] WarehouseError),
    /// The proxy.
    #[error("cannot start the proxy")]
    Start(#[source] Box<StartError>),
    /// The audit cannot be read back.
    #[error("cannot read the audit")]
    Ledger(#[from] LedgerError),
    /// The superuser's own look at the warehouse.
    #[error("cannot {what}")]
    Warehouse {
        /// What was wanted.
        what: &'static str,
        /// Why not.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A connection through the proxy broke, which is no refusal.
    #[error("{login} lost the connection to the proxy")]
    Client {
        /// Whose connection.
        login: String,
        /// How.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A file of the demo.
    #[error("cannot {action} \"{}\"", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// An act came out differently.
    #[error("{act} did not come out as told: {what}")]
    Story {
        /// Which act.
        act: String,
        /// What was seen instead.
        what: String,
    },
    /// Something would not go away.
    #[error("not everything could be cleaned up; look at \"{}\"", .0.display())]
    Cleanup(PathBuf),
    /// No signals.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// The story could not be printed.
    #[error("cannot print the story")]
    Output(#[from] io::Error),
}

/// An act that came out differently.
pub(super) fn story(act: &str, what: impl Into<String>) -> DemoError {
    DemoError::Story { act: act.to_owned(), what: what.into() }
}
