//! The running proxy: what every session shares, the reload of governance, and the way down.
//!
//! Concrete adapters are chosen here and nowhere else. Called by `lanyard serve` and `lanyard demo`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lanyard_adapters::ledger::{self, FileLedger, Health, LedgerError, LedgerOptions};
use lanyard_adapters::store::{self, Governance, StoreError};
use lanyard_adapters::warehouse::postgres::{Endpoint, Login, Secret, TlsMode, Warehouse, WarehouseError};
use lanyard_engine::catalog::{Known, RelationName};
use lanyard_engine::names;
use lanyard_engine::refusal::{Code, Refusal};
use ring::rand::{SecureRandom as _, SystemRandom};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::config::{
    Config, ConfigErrors, Database, DatabaseMaterial, GovernanceFolder, ListenTls, StatementText, UpstreamTls,
};
use crate::net::tls::ServerTls;
use crate::net::{listen, tls};
use crate::observe::{Metrics, Readiness, ReadinessCheck, serve_http};
use crate::session::RecordText;
use crate::vend::{self, Ending, Governor, GovernorError, Registry};

/// Whether clients may, or must, use TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsPolicy {
    /// Plain connections are served too.
    Offer,
    /// Only TLS is served.
    Require,
}

/// What every session shares.
pub struct Shared {
    /// This proxy's name in records.
    pub node: Arc<str>,
    /// Databases by the name clients give.
    pub governors: HashMap<String, Arc<Governor>>,
    /// Where records go.
    pub ledger: FileLedger,
    /// Which shard of the ledger the next session writes to.
    pub next_shard: AtomicUsize,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Live sessions.
    pub registry: Registry,
    /// Certificate, when TLS is offered.
    pub tls: Option<ServerTls>,
    /// May clients come without?
    pub tls_policy: TlsPolicy,
    /// Room for sessions.
    pub room: Arc<Semaphore>,
    /// Most sessions.
    pub clients_max: usize,
    /// Longest login.
    pub login: Duration,
    /// Longest silence of a session.
    pub idle: Duration,
    /// How long a silent session keeps its backend; none is for ever.
    pub detach: Option<Duration>,
    /// Longest lease.
    pub lease: Duration,
    /// What of a statement goes on record.
    pub record_text: RecordText,
    /// Salt of verifiers for unknown names.
    pub secret: [u8; 32],
    /// Rung when a warehouse says what the tables known here do not explain.
    pub doubts: Arc<Notify>,
    /// Could every warehouse be read when last looked at?
    pub warehouses_reachable: AtomicBool,
    /// Cloned by every lease; taken away to wait for the last one.
    pub(crate) alive: Mutex<Option<mpsc::Sender<()>>>,
}

impl Shared {
    /// A token that holds the shutdown back.
    ///
    /// # Errors
    /// 57P01 once the way down has begun.
    pub fn alive(&self) -> Result<mpsc::Sender<()>, Refusal> {
        self.alive
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or_else(|| Refusal::new(Code::ShuttingDown, "the proxy is shutting down"))
    }
}

/// Why the proxy cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration names files that cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The governance folder cannot be read.
    #[error("cannot read governance")]
    Store(#[from] StoreError),
    /// The audit cannot be written.
    #[error("cannot open the audit")]
    Ledger(#[from] LedgerError),
    /// Policies or the warehouse are not fit to serve.
    #[error("cannot govern a database")]
    Governor(#[from] GovernorError),
    /// The warehouse cannot be reached or is not bootstrapped.
    #[error("cannot use the warehouse of database \"{0}\"")]
    Warehouse(String, #[source] WarehouseError),
    /// Governed tables that everybody in the warehouse may read.
    #[error(
        "database \"{database}\": PUBLIC may read {relations}; revoke it (lanyard doctor says how), or accept it by name \
         with accept_public in [databases.{database}]"
    )]
    PublicReads {
        /// The `[databases.NAME]` entry.
        database: String,
        /// The relations, comma-separated.
        relations: String,
    },
    /// Functions that read governed tables for everybody.
    #[error(
        "database \"{database}\": PUBLIC may execute SECURITY DEFINER {functions}; revoke it (lanyard doctor says how), or \
         accept it by name with accept_public in [databases.{database}]"
    )]
    PublicDefiners {
        /// The `[databases.NAME]` entry.
        database: String,
        /// The functions, comma-separated.
        functions: String,
    },
    /// The warehouse speaks another language.
    #[error(
        "the messages of {database} are in {language:?}: what they may tell a client is known in English only; \
         a DBA runs: ALTER DATABASE … SET lc_messages = 'C'"
    )]
    Language {
        /// The `[databases.NAME]` entry.
        database: String,
        /// What `lc_messages` is.
        language: String,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// TLS cannot be set up.
    #[error("cannot use the TLS certificate")]
    Tls(#[from] rustls::Error),
    /// No metrics or no randomness.
    #[error("cannot start: {0}")]
    Internal(String),
}

/// How often buffered outcome lines go to disk when nothing else pushes them.
const LEDGER_FLUSH: Duration = Duration::from_millis(100);
/// Shards of the ledger: sessions on different ones never wait for each other.
const LEDGER_SHARDS: usize = 4;
/// How often the warehouse's catalog is read again (enforcement.md, "When the warehouse changes").
const CATALOG_POLL: Duration = Duration::from_secs(5);
/// How often at most where something calls for it: a client can make the warehouse say what does.
const CATALOG_POLL_MIN: Duration = Duration::from_millis(500);

/// A running proxy.
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    http: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    alive: mpsc::Receiver<()>,
}

