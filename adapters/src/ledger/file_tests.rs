//! Tests of writing: every way a disk can fail, and what must not be in the file afterwards.

use std::collections::VecDeque;

use lanyard_engine::record::{
    Disposition, Objects, RulingId, SessionFacts, SessionPart, StatementPart, Status,
};

use super::super::{Filter, query, recover, search};
use super::*;

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// A folder of its own, removed at the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("lanyard-ledger-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn options(&self, sync: Sync, shards: usize) -> LedgerOptions {
        LedgerOptions { dir: self.0.clone(), node: "test-1".into(), sync, shards }
    }

    fn text(&self) -> io::Result<String> {
        std::fs::read_to_string(self.0.join("audit-test-1-0.jsonl"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

pub(crate) fn facts(agent: &str, user: &str) -> SessionPart {
    let facts = SessionFacts {
        session: "0".repeat(32),
        role: format!("LANYARD_VENDED_2_1_{}", "0".repeat(32)),
        mode: "on_behalf_of",
        agent: Some(agent.into()),
        agent_owner: Some("morgan".into()),
        user: Some(user.into()),
        user_proof: "asserted",
        authentication: "scram-sha-256",
        client_address: "127.0.0.1:5".into(),
        client_application: "psql".into(),
        purpose: None,
        task: None,
        database: "shop".into(),
        expires: 2_000_000_000,
    };
    SessionPart::new("test-1", &facts)
}

pub(crate) fn what(statement: &str, objects: &Objects, disposition: Disposition) -> StatementPart {
    let sent = (disposition != Disposition::Refused).then_some(statement);
    StatementPart::new("SELECT", statement, sent, objects, disposition)
}

pub(crate) fn attempt<'a>(ruling: u128, session: &'a SessionPart, what: &'a StatementPart) -> Attempt<'a> {
    let refused = what.disposition() == Disposition::Refused;
    Attempt {
        ruling: RulingId(ruling),
        time_us: 1_000_000 + u64::try_from(ruling).unwrap_or(0),
        session,
        protocol: "simple",
        what,
        sqlstate: refused.then_some("42501"),
        reason: refused.then_some("no"),
        snapshot: 1,
        judge_us: 3,
    }
}

pub(crate) fn outcome(ruling: u128) -> Outcome<'static> {
    Outcome {
        ruling: RulingId(ruling),
        time_us: 2_000_000,
        status: Status::Ok,
        sqlstate: None,
        rows: 3,
        bytes: 10,
        warehouse_us: 7,
    }
}

/// What the scripted disk answers to a write.
enum Answer {
    Take,
    Part(usize),
    Fail(io::ErrorKind),
}

#[derive(Default)]
struct Script {
    answers: VecDeque<Answer>,
    content: Vec<u8>,
    writes: usize,
    cut_fails: bool,
    sync_fails: bool,
}

struct Scripted(Arc<Mutex<Script>>);

impl Disk for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut script = self.0.lock().map_err(|_| io::Error::other("lock"))?;
        script.writes += 1;
        let taken = match script.answers.pop_front().unwrap_or(Answer::Take) {
            Answer::Take => bytes.len(),
            Answer::Part(n) => n,
            Answer::Fail(kind) => return Err(kind.into()),
        };
        script.content.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn cut(&mut self, size: u64) -> io::Result<()> {
        let mut script = self.0.lock().map_err(|_| io::Error::other("lock"))?;
        if script.cut_fails {
            return Err(io::Error::other("cut"));
        }
        let size = usize::try_from(size).map_err(io::Error::other)?;
        script.content.truncate(size);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let script = self.0.lock().map_err(|_| io::Error::other("lock"))?;
        if script.sync_fails {
            return Err(io::Error::other("sync"));
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        Err(io::Error::other("not here"))
    }
}

fn scripted(script: Script, sync: Sync) -> (Shard, Arc<Mutex<Script>>) {
    let script = Arc::new(Mutex::new(script));
    let state = State::new(Box::new(Scripted(Arc::clone(&script))), sync, 0);
    let shard = Shard { state: Arc::new(Mutex::new(state)), line: Vec::new() };
    (shard, script)
}

fn file_one(shard: &mut Shard, ruling: u128, text: &str) -> Result<(), LedgerFull> {
    let facts = facts("a", "u");
    let Filed { .. } =
        shard.file(&attempt(ruling, &facts, &what(text, &Objects::default(), Disposition::Allowed)))?;
    Ok(())
}

#[test]
fn an_attempt_is_in_the_file_when_file_returns_and_outcomes_ride_with_the_next() -> TestResult {
    let folder = Folder::new()?;
    let ledger = FileLedger::open(&folder.options(Sync::Fsync, 1))?;
    let mut shard = ledger.shard(7);
    file_one(&mut shard, 1, "select '\n'")?;
    assert_eq!(folder.text()?.lines().count(), 1);
    shard.complete(&outcome(1));
    assert_eq!(folder.text()?.lines().count(), 1, "waits");
    file_one(&mut shard, 2, "select 2")?;
    let text = folder.text()?;
    let events: Vec<_> = text.lines().map(|l| l.contains("\"outcome\"")).collect();
    assert_eq!(events, [false, true, false]);
    shard.complete(&outcome(2));
    ledger.flush();
    assert_eq!(folder.text()?.lines().count(), 4);
    file_one(&mut shard, 3, "select 3")?;
    shard.complete(&outcome(3));
    drop(shard);
    assert_eq!(folder.text()?.lines().count(), 6, "dropping a handle flushes");
    Ok(())
}

#[test]
fn outcome_and_attempt_leave_in_one_write() -> TestResult {
    let (mut shard, script) = scripted(Script::default(), Sync::Write);
    file_one(&mut shard, 1, "x")?;
    shard.complete(&outcome(1));
    file_one(&mut shard, 2, "y")?;
    assert_eq!(script.lock().map_err(|_| "lock")?.writes, 2);
    Ok(())
}

#[test]
fn a_full_disk_refuses_and_leaves_no_trace() -> TestResult {
    let answers = [
        Answer::Take,
        Answer::Fail(io::ErrorKind::StorageFull),
        Answer::Part(0),
        Answer::Fail(io::ErrorKind::Interrupted),
        Answer::Take,
    ];
    let (mut shard, script) = scripted(Script { answers: answers.into(), ..Script::default() }, Sync::Write);
    file_one(&mut shard, 1, "first")?;
    shard.complete(&outcome(1));
    assert!(file_one(&mut shard, 2, "second").is_err());
    assert!(file_one(&mut shard, 3, "third").is_err());
    // EINTR is not a failure.
    file_one(&mut shard, 4, "fourth")?;
    let text = String::from_utf8(script.lock().map_err(|_| "lock")?.content.clone())?;
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains("fourth") && text.contains("\"outcome\""), "{text}");
    assert!(!text.contains("second") && !text.contains("third"), "{text}");
    Ok(())
}

#[test]
fn half_a_line_is_cut_off_again() -> TestResult {
    let answers = [Answer::Take, Answer::Part(9), Answer::Take];
    let (mut shard, script) = scripted(Script { answers: answers.into(), ..Script::default() }, Sync::Write);
    file_one(&mut shard, 1, "first")?;
    assert!(file_one(&mut shard, 2, "second").is_err());
    file_one(&mut shard, 3, "third")?;
    let text = String::from_utf8(script.lock().map_err(|_| "lock")?.content.clone())?;
    assert_eq!(text.lines().count(), 2);
    for line in text.lines() {
        let _: serde_json::Value = serde_json::from_str(line)?;
    }
    Ok(())
}

#[test]
fn what_cannot_be_repaired_poisons_the_shard() -> TestResult {
    let answers = [Answer::Part(9), Answer::Take];
    let (mut shard, script) =
        scripted(Script { answers: answers.into(), cut_fails: true, ..Script::default() }, Sync::Write);
    assert!(file_one(&mut shard, 1, "first").is_err());
    assert!(file_one(&mut shard, 2, "second").is_err());
    shard.complete(&outcome(2));
    let mut clone = shard.clone();
    assert!(file_one(&mut clone, 3, "third").is_err(), "clones are poisoned too");
    assert_eq!(script.lock().map_err(|_| "lock")?.writes, 1, "nothing is tried again");
    assert_eq!(lock(&shard.state).outcomes_lost, 1);
    Ok(())
}

#[test]
fn an_unconfirmed_fsync_refuses_now_and_later() -> TestResult {
    let (mut shard, script) = scripted(Script { sync_fails: true, ..Script::default() }, Sync::Fsync);
    assert!(file_one(&mut shard, 1, "first").is_err());
    script.lock().map_err(|_| "lock")?.sync_fails = false;
    assert!(file_one(&mut shard, 2, "second").is_err());
    Ok(())
}

#[test]
fn outcomes_are_bounded_while_nothing_can_be_written() -> TestResult {
    let answers = (0..100_000).map(|_| Answer::Fail(io::ErrorKind::StorageFull));
    let (mut shard, _script) =
        scripted(Script { answers: answers.collect(), ..Script::default() }, Sync::Write);
    for ruling in 0..20_000 {
        shard.complete(&outcome(ruling));
    }
    let state = lock(&shard.state);
    assert!(state.pending.len() <= PENDING_BYTES_MAX);
    assert!(state.outcomes_lost > 0);
    Ok(())
}

#[test]
fn dev_full_is_ledger_full() -> TestResult {
    let file = OpenOptions::new().append(true).open("/dev/full")?;
    let disk = Segmented { file, dir: "/dev".into(), family: "full".into() };
    let mut shard =
        Shard { state: Arc::new(Mutex::new(State::new(Box::new(disk), Sync::Write, 0))), line: Vec::new() };
    assert!(file_one(&mut shard, 1, "first").is_err());
    assert!(file_one(&mut shard, 1, "again").is_err());
    assert_eq!(lock(&shard.state).health, Health::Sound, "a disk may get room again");
    Ok(())
}

#[test]
fn one_writer_per_file_and_sane_names() -> TestResult {
    let folder = Folder::new()?;
    let first = FileLedger::open(&folder.options(Sync::Write, 2))?;
    assert_eq!(first.health(), Health::Sound);
    assert!(matches!(FileLedger::open(&folder.options(Sync::Write, 1)), Err(LedgerError::Busy(_))));
    for bad in ["", "a/b", "..\0", "ä", &"x".repeat(65)] {
        let options = LedgerOptions { node: bad.into(), ..folder.options(Sync::Write, 1) };
        assert!(matches!(FileLedger::open(&options), Err(LedgerError::Node(_))), "{bad:?}");
    }
    assert!(matches!(FileLedger::open(&folder.options(Sync::Write, 0)), Err(LedgerError::Shards)));
    let under_a_file = LedgerOptions { dir: "/dev/null/x".into(), ..folder.options(Sync::Write, 1) };
    assert!(matches!(FileLedger::open(&under_a_file), Err(LedgerError::Io { .. })));
    Ok(())
}

#[test]
fn files_rotate_and_records_are_found_on_both_sides() -> TestResult {
    let folder = Folder::new()?;
    let ledger = FileLedger::open(&folder.options(Sync::Write, 1))?;
    let mut shard = ledger.shard(0);
    let fill = |shard: &Shard| lock(&shard.state).size = SEGMENT_BYTES_MAX;
    file_one(&mut shard, 1, "before")?;
    fill(&shard);
    shard.complete(&outcome(1));
    file_one(&mut shard, 2, "between")?;
    fill(&shard);
    file_one(&mut shard, 3, "after")?;
    let numbers: Vec<_> = segments(&folder.0)?.into_iter().map(|s| s.number).collect();
    assert_eq!(numbers, [Number::Closed(1), Number::Closed(2), Number::Current]);
    let found = search(&folder.0, &Filter::default())?;
    let texts: Vec<_> = found.entries.iter().map(|e| e.statement.as_str()).collect();
    assert_eq!(texts, ["before", "between", "after"]);
    assert_eq!(found.entries[0].outcome.as_ref().map(|o| o.status.as_str()), Some("ok"));
    assert!(found.unreadable.is_empty());
    // The new file is ours alone, as the old one was.
    assert_eq!(recover(&folder.0)?.busy.len(), 1);
    Ok(())
}

#[test]
fn recovery_reads_no_further_back_than_it_must() -> TestResult {
    let folder = Folder::new()?;
    let ledger = FileLedger::open(&folder.options(Sync::Write, 1))?;
    let mut shard = ledger.shard(0);
    for ruling in 1..=4 {
        file_one(&mut shard, ruling, "long ago")?;
    }
    shard.complete(&outcome(2));
    lock(&shard.state).size = SEGMENT_BYTES_MAX;
    file_one(&mut shard, 5, "now")?;
    shard.complete(&outcome(3));
    shard.complete(&outcome(5));
    drop((shard, ledger));
    // What is before the newest "open" line is not read: it could be terabytes.
    let closed = folder.0.join("audit-test-1-0.000001.jsonl");
    let text = std::fs::read_to_string(&closed)?;
    std::fs::write(&closed, "nonsense\n")?;
    let recovery = recover(&folder.0)?;
    assert_eq!((recovery.unknown, recovery.unreadable), (2, 0));
    std::fs::write(&closed, text)?;
    let ends: Vec<_> = query(&folder.0, &Filter::default())?
        .into_iter()
        .map(|e| e.outcome.map_or(String::new(), |o| o.status))
        .collect();
    assert_eq!(ends, ["unknown", "ok", "ok", "unknown", "ok"]);
    assert_eq!(recover(&folder.0)?.unknown, 0);
    Ok(())
}

#[test]
fn a_crash_between_two_segments_loses_nothing() -> TestResult {
    let folder = Folder::new()?;
    let ledger = FileLedger::open(&folder.options(Sync::Write, 1))?;
    file_one(&mut ledger.shard(0), 1, "in flight")?;
    drop(ledger);
    // Renamed, and the new file not made or not yet written.
    let current = folder.0.join("audit-test-1-0.jsonl");
    std::fs::rename(&current, folder.0.join("audit-test-1-0.000001.jsonl"))?;
    std::fs::write(&current, "")?;
    assert_eq!(recover(&folder.0)?.unknown, 1);
    Ok(())
}

#[test]
fn a_file_that_cannot_be_closed_goes_on() -> TestResult {
    let (mut shard, script) = scripted(Script::default(), Sync::Write);
    file_one(&mut shard, 1, "x")?;
    lock(&shard.state).size = SEGMENT_BYTES_MAX;
    file_one(&mut shard, 2, "y")?;
    assert!(lock(&shard.state).size_max > SEGMENT_BYTES_MAX, "not tried at every write");
    assert_eq!(script.lock().map_err(|_| "lock")?.writes, 2);
    Ok(())
}
