//! One database's governance: the current snapshot, and what each principal is granted under it.
//!
//! A new snapshot replaces the old one whole. Used by logins (`granted`) and by the reload task (`publish`).

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use dashmap::DashMap;
use lanyard_adapters::store::{Credentials, Governance};
use lanyard_adapters::warehouse::postgres::{Reading, Warehouse, WarehouseError};
use lanyard_engine::approval::Approvals;
use lanyard_engine::catalog::Catalog;
use lanyard_engine::entitlement::{Entitlement, Fingerprint, Leftovers};
use lanyard_engine::identity::{Parties, Principal};
use lanyard_engine::policy::{self, PolicySet, Source};
use lanyard_engine::refusal::{Code, Refusal};
use lanyard_engine::snapshot::{Parts, Snapshot};
use lanyard_engine::workspace::Workspace;
use thiserror::Error;
use tokio::sync::Notify;

use super::Granted;

/// Why a snapshot cannot be made.
#[derive(Debug, Error)]
pub enum GovernorError {
    /// Policies do not parse, or name what does not exist.
    #[error("{0}")]
    Policy(String),
    /// The warehouse cannot be read.
    #[error("cannot read the warehouse of database \"{0}\"")]
    Warehouse(String, #[source] WarehouseError),
}

/// A snapshot, with the credentials of the same moment.
struct State {
    snapshot: Snapshot,
    credentials: Credentials,
    granted: DashMap<Principal, Arc<Granted>>,
}

/// See the module's words.
pub struct Governor {
    name: String,
    warehouse: Warehouse,
    database: String,
    search_path: Vec<String>,
    doubts: Arc<Notify>,
    state: RwLock<Arc<State>>,
    /// Is a DBA's migration under way?
    migrating: AtomicBool,
    /// What live sessions hold of an earlier state and could not be made anew yet.
    owed: Mutex<Vec<(Principal, Arc<Granted>)>>,
}

impl Governor {
    /// Reads the warehouse and makes the first snapshot.
    ///
    /// # Errors
    /// [`GovernorError`] says what is wrong; nothing is served then.
    pub async fn start(
        name: &str,
        warehouse: Warehouse,
        database: &str,
        search_path: Vec<String>,
        governance: &Governance,
        doubts: Arc<Notify>,
    ) -> Result<Self, GovernorError> {
        let Reading { mut catalog, migrating } = look(&warehouse, name).await?;
        if migrating {
            tracing::warn!(database = name, "{UNDER_WAY}");
        }
        govern(&mut catalog, name, governance);
        let state = State {
            snapshot: snapshot(1, governance, catalog)?,
            credentials: governance.credentials.clone(),
            granted: DashMap::new(),
        };
        let state = Arc::new(state);
        warm(&state, Vec::new());
        Ok(Self {
            name: name.to_owned(),
            warehouse,
            database: database.to_owned(),
            search_path,
            doubts,
            state: RwLock::new(state),
            migrating: AtomicBool::new(migrating),
            owed: Mutex::default(),
        })
    }

    /// The `[databases.NAME]` entry this is.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The warehouse behind it.
    #[must_use]
    pub fn warehouse(&self) -> &Warehouse {
        &self.warehouse
    }

    /// Schemas unqualified names are looked up in.
    #[must_use]
    pub fn search_path(&self) -> &[String] {
        &self.search_path
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads something of the current snapshot and its credentials.
    pub fn with<T>(&self, read: impl FnOnce(&Snapshot, &Credentials) -> T) -> T {
        let state = self.state();
        read(&state.snapshot, &state.credentials)
    }

    /// Makes a new snapshot from what governance and the warehouse say now, when that differs. `true` when it did. While a DBA's
    /// migration is under way the tables are those from before it: half of one is nobody's access.
    ///
    /// # Errors
    /// [`GovernorError`]; the old snapshot stays.
    pub async fn refresh(&self, governance: &Governance, changed: bool) -> Result<bool, GovernorError> {
        let Reading { catalog, migrating } = look(&self.warehouse, &self.name).await?;
        self.note_migration(migrating);
        let old = self.state();
        let mut catalog = if migrating { old.snapshot.catalog.untagged() } else { catalog };
        govern(&mut catalog, &self.name, governance);
        let other_tables = catalog != old.snapshot.catalog;
        if !changed && !self.is_due() && !other_tables {
            return Ok(false);
        }
        let new = snapshot(old.snapshot.version + 1, governance, catalog)?;
        if other_tables {
            self.warehouse.forget_all();
        }
        let state =
            State { snapshot: new, credentials: governance.credentials.clone(), granted: DashMap::new() };
        let state = Arc::new(state);
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&state);
        self.owe(&old);
        warm(&state, old.granted.iter().map(|granted| granted.key().clone()).collect());
        Ok(true)
    }

