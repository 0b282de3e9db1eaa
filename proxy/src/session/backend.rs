//! The backend of a session in the warehouse: opened at login, closed while the session is idle and has nothing of its own in
//! it, and opened again, as the same role, for the next statement.
//!
//! Must never open one with other settings than at login. Called by `login` and by `serve`.

use std::sync::Arc;
use std::time::Duration;

use lanyard_adapters::warehouse::postgres::{CancelKey, Login, Upstream, UpstreamStream, WarehouseError};
use lanyard_engine::identity::SessionId;
use lanyard_engine::refusal::{Code, Refusal};
use tokio::time::{sleep, timeout};

use crate::vend::{self, Governor};

/// SQLSTATE of a role's connection limit: the backend that was closed has not ended yet.
const TOO_MANY: &str = "53300";
/// How long to wait for that before asking again; twice as long each time, as a full server says the same.
const AGAIN_FIRST: Duration = Duration::from_millis(5);
const AGAIN_MAX: Duration = Duration::from_secs(1);

/// How a session logs in, and what the warehouse said of its settings.
pub(super) struct Backend {
    governor: Arc<Governor>,
    login: Login,
    application: String,
    /// Settings the client asked for in its startup packet.
    wished: Vec<(String, String)>,
    /// Every parameter as it was reported last.
    pub(super) parameters: Vec<(String, String)>,
}

/// A login that went through.
pub(super) struct Opened {
    pub(super) stream: UpstreamStream,
    pub(super) leftover: bytes::BytesMut,
    pub(super) key: CancelKey,
    /// Parameters that are not what they were at the last login.
    pub(super) changed: Vec<(String, String)>,
}

impl Backend {
    pub(super) fn new(
        governor: Arc<Governor>,
        login: Login,
        wished: Vec<(String, String)>,
        id: SessionId,
    ) -> Self {
        Self { governor, login, application: format!("lanyard:{id}"), wished, parameters: Vec::new() }
    }

    /// Logs in.
    ///
    /// # Errors
    /// 22023 and the like for a setting of the client's that does not fit; otherwise 08006, and the cause in the log.
    pub(super) async fn open(&mut self) -> Result<Opened, Refusal> {
        let opened = self.log_in().await;
        opened.map(|upstream| self.opened(upstream)).map_err(|error| self.refusal(&error))
    }

    /// Logs in again, within this time.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) async fn reopen(&mut self, within: Duration) -> Result<Opened, Refusal> {
        let upstream = timeout(within, async {
            let mut again = AGAIN_FIRST;
            loop {
                match self.log_in().await {
                    Err(error) if error.sqlstate() == Some(TOO_MANY) => sleep(again).await,
                    other => break other,
                }
                again = AGAIN_MAX.min(again * 2);
            }
        });
        match upstream.await {
            Ok(Ok(upstream)) => Ok(self.opened(upstream)),
            Ok(Err(error)) => Err(self.refusal(&error)),
            Err(_) => Err(cannot_be_reached(&self.governor)),
        }
    }

    async fn log_in(&self) -> Result<Upstream, WarehouseError> {
        // The search path and the settings enforcement needs are the warehouse's own business (`Warehouse::open`).
        let mut settings = vec![("application_name", self.application.as_str())];
        settings.extend(self.wished.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        self.governor.warehouse().open(&self.login, &settings).await
    }

    fn opened(&mut self, upstream: Upstream) -> Opened {
        let Upstream { stream, key, parameters, leftover } = upstream;
        let before = std::mem::replace(&mut self.parameters, parameters);
        let changed =
            self.parameters.iter().filter(|parameter| !before.contains(parameter)).cloned().collect();
        Opened { stream, leftover, key, changed }
    }

    fn refusal(&self, error: &WarehouseError) -> Refusal {
        match error {
            // The client chose these values and nobody else: a value that does not fit, a setting this major does not have.
            WarehouseError::Refused { sqlstate, message }
                if !self.wished.is_empty() && matches!(sqlstate.as_str(), "22023" | "42704") =>
            {
                Refusal::new(Code::BadValue, message.clone())
                    .hint("mend it in the connection string, or leave it out")
            }
            _ => unreachable_warehouse(&self.governor, error),
        }
    }
}

/// The refusal for a warehouse that said no or nothing; why is in the log.
pub(super) fn unreachable_warehouse(governor: &Governor, error: &WarehouseError) -> Refusal {
    tracing::error!(database = governor.name(), error = %vend::chain(error), "the warehouse refused a session");
    cannot_be_reached(governor)
}

fn cannot_be_reached(governor: &Governor) -> Refusal {
    Refusal::new(
        Code::UpstreamLost,
        format!("the warehouse of \"{}\" cannot be reached now", governor.name()),
    )
    .hint("try again; if it persists, an operator finds the cause in Lanyard's log")
}
