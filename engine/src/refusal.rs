//! Why something was not done, in the words the client reads.

use std::fmt;

use thiserror::Error;

/// The SQLSTATEs we speak ourselves (style.md, "Errors"; PostgreSQL Appendix A).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// 42501: policy.
    Policy,
    /// 42P01: not visible or missing, alike.
    UndefinedTable,
    /// 42P07: a relation of that name exists.
    DuplicateTable,
    /// 42703: column not visible or missing, alike.
    UndefinedColumn,
    /// 42704: a type or the like, not visible or missing, alike.
    UndefinedObject,
    /// 0A000: unsupported.
    Unsupported,
    /// 42601: syntax.
    Syntax,
    /// 54000: too large.
    TooLarge,
    /// 54001: too deep.
    TooDeep,
    /// 53000: the record cannot be written.
    LedgerFull,
    /// 53300: too many clients.
    TooManyClients,
    /// 28P01: bad login.
    BadLogin,
    /// 28000: no identity.
    NoIdentity,
    /// 3D000: no such database.
    UnknownDatabase,
    /// 26000: no such prepared statement.
    UnknownStatement,
    /// 34000: no such portal or cursor.
    UnknownPortal,
    /// 42P03: portal exists.
    DuplicatePortal,
    /// 42P05: prepared statement exists.
    DuplicateStatement,
    /// 08P01: protocol violation.
    Protocol,
    /// 22021: bytes that are not UTF-8, or NUL.
    BadBytes,
    /// 22023: a setting does not take this value.
    BadValue,
    /// 55P03: the table is being changed; as a lock that is not to be had in time.
    Changing,
    /// 57014: cancelled.
    Cancelled,
    /// 57P01: shutting down, or the lease ended.
    ShuttingDown,
    /// 57P03: starting.
    Starting,
    /// 08006: upstream lost.
    UpstreamLost,
    /// XX000: our fault.
    Internal,
}

impl Code {
    /// Five characters.
    #[must_use]
    pub fn sqlstate(self) -> &'static str {
        match self {
            Self::Policy => "42501",
            Self::UndefinedTable => "42P01",
            Self::DuplicateTable => "42P07",
            Self::UndefinedColumn => "42703",
            Self::UndefinedObject => "42704",
            Self::Unsupported => "0A000",
            Self::Syntax => "42601",
            Self::TooLarge => "54000",
            Self::TooDeep => "54001",
            Self::LedgerFull => "53000",
            Self::TooManyClients => "53300",
            Self::BadLogin => "28P01",
            Self::NoIdentity => "28000",
            Self::UnknownDatabase => "3D000",
            Self::UnknownStatement => "26000",
            Self::UnknownPortal => "34000",
            Self::DuplicatePortal => "42P03",
            Self::DuplicateStatement => "42P05",
            Self::Protocol => "08P01",
            Self::BadBytes => "22021",
            Self::BadValue => "22023",
            Self::Changing => "55P03",
            Self::Cancelled => "57014",
            Self::ShuttingDown => "57P01",
            Self::Starting => "57P03",
            Self::UpstreamLost => "08006",
            Self::Internal => "XX000",
        }
    }
}

/// A refusal: message lower case, no full stop, names quoted; hint says what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct Refusal {
    /// SQLSTATE.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Byte offset in the client's text, where one is known.
    pub offset: Option<usize>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Refusal {
    /// A refusal with a message only.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, offset: None }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds where in the client's text (bytes from its start).
    #[must_use]
    pub fn at(mut self, offset: usize) -> Self {
        self.offset = Some(offset);
        self
    }
}
