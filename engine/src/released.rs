//! The statement that may be sent, and the record that had to be filed first.
//!
//! `Enforced::release` is the only way to a [`Released`], and it needs a [`Ledger`] that took the record: unenforced or
//! unrecorded text cannot be sent upstream, because the upstream writer takes nothing else.
//!
//! ```compile_fail
//! let text = lanyard_engine::released::Released { text: "SELECT 1".into() };
//! ```

use std::sync::Arc;

use thiserror::Error;

use crate::record::Attempt;

/// The record could not be written; nothing may be sent (53000).
#[derive(Debug, Error)]
#[error("the audit record cannot be written")]
pub struct LedgerFull;

/// Proof that a record was written. Made by ledgers only.
#[derive(Debug)]
#[must_use]
pub struct Filed(());

impl Filed {
    /// For implementations of [`Ledger`], after the record's bytes were handed to the operating system.
    pub fn written() -> Self {
        Self(())
    }
}

/// Where records go.
pub trait Ledger {
    /// Writes one record, so that it survives the death of this process.
    ///
    /// # Errors
    /// [`LedgerFull`] when it cannot; the statement must not be sent.
    fn file(&mut self, attempt: &Attempt<'_>) -> Result<Filed, LedgerFull>;
}

/// SQL as a client sent it. It can be judged, but not sent and not printed.
#[derive(Clone, Copy)]
pub struct RawSql<'a>(&'a str);

impl<'a> RawSql<'a> {
    /// Takes text off the wire.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self(text)
    }

    pub(crate) fn text(self) -> &'a str {
        self.0
    }

    /// The text, for the audit record only.
    #[must_use]
    pub fn for_record(self) -> &'a str {
        self.0
    }
}

impl std::fmt::Debug for RawSql<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RawSql({} bytes)", self.0.len())
    }
}

/// Text that enforcement made; not yet released.
#[derive(Clone, PartialEq, Eq)]
pub struct Enforced(Arc<str>);

impl Enforced {
    pub(crate) fn new(text: Arc<str>) -> Self {
        Self(text)
    }

    /// The text, for the record and for explanations. It cannot be sent: the upstream writer takes a [`Released`].
    #[must_use]
    pub fn for_record(&self) -> &str {
        &self.0
    }

    /// The text for a Parse message, which plans a statement and runs nothing; running it needs a [`Released`].
    #[must_use]
    pub fn for_parse(&self) -> Parseable<'_> {
        Parseable(&self.0)
    }

    /// Files the record, then releases the text.
    ///
    /// # Errors
    /// [`LedgerFull`] when the record cannot be written.
    pub fn release(&self, ledger: &mut impl Ledger, attempt: &Attempt<'_>) -> Result<Released, LedgerFull> {
        let Filed(()) = ledger.file(attempt)?;
        Ok(Released { text: Arc::clone(&self.0) })
    }
}

impl std::fmt::Debug for Enforced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Enforced({} bytes)", self.0.len())
    }
}

/// Enforced text that may be prepared, not run.
#[derive(Clone, Copy)]
pub struct Parseable<'a>(&'a str);

impl<'a> Parseable<'a> {
    /// The text to prepare.
    #[must_use]
    pub fn text(self) -> &'a str {
        self.0
    }
}

/// A statement that may be sent: enforced, and on record.
#[must_use]
pub struct Released {
    text: Arc<str>,
}

impl Released {
    /// The text to send.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}
