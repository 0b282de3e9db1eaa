//! Writing: one write(2) per attempt, outcome lines riding in front of it.
//!
//! Must never report a record as filed that is not wholly in the file, and must never await. A failing write refuses
//! the statement; a half-written line is cut off again, and where that fails the shard refuses everything from then on.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;
use lanyard_engine::record::{Attempt, Disposition, Outcome, RulingId, VERSION};
use lanyard_engine::released::{Filed, Ledger, LedgerFull};

use super::{
    LedgerError, LedgerOptions, Number, OPEN_MAX, PENDING_BYTES_MAX, PENDING_BYTES_SOFT, SEGMENT_BYTES_MAX,
    Sync, check_node, closed_path, current_path, family, segments,
};

/// Can records still be written?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Yes, as far as known.
    Sound,
    /// No: a broken line could not be repaired, or the disk did not confirm. Only a restart helps.
    Poisoned,
}

/// What a shard needs from a file; tests put failing ones in its place.
trait Disk: Send {
    /// One write(2) at the end.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Cuts the file to `size` bytes.
    fn cut(&mut self, size: u64) -> io::Result<()>;
    /// fdatasync(2).
    fn sync(&mut self) -> io::Result<()>;
    /// Closes this segment and begins the next.
    fn rotate(&mut self) -> io::Result<()>;
}

struct Segmented {
    file: File,
    dir: PathBuf,
    family: String,
}

impl Disk for Segmented {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn cut(&mut self, size: u64) -> io::Result<()> {
        self.file.set_len(size)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn rotate(&mut self) -> io::Result<()> {
        let last = segments(&self.dir)
            .map_err(io::Error::other)?
            .into_iter()
            .filter(|segment| segment.family == self.family)
            .filter_map(|segment| match segment.number {
                Number::Closed(number) => Some(number),
                Number::Current => None,
            })
            .max()
            .unwrap_or(0);
        let current = current_path(&self.dir, &self.family);
        let closed = closed_path(&self.dir, &self.family, last + 1);
        self.file.sync_data()?;
        std::fs::rename(&current, &closed)?;
        self.file = match open_locked(&current) {
            Ok(file) => file,
            Err(error) => {
                // Goes on in the old file, under its old name where that can be had back.
                std::fs::rename(&closed, &current)?;
                return Err(io::Error::other(error));
            }
        };
        sync_dir(&self.dir)
    }
}

/// One file's state; the lock is held for the write only.
struct State {
    disk: Box<dyn Disk>,
    sync: Sync,
    /// Bytes in the current segment.
    size: u64,
    /// Bytes at which it is closed.
    size_max: u64,
    /// Attempts that wait for an outcome: each new segment begins with them, so that a recovery reads one segment only.
    open: HashSet<u128, RandomState>,
    /// Whole lines that wait for the next write.
    pending: Vec<u8>,
    health: Health,
    outcomes_lost: u64,
}

impl State {
    fn new(disk: Box<dyn Disk>, sync: Sync, size: u64) -> Self {
        Self {
            disk,
            sync,
            size,
            size_max: SEGMENT_BYTES_MAX,
            open: HashSet::default(),
            pending: Vec::with_capacity(PENDING_BYTES_SOFT),
            health: Health::Sound,
            outcomes_lost: 0,
        }
    }

    /// Writes what waits and `line` behind it, in one write(2). On failure `line` is not in the file.
    fn append(&mut self, line: &[u8]) -> Result<(), LedgerFull> {
        self.pending.extend_from_slice(line);
        let written = self.write_pending();
        if written.is_err() {
            self.pending.truncate(self.pending.len() - line.len());
        }
        written
    }

