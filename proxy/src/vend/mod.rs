//! What a session is given: an entitlement compiled from the snapshot, the views and bundle that carry it, and an
//! ephemeral role for as long as the lease lasts.

mod governor;
mod lease;
mod registry;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use lanyard_adapters::warehouse::postgres::Prepared;
use lanyard_engine::entitlement::Entitlement;
use lanyard_engine::refusal::Refusal;
use lanyard_engine::released::RawSql;
use lanyard_engine::sql::template::{Pattern, Template};
use lanyard_engine::sql::{Context, Judged, judge};

pub use governor::{Governor, GovernorError};
pub(crate) use governor::{chain, now};
pub use lease::{Lease, vend};
pub use registry::{Ending, Live, Registry};

/// Longest text whose ruling is remembered, in bytes.
const CACHED_TEXT_BYTES_MAX: usize = 16 << 10;
/// Most bytes of remembered texts for one principal; over it the memory starts afresh.
const CACHE_BYTES_MAX: usize = 4 << 20;

/// An entitlement that the warehouse carries, and the rulings made under it. Sessions of one principal share it.
#[derive(Debug)]
pub struct Granted {
    /// Version of the snapshot it was compiled from.
    pub snapshot: u64,
    /// What may be done.
    pub entitlement: Entitlement,
    /// The views and the bundle.
    pub prepared: Arc<Prepared>,
    search_path: Vec<String>,
    database: String,
    /// By exact text.
    rulings: DashMap<Box<str>, Arc<Judged>>,
    /// By the text without its whole numbers.
    templates: DashMap<Box<str>, Template>,
    /// Of both.
    ruling_bytes: AtomicUsize,
}

impl Granted {
    fn new(
        snapshot: u64,
        entitlement: Entitlement,
        prepared: Arc<Prepared>,
        search_path: Vec<String>,
        database: String,
    ) -> Self {
        Self {
            snapshot,
            entitlement,
            prepared,
            search_path,
            database,
            rulings: DashMap::new(),
            templates: DashMap::new(),
            ruling_bytes: AtomicUsize::new(0),
        }
    }

    /// The ruling for this text: remembered by its exact bytes, or by those around its whole numbers, or made now.
    ///
    /// # Errors
    /// The refusal; refusals are not remembered.
    pub fn judge(&self, raw: RawSql<'_>) -> Result<Arc<Judged>, Refusal> {
        let text = raw.for_record();
        if let Some(known) = self.rulings.get(text) {
            return Ok(Arc::clone(&known));
        }
        let pattern = if text.len() <= CACHED_TEXT_BYTES_MAX { Pattern::of(raw) } else { None };
        if let Some(pattern) = &pattern
            && let Some(template) = self.templates.get(pattern.key())
            && let Some(judged) = template.apply(pattern, raw)
        {
            return Ok(Arc::new(judged));
        }
        let context = Context {
            entitlement: &self.entitlement,
            search_path: &self.search_path,
            database: &self.database,
        };
        let judged = Arc::new(judge(raw, &context)?);
        if text.len() <= CACHED_TEXT_BYTES_MAX {
            self.remember(raw, pattern.as_ref(), &judged);
        }
        Ok(judged)
    }

    fn remember(&self, raw: RawSql<'_>, pattern: Option<&Pattern>, judged: &Arc<Judged>) {
        let text = raw.for_record();
        let grown = text.len() + judged.enforced.for_record().len();
        if self.ruling_bytes.fetch_add(grown, Ordering::Relaxed) + grown > CACHE_BYTES_MAX {
            self.rulings.clear();
            self.templates.clear();
            self.ruling_bytes.store(grown, Ordering::Relaxed);
        }
        match pattern.and_then(|pattern| Some((pattern, Template::of(pattern, raw, judged)?))) {
            Some((pattern, template)) => drop(self.templates.insert(pattern.key().into(), template)),
            None => drop(self.rulings.insert(text.into(), Arc::clone(judged))),
        }
    }

    /// The schemas unqualified names are looked up in, as `SHOW search_path` should say.
    #[must_use]
    pub fn search_path(&self) -> String {
        self.search_path.join(", ")
    }
}
