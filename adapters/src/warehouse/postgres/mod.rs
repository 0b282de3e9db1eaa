//! PostgreSQL as a warehouse: prepares entitlements in it, vends roles, opens their sessions, ends them.
//!
//! Must never decide who may see what (entitlements arrive from the engine), nor send a statement of an agent (sessions
//! are handed out raw, before their first query). Called by the proxy.

mod bootstrap;
mod bundles;
mod catalog;
mod client;
mod copies;
mod doctor;
mod endpoint;
mod error;
mod exposure;
mod extras;
mod garbage;
mod generalise;
mod harden;
mod identify;
mod keys;
mod migration;
mod objects;
mod roles;
mod stream;
#[cfg(test)]
mod tests;
mod unix;
mod upstream;
mod views;
mod virtual_catalog;

pub use bootstrap::{BootstrapOptions, bootstrap, bootstrap_sql};
pub use catalog::Reading;
pub use doctor::{Finding, Severity, doctor};
pub use endpoint::{Endpoint, Login, Secret, TlsMode};
pub use error::WarehouseError;
pub use exposure::PublicDefiner;
pub use garbage::Collected;
pub use generalise::Generalised;
pub use harden::{harden, unharden};
pub use keys::KeyVersion;
pub use migration::Migration;
pub use roles::Lease;
pub use stream::UpstreamStream;
pub use upstream::{CancelKey, Upstream};
pub use views::{Prepared, ViewIdentity};
pub use virtual_catalog::VirtualCatalogError;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OnceCell, Semaphore};

use lanyard_engine::catalog::{Catalog, Relation, RelationName};
use lanyard_engine::entitlement::{Entitlement, Fingerprint};
use lanyard_engine::identify::Counts;
use lanyard_engine::identity::RoleName;
use lanyard_engine::policy::Generalisation;

use bundles::UpsertHole;
use client::{Kept, within};
use stream::Connector;

/// Longest catalog read, in seconds.
const CATALOG_SECONDS_MAX: u64 = 60;
/// Longest preparation of one entitlement, in seconds: a thousand views take about one.
const PREPARE_SECONDS_MAX: u64 = 120;
/// Longest vend, in seconds.
const VEND_SECONDS_MAX: u64 = 10;
/// Longest end of a lease, in seconds, its sessions included.
const END_SECONDS_MAX: u64 = 10;
/// Leases ended at the same time. While one is, the definer is a member of its role, and PostgreSQL looks at all such roles for
/// each right of the definer's: on 15, DROP OWNED takes 0.15 ms beside one of them and 20 ms beside 1,800. Each waits for its
/// sessions to be gone, so backends that do not die hold up others, for [`END_SECONDS_MAX`] at most.
const ENDS_AT_ONCE_MAX: usize = 16;
/// Longest making of one map of a `k_anonymous` mask, in seconds: it reads the table once for each level it tries.
const GENERALISE_SECONDS_MAX: u64 = 3_600;
/// Longest ping and longest cancel, in seconds.
const PING_SECONDS_MAX: u64 = 5;

/// Longest wait for the transactions that read what a migration concerns, in seconds; then they are ended.
pub const READERS_SECONDS_MAX: u64 = 10;

/// What a bootstrapped database has; looked for at the start so that a missing bootstrap is said in words.
const BOOTSTRAPPED: &str = "
    SELECT to_regprocedure('lanyard.vend(text, text, text, timestamptz, int, text, jsonb, text)') IS NOT NULL
       AND to_regprocedure('lanyard.create_bundle(text)') IS NOT NULL
       AND to_regclass('lanyard.bundle_column') IS NOT NULL AND to_regclass('lanyard.bundle_type') IS NOT NULL
       AND to_regprocedure('lanyard.list_keys()') IS NOT NULL
       AND to_regclass('lanyard.generalised') IS NOT NULL
       AND to_regclass('lanyard.migration') IS NOT NULL";

/// One database of one PostgreSQL, with the two logins that Lanyard keeps there. Clones share everything.
#[derive(Clone)]
pub struct Warehouse {
    inner: Arc<Inner>,
}

/// A preparation under way or done; the OIDs say for which relations.
struct Memo {
    oids: Vec<u32>,
    prepared: Arc<OnceCell<Arc<Prepared>>>,
}

struct Inner {
    connector: Connector,
    /// Transactions: catalog, views, bundles.
    builder: Kept,
    /// Vending, on the way of a login: nothing slow may stand in front.
    vendor: Kept,
    /// The same login again, for what may wait: ending and reaping.
    ender: Kept,
    /// Room for leases that are being ended.
    ends: Semaphore,
    search_path: String,
    node: String,
    hole: UpsertHole,
    memo: Mutex<HashMap<Fingerprint, Memo>>,
    /// Roles vended by this process and not ended: never leftovers.
    live: Mutex<HashSet<String>>,
}

