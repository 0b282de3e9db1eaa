//! What a crash left open: attempts that were released and never answered.
//!
//! Must never change or drop a line, only add. Called once at start, before [`super::FileLedger::open`].

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use lanyard_engine::record::{Outcome, RulingId, Status};
use serde::Deserialize;

use super::file::{is_torn, open_locked};
use super::lines::{Line, Lines};
use super::{LedgerError, Segment, current_path, segments};

/// What [`recover`] found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Attempts that got an outcome `unknown`.
    pub unknown: u64,
    /// Files whose last line was cut short by a crash; the piece stays, ended by a newline.
    pub torn: Vec<PathBuf>,
    /// Lines that are no records, over all files.
    pub unreadable: u64,
    /// Files that another process is writing; left alone.
    pub busy: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Slim<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    ruling: Cow<'a, str>,
    #[serde(default)]
    rulings: Vec<String>,
    #[serde(borrow, default)]
    disposition: Option<Cow<'a, str>>,
}

/// Gives every attempt that was not refused and has no outcome the outcome `unknown`. A missing folder is an empty one.
///
/// # Errors
/// [`LedgerError::Io`] when a file cannot be read or written.
pub fn recover(dir: &Path) -> Result<Recovery, LedgerError> {
    let mut recovery = Recovery::default();
    if !dir.exists() {
        return Ok(recovery);
    }
    let mut families: Vec<(String, Vec<Segment>)> = Vec::new();
    for segment in segments(dir)? {
        match families.last_mut() {
            Some((family, members)) if *family == segment.family => members.push(segment),
            Some(_) | None => families.push((segment.family.clone(), vec![segment])),
        }
    }
    for (family, members) in families {
        recover_family(&current_path(dir, &family), &members, &mut recovery)?;
    }
    Ok(recovery)
}

fn recover_family(current: &Path, members: &[Segment], recovery: &mut Recovery) -> Result<(), LedgerError> {
    let mut file = match open_locked(current) {
        Ok(file) => file,
        Err(LedgerError::Busy(path)) => {
            recovery.busy.push(path);
            return Ok(());
        }
        Err(other) => return Err(other),
    };
    let mut open = HashMap::new();
    // Back to the newest segment that says what was open when it began; without one, from the first.
    let mut first = members.len();
    while first > 0 {
        first -= 1;
        if begins_with_open(&members[first].path)? {
            break;
        }
    }
    for segment in &members[first..] {
        scan(&segment.path, &mut open, recovery)?;
    }
    let torn = is_torn(&mut file).map_err(LedgerError::io("read", current))?;
    if torn {
        recovery.torn.push(current.to_owned());
    }
    let mut rulings: Vec<(u64, u128)> = open.into_iter().map(|(id, order)| (order, id)).collect();
    rulings.sort_unstable();
    recovery.unknown += rulings.len() as u64;
    close(&mut file, torn, &rulings).map_err(LedgerError::io("write", current))
}

/// Collects ruling id -> order of appearance for what is open.
fn scan(path: &Path, open: &mut HashMap<u128, u64>, recovery: &mut Recovery) -> Result<(), LedgerError> {
    let fail = || LedgerError::io("read", path);
    let mut order = open.values().max().map_or(0, |last| last + 1);
    let mut lines = Lines::open(path).map_err(fail())?;
    while let Some(line) = lines.next().map_err(fail())? {
        let bytes = match line {
            Line::Whole(b"") => continue,
            Line::Whole(bytes) => bytes,
            Line::Torn(_) | Line::TooLong => {
                recovery.unreadable += 1;
                continue;
            }
        };
        let known = serde_json::from_slice::<Slim<'_>>(bytes).ok().and_then(|slim| {
            match &*slim.event {
                "attempt" if slim.disposition.as_deref() != Some("refused") => {
                    open.insert(number(&slim.ruling)?, order);
                    order += 1;
                }
                "outcome" => {
                    open.remove(&number(&slim.ruling)?);
                }
                "open" => {
                    for ruling in &slim.rulings {
                        open.insert(number(ruling)?, order);
                        order += 1;
                    }
                }
                // Refused attempts end where they begin; events of later versions are not ours to close.
                _ => {}
            }
            Some(())
        });
        if known.is_none() {
            recovery.unreadable += 1;
        }
    }
    Ok(())
}

fn number(ruling: &str) -> Option<u128> {
    u128::from_str_radix(ruling, 16).ok()
}

fn begins_with_open(path: &Path) -> Result<bool, LedgerError> {
    let fail = || LedgerError::io("read", path);
    let mut lines = Lines::open(path).map_err(fail())?;
    match lines.next().map_err(fail())? {
        Some(Line::Whole(bytes)) => {
            let slim = serde_json::from_slice::<Slim<'_>>(bytes);
            Ok(slim.is_ok_and(|slim| slim.event == "open"))
        }
        Some(Line::Torn(_) | Line::TooLong) | None => Ok(false),
    }
}

fn close(file: &mut File, torn: bool, rulings: &[(u64, u128)]) -> io::Result<()> {
    if !torn && rulings.is_empty() {
        return Ok(());
    }
    let time_us = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
    let mut lines = Vec::new();
    if torn {
        lines.push(b'\n');
    }
    for &(_, ruling) in rulings {
        let outcome = Outcome {
            ruling: RulingId(ruling),
            time_us,
            status: Status::Unknown,
            sqlstate: None,
            rows: 0,
            bytes: 0,
            warehouse_us: 0,
        };
        outcome.write_line(&mut lines);
    }
    file.write_all(&lines)?;
    file.sync_data()
}
