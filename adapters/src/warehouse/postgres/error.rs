//! What can go wrong with a PostgreSQL warehouse.
//!
//! Display must never print its source nor a secret. Raised by every file of this folder.

use std::io;

use lanyard_engine::catalog::RelationName;
use thiserror::Error;

/// What can go wrong with a PostgreSQL warehouse.
#[derive(Debug, Error)]
pub enum WarehouseError {
    /// No connection.
    #[error("cannot reach the warehouse at {endpoint:?}")]
    Unreachable {
        /// `host:port/database`.
        endpoint: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The connection went away.
    #[error("the warehouse connection was lost while {doing}")]
    Lost {
        /// What we were at.
        doing: &'static str,
        /// Why, where we know.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// No answer in time.
    #[error("the warehouse did not answer within {seconds} s while {doing}")]
    Deadline {
        /// What we were at.
        doing: &'static str,
        /// How long we waited, in seconds.
        seconds: u64,
    },
    /// TLS could not be set up.
    #[error("no TLS with the warehouse: {what}")]
    Tls {
        /// What is wrong and what to do.
        what: String,
        /// Why, where we know.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The server spoke otherwise than the protocol allows, or than we accept.
    #[error("the warehouse broke the protocol: {0}")]
    Protocol(String),
    /// The server answered with an error.
    #[error("the warehouse refused ({sqlstate}): {message}")]
    Refused {
        /// SQLSTATE.
        sqlstate: String,
        /// The server's message, cut to 1 KiB.
        message: String,
    },
    /// A statement of ours failed on our side of the connection.
    #[error("a statement failed while {doing}")]
    Client {
        /// What we were at.
        doing: &'static str,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A governed relation is not what it was when the catalog was read; read it again.
    #[error("relation \"{relation}\" changed since the catalog was read: {what}")]
    Changed {
        /// Which.
        relation: RelationName,
        /// How.
        what: String,
    },
    /// A secured view could not be built.
    #[error("cannot build the secured view of \"{relation}\": {what}")]
    View {
        /// The governed relation.
        relation: RelationName,
        /// What is wrong.
        what: String,
        /// SQLSTATE where the server said so.
        sqlstate: Option<String>,
    },
    /// Lanyard's objects are missing or older than this program.
    #[error("database {database:?} is not prepared for this version of Lanyard (run \"lanyard bootstrap\")")]
    NotBootstrapped {
        /// Database.
        database: String,
    },
    /// The virtual catalog could not be built.
    #[error("the virtual catalog cannot be built")]
    VirtualCatalog(#[from] super::virtual_catalog::VirtualCatalogError),
    /// The system gave no randomness.
    #[error("the system gives no random bytes")]
    Random,
}

impl WarehouseError {
    /// What the server said, where it was the server that refused.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Refused { sqlstate, .. } => Some(sqlstate),
            Self::View { sqlstate, .. } => sqlstate.as_deref(),
            Self::Unreachable { .. }
            | Self::Lost { .. }
            | Self::Deadline { .. }
            | Self::Tls { .. }
            | Self::Protocol(_)
            | Self::Client { .. }
            | Self::Changed { .. }
            | Self::NotBootstrapped { .. }
            | Self::Random
            | Self::VirtualCatalog(_) => None,
        }
    }

    /// Reads an error of tokio-postgres: the server's answer, a lost connection, or a mistake of ours.
    pub(super) fn from_client(source: tokio_postgres::Error, doing: &'static str) -> Self {
        if let Some(answer) = source.as_db_error() {
            return Self::Refused {
                sqlstate: answer.code().code().to_owned(),
                message: short(answer.message()),
            };
        }
        let io = std::error::Error::source(&source).is_some_and(|e| e.is::<io::Error>());
        if source.is_closed() || io {
            return Self::Lost { doing, source: Some(Box::new(source)) };
        }
        Self::Client { doing, source }
    }

    /// Is the connection it happened on of no more use?
    pub(super) fn is_fatal(&self) -> bool {
        match self {
            Self::Lost { .. } | Self::Deadline { .. } | Self::Protocol(_) | Self::Client { .. } => true,
            Self::Refused { sqlstate, .. } => {
                // admin_shutdown, crash_shutdown, cannot_connect_now, and connection exceptions.
                matches!(sqlstate.as_str(), "57P01" | "57P02" | "57P03") || sqlstate.starts_with("08")
            }
            Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::Changed { .. }
            | Self::View { .. }
            | Self::NotBootstrapped { .. }
            | Self::Random
            | Self::VirtualCatalog(_) => false,
        }
    }
}

/// At most 1 KiB of a server's message, cut between characters.
pub(super) fn short(text: &str) -> String {
    let mut end = text.len().min(1024);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}
