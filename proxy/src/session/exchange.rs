//! What is under way between one client and its backend: statements and portals by the client's names, and the queue of
//! answers still to come, in order.
//!
//! No I/O here but the ledger's. Used by `inbound` (which adds) and `outbound` (which takes away).

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use foldhash::quality::RandomState;
use lanyard_adapters::ledger::Shard;
use lanyard_engine::record::{
    Attempt, Disposition, Objects, Outcome, RulingId, SessionPart, StatementPart, Status,
};
use lanyard_engine::refusal::{Code, Refusal};
use lanyard_engine::released::{Ledger as _, LedgerFull, RawSql, Released};
use lanyard_engine::sql::paths::Paths;
use lanyard_engine::sql::{self, Effect, Judged};

use crate::observe::{Direction, Metrics};
use crate::vend::Granted;
use crate::wire::outgoing::{Outgoing, write};

use super::copy::{CopyIn, Recount};
use super::types::{KnownTypes, TypesAsked};

/// A prepared statement.
#[derive(Debug)]
pub(super) struct Statement {
    /// Its name in the warehouse: ours, never reused, so that an Execute can only run what its record says.
    pub(super) upstream: String,
    /// The client's text, for records and error positions.
    pub(super) text: Arc<str>,
    pub(super) judged: Arc<Judged>,
    /// What a record of its running says of it.
    pub(super) part: StatementPart,
    /// When it was made, in the session's own count.
    pub(super) number: u64,
    /// What bare names meant when it was judged.
    pub(super) path: Paths,
    /// The types of its parameters as the Parse had them: their number, then their OIDs. Absent where SQL prepared it.
    pub(super) types: Option<Box<[u8]>>,
}

/// A portal that a Bind made.
#[derive(Debug, Clone)]
pub(super) struct Portal {
    /// Its name in the warehouse: ours and never reused, but for the unnamed one. So SQL's FETCH and CLOSE cannot reach
    /// it, and all it returns is on record as an Execute.
    pub(super) upstream: String,
    pub(super) statement: Arc<Statement>,
    /// When it was made, in the session's own count.
    pub(super) number: u64,
}

/// A statement that was sent and not yet answered.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) ruling: RulingId,
    pub(super) text: Arc<str>,
    pub(super) judged: Arc<Judged>,
    pub(super) sent: Instant,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// How far the session's count was when it was sent: what is younger is not its doing.
    pub(super) number: u64,
    /// The row limit of an Execute, 0 for none: as many rows have come when it is suspended.
    pub(super) rows_max: u32,
    /// How many statements of a Query are completed.
    pub(super) done: usize,
    /// SQLSTATE of the error it ended with.
    pub(super) failed: Option<String>,
}

/// An answer to come.
#[derive(Debug)]
pub(super) enum Pending {
    Query(Run),
    Execute(Run),
    /// Name (the client's) and the text it stands for, for error positions.
    Parse {
        name: String,
        statement: Arc<Statement>,
    },
    /// The portal's name, and what it was before, should the Bind not come about.
    Bind {
        name: String,
        portal: Portal,
        before: Option<Portal>,
    },
    Describe,
    Close,
    Sync,
    /// A Parse of ours with its Sync, of a statement that went with a backend: the client hears nothing of it.
    Again {
        name: String,
    },
    /// Syncs of ours behind a COPY that failed.
    Recount(Recount),
    /// A question of ours about types, in front of the Parse that names them.
    Types(TypesAsked),
    /// A refusal in place of an answer.
    Refused {
        in_query: bool,
        refusal: Refusal,
        ruling: Option<RulingId>,
        text: Arc<str>,
        answered: bool,
    },
}

impl Pending {
    /// What runs, where that is what is waited for.
    pub(super) fn run(&self) -> Option<&Run> {
        if let Self::Query(run) | Self::Execute(run) = self { Some(run) } else { None }
    }

    fn run_mut(&mut self) -> Option<&mut Run> {
        if let Self::Query(run) | Self::Execute(run) = self { Some(run) } else { None }
    }
}