impl Server {
    /// Opens everything the configuration names, in the order that fails cheapest first, and begins to serve.
    ///
    /// # Errors
    /// [`StartError`]; nothing is served then.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let material = config.material()?;
        let governance = store::load(&config.governance.directory.value)?;
        let stamp = store::stamp(&config.governance.directory.value)?;
        let ledger = open_ledger(config)?;
        let metrics = Arc::new(Metrics::new().map_err(|error| StartError::Internal(error.to_string()))?);
        let doubts = Arc::new(Notify::new());
        let mut governors = HashMap::new();
        for (name, database) in &config.databases {
            let secrets =
                material.databases.get(name).ok_or_else(|| StartError::Internal("no secrets".into()))?;
            governors.insert(
                name.clone(),
                Arc::new(govern(config, database, secrets, &governance, &doubts).await?),
            );
        }
        let mut secret = [0; 32];
        SystemRandom::new().fill(&mut secret).map_err(|_| StartError::Internal("no randomness".into()))?;
        let (alive_sender, alive) = mpsc::channel(1);
        let shared = Arc::new(Shared {
            node: config.node.as_str().into(),
            governors,
            ledger,
            next_shard: AtomicUsize::new(0),
            metrics: Arc::clone(&metrics),
            registry: Registry::default(),
            tls: material.listen.map(tls::server).transpose()?,
            tls_policy: match config.listen.tls {
                ListenTls::Off | ListenTls::Offer(_) => TlsPolicy::Offer,
                ListenTls::Require(_) => TlsPolicy::Require,
            },
            room: Arc::new(Semaphore::new(config.listen.clients_max)),
            clients_max: config.listen.clients_max,
            login: config.session.login,
            idle: config.session.idle,
            detach: config.session.detach,
            lease: config.session.lease,
            record_text: match config.audit.statement {
                StatementText::Text => RecordText::Whole,
                StatementText::Fingerprint => RecordText::Fingerprint,
            },
            secret,
            doubts,
            warehouses_reachable: AtomicBool::new(true),
            alive: Mutex::new(Some(alive_sender)),
        });
        Self::listen(config, shared, stamp, alive).await
    }

    async fn listen(
        config: &Config,
        shared: Arc<Shared>,
        stamp: store::Stamp,
        alive: mpsc::Receiver<()>,
    ) -> Result<Self, StartError> {
        let bind = |address| async move {
            TcpListener::bind(address).await.map_err(|error| StartError::Listen(address, error))
        };
        let listener = bind(config.listen.address).await?;
        let address =
            listener.local_addr().map_err(|error| StartError::Listen(config.listen.address, error))?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut http = None;
        if let Some(wanted) = config.listen.http {
            let listener = bind(wanted).await?;
            http = listener.local_addr().ok();
            let mut stopped = stopped.clone();
            let readiness = readiness(Arc::clone(&shared), stopped.clone());
            let metrics = Arc::clone(&shared.metrics);
            tasks.spawn(serve_http(listener, metrics, readiness, async move {
                drop(stopped.wait_for(|stopped| *stopped).await);
            }));
        }
        tasks.spawn(listen::listen(listener, Arc::clone(&shared), stopped.clone()));
        tasks.spawn(flush(Arc::clone(&shared), stopped.clone()));
        tasks.spawn(reload(config.governance.clone(), stamp, Arc::clone(&shared), stopped));
        tracing::info!(%address, databases = shared.governors.len(), "serving");
        Ok(Self { shared, address, http, stop, tasks, alive })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics and health are.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Stops accepting, lets open transactions finish until the deadline, ends every session with 57P01, waits until
    /// their roles are gone and the ledger is flushed. `true` when all of that happened in time.
    pub async fn stop(mut self, drain: Duration) -> bool {
        tracing::info!(sessions = self.shared.registry.len(), "stopping");
        self.stop.send_replace(true);
        let refusal = Refusal::new(Code::ShuttingDown, "the proxy is shutting down").hint("connect again");
        self.shared.registry.end_all(&Ending::WhenQuiet(refusal.clone()));
        self.shared.alive.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The channel closes when the last lease has ended.
        let mut clean = timeout(drain, self.alive.recv()).await.is_ok();
        if !clean {
            self.shared.registry.end_all(&Ending::Now(refusal));
            clean = timeout(LAST_WORDS, self.alive.recv()).await.is_ok();
        }
        self.tasks.shutdown().await;
        for governor in self.shared.governors.values() {
            governor.warehouse().close().await;
        }
        self.shared.ledger.flush();
        clean
    }
}

