//! `lanyard.toml`: what the operator wrote, checked as a whole before anything starts.
//!
//! Must never guess: an unknown key, a value that cannot take effect or a file that cannot be used refuses the start,
//! with file, line and column. Called by the command line; the rest of the proxy gets values from here.

mod error;
mod material;
mod read;
mod section;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use lanyard_adapters::ledger::Sync;
use lanyard_engine::catalog::RelationName;

pub use error::{ConfigError, ConfigErrors};
pub(crate) use material::write_secret;
pub use material::{DatabaseMaterial, Material, TlsIdentity};

/// A value and where it stands, so that what is found out later can be told with file and line too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// The whole file. Made by [`Config::read`] and [`Config::parse`] only; files it names are opened by
/// [`Config::material`].
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it came from.
    pub file: PathBuf,
    /// This proxy's name: in audit lines, file names and leases.
    pub node: String,
    /// Where clients connect.
    pub listen: Listen,
    /// Identities, tags and policies.
    pub governance: GovernanceFolder,
    /// Where records go.
    pub audit: Audit,
    /// Clocks of a session.
    pub session: SessionClocks,
    /// What a client may name as `database`. At least one.
    pub databases: BTreeMap<String, Database>,
}

/// Where clients connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// TLS towards clients.
    pub tls: ListenTls,
    /// Most client connections at once.
    pub clients_max: usize,
    /// Address of `/metrics`, `/healthz`, `/readyz`.
    pub http: Option<SocketAddr>,
}

/// TLS towards clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenTls {
    /// Plain connections only.
    Off,
    /// Both.
    Offer(TlsFiles),
    /// TLS only.
    Require(TlsFiles),
}

/// PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, leaf first.
    pub certificate: Located<PathBuf>,
    /// Private key.
    pub key: Located<PathBuf>,
}

/// Identities, tags and policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GovernanceFolder {
    /// Absolute or relative to the working directory, ready to use.
    pub directory: Located<PathBuf>,
    /// How often to look for changes.
    pub reload: Duration,
}

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Folder, ready to use.
    pub directory: Located<PathBuf>,
    /// When a record counts as written.
    pub sync: Sync,
    /// What of the client's text is recorded.
    pub statement: StatementText,
}

/// What of the client's text is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementText {
    /// The text.
    Text,
    /// A hash of it.
    Fingerprint,
}

/// Clocks of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionClocks {
    /// How long a vended role lives.
    pub lease: Duration,
    /// How long a client may take to log in.
    pub login: Duration,
    /// How long a session may be silent.
    pub idle: Duration,
    /// How long a silent session keeps its backend; none is for ever.
    pub detach: Option<Duration>,
}

/// One `[databases.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// NAME.
    pub name: String,
    /// Host name, address, or absolute folder of a unix socket.
    pub host: String,
    /// Port, also part of the socket's name.
    pub port: u16,
    /// Database in the warehouse.
    pub database: String,
    /// TLS towards the warehouse.
    pub tls: UpstreamTls,
    /// Password of `lanyard_builder`; written by `lanyard bootstrap`.
    pub builder_password_file: Located<PathBuf>,
    /// Password of `lanyard_vendor`; written by `lanyard bootstrap`.
    pub vendor_password_file: Located<PathBuf>,
    /// Schemas of unqualified names. Never empty.
    pub search_path: Vec<String>,
    /// Relations readable by PUBLIC that the operator accepts.
    pub accept_public: Vec<RelationName>,
}

/// TLS towards the warehouse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamTls {
    /// Plain.
    Disable,
    /// Encrypted, not verified.
    Require,
    /// Encrypted, chain and name verified.
    VerifyFull {
        /// PEM file of the authorities.
        ca_file: Located<PathBuf>,
    },
}

#[cfg(test)]
mod tests;
