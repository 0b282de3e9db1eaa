//! Names of the session's temporary relations, with PostgreSQL's transaction semantics: what a transaction or savepoint made
//! is gone when it is rolled back, and what it dropped is there again.
//!
//! It is told what was completed and what failed, by `paths`, whose transactions it follows. A name too many is sent as
//! `pg_temp.name` and fails in the warehouse; a name too few means another relation that the principal may use.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Name -> is it dropped at the end of the transaction (ON COMMIT DROP)?
type Names = Arc<BTreeMap<Arc<str>, bool>>;

/// See the module's words.
#[derive(Debug, Clone, Default)]
pub struct Temps {
    now: Names,
    /// At the start of the transaction, where that changed them.
    before: Option<Names>,
    /// At each savepoint.
    savepoints: Vec<Names>,
}

/// What these names are now; equality says nothing about how they came about.
impl PartialEq for Temps {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.now, &other.now) || self.now == other.now
    }
}

impl Temps {
    /// Is there one of that name?
    pub(super) fn holds(&self, name: &str) -> bool {
        self.now.contains_key(name)
    }

    /// None is there, and no end of a transaction can make one.
    pub(super) fn is_plain(&self) -> bool {
        self.now.is_empty() && self.before.is_none()
    }

    /// None is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.now.is_empty()
    }

    fn change(&mut self) -> &mut BTreeMap<Arc<str>, bool> {
        self.before.get_or_insert_with(|| Arc::clone(&self.now));
        Arc::make_mut(&mut self.now)
    }

    pub(super) fn made(&mut self, name: &Arc<str>, until_commit: bool) {
        self.change().insert(Arc::clone(name), until_commit);
    }

    pub(super) fn gone(&mut self, name: &str) {
        if self.holds(name) {
            self.change().remove(name);
        }
    }

    pub(super) fn all_gone(&mut self) {
        if !self.now.is_empty() {
            self.change().clear();
        }
    }

    pub(super) fn savepoint(&mut self) {
        self.savepoints.push(Arc::clone(&self.now));
    }

    /// Savepoints from this one on are released.
    pub(super) fn release(&mut self, at: usize) {
        self.savepoints.truncate(at);
    }

    /// Back to this savepoint, which stays.
    pub(super) fn back_to(&mut self, at: usize) {
        if let Some(then) = self.savepoints.get(at) {
            self.now = Arc::clone(then);
        }
        self.savepoints.truncate(at + 1);
    }

    /// The transaction ends.
    pub(super) fn end(&mut self, commit: bool) {
        self.savepoints.clear();
        let before = self.before.take();
        if !commit {
            self.now = before.unwrap_or_else(|| Arc::clone(&self.now));
        } else if self.now.values().any(|until_commit| *until_commit) {
            Arc::make_mut(&mut self.now).retain(|_, until_commit| !*until_commit);
        }
    }
}