    /// Where secured views are gone that somebody was granted (a table was dropped with all that depends on it, a migration is
    /// over), they are to be made again.
    pub async fn look_for_damage(&self) {
        if self.is_migrating() {
            return;
        }
        let state = self.state();
        let mut whole = true;
        let mut views: HashSet<u32> = HashSet::new();
        for granted in &state.granted {
            whole &= granted.prepared.whole;
            views.extend(granted.prepared.views.keys());
        }
        let views: Vec<u32> = views.into_iter().collect();
        if whole {
            match self.warehouse.are_there(&views).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(database = %self.name, error = %chain(&error), "the secured views cannot be looked at");
                    return;
                }
            }
        }
        self.warehouse.forget_all();
        self.owe(&state);
        state.granted.clear();
    }

    /// Makes what live sessions hold anew over the tables as they are now, and hands it to them. What fails is tried at the
    /// next look.
    pub async fn renew(&self, live: &HashSet<Principal>) {
        let owed = std::mem::take(&mut *self.owed());
        for (principal, old) in owed {
            if !live.contains(&principal) {
                continue;
            }
            match self.granted(&principal).await {
                Ok(new) => old.succeed(&new),
                // The reason is in the log already.
                Err(_) => self.owed().push((principal, old)),
            }
        }
    }

    fn owe(&self, old: &State) {
        let held = old.granted.iter().map(|entry| (entry.key().clone(), Arc::clone(entry.value())));
        self.owed().extend(held);
    }

    fn owed(&self) -> std::sync::MutexGuard<'_, Vec<(Principal, Arc<Granted>)>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Was a DBA's migration under way at the last look?
    #[must_use]
    pub fn is_migrating(&self) -> bool {
        self.migrating.load(Ordering::Relaxed)
    }

    fn note_migration(&self, now: bool) {
        match (self.migrating.swap(now, Ordering::Relaxed), now) {
            (false, true) => tracing::warn!(database = %self.name, "{UNDER_WAY}"),
            (true, false) => tracing::info!(database = %self.name, "the migration is over"),
            (true, true) | (false, false) => {}
        }
    }

    /// Has an approval of the current snapshot ended?
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.state().snapshot.approvals.next_end().is_some_and(|end| end <= now())
    }

    /// What a principal may do under the current snapshot, without touching the warehouse.
    #[must_use]
    pub fn entitlement(&self, principal: &Principal) -> Option<Entitlement> {
        policy::entitle(&self.state().snapshot, principal).ok()
    }

    /// Has whoever proves this principal still a key?
    #[must_use]
    pub fn has_key(&self, principal: &Principal) -> bool {
        let credentials = &self.state().credentials;
        match &principal.parties {
            Parties::OnBehalfOf { agent, .. } | Parties::Autonomous { agent } => {
                credentials.agents.contains_key(agent)
            }
            Parties::Direct { user } => credentials.users.contains_key(user),
        }
    }

    /// Forgets what a principal was granted, because the warehouse no longer carries it.
    pub fn forget(&self, principal: &Principal, granted: &Granted) {
        self.owed().extend(self.state().granted.remove(principal));
        self.warehouse.forget(&granted.entitlement.fingerprint);
    }

    /// Drops views and bundles that neither a live session nor the current snapshot needs.
    pub async fn collect(&self, live: HashSet<Fingerprint>) {
        let mut keep = live;
        keep.extend(self.state().granted.iter().map(|granted| granted.entitlement.fingerprint));
        match self.warehouse.collect(&keep).await {
            Ok(collected) => tracing::debug!(database = %self.name, ?collected, "collected garbage"),
            Err(error) => {
                tracing::warn!(database = %self.name, error = %chain(&error), "garbage stays in the warehouse")
            }
        }
    }

    /// Compiles and builds what a principal is granted, or remembers that it did under this snapshot.
    ///
    /// # Errors
    /// A refusal: no identity, or a warehouse that cannot carry it.
    pub async fn granted(&self, principal: &Principal) -> Result<Arc<Granted>, Refusal> {
        let state = self.state();
        if let Some(known) = state.granted.get(principal) {
            return Ok(Arc::clone(&known));
        }
        let entitlement = policy::entitle(&state.snapshot, principal)?;
        let prepared = self.warehouse.prepare(&entitlement).await.map_err(|error| {
            if changed_meanwhile(&error) {
                self.doubts.notify_one();
                tracing::info!(database = %self.name, error = %chain(&error), "the tables changed under a login");
                return Refusal::new(Code::Changing, "the tables you may use are being changed in the warehouse")
                    .hint("try again in a moment");
            }
            tracing::error!(database = %self.name, error = %chain(&error), "the warehouse cannot carry an entitlement");
            Refusal::new(Code::UpstreamLost, "the warehouse cannot carry your access now")
                .hint("try again; if it persists, an operator finds the cause in Lanyard's log")
        })?;
        let workspace = entitlement
            .extras
            .workspace
            .map(|kept| workspace(&state.snapshot, principal, kept))
            .transpose()?;
        let granted = Arc::new(Granted::new(
            state.snapshot.version,
            entitlement,
            prepared,
            workspace,
            self.search_path.clone(),
            self.database.clone(),
            Arc::clone(&self.doubts),
        ));
        // Of two that came at once all sessions hold the same, so that what comes after it reaches them all.
        Ok(Arc::clone(&state.granted.entry(principal.clone()).or_insert(granted)))
    }
}