/// How long sessions may take to end once they are told to end at once.
const LAST_WORDS: Duration = Duration::from_secs(5);

fn open_ledger(config: &Config) -> Result<FileLedger, StartError> {
    let directory = &config.audit.directory.value;
    // Before opening: an open ledger holds its files.
    let recovery = ledger::recover(directory)?;
    if recovery.unknown > 0 {
        tracing::warn!(
            statements = recovery.unknown,
            "an earlier run ended with statements in flight: their outcome is unknown"
        );
    }
    Ok(FileLedger::open(&LedgerOptions {
        dir: directory.clone(),
        node: config.node.clone(),
        sync: config.audit.sync,
        shards: LEDGER_SHARDS,
    })?)
}

async fn govern(
    config: &Config,
    database: &Database,
    secrets: &DatabaseMaterial,
    governance: &Governance,
    doubts: &Arc<Notify>,
) -> Result<Governor, StartError> {
    let failed = |error| StartError::Warehouse(database.name.clone(), error);
    let login = |role: &str, password: &str| Login::new(role, Secret::new(password));
    let warehouse = Warehouse::connect(
        endpoint(database, secrets),
        login(names::BUILDER_ROLE, &secrets.builder_password),
        login(names::VENDOR_ROLE, &secrets.vendor_password),
        database.search_path.clone(),
        config.node.clone(),
    )
    .await
    .map_err(failed)?;
    let reaped = warehouse.reap().await.map_err(failed)?;
    if !reaped.is_empty() {
        tracing::warn!(roles = reaped.len(), database = %database.name, "removed vended roles that an earlier run left");
    }
    let governor = Governor::start(
        &database.name,
        warehouse,
        &database.database,
        database.search_path.clone(),
        governance,
        Arc::clone(doubts),
    )
    .await?;
    refuse_public(&governor, database).await?;
    refuse_definers(&governor, database).await?;
    refuse_languages(&governor, database).await?;
    if !governance.known.contains_key(&database.name) {
        // The first look: all that is there now is known. The folder changes, so it is read again soon.
        let seen = governor.with(|snapshot, _| Known::of(&snapshot.catalog));
        store::change_known(&config.governance.directory.value, &database.name, |known| {
            known.unwrap_or(seen)
        })?;
        tracing::info!(database = %database.name, "first look: what appears from now on is hidden until it is released");
    }
    Ok(governor)
}

/// Where a database's warehouse is.
#[must_use]
pub fn endpoint(database: &Database, secrets: &DatabaseMaterial) -> Endpoint {
    Endpoint {
        host: database.host.clone(),
        port: database.port,
        database: database.database.clone(),
        tls: match (&database.tls, &secrets.ca_pem) {
            (UpstreamTls::Disable, _) => TlsMode::Disable,
            (UpstreamTls::Require, _) => TlsMode::Require,
            (UpstreamTls::VerifyFull { .. }, pem) => {
                TlsMode::VerifyFull { ca_pem: pem.clone().unwrap_or_default() }
            }
        },
    }
}

/// What everybody in the warehouse may read, no policy can hide.
async fn refuse_public(governor: &Governor, database: &Database) -> Result<(), StartError> {
    let relations: Vec<RelationName> =
        governor.with(|snapshot, _| snapshot.catalog.relations.keys().cloned().collect());
    let public = governor
        .warehouse()
        .public_reads(&relations)
        .await
        .map_err(|error| StartError::Warehouse(database.name.clone(), error))?;
    let open: Vec<String> = public
        .iter()
        .filter(|relation| !database.accept_public.contains(relation))
        .map(ToString::to_string)
        .collect();
    if open.is_empty() {
        return Ok(());
    }
    Err(StartError::PublicReads { database: database.name.clone(), relations: open.join(", ") })
}