impl std::fmt::Debug for Warehouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Warehouse({})", self.inner.connector.endpoint)
    }
}

impl Warehouse {
    /// Logs in with both credentials and looks whether the database is bootstrapped. `search_path` is what sessions get
    /// (schemas by their exact names; `pg_temp` is put behind them). `node` must be this process's alone: leases of a
    /// node that this process does not know are ended by [`Self::reap`].
    ///
    /// # Errors
    /// No connection, a refused login, or [`WarehouseError::NotBootstrapped`].
    pub async fn connect(
        endpoint: Endpoint,
        builder: Login,
        vendor: Login,
        search_path: Vec<String>,
        node: String,
    ) -> Result<Self, WarehouseError> {
        let connector = Connector::new(endpoint)?;
        let kept = |login: &Login, purpose| Kept::new(connector.clone(), login.clone(), purpose);
        let builder = kept(&builder, "lanyard builder");
        let hole = within(CATALOG_SECONDS_MAX, "connecting", async {
            let mut lent = builder.exclusive().await?;
            let client = lent.client()?;
            let failed = |e| WarehouseError::from_client(e, "connecting");
            let row = client.query_typed_one(BOOTSTRAPPED, &[]).await.map_err(failed)?;
            if !row.try_get::<_, bool>(0).map_err(failed)? {
                return Err(WarehouseError::NotBootstrapped {
                    database: connector.endpoint.database.clone(),
                });
            }
            let hole = bundles::probe_upsert_hole(client).await;
            lent.give_back(hole)
        })
        .await?;
        if hole == UpsertHole::Open {
            tracing::warn!(
                "this PostgreSQL lets INSERT ... ON CONFLICT DO UPDATE through a view reach hidden rows: filtered views \
                 are vended without UPDATE until the server is updated"
            );
        }
        let warehouse = Self {
            inner: Arc::new(Inner {
                vendor: kept(&vendor, "lanyard vendor"),
                ender: kept(&vendor, "lanyard vendor (ending)"),
                connector,
                builder,
                search_path: quote_search_path(&search_path),
                node,
                hole,
                memo: Mutex::default(),
                live: Mutex::default(),
                ends: Semaphore::new(ENDS_AT_ONCE_MAX),
            }),
        };
        warehouse.ping().await?;
        Ok(warehouse)
    }

    /// Ends the logins that are kept open, and waits until they are closed.
    pub async fn close(&self) {
        self.inner.builder.close().await;
        self.inner.vendor.close().await;
        self.inner.ender.close().await;
    }

    /// Relations the owner role may read, system's and Lanyard's left out; no tags. Cancel-safe.
    ///
    /// # Errors
    /// No connection, or the server refuses.
    pub async fn catalog(&self) -> Result<Catalog, WarehouseError> {
        self.look().await.map(|reading| reading.catalog)
    }

    /// The same, with the word whether a DBA's migration is under way. Cancel-safe.
    ///
    /// # Errors
    /// No connection, or the server refuses.
    pub async fn look(&self) -> Result<Reading, WarehouseError> {
        within(CATALOG_SECONDS_MAX, "reading the catalog", async {
            let mut lent = self.inner.builder.exclusive().await?;
            let read = catalog::read(lent.client()?).await;
            lent.give_back(read)
        })
        .await
    }

    /// Counts what the identifiers find in a sample of at most `sample` rows of a table; no value leaves the server.
    /// Cancel-safe.
    ///
    /// # Errors
    /// No connection, the server refuses, or it takes too long.
    pub async fn count(
        &self,
        relation: &Relation,
        sample: u32,
    ) -> Result<BTreeMap<String, Counts>, WarehouseError> {
        let mut lent = self.inner.builder.exclusive().await?;
        let counted = identify::count(lent.client()?, relation, sample).await;
        lent.give_back(counted)
    }