/// The session's process as its client knows it, and as the warehouse does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process {
    pub(super) told: i32,
    pub(super) real: i32,
}

/// Most prepared statements that a session may have and let its backend go.
const PARSED_AGAIN_MAX: usize = 100;

/// The state of the session's transaction, as ReadyForQuery says it.
pub(super) const IDLE: u8 = b'I';

/// See the module's words.
pub(super) struct Exchange {
    pub(super) granted: Arc<Granted>,
    pub(super) facts: SessionPart,
    /// Whom a grant would have to name.
    pub(super) grantee: String,
    pub(super) stamp: String,
    pub(super) process: Process,
    pub(super) shard: Shard,
    pub(super) metrics: Arc<Metrics>,
    pub(super) record_text: RecordText,
    pub(super) statements: HashMap<String, Arc<Statement>, RandomState>,
    pub(super) portals: HashMap<String, Portal, RandomState>,
    pub(super) pending: VecDeque<Pending>,
    /// An extended message failed and no Sync has followed yet: the warehouse takes nothing else until one does.
    pub(super) skipping: bool,
    /// Does the client's next message wait until the warehouse has answered what it depends on?
    pub(super) held: bool,
    /// The session's own count at the last Sync sent.
    pub(super) synced: u64,
    /// The number of the last Parse or Bind whose fate is known.
    pub(super) settled: u64,
    pub(super) transaction: u8,
    pub(super) noticed: Noticed,
    /// Bytes of a pass-through message that have not come yet.
    pub(super) passing: usize,
    /// What the warehouse confirmed of the search path.
    pub(super) paths: Paths,
    /// Runs under way that set it.
    pub(super) path_changes: usize,
    /// The COPY from the client that is under way.
    pub(super) copy: Option<CopyIn>,
    /// Types of parameters that the warehouse was asked about.
    pub(super) types: KnownTypes,
    /// Bytes of a CopyData message of the client's that have not come yet.
    pub(super) copy_passing: usize,
    /// Does the backend hold something of the session's own beyond statements: a setting, a cursor, a place in a sequence?
    pub(super) kept: bool,
    /// Has the transaction written where policy shapes a relation?
    pub(super) wrote_shaped: bool,
    /// Was something of the extended protocol sent that no Sync has followed? Then a transaction may be open, and nobody has
    /// said so.
    pub(super) unsynced: bool,
    /// Outcomes to put on record once what the client waits for is on its way.
    ended: Vec<(Run, Status, Duration)>,
    count: u64,
    rulings: Rulings,
}

/// Notices this session has seen, so that each comes once.
#[derive(Debug, Default)]
pub(super) struct Noticed {
    /// With results that held rows.
    pub(super) something: HashSet<String>,
    /// With results that held none where rows may exist.
    pub(super) nothing: HashSet<String>,
}

/// What of a statement's text goes into the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordText {
    /// The text.
    Whole,
    /// SHA-256 of it.
    Fingerprint,
}

impl Exchange {
    #[expect(clippy::too_many_arguments, reason = "made in one place, named fields")]
    pub(super) fn new(
        granted: Arc<Granted>,
        facts: SessionPart,
        grantee: String,
        stamp: String,
        process: Process,
        shard: Shard,
        metrics: Arc<Metrics>,
        record_text: RecordText,
        random: u64,
    ) -> Self {
        Self {
            granted,
            facts,
            grantee,
            stamp,
            process,
            shard,
            metrics,
            record_text,
            statements: HashMap::default(),
            portals: HashMap::default(),
            pending: VecDeque::new(),
            skipping: false,
            held: false,
            synced: 0,
            settled: 0,
            transaction: IDLE,
            noticed: Noticed::default(),
            passing: 0,
            paths: Paths::default(),
            path_changes: 0,
            copy: None,
            types: KnownTypes::new(),
            copy_passing: 0,
            kept: false,
            wrote_shaped: false,
            unsynced: false,
            ended: Vec::new(),
            count: 0,
            rulings: Rulings { random, counter: 0 },
        }
    }

