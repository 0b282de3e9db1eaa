//! Why a command failed, as an operator reads it: what, why underneath, what to do next.

use std::error::Error;
use std::io;

use lanyard_adapters::ledger::LedgerError;
use lanyard_adapters::store::StoreError;
use thiserror::Error;

use crate::config::ConfigErrors;

/// Why a command failed.
#[derive(Debug, Error)]
pub enum CliError {
    /// Arguments that mean nothing, or a question for help.
    #[error(transparent)]
    Clap(#[from] clap::Error),
    /// Arguments that contradict each other or the configuration.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The governance folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The audit.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The answer could not be printed.
    #[error("cannot print the answer")]
    Output(#[from] io::Error),
    /// Something else went wrong.
    #[error("{message}")]
    Failed {
        /// What.
        message: String,
        /// What to do.
        hint: Option<String>,
        /// Why.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl CliError {
    /// A failure with a message.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: None, source: None }
    }

    /// A failure because of another.
    pub fn because(message: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Failed { message: message.into(), hint: None, source: Some(Box::new(source)) }
    }

    /// Wrong usage.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: None }
    }

    /// Adds what to do next, where the error has a place for it.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        match &mut self {
            Self::Usage { hint, .. } | Self::Failed { hint, .. } => *hint = Some(text.into()),
            Self::Clap(_) | Self::Config(_) | Self::Store(_) | Self::Ledger(_) | Self::Output(_) => {}
        }
        self
    }

    /// 2 for wrong usage, 1 for everything else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Clap(_) | Self::Usage { .. } => 2,
            Self::Config(_) | Self::Store(_) | Self::Ledger(_) | Self::Output(_) | Self::Failed { .. } => 1,
        }
    }

    /// The error, its causes and its hint, one line each.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = format!("error: {self}");
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(&format!("\n  because: {error}"));
            cause = error.source();
        }
        let hint = match self {
            Self::Usage { hint, .. } | Self::Failed { hint, .. } => hint.clone(),
            Self::Store(error) => error.hint(),
            // Clap and the configuration carry their hints in their text.
            Self::Clap(_) | Self::Config(_) | Self::Ledger(_) | Self::Output(_) => None,
        };
        if let Some(hint) = hint {
            text.push_str(&format!("\n  hint: {hint}"));
        }
        text
    }
}