    /// Makes the views, keys and bundle of an entitlement where they are missing, all in one transaction. Remembered by
    /// fingerprint while the relations' OIDs stay the same; concurrent callers build once. Cancel-safe: another caller
    /// starts again.
    ///
    /// # Errors
    /// [`WarehouseError::Changed`] where the catalog must be read again, [`WarehouseError::View`] where the server refuses
    /// a view, or no connection. Nothing is left behind.
    pub async fn prepare(&self, entitlement: &Entitlement) -> Result<Arc<Prepared>, WarehouseError> {
        let cell = self.memo(entitlement);
        let prepared: &Arc<Prepared> = cell
            .get_or_try_init(|| {
                within(PREPARE_SECONDS_MAX, "preparing an entitlement", async {
                    let mut lent = self.inner.builder.exclusive().await?;
                    let made = views::prepare(lent.client()?, entitlement, self.inner.hole).await;
                    lent.give_back(made).map(Arc::new)
                })
            })
            .await?;
        if !prepared.whole {
            self.forget(&entitlement.fingerprint);
        }
        Ok(Arc::clone(prepared))
    }

    /// Forgets that this entitlement was prepared, so that the next [`Self::prepare`] looks again: for when the server
    /// says that a view is gone.
    pub fn forget(&self, fingerprint: &Fingerprint) {
        lock(&self.inner.memo).remove(fingerprint);
    }

    /// The same for all: for when the tables are others than before.
    pub fn forget_all(&self) {
        lock(&self.inner.memo).clear();
    }

    /// Are all these relations there, by OID?
    ///
    /// # Errors
    /// No connection, or the server refuses.
    pub async fn are_there(&self, views: &[u32]) -> Result<bool, WarehouseError> {
        within(CATALOG_SECONDS_MAX, "looking for secured views", async {
            let mut lent = self.inner.builder.exclusive().await?;
            let found = views::are_there(lent.client()?, views).await;
            lent.give_back(found)
        })
        .await
    }

    /// Drops bundles whose fingerprint is not in `keep` and that no lease carries, and views that no bundle shows. What is
    /// in use stays. A node that prepared such a bundle and vends it afterwards gets `22023`: [`Self::forget`] and
    /// [`Self::prepare`] mend that.
    ///
    /// # Errors
    /// No connection, or the server refuses.
    pub async fn collect(&self, keep: &HashSet<Fingerprint>) -> Result<Collected, WarehouseError> {
        lock(&self.inner.memo).retain(|fingerprint, _| keep.contains(fingerprint));
        within(PREPARE_SECONDS_MAX, "collecting garbage", async {
            let mut lent = self.inner.builder.exclusive().await?;
            let collected = garbage::collect(lent.client()?, keep).await;
            lent.give_back(collected)
        })
        .await
    }

    /// Makes the map of a `k_anonymous` mask, or makes it anew: combinations that the map does not know show NULL. Cancel-safe:
    /// the old map stays until the new one is whole.
    ///
    /// # Errors
    /// No connection, or the server refuses: `40001` when somebody makes the same map at the same time.
    pub async fn generalise(&self, plan: &Generalisation) -> Result<Generalised, WarehouseError> {
        within(GENERALISE_SECONDS_MAX, "generalising", async {
            let mut lent = self.inner.builder.exclusive().await?;
            let made = generalise::generalise(lent.client()?, plan).await;
            lent.give_back(made)
        })
        .await
    }

    /// Can this database encrypt? Without it, masks that do show NULL.
    ///
    /// # Errors
    /// No connection, or the server refuses.
    pub async fn has_aes(&self) -> Result<bool, WarehouseError> {
        within(VEND_SECONDS_MAX, "looking for AES", async {
            let mut lent = self.inner.builder.exclusive().await?;
            let found = keys::has_aes(lent.client()?).await;
            lent.give_back(found)
        })
        .await
    }

    /// Every mask key in every version that is kept, by id, newest first.
    ///
    /// # Errors
    /// No connection, or the server refuses.
    pub async fn keys(&self) -> Result<Vec<KeyVersion>, WarehouseError> {
        within(VEND_SECONDS_MAX, "listing mask keys", async {
            let mut lent = self.inner.builder.exclusive().await?;
            let listed = keys::list(lent.client()?).await;
            lent.give_back(listed)
        })
        .await
    }

    /// Puts a new version of a mask key in force, for every view at once; the old one still undoes what it masked. Answers the
    /// new version, nothing for an unknown key.
    ///
    /// # Errors
    /// No connection, or the server refuses.
    pub async fn rotate_key(&self, id: &str) -> Result<Option<i32>, WarehouseError> {
        within(VEND_SECONDS_MAX, "rotating a mask key", async {
            let mut lent = self.inner.builder.exclusive().await?;
            let rotated = keys::rotate(lent.client()?, id).await;
            lent.give_back(rotated)
        })
        .await
    }

