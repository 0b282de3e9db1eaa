//! Our own connections (builder, vendor, DBA): tokio-postgres over the streams of `stream`, made again when lost.
//!
//! Must never carry a statement of an agent. Called by `Warehouse`, `bootstrap` and `doctor`.

use std::future::Future;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, NoTls};

use super::endpoint::Login;
use super::error::WarehouseError;
use super::stream::Connector;

/// Longest wait for a connection of our own.
const CONNECT_SECONDS_MAX: u64 = 10;

/// What the session is set to: nobody's search_path, no endless waits for locks, its purpose in pg_stat_activity.
const OPTIONS: &str = "-c search_path=pg_catalog,pg_temp -c lock_timeout=5000 -c client_min_messages=warning \
                       -c idle_in_transaction_session_timeout=60000 -c TimeZone=UTC -c DateStyle=ISO";

/// Waits for `work`, at most `seconds`. Dropped, `work` is cancelled.
pub(super) async fn within<T>(
    seconds: u64,
    doing: &'static str,
    work: impl Future<Output = Result<T, WarehouseError>>,
) -> Result<T, WarehouseError> {
    tokio::time::timeout(Duration::from_secs(seconds), work)
        .await
        .unwrap_or(Err(WarehouseError::Deadline { doing, seconds }))
}

/// Logs in. Cancel-safe: the socket closes.
pub(super) async fn connect(
    connector: &Connector,
    login: &Login,
    purpose: &str,
) -> Result<Client, WarehouseError> {
    open(connector, login, purpose).await.map(|(client, _)| client)
}

/// Logs in; the task that serves the connection, too.
async fn open(
    connector: &Connector,
    login: &Login,
    purpose: &str,
) -> Result<(Client, JoinHandle<()>), WarehouseError> {
    within(CONNECT_SECONDS_MAX, "connecting", async {
        let stream = connector.connect().await?;
        let mut config = tokio_postgres::Config::new();
        config
            .user(login.user.as_str())
            .password(login.password.expose())
            .dbname(connector.endpoint.database.as_str())
            .application_name(purpose)
            .options(OPTIONS)
            // The stream is encrypted already where it has to be.
            .ssl_mode(SslMode::Disable);
        let (client, connection) = config
            .connect_raw(stream, NoTls)
            .await
            .map_err(|e| WarehouseError::from_client(e, "connecting"))?;
        let purpose = purpose.to_owned();
        // Ends when the client is dropped or the server goes away; the next use makes a new one.
        let served = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(%error, connection = purpose, "warehouse connection lost");
            }
        });
        Ok((client, served))
    })
    .await
}

/// How long a connection may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// One login kept open, shared (pipelined) or lent whole.
pub(super) struct Kept {
    connector: Connector,
    login: Login,
    purpose: &'static str,
    slot: Mutex<Option<Arc<Client>>>,
    /// Serves the connection of the slot.
    served: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Kept {
    pub(super) fn new(connector: Connector, login: Login, purpose: &'static str) -> Self {
        Self { connector, login, purpose, slot: Mutex::new(None), served: std::sync::Mutex::default() }
    }

    /// A connection of its own, beside the one that is kept.
    pub(super) async fn another(&self, purpose: &'static str) -> Result<Client, WarehouseError> {
        connect(&self.connector, &self.login, purpose).await
    }

    async fn connect(&self) -> Result<Arc<Client>, WarehouseError> {
        let (client, served) = open(&self.connector, &self.login, self.purpose).await?;
        *self.served.lock().unwrap_or_else(PoisonError::into_inner) = Some(served);
        Ok(Arc::new(client))
    }

    /// Says goodbye on a connection that is open and waits until it is closed, so that a server that stops next does not
    /// cut it. A later use would make a new one.
    pub(super) async fn close(&self) {
        *self.slot.lock().await = None;
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(served) = served {
            // At the deadline, or where the task is gone already, there is nothing left to wait for.
            drop(tokio::time::timeout(GOODBYE, served).await);
        }
    }

    /// The connection, to send on beside others.
    pub(super) async fn shared(&self) -> Result<Arc<Client>, WarehouseError> {
        let mut slot = self.slot.lock().await;
        if let Some(client) = slot.as_ref().filter(|c| !c.is_closed()) {
            return Ok(Arc::clone(client));
        }
        let client = self.connect().await?;
        *slot = Some(Arc::clone(&client));
        Ok(client)
    }

    /// The connection for one caller alone, for transactions. Never mix with [`Self::shared`] on one `Kept`.
    pub(super) async fn exclusive(&self) -> Result<Lent<'_>, WarehouseError> {
        let mut slot = self.slot.lock().await;
        if slot.as_ref().is_none_or(|c| c.is_closed()) {
            *slot = Some(self.connect().await?);
        }
        Ok(Lent { slot, clean: false })
    }

    /// Drops a shared connection on which something fatal happened, so that the next use makes a new one.
    pub(super) async fn checked<T>(
        &self,
        client: &Arc<Client>,
        done: Result<T, WarehouseError>,
    ) -> Result<T, WarehouseError> {
        if done.as_ref().is_err_and(WarehouseError::is_fatal) {
            let mut slot = self.slot.lock().await;
            if slot.as_ref().is_some_and(|c| Arc::ptr_eq(c, client)) {
                *slot = None;
            }
        }
        done
    }
}

/// A connection lent to one caller. Unless given back it is closed: who fails or goes away in the middle of a transaction
/// leaves nothing for the next one to wait for.
pub(super) struct Lent<'a> {
    slot: MutexGuard<'a, Option<Arc<Client>>>,
    clean: bool,
}

impl Lent<'_> {
    /// The client, for a transaction.
    pub(super) fn client(&mut self) -> Result<&mut Client, WarehouseError> {
        self.slot
            .as_mut()
            .and_then(Arc::get_mut)
            .ok_or(WarehouseError::Lost { doing: "preparing", source: None })
    }

    /// Gives it back, unless what happened on it says that it is of no more use.
    pub(super) fn give_back<T>(mut self, done: Result<T, WarehouseError>) -> Result<T, WarehouseError> {
        self.clean = !done.as_ref().is_err_and(WarehouseError::is_fatal);
        done
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if !self.clean {
            *self.slot = None;
        }
    }
}
