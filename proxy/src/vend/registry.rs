//! Live sessions: how a cancel request, a change of policy and a shutdown find them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use dashmap::DashMap;
use lanyard_adapters::warehouse::postgres::{CancelKey, Warehouse};
use lanyard_engine::entitlement::{Entitlement, Fingerprint};
use lanyard_engine::identity::{Principal, SessionId};
use lanyard_engine::refusal::Refusal;
use tokio::sync::watch;

/// Why a session has to end.
#[derive(Debug, Clone)]
pub enum Ending {
    /// At once.
    Now(Refusal),
    /// When no transaction is open.
    WhenQuiet(Refusal),
}

/// A live session.
#[derive(Debug)]
pub struct Live {
    /// The `[databases.NAME]` entry.
    pub database: String,
    /// Whose it is.
    pub principal: Principal,
    /// What it was given.
    pub fingerprint: Fingerprint,
    /// What its views read.
    pub attributes: BTreeMap<String, BTreeSet<String>>,
    /// Where its backend is.
    pub warehouse: Warehouse,
    /// How to cancel there; absent while the session has no backend.
    pub upstream: Option<CancelKey>,
    /// Tells it to end.
    pub end: watch::Sender<Option<Ending>>,
}

/// All live sessions, by id and by the cancel key their client holds.
#[derive(Debug, Default)]
pub struct Registry {
    sessions: DashMap<SessionId, Live>,
    keys: DashMap<(i32, [u8; 4]), SessionId>,
}

impl Registry {
    /// Adds a session under a cancel key. `false` when the key is taken.
    #[must_use]
    pub fn add(&self, id: SessionId, key: (i32, [u8; 4]), live: Live) -> bool {
        match self.keys.entry(key) {
            dashmap::Entry::Occupied(_) => false,
            dashmap::Entry::Vacant(place) => {
                place.insert(id);
                self.sessions.insert(id, live);
                true
            }
        }
    }

    /// Takes a session out.
    pub fn remove(&self, id: SessionId, key: (i32, [u8; 4])) {
        self.keys.remove(&key);
        self.sessions.remove(&id);
    }

    /// The backend a client's cancel key stands for. A 64-bit random key: guessing it is the only way to another's.
    #[must_use]
    pub fn backend(&self, key: (i32, [u8; 4])) -> Option<(Warehouse, CancelKey)> {
        let id = *self.keys.get(&key)?;
        let live = self.sessions.get(&id)?;
        Some((live.warehouse.clone(), live.upstream.clone()?))
    }

    /// A session has let go of its backend, or has a new one.
    pub fn moved(&self, id: SessionId, upstream: Option<CancelKey>) {
        if let Some(mut live) = self.sessions.get_mut(&id) {
            live.upstream = upstream;
        }
    }

    /// What the live sessions of a database were given.
    #[must_use]
    pub fn fingerprints(&self, database: &str) -> HashSet<Fingerprint> {
        self.sessions.iter().filter(|live| live.database == database).map(|live| live.fingerprint).collect()
    }

    /// Whose the live sessions of a database are.
    #[must_use]
    pub fn principals(&self, database: &str) -> HashSet<Principal> {
        let here = self.sessions.iter().filter(|live| live.database == database);
        here.map(|live| live.principal.clone()).collect()
    }

    /// How many sessions live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Is nobody there?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Tells every session to end.
    pub fn end_all(&self, ending: &Ending) {
        for live in &self.sessions {
            live.end.send_replace(Some(ending.clone()));
        }
    }

    /// Ends the sessions of a database whose access is not what it was, judged by `now`.
    pub fn end_changed(
        &self,
        database: &str,
        now: impl Fn(&Principal) -> Option<Entitlement>,
        reason: &Refusal,
    ) -> usize {
        let mut ended = 0;
        for live in self.sessions.iter().filter(|live| live.database == database) {
            let same = now(&live.principal).is_some_and(|entitlement| {
                entitlement.fingerprint == live.fingerprint
                    && entitlement.session_attributes == live.attributes
            });
            if !same {
                live.end.send_replace(Some(Ending::Now(reason.clone())));
                ended += 1;
            }
        }
        ended
    }
}