    fn write_pending(&mut self) -> Result<(), LedgerFull> {
        match self.health {
            Health::Sound => {}
            Health::Poisoned => return Err(LedgerFull),
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        if self.size > 0 && self.size + self.pending.len() as u64 > self.size_max {
            self.rotate();
        }
        let length = self.pending.len() as u64;
        let result = loop {
            match self.disk.write(&self.pending) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        match result {
            Ok(written) if written as u64 == length => self.confirm(length),
            Ok(written) => {
                tracing::error!(written, length, "audit write was cut short");
                // Half a line must not stay: the next one would be glued to it.
                if written > 0
                    && let Err(error) = self.disk.cut(self.size)
                {
                    self.poison("cannot cut off half a line", &error);
                }
                Err(LedgerFull)
            }
            Err(error) => {
                tracing::error!(%error, "audit write failed");
                Err(LedgerFull)
            }
        }
    }

    fn confirm(&mut self, length: u64) -> Result<(), LedgerFull> {
        self.size += length;
        match self.sync {
            Sync::Write => {}
            Sync::Fsync => {
                // After a failed fdatasync the kernel may have dropped the pages: trying again would prove nothing.
                if let Err(error) = self.disk.sync() {
                    self.poison("the disk did not confirm", &error);
                    return Err(LedgerFull);
                }
            }
        }
        self.pending.clear();
        self.pending.shrink_to(PENDING_BYTES_SOFT);
        Ok(())
    }

    /// A segment that cannot be closed goes on growing: better a large file than a refused statement.
    fn rotate(&mut self) {
        if let Err(error) = self.disk.rotate() {
            tracing::warn!(%error, "audit file cannot be rotated, it goes on growing");
            self.size_max += SEGMENT_BYTES_MAX;
            return;
        }
        self.size = 0;
        self.size_max = SEGMENT_BYTES_MAX;
        if self.open.len() < OPEN_MAX {
            let mut first = open_line(&self.open).into_bytes();
            first.append(&mut self.pending);
            self.pending = first;
        }
    }

    fn poison(&mut self, why: &'static str, error: &io::Error) {
        tracing::error!(%error, why, "audit shard refuses everything from now on");
        self.health = Health::Poisoned;
    }

    fn begin(&mut self, ruling: RulingId) {
        if self.open.len() < OPEN_MAX {
            self.open.insert(ruling.0);
        }
    }

    fn keep(&mut self, ruling: RulingId, line: &[u8]) {
        if self.pending.len() + line.len() > PENDING_BYTES_MAX || self.health == Health::Poisoned {
            self.outcomes_lost += 1;
            return;
        }
        self.open.remove(&ruling.0);
        self.pending.extend_from_slice(line);
        if self.pending.len() > PENDING_BYTES_SOFT && self.write_pending().is_err() {
            // Logged where it failed; the lines stay for the next try.
        }
    }
}

/// The shards of one node.
pub struct FileLedger {
    shards: Vec<Arc<Mutex<State>>>,
}

impl FileLedger {
    /// Opens (and locks) one file per shard, making folder and files when missing. Call [`super::recover`] before.
    ///
    /// # Errors
    /// [`LedgerError`] when a file cannot be made, read or locked, or the options make no sense.
    pub fn open(options: &LedgerOptions) -> Result<Self, LedgerError> {
        check_node(&options.node)?;
        if options.shards == 0 {
            return Err(LedgerError::Shards);
        }
        let dir = &options.dir;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(dir)
            .map_err(LedgerError::io("make the folder of", dir))?;
        let shards = (0..options.shards)
            .map(|shard| {
                let family = family(&options.node, shard);
                let path = current_path(dir, &family);
                let mut file = open_locked(&path)?;
                let size = file.metadata().map_err(LedgerError::io("read", &path))?.len();
                let torn = is_torn(&mut file).map_err(LedgerError::io("read", &path))?;
                let dir = dir.clone();
                let disk = Segmented { file, dir, family };
                let mut state = State::new(Box::new(disk), options.sync, size);
                if torn {
                    state.pending.push(b'\n');
                }
                Ok(Arc::new(Mutex::new(state)))
            })
            .collect::<Result<_, LedgerError>>()?;
        sync_dir(dir).map_err(LedgerError::io("make durable the folder of", dir))?;
        Ok(Self { shards })
    }

    /// A handle to the shard of that number (taken modulo the number of shards): one per worker.
    #[must_use]
    pub fn shard(&self, number: usize) -> Shard {
        Shard { state: Arc::clone(&self.shards[number % self.shards.len()]), line: Vec::new() }
    }

    /// Writes outcome lines that wait. Call it about once a second, so that readers of the files are not far behind.
    /// What cannot be written stays for the next time.
    pub fn flush(&self) {
        for shard in &self.shards {
            flush(shard);
        }
    }

    /// [`Health::Poisoned`] as soon as one shard is.
    #[must_use]
    pub fn health(&self) -> Health {
        let poisoned = |state: &Arc<Mutex<State>>| lock(state).health == Health::Poisoned;
        if self.shards.iter().any(poisoned) { Health::Poisoned } else { Health::Sound }
    }

    /// Outcome lines dropped because nothing could be written for long; the next start marks them `unknown`.
    #[must_use]
    pub fn outcomes_lost(&self) -> u64 {
        self.shards.iter().map(|shard| lock(shard).outcomes_lost).sum()
    }
}

/// A session's handle to one shard. Clones share the file; each has a line buffer of its own.
pub struct Shard {
    state: Arc<Mutex<State>>,
    line: Vec<u8>,
}

impl Shard {
    /// Takes how an attempt ended. Written with the next attempt, with [`FileLedger::flush`], or when a handle is
    /// dropped; lost by a crash before, in which case the next start writes `unknown`.
    pub fn complete(&mut self, outcome: &Outcome<'_>) {
        self.encode(|line| outcome.write_line(line));
        lock(&self.state).keep(outcome.ruling, &self.line);
    }

    /// What kill -9 does to outcome lines that wait.
    #[cfg(test)]
    pub(super) fn forget_pending(&self) {
        lock(&self.state).pending.clear();
    }

    fn encode(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.line.clear();
        self.line.shrink_to(PENDING_BYTES_SOFT);
        write(&mut self.line);
    }
}

impl Ledger for Shard {
    fn file(&mut self, attempt: &Attempt<'_>) -> Result<Filed, LedgerFull> {
        self.encode(|line| attempt.write_line(line));
        let mut state = lock(&self.state);
        state.append(&self.line)?;
        match attempt.what.disposition() {
            Disposition::Refused => {}
            Disposition::Allowed | Disposition::Filtered | Disposition::Masked => state.begin(attempt.ruling),
        }
        Ok(Filed::written())
    }
}

impl Clone for Shard {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), line: Vec::new() }
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        flush(&self.state);
    }
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shard")
    }
}