    /// Forgets a replaced version of a mask key: what it masked cannot be undone any more. True when there was one; the version
    /// in force is never forgotten.
    ///
    /// # Errors
    /// No connection, or the server refuses.
    pub async fn retire_key(&self, id: &str, version: i32) -> Result<bool, WarehouseError> {
        within(VEND_SECONDS_MAX, "retiring a mask key", async {
            let mut lent = self.inner.builder.exclusive().await?;
            let retired = keys::retire(lent.client()?, id, version).await;
            lent.give_back(retired)
        })
        .await
    }

    /// Creates the role of a lease with a new secret. One round trip. Dropped half-way, the role is a leftover.
    ///
    /// # Errors
    /// [`WarehouseError::Refused`] with `22023` when the lease is not one, `42710` when the role exists; or no connection.
    pub async fn vend(&self, lease: &Lease) -> Result<Login, WarehouseError> {
        let vended = roles::new_secret()?;
        let claim = Claim::new(&self.inner, &lease.role);
        within(VEND_SECONDS_MAX, "vending", async {
            let client = self.inner.vendor.shared().await?;
            let made = roles::vend(&client, lease, &vended.verifier, &self.inner.node).await;
            self.inner.vendor.checked(&client, made).await
        })
        .await?;
        claim.keep();
        Ok(Login::new(lease.role.as_str(), vended.secret))
    }

    /// Logs in raw as a vended role, up to ReadyForQuery. Besides `settings` it sets `standard_conforming_strings` and
    /// `client_encoding`, which win, and `search_path` where `settings` has none of exactly that name. No deadline of its own; cancel-safe.
    ///
    /// # Errors
    /// [`WarehouseError::Refused`] with the server's SQLSTATE, or no connection.
    pub async fn open(&self, login: &Login, settings: &[(&str, &str)]) -> Result<Upstream, WarehouseError> {
        let path = settings.iter().find(|(name, _)| *name == "search_path");
        let ours = [
            ("search_path", path.map_or(self.inner.search_path.as_str(), |(_, path)| path)),
            ("standard_conforming_strings", "on"),
            ("client_encoding", "UTF8"),
        ];
        let taken = |name: &str| {
            ["user", "database", "replication", "options"]
                .into_iter()
                .chain(ours.iter().map(|(n, _)| *n))
                .any(|n| n.eq_ignore_ascii_case(name))
        };
        let mut all: Vec<(&str, &str)> = settings.iter().copied().filter(|(n, _)| !taken(n)).collect();
        all.extend(ours);
        upstream::open(&self.inner.connector, login, &all).await
    }

    /// Asks the server to cancel what that session is running. It may come too late; that is no error.
    ///
    /// # Errors
    /// No connection.
    pub async fn cancel(&self, key: &CancelKey) -> Result<(), WarehouseError> {
        within(PING_SECONDS_MAX, "cancelling", upstream::cancel(&self.inner.connector, key)).await
    }

    /// Ends a lease: no new logins, its sessions terminated and gone, what it owned dropped, the role dropped, its rows
    /// deleted. Idempotent.
    ///
    /// # Errors
    /// No connection; [`WarehouseError::Deadline`] when a session does not die. The role then cannot log in any more, and
    /// [`Self::reap`] tries again.
    pub async fn end(&self, role: &RoleName) -> Result<(), WarehouseError> {
        let ended = self.end_named(role.as_str()).await;
        // Ended or not, it is nobody's any more: what is left of it is a leftover.
        lock(&self.inner.live).remove(role.as_str());
        ended
    }

    /// Ends what an earlier run of this node left, what could not be ended, and leases of any node whose time is over.
    /// Answers the roles that are gone; one that cannot be dropped does not keep the others.
    ///
    /// # Errors
    /// No connection, or the first failure after everything was tried.
    pub async fn reap(&self) -> Result<Vec<String>, WarehouseError> {
        let leftovers = within(VEND_SECONDS_MAX, "looking for leftovers", async {
            let client = self.inner.ender.shared().await?;
            let found = roles::leftovers(&client, &self.inner.node).await;
            self.inner.ender.checked(&client, found).await
        })
        .await?;
        let mut gone = Vec::new();
        let mut failure = None;
        for leftover in leftovers {
            let live = lock(&self.inner.live).contains(&leftover.role);
            if live && !leftover.expired {
                continue;
            }
            match self.end_named(&leftover.role).await {
                Ok(()) => {
                    lock(&self.inner.live).remove(&leftover.role);
                    gone.push(leftover.role);
                }
                Err(error) => {
                    tracing::warn!(role = leftover.role, %error, "cannot end a leftover lease");
                    failure = failure.or(Some(error));
                }
            }
        }
        match failure {
            Some(error) if gone.is_empty() => Err(error),
            Some(_) | None => Ok(gone),
        }
    }