/// What runs with its owner's rights for everybody reads round every policy. One behind an operator or a cast cannot be
/// accepted: the list of functions that may be called does not see it.
async fn refuse_definers(governor: &Governor, database: &Database) -> Result<(), StartError> {
    let definers = governor
        .warehouse()
        .public_definers()
        .await
        .map_err(|error| StartError::Warehouse(database.name.clone(), error))?;
    let open: Vec<String> = definers
        .iter()
        .filter(|definer| definer.unnamed || !database.accept_public.contains(&definer.function))
        .map(|definer| {
            let how = if definer.unnamed { " (behind an operator or cast: cannot be accepted)" } else { "" };
            format!("{}{how}", definer.function)
        })
        .collect();
    if open.is_empty() {
        return Ok(());
    }
    Err(StartError::PublicDefiners { database: database.name.clone(), functions: open.join(", ") })
}

/// Errors that name what is hidden are told from others by PostgreSQL's English words.
async fn refuse_languages(governor: &Governor, database: &Database) -> Result<(), StartError> {
    let language = governor.warehouse().foreign_language().await;
    match language.map_err(|error| StartError::Warehouse(database.name.clone(), error))? {
        None => Ok(()),
        Some(language) => Err(StartError::Language { database: database.name.clone(), language }),
    }
}

fn readiness(shared: Arc<Shared>, stopped: watch::Receiver<bool>) -> ReadinessCheck {
    Arc::new(move || {
        if *stopped.borrow() {
            return Readiness::NotReady("stopping");
        }
        match shared.ledger.health() {
            Health::Sound if !shared.warehouses_reachable.load(Ordering::Relaxed) => {
                Readiness::NotReady("warehouse unreachable")
            }
            Health::Sound => Readiness::Ready,
            Health::Poisoned => Readiness::NotReady("audit not writable"),
        }
    })
}

/// Pushes buffered outcome lines to disk while nothing else does.
async fn flush(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(LEDGER_FLUSH);
    loop {
        tokio::select! {
            _ = tick.tick() => {
                shared.ledger.flush();
                let lost = shared.ledger.outcomes_lost();
                shared.metrics.outcomes_lost.set(i64::try_from(lost).unwrap_or(i64::MAX));
            }
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
    }
}

/// Watches the governance folder and the warehouse, publishes new snapshots, and ends sessions whose access changed. A
/// change that does not compile is logged and the last good snapshot stays.
async fn reload(
    folder: GovernanceFolder,
    mut seen: store::Stamp,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut governance: Option<Governance> = None;
    let mut looked = Instant::now();
    let mut doubted = false;
    loop {
        let rung = tokio::select! {
            () = tokio::time::sleep(folder.reload) => false,
            () = shared.doubts.notified() => true,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        if rung {
            doubted = true;
            tokio::time::sleep(CATALOG_POLL_MIN.saturating_sub(looked.elapsed())).await;
        }
        let now = match store::stamp(&folder.directory.value) {
            Ok(now) => now,
            Err(error) => {
                tracing::error!(error = %vend::chain(&error), "the governance folder cannot be read; the last good state stays");
                continue;
            }
        };
        let changed = now != seen;
        let due = shared.governors.values().any(|governor| governor.is_due() || governor.is_migrating());
        if !changed && !due && !doubted && looked.elapsed() < CATALOG_POLL {
            continue;
        }
        doubted = false;
        if changed || governance.is_none() {
            match store::load(&folder.directory.value) {
                Ok(loaded) => governance = Some(loaded),
                Err(error) => {
                    tracing::error!(error = %vend::chain(&error), "a change of governance does not load; the last good state stays");
                    seen = now;
                    continue;
                }
            }
        }
        seen = now;
        looked = Instant::now();
        if let Some(governance) = &governance {
            publish(&shared, governance, changed).await;
        }
    }
}

async fn publish(shared: &Shared, governance: &Governance, changed: bool) {
    let mut reachable = true;
    for governor in shared.governors.values() {
        match governor.refresh(governance, changed).await {
            Ok(false) => {
                governor.look_for_damage().await;
                governor.renew(&shared.registry.principals(governor.name())).await;
            }
            Ok(true) => {
                let refusal =
                    Refusal::new(Code::ShuttingDown, "your access changed while this session was open")
                        .hint("connect again to go on under the new policy");
                let ended = shared.registry.end_changed(
                    governor.name(),
                    |principal| governor.entitlement(principal).filter(|_| governor.has_key(principal)),
                    &refusal,
                );
                tracing::info!(database = governor.name(), ended, "a new snapshot is in force");
                governor.renew(&shared.registry.principals(governor.name())).await;
                governor.collect(shared.registry.fingerprints(governor.name())).await;
            }
            Err(error) => {
                reachable &= !matches!(error, GovernorError::Warehouse(..));
                tracing::error!(database = governor.name(), error = %vend::chain(&error), "a change does not take effect; the last good snapshot stays");
            }
        }
    }
    shared.warehouses_reachable.store(reachable, Ordering::Relaxed);
}
