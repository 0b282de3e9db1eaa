//! What a session is given: an entitlement compiled from the snapshot, the views and bundle that carry it, and an
//! ephemeral role for as long as the lease lasts.

mod governor;
mod lease;
mod registry;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use dashmap::DashMap;
use foldhash::quality::RandomState;
use lanyard_adapters::warehouse::postgres::Prepared;
use lanyard_engine::entitlement::Entitlement;
use lanyard_engine::refusal::Refusal;
use lanyard_engine::released::RawSql;
use lanyard_engine::sql::paths::Paths;
use lanyard_engine::sql::template::{Pattern, Template};
use lanyard_engine::sql::{Context, Effect, Judged, judge};
use lanyard_engine::workspace::Workspace;
use tokio::sync::Notify;

pub use governor::{Governor, GovernorError};
pub(crate) use governor::{chain, govern, now};
pub use lease::{Lease, vend};
pub use registry::{Ending, Live, Registry};

/// Longest text whose ruling is remembered, in bytes.
const CACHED_TEXT_BYTES_MAX: usize = 16 << 10;
/// Most bytes of remembered rulings and their texts for one principal; over it the memory starts afresh.
const CACHE_BYTES_MAX: usize = 8 << 20;

/// A text at least so long that only its numbers make new comes again as it is more often than not: a report, not a look-up by key.
/// So it is remembered by its bytes too, in bytes.
const REPEATED_TEXT_BYTES_MIN: usize = 256;

/// Most search paths of its own that a principal's rulings are remembered for.
const PATHS_MAX: usize = 8;

/// An entitlement that the warehouse carries, and the rulings made under it. Sessions of one principal share it.
#[derive(Debug)]
pub struct Granted {
    /// Version of the snapshot it was compiled from.
    pub snapshot: u64,
    /// What may be done.
    pub entitlement: Entitlement,
    /// The views and the bundle.
    pub prepared: Arc<Prepared>,
    /// The schema of the session's own, where policy allows one.
    pub workspace: Option<Workspace>,
    search_path: Vec<String>,
    database: String,
    /// Under the default search path.
    rulings: Rulings,
    /// Under others.
    by_path: DashMap<Arc<[String]>, Arc<Rulings>>,
    /// The same access over the tables as they are now.
    successor: OnceLock<Arc<Granted>>,
    /// Wakes who looks at the warehouse.
    doubts: Arc<Notify>,
}

/// What was ruled under one search path.
#[derive(Debug, Default)]
struct Rulings {
    /// By exact text.
    texts: DashMap<Box<str>, Arc<Judged>, RandomState>,
    /// By the text without its whole numbers.
    templates: DashMap<Box<str>, Template, RandomState>,
    /// Of both.
    bytes: AtomicUsize,
}

impl Granted {
    /// Without a ruling yet.
    #[must_use]
    pub fn new(
        snapshot: u64,
        entitlement: Entitlement,
        prepared: Arc<Prepared>,
        workspace: Option<Workspace>,
        search_path: Vec<String>,
        database: String,
        doubts: Arc<Notify>,
    ) -> Self {
        Self {
            snapshot,
            entitlement,
            prepared,
            workspace,
            search_path,
            database,
            rulings: Rulings::default(),
            by_path: DashMap::new(),
            successor: OnceLock::new(),
            doubts,
        }
    }

    /// What sessions that hold this should hold now, where the tables were changed meanwhile and the access was not.
    #[must_use]
    pub fn latest(&self) -> Option<Arc<Self>> {
        let mut latest = self.successor.get()?;
        while let Some(next) = latest.successor.get() {
            latest = next;
        }
        Some(Arc::clone(latest))
    }

    /// Hands what sessions hold on to `next`, where the access is the same.
    fn succeed(&self, next: &Arc<Self>) {
        let same = self.entitlement.fingerprint == next.entitlement.fingerprint
            && self.entitlement.session_attributes == next.entitlement.session_attributes;
        if same && !std::ptr::eq(self, Arc::as_ptr(next)) {
            // Whoever was first handed on to the same.
            drop(self.successor.set(Arc::clone(next)));
        }
    }

    /// The warehouse said something that the tables known here do not explain: it is looked at again soon.
    pub fn doubt(&self) {
        self.doubts.notify_one();
    }