    /// Does the vendor connection answer?
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), WarehouseError> {
        within(PING_SECONDS_MAX, "pinging", async {
            let client = self.inner.vendor.shared().await?;
            let answered =
                client.check_connection().await.map_err(|e| WarehouseError::from_client(e, "pinging"));
            self.inner.vendor.checked(&client, answered).await
        })
        .await
    }

    /// Those of `relations` that PUBLIC can read, itself or through a view, parent or partition: no secured view can
    /// protect them.
    ///
    /// # Errors
    /// No connection, or the server refuses.
    pub async fn public_reads(
        &self,
        relations: &[RelationName],
    ) -> Result<Vec<RelationName>, WarehouseError> {
        within(CATALOG_SECONDS_MAX, "looking for public grants", async {
            let mut lent = self.inner.builder.exclusive().await?;
            let found = exposure::public_reads(lent.client()?, relations).await;
            lent.give_back(found)
        })
        .await
    }

    /// SECURITY DEFINER functions that PUBLIC may execute and that could read what is governed.
    ///
    /// # Errors
    /// No connection, or the server refuses.
    pub async fn public_definers(&self) -> Result<Vec<PublicDefiner>, WarehouseError> {
        within(CATALOG_SECONDS_MAX, "looking for functions that read for everybody", async {
            let mut lent = self.inner.builder.exclusive().await?;
            let found = exposure::public_definers(lent.client()?).await;
            lent.give_back(found)
        })
        .await
    }

    /// The language of the server's messages in this database (`lc_messages`), where it is not English.
    ///
    /// # Errors
    /// No connection, or the server refuses.
    pub async fn foreign_language(&self) -> Result<Option<String>, WarehouseError> {
        within(CATALOG_SECONDS_MAX, "asking for the language of messages", async {
            let mut lent = self.inner.builder.exclusive().await?;
            let found = exposure::foreign_language(lent.client()?).await;
            lent.give_back(found)
        })
        .await
    }

    /// Names of the schemas sessions start with, as the server reads them, `pg_temp` last.
    #[must_use]
    pub fn search_path(&self) -> &str {
        &self.inner.search_path
    }

    /// Where it is.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.inner.connector.endpoint
    }

    async fn end_named(&self, role: &str) -> Result<(), WarehouseError> {
        // The clock runs from here: who waits for room has not begun. Nobody closes the semaphore; an error would end without it.
        let _room = self.inner.ends.acquire().await;
        within(END_SECONDS_MAX, "ending a lease", async {
            let client = self.inner.ender.shared().await?;
            let ended = roles::end(&client, role).await;
            self.inner.ender.checked(&client, ended).await
        })
        .await
    }

    /// The preparation of this entitlement, for these relations.
    fn memo(&self, entitlement: &Entitlement) -> Arc<OnceCell<Arc<Prepared>>> {
        let oids: Vec<u32> = entitlement.iter().map(|access| access.oid).collect();
        let mut memo = lock(&self.inner.memo);
        match memo.get(&entitlement.fingerprint) {
            Some(known) if known.oids == oids => Arc::clone(&known.prepared),
            Some(_) | None => {
                let prepared = Arc::new(OnceCell::new());
                let new = Memo { oids, prepared: Arc::clone(&prepared) };
                memo.insert(entitlement.fingerprint, new);
                prepared
            }
        }
    }
}

/// A role that is being vended. Dropped before [`Self::keep`], it is nobody's, and [`Warehouse::reap`] may end it.
struct Claim<'a> {
    inner: &'a Inner,
    role: &'a RoleName,
    kept: bool,
}

impl<'a> Claim<'a> {
    fn new(inner: &'a Inner, role: &'a RoleName) -> Self {
        lock(&inner.live).insert(role.as_str().to_owned());
        Self { inner, role, kept: false }
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.kept {
            lock(&self.inner.live).remove(self.role.as_str());
        }
    }
}

/// These maps are whole at every await and every panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `a, "B", pg_temp`: temporary objects last, where they capture nothing. Quoted where the list would read it otherwise, so that SHOW
/// says what PostgreSQL's own default would.
fn quote_search_path(schemas: &[String]) -> String {
    let mut path = String::new();
    for schema in schemas {
        let plain = schema.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if plain && !schema.starts_with(|c: char| c.is_ascii_digit()) && !schema.is_empty() {
            path.push_str(schema);
        } else {
            path.push_str(&postgres_protocol::escape::escape_identifier(schema));
        }
        path.push_str(", ");
    }
    path + "pg_temp"
}
