//! Reading the audit: attempts joined with their outcomes.
//!
//! Must never need the proxy to be stopped and never fail on a line it does not understand: unknown fields are passed
//! over, unreadable lines are reported. Called by the command line.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::de::Error as _;
use serde::{Deserialize, Serialize};

use super::lines::{Line, Lines};
use super::{LedgerError, Number, Segment, segments};

/// What to look for. Everything set must hold; the default is everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Id of the acting agent.
    pub agent: Option<String>,
    /// Id of the person.
    pub user: Option<String>,
    /// `schema.table`, or `table` in any schema.
    pub table: Option<String>,
    /// The vended role's name.
    pub role: Option<String>,
    /// The ruling id a client saw in DETAIL.
    pub ruling: Option<String>,
    /// Only attempts at or after this, microseconds since 1970.
    pub since: Option<u64>,
    /// The newest so many; all when absent.
    pub limit: Option<usize>,
}

/// One attempt, with its outcome when there is one. Fields as in `lanyard_engine::record`, absent ones empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// Joins the lines.
    pub ruling: String,
    /// Microseconds since 1970, UTC.
    pub time_us: u64,
    /// The proxy's name.
    pub node: String,
    /// Session id.
    pub session: String,
    /// The vended role.
    pub role: String,
    /// `on_behalf_of`, `autonomous`, `direct`.
    pub mode: String,
    /// Acting agent.
    pub agent: Option<String>,
    /// Its owner.
    pub agent_owner: Option<String>,
    /// The person.
    pub user: Option<String>,
    /// How the person was proven.
    pub user_proof: String,
    /// How the login was proven.
    pub authentication: String,
    /// Address of the client.
    pub client_address: String,
    /// What the client called itself.
    pub client_application: String,
    /// The database entry.
    pub database: String,
    /// When the lease ends, seconds since 1970.
    pub expires: u64,
    /// `simple`, `extended`, `login`.
    pub protocol: String,
    /// Statement kinds.
    pub operation: String,
    /// The client's text, or what stands for it.
    pub statement: String,
    /// The text sent to the warehouse.
    pub sent: Option<String>,
    /// What it touches.
    pub objects: Vec<Relation>,
    /// `allowed`, `filtered`, `masked`, `refused`.
    pub disposition: String,
    /// SQLSTATE of a refusal.
    pub sqlstate: Option<String>,
    /// Message of a refusal.
    pub reason: Option<String>,
    /// Version of the snapshot that ruled.
    pub snapshot: u64,
    /// Time spent judging, microseconds.
    pub judge_us: u64,
    /// How it ended; absent for refused attempts and while a statement runs.
    #[serde(skip_deserializing)]
    pub outcome: Option<OutcomeLine>,
}

/// A relation that a statement touches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Relation {
    /// `schema.table`.
    pub relation: String,
    /// `read` or `write`.
    pub operation: String,
    /// Row policies.
    pub filters: Vec<String>,
    /// `column: mask (policy)`.
    pub masks: Vec<String>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OutcomeLine {
    /// Microseconds since 1970, UTC.
    pub time_us: u64,
    /// `ok`, `failed`, `skipped`, `unknown`.
    pub status: String,
    /// SQLSTATE of a failure.
    pub sqlstate: Option<String>,
    /// Rows.
    pub rows: u64,
    /// Bytes of result.
    pub bytes: u64,
    /// Microseconds in the warehouse.
    pub warehouse_us: u64,
}

/// A line that is no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// File.
    pub file: PathBuf,
    /// Line number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

/// What [`search`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Matching attempts, newest last.
    pub entries: Vec<Entry>,
    /// Lines that could not be read.
    pub unreadable: Vec<Unreadable>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    event: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    ruling: std::borrow::Cow<'a, str>,
}

impl Filter {
    /// Was the segment closed before the time we look at? Then it need not be read.
    fn is_after(&self, segment: &Segment) -> bool {
        let closed = || {
            let modified = std::fs::metadata(&segment.path).and_then(|file| file.modified()).ok()?;
            u64::try_from(modified.duration_since(UNIX_EPOCH).ok()?.as_micros()).ok()
        };
        match (segment.number, self.since) {
            (Number::Closed(_), Some(since)) => closed().is_some_and(|closed| closed < since),
            (Number::Current, _) | (Number::Closed(_), None) => false,
        }
    }