    /// The ruling for this text: remembered by its exact bytes, or by those around its whole numbers, or made now. `paths`
    /// is what the session did to its search path, absent where nothing.
    ///
    /// # Errors
    /// The refusal; refusals are not remembered.
    pub fn judge(&self, raw: RawSql<'_>, paths: Option<&Paths>) -> Result<Arc<Judged>, Refusal> {
        let path = match paths {
            None => return self.judge_with(&self.rulings, raw, None),
            Some(paths) => paths.current().as_ref(),
        };
        match path {
            // Temporary relations are this session's alone.
            _ if paths.is_some_and(|paths| !paths.temps().is_empty()) => {
                self.judge_with(&Rulings::default(), raw, paths)
            }
            // Now as by default, but the end of a transaction may change that within a message: nothing is remembered.
            None => self.judge_with(&Rulings::default(), raw, paths),
            Some(path) => {
                let known = self.by_path.get(path).map(|known| Arc::clone(&known));
                let rulings = known.unwrap_or_else(|| {
                    if self.by_path.len() >= PATHS_MAX {
                        self.by_path.clear();
                    }
                    Arc::clone(&self.by_path.entry(Arc::clone(path)).or_default())
                });
                self.judge_with(&rulings, raw, paths)
            }
        }
    }

    fn judge_with(
        &self,
        rulings: &Rulings,
        raw: RawSql<'_>,
        paths: Option<&Paths>,
    ) -> Result<Arc<Judged>, Refusal> {
        let text = raw.for_record();
        if let Some(known) = rulings.texts.get(text) {
            return Ok(Arc::clone(&known));
        }
        let pattern = if text.len() <= CACHED_TEXT_BYTES_MAX { Pattern::of(raw) } else { None };
        if let Some(pattern) = &pattern
            && let Some(template) = rulings.templates.get(pattern.key())
            && let Some(judged) = template.apply(pattern, raw)
        {
            let judged = Arc::new(judged);
            drop(template);
            if text.len() >= REPEATED_TEXT_BYTES_MIN {
                rulings.remember_text(raw, &judged);
            }
            return Ok(judged);
        }
        let context = Context {
            entitlement: &self.entitlement,
            search_path: &self.search_path,
            paths,
            workspace: self.workspace.as_ref().map(Workspace::schema),
            database: &self.database,
        };
        let judged = Arc::new(judge(raw, &context)?);
        // Where a message moves the path, or ends a transaction that did, later statements of it find what the whole state of
        // the session makes of that.
        let of_path = |(_, effect): &(usize, Effect)| match effect {
            Effect::Path(step) => step.moves_names() || paths.is_some(),
            Effect::Prepare(..)
            | Effect::Execute(_)
            | Effect::Deallocate(_)
            | Effect::Move(..)
            | Effect::Show
            | Effect::CopyIn
            | Effect::DeallocateAll => false,
        };
        let by_itself = judged.statements < 2 || !judged.effects.iter().any(of_path);
        if text.len() <= CACHED_TEXT_BYTES_MAX && by_itself {
            rulings.remember(raw, pattern.as_ref(), &judged);
        }
        Ok(judged)
    }

    /// The schemas unqualified names are looked up in, as `SHOW search_path` should say.
    #[must_use]
    pub fn search_path(&self) -> String {
        self.search_path.join(", ")
    }
}

impl Rulings {
    fn remember(&self, raw: RawSql<'_>, pattern: Option<&Pattern>, judged: &Arc<Judged>) {
        match pattern.and_then(|pattern| Some((pattern, Template::of(pattern, raw, judged)?))) {
            Some((pattern, template)) => {
                self.make_room(pattern.key().len() + template.bytes());
                drop(self.templates.insert(pattern.key().into(), template));
            }
            None => self.remember_text(raw, judged),
        }
    }

    fn remember_text(&self, raw: RawSql<'_>, judged: &Arc<Judged>) {
        self.make_room(raw.for_record().len() + judged.bytes());
        drop(self.texts.insert(raw.for_record().into(), Arc::clone(judged)));
    }

    fn make_room(&self, grown: usize) {
        if self.bytes.fetch_add(grown, Ordering::Relaxed) + grown > CACHE_BYTES_MAX {
            self.texts.clear();
            self.templates.clear();
            self.bytes.store(grown, Ordering::Relaxed);
        }
    }
}
