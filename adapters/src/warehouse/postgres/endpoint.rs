//! Where a PostgreSQL is, and who logs in: values only.
//!
//! Must never print a secret. Called by everything in this folder and by the proxy's configuration.

use std::fmt;

/// A password or a vended secret. Neither `Debug` nor `Display` shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Takes a text.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself; for a login or an answer shown once, never for a log.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A role and its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Role name.
    pub user: String,
    /// Its password.
    pub password: Secret,
}

impl Login {
    /// Both parts.
    #[must_use]
    pub fn new(user: impl Into<String>, password: Secret) -> Self {
        Self { user: user.into(), password }
    }
}

/// How a TCP connection is encrypted, in libpq's words
/// (<https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION>). Unix sockets never are.
#[derive(Clone, PartialEq, Eq)]
pub enum TlsMode {
    /// Plain text.
    Disable,
    /// Encrypted, the certificate not checked: safe from listeners only.
    Require,
    /// Encrypted, certificate and host name checked.
    VerifyFull {
        /// Certificates of the authorities we trust, in PEM.
        ca_pem: Vec<u8>,
    },
}

impl fmt::Debug for TlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disable => "Disable",
            Self::Require => "Require",
            Self::VerifyFull { .. } => "VerifyFull",
        })
    }
}

/// One database of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name, address, or the absolute path of the folder that holds the unix socket.
    pub host: String,
    /// Port; also part of the socket's name.
    pub port: u16,
    /// Database.
    pub database: String,
    /// Encryption on TCP.
    pub tls: TlsMode,
}

impl Endpoint {
    /// Is this a unix socket?
    #[must_use]
    pub fn is_unix(&self) -> bool {
        self.host.starts_with('/')
    }

    /// The socket's path, for [`Self::is_unix`] endpoints.
    #[must_use]
    pub fn socket_path(&self) -> String {
        format!("{}/.s.PGSQL.{}", self.host, self.port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.host, self.port, self.database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let login = Login::new("taylor", Secret::new("hunter2"));
        assert!(!format!("{login:?}").contains("hunter2"));
        let tls = TlsMode::VerifyFull { ca_pem: b"hunter2".to_vec() };
        assert_eq!(format!("{tls:?}"), "VerifyFull");
    }
}