    /// Nothing is under way and no transaction is open.
    pub(super) fn is_quiet(&self) -> bool {
        self.pending.is_empty() && self.transaction == IDLE
    }

    /// Would nothing be missed if the backend were closed now and another opened later?
    pub(super) fn may_detach(&self) -> bool {
        self.is_quiet()
            && !self.kept
            && !self.unsynced
            && !self.held
            && self.copy.is_none()
            && self.passing == 0
            && self.portals.is_empty()
            && self.statements.len() <= PARSED_AGAIN_MAX
            && self.statements.values().all(|statement| statement.types.is_some())
    }

    /// There is a new backend: what was prepared is prepared there, under the same names.
    pub(super) fn parse_again(&mut self, out: &mut BytesMut) {
        for (name, statement) in &self.statements {
            let Some(types) = &statement.types else { continue };
            let text = statement.judged.enforced.for_parse();
            write(out, Outgoing::Parse { name: &statement.upstream, stamp: &self.stamp, text, types });
            write(out, Outgoing::Sync);
            self.pending.push_back(Pending::Again { name: name.clone() });
        }
    }

    /// There is a new backend: what it says differently of its parameters is passed on.
    ///
    /// # Errors
    /// A setting that enforcement needs is not what it must be.
    pub(super) fn told_anew(
        &mut self,
        changed: &[(String, String)],
        out: &mut BytesMut,
    ) -> Result<(), Refusal> {
        for (name, value) in changed {
            self.parameter(format!("{name}\0{value}\0").as_bytes(), out)?;
        }
        Ok(())
    }

    /// The next number of the session's own count, which orders statements, portals and runs.
    pub(super) fn next_number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// Was this Parse or Bind sent before the last Sync, and is its fate still unknown? A failure before that Sync may have
    /// skipped it, and then an unnamed object in the warehouse is still the one before it.
    pub(super) fn is_unsettled(&self, number: u64) -> bool {
        number <= self.synced && number > self.settled
    }

    /// Judges, or remembers that it did for this very text.
    pub(super) fn judge(&self, text: &str) -> (Result<Arc<Judged>, Refusal>, u64) {
        let start = Instant::now();
        let raw = RawSql::new(text);
        let judged = match sql::policy_question(raw) {
            Some(asked) => Ok(Arc::new(self.answer(asked))),
            None => self.granted.judge(raw, self.paths_ahead().as_ref()),
        };
        (judged, micros(start))
    }

    /// What records of a statement's running say of it, written out.
    pub(super) fn part(&self, text: &str, judged: &Judged) -> StatementPart {
        let shown = self.record_text.of(text);
        let sent = self.record_text.of(judged.enforced.for_record());
        StatementPart::new(&judged.operation, &shown, Some(&sent), &judged.objects, judged.disposition)
    }

    /// Files the record and releases a statement for one run; `what` is [`Self::part`] of the same two.
    pub(super) fn release(
        &mut self,
        text: &Arc<str>,
        judged: &Arc<Judged>,
        what: &StatementPart,
        protocol: &'static str,
        judge_us: u64,
    ) -> Result<(Run, Released), Refusal> {
        let time_us = now_us();
        let ruling = self.rulings.next(time_us);
        let attempt = Attempt {
            ruling,
            time_us,
            session: &self.facts,
            protocol,
            what,
            sqlstate: None,
            reason: None,
            snapshot: self.granted.snapshot,
            judge_us,
        };
        let start = Instant::now();
        let released =
            judged.enforced.release(&mut self.shard, &attempt).map_err(|LedgerFull| ledger_full())?;
        let sent = Instant::now();
        self.metrics.audit_written(sent - start);
        self.metrics.judged(judged.disposition, Duration::from_micros(judge_us));
        let run = Run {
            ruling,
            text: Arc::clone(text),
            judged: Arc::clone(judged),
            sent,
            rows: 0,
            bytes: 0,
            number: self.count,
            rows_max: 0,
            done: 0,
            failed: None,
        };
        Ok((run, released))
    }

