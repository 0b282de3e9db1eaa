//! The governance folder: `identities.json`, `credentials.json`, `tags.json`, `approvals.json`, and policies in `*.policy` and
//! `*.policy.json` files.
//!
//! Must never hold a key or a password, only verifiers, and never half-read a change: a load sees one state of the
//! folder. Policy text is carried, not understood. Called by the proxy (`load`, `stamp`) and the command line (`edit`).

mod edit;
mod files;
mod load;
mod verifier;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{fmt, io};

use lanyard_engine::approval::Approval;
use lanyard_engine::catalog::{Known, Tags};
use lanyard_engine::identity::{AgentId, Identities, UserId};
use thiserror::Error;

pub use edit::{
    NewAgent, NewUser, add_agent, add_user, apply_proposals, change_known, generate_key, remove_agent,
    remove_user, set_key, set_tags, write_proposals,
};
pub use load::{Stamp, load, stamp};
pub use verifier::{Credentials, ITERATIONS, ScramVerifier, VerifierError};

/// Longest governance file other than policies, in bytes.
pub const FILE_BYTES_MAX: u64 = 256 << 20;
/// Longest password, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// File of users and agents.
pub const IDENTITIES: &str = "identities.json";
/// File of verifiers; mode 0600.
pub const CREDENTIALS: &str = "credentials.json";
/// File of individual grants and approved requests.
pub const APPROVALS: &str = "approvals.json";
/// File of tag definitions and assignments.
pub const TAGS: &str = "tags.json";
/// File of the tables and columns that somebody has looked at.
pub const KNOWN: &str = "known.json";
/// File of what `lanyard identify` found last; nothing reads it but people.
pub const PROPOSALS: &str = "proposals.json";

/// Everything the folder says, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Governance {
    /// Everybody.
    pub identities: Identities,
    /// How they prove it.
    pub credentials: Credentials,
    /// Tag definitions and assignments.
    pub tags: Tags,
    /// Database entry -> what it held when somebody last looked. A database that is not here was never looked at.
    pub known: BTreeMap<String, Known>,
    /// Path and text of each policy file, in order of name.
    pub policies: Vec<(String, String)>,
    /// Individual grants and approved requests, ended ones included.
    pub approvals: Vec<Approval>,
}

/// An agent or a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who<'a> {
    /// A program.
    Agent(&'a AgentId),
    /// A person.
    User(&'a UserId),
}

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(id) => write!(f, "agent \"{id}\""),
            Self::User(id) => write!(f, "user \"{id}\""),
        }
    }
}

/// Why the folder cannot be read or changed. [`StoreError::hint`] says what to do next.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot {action} \"{}\"", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file says something we do not understand.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Syntax {
        /// File.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// A file is well-formed and cannot be true.
    #[error("{}: {message}", path.display())]
    Invalid {
        /// File.
        path: PathBuf,
        /// What is wrong.
        message: String,
        /// What to do.
        hint: String,
    },
    /// Others may read the verifiers.
    #[error("{}: mode {mode:04o} lets others read it", path.display())]
    Permissions {
        /// File.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The folder went on changing while it was read.
    #[error("\"{}\" keeps changing while it is read", .0.display())]
    Unsettled(PathBuf),
    /// The id is taken.
    #[error("{0} exists already")]
    Exists(String),
    /// Nobody of that id.
    #[error("{0} does not exist")]
    Missing(String),
    /// A person who answers for agents cannot be removed.
    #[error("user \"{user}\" owns {agents}")]
    Owner {
        /// The person.
        user: UserId,
        /// Their agents, for people to read.
        agents: String,
    },
    /// A password that cannot be used.
    #[error("{0}")]
    Password(&'static str),
    /// All short ids are used up.
    #[error("no short id is left (the largest is {max})", max = lanyard_engine::limits::SHORT_ID_MAX)]
    ShortIds,
    /// The operating system gave no random bytes.
    #[error("no random bytes")]
    Random,
}

impl StoreError {
    /// What to do next, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { path, source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some(if path.ends_with(IDENTITIES) {
                    "add the first person with `lanyard user add ID`".to_owned()
                } else {
                    format!("make \"{}\", or correct the folder's name", path.display())
                })
            }
            Self::Io { .. } | Self::Syntax { .. } => Some("correct the file; nothing was changed".to_owned()),
            Self::Invalid { hint, .. } => Some(hint.clone()),
            Self::Permissions { path, .. } => Some(format!("run: chmod 600 \"{}\"", path.display())),
            Self::Unsettled(_) => Some("try again when the change is done".to_owned()),
            Self::Exists(_) => Some("choose another id; agents and users share one list".to_owned()),
            Self::Missing(_) => {
                Some("`lanyard agent list` and `lanyard user list` show who exists".to_owned())
            }
            Self::Owner { .. } => Some("remove these agents first".to_owned()),
            Self::Password(_) => {
                Some("let Lanyard make one: `lanyard user password ID --generate`".to_owned())
            }
            Self::ShortIds | Self::Random => None,
        }
    }
}

#[cfg(test)]
mod tests;