impl std::fmt::Debug for FileLedger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileLedger({} shards)", self.shards.len())
    }
}

/// State is whole between statements of ours even after a panic elsewhere: lines are appended whole or not at all.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `{"event":"open","v":1,"rulings":["…"]}`
fn open_line(open: &HashSet<u128, RandomState>) -> String {
    let rulings: Vec<String> = open.iter().map(|&ruling| RulingId(ruling).to_string()).collect();
    format!("{}\n", serde_json::json!({ "event": "open", "v": VERSION, "rulings": rulings }))
}

fn flush(state: &Mutex<State>) {
    if lock(state).write_pending().is_err() {
        tracing::debug!("outcome lines stay for the next write");
    }
}

/// Opens for appending and takes the advisory lock that keeps two proxies, or a recovery, off the same file.
pub(super) fn open_locked(path: &Path) -> Result<File, LedgerError> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
        .map_err(LedgerError::io("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::Busy(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(LedgerError::io("lock", path)(error)),
    }
}

/// Does the file end in the middle of a line?
pub(super) fn is_torn(file: &mut File) -> io::Result<bool> {
    let end = file.seek(SeekFrom::End(0))?;
    if end == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(end - 1))?;
    let mut last = [0u8];
    file.read_exact(&mut last)?;
    Ok(last != [b'\n'])
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
#[path = "file_tests.rs"]
pub(super) mod tests;
