//! The audit on disk: JSON lines, one file per shard, written before a statement is sent.
//!
//! Must never let a statement through whose record the operating system did not take, and must never hold rows or
//! parameters. Called by the proxy's sessions (`Shard`), by its start (`recover`) and by the command line (`search`).

mod file;
mod lines;
mod query;
mod recover;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use file::{FileLedger, Health, Shard};
pub use query::{Answer, Entry, Filter, OutcomeLine, Relation, Unreadable, query, search};
pub use recover::{Recovery, recover};

/// A file grows to this size, in bytes, before the next one is begun.
pub const SEGMENT_BYTES_MAX: u64 = 256 << 20;
/// Outcome lines kept for the next write, in bytes; beyond it they are written on their own.
pub const PENDING_BYTES_SOFT: usize = 64 << 10;
/// Outcome lines kept while writing fails, in bytes; beyond it they are dropped and counted.
pub const PENDING_BYTES_MAX: usize = 1 << 20;
/// Attempts in flight that a shard remembers. With more, a recovery reads older segments too.
pub const OPEN_MAX: usize = 100_000;
/// Longest line that is read back, in bytes. The longest that is written holds a statement twice, escaped.
pub const LINE_BYTES_MAX: usize = 32 << 20;

/// When a record counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// After write(2): survives the death of the proxy.
    Write,
    /// After fdatasync(2): survives power loss. One per record for now; group commit would share them.
    Fsync,
}

/// How to open a ledger.
#[derive(Debug, Clone)]
pub struct LedgerOptions {
    /// Folder; made when missing.
    pub dir: PathBuf,
    /// The proxy's name; part of file names, so letters, digits, `.`, `_`, `-` only.
    pub node: String,
    /// When a record counts as written.
    pub sync: Sync,
    /// Number of files written side by side; at least 1.
    pub shards: usize,
}

/// Why the ledger cannot be opened, read or recovered.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The operating system refused.
    #[error("cannot {action} audit file \"{}\"", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another process writes this file.
    #[error("audit file \"{}\" is being written by another process; give each proxy its own `node` name", .0.display())]
    Busy(PathBuf),
    /// The node's name cannot be part of a file name.
    #[error("node name {0:?} must be 1 to 64 letters, digits, '.', '_', '-'")]
    Node(String),
    /// No shards.
    #[error("a ledger needs at least one shard")]
    Shards,
}

impl LedgerError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// One file of the audit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Segment {
    /// `audit-<node>-<shard>`: an attempt and its outcome are always in one family.
    pub(crate) family: String,
    /// Number of a closed segment; the one being written sorts last.
    pub(crate) number: Number,
    pub(crate) path: PathBuf,
}

/// Which segment of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Number {
    /// Closed, in order of closing.
    Closed(u32),
    /// Being written.
    Current,
}

fn family(node: &str, shard: usize) -> String {
    format!("audit-{node}-{shard}")
}

fn current_path(dir: &Path, family: &str) -> PathBuf {
    dir.join(format!("{family}.jsonl"))
}

fn closed_path(dir: &Path, family: &str, number: u32) -> PathBuf {
    dir.join(format!("{family}.{number:06}.jsonl"))
}

/// Every audit file of a folder, oldest first within a family.
pub(crate) fn segments(dir: &Path) -> Result<Vec<Segment>, LedgerError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(LedgerError::io("list", dir))? {
        let path = entry.map_err(LedgerError::io("list", dir))?.path();
        let Some(stem) = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".jsonl"))
            .filter(|stem| stem.starts_with("audit-"))
        else {
            continue;
        };
        let closed = stem.rsplit_once('.').and_then(|(family, digits)| {
            let number = (digits.len() == 6).then(|| digits.parse().ok()).flatten()?;
            Some((family.to_owned(), Number::Closed(number)))
        });
        let (family, number) = closed.unwrap_or((stem.to_owned(), Number::Current));
        found.push(Segment { family, number, path });
    }
    found.sort();
    Ok(found)
}

fn check_node(node: &str) -> Result<(), LedgerError> {
    let fits = (1..=64).contains(&node.len())
        && node.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if fits { Ok(()) } else { Err(LedgerError::Node(node.to_owned())) }
}
