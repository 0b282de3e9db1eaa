//! The running proxy: what every session shares, the reload of governance, and the way down.
//!
//! Concrete adapters are chosen here and nowhere else. Called by `lanyard serve` and `lanyard demo`.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lanyard_adapters::ledger::FileLedger;
use lanyard_engine::refusal::{Code, Refusal};
use tokio::sync::mpsc;

use crate::net::tls::ServerTls;
use crate::observe::Metrics;
use crate::session::RecordText;
use crate::vend::{Governor, Registry};

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
    /// Most sessions.
    pub clients_max: usize,
    /// Longest login.
    pub login: Duration,
    /// Longest silence of a session.
    pub idle: Duration,
    /// Longest lease.
    pub lease: Duration,
    /// What of a statement goes on record.
    pub record_text: RecordText,
    /// Salt of verifiers for unknown names.
    pub secret: [u8; 32],
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
