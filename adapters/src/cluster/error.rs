//! Why a private cluster could not be had.
//!
//! Messages must never hold the password. Returned by everything in [`super`].

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{PORT_TRIES, PORTS, SOCKET_PATH_BYTES_MAX, START_SECONDS_MAX};

/// Why a private cluster could not be had.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// No server binaries anywhere.
    #[error(
        "no postgresql server binaries found in PATH, pg_config, /usr/lib/postgresql or homebrew; install the package \"postgresql\" or name their folder"
    )]
    NoBinaries,
    /// The folder named has no initdb or no postgres.
    #[error("folder {0:?} does not hold both \"initdb\" and \"postgres\"")]
    NotABinFolder(PathBuf),
    /// We are root and there is nobody to drop to.
    #[error(
        "postgresql refuses to run as root and neither account \"postgres\" nor \"nobody\" is in /etc/passwd"
    )]
    NoAccount,
    /// The server's account cannot pass this folder.
    #[error("the server's account cannot enter {0:?}; choose a folder under /tmp")]
    Closed(PathBuf),
    /// The folder holds something already.
    #[error("folder {0:?} is not empty, and a private cluster never reuses one")]
    NotEmpty(PathBuf),
    /// The socket's path would be cut.
    #[error("socket path {0:?} is longer than {SOCKET_PATH_BYTES_MAX} bytes; choose a shorter folder")]
    SocketPath(PathBuf),
    /// A file or process operation failed.
    #[error("cannot {action} {path:?}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A PostgreSQL program failed; its last words.
    #[error("{program} failed: {output}")]
    Program {
        /// Which one.
        program: &'static str,
        /// What it printed.
        output: String,
    },
    /// Every port tried was taken.
    #[error("no free port in {}..{} after {PORT_TRIES} tries", PORTS.start, PORTS.end)]
    NoPort,
    /// Not ready in time.
    #[error("the server was not ready after {START_SECONDS_MAX} s; the end of its log: {log}")]
    NotReady {
        /// Last lines of the log.
        log: String,
        /// Why the last probe failed.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The server refused a superuser's connection.
    #[error("cannot connect to the private cluster")]
    Connect(#[source] tokio_postgres::Error),
    /// The system has no randomness to give.
    #[error("the system's random number generator failed")]
    Random,
}

impl ClusterError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}