    /// Files the record of a refusal; where even that fails, the refusal says so.
    pub(super) fn refuse(
        &mut self,
        text: &str,
        refusal: Refusal,
        protocol: &'static str,
        judge_us: u64,
    ) -> (Refusal, RulingId) {
        let time_us = now_us();
        let ruling = self.rulings.next(time_us);
        let shown = self.record_text.of(text);
        let what = StatementPart::new("", &shown, None, &Objects::default(), Disposition::Refused);
        let attempt = Attempt {
            ruling,
            time_us,
            session: &self.facts,
            protocol,
            what: &what,
            sqlstate: Some(refusal.code.sqlstate()),
            reason: Some(&refusal.message),
            snapshot: self.granted.snapshot,
            judge_us,
        };
        let filed = self.shard.file(&attempt);
        self.metrics.judged(Disposition::Refused, Duration::from_micros(judge_us));
        self.metrics.refusal(refusal.code);
        match filed {
            Ok(filed) => {
                drop(filed);
                (refusal, ruling)
            }
            Err(LedgerFull) => (ledger_full(), ruling),
        }
    }

    /// A run is over. Its record is closed by [`Self::settle`].
    pub(super) fn complete(&mut self, run: Run, status: Status) {
        let took = run.sent.elapsed();
        self.copy_over(&run);
        self.path_over(&run);
        // DISCARD ALL by itself leaves a session as it was at login.
        let discards = run.judged.effects.iter().any(|(_, effect)| *effect == Effect::DeallocateAll)
            && run.judged.statements == 1
            && &*run.judged.operation == "DISCARD";
        self.kept = !(discards && status == Status::Ok) && (self.kept || !run.judged.leaves_nothing);
        self.ended.push((run, status, took));
    }

    /// Closes the records of the runs that are over. Called when the answers to them have been written.
    pub(super) fn settle(&mut self) {
        let mut ended = std::mem::take(&mut self.ended);
        for (run, status, took) in ended.drain(..) {
            self.file_outcome(&run, status, took);
        }
        // Its memory serves the next one.
        self.ended = ended;
    }

    fn file_outcome(&mut self, run: &Run, status: Status, took: Duration) {
        let outcome = Outcome {
            ruling: run.ruling,
            time_us: now_us(),
            status,
            sqlstate: run.failed.as_deref(),
            rows: run.rows,
            bytes: run.bytes,
            warehouse_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        };
        self.shard.complete(&outcome);
        self.metrics.relayed(Direction::ToClient, run.bytes);
    }

    /// The connection ends: what was sent and not answered is unknown.
    pub(super) fn abandon(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        for one in pending {
            if let Pending::Query(run) | Pending::Execute(run) = one {
                self.complete(run, Status::Unknown);
            }
        }
        self.settle();
    }

    /// The run whose answer is coming now.
    pub(super) fn current_run(&mut self) -> Option<&mut Run> {
        self.pending.front_mut()?.run_mut()
    }
}

impl RecordText {
    fn of(self, text: &str) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Whole => text.into(),
            Self::Fingerprint => {
                let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
                let hex: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
                format!("sha256:{hex}").into()
            }
        }
    }
}

/// UUIDs of version 7 (RFC 9562, section 5.7) without a system call each: time, then a counter over random bits drawn
/// once per session.
struct Rulings {
    random: u64,
    counter: u64,
}

impl Rulings {
    fn next(&mut self, now_us: u64) -> RulingId {
        self.counter += 1;
        let millis = u128::from(now_us / 1000) & 0xffff_ffff_ffff;
        let low = u128::from(self.random.wrapping_add(self.counter) & 0x3fff_ffff_ffff_ffff);
        let counter = u128::from(self.counter & 0xfff);
        RulingId(millis << 80 | 7 << 76 | counter << 64 | 2 << 62 | low)
    }
}

fn ledger_full() -> Refusal {
    Refusal::new(Code::LedgerFull, "the audit record cannot be written, so nothing runs")
        .hint("an operator has to make room in the audit folder")
}

/// Microseconds since 1970.
pub(super) fn now_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