/// Works ahead of the logins under a new snapshot, beside them: what is narrowed must not wait for it.
fn warm(state: &Arc<State>, recent: Vec<Principal>) {
    let state = Arc::clone(state);
    drop(tokio::task::spawn_blocking(move || policy::warm(&state.snapshot, recent)));
}

/// The schema of a principal's own. Who is not registered has none to be told apart by.
fn workspace(snapshot: &Snapshot, principal: &Principal, leftovers: Leftovers) -> Result<Workspace, Refusal> {
    let unknown = || Refusal::new(Code::NoIdentity, "the session's agent or user is not known");
    let agents = &snapshot.identities.agents;
    let agent =
        principal.agent().map(|id| agents.get(id).map(|a| a.short).ok_or_else(unknown)).transpose()?;
    let users = &snapshot.identities.users;
    let user = principal.user().map(|id| users.get(id).map(|u| u.short).ok_or_else(unknown)).transpose()?;
    Ok(Workspace::of(agent, user, principal.purpose.as_ref(), leftovers))
}

/// Seconds since 1970; with a clock before that every approval with an end has ended.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(u64::MAX, |d| d.as_secs())
}

/// An error and its causes, for logs.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

/// Are the tables others than the snapshot knows? The next look mends that.
fn changed_meanwhile(error: &WarehouseError) -> bool {
    let transient = || matches!(error.sqlstate(), Some("42P01" | "42703" | "55P03" | "40P01"));
    matches!(error, WarehouseError::Changed { .. }) || transient()
}

/// What the log says while a migration is under way.
const UNDER_WAY: &str = "a DBA's migration is under way: its tables are closed until it is over; if its process was killed, \
                         \"lanyard migrate --finish\" opens them";

/// The warehouse's catalog as it is.
async fn look(warehouse: &Warehouse, name: &str) -> Result<Reading, GovernorError> {
    warehouse.look().await.map_err(|error| GovernorError::Warehouse(name.to_owned(), error))
}

/// Puts on a catalog what governance says of it: tags, and what is new.
pub(crate) fn govern(catalog: &mut Catalog, database: &str, governance: &Governance) {
    governance.tags.apply(catalog);
    if let Some(known) = governance.known.get(database) {
        known.mark(catalog);
    }
}

/// Compiles policies over a catalog. Errors in them stop it; warnings go to the log.
fn snapshot(version: u64, governance: &Governance, catalog: Catalog) -> Result<Snapshot, GovernorError> {
    let sources: Vec<Source<'_>> =
        governance.policies.iter().map(|(file, text)| Source { file, text }).collect();
    let list = |diagnostics: Vec<policy::Diagnostic>| {
        GovernorError::Policy(diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    };
    let policies: PolicySet = PolicySet::parse(&sources).map_err(list)?;
    let snapshot = Snapshot::new(Parts {
        version,
        identities: governance.identities.clone(),
        tags: governance.tags.clone(),
        policies,
        catalog,
        approvals: Approvals { now: now(), all: governance.approvals.clone() },
    });
    let errors: Vec<policy::Diagnostic> =
        policy::check(&snapshot).into_iter().filter(|d| d.severity == policy::Severity::Error).collect();
    if !errors.is_empty() {
        return Err(list(errors));
    }
    policy::prepare(&snapshot);
    Ok(snapshot)
}