    fn matches(&self, entry: &Entry) -> bool {
        let same =
            |want: &Option<String>, have: Option<&str>| want.as_deref().is_none_or(|want| have == Some(want));
        same(&self.agent, entry.agent.as_deref())
            && same(&self.user, entry.user.as_deref())
            && same(&self.role, Some(&entry.role))
            && same(&self.ruling, Some(&entry.ruling))
            && self.since.is_none_or(|since| entry.time_us >= since)
            && self.table.as_deref().is_none_or(|table| {
                entry.objects.iter().any(|object| {
                    object.relation == table
                        || (!table.contains('.') && object.relation.rsplit('.').next() == Some(table))
                })
            })
    }
}

/// Matching attempts of all files of a folder, newest last.
///
/// # Errors
/// [`LedgerError::Io`] when the folder or a file cannot be read.
pub fn query(dir: &Path, filter: &Filter) -> Result<Vec<Entry>, LedgerError> {
    search(dir, filter).map(|answer| answer.entries)
}

/// As [`query`], and says which lines could not be read. Memory grows with what is kept, not with the files.
///
/// # Errors
/// [`LedgerError::Io`] when the folder or a file cannot be read.
pub fn search(dir: &Path, filter: &Filter) -> Result<Answer, LedgerError> {
    let mut kept = Kept::default();
    let mut unreadable = Vec::new();
    for segment in segments(dir)? {
        if filter.is_after(&segment) {
            continue;
        }
        read(&segment, filter, &mut kept, &mut unreadable)?;
    }
    Ok(Answer { entries: kept.into_entries(), unreadable })
}

/// The newest matches so far, by ruling id and in order of time.
#[derive(Default)]
struct Kept {
    entries: HashMap<String, Entry>,
    order: BTreeSet<(u64, String)>,
}

impl Kept {
    fn push(&mut self, entry: Entry, limit: Option<usize>) {
        self.order.insert((entry.time_us, entry.ruling.clone()));
        self.entries.insert(entry.ruling.clone(), entry);
        if limit.is_some_and(|limit| self.order.len() > limit)
            && let Some((_, ruling)) = self.order.pop_first()
        {
            self.entries.remove(&ruling);
        }
    }

    fn into_entries(mut self) -> Vec<Entry> {
        self.order.into_iter().filter_map(|(_, ruling)| self.entries.remove(&ruling)).collect()
    }
}

fn read(
    segment: &Segment,
    filter: &Filter,
    kept: &mut Kept,
    unreadable: &mut Vec<Unreadable>,
) -> Result<(), LedgerError> {
    let path = &segment.path;
    let fail = || LedgerError::io("read", path);
    let mut lines = Lines::open(path).map_err(fail())?;
    let mut number = 0;
    loop {
        let line = lines.next().map_err(fail())?;
        number += 1;
        let why = match line {
            None => return Ok(()),
            Some(Line::Whole(b"")) => continue,
            Some(Line::Whole(bytes)) => match take(bytes, filter, kept) {
                Ok(()) => continue,
                Err(error) => format!("not a record ({error})"),
            },
            Some(Line::Torn(_)) => "cut short by a crash, or being written".to_owned(),
            Some(Line::TooLong) => "longer than any record".to_owned(),
        };
        unreadable.push(Unreadable { file: path.clone(), line: number, why });
    }
}

fn take(bytes: &[u8], filter: &Filter, kept: &mut Kept) -> Result<(), serde_json::Error> {
    let head: Head<'_> = serde_json::from_slice(bytes)?;
    if matches!(&*head.event, "attempt" | "outcome") && head.ruling.is_empty() {
        return Err(serde_json::Error::missing_field("ruling"));
    }
    match &*head.event {
        "attempt" => {
            let entry: Entry = serde_json::from_slice(bytes)?;
            if filter.matches(&entry) {
                kept.push(entry, filter.limit);
            }
        }
        "outcome" => {
            if let Some(entry) = kept.entries.get_mut(&*head.ruling) {
                entry.outcome = Some(serde_json::from_slice(bytes)?);
            }
        }
        // An event of a later version: nothing to join it with.
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
